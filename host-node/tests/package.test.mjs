// What is in the package; that it works where it is installed is a test of the whole repository.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { fileURLToPath } from "node:url";
import { operations } from "../dist/internal.js";

const root = fileURLToPath(new URL("../", import.meta.url));
const read = (file) => readFileSync(join(root, file), "utf8");

test("the package has what it needs, and no dependencies", () => {
  const npm = process.platform === "win32" ? "npm.cmd" : "npm";
  const options = { cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] };
  const [packed] = JSON.parse(execFileSync(npm, ["pack", "--dry-run", "--json", "--ignore-scripts"], options));
  const files = packed.files.map(({ path }) => path);
  for (const file of ["README.md", "dist/index.js", "dist/index.d.ts", "dist/thread.js", "dist/component/sessile.core.wasm"]) {
    assert.ok(files.includes(file), file);
  }
  assert.ok(files.every((file) => /^(dist\/|README\.md$|LICENSE|package\.json$)/.test(file)), files.join(" "));
  const { dependencies, exports, peerDependencies, peerDependenciesMeta, scripts } = JSON.parse(read("package.json"));
  assert.deepEqual([dependencies, scripts.install, scripts.postinstall], [undefined, undefined, undefined]);
  // Frameworks are for those who have them.
  assert.deepEqual(peerDependenciesMeta, Object.fromEntries(Object.keys(peerDependencies).map((name) => [name, { optional: true }])));
  for (const target of Object.values(exports).flatMap((entry) => (typeof entry === "string" ? [entry] : Object.values(entry)))) {
    assert.ok(files.includes(target.slice(2)), target);
  }
  assert.ok(!read("package-lock.json").includes('"resolved": "http'));
});

test("the component's code uses nothing but WebAssembly and encoders", () => {
  const glue = read("dist/component/sessile.cjs");
  for (const word of ["require(", "import(", "JCO_DEBUG", "WebAssembly.promising", "fetch("]) assert.ok(!glue.includes(word), word);
});

test("the README's example is the one that is run", () => {
  const example = read("examples/quick-start.mjs");
  assert.ok(read("README.md").includes(`\`\`\`js\n${example}\`\`\`\n`), "the README shows another example");
  assert.ok(example.trimEnd().split("\n").length <= 15);
});

test("the README names every operation", () => {
  const [, section] = read("README.md").split("## Beside messages");
  const named = section.split("\n## ")[0].matchAll(/`([a-zA-Z]+)`/g);
  assert.deepEqual([...named].map(([, name]) => name).sort(), Object.keys(operations).sort());
});
