// A store in a thread of its own: order, giving up, the death of the thread, and the life of the process.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import test from "node:test";
import { Worker } from "node:worker_threads";
import { InternalError, openStore, openStoreSync, UnavailableError, ClosedError } from "../dist/index.js";
import { openWith } from "../dist/internal.js";
import { scratch } from "./support/scratch.mjs";

const index = JSON.stringify(new URL("../dist/index.js", import.meta.url).href);
const say = (text) => ({ role: "user", parts: [{ type: "text", text }] });
const slow = "./support/slow-thread.mjs";
const buffered = { durability: "buffered" };

/** Opens a store whose threads are kept. */
async function watched(root, file = "../dist/thread.js", options = {}) {
  const threads = [];
  const start = (workerData) => {
    threads.push(new Worker(new URL(file, import.meta.url), { workerData, ...options }));
    return threads.at(-1);
  };
  return { store: await openWith(root, {}, start), threads };
}

function run(code, timeout = 20_000) {
  return spawnSync(process.execPath, ["--input-type=module", "--eval", code], { encoding: "utf8", timeout });
}

test("3,000 calls in flight keep their order", async (t) => {
  const store = await openStore(scratch(t));
  await store.create({ id: "s" });
  const done = [];
  const calls = Array.from({ length: 3000 }, (_, n) =>
    store.append("s", say(String(n)), buffered).then(({ seq }) => done.push([n, seq])),
  );
  await Promise.all(calls);
  assert.deepEqual(done, Array.from({ length: 3000 }, (_, n) => [n, n + 1]));
  const { messages } = await store.read("s", { last: 3000 });
  assert.deepEqual(messages.map(({ message }) => message.parts[0].text), Array.from({ length: 3000 }, (_, n) => String(n)));
  await store.close();
});

test("calls made before a close are carried out", async (t) => {
  const root = scratch(t);
  const store = await openStore(root);
  await store.create({ id: "s" });
  const calls = Array.from({ length: 1500 }, (_, n) => store.append("s", say(String(n)), buffered));
  const closing = store.close();
  await assert.rejects(store.get("s"), ClosedError);
  await closing;
  assert.equal((await Promise.all(calls)).length, 1500);
  assert.equal(openStoreSync(root).get("s").messageCount, 1500);
});

test("a sync does not block the event loop", async (t) => {
  const { store } = await watched(scratch(t), slow);
  await store.create({ id: "s" });
  let turns = 0;
  const timer = setInterval(() => (turns += 1), 5);
  await store.append("s", say("x"));
  clearInterval(timer);
  assert.ok(turns >= 5, `${turns} turns of the event loop in 100 ms`);
  await store.close();
});

test("of calls that are given up those that have not begun do nothing, and one that has begun may have happened", async (t) => {
  const { store } = await watched(scratch(t), slow);
  await store.create({ id: "s" });
  const begun = new AbortController();
  const waiting = new AbortController();
  const first = store.append("s", say("begun"), { op: "one", signal: begun.signal });
  const second = store.append("s", say("dropped"), { signal: waiting.signal });
  const third = store.append("s", say("last"));
  await new Promise((resolve) => setTimeout(resolve, 40));
  begun.abort();
  waiting.abort(new Error("given up"));
  await assert.rejects(first, (error) => error instanceof UnavailableError && /unknown.*same `op`/.test(error.message) && error.cause?.name === "AbortError");
  await assert.rejects(second, /^Error: given up$/);
  await third;
  const { messages } = await store.read("s", { last: 9 });
  assert.deepEqual(messages.map(({ message }) => message.parts[0].text), ["begun", "last"]);
  // The retry finds out.
  assert.equal((await store.append("s", say("begun"), { op: "one" })).repeated, true);
  await store.close();
});

test("calls that still wait outside of the thread are given up too", async (t) => {
  const store = await openStore(scratch(t));
  await store.create({ id: "s" });
  const controller = new AbortController();
  const calls = Array.from({ length: 2000 }, (_, n) =>
    store.append("s", say(String(n)), n < 1900 ? buffered : { ...buffered, signal: controller.signal }),
  );
  controller.abort();
  const results = await Promise.allSettled(calls);
  assert.equal(results.filter(({ status }) => status === "rejected").length, 100);
  assert.equal((await store.get("s")).messageCount, 1900);
  await store.close();
});

test("the death of the thread fails the calls in flight, and the next call starts another", async (t) => {
  const { store, threads } = await watched(scratch(t), slow);
  await store.create({ id: "s" });
  const first = store.append("s", say("one"), { op: "one" });
  const second = store.append("s", say("two"), { op: "two" });
  const settled = Promise.allSettled([first, second]);
  await new Promise((resolve) => setTimeout(resolve, 40));
  await threads[0].terminate();
  const [one, two] = await settled;
  assert.ok(one.reason instanceof UnavailableError && /unknown.*ended during it/.test(one.reason.message), one.reason);
  assert.ok(two.reason instanceof UnavailableError && /before the call began/.test(two.reason.message), two.reason);
  await store.append("s", say("one"), { op: "one" });
  assert.equal((await store.append("s", say("two"), { op: "two" })).seq, 2);
  assert.equal((await store.get("s")).messageCount, 2);
  assert.equal(threads.length, 2);
  await store.close();
});

test("a thread that runs out of memory is unavailable, one that throws is a fault", async (t) => {
  const { store, threads } = await watched(scratch(t), "../dist/thread.js", { resourceLimits: { maxOldGenerationSizeMb: 24 } });
  await store.create({ id: "s" });
  const big = `[{"role":"user","parts":[{"type":"text","text":"${"é".repeat(7 << 20)}"}]}]`;
  for (let n = 0; n < 2; n += 1) await store.appendJson("s", big.replace("é", String(n)), buffered).catch(() => undefined);
  const read = () => Array.from({ length: 20 }, () => store.readJson("s", { last: 1 }));
  const results = await Promise.allSettled(read());
  const failure = results.find(({ status }) => status === "rejected")?.reason;
  if (threads.length > 1 || failure !== undefined) assert.ok(failure instanceof UnavailableError, String(failure));
  threads.at(-1).emit("error", new Error("thrown"));
  // So many that the last cannot be answered before the thread ends.
  const lost = Promise.allSettled(read());
  await threads.at(-1).terminate();
  const { reason } = (await lost).at(-1);
  assert.ok(reason instanceof InternalError && /thrown/.test(reason.message), String(reason));
  assert.equal((await store.get("s")).id, "s");
  await store.close();
});

test("a failed sync stays failed when the thread dies", async (t) => {
  const root = scratch(t);
  openStoreSync(root).create({ id: "s" });
  const { store, threads } = await watched(root, "./support/failing-thread.mjs");
  await assert.rejects(store.append("s", say("x")), ClosedError);
  await threads[0].terminate();
  await assert.rejects(store.append("s", say("x"), buffered), ClosedError);
  assert.equal(threads.length, 2);
  assert.equal((await store.get("s")).id, "s");
  await store.close().catch(() => undefined);
  const again = await openStore(root);
  await again.append("s", say("y"));
  await again.close();
});

test("a store that is open and idle does not keep the process alive", (t) => {
  const path = JSON.stringify(scratch(t));
  const code = `import { openStore } from ${index};
    const store = await openStore(${path}); await store.create({ id: "s" }); console.log("done");`;
  const { stdout, status, signal } = run(code);
  assert.deepEqual([stdout, status, signal], ["done\n", 0, null]);
});

test("a call in flight keeps the process alive", (t) => {
  const root = scratch(t);
  const code = `import { openStore } from ${index};
    const store = await openStore(${JSON.stringify(root)});
    store.create({ id: "s" });
    for (let n = 0; n < 1500; n += 1) store.append("s", ${JSON.stringify(say("x"))}, { durability: "buffered" });`;
  assert.equal(run(code).status, 0);
  assert.equal(openStoreSync(root).get("s").messageCount, 1500);
});

test("a store that cannot be opened leaves no thread behind", (t) => {
  const code = `import { openStore } from ${index};
    await openStore(${JSON.stringify(scratch(t))}, { readOnly: true }).catch((error) => console.log(error.kind));
    setTimeout(() => console.log(process.getActiveResourcesInfo().filter((one) => /Worker|MessagePort/.test(one)).join()), 100);`;
  assert.equal(run(code).stdout, "not-found\n\n");
});
