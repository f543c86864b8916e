// Chats of the Vercel AI SDK: saved, streamed, raced and loaded.
import assert from "node:assert/strict";
import test from "node:test";
import { simulateReadableStream } from "ai";
import { openStore, openStoreSync } from "../dist/index.js";
import { SessileChats } from "../dist/adapters/ai-sdk.js";
import { quickStart, sharedByProcesses, survivesKills, tested } from "./support/adapters.mjs";
import { scratch } from "./support/scratch.mjs";

const say = (id, text, more) => ({ id, role: "user", parts: [{ type: "text", text }], ...more });
const texts = (messages) => messages.map(({ parts }) => parts.map(({ text }) => text).join("|"));

test("ai-sdk: messages come back as they were, checked by the SDK", async (t) => {
  const store = openStoreSync(scratch(t));
  const chats = new SessileChats(store);
  assert.deepEqual(await chats.load("none"), []);
  const messages = [
    say("1", "question", { metadata: { at: 1, none: null, $part: 2 } }),
    {
      id: "2", role: "assistant",
      parts: [
        { type: "step-start" },
        { type: "reasoning", text: "hm", state: "done" },
        { type: "tool-look", toolCallId: "c", state: "output-available", input: { text: "x" }, output: [1, null] },
        { type: "text", text: "answer 🙂", state: "done" },
      ],
    },
  ];
  await chats.save("chat", messages);
  assert.deepEqual(await chats.load("chat"), messages);
  assert.deepEqual(await new SessileChats(store).load("chat"), messages);
  assert.deepEqual(await new SessileChats(store, { scope: "tenant" }).load("chat"), []);
  const { logBytes } = store.get("ai-sdk::chat");
  await chats.save("chat", messages);
  assert.equal(store.get("ai-sdk::chat").logBytes, logBytes, "what is there was written again");
  const { metadata, ...bare } = messages[0];
  await chats.save("chat", [{ ...bare, metadata: { at: 2 } }]);
  assert.deepEqual((await chats.load("chat")).map((message) => message.metadata), [{ at: 2 }, undefined]);
  await assert.rejects(chats.save("chat", [say("", "x")]), { kind: "invalid" });
  // Something else has written what is no message of the SDK: it is not given out as one.
  store.append("ai-sdk::chat", { role: "user", parts: [], ui: [{ id: "x", role: "nobody", parts: [] }] });
  await assert.rejects(chats.load("chat"), { name: /ValidationError/ });
  store.close();
});

test("ai-sdk: two saves that race lose nothing of each other", async (t) => {
  const place = scratch(t);
  const [one, two] = await Promise.all([openStore(place), openStore(place)]);
  const [a, b] = [one, two].map((store) => new SessileChats(store));
  for (let round = 0; round < 10; round += 1) {
    const chat = `chat ${round}`;
    await a.save(chat, [say("1", "first")]);
    await Promise.all([
      a.save(chat, [say("1", "first"), say("2a", "from a"), say("3", "both")]),
      b.save(chat, [say("1", "first"), say("2b", "from b"), say("3", "both")]),
    ]);
    const loaded = await a.load(chat);
    assert.deepEqual(loaded.map(({ id }) => id).sort(), ["1", "2a", "2b", "3"]);
    assert.deepEqual(await b.load(chat), loaded);
    // What both have saved is there once.
    assert.equal((await one.get(`ai-sdk::${chat}`)).messageCount, 4);
  }
  await Promise.all([one.close(), two.close()]);
});

const chunks = (deltas) => [
  { type: "start", messageId: "answer" },
  { type: "text-start", id: "t" },
  ...deltas.map((delta) => ({ type: "text-delta", id: "t", delta })),
];

test("ai-sdk: a stream is kept as it comes, and each text is written once", async (t) => {
  const store = openStoreSync(scratch(t));
  const chats = new SessileChats(store);
  await chats.save("chat", [say("1", "question")]);
  const { logBytes } = store.get("ai-sdk::chat");
  const deltas = Array.from({ length: 200 }, (_, number) => `${number} ${"é".repeat(50)} `);
  const whole = deltas.join("");
  const stream = simulateReadableStream({ chunks: [...chunks(deltas), { type: "text-end", id: "t" }, { type: "finish" }], chunkDelayInMs: 0 });
  const last = await chats.saveStream("chat", stream, { everyMs: 0 });
  // The SDK's own message has members that are `undefined`, which JSON has not.
  assert.deepEqual(await chats.load("chat"), [say("1", "question"), JSON.parse(JSON.stringify(last))]);
  assert.equal(last.parts[0].text, whole);
  const written = store.get("ai-sdk::chat").logBytes - logBytes;
  const size = Buffer.byteLength(whole);
  t.diagnostic(`an answer of ${size} bytes in ${deltas.length} pieces: ${written} bytes written`);
  // The text as it comes and once more at its end, and a record around each piece.
  assert.ok(written < 2 * size + deltas.length * 200, `${written}`);
  store.close();
});

test("ai-sdk: what had come before a stream broke is there, and another goes on with it", async (t) => {
  const store = openStoreSync(scratch(t));
  const chats = new SessileChats(store);
  const broken = new ReadableStream({
    start(controller) {
      for (const chunk of chunks(["half ", "of"])) controller.enqueue(chunk);
      setTimeout(() => controller.error(new Error("the line is gone")), 50);
    },
  });
  await assert.rejects(chats.saveStream("chat", broken, { everyMs: 60_000 }), /the line is gone/);
  const [message] = await chats.load("chat");
  assert.deepEqual(texts([message]), ["half of"]);
  const rest = [{ type: "text-start", id: "u" }, { type: "text-delta", id: "u", delta: "the rest" }, { type: "text-end", id: "u" }];
  await chats.saveStream("chat", simulateReadableStream({ chunks: rest, chunkDelayInMs: 0 }), { message });
  assert.deepEqual(texts(await chats.load("chat")), ["half of|the rest"]);
  store.close();
});

test("ai-sdk: an answer is taken back, and chats are listed and deleted", async (t) => {
  const store = openStoreSync(scratch(t));
  const chats = new SessileChats(store);
  await chats.save("chat", [say("1", "one"), say("2", "two"), say("3", "three")]);
  await chats.save("other", [say("1", "x")]);
  await chats.truncate("chat", "2");
  assert.deepEqual(texts(await chats.load("chat")), ["one"]);
  await chats.save("chat", [say("1", "one"), say("2", "again")]);
  assert.deepEqual(texts(await chats.load("chat")), ["one", "again"]);
  await assert.rejects(chats.truncate("chat", "3"), { kind: "invalid" });
  await assert.rejects(chats.truncate("none", "1"), { kind: "not-found" });
  const listed = [];
  for await (const { chatId } of chats.list()) listed.push(chatId);
  assert.deepEqual(listed, ["chat", "other"]);
  await chats.delete("chat");
  await chats.delete("chat");
  assert.deepEqual(await chats.load("chat"), []);
  assert.equal(store.doctor().healthy, true);
  store.close();
});

const check = async (place, acknowledged) => {
  const store = await openStore(place);
  const there = texts(await new SessileChats(store).load("shared"));
  assert.equal(new Set(there).size, there.length, "something is there twice");
  for (const what of acknowledged) assert.ok(there.includes(what), what);
  assert.equal((await store.doctor()).healthy, true);
  await store.close();
};
survivesKills("ai-sdk", check);
sharedByProcesses("ai-sdk", check);
quickStart("ai-sdk", "user Why does it fail?\nassistant A missing import.\n");
tested("ai-sdk", "ai");
