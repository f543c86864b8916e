// Works on a store at random for a while: `node tests/worker.mjs STORE LOG NAME SECONDS SEED`.
//
// For tests with several processes, hosts and kills. What was acknowledged stands in LOG, one JSON line each, written
// after the acknowledgement. With an even SEED the store is in a thread of its own, with an odd one in this thread.
import { openSync, writeSync } from "node:fs";
import { openStore, openStoreSync, SessileError } from "../dist/index.js";

const [path, logPath, name, seconds, seed] = process.argv.slice(2);
const log = openSync(logPath, "a", 0o600);
const write = (entry) => writeSync(log, `${JSON.stringify(entry)}\n`);

/** A small generator of numbers (mulberry32), because runs must be told by their seed. */
let state = Number(seed) >>> 0;
function below(end) {
  state = (state + 0x6d2b79f5) >>> 0;
  let mixed = Math.imul(state ^ (state >>> 15), state | 1);
  mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
  return ((mixed ^ (mixed >>> 14)) >>> 0) % end;
}

const store = Number(seed) % 2 === 0 ? await openStore(path) : openStoreSync(path);
const own = `own-${name}`;
const shared = ["shared-0", "shared-1", "shared-2"];
let [calls, counter, ops] = [0, 0, 0];

/** Makes a call. An expected error is undefined, any other goes to the log. */
async function attempt(method, args, ...expected) {
  calls += 1;
  try {
    return { value: await store[method](...args) };
  } catch (error) {
    const kind = error instanceof SessileError ? error.kind : "unknown";
    if (!expected.includes(kind)) write({ error: kind, call: method, message: String(error?.stack ?? error) });
    return undefined;
  }
}

const text = () => `${name}-${seed}-${(counter += 1)}`;
const message = (text) => ({ role: below(2) === 0 ? "user" : "assistant", parts: [{ type: "text", text }] });
const durability = () => (below(4) === 0 ? "synced" : "buffered");

async function append(session, texts, options = {}) {
  const op = `${name}-${seed}-op-${(ops += 1)}`;
  const given = { durability: durability(), op, ...options };
  const appended = await attempt("append", [session, texts.map(message), given], "conflict");
  if (appended === undefined) return;
  const { seq, repeated } = appended.value;
  write({ session, op, seq, texts, repeated });
}

async function addText(session) {
  const page = await attempt("read", [session, { last: 1 }]);
  const [last] = page?.value.messages ?? [];
  if (last === undefined) return;
  const added = text();
  const change = { addText: { part: 0, text: added } };
  if (await attempt("updateMessage", [session, last.seq, change, { durability: durability() }])) write({ session, add: added });
}

async function revert(session) {
  const page = await attempt("read", [session, { last: 20 }]);
  const messages = page?.value.messages ?? [];
  if (messages.length === 0) return;
  const { seq } = messages[below(messages.length)];
  const done = await attempt("revert", [session, seq, { durability: durability(), inclusive: below(4) === 0 }]);
  if (done !== undefined && below(2) === 0) await attempt("unrevert", [session, { durability: durability() }], "conflict");
}

async function fork(parent) {
  const child = `fork-${name}-${counter}-${seed}`;
  // Mostly at an early message: the content of forks is read whole afterwards.
  const head = (await attempt("get", [parent]))?.value.head ?? 0;
  const early = 1 + below(64);
  const at = early < head && below(16) > 0 ? { at: early } : {};
  const forked = await attempt("fork", [parent, { id: child, ...at }]);
  if (forked === undefined) return;
  write({ fork: child, parent, count: forked.value.messageCount });
  await append(child, [text()]);
}

async function appendExpecting(session) {
  const read = await attempt("get", [session]);
  if (read !== undefined) await append(session, [text()], { expectHead: read.value.head });
}

/** What is done, each as often as its weight. */
const actions = [
  [8, () => append(own, [text()])],
  [3, () => append(own, Array.from({ length: 2 + below(4) }, text))],
  [4, () => addText(own)],
  [2, () => revert(own)],
  [1, () => attempt("touch", [own])],
  [1, () => attempt("update", [own, { title: text() }, { durability: durability() }])],
  [1, () => attempt("sync", [own])],
  [8, () => append(shared[below(3)], [text()])],
  [3, () => appendExpecting(shared[below(3)])],
  [2, () => attempt("read", [shared[below(3)], { last: 1 + below(50) }])],
  [1, () => attempt("list", [{ limit: 20 }])],
];
const weights = actions.reduce((sum, [weight]) => sum + weight, 0);

for (const id of [own, ...shared]) await attempt("create", [{ id, scope: "/shared" }], "conflict");
const end = Date.now() + Number(seconds) * 1000;
while (Date.now() < end) {
  // Rare ones, because a rewrite and a fork cost more than an append.
  if (below(100) === 0) await attempt("compact", [own], "conflict");
  else if (below(60) === 0) await fork(shared[below(3)]);
  else {
    let place = below(weights);
    const [, act] = actions.find(([weight]) => (place -= weight) < 0);
    await act();
  }
}
calls += 1;
await store.close();
write({ done: calls });
