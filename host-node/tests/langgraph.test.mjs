// The checkpointer for LangGraph: the suite that LangGraph publishes, and what it does not ask.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { join } from "node:path";
import test from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { emptyCheckpoint, ERROR, uuid6 } from "@langchain/langgraph-checkpoint";
import { openStore, openStoreSync } from "../dist/index.js";
import { compose, difference } from "../dist/adapters/deltas.js";
import { SessileSaver } from "../dist/adapters/langgraph.js";
import { quickStart, sharedByProcesses, survivesKills, tested } from "./support/adapters.mjs";
import { files, scratch } from "./support/scratch.mjs";

const TESTS_AT_LEAST = 726;
const meta = { source: "loop", step: 0, parents: {} };
const at = (thread_id, checkpoint_id) => ({ configurable: { thread_id, checkpoint_ns: "", ...(checkpoint_id && { checkpoint_id }) } });
const bytes = (place) => Object.values(files(join(place, "sessions"))).reduce((sum, text) => sum + text.length, 0);
let step = 0;

/** Puts a checkpoint whose channels have this version, or where they have not changed another. */
async function put(saver, config, values, version, changed = Object.keys(values), unchanged = 1) {
  const channel_versions = Object.fromEntries(Object.keys(values).map((name) => [name, changed.includes(name) ? version : unchanged]));
  const checkpoint = { ...emptyCheckpoint(), id: uuid6((step += 1)), channel_values: values, channel_versions };
  return saver.put(config, checkpoint, meta, Object.fromEntries(changed.map((name) => [name, version])));
}

const valuesOf = async (saver, config) => (await saver.getTuple(config)).checkpoint.channel_values;

test("langgraph: the published suite", async (t) => {
  const root = fileURLToPath(new URL("../", import.meta.url));
  const vitest = ["node_modules/vitest/vitest.mjs", "run", "--config", "tests/adapters/vitest.config.mjs"];
  const options = { cwd: root, maxBuffer: 1 << 28 };
  const { stdout } = await promisify(execFile)(process.execPath, vitest, options).catch((error) => error);
  const { numTotalTests, numPassedTests, numFailedTests, numPendingTests, testResults } = JSON.parse(stdout);
  const failed = testResults.flatMap((file) => file.assertionResults).filter(({ status }) => status === "failed");
  const said = `${numPassedTests} of ${numTotalTests} tests passed, ${numFailedTests} failed, ${numPendingTests} skipped`;
  t.diagnostic(`@langchain/langgraph-checkpoint-validation: ${said}`);
  assert.deepEqual(failed.map(({ fullName, failureMessages }) => [fullName, failureMessages]), []);
  assert.deepEqual([numPassedTests, numPendingTests, testResults.length], [numTotalTests, 0, 1]);
  assert.ok(numTotalTests >= TESTS_AT_LEAST, said);
});

test("langgraph: bytes grow with what changes, and not with the state", async (t) => {
  const place = scratch(t);
  const store = openStoreSync(place);
  const saver = new SessileSaver(store);
  const say = (number) => ({ role: "user", content: `${number} ${"x".repeat(980)}` });
  const document = Array.from({ length: 20_000 }, (_, number) => `line ${number}`).join("\n");
  const messages = [];
  let config = await put(saver, at("t"), { messages: [...messages], document }, 1);
  const first = bytes(place);
  let whole = 0;
  for (let number = 2; number <= 200; number += 1) {
    messages.push(say(number));
    config = await put(saver, config, { messages: [...messages], document }, number, ["messages"]);
    whole += JSON.stringify({ messages, document }).length;
  }
  const added = JSON.stringify(messages).length;
  const written = bytes(place) - first;
  t.diagnostic(`200 checkpoints: ${added} bytes of messages came, ${written} were written, ${whole} are the states`);
  assert.ok(written < 4 * added + 200 * 1000, `${written}`);

  // Forks of one thread: as long as the thread, each with one message of its own.
  const before = bytes(place);
  for (let number = 0; number < 10; number += 1) {
    const fork = await put(saver, config, { messages: [...messages, say(`fork ${number}`)], document }, 201, ["messages"]);
    assert.equal((await valuesOf(saver, fork)).messages.at(-1).content.slice(0, 6), "fork " + number);
  }
  const forked = bytes(place) - before;
  // A state that comes again: nothing of it is written.
  await put(saver, config, { messages: [...messages], document: `${document}\nend` }, 300);
  const changed = bytes(place);
  await put(saver, at("t"), { messages: [...messages], document: `${document}\nend` }, 400);
  const repeated = bytes(place) - changed;
  t.diagnostic(`10 forks: ${forked} bytes; a state of ${JSON.stringify({ messages, document }).length} bytes again: ${repeated}`);
  assert.ok(forked < 10 * 2500, `${forked}`);
  assert.ok(repeated < 1500, `${repeated}`);
  store.close();

  // Another process reads all of it from its chain.
  const fresh = openStoreSync(place);
  assert.deepEqual(await valuesOf(new SessileSaver(fresh), config), { messages, document });
  fresh.close();
});

test("langgraph: the same version on two branches is two values", async (t) => {
  const store = openStoreSync(scratch(t));
  const saver = new SessileSaver(store);
  const root = await put(saver, at("t"), { log: ["root"] }, 1);
  const one = await put(saver, root, { log: ["root", "one"] }, 2);
  const two = await put(saver, root, { log: ["root", "two"] }, 2);
  assert.deepEqual(await valuesOf(saver, one), { log: ["root", "one"] });
  assert.deepEqual(await valuesOf(saver, two), { log: ["root", "two"] });
  // What a copy of a checkpoint has is found though nothing of it is called new.
  const copied = await put(saver, root, { log: ["root", "two"] }, 2, [], 2);
  assert.deepEqual(await valuesOf(saver, copied), { log: ["root", "two"] });
  assert.deepEqual((await saver.getTuple(copied)).parentConfig, root);
  store.close();
});

test("langgraph: writes count once, and errors take each other's place", async (t) => {
  const store = openStoreSync(scratch(t));
  const saver = new SessileSaver(store);
  const config = await put(saver, at("t"), {}, 1);
  await saver.putWrites(config, [["a", 1], ["b", 2]], "task-2", "p2");
  await saver.putWrites(config, [["a", "again"]], "task-2", "p2");
  await saver.putWrites(config, [["a", 3]], "task-3", "p1");
  await saver.putWrites(config, [[ERROR, "first"]], "task-2", "p2");
  await saver.putWrites(config, [[ERROR, "second"]], "task-2", "p2");
  const { pendingWrites } = await saver.getTuple(config);
  assert.deepEqual(pendingWrites, [["task-3", "a", 3], ["task-2", ERROR, "second"], ["task-2", "a", 1], ["task-2", "b", 2]]);
  store.close();
});

test("langgraph: threads of any name, in scopes of their own, and deleted", async (t) => {
  const store = await openStore(scratch(t));
  const saver = new SessileSaver(store);
  const other = new SessileSaver(store, { scope: "tenant" });
  const names = ["a:b", "__proto__", "x".repeat(1000), "line\nbreak", "Ü 漢 🙂", "../../etc", "%3A"];
  for (const name of names) await put(saver, at(name), { __proto__: null, ["__proto__"]: name, plain: name }, 1);
  await put(other, at("a:b"), { plain: "tenant" }, 1);
  const listed = [];
  for await (const { config, checkpoint } of saver.list({})) listed.push([config.configurable.thread_id, checkpoint.channel_values.plain]);
  assert.deepEqual(listed.sort(), names.map((name) => [name, name]).sort());
  const read = await valuesOf(saver, at("a:b"));
  assert.deepEqual(Object.entries(read).sort(), [["__proto__", "a:b"], ["plain", "a:b"]]);
  assert.deepEqual(await valuesOf(other, at("a:b")), { plain: "tenant" });

  // Deleted and made again by somebody else, under the eyes of one that knew the old one.
  const config = await put(saver, at("again"), { log: ["old"], more: "kept" }, 1);
  const somebody = new SessileSaver(store);
  await somebody.deleteThread("again");
  assert.equal(await saver.getTuple(config), undefined);
  await put(somebody, at("again"), { log: ["new"] }, 1);
  assert.deepEqual(await valuesOf(saver, at("again")), { log: ["new"] });
  await put(saver, at("again"), { log: ["old"], more: "kept" }, 2);
  assert.deepEqual(await valuesOf(new SessileSaver(store), at("again")), { log: ["old"], more: "kept" });
  await saver.deleteThread("again");
  await saver.deleteThread("again");
  await assert.rejects(saver.put({}, emptyCheckpoint(), meta, {}), { kind: "invalid" });
  await assert.rejects(saver.put(at(7), emptyCheckpoint(), meta, {}), { kind: "invalid" });
  await store.close();
});

test("langgraph: a thread in the trash is not read, and not written behind its owner's back", async (t) => {
  const store = openStoreSync(scratch(t));
  const saver = new SessileSaver(store);
  const config = await put(saver, at("t"), { log: [1] }, 1);
  const [{ id }] = [...store.sessions()];
  store.trash(id);
  assert.equal(await saver.getTuple(config), undefined);
  await assert.rejects(put(saver, config, { log: [2] }, 2), { kind: "conflict" });
  store.restore(id);
  assert.deepEqual(await valuesOf(saver, config), { log: [1] });
  store.close();
});

test("langgraph: a text is what its differences make it", () => {
  let state = 7;
  const random = (below) => (state = (state * 48271) % 0x7fffffff) % below;
  for (let round = 0; round < 200; round += 1) {
    const texts = ["start 🙂 ".repeat(random(600))];
    for (let change = 0; change < 6; change += 1) {
      const text = texts[0];
      const [from, to] = [random(text.length + 1), random(text.length + 1)].sort((a, b) => a - b);
      texts.unshift(text.slice(0, from) + "ab🙂é"[random(4)].repeat(random(9)) + text.slice(random(2) ? from : to));
    }
    const deltas = texts.slice(0, -1).map((text, index) => difference(texts[index + 1], text));
    const sizes = texts.slice(0, -1).map((text) => text.length);
    assert.equal(compose(deltas, sizes, texts.at(-1)), texts[0]);
    for (const { text } of deltas.filter(({ text }) => text.length > 0)) assert.equal(JSON.parse(JSON.stringify(text)), text);
  }
});

const all = async (place) => {
  const store = await openStore(place);
  const saver = new SessileSaver(store);
  const tuples = [];
  for await (const tuple of saver.list(at("shared"))) tuples.push(tuple);
  const doctor = await store.doctor();
  await store.close();
  assert.equal(doctor.healthy, true);
  return tuples;
};
const lastOf = ({ checkpoint }) => checkpoint.channel_values.log.at(-1);

survivesKills("langgraph", async (place, acknowledged) => {
  const tuples = await all(place);
  for (const what of acknowledged) {
    const found = tuples.find((tuple) => lastOf(tuple) === what);
    assert.deepEqual(found?.pendingWrites, [["task", "log", what]], what);
  }
});

sharedByProcesses("langgraph", async (place, acknowledged) => {
  const tuples = await all(place);
  assert.equal(tuples.length, 24);
  assert.deepEqual(tuples.map(lastOf).sort(), acknowledged.sort());
});

quickStart("langgraph", "human hello\nai You said: hello\nhuman and again\nai You said: and again\n");
tested("langgraph", "@langchain/langgraph-checkpoint");
