// The corpus in this host: the same answers and the same bytes as in every other.
import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { fileURLToPath } from "node:url";
import { openStoreSync } from "../dist/index.js";
import { calls } from "../dist/internal.js";
import { runFile } from "./corpus.mjs";
import { dump } from "./support/calls.mjs";
import { copy, files, scratch } from "./support/scratch.mjs";
import { runValues } from "./values.mjs";

const root = fileURLToPath(new URL("../../", import.meta.url));
const corpus = join(root, "tests/corpus");
const frozen = join(corpus, "stores/v1/files");

for (const folder of ["ops", "damaged"]) {
  for (const file of readdirSync(join(corpus, folder))) {
    test(`${folder}/${file} gives the answers that the corpus says`, (t) => {
      const { count, failures } = runFile(join(corpus, folder, file), scratch(t));
      assert.deepEqual(failures, []);
      assert.ok(count > 0);
    });
  }
}

test("a case that is wrong fails", (t) => {
  const place = scratch(t);
  const step = { call: "create", args: { new: { id: "s" } }, expect: { id: "t" } };
  writeFileSync(join(place, "wrong.json"), JSON.stringify([{ name: "wrong", steps: [step] }]));
  assert.match(runFile(join(place, "wrong.json"), place).failures.join(), /answer.id is "s", expected "t"/);
});

test("bad values get the error that the table says", () => {
  const { count, failures } = runValues(join(corpus, "values.json"));
  assert.deepEqual(failures, []);
  assert.ok(count > 90);
});

test("a new store is written as the frozen one was", (t) => {
  const place = scratch(t);
  assert.deepEqual(runFile(join(corpus, "stores/v1/case.json"), place).failures, []);
  assert.deepEqual(files(join(place, "case/0")), files(frozen));
});

test("a frozen store holds what it held, and reading it writes nothing", (t) => {
  const place = copy(frozen, join(scratch(t), "store"));
  const store = openStoreSync(place, { readOnly: true });
  assert.deepEqual(dump(store), JSON.parse(readFileSync(join(corpus, "stores/v1/expected.json"), "utf8")));
  assert.equal(store.doctor().healthy, true);
  store.close();
  assert.deepEqual(files(place), files(frozen));
});

test("every function of the contract is a call", () => {
  const contract = readFileSync(join(root, "wit/sessions.wit"), "utf8");
  const camel = (name) => name.replace(/-(.)/g, (_, letter) => letter.toUpperCase());
  const functions = [...contract.matchAll(/^ {4}%?([a-z-]+): func\(/gm)].map(([, name]) => camel(name));
  assert.ok(functions.length >= 23);
  const named = Object.entries(calls).map(([method, { name = method }]) => name);
  assert.deepEqual([...new Set([...named, "open", "close"])].sort(), functions.sort());
});
