// The operations of a store: what they take and give, in the caller's thread and in a thread of its own.
import assert from "node:assert/strict";
import test from "node:test";
import { openStore, openStoreSync } from "../dist/index.js";
import { answer, shapes } from "../dist/internal.js";
import { both, failed, of } from "./support/both.mjs";
import { scratch } from "./support/scratch.mjs";

both("counters are added to, read and reset", async (store) => {
  await store.create({ id: "s" });
  const added = await store.addCounters({ session: "s", add: { tokens: 3, cost: 0.5 }, durability: "buffered" });
  assert.deepEqual(added, { counters: { cost: 0.5, tokens: 3 } });
  assert.deepEqual(await store.addCounters({ add: { tokens: 1 } }), { counters: { tokens: 1 } });
  await store.addCounters({ session: "s", add: { tokens: -5 } });
  assert.deepEqual(await store.getCounters({ session: "s" }), { counters: { cost: 0.5, tokens: -2 } });
  assert.deepEqual(await store.getCounters(), { counters: { tokens: 1 } });
  assert.deepEqual(await store.resetCounters({ session: "s", names: ["tokens"] }), { counters: { cost: 0.5 } });
  assert.deepEqual(await store.resetCounters({ session: null }), { counters: {} });
});

both("an addition under the same name is made once", async (store) => {
  for (let round = 0; round < 3; round += 1) await store.addCounters({ add: { n: 1 }, op: "one" });
  assert.deepEqual(await store.getCounters(), { counters: { n: 1 } });
});

both("names of callers are not changed", async (store) => {
  const add = { toolCalls: 1, tool_calls: 2, ["__proto__"]: 3, "é \u2028": 4 };
  assert.deepEqual((await store.addCounters({ add })).counters, add);
  const { counters } = await store.resetCounters({ names: ["toolCalls"] });
  assert.deepEqual(Object.keys(counters).sort(), ["__proto__", "tool_calls", "é \u2028"]);
});

both("bad requests are invalid before anything is done, and say where", async (store) => {
  for (const [act, says] of [
    [() => store.addCounters(), /`options` needs the member `add`/],
    [() => store.addCounters({ add: null }), /`options.add` must be an object, not null/],
    [() => store.addCounters({ add: [1] }), /`options.add` must be an object, not an array/],
    [() => store.addCounters({ add: { n: NaN } }), /`options.add.n` must be finite, not NaN/],
    [() => store.addCounters({ add: { n: 1, m: -Infinity } }), /`options.add.m` must be finite, not -Infinity/],
    [() => store.addCounters({ add: { n: "1" } }), /`options.add.n` must be a number, not string/],
    [() => store.addCounters({ add: { n: undefined } }), /`options.add.n` must be a number, not undefined/],
    [() => store.addCounters({ add: { "\ud800": 1 } }), /`a name in options.add` has half a surrogate pair/],
    [() => store.addCounters({ add: { "": 1 } }), /counter/],
    [() => store.addCounters({ add: {}, ops: "x" }), /no member "ops"; it has session, add, op, durability, signal/],
    [() => store.addCounters({ add: {}, op: "\udfff" }), /`options.op` has half a surrogate pair/],
    [() => store.addCounters({ add: {}, durability: "SYNCED" }), /`options.durability` must be one of buffered, synced/],
    [() => store.getCounters("s"), /`options` must be an object, not string/],
    [() => store.getCounters({ session: 1 }), /`options.session` must be a string, not number/],
    [() => store.getCounters({}, {}), /at most 1 argument, not 2/],
    [() => store.resetCounters({ names: ["n", 1] }), /`options.names\[1\]` must be a string, not number/],
  ]) {
    const error = await failed(act);
    assert.ok(of("InvalidError")(error), String(error));
    assert.match(error.message, says);
  }
  assert.deepEqual(await store.getCounters(), { counters: {} });
});

both("errors of the core have their kinds", async (store) => {
  assert.ok(of("NotFoundError")(await failed(() => store.getCounters({ session: "nobody" }))));
  assert.ok(of("InvalidError")(await failed(() => store.getCounters({ session: "" }))));
  await store.addCounters({ add: { n: Number.MAX_VALUE } });
  assert.ok(of("InvalidError")(await failed(() => store.addCounters({ add: { n: Number.MAX_VALUE } }))));
  assert.deepEqual(await store.getCounters(), { counters: { n: Number.MAX_VALUE } });
  await store.close();
  for (const act of [() => store.getCounters(), () => store.addCounters({ add: { n: NaN } })]) {
    assert.ok(of("ClosedError")(await failed(act)));
  }
});

both("an operation whose signal is aborted before it does nothing", async (store) => {
  const reason = new Error("given up");
  assert.equal(await failed(() => store.addCounters({ add: { n: 1 }, signal: AbortSignal.abort(reason) })), reason);
  assert.deepEqual(await store.getCounters(), { counters: {} });
});

test("both kinds of store add to the same counters", async (t) => {
  const root = scratch(t);
  const here = openStoreSync(root);
  const there = await openStore(root);
  const adding = Array.from({ length: 50 }, () => there.addCounters({ add: { n: 1 }, durability: "buffered" }));
  for (let n = 0; n < 50; n += 1) here.addCounters({ add: { n: 1 }, durability: "buffered" });
  await Promise.all(adding);
  assert.deepEqual(here.getCounters(), { counters: { n: 100 } });
  assert.deepEqual(await there.getCounters(), { counters: { n: 100 } });
  await there.close();
});

both("times are given as numbers or dates", async (store) => {
  assert.equal((await store.create({ id: "s", createdAt: new Date(5) })).createdAt, 5);
  await store.append("s", { role: "user", parts: [] }, { at: new Date("2020-01-01") });
  assert.equal((await store.read("s", { last: 1 })).messages[0].createdAt, Date.UTC(2020));
  for (const at of [new Date(NaN), new Date(-1), "2020-01-01"]) {
    assert.ok(of("InvalidError")(await failed(() => store.create({ createdAt: at }))));
  }
});

test("a request has the contract's names, and callers' values as they are", () => {
  const { count, finite, list, maybe, named, optional, record, required, time, value, write } = shapes;
  const part = record({ fileName: required(value), byteCount: optional(count) });
  const request = record({
    threadId: optional(value),
    parts: required(list(part)),
    keepUntil: maybe(time),
    values: required(named(value)),
    default: maybe(value),
    costPerUnit: maybe(finite),
  });
  const given = {
    parts: [{ fileName: "a\n", byteCount: 2 ** 53 - 1 }, { fileName: { isOpen: [null, { aB: 1 }] }, byteCount: null }],
    keepUntil: new Date(7),
    values: { aB: "text", c: null },
    default: null,
    costPerUnit: -0.5,
  };
  assert.equal(
    write(request(given, "options")),
    '{"parts":[{"file_name":"a\\n","byte_count":9007199254740991},{"file_name":{"isOpen":[null,{"aB":1}]}}],' +
      '"keep_until":7,"values":{"aB":"text","c":null},"default":null,"cost_per_unit":-0.5}',
  );
  for (const [member, bad] of [["default", NaN], ["default", undefined], ["values", { a: [Infinity] }], ["keepUntil", 2 ** 53], ["keepUntil", null], ["parts", [{ file_name: 1 }]]]) {
    const act = () => request({ ...given, [member]: bad }, "options");
    if (bad === undefined) assert.ok(!("default" in JSON.parse(write(act()))));
    else assert.throws(act, of("InvalidError"), member);
  }
});

test("an answer has this language's names, and callers' values as they are", () => {
  const own = { tool_call: { is_open: [{ a_b: 1 }] } };
  const session = { id: "s", created_at: 5, trashed_at: null, metadata: own };
  const stored = { seq: 1, id: "m", parent: 0, created_at: 1, updated_at: 2, message: { role: "user", my_own: own } };
  const given = { role: "user", message: "x", tool_call: 1, parts: [] };
  assert.deepEqual(
    answer(JSON.stringify({ session, next_cursor: null, messages: [stored, given], queue_items: [{ due_at: 1, value: own, address: own }] })),
    {
      session: { id: "s", createdAt: 5, trashedAt: null, metadata: own },
      nextCursor: null,
      messages: [{ seq: 1, id: "m", parent: 0, createdAt: 1, updatedAt: 2, message: { role: "user", my_own: own } }, given],
      queueItems: [{ dueAt: 1, value: own, address: own }],
    },
  );
});
