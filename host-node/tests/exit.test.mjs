// Closing at the end of the process, where somebody asks for it.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import test from "node:test";
import { closeOnExit, InvalidError, openStoreSync } from "../dist/index.js";
import { files, scratch } from "./support/scratch.mjs";

const index = JSON.stringify(new URL("../dist/index.js", import.meta.url).href);
const unix = { skip: process.platform === "win32" && "only on Unix" };

/** Runs a program that has appended to a store, and does `then`. Returns how it ended, and the catalogue that it left. */
async function run(root, { open, ask = "closeOnExit(store);", then, signal }) {
  const code = `import { closeOnExit, openStore, openStoreSync } from ${index};
    const store = await ${open}(${JSON.stringify(root)});
    await store.create({ id: "s" });
    for (let n = 0; n < 3; n += 1) await store.append("s", { role: "user", parts: [] });
    ${ask}
    ${then}
    console.log("ready");`;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", code], { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout.on("data", (data) => {
    output += data;
    if (signal !== undefined && output.includes("ready")) child.kill(signal);
  });
  const end = await new Promise((resolve) => child.on("close", (code, signal) => resolve(signal ?? code)));
  return { end, output, catalogue: Object.values(files(`${root}/catalogue`)).join("") };
}

for (const open of ["openStore", "openStoreSync"]) {
  test(`${open}: the store is closed at an exit`, async (t) => {
    const without = await run(scratch(t), { open, ask: "", then: "process.exit(3);" });
    const given = await run(scratch(t), { open, then: "process.exit(3);" });
    assert.deepEqual([without.end, given.end], [3, 3]);
    // A store that is closed tells the catalogue how many messages there are.
    assert.ok(given.catalogue.length > without.catalogue.length, given.catalogue);
  });

  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"]) {
    test(`${open}: the store is closed at ${signal}, which ends the process as it would`, unix, async (t) => {
      const then = "setInterval(() => {}, 1000);";
      const without = await run(scratch(t), { open, ask: "", then, signal });
      const given = await run(scratch(t), { open, then, signal });
      assert.deepEqual([without.end, given.end], [signal, signal]);
      assert.ok(given.catalogue.length > without.catalogue.length, given.catalogue);
    });
  }
}

test("calls in flight at an exit are carried out", async (t) => {
  const root = scratch(t);
  const then = `for (let n = 0; n < 2000; n += 1) store.append("s", { role: "user", parts: [] }, { durability: "buffered" });
    process.exit(0);`;
  assert.equal((await run(root, { open: "openStore", then })).end, 0);
  assert.equal(openStoreSync(root).get("s").messageCount, 2003);
});

test("where the program has a handler of a signal, that decides", unix, async (t) => {
  const then = `process.on("SIGTERM", async () => { await store.get("s"); console.log("still open"); process.exit(5); });
    setInterval(() => {}, 1000);`;
  const { end, output } = await run(scratch(t), { open: "openStore", then, signal: "SIGTERM" });
  assert.deepEqual([end, output], [5, "ready\nstill open\n"]);
});

test("it can be undone, for each store alone", (t) => {
  const count = () => ["exit", "SIGTERM", "SIGINT", "SIGHUP"].map((event) => process.listenerCount(event));
  const before = count();
  const [one, other] = [openStoreSync(scratch(t)), openStoreSync(scratch(t))];
  const undo = [closeOnExit(one), closeOnExit(other)];
  assert.deepEqual(count(), before.map((number) => number + 1));
  undo[0]();
  undo[0]();
  assert.deepEqual(count(), before.map((number) => number + 1));
  undo[1]();
  assert.deepEqual(count(), before);
  assert.throws(() => closeOnExit({}), InvalidError);
});
