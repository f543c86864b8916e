import { createUIMessageStream } from "ai";
import { openStore } from "sessile";
import { SessileChats } from "sessile/ai-sdk";

const store = await openStore("sessions");
const chats = new SessileChats(store);

await chats.save("chat-1", [{ id: "m1", role: "user", parts: [{ type: "text", text: "Why does it fail?" }] }]);

// In your program: streamText({ messages: await convertToModelMessages(await chats.load("chat-1")), ... })
//   .toUIMessageStream({ generateMessageId }), of which one branch goes to the client (`tee`).
const stream = createUIMessageStream({
  execute({ writer }) {
    writer.write({ type: "start", messageId: "m2" });
    writer.write({ type: "text-start", id: "t" });
    for (const delta of ["A missing", " import."]) writer.write({ type: "text-delta", id: "t", delta });
    writer.write({ type: "text-end", id: "t" });
  },
});
await chats.saveStream("chat-1", stream);

for (const { role, parts } of await chats.load("chat-1")) console.log(role, parts[0].text);
await store.close();
