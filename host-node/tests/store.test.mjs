// The calls of a store, in the caller's thread and in a thread of its own: the same for both.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import * as sessile from "../dist/index.js";
import { openSyncWith } from "../dist/internal.js";
import { both, failed, of } from "./support/both.mjs";
import { files, scratch } from "./support/scratch.mjs";

const { openStore, openStoreSync } = sessile;
const say = (text) => ({ role: "user", parts: [{ type: "text", text }] });
const texts = (messages) => messages.map(({ message }) => message.parts[0].text);

both("a session is what it was made with", async (store) => {
  const session = await store.create({ id: "s", scope: "/srv", title: "T", tags: ["a"], metadata: { k: [1, null] }, createdAt: 5 });
  const { updatedAt, accessedAt, activeAt, logBytes, ...rest } = session;
  for (const time of [updatedAt, accessedAt, activeAt]) assert.equal(typeof time, "number");
  assert.ok(logBytes > 0);
  assert.deepEqual(rest, {
    id: "s", scope: "/srv", title: "T", titleManual: false, agent: null, provider: null, model: null, status: "active",
    parent: null, forkPoint: null, tags: ["a"], metadata: { k: [1, null] }, createdAt: 5, trashedAt: null,
    messageCount: 0, head: 0, canUnrevert: false, generation: 1,
  });
  const changed = await store.update("s", { title: null, status: "done", metadata: '{"k":null,"n":1}' });
  assert.deepEqual([changed.title, changed.status, changed.metadata, changed.scope], [null, "done", { n: 1 }, "/srv"]);
  assert.match((await store.create()).id, /^[0-9A-Z]{26}$/);
});

test("messages that cannot be read are not left out without a word", async (t) => {
  const root = scratch(t);
  const first = openStoreSync(root);
  first.create({ id: "s" });
  for (const text of ["one", "two", "three"]) first.append("s", say(text));
  first.close();
  const log = Object.keys(files(root)).find((name) => name.startsWith("sessions"));
  writeFileSync(join(root, log), files(root)[log].replace('"two"', '"TWO"'), "latin1");
  const store = openStoreSync(root);
  assert.deepEqual(store.read("s", { from: 1, limit: 9 }).unreadable, [2]);
  assert.throws(() => [...store.messages("s")], of("DamagedError"));
  assert.deepEqual(texts([...store.messages("s", { unreadable: "skip" })]), ["one", "three"]);
  assert.throws(() => [...store.messages("s", { unreadable: "hide" })], of("InvalidError"));
  const thread = await openStore(root);
  await assert.rejects(async () => thread.messages("s").next(), of("DamagedError"));
  await thread.close();
});

both("messages are appended, changed, read, forked and reverted", async (store) => {
  await store.create({ id: "s" });
  const appended = await store.append("s", [say("one"), say("two")], { op: "first" });
  assert.deepEqual({ ...appended, id: "" }, { seq: 1, count: 2, id: "", head: 2, repeated: false, durability: "synced" });
  assert.equal((await store.append("s", [say("one"), say("two")], { op: "first" })).repeated, true);
  await store.append("s", say("three"), { durability: "buffered", expectHead: 2 });
  await store.sync("s");
  assert.equal(await store.updateMessage("s", 3, { addText: { part: 0, text: "é", at: 5 } }), 7);
  assert.equal(await store.updateMessage("s", appended.id, { patch: { status: "error" } }), 0);
  await store.updateMessage("s", 2, { addParts: [{ type: "code", text: "1", language: "js" }] });
  const page = await store.read("s", { last: 9 });
  assert.deepEqual(texts(page.messages), ["one", "two", "threeé"]);
  assert.equal(page.messages[0].message.status, "error");
  assert.equal(page.messages[1].message.parts.length, 2);
  assert.deepEqual([page.next, page.unreadable, page.damage], [null, [], []]);
  const fork = await store.fork("s", { at: 2, id: "f", title: "F" });
  assert.deepEqual([fork.parent, fork.forkPoint, fork.messageCount, fork.title], ["s", 2, 2, "F"]);
  assert.equal((await store.revert("s", 1)).head, 1);
  assert.equal((await store.unrevert("s")).head, 3);
  assert.equal((await store.revert("s", 1, { inclusive: true })).messageCount, 0);
  assert.equal((await store.switch("s", 2)).head, 2);
  await store.append("s", say("other"));
  assert.deepEqual((await store.branches("s")).map(({ tip, current }) => [tip, current]), [[4, true], [3, false]]);
  assert.equal((await store.detach("f")).generation, 2);
  assert.equal((await store.compact("s")).oldKept, false);
  assert.equal((await store.doctor()).healthy, true);
});

both("the trash, the list and the search", async (store) => {
  for (const id of ["a1", "a2", "b1"]) await store.create({ id, scope: id[0] });
  assert.deepEqual((await store.list({ scope: "a" })).sessions.map(({ id }) => id), ["a2", "a1"]);
  const page = await store.list({ limit: 2 });
  assert.deepEqual((await store.list({ cursor: page.next })).sessions.map(({ id }) => id), ["a1"]);
  assert.equal((await store.resolve("b")).id, "b1");
  assert.equal((await store.resolve("last", { scope: "a" })).id, "a2");
  assert.ok(of("ConflictError")(await failed(() => store.resolve("a"))));
  assert.ok((await store.trash("b1")).trashedAt > 0);
  assert.deepEqual((await store.list({ trashed: true })).sessions.map(({ id }) => id), ["b1"]);
  assert.equal((await store.restore("b1")).trashedAt, null);
  assert.ok(of("ConflictError")(await failed(() => store.purge("b1"))));
  await store.trash("b1");
  assert.equal(await store.purge("b1"), undefined);
  assert.ok(of("NotFoundError")(await failed(() => store.touch("b1"))));
});

both("all messages and all sessions are gone through page by page", async (store) => {
  await store.create({ id: "s" });
  await store.append("s", Array.from({ length: 25 }, (_, n) => say(String(n + 1))));
  for (let n = 0; n < 7; n += 1) await store.create({ id: `t${n}`, scope: "t" });
  const seen = [];
  for await (const { seq } of store.messages("s", { pageSize: 10, from: 3 })) seen.push(seq);
  assert.deepEqual(seen, Array.from({ length: 23 }, (_, n) => n + 3));
  const ids = [];
  for await (const { id } of store.sessions({ pageSize: 3, scope: "t" })) ids.push(id);
  assert.deepEqual(ids, ["t6", "t5", "t4", "t3", "t2", "t1", "t0"]);
  assert.ok(of("InvalidError")(await failed(async () => { for await (const one of store.messages("s", { size: 3 })) void one; })));
});

both("JSON text is kept byte for byte", async (store) => {
  await store.create({ id: "s" });
  const text = '{"role":"user","parts":[{"type":"opaque","data":[1.50,12345678901234567890,1e400,"\\u0061"]}],"z":1,"a":2}';
  await store.appendJson("s", `[${text}]`);
  const page = await store.readJson("s", { from: 1 });
  assert.ok(page.messages.includes(`"message":${text}}`), page.messages);
  assert.equal((await store.read("s", { last: 1 })).messages[0].message.z, 1);
});

both("text is kept as it is, whatever it begins with", async (store) => {
  const title = "\ufeff\u2028 \0 é 𝄞".replace("\0", "");
  assert.equal((await store.create({ id: "s", title, metadata: { __proto__: null, ["__proto__"]: 1 } })).title, title);
  await store.append("s", [say("\ufeffx"), say("\0\u2028𝄞")]);
  assert.deepEqual(texts((await store.read("s", { last: 2 })).messages), ["\ufeffx", "\0\u2028𝄞"]);
  const { metadata } = await store.get("s");
  assert.deepEqual(Object.keys(metadata), ["__proto__"]);
  assert.equal({}.__proto__, Object.prototype);
});

both("what is handed over or out is a copy", async (store) => {
  const given = { id: "s", tags: ["a"], metadata: { k: 1 } };
  const making = store.create(given);
  given.tags.push("b");
  given.metadata.k = 2;
  const session = await making;
  assert.deepEqual([session.tags, session.metadata], [["a"], { k: 1 }]);
  session.tags.push("c");
  assert.deepEqual((await store.get("s")).tags, ["a"]);
});

both("bad arguments are invalid before anything is done, and say where", async (store) => {
  await store.create({ id: "s" });
  const cyclic = {};
  cyclic.self = cyclic;
  let deep = [];
  for (let n = 0; n < 100_000; n += 1) deep = [deep];
  for (const [act, says] of [
    [() => store.get(), /`id` must be a string, not undefined/],
    [() => store.get("s", {}, 1), /at most 2 arguments, not 3/],
    [() => store.get("s", { sginal: 1 }), /no member "sginal"; it has signal/],
    [() => store.get("s", { signal: 1 }), /`options.signal` must be an AbortSignal/],
    [() => store.create({ constructor: 1 }), /no member "constructor"/],
    [() => store.create({ tags: ["a", 1] }), /`session.tags\[1\]` must be a string, not number/],
    [() => store.create({ createdAt: 10n }), /must be a number, not bigint/],
    [() => store.create({ createdAt: 2 ** 53 }), /below 2\^53/],
    [() => store.update("s", { scope: null }), /`patch.scope` must be a string, not null/],
    [() => store.update("s", { metadata: { n: NaN } }), /`patch.metadata` holds NaN/],
    [() => store.append("s", "hello"), /`messages` must be a message or an array/],
    [() => store.append("s", [say("a"), undefined]), /holds an array with undefined/],
    [() => store.append("s", { ...say("x"), n: [Infinity] }), /holds Infinity/],
    [() => store.append("s", { ...say("x"), n: 1n }), /cannot be written as JSON/],
    [() => store.append("s", { ...say("x"), cyclic }), /cannot be written as JSON/],
    [() => store.append("s", { ...say("x"), deep }), /cannot be written as JSON|128|levels|deep/],
    [() => store.append("s", () => 1), /`messages` must be/],
    [() => store.appendJson("s", say("x")), /`messages` must be a string/],
    [() => store.appendJson("s", "\udfff"), /half a surrogate pair/],
    [() => store.updateMessage("s", "", {}), /one of the members patch, addParts, addText/],
    [() => store.updateMessage("s", 1, { patch: {}, addParts: [] }), /no member "addParts"/],
    [() => store.updateMessage("s", true, { patch: {} }), /the number or the id of a message/],
    [() => store.read("s"), /`select` must be an object/],
    [() => store.read("s", { last: 5, from: 1 }), /no member "from"/],
    [() => store.read("s", { last: -1 }), /below 2\^32, not -1/],
    [() => store.revert("s", 0.5), /below 2\^53, not 0.5/],
    [() => store.revert("s", 1, { inclusive: 1 }), /must be a boolean/],
    [() => store.resolve("s", "scope"), /`options` must be an object, not string/],
  ]) {
    const error = await failed(act);
    assert.ok(of("InvalidError")(error), String(error));
    assert.match(error.message, says);
  }
  assert.equal((await store.get("s")).messageCount, 0);
});

both("errors have a class, a kind and a code", async (store) => {
  const error = await failed(() => store.get("nobody"));
  assert.ok(of("NotFoundError")(error));
  assert.deepEqual([error.name, error.kind, error.code], ["NotFoundError", "not-found", "ERR_SESSILE_NOT_FOUND"]);
  assert.match(error.stack, /^NotFoundError: no session/);
});

both("a closed store is closed, and closing again is fine", async (store) => {
  await store.create({ id: "s" });
  await store.close();
  await store.close();
  for (const act of [() => store.get("s"), () => store.append("s", say("x")), () => store.get(1)]) {
    assert.ok(of("ClosedError")(await failed(act)));
  }
});

both("a call whose signal is aborted before it does nothing", async (store) => {
  const reason = new Error("given up");
  assert.equal(await failed(() => store.create({ id: "s" }, { signal: AbortSignal.abort(reason) })), reason);
  assert.ok(of("NotFoundError")(await failed(() => store.get("s"))));
});

test("a store can be disposed of", async (t) => {
  const root = scratch(t);
  const store = openStoreSync(root);
  store[Symbol.dispose]();
  assert.throws(() => store.list(), of("ClosedError"));
  const other = await openStore(root);
  await other[Symbol.asyncDispose]();
  await assert.rejects(other.list(), of("ClosedError"));
});

test("read-only, nothing is written", async (t) => {
  const root = join(scratch(t), "store");
  assert.throws(() => openStoreSync(root, { readOnly: true }), of("NotFoundError"));
  await assert.rejects(openStore(root, { readOnly: true }), of("NotFoundError"));
  openStoreSync(root).create({ id: "s" });
  const before = files(root);
  const store = openStoreSync(root, { readOnly: true });
  assert.equal(store.get("s").id, "s");
  assert.throws(() => store.touch("s"), of("UnavailableError"));
  store.close();
  assert.deepEqual(files(root), before);
});

test("bad paths and options are refused when opening", async () => {
  for (const [path, options] of [["", {}], ["a\0b", {}], [undefined, {}], ["x", { readonly: true }], ["\ud800", {}]]) {
    assert.throws(() => openStoreSync(path, options), of("InvalidError"));
    await assert.rejects(openStore(path, options), of("InvalidError"));
  }
});

test("messages that cannot be read are an error, or left out where that is asked for", async (t) => {
  const root = scratch(t);
  const store = openStoreSync(root);
  store.create({ id: "s" });
  for (const text of ["one", "two", "three"]) store.append("s", say(text));
  const { readdirSync, readFileSync, writeFileSync } = await import("node:fs");
  const log = readdirSync(root, { recursive: true }).map((name) => join(root, name)).find((name) => name.endsWith(".jsonl") && name.includes("sessions"));
  writeFileSync(log, readFileSync(log, "utf8").replace('"two"', '"twX"'));
  for (const reader of [openStoreSync(root), await openStore(root)]) {
    const all = async (options) => {
      const seen = [];
      for await (const { seq } of reader.messages("s", options)) seen.push(seq);
      return seen;
    };
    await assert.rejects(all(), of("DamagedError"));
    assert.deepEqual(await all({ unreadable: "skip" }), [1, 3]);
    assert.deepEqual((await reader.read("s", { last: 9 })).unreadable, [2]);
    await reader.close();
  }
});

test("a trap costs an instance and nothing else", (t) => {
  let isTrapping = false;
  const machine = {
    nowMs: () => Date.now(),
    random() {
      if (isTrapping) throw new Error("a fault");
      return [1n, BigInt((this.count = (this.count ?? 0) + 1))];
    },
  };
  const store = openSyncWith(scratch(t), {}, { machine });
  store.create({ id: "s" });
  store.append("s", say("one"));
  for (let round = 0; round < 3; round += 1) {
    isTrapping = true;
    assert.throws(() => store.append("s", say("lost")), (error) => of("InternalError")(error) && /trapped.*a fault/.test(error.message));
    isTrapping = false;
    assert.equal(store.get("s").messageCount, round + 1);
    assert.equal(store.append("s", say("next")).seq, round + 2);
  }
  store.close();
});

test("a failed sync stays closed over a trap", (t) => {
  const root = scratch(t);
  let fault;
  const machine = {
    nowMs() {
      if (fault === "trap") throw new Error("a fault");
      return Date.now();
    },
    random: () => [1n, BigInt(Math.floor(Math.random() * 1e9))],
  };
  const syncData = () => {
    if (fault === "sync") throw Object.assign(new Error("no"), { code: "EIO" });
  };
  const store = openSyncWith(root, {}, { machine, seam: { syncData } });
  store.create({ id: "s" });
  fault = "sync";
  assert.throws(() => store.append("s", say("x")), of("ClosedError"));
  fault = "trap";
  assert.throws(() => store.append("s", say("x")), of("InternalError"));
  fault = undefined;
  assert.throws(() => store.append("s", say("x")), of("ClosedError"));
  assert.equal(store.get("s").id, "s");
  assert.equal(openStoreSync(root).append("s", say("y")).repeated, false);
});

test("opening installs nothing", async (t) => {
  const events = ["exit", "beforeExit", "SIGINT", "SIGTERM", "SIGHUP", "uncaughtException"];
  const count = () => events.map((event) => process.listenerCount(event));
  const before = count();
  openStoreSync(scratch(t)).close();
  await (await openStore(scratch(t))).close();
  assert.deepEqual(count(), before);
});
