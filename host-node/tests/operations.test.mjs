// The operations of a store: what they take and give, in the caller's thread and in a thread of its own.
import assert from "node:assert/strict";
import test from "node:test";
import { openStore, openStoreSync } from "../dist/index.js";
import { answer, KEPT, operations, shapes } from "../dist/internal.js";
import { both as bothKinds, failed, of } from "./support/both.mjs";
import { scratch } from "./support/scratch.mjs";

const say = (text) => ({ role: "user", parts: [{ type: "text", text }] });
const own = { my_key: { aB: [null, 1.5] } };

/** The members with which each operation was called. */
const used = new Map(Object.keys(operations).map((name) => [name, new Set()]));

/** As the other, and notes what is called. */
function both(name, act) {
  bothKinds(name, (store, t) => {
    const noting = Object.entries(store).map(([name, call]) => {
      const note = (...args) => {
        for (const member of Object.keys(args[0] ?? {})) used.get(name)?.add(member);
        return call(...args);
      };
      return [name, note];
    });
    return act(Object.fromEntries(noting), t);
  });
}

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

bothKinds("bad requests are invalid before anything is done, and say where", async (store) => {
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

both("sessions are titled, saved, shown, counted and found", async (store) => {
  await store.create({ id: "s", scope: "/w", metadata: own, createdAt: 5 });
  const { session } = await store.renameSession({ session: "s", title: " Mine " });
  assert.deepEqual(session, await store.get("s"));
  assert.deepEqual([session.title, session.titleManual, session.metadata, session.createdAt], ["Mine", true, own, 5]);
  assert.equal((await store.suggestTitle({ session: "s", title: "Other" })).session.title, "Mine");
  const messages = [say("one"), { ...say("two"), tool_call: own }];
  const saved = { kept: 0, hidden: 0, appended: 2, head: 2 };
  assert.deepEqual(await store.saveSession({ session: "s", messages, expectHead: 0, durability: "buffered" }), saved);
  const view = await store.readView({ session: "s", limit: 1 });
  assert.deepEqual(view, { messages: (await store.read("s", { last: 1 })).messages, before: 1 });
  assert.deepEqual(view.messages[0].message, messages[1]);
  assert.ok(of("ConflictError")(await failed(() => store.saveSession({ session: "s", messages: say("other") }))));
  assert.equal((await store.saveSession({ session: "s", messages: messages[0], expectHead: 2 })).hidden, 1);
  assert.deepEqual(await store.countSessions({ scope: "/w" }), { total: 1, trashed: 0, counters: { active: 1 } });
  assert.deepEqual(await store.directoryScope({ directory: "/a/./b/" }), { scope: "/a/b" });
  await store.fork("s", { id: "f" });
  assert.equal((await store.rootSession({ session: "f" })).session.id, "s");
  const salvaged = await store.salvageSession({ session: "f", id: "salvaged", generation: 1, quarantine: true });
  assert.deepEqual([salvaged.session.id, salvaged.unreadable, salvaged.quarantined], ["salvaged", [], true]);
});

both("usage is entered and summed up", async (store) => {
  await store.create({ id: "s", scope: "/w" });
  const entry = { session: "s", model: "m", absolute: true, source: "meter", usedAt: new Date("2026-01-31"), durability: "buffered" };
  await store.addUsage({ ...entry, amounts: { input: 2, cacheRead: 1.5, cacheWrite: 1, output: null }, op: "one" });
  const { total, groups } = await store.addUsage({ ...entry, amounts: { input: 5, cost: 0.25 } });
  assert.deepEqual(total.amounts, { input: 5, output: null, cacheRead: 1.5, cacheWrite: 1, cost: 0.25 });
  assert.deepEqual([total.entries, groups], [2, []]);
  assert.deepEqual((await store.addUsage({ session: "s", amounts: {} })).total.counters.cache_read, 1);
  assert.deepEqual((await store.getUsage({ scope: "/w", by: "model" })).groups.map(({ key }) => key), [null, "m"]);
  assert.equal((await store.getUsage({ session: "s", by: "day" })).groups[0].key, "2026-01-31");
  const error = await failed(() => store.addUsage({ ...entry, amounts: { input: NaN } }));
  assert.match(error.message, /`options.amounts.input` must be finite, not NaN/);
  assert.match((await failed(() => store.addUsage({ ...entry, amounts: { cache_read: 1 } }))).message, /no member "cache_read"/);
});

both("conversations have their sessions, routing and state, and workers their lives", async (store) => {
  const facts = { title: "N", agent: "a", provider: "p", model: "m", tags: ["t"], metadata: own };
  const { session, created } = await store.currentSession({ scope: "/w", new: facts, forceNew: false });
  const { title, agent, provider, model, tags, metadata } = session;
  assert.deepEqual([created, { title, agent, provider, model, tags, metadata }], [true, facts]);
  assert.equal((await store.currentSession({ scope: "/w" })).created, false);
  const other = await store.currentSession({ scope: "/w", forceNew: true });
  assert.deepEqual([other.created, other.session.title], [true, null]);
  const thread = { agentGroup: "g", chat: "c", thread: "t", mode: "per_thread", new: { title: "x" } };
  assert.deepEqual([(await store.resolveThread(thread)).created, (await store.resolveThread(thread)).created], [true, false]);
  const { id } = session;
  const routing = { default: own, destinations: { myChat: own } };
  assert.deepEqual(await store.setRouting({ session: id, ...routing }), routing);
  assert.deepEqual(await store.setRouting({ session: id, destinations: { myChat: null } }), { default: own, destinations: {} });
  assert.deepEqual(await store.setRouting({ session: id, default: null }), { default: null, destinations: {} });
  assert.deepEqual(await store.getRouting({ session: id }), { default: null, destinations: {} });
  await store.setState({ session: id, key: "aB", value: own, durability: "buffered" });
  await store.setState({ session: id, key: "a_b", value: "text" });
  assert.deepEqual(await store.getState({ session: id, key: "aB" }), { values: { aB: own } });
  assert.deepEqual(await store.getState({ session: id }), { values: { aB: own, a_b: "text" } });
  assert.match((await failed(() => store.setState({ session: id, key: "k", value: [NaN] }))).message, /`options.value` holds NaN/);
  const beat = await store.heartbeat({ session: id, worker: "w", status: "idle", tool: "t", timeoutMs: 5 });
  assert.equal(typeof beat.beatAt, "number");
  assert.deepEqual({ ...beat, beatAt: 0 }, { verdict: "alive", worker: "w", status: "idle", tool: "t", timeoutMs: 5, beatAt: 0, claims: [] });
  assert.deepEqual(await store.liveness({ session: id, startedAt: new Date(5) }), beat);
});

both("items are queued, claimed, acknowledged and swept", async (store) => {
  await store.create({ id: "s" });
  const item = { id: "i", kind: "chat", content: own, wakes: true, onStart: false, dueAt: 5, recurrence: "0 9 * * 1-5", timeZone: "Europe/Berlin", series: "row", address: own, sourceSession: "o" };
  const items = [{ ...item, dueAt: new Date(5) }, { id: "k", kind: "chat" }];
  assert.deepEqual(await store.enqueue({ session: "s", items, durability: "buffered" }), {
    items: [{ id: "i", seq: 2, repeated: false }, { id: "k", seq: 4, repeated: false }],
  });
  const { items: [first, second] } = await store.inbound({ session: "s", status: "pending" });
  const { createdAt, ...rest } = first;
  assert.equal(typeof createdAt, "number");
  assert.deepEqual(rest, { ...item, seq: 2, status: "pending", tries: 0, failures: 0, releasedAt: null });
  assert.deepEqual([second.content, second.address, second.dueAt], [null, null, null]);
  const batch = { session: "s", worker: "w", limit: 1, first: true, leaseMs: 60_000 };
  assert.deepEqual((await store.nextBatch(batch)).items.map(({ id, status }) => [id, status]), [["i", "processing"]]);
  assert.deepEqual((await store.liveness({ session: "s" })).claims, ["i"]);
  assert.deepEqual(await store.release({ session: "s", items: ["i"] }), { items: ["i"] });
  assert.equal((await store.nextBatch({ session: "s", worker: "w" })).items.length, 2);
  const acks = [{ id: "i", status: "failed", error: "no" }];
  assert.deepEqual(await store.ack({ session: "s", acks, durability: "buffered" }), { acked: ["i"], unchanged: [] });
  const { spawned, dueAt, ...swept } = await store.sweep({ session: "s", workerGone: true });
  assert.deepEqual([spawned.length, typeof dueAt], [1, "number"]);
  assert.deepEqual(swept, { completed: [], failed: ["i"], retried: ["k"], paused: [], wakes: false });
  const change = { content: { a_b: 1, cD: 2 }, recurrence: "0 0 * * *", timeZone: "UTC", dueAt: new Date(7) };
  assert.deepEqual(await store.changeSeries({ session: "s", target: "k", action: "update", ...change }), { items: ["k"] });
  const { id, inbound, outbound } = await store.findItem({ session: "s", seq: 4 });
  assert.deepEqual([id, inbound.content, inbound.timeZone, inbound.dueAt, outbound], ["k", change.content, "UTC", 7, null]);
  const bad = await failed(() => store.enqueue({ session: "s", items: [{ kind: "chat", content: { n: Infinity } }] }));
  assert.match(bad.message, /`options.items\[0\].content` holds Infinity/);
});

both("items go out, and questions are asked and answered", async (store) => {
  await store.create({ id: "s" });
  await store.enqueue({ session: "s", items: [{ id: "i", kind: "chat" }] });
  const item = { id: "o", kind: "chat", content: "text", inReplyTo: "i", dueAt: 5, address: own, destination: "chat" };
  const emitted = await store.emit({ session: "s", items: [item], durability: "buffered" });
  const [{ seq }] = emitted.items;
  assert.deepEqual(emitted, { items: [{ id: "o", seq, repeated: false }] });
  const [{ createdAt, delivery, ...rest }] = (await store.nextDeliveries({ session: "s", limit: 3 })).items;
  assert.deepEqual([typeof createdAt, rest], ["number", { ...item, seq }]);
  assert.deepEqual(delivery, { status: "pending", attempts: 0, nextAt: null, platformId: null, error: null, endedAt: null });
  const attempt = { session: "s", item: "o", status: "delivered", platformId: "p", error: null };
  const { item: delivered } = await store.recordDelivery(attempt);
  assert.deepEqual([delivered.delivery.status, delivered.delivery.platformId], ["delivered", "p"]);
  assert.deepEqual((await store.outbound({ session: "s" })).items, [delivered]);
  const question = { id: "q", content: own, expiresAt: Date.UTC(2100) };
  const { questions: [asked] } = await store.ask({ session: "s", ...question, expiresAt: new Date("2100-01-01") });
  assert.deepEqual(asked, { ...question, createdAt: asked.createdAt });
  assert.deepEqual(await store.questions({ session: "s" }), { questions: [asked] });
  await store.answerQuestion({ session: "s", id: "q", answer: own });
  const { content } = (await store.inbound({ session: "s" })).items.find(({ kind }) => kind === "system");
  assert.deepEqual([content.questionId, content.result], ["q", own]);
});

both("files are moved out of content and put back", async (store) => {
  await store.create({ id: "s" });
  const data = Buffer.from([0, 255, 10, 13]).toString("base64");
  const content = { ...own, attachments: [{ name: "a.png", media_type: "image/png", data }], text: "see" };
  const stored = await store.storeAttachments({ session: "s", content, direction: "in" });
  const [{ attachment, path, ...file }] = stored.content.attachments;
  assert.deepEqual([stored.count, stored.content.my_key, file.data], [1, own.my_key, undefined]);
  const { attachments: [listed] } = await store.listAttachments({ session: "s", direction: "in" });
  const { digest } = listed;
  assert.deepEqual(listed, { digest, name: "a.png", path, size: 4, mediaType: "image/png", direction: "in" });
  assert.equal(attachment.digest, digest);
  assert.deepEqual(await store.readAttachment({ session: "s", digest }), { data });
  assert.deepEqual(await store.restoreAttachments({ content: stored.content }), { content, count: 1 });
  await store.clearAttachments({ session: "s", direction: "in" });
  assert.ok(of("NotFoundError")(await failed(() => store.readAttachment({ session: "s", digest }))));
  assert.deepEqual(await store.collectAttachments(), { count: 0, bytes: 0, waiting: 1 });
});

both("runs begin, go on and end", async (store) => {
  await store.create({ id: "s", scope: "/w" });
  const { run, session, ...rest } = await store.beginRun({ session: "s", owner: "o", leaseMs: 60_000 });
  assert.deepEqual([session.status, rest], ["running", { isRunning: true, isCrashed: false, isStalled: false }]);
  assert.deepEqual([run.owner, run.leaseUntil - run.begunAt, run.endedAt, run.error], ["o", 60_000, null, null]);
  const error = await failed(() => store.beginRun({ session: "s", owner: "p", leaseMs: 60_000 }));
  assert.ok(of("ConflictError")(error), String(error));
  assert.equal((await store.renewRun({ session: "s", run: run.id, leaseMs: 90_000 })).run.id, run.id);
  assert.equal((await store.getRun({ session: "s", silenceMs: 60_000 })).session.id, "s");
  assert.equal((await store.listRuns({ scope: "/w", silenceMs: 60_000, mark: true })).runs.length, 1);
  const end = { session: "s", run: run.id, status: "error", error: "x", amounts: { output: 5 }, model: "m" };
  const ended = await store.endRun(end);
  assert.deepEqual([ended.session.status, ended.run.error, typeof ended.run.endedAt], ["error", "x", "number"]);
  assert.equal((await store.getUsage({ session: "s" })).total.amounts.output, 5);
  assert.match((await failed(() => store.endRun({ ...end, status: "running" }))).message, /`options.status` must be one of done, error/);
  const environment = { values: { MY_key: "1", CLAUDE_x: "2" }, blocked: ["claude"] };
  assert.deepEqual(await store.checkEnvironment(environment), { values: { MY_key: "1" }, refused: ["CLAUDE_x"] });
});

both("events of agents become messages, and changes are told", async (store) => {
  await store.create({ id: "s" });
  const { cursor } = await store.changes({ session: "s" });
  const event = { type: "tool_call", id: "1", call_id: "c", name: "t", input: own };
  assert.deepEqual(await store.ingest({ session: "s", events: [event, event] }), { appended: 1, repeated: 1, renamed: 0, head: 1 });
  const { message } = (await store.read("s", { last: 1 })).messages[0];
  assert.deepEqual(message.parts.find(({ type }) => type === "tool_call").arguments, own);
  const { changes: [change], more } = await store.changes({ session: "s", cursor, limit: 3 });
  assert.deepEqual([change, more], [{ sessionId: "s", kind: "appended", changedAt: change.changedAt, seq: 1, count: 1 }, false]);
  assert.match((await failed(() => store.ingest({ session: "s", events: [event, undefined] }))).message, /`options.events\[1\]`/);
});

both("a policy is kept, planned and applied", async (store) => {
  for (const id of ["a", "b"]) await store.create({ id, scope: "/w" });
  const policy = { maxAgeMs: null, clock: "active", maxSessions: 1, maxBytes: null, eachScope: true, graceMs: 5, onOpen: false };
  assert.deepEqual(await store.setRetention({ policy }), { policy });
  assert.deepEqual(await store.getRetention(), { policy });
  const { trash: [candidate], ...rest } = await store.planRetention({ scope: "/w", policy: { maxSessions: 1 } });
  assert.deepEqual(rest, { purge: [], exempt: [], bytesFreed: 0 });
  assert.deepEqual({ ...candidate, bytes: 0, usedAt: 0 }, { sessionId: "a", scope: "/w", reason: "count", bytes: 0, usedAt: 0 });
  assert.deepEqual((await store.applyRetention({ scope: "/w", policy })).trash, [candidate]);
  assert.equal((await store.get("a")).trashedAt > 0, true);
  const { purged, running } = await store.purgeScope({ scope: "/w" });
  assert.deepEqual([purged.sort(), running], [["a", "b"], []]);
  assert.deepEqual(await store.setRetention({ policy: null }), { policy: null });
});

both("a bad member of a request is named with its place", async (store) => {
  for (const [act, says] of [
    [() => store.nextBatch({ session: "s", worker: "w", limit: 2 ** 32 }), /`options.limit` must be a whole number from 0 to below 2\^32/],
    [() => store.beginRun({ session: "s", owner: "o", leaseMs: 2 ** 53 }), /`options.leaseMs` must be a whole number from 0 to below 2\^53/],
    [() => store.beginRun({ session: "s", owner: "o", leaseMs: 0.5 }), /`options.leaseMs` must be a whole number/],
    [() => store.liveness({ session: "s", startedAt: "now" }), /`options.startedAt` must be a number, not string/],
    [() => store.liveness({ session: "s", started_at: 5 }), /no member "started_at"; it has session, startedAt, signal/],
    [() => store.sweep({ session: "s", workerGone: 1 }), /`options.workerGone` must be a boolean/],
    [() => store.enqueue({ session: "s", items: {} }), /`options.items` must be an array, not an object/],
    [() => store.enqueue({ session: "s", items: [{}] }), /`options.items\[0\]` needs the member `kind`/],
    [() => store.ack({ session: "s", acks: [{ id: "i", status: "pending" }] }), /must be one of completed, failed/],
    [() => store.setRouting({ session: "s", destinations: [1] }), /`options.destinations` must be an object, not an array/],
    [() => store.saveSession({ session: "s", messages: "text" }), /`options.messages` must be a message or an array/],
    [() => store.checkEnvironment({ values: { A: 1 } }), /`options.values.A` must be a string, not number/],
    [() => store.ask({ session: "s", id: "q" }), /`options` needs the member `content`/],
    [() => store.planRetention({ policy: { maxAge: 1 } }), /`options.policy` has no member "maxAge"/],
  ]) {
    const error = await failed(act);
    assert.ok(of("InvalidError")(error), String(error));
    assert.match(error.message, says);
  }
});

both("times are given as numbers or dates", async (store) => {
  assert.equal((await store.create({ id: "s", createdAt: new Date(5) })).createdAt, 5);
  await store.append("s", { role: "user", parts: [] }, { at: new Date("2020-01-01") });
  assert.equal((await store.read("s", { last: 1 })).messages[0].createdAt, Date.UTC(2020));
  for (const at of [new Date(NaN), new Date(-1), "2020-01-01"]) {
    assert.ok(of("InvalidError")(await failed(() => store.create({ createdAt: at }))));
  }
});

both("messages are found by their words", async (store) => {
  const { id } = await store.create({ title: "Fix the build", scope: "work" });
  await store.append(id, [say("Why does the café close? 𝄞 全文検索"), say("It is open")]);
  assert.deepEqual((await store.search({ query: "close" })).hits.map(({ seq }) => seq), [1]);
  const updated = await store.updateSearch({ bytes: 1 << 20 });
  assert.deepEqual([updated.more, updated.documents], [false, 3]);
  const found = await store.search({
    query: "CAFE 検索",
    scope: "work",
    session: id,
    role: "user",
    since: new Date("2020-01-01"),
    until: Date.now() + 60_000,
    trashed: true,
    hidden: true,
    limit: 5,
  });
  assert.deepEqual(found.behind, { sessions: 0, bytes: 0 });
  const [hit, ...more] = found.hits;
  assert.deepEqual([hit.sessionId, hit.title, hit.seq, more], [id, "Fix the build", 1, []]);
  assert.equal(typeof hit.createdAt, "number");
  assert.deepEqual(hit.highlights.map(({ from, to }) => [...hit.snippet].slice(from, to).join("")), ["café", "検索"]);
  const one = await store.search({ query: "open*", limit: 1 });
  assert.equal(one.next, null);
  const error = await failed(() => store.search({ query: "open", cursor: "x" }));
  assert.ok(of("InvalidError")(error), String(error));
  assert.deepEqual((await store.search({ query: "open", tool: "read_file" })).hits, []);
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

test("members that hold what is the caller's are known by name", () => {
  const names = `add address answer arguments content counters data default destinations event events message messages
    metadata options policy_note snapshot value values`.split(/\s+/);
  const given = Object.fromEntries(names.map((name) => [name, own]));
  const { policy_note, ...rest } = given;
  assert.deepEqual(answer(JSON.stringify({ item_list: [given] })), { itemList: [{ ...rest, policyNote: policy_note }] });
  assert.deepEqual([...KEPT].sort(), names);
});

test("every operation was called here with each of its members", () => {
  for (const [name, { options }] of Object.entries(operations)) {
    assert.deepEqual(Object.keys(options).filter((member) => !used.get(name).has(member)), [], name);
  }
});
