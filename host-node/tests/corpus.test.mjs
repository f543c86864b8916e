// The corpus in this host: the same answers and the same bytes as in every other.
import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { fileURLToPath } from "node:url";
import { openStoreSync } from "../dist/index.js";
import { calls, engines, openSyncWith, operations, snakeCase } from "../dist/internal.js";
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

test("a call of a case may be an operation", (t) => {
  const place = scratch(t);
  const expect = { counters: { tool_calls: 1, toolCalls: 2 } };
  const steps = [
    { call: "add_counters", args: { add: expect.counters }, expect },
    { call: "get_counters", args: { session: "nobody" }, error: "not-found" },
    { call: "get_countess", error: "invalid", says: "no such operation" },
  ];
  writeFileSync(join(place, "right.json"), JSON.stringify([{ name: "right", steps }]));
  assert.deepEqual(runFile(join(place, "right.json"), place), { count: 1, failures: [] });
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

test("every operation of the core is a call, with the members that it has there", (t) => {
  const sources = join(root, "core/src/operations");
  const source = readdirSync(sources).map((file) => readFileSync(join(sources, file), "utf8")).join("");
  const names = [...source.matchAll(/const NAME: &'static str = "([a-z_]+)"/g)].map(([, name]) => name);
  const store = openSyncWith(scratch(t));
  assert.deepEqual(Object.values(operations).map((call) => call.order({})[0]).sort(), names.sort());
  for (const call of Object.values(operations)) {
    const members = Object.keys(call.options).map(snakeCase);
    // What the core does not know it refuses, and says what it does.
    const [name] = call.order({});
    assert.throws(() => engines.get(store).call("operate", [name, '{"nobody":0}']), ({ kind, message }) => {
      assert.equal(kind, "invalid");
      const [, known] = message.split("unknown field `nobody`, ");
      assert.deepEqual(members.sort(), [...known.matchAll(/`([a-z_0-9]+)`/g)].map(([, member]) => member).sort(), name);
      return true;
    });
  }
});

test("every function of the contract is a call", () => {
  const contract = readFileSync(join(root, "wit/sessions.wit"), "utf8");
  const camel = (name) => name.replace(/-(.)/g, (_, letter) => letter.toUpperCase());
  const functions = [...contract.matchAll(/^ {4}%?([a-z-]+): func\(/gm)].map(([, name]) => camel(name));
  assert.ok(functions.length >= 23);
  const named = Object.entries(calls).map(([method, { name = method }]) => name);
  assert.deepEqual([...new Set([...named, "open", "close"])].sort(), functions.sort());
});
