// The types that the package and its adapters publish, checked with `skipLibCheck` off. The project itself compiles with it
// on, because types of the frameworks have errors of their own (they do not hold with `exactOptionalPropertyTypes`, or name
// types of browsers): those in `node_modules` are theirs, anything else is ours.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const place = fileURLToPath(new URL("..", import.meta.url));

test("published types have no errors of their own", () => {
  const adapters = readdirSync(`${place}dist/adapters`).filter((name) => name.endsWith(".d.ts"));
  assert.ok(adapters.length >= 4, adapters.join());
  const files = ["dist/index.d.ts", ...adapters.map((name) => `dist/adapters/${name}`)];
  const options = "--noEmit --strict --exactOptionalPropertyTypes --noUncheckedIndexedAccess --skipLibCheck false";
  const libraries = "--target ES2023 --lib ES2023,ES2024.String,ESNext.Disposable --module NodeNext --types node";
  const args = ["node_modules/typescript/bin/tsc", ...options.split(" "), ...libraries.split(" "), ...files];
  const { stdout, status, error } = spawnSync(process.execPath, args, { cwd: place, encoding: "utf8" });
  assert.equal(error, undefined);
  // It ends with 0 without errors and with 2 where there are some.
  assert.ok(status === 0 || status === 2, `${status}: ${stdout}`);
  const errors = stdout.split("\n").filter((line) => /: error TS|^error TS/.test(line));
  assert.deepEqual(errors.filter((line) => !line.startsWith("node_modules/")), []);
});
