import { getSessionMessages, listSessions, renameSession } from "@anthropic-ai/claude-agent-sdk";
import { openStore } from "sessile";
import { SessileSessionStore } from "sessile/claude-agent-sdk";

const store = await openStore("sessions");
const sessionStore = new SessileSessionStore(store);

// In your program the SDK appends: query({ prompt, options: { sessionStore } }); resume and fork read what is there.
const sessionId = "7b0f6c1e-94a5-4a8b-9a55-0d6a3b1c2d4e";
const line = (type, uuid, parentUuid, message, at) =>
  ({ type, uuid, parentUuid, sessionId, cwd: "/srv/app", timestamp: `2026-01-01T00:00:0${at}.000Z`, message });
const [first, second] = ["0c5ae0b1-7d3c-4c55-8f0e-6a1b2c3d4e5f", "1d6bf1c2-8e4d-4d66-9f1f-7b2c3d4e5f60"];
await sessionStore.append({ projectKey: "-srv-app", sessionId }, [
  line("user", first, null, { role: "user", content: "Why does the build fail?" }, 1),
  line("assistant", second, first, { role: "assistant", content: [{ type: "text", text: "A missing import." }] }, 2),
]);

await renameSession(sessionId, "Fix the build", { dir: "/srv/app", sessionStore });
for (const { customTitle } of await listSessions({ dir: "/srv/app", sessionStore })) console.log(customTitle);
for (const { type, message } of await getSessionMessages(sessionId, { dir: "/srv/app", sessionStore }))
  console.log(type, message.content[0].text ?? message.content);
await store.close();
