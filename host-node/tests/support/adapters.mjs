// What the tests of all adapters share: the example of a page, and processes that write until they are killed.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import test from "node:test";
import { fileURLToPath } from "node:url";
import { scratch } from "./scratch.mjs";

const root = new URL("../../", import.meta.url);
const worker = fileURLToPath(new URL("tests/adapters/worker.mjs", root));

/** Runs the example of an adapter, which is the one that its page shows, and compares what it prints. */
export function quickStart(name, printed) {
  test(`${name}: the quick start of the page runs`, (t) => {
    const file = new URL(`examples/${name}.mjs`, root);
    const page = readFileSync(new URL(`../docs/adapters/${name}-js.md`, root), "utf8");
    assert.ok(page.includes(`\`\`\`js\n${readFileSync(file, "utf8")}\`\`\`\n`), "the page shows another example");
    const said = execFileSync(process.execPath, [fileURLToPath(file)], {
      cwd: scratch(t),
      encoding: "utf8",
      // Where there is no key for it, it prints its traces.
      env: { ...process.env, OPENAI_AGENTS_DISABLE_TRACING: "1" },
    });
    assert.equal(said, printed);
  });
}

/** The version of a framework that is installed is the one that the page names as tested. */
export function tested(name, framework) {
  test(`${name}: the page names the version that is tested`, () => {
    const page = readFileSync(new URL(`../docs/adapters/${name}-js.md`, root), "utf8");
    const { version } = JSON.parse(readFileSync(new URL(`node_modules/${framework}/package.json`, root), "utf8"));
    const { peerDependencies } = JSON.parse(readFileSync(new URL("package.json", root), "utf8"));
    assert.ok(page.includes(`tested with ${version}`), version);
    assert.ok(page.includes(`\`${framework}\` ${peerDependencies[framework].replace(">=", "")} or newer`), "the lower bound");
  });
}

/** Starts a process that writes through an adapter, and gives what it has been told is written. */
function start(name, place, writer, count) {
  const child = spawn(process.execPath, [worker, name, place, writer, String(count)], { stdio: ["ignore", "pipe", "inherit"] });
  const ended = new Promise((resolve) => child.on("exit", (code, signal) => resolve(signal ?? code)));
  return { child, ended, lines: createInterface({ input: child.stdout }) };
}

/** Kills a process at work with SIGKILL; `check` gets the store's place and everything that was acknowledged. */
export function survivesKills(name, check) {
  test(`${name}: everything acknowledged is there after SIGKILL`, async (t) => {
    const place = scratch(t);
    const acknowledged = [];
    for (const [round, after] of [3, 8, 1].entries()) {
      const { child, ended, lines } = start(name, place, `round-${round}`, 1e6);
      let seen = 0;
      for await (const line of lines) {
        acknowledged.push(line);
        seen += 1;
        if (seen === after) child.kill("SIGKILL");
      }
      assert.equal(await ended, "SIGKILL");
    }
    assert.ok(acknowledged.length >= 12);
    await check(place, acknowledged);
  });
}

/** Lets three processes write at once. */
export function sharedByProcesses(name, check) {
  test(`${name}: processes that write at once lose nothing of each other`, async (t) => {
    const place = scratch(t);
    const acknowledged = [];
    const writers = ["a", "b", "c"].map(async (writer) => {
      const { ended, lines } = start(name, place, writer, 8);
      for await (const line of lines) acknowledged.push(line);
      assert.equal(await ended, 0);
    });
    await Promise.all(writers);
    assert.equal(acknowledged.length, 24);
    await check(place, acknowledged);
  });
}
