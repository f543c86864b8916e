// Sessions of the OpenAI Agents SDK: beside the SDK's own session in memory, whose behaviour is the specification.
import assert from "node:assert/strict";
import test from "node:test";
import { isSessionHistoryRewriteAwareSession, isSessionHistoryTransactionAwareSession, MemorySession } from "@openai/agents-core";
import { openStore, openStoreSync } from "../dist/index.js";
import { SessileSession } from "../dist/adapters/openai-agents.js";
import { quickStart, sharedByProcesses, survivesKills, tested } from "./support/adapters.mjs";
import { scratch } from "./support/scratch.mjs";

const user = (content) => ({ role: "user", content });
const call = (callId, args) => ({ type: "function_call", callId, name: "look", arguments: args, status: "completed" });
const answer = (text) => ({
  type: "message", role: "assistant", status: "completed", content: [{ type: "output_text", text, providerData: { $part: 0, n: 1 } }],
});
const result = (callId) => ({ type: "function_call_result", callId, name: "look", status: "completed", output: { type: "text", text: "found" } });
const append = (operationId, ...items) => ({ operationId, transaction: { type: "append_items", items } });
const replace = (operationId, expectedSuffix, replacement) => ({ operationId, transaction: { type: "replace_suffix", expectedSuffix, replacement } });

/** What is done to a session, and what it answers to it. */
const SCRIPT = [
  ["getItems"],
  ["popItem"],
  ["clearSession"],
  ["addItems", []],
  ["addItems", [user("one"), answer("two")]],
  ["getItems", 1],
  ["getItems", 0],
  ["getItems", -1],
  ["getItems", 99],
  ["popItem"],
  ["addItems", [call("a", "{}"), result("a"), call("a", "again"), call("b", "{}")]],
  ["applyHistoryMutations", { mutations: [] }],
  ["applyHistoryMutations", { mutations: [{ type: "replace_function_call", callId: "a", replacement: call("a", "safe") }] }],
  ["applyHistoryMutations", { mutations: [{ type: "replace_function_call", callId: "none", replacement: call("none", "x") }] }],
  ["applyHistoryTransaction", append("op-1", user("three"))],
  ["applyHistoryTransaction", append("op-1", user("three"))],
  ["applyHistoryTransaction", append("op-1", user("other"))],
  ["applyHistoryTransaction", append(" ", user("x"))],
  ["applyHistoryTransaction", append("op-empty")],
  ["applyHistoryTransaction", replace("op-2", [user("three")], [user("3"), answer("4")])],
  ["applyHistoryTransaction", replace("op-2", [user("three")], [user("3"), answer("4")])],
  ["applyHistoryTransaction", replace("op-3", [user("not the end")], [])],
  ["applyHistoryTransaction", replace("op-3", [answer("4")], [])],
  // Members in another order are the same transaction.
  ["applyHistoryTransaction", append("op-4", { role: "user", content: "order" })],
  ["applyHistoryTransaction", append("op-4", { content: "order", role: "user" })],
  ["popItem"],
  ["applyHistoryTransaction", replace("op-5", Array(50).fill(user("x")), [])],
  ["clearSession"],
  ["applyHistoryTransaction", append("op-1", user("after"))],
  ["addItems", [{ role: "user", content: [{ type: "input_image", image: "data:image/png;base64,AA==" }, { type: "input_text", text: "🙂" }] }]],
  ["addItems", [{ role: "user", content: "lone \ud800 surrogate" }, { role: "user", content: "", providerData: { ["__proto__"]: 1, $bytes: "x" } }]],
];

const outcome = async (session, [name, ...args]) => {
  try {
    return { value: await session[name](...structuredClone(args)), items: await session.getItems() };
  } catch (error) {
    assert.ok(error instanceof Error);
    return { failed: true, items: await session.getItems() };
  }
};

test("openai-agents: every call does what the SDK's own session does", async (t) => {
  const store = openStoreSync(scratch(t));
  const ours = new SessileSession(store, { sessionId: "s" });
  const theirs = new MemorySession({ sessionId: "s" });
  assert.ok(isSessionHistoryTransactionAwareSession(ours) && isSessionHistoryRewriteAwareSession(ours));
  let failures = 0;
  for (const [index, step] of SCRIPT.entries()) {
    const expected = await outcome(theirs, step);
    failures += expected.failed ? 1 : 0;
    assert.deepEqual(await outcome(ours, step), expected, `step ${index}: ${step[0]}`);
    // Somebody who opens the session now sees the same.
    const fresh = new SessileSession(store, { sessionId: "s" });
    assert.deepEqual(await fresh.getItems(), expected.items, `step ${index} read again`);
  }
  assert.equal(failures, 4);
  t.diagnostic(`${SCRIPT.length} steps, ${failures} of them refused by both`);
  assert.equal(store.doctor().healthy, true);
  store.close();
});

test("openai-agents: a transaction counts once for all processes, and after an unknown outcome", async (t) => {
  const place = scratch(t);
  const [one, two] = await Promise.all([openStore(place), openStore(place)]);
  const [a, b] = [one, two].map((store) => new SessileSession(store, { sessionId: "s" }));
  await a.addItems([user("first")]);
  await b.getItems();
  const transaction = replace("op", [user("first")], [user("second")]);
  await Promise.all([a.applyHistoryTransaction(transaction), b.applyHistoryTransaction(transaction)]);
  assert.deepEqual(await a.getItems(), [user("second")]);
  assert.deepEqual(await b.getItems(), [user("second")]);
  // Each of many that take the newest gets another.
  await a.addItems([1, 2, 3, 4].map((number) => user(`${number}`)));
  const popped = await Promise.all([a.popItem(), b.popItem(), a.popItem(), b.popItem()]);
  assert.deepEqual(popped.map(({ content }) => content).sort(), ["1", "2", "3", "4"]);
  await Promise.all([one.close(), two.close()]);
});

test("openai-agents: what is said is in the parts of messages, and a compaction is one record", async (t) => {
  const store = openStoreSync(scratch(t));
  const session = new SessileSession(store, { sessionId: "s", scope: "/srv/app" });
  await session.addItems([user("hello"), answer("there"), call("a", "{}"), result("a")]);
  const [{ id, scope }] = store.sessions();
  assert.equal(scope, "/srv/app");
  const messages = [...store.messages(id)].map(({ message }) => [message.role, ...message.parts.map(({ text }) => text)]);
  assert.deepEqual(messages, [["user", "hello"], ["assistant", "there"], ["assistant"], ["tool", "found"]]);
  const { logBytes } = store.get(id);
  await session.replaceHistoryWithCompaction([{ type: "compaction", encrypted_content: "x" }, answer("there")]);
  assert.deepEqual(await session.getItems(), [{ type: "compaction", encrypted_content: "x" }, answer("there")]);
  assert.ok(store.get(id).logBytes > logBytes);
  assert.deepEqual(await new SessileSession(store, { sessionId: "s" }).getItems(), []);
  await assert.rejects(session.addItems([user(new Map())]), { kind: "invalid" });
  const bytes = { role: "user", content: [{ type: "input_image", image: new Uint8Array([0, 255]) }] };
  await session.addItems([bytes]);
  assert.deepEqual((await session.getItems()).at(-1), bytes);
  store.close();
});

const check = async (place, acknowledged) => {
  const store = await openStore(place);
  const items = await new SessileSession(store, { sessionId: "shared" }).getItems();
  const there = items.map(({ content }) => content);
  assert.equal(new Set(there).size, there.length, "something is there twice");
  for (const what of acknowledged) assert.ok(there.includes(what), what);
  assert.equal((await store.doctor()).healthy, true);
  await store.close();
};
survivesKills("openai-agents", check);
sharedByProcesses("openai-agents", check);
quickStart("openai-agents", "user Where is the Musée des Confluences?\nassistant It is in Lyon.\nuser How many people live there?\nassistant About 520,000.\n");
tested("openai-agents", "@openai/agents-core");
