// Transcripts of the Claude Agent SDK. The contracts are those that `claude_agent_sdk.testing` states for Python, in the
// names of the TypeScript interface; the SDK for TypeScript publishes no suite. The SDK's own store in memory is held to
// them too, so that a contract that nobody keeps would be seen.
import assert from "node:assert/strict";
import test from "node:test";
import { foldSessionSummary, forkSession, getSessionMessages, InMemorySessionStore, listSessions, listSubagents } from "@anthropic-ai/claude-agent-sdk";
import { openStore, openStoreSync } from "../dist/index.js";
import { SessileSessionStore } from "../dist/adapters/claude-agent-sdk.js";
import { quickStart, sharedByProcesses, survivesKills, tested } from "./support/adapters.mjs";
import { scratch } from "./support/scratch.mjs";

const entry = (members) => ({ type: "x", ...members });
const key = { projectKey: "proj", sessionId: "sess" };
const sub = (name) => ({ ...key, subpath: `subagents/${name}` });
const other = (projectKey, sessionId) => ({ projectKey, sessionId });
const ids = (sessions) => sessions.map(({ sessionId }) => sessionId).sort();
const [a, b] = [entry({ uuid: "a", n: 1 }), entry({ uuid: "b", n: 2 })];

const CONTRACTS = {
  "append then load gives the same entries in the same order": async (store) => {
    await store.append(key, [b, a]);
    assert.deepEqual(await store.load(key), [b, a]);
  },
  "load of an unknown key is null": async (store) => {
    assert.equal(await store.load(other("proj", "nope")), null);
    await store.append(key, [a]);
    assert.equal(await store.load({ ...key, subpath: "nope" }), null);
  },
  "appends keep the order of the calls": async (store) => {
    const [c, d] = [entry({ uuid: "z" }), entry({ uuid: "m" })];
    await store.append(key, [c]);
    await store.append(key, [a, d]);
    await store.append(key, [b]);
    assert.deepEqual(await store.load(key), [c, a, d, b]);
  },
  "append of nothing does nothing": async (store) => {
    await store.append(key, [a]);
    await store.append(key, []);
    assert.deepEqual(await store.load(key), [a]);
  },
  "subpaths are apart from the main transcript": async (store) => {
    await store.append(key, [a]);
    await store.append(sub("agent-1"), [b]);
    assert.deepEqual([await store.load(key), await store.load(sub("agent-1"))], [[a], [b]]);
  },
  "projects are apart": async (store) => {
    await store.append(other("A", "s1"), [entry({ from: "A" })]);
    await store.append(other("B", "s1"), [entry({ from: "B" })]);
    assert.deepEqual(await store.load(other("A", "s1")), [entry({ from: "A" })]);
    assert.deepEqual(await store.load(other("B", "s1")), [entry({ from: "B" })]);
    assert.deepEqual([(await store.listSessions("A")).length, (await store.listSessions("B")).length], [1, 1]);
  },
  "listSessions gives the sessions of a project": async (store) => {
    for (const [project, session] of [["proj", "a"], ["proj", "b"], ["other", "c"]]) await store.append(other(project, session), [a]);
    const listed = await store.listSessions("proj");
    assert.deepEqual(ids(listed), ["a", "b"]);
    assert.ok(listed.every(({ mtime }) => Number.isInteger(mtime) && mtime > 1e12));
    assert.deepEqual(await store.listSessions("never"), []);
  },
  "listSessions leaves subagents out": async (store) => {
    await store.append(key, [a]);
    await store.append(sub("agent-1"), [a]);
    assert.deepEqual(ids(await store.listSessions("proj")), ["sess"]);
  },
  "delete, then load is null": async (store) => {
    await store.delete(other("proj", "never-written"));
    await store.append(key, [a]);
    await store.delete(key);
    assert.equal(await store.load(key), null);
  },
  "delete takes the subagents with it, and nothing else": async (store) => {
    const stay = [other("proj", "sess2"), other("other-proj", "sess")];
    for (const one of [key, sub("agent-1"), sub("agent-2"), ...stay]) await store.append(one, [a]);
    await store.delete(key);
    for (const gone of [key, sub("agent-1"), sub("agent-2")]) assert.equal(await store.load(gone), null);
    for (const one of stay) assert.deepEqual(await store.load(one), [a]);
    assert.deepEqual(await store.listSubkeys(key), []);
    assert.deepEqual(ids(await store.listSessions("proj")), ["sess2"]);
  },
  "delete of a subpath takes it alone": async (store) => {
    for (const one of [key, sub("agent-1"), sub("agent-2")]) await store.append(one, [a]);
    await store.delete(sub("agent-1"));
    assert.equal(await store.load(sub("agent-1")), null);
    assert.deepEqual([await store.load(sub("agent-2")), await store.load(key)], [[a], [a]]);
    assert.deepEqual(await store.listSubkeys(key), ["subagents/agent-2"]);
  },
  "listSubkeys gives the subpaths of a session": async (store) => {
    for (const one of [key, sub("agent-1"), sub("agent-2"), { ...key, sessionId: "other", subpath: "subagents/agent-x" }]) await store.append(one, [a]);
    assert.deepEqual((await store.listSubkeys(key)).sort(), ["subagents/agent-1", "subagents/agent-2"]);
  },
  "listSubkeys leaves the main transcript out": async (store) => {
    await store.append(key, [a]);
    assert.deepEqual(await store.listSubkeys(key), []);
    assert.deepEqual(await store.listSubkeys(other("proj", "never")), []);
  },
  "listSessionSummaries gives what the SDK folds, to be folded on": async (store) => {
    const at = (second, more) => entry({ timestamp: `2024-01-01T00:00:0${second}.000Z`, ...more });
    await store.append(key, [at(0, { customTitle: "first" }), at(1)]);
    await store.append(key, [at(2, { customTitle: "second" })]);
    await store.append(other("other", "elsewhere"), [at(0)]);
    const [summary, ...rest] = await store.listSessionSummaries("proj");
    assert.deepEqual([summary.sessionId, rest], ["sess", []]);
    assert.ok(Number.isInteger(summary.mtime) && summary.mtime > 1e12);
    assert.ok(summary.mtime >= (await store.listSessions("proj"))[0].mtime);
    assert.equal(summary.data.customTitle, "second");
    const folded = foldSessionSummary(summary, key, [at(3)]);
    assert.deepEqual([folded.sessionId, folded.mtime], ["sess", summary.mtime]);
    await store.append(sub("agent-1"), [at(9, { customTitle: "subagent" })]);
    assert.deepEqual((await store.listSessionSummaries("proj"))[0].data, summary.data);
    assert.deepEqual(await store.listSessionSummaries("never"), []);
    await store.delete(key);
    assert.deepEqual(await store.listSessionSummaries("proj"), []);
  },
};

test("claude-agent-sdk: the contracts", async (t) => {
  let kept = 0;
  for (const [contract, act] of Object.entries(CONTRACTS)) {
    await t.test(contract, async (t) => {
      await act(new InMemorySessionStore());
      const store = await openStore(scratch(t));
      await act(new SessileSessionStore(store));
      await store.close();
      kept += 1;
    });
  }
  t.diagnostic(`${kept} of ${Object.keys(CONTRACTS).length} contracts kept, none skipped`);
  assert.equal(kept, 14);
});

test("claude-agent-sdk: an entry with a uuid is there once, whoever appends it again", async (t) => {
  const store = openStoreSync(scratch(t));
  const [one, two] = [new SessileSessionStore(store), new SessileSessionStore(store)];
  await one.append(key, [a, b, a]);
  await two.load(key);
  await one.append(key, [entry({ title: "t" })]);
  await Promise.all([one, two, one].map((sessions) => sessions.append(key, [b, entry({ uuid: "c" }), entry({ title: "t" })])));
  const loaded = await two.load(key);
  assert.deepEqual(loaded.map(({ uuid, title }) => uuid ?? title).sort(), ["a", "b", "c", "t", "t", "t", "t"]);
  store.close();
});

test("claude-agent-sdk: entries come back as they were, and what is said is in the parts", async (t) => {
  const store = openStoreSync(scratch(t));
  const sessions = new SessileSessionStore(store);
  const content = [{ type: "thinking", thinking: "hm", signature: "s" }, { type: "text", text: "there" }, { type: "tool_use", input: { text: "x", $part: 1 } }];
  const entries = [
    { type: "user", uuid: "1", message: { role: "user", content: "hello" } },
    { type: "assistant", uuid: "2", message: { role: "assistant", content }, ["__proto__"]: { n: 1.5 }, none: null },
    { type: "user", toolUseResult: "cut \ud83d", big: "x".repeat(100_000) },
  ];
  await sessions.append(key, entries);
  assert.deepEqual(await sessions.load(key), entries);
  await sessions.append(sub("a:b"), [a]);
  const all = [...store.sessions()];
  assert.deepEqual(all.map(({ scope, parent }) => [scope, parent]), [["proj", "claude:proj:sess"], ["proj", null]]);
  const parts = [...store.messages("claude:proj:sess")].map(({ message }) => message.parts.map(({ type, text }) => `${type} ${text}`));
  assert.deepEqual(parts, [["text hello"], ["thinking hm", "text there", "text x"], []]);
  await assert.rejects(sessions.append({ ...key, subpath: "" }, [a]), { kind: "invalid" });
  await assert.rejects(sessions.append(key, [{ type: "x", f: () => 1 }]), { kind: "invalid" });
  store.close();
});

test("claude-agent-sdk: a batch past what one append takes is written in several", async (t) => {
  const store = openStoreSync(scratch(t));
  const sessions = new SessileSessionStore(store);
  const entries = Array.from({ length: 6 }, (_, number) => entry({ uuid: `${number}`, data: `${number}`.repeat(7 << 20) }));
  await sessions.append(key, entries);
  assert.deepEqual((await sessions.load(key)).map(({ uuid, data }) => [uuid, data.length]), entries.map(({ uuid, data }) => [uuid, data.length]));
  const many = Array.from({ length: 5_001 }, (_, n) => entry({ n }));
  await sessions.append(other("proj", "many"), many);
  assert.deepEqual(await sessions.load(other("proj", "many")), many);
  store.close();
});

test("claude-agent-sdk: a summary that was not written is made up for", async (t) => {
  const store = openStoreSync(scratch(t));
  const sessions = new SessileSessionStore(store);
  await sessions.append(key, [entry({ customTitle: "one" })]);
  // As if its process had died behind the entries.
  await store.append("claude:proj:sess", { role: "system", parts: [], entry: entry({ customTitle: "two" }) });
  for (const reader of [sessions, new SessileSessionStore(store)]) {
    assert.equal((await reader.listSessionSummaries("proj"))[0].data.customTitle, "two");
  }
  store.close();
});

test("claude-agent-sdk: the SDK's own functions read and fork what is there", async (t) => {
  const store = openStoreSync(scratch(t));
  const sessionStore = new SessileSessionStore(store);
  const sessionId = "7b0f6c1e-94a5-4a8b-9a55-0d6a3b1c2d4e";
  const uuid = (n) => `0c5ae0b1-7d3c-4c55-8f0e-6a1b2c3d4e0${n}`;
  const line = (n, type, message) => ({
    type, uuid: uuid(n), parentUuid: n === 1 ? null : uuid(n - 1), sessionId, cwd: "/srv/app", timestamp: `2026-01-01T00:00:0${n}.000Z`, message,
  });
  const lines = [line(1, "user", { role: "user", content: "question" }), line(2, "assistant", { role: "assistant", content: [{ type: "text", text: "answer" }] })];
  await sessionStore.append({ projectKey: "-srv-app", sessionId }, lines);
  await sessionStore.append({ projectKey: "-srv-app", sessionId, subpath: "subagents/agent-1" }, [{ ...lines[0], isSidechain: true, agentId: "1" }]);
  const options = { dir: "/srv/app", sessionStore };
  const [listed] = await listSessions(options);
  assert.deepEqual([listed.sessionId, listed.firstPrompt], [sessionId, "question"]);
  const fork = await forkSession(sessionId, options);
  const texts = (messages) => messages.map(({ message }) => message.content[0].text ?? message.content);
  for (const id of [sessionId, fork.sessionId]) assert.deepEqual(texts(await getSessionMessages(id, options)), ["question", "answer"]);
  assert.deepEqual(await listSubagents(sessionId, options), ["1"]);
  store.close();
});

const check = async (place, acknowledged) => {
  const store = await openStore(place);
  const entries = await new SessileSessionStore(store).load({ projectKey: "project", sessionId: "shared" });
  for (const what of acknowledged) {
    const first = entries.findIndex(({ uuid }) => uuid === what);
    assert.deepEqual(entries.slice(first, first + 2).map((one) => one.uuid ?? one.what), [what, what], "a batch is whole and in order");
  }
  assert.equal((await store.doctor()).healthy, true);
  await store.close();
};
survivesKills("claude-agent-sdk", check);
sharedByProcesses("claude-agent-sdk", check);
quickStart("claude-agent-sdk", "Fix the build\nuser Why does the build fail?\nassistant A missing import.\n");
tested("claude-agent-sdk", "@anthropic-ai/claude-agent-sdk");
