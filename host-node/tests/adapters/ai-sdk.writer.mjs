import { SessileChats } from "../../dist/adapters/ai-sdk.js";

/** Every write saves what the writer has seen and a message of its own; others' that came since are not among it. */
export async function writer(store) {
  const chats = new SessileChats(store);
  const seen = await chats.load("shared");
  return async (what) => {
    seen.push({ id: what, role: "user", parts: [{ type: "text", text: what }] });
    await chats.save("shared", seen);
  };
}
