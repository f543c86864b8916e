// The examples of hosts (examples/hosts): each as a program that has installed this package would run it.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import * as sessile from "../dist/index.js";
import { operations } from "../dist/internal.js";
import { failed, of } from "./support/both.mjs";
import { scratch } from "./support/scratch.mjs";

const here = fileURLToPath(new URL("..", import.meta.url));
const hosts = fileURLToPath(new URL("../../examples/hosts", import.meta.url));

/** Copies the examples next to an installation of this package, and loads one. */
async function example(t, name) {
  const place = scratch(t);
  mkdirSync(join(place, "node_modules"));
  symlinkSync(here, join(place, "node_modules", "sessile"), "junction");
  cpSync(hosts, place, { recursive: true });
  const module = await import(pathToFileURL(join(place, `${name}.mjs`)).href);
  return { ...module, place, directory: join(place, "store") };
}

/** Runs a program next to the examples that ends itself by SIGKILL. */
function killed(place, program) {
  const { signal, stderr } = spawnSync(
    process.execPath,
    ["--input-type=module", "--eval", `${program}\nprocess.kill(process.pid, "SIGKILL");\nawait new Promise(() => {});`],
    { cwd: place, encoding: "utf8", timeout: 60_000 },
  );
  assert.equal(signal, "SIGKILL", stderr);
}

const shown = {
  nanocoder: { title: "The missing script", messageCount: 4, last: "There is no build script." },
  nomadarch: {
    original: ["Why does it fail?", "A missing import."],
    fork: ["Why does it fail?", "A missing script."],
    title: "Fix the build (fork)",
  },
  octocode: { isSame: true, stats: { toolCalls: 20, promptCalls: 0, errors: 2, rateLimits: 0 } },
  nanoclaw: {
    wake: true,
    asked: [2, '{"text":"Why does it fail?"}'],
    reply: 5,
    sent: [["p-1", "A missing import."]],
    completed: ["m-1"],
    delivery: ["delivered", "platform-9"],
  },
  "agent-orchestrator": {
    second: "Session start already in progress",
    status: "interrupted",
    costUsd: 0.25,
    messages: [
      ["user", "Why does it fail?"],
      ["tool-call", "npm test"],
    ],
  },
};

for (const [name, result] of Object.entries(shown)) {
  test(`the example of ${name} gives what it shows`, async (t) => {
    const { main, directory } = await example(t, name);
    assert.deepEqual(await main(directory), result);
  });
}

test("every example has a result here", () => {
  const names = readdirSync(hosts).map((file) => file.replace(/\.mjs$/, ""));
  assert.deepEqual(names.sort(), Object.keys(shown).sort());
});

test("the page of hosts names calls that there are, and every operation", (t) => {
  const page = readFileSync(new URL("../../docs/hosts.md", import.meta.url), "utf8");
  const calls = new Set([...Object.keys(sessile), ...Object.keys(sessile.openStoreSync(join(scratch(t), "store")))]);
  const cells = [...page.matchAll(/^\|[^|]*\|([^|]*)\|/gm)].map(([, cell]) => cell).join(" ");
  // Members of what is taken and given stand there too.
  const members = `accessedAt attachment canUnrevert content dueAt id metadata name onStart parent path provider seq
    session silent sourceSession status stuck wakes`.split(/\s+/);
  const named = new Set([...cells.matchAll(/`([a-zA-Z]+)[`(]/g)].map(([, name]) => name));
  for (const name of members) assert.ok(named.delete(name), name);
  assert.deepEqual([...named].filter((name) => !calls.has(name)), []);
  assert.deepEqual(Object.keys(operations).filter((name) => !named.has(name)), []);
});

const user = (content) => ({ role: "user", content });
const started = { title: "Auto", provider: "p", model: "m", workingDirectory: "/w" };

test("nanocoder: a name is trimmed and checked, and no autosave overwrites it", async (t) => {
  const { SessionManager, directory } = await example(t, "nanocoder");
  const manager = new SessionManager(directory);
  const session = await manager.createSession({ ...started, messages: [user("one")] });
  for (const bad of ["", "   ", "x".repeat(101)]) {
    assert.ok(of("InvalidError")(await failed(() => manager.renameSession(session.id, bad))), bad);
  }
  assert.equal(await manager.renameSession("2f1b0000-0000-4000-8000-000000000000", "x"), null);
  const renamed = await manager.renameSession(session.id, `  ${"x".repeat(100)} `);
  assert.deepEqual([renamed.title, renamed.titleManuallySet], ["x".repeat(100), true]);
  session.messages.push(user("two"));
  await manager.saveSession({ ...session, title: "Auto 2" });
  const read = await manager.readSession(session.id);
  assert.deepEqual([read.title, read.messageCount, read.titleManuallySet], [renamed.title, 2, true]);
  await manager.close();
});

test("nanocoder: every field of a message comes back", async (t) => {
  const { SessionManager, directory } = await example(t, "nanocoder");
  const manager = new SessionManager(directory);
  const image = { data: "aGVsbG8=", mediaType: "image/png", source: "clipboard" };
  const call = { id: "c", function: { name: "read_file", arguments: { path: "a", ["__proto__x"]: [1.5, null] } } };
  const messages = [
    { role: "user", content: "look", images: [image] },
    { role: "assistant", content: "", reasoning: "hm", tool_calls: [call] },
    { role: "tool", content: "{}", tool_call_id: "c", name: "read_file", structuredContent: { a_b: 1 } },
    { role: "system", content: "note" },
  ];
  const { id } = await manager.createSession({ ...started, messages });
  assert.deepEqual((await manager.readSession(id)).messages, messages);
  await manager.close();
});

test("nanocoder: two managers on a directory list what both have made", async (t) => {
  const { SessionManager, directory } = await example(t, "nanocoder");
  const managers = [new SessionManager(directory), new SessionManager(directory)];
  const making = Array.from({ length: 10 }, () => managers.map((manager) => manager.createSession(started)));
  await Promise.all(making.flat());
  for (const manager of managers) assert.equal((await manager.listSessions()).length, 20);
  for (const manager of managers) await manager.close();
});

test("nanocoder: neither a load nor an old copy takes back what was saved", async (t) => {
  const { SessionManager, directory } = await example(t, "nanocoder");
  const manager = new SessionManager(directory);
  const other = new SessionManager(directory);
  const session = await manager.createSession({ ...started, messages: [user("0")] });
  const old = await other.readSession(session.id);
  for (let n = 1; n <= 10; n += 1) {
    session.messages.push(user(String(n)));
    await Promise.all([manager.saveSession(session), other.loadSession(session.id)]);
  }
  assert.ok(of("ConflictError")(await failed(() => other.saveSession(old))));
  assert.equal((await other.readSession(session.id)).messageCount, 11);
  // Who has seen the newest state may take messages back.
  const seen = await other.readSession(session.id);
  await other.saveSession({ ...seen, messages: seen.messages.slice(0, 3) });
  assert.equal((await manager.readSession(session.id)).messageCount, 3);
  await manager.deleteSession(session.id);
  await manager.deleteSession("2f1b0000-0000-4000-8000-000000000000");
  assert.ok(of("ConflictError")(await failed(() => manager.saveSession(session))));
  assert.deepEqual([await other.loadSession(session.id), await other.listSessions()], [null, []]);
  await manager.close();
  await other.close();
});

test("nanocoder: sessions are resolved and limited as there", async (t) => {
  const { SessionManager, directory } = await example(t, "nanocoder");
  const manager = new SessionManager(directory, { maxSessions: 3, maxMessages: 2 });
  assert.deepEqual(await manager.resolveSession(undefined, { all: true }), { kind: "empty" });
  const ids = [];
  for (const directory of ["/a/", "/a", "/b", "/a/./"]) {
    ids.push((await manager.createSession({ ...started, workingDirectory: directory })).id);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const resolved = async (...args) => (await manager.resolveSession(...args)).session?.id;
  assert.deepEqual((await manager.listSessions()).map(({ id }) => id).sort(), ids.slice(1).sort());
  assert.equal(await resolved("LAST", { workingDirectory: "/a" }), ids[3]);
  assert.equal(await resolved("2", { workingDirectory: "/a" }), ids[1]);
  assert.equal(await resolved("3", { all: true }), ids[1]);
  assert.equal(await resolved(ids[2], { workingDirectory: "/a" }), ids[2]);
  assert.deepEqual(await manager.resolveSession("9"), { kind: "not-found" });
  await manager.loadSession(ids[1]);
  assert.equal(await resolved(undefined, { all: true }), ids[1]);
  const call = { id: "c", function: { name: "t", arguments: {} } };
  const session = await manager.readSession(ids[1]);
  session.messages = [user("0"), { role: "assistant", content: "", tool_calls: [call] }, { role: "tool", content: "r", tool_call_id: "c" }, user("1")];
  await manager.saveSession(session);
  assert.deepEqual(await manager.messagesForModel(ids[1]), session.messages.slice(1));
  await manager.close();
});

test("NomadArch: a fork and its original never share a fate, and a revert is undone", async (t) => {
  const { NativeSessionManager, directory } = await example(t, "nomadarch");
  const manager = await NativeSessionManager.open(directory);
  const { id } = await manager.createSession("w");
  const texts = async (session) => (await manager.getSessionMessages("w", session)).map(({ content }) => content);
  const ids = [];
  for (const content of ["1", "2", "3"]) ids.push((await manager.addMessage("w", id, { role: "user", content })).id);
  const fork = await manager.forkSession("w", id);
  const again = await manager.forkSession("w", fork.id, ids[0]);
  assert.deepEqual([fork.parentId, again.parentId, again.title], [id, id, "New Session (fork) (fork)"]);
  assert.deepEqual(await texts(again.id), ["1"]);
  await manager.revert("w", fork.id);
  assert.deepEqual([await texts(fork.id), await texts(id)], [["1", "2"], ["1", "2", "3"]]);
  const [inherited] = await manager.getSessionMessages("w", fork.id);
  assert.equal((await manager.updateMessage("w", inherited.id, { content: "changed", status: "error" })).content, "changed");
  assert.deepEqual([await texts(fork.id), await texts(id)], [["changed", "2"], ["1", "2", "3"]]);
  await manager.revert("w", id, ids[1], { inclusive: true });
  assert.deepEqual(await texts(id), ["1"]);
  await manager.unrevert("w", id);
  await manager.revert("w", id, ids[1]);
  assert.deepEqual(await texts(id), ["1", "2"]);
  assert.ok(of("NotFoundError")(await failed(() => manager.revert("w", id, `${id}/nothing`))));
  assert.equal(await manager.deleteSession("w", id), true);
  assert.deepEqual([await texts(id), await texts(fork.id)], [[], ["changed", "2"]]);
  await assert.rejects(manager.forkSession("w", id), { message: `Session not found: ${id}` });
  await manager.close();
});

test("NomadArch: nothing that is not a session's own can be reached or falsified", async (t) => {
  const { NativeSessionManager, directory, place } = await example(t, "nomadarch");
  const managers = [await NativeSessionManager.open(directory), await NativeSessionManager.open(directory)];
  const [manager, other] = managers;
  const made = await Promise.all(managers.map((each) => each.createSession("../x", { title: "T" })));
  assert.equal(await other.getActiveSessionCount("../x"), 2);
  assert.ok(!existsSync(join(place, "x")));
  const [{ id, createdAt }] = made;
  for (const name of ["__proto__", "constructor", id.slice(1)]) assert.equal(await manager.getSession("../x", name), null);
  assert.equal(await manager.getSession("w", id), null);
  await manager.addMessage("../x", id, { role: "user", content: "kept" });
  const updated = await other.updateSession("../x", id, { title: "U", createdAt: 0, messageIds: [], model: { providerId: "p", modelId: "m" } });
  assert.deepEqual([updated.title, updated.createdAt, updated.model], ["U", createdAt, { providerId: "p", modelId: "m" }]);
  const [listed] = await manager.listSessions("../x");
  listed.title = "changed by its caller";
  const session = await manager.getSession("../x", id);
  assert.deepEqual([session.title, session.messageIds.length], ["U", 1]);
  assert.deepEqual([await manager.updateSession("../x", "nobody", {}), await manager.deleteSession("../x", "nobody")], [null, false]);
  assert.deepEqual([await manager.updateMessage("../x", `${id}/9`, { content: "x" }), await manager.getSessionMessages("../x", "nobody")], [null, []]);
  await assert.rejects(manager.addMessage("../x", "nobody", { role: "user", content: "x" }), /Session not found: nobody/);
  for (const each of managers) await each.close();
});

test("octocode: two instances count exactly, and what they count outlives them", async (t) => {
  const { sessionStorage, directory, place } = await example(t, "octocode");
  const instances = [sessionStorage(directory), sessionStorage(directory)];
  assert.deepEqual([instances[0].getSessionId(), instances[0].readSession()], [null, null]);
  assert.deepEqual(instances[0].incrementErrors(), { success: false, session: null });
  const [{ sessionId }, second] = instances.map((instance) => instance.getOrCreateSession());
  assert.equal(second.sessionId, sessionId);
  for (let n = 0; n < 10; n += 1) for (const instance of instances) instance.incrementToolCalls();
  killed(
    place,
    `import { sessionStorage } from "./octocode.mjs";
    const storage = sessionStorage("store");
    storage.getOrCreateSession();
    for (let n = 0; n < 10; n += 1) storage.updateSessionStats({ toolCalls: 1, rateLimits: -0.5 });`,
  );
  assert.deepEqual(instances[1].readSession().stats, { toolCalls: 30, promptCalls: 0, errors: 0, rateLimits: -5 });
  for (const instance of instances) instance.close();
});

test("octocode: totals are not spoilt, and sessions are reset, replaced and deleted", async (t) => {
  const { sessionStorage, directory } = await example(t, "octocode");
  const storage = sessionStorage(directory);
  const { sessionId, lastActiveAt } = storage.getOrCreateSession();
  storage.incrementPromptCalls(2);
  for (const bad of [NaN, Infinity]) {
    assert.ok(of("InvalidError")(await failed(() => storage.updateSessionStats({ toolCalls: 1, errors: bad }))));
  }
  const read = storage.readSession();
  read.stats.promptCalls = 99;
  read.sessionId = "changed by its caller";
  await new Promise((resolve) => setTimeout(resolve, 5));
  const { session } = storage.updateSessionStats({});
  assert.deepEqual([session.sessionId, session.stats.promptCalls, session.stats.toolCalls], [sessionId, 2, 0]);
  assert.ok(session.lastActiveAt > lastActiveAt);
  storage.flushSession();
  const reset = storage.resetSessionStats().session;
  assert.deepEqual([reset.sessionId, Object.values(reset.stats)], [sessionId, [0, 0, 0, 0]]);
  const fresh = storage.getOrCreateSession({ forceNew: true }).sessionId;
  assert.notEqual(fresh, sessionId);
  assert.deepEqual([storage.deleteSession(), storage.deleteSession(), storage.getSessionId()], [true, false, null]);
  assert.notEqual(storage.getOrCreateSession().sessionId, fresh);
  storage.close();
});

/** The host with a session, and what opens runners for it. */
async function claw(t, mode = "shared") {
  const { openHost, openRunner, directory, place } = await example(t, "nanoclaw");
  const host = openHost(directory);
  t.after(() => host.close());
  const { id } = host.resolveSession("g", "chat", null, mode).session;
  const runner = (name = "r") => {
    const opened = openRunner(directory, id, name);
    t.after(() => opened.close());
    return opened;
  };
  return { host, runner, id, directory, place, openRunner };
}

const from = { channelType: "mail", platformId: "p", threadId: null };

test("nanoclaw: a conversation has one session, whoever resolves it", async (t) => {
  const { openHost, directory } = await example(t, "nanoclaw");
  const [host, other] = [openHost(directory), openHost(directory)];
  const id = (from, ...key) => from.resolveSession(...key).session.id;
  const shared = host.resolveSession("g", "chat", "thread", "shared");
  assert.deepEqual([shared.created, shared.session.thread_id, shared.session.container_status], [true, null, "stopped"]);
  assert.equal(other.resolveSession("g", "chat", "other thread", "shared").created, false);
  assert.equal(id(other, "g", "chat", null, "per-thread"), shared.session.id);
  const thread = id(host, "g", "chat", "thread", "per-thread");
  assert.equal(id(other, "g", "chat", "thread", "per-thread"), thread);
  const ids = new Set([shared.session.id, thread, id(host, "h", "chat", "thread", "per-thread"), id(host, "g", "x", null, "agent-shared")]);
  assert.equal(id(other, "g", "y", "z", "agent-shared"), id(host, "g", null, null, "agent-shared"));
  for (let n = 0; n < 2; n += 1) ids.add(id(host, "g", null, null, "shared"));
  assert.equal(ids.size, 6);
  host.closeSession(thread);
  assert.equal(host.getActiveSessions().length, 5);
  assert.equal(host.resolveSession("g", "chat", "thread", "per-thread").created, true);
  host.close();
  other.close();
});

test("nanoclaw: a message goes in, is claimed, answered and delivered, with its files", async (t) => {
  const { host, runner, id, place } = await claw(t);
  const data = Buffer.from("bytes").toString("base64");
  const attachments = [{ name: "../../evil", data, type: "image" }, { name: "a.txt" }];
  const receipt = host.writeSessionMessage(id, { id: "../../../m", kind: "chat", content: JSON.stringify({ text: "t", attachments }), ...from });
  assert.deepEqual(receipt, { id: "../../../m", seq: 2, repeated: false });
  host.writeSessionMessage(id, { id: "quiet", kind: "chat", content: "no JSON", trigger: 0, ...from });
  assert.equal(host.sweepSession(id).wake, true);
  const worker = runner();
  const [message, quiet] = worker.getPendingMessages();
  assert.deepEqual([message.seq, quiet.content, quiet.platform_id], [2, "no JSON", "p"]);
  const [file, none] = JSON.parse(message.content).attachments;
  assert.deepEqual([none, file.data], [{ name: "a.txt" }, undefined]);
  assert.match(file.name, /^attachment-\w+\.jpg$/);
  assert.ok(existsSync(join(place, "store", file.path)));
  assert.deepEqual(readdirSync(place).filter((name) => /evil|^m$/.test(name)), []);
  assert.deepEqual(worker.getPendingMessages(), []);
  const out = worker.writeMessageOut({ id: "o", in_reply_to: message.id, content: JSON.stringify({ text: "a", attachments: [{ name: "r.txt", data }] }) });
  assert.equal(out.seq % 2, 1);
  worker.markCompleted([message.id, quiet.id]);
  const sent = [];
  const deliver = (address, kind, content, files) => sent.push([address.platform_id, JSON.parse(content).text, files[0].filename, String(files[0].data)]);
  host.deliverSessionMessages(id, (...args) => `platform-${deliver(...args)}`);
  host.deliverSessionMessages(id, deliver);
  assert.deepEqual(sent, [["p", "a", "r.txt", "bytes"]]);
  assert.deepEqual([worker.getMessageIdBySeq(out.seq), host.getDelivery(id, "o").status], ["platform-1", "delivered"]);
  assert.deepEqual(host.sweepSession(id).completed, ["../../../m", "quiet"]);
});

test("nanoclaw: what comes again is there once, and a reused id loses nothing", async (t) => {
  const { host, runner, id } = await claw(t);
  const message = { id: "m", kind: "chat", content: "one" };
  host.writeSessionMessage(id, message);
  assert.equal(host.writeSessionMessage(id, message).repeated, true);
  assert.notEqual(host.writeSessionMessage(id, { ...message, content: "two" }).id, "m");
  host.writeSessionMessage(id, { ...message, id: "late", processAfter: new Date(Date.now() + 60_000).toISOString() });
  host.writeSessionMessage(id, { ...message, id: "past", processAfter: new Date(Date.now() - 5000).toISOString() });
  assert.deepEqual(runner().getPendingMessages().map(({ content }) => content), ["one", "two", "one"]);
});

test("nanoclaw: a runner that was killed leaves its claims to the next, and a failure stays one", async (t) => {
  const { host, runner, id, place } = await claw(t);
  host.writeSessionMessage(id, { id: "m", kind: "chat", content: "text" });
  host.writeSessionMessage(id, { id: "wake", kind: "chat", content: "text", onWake: 1 });
  killed(
    place,
    `import { openRunner } from "./nanoclaw.mjs";
    const runner = openRunner("store", ${JSON.stringify(id)}, "r");
    runner.touchHeartbeat("Bash", 600_000);
    runner.setContinuation("Local", { turn: 7 });
    if (runner.getPendingMessages().length !== 2) throw new Error("not claimed");`,
  );
  assert.equal(host.getSession(id).container_status, "running");
  assert.deepEqual([host.sweepSession(id).wake, host.sweepSession(id).kill], [false, false]);
  assert.deepEqual(runner("another").getPendingMessages(), []);
  const next = runner();
  assert.deepEqual(next.getContinuation("LOCAL"), { turn: 7 });
  assert.deepEqual(next.getPendingMessages().map(({ id }) => id), ["m", "wake"]);
  next.releaseMessages(["wake"]);
  next.markFailed(["m"], "no");
  assert.deepEqual(next.markCompleted(["m"]).unchanged, ["m"]);
  const swept = host.sweepSession(id, { containerGone: true });
  assert.deepEqual([swept.failed, swept.completed, swept.retried], [["m"], [], []]);
  next.stop();
  assert.equal(host.getSession(id).container_status, "stopped");
});

test("nanoclaw: what cannot be sent is refused or tried again, and stands in nobody's way", async (t) => {
  const { host, runner, id } = await claw(t);
  const worker = runner();
  worker.writeMessageOut({ id: "nobody", content: "a" });
  worker.writeMessageOut({ id: "named", content: "b", destination: "team" });
  worker.writeMessageOut({ id: "own", content: "c", channel_type: "mail", platform_id: "q", thread_id: null });
  worker.writeMessageOut({ id: "inner", content: "d", kind: "system" });
  host.writeSessionRouting(id, null, { team: { channel_type: "mail", platform_id: "t" } });
  host.deliverSessionMessages(id, ({ platform_id: to }) => {
    if (to === "t") throw new Error("unreachable");
  });
  const status = (item) => [host.getDelivery(id, item).status, host.getDelivery(id, item).attempts];
  assert.deepEqual(["nobody", "named", "own", "inner"].map(status), [["refused", 1], ["pending", 1], ["delivered", 1], ["pending", 0]]);
  const delay = host.getDelivery(id, "named").nextAt - Date.now();
  assert.ok(delay > 0 && delay <= 5000, String(delay));
  host.deliverSessionMessages(id, () => assert.fail("before its time"));
});

test("nanoclaw: tasks recur once, and are paused, changed and cancelled", async (t) => {
  const { host, runner, id } = await claw(t);
  const task = { id: "t", kind: "task", content: '{"prompt":"p","script":"s"}', recurrence: "0 9 * * *", timeZone: "Europe/Berlin" };
  host.writeSessionMessage(id, task);
  assert.ok(of("InvalidError")(await failed(() => host.writeSessionMessage(id, { ...task, id: "bad", recurrence: "soon" }))));
  const worker = runner();
  worker.getPendingMessages();
  worker.markFailed(["t"]);
  assert.equal(host.sweepSession(id).spawned.length, 1);
  const swept = host.sweepSession(id);
  assert.deepEqual([swept.spawned, swept.wake, swept.dueAt > Date.now()], [[], false, true]);
  assert.deepEqual([host.pauseTask(id, "t"), host.pauseTask(id, "t"), host.resumeTask(id, "t")], [1, 0, 1]);
  assert.equal(host.updateTask(id, "t", { content: { prompt: "q" }, recurrence: "", dueAt: 5 }), 1);
  assert.deepEqual(worker.getPendingMessages().map(({ content }) => JSON.parse(content)), [{ prompt: "q", script: "s" }]);
  host.writeSessionMessage(id, { ...task, id: "u", processAfter: "2100-01-01T00:00:00Z" });
  assert.deepEqual([host.cancelTask(id, "u"), host.cancelTask(id, "u")], [1, 0]);
});

test("nanoclaw: a question is put once, and its answer reaches the runner", async (t) => {
  const { host, runner, id } = await claw(t);
  for (let n = 0; n < 2; n += 1) assert.equal(host.createPendingQuestion(id, "q", { title: "Sure?" }).questions.length, 1);
  host.answerQuestion(id, "q", { choice: "yes" });
  const [{ kind, content }] = runner().getPendingMessages();
  assert.deepEqual([kind, JSON.parse(content)], ["system", { type: "question_response", questionId: "q", status: "answered", result: { choice: "yes" } }]);
});

const said = (sessionId, msgId, rest = {}) => ({ sessionId, msgId, role: "user", content: msgId, timestamp: 1000 + Number(msgId), ...rest });

test("agent-orchestrator: after a crash the session is there, with all that was said", async (t) => {
  const { openAgentStore, directory, place } = await example(t, "agent-orchestrator");
  const long = Array.from({ length: 600 }, (_, line) => `line ${line}`).join("\n");
  killed(
    place,
    `import { openAgentStore } from "./agent-orchestrator.mjs";
    const requests = await openAgentStore("store", { leaseMs: 1000 });
    const { sessionId } = await requests["agent.start"]({ projectId: "p", provider: "a", model: "m" });
    const message = { sessionId, msgId: "1", role: "user", content: "Why?", timestamp: 1001 };
    const call = { ...message, msgId: "2", role: "tool-call", toolName: "Read", toolInput: '{"file_path":"/a"}' };
    const result = { ...message, msgId: "3", role: "tool-result", content: ${JSON.stringify(long)} };
    await requests["session.messages.save"]({ messages: [message] });
    await requests["session.save"]({ sessionId, status: "running", costUsd: 0.5, inputTokens: 10, outputTokens: 5, model: "n" });
    await requests["session.messages.save"]({ messages: [message, call, result] });`,
  );
  const requests = await openAgentStore(directory, { leaseMs: 1000 });
  const running = await requests["session.load"]({ projectId: "p" });
  await new Promise((resolve) => setTimeout(resolve, 1100));
  const { createdAt, updatedAt, sessionId, ...session } = await requests["session.load"]({ projectId: "p" });
  assert.deepEqual([running, session], [
    null,
    { projectId: "p", provider: "a", status: "interrupted", costUsd: 0.5, inputTokens: 10, outputTokens: 5, model: "n", error: "its process has died" },
  ]);
  assert.ok(createdAt <= updatedAt);
  const messages = await requests["session.messages.load"]({ sessionId });
  assert.deepEqual(messages.slice(0, 2), [
    { sessionId, msgId: "1", role: "user", timestamp: 1001, seqId: 1, content: "Why?" },
    { sessionId, msgId: "2", role: "tool-call", timestamp: 1001, seqId: 2, content: "/a", toolName: "Read", toolInput: '{\n  "file_path": "/a"\n}', toolPath: "/a" },
  ]);
  assert.match(messages[2].content, /line 499\n\.\.\. \(100 more lines\)$/);
  // It is not resumed in silence: the next start has a session of its own, and the old one is there with its end.
  const next = await requests["agent.start"]({ projectId: "p", provider: "a" });
  assert.ok(next.ok && next.sessionId !== sessionId);
  await requests.close();
});

test("agent-orchestrator: of windows that start at once, one has the project", async (t) => {
  const { openAgentStore, directory } = await example(t, "agent-orchestrator");
  const windows = await Promise.all([1, 2, 3].map((n) => openAgentStore(directory, { owner: `window ${n}` })));
  const ids = new Set();
  for (let round = 0; round < 3; round += 1) {
    const starts = await Promise.all(windows.map((window) => window["agent.start"]({ projectId: "p", provider: "a", extraEnv: { A: "1", Claude_X: "2" } })));
    assert.deepEqual(starts.filter(({ ok }) => !ok).map(({ error }) => error), Array(2).fill("Session start already in progress"));
    const at = starts.findIndex(({ ok }) => ok);
    const { sessionId, env, refused } = starts[at];
    assert.deepEqual([env, refused], [{ A: "1" }, ["Claude_X"]]);
    ids.add(sessionId);
    await windows[at]["session.save"]({ sessionId, status: round === 1 ? "error" : "done", error: round === 1 ? "e" : undefined });
    const { status, error } = await windows[0]["session.load"]({ projectId: "p" });
    assert.deepEqual([status, error], round === 1 ? ["error", "e"] : ["done", null]);
  }
  assert.equal(ids.size, 3);
  assert.equal((await windows[0]["agent.start"]({ projectId: "q", provider: "a" })).ok, true);
  for (const window of windows) await window.close();
});

test("agent-orchestrator: batches may overlap, and the last cost may come after the end", async (t) => {
  const { openAgentStore, directory } = await example(t, "agent-orchestrator");
  const requests = await openAgentStore(directory);
  const { sessionId } = await requests["agent.start"]({ projectId: "p", provider: "a" });
  const roles = ["user", "thinking", "assistant", "system", "tool-result"];
  const all = roles.map((role, n) => said(sessionId, String(n + 1), { role }));
  await Promise.all([all.slice(0, 3), all.slice(2), all].map((messages) => requests["session.messages.save"]({ messages })));
  const loaded = await requests["session.messages.load"]({ sessionId });
  assert.deepEqual(loaded, all.map((message, n) => ({ ...message, seqId: n + 1 })));
  await requests["session.save"]({ sessionId, status: "done", costUsd: 1, inputTokens: 10 });
  for (let n = 0; n < 2; n += 1) await requests["session.save"]({ sessionId, status: "done", costUsd: 1.5, inputTokens: 15, outputTokens: 2 });
  const { status, costUsd, inputTokens, outputTokens } = await requests["session.load"]({ projectId: "p" });
  assert.deepEqual([status, costUsd, inputTokens, outputTokens], ["done", 1.5, 15, 2]);
  await requests.close();
});

test("agent-orchestrator: a window that slept keeps what it says, and does not run beside another", async (t) => {
  const { openAgentStore, directory } = await example(t, "agent-orchestrator");
  const slept = await openAgentStore(directory, { leaseMs: 1000 });
  const { sessionId } = await slept["agent.start"]({ projectId: "p", provider: "a" });
  await new Promise((resolve) => setTimeout(resolve, 1100));
  const other = await openAgentStore(directory);
  assert.equal((await other["session.load"]({ projectId: "p" })).status, "interrupted");
  const started = await other["agent.start"]({ projectId: "p", provider: "a" });
  assert.ok(started.ok && started.sessionId !== sessionId);
  await slept["session.messages.save"]({ messages: [said(sessionId, "1", { timestamp: undefined })] });
  await slept["session.save"]({ sessionId, status: "done", costUsd: 2 });
  assert.equal((await slept["session.messages.load"]({ sessionId })).length, 1);
  assert.equal(await slept["session.load"]({ projectId: "p" }), null);
  assert.equal((await other["agent.start"]({ projectId: "p", provider: "a" })).ok, false);
  await slept.close();
  await other.close();
});

test("agent-orchestrator: five sessions of a project stay, and none that runs goes", async (t) => {
  const { openAgentStore, directory } = await example(t, "agent-orchestrator");
  const requests = await openAgentStore(directory);
  const ids = [];
  for (let n = 0; n < 7; n += 1) {
    const { sessionId } = await requests["agent.start"]({ projectId: "p", provider: "a" });
    ids.push(sessionId);
    await requests["session.messages.save"]({ messages: [said(sessionId, "1", { timestamp: undefined })] });
    if (n < 6) await requests["session.save"]({ sessionId, status: "done" });
  }
  await requests.close();
  const store = sessile.openStoreSync(directory);
  assert.deepEqual([...store.sessions()].map(({ id }) => id).sort(), ids.slice(1).sort());
  assert.deepEqual([...store.sessions({ trashed: true })].map(({ id }) => id), ids.slice(0, 1));
  store.close();
});
