import { SessileSessionStore } from "../../dist/adapters/claude-agent-sdk.js";

/** Every write is a batch of an entry with a `uuid` and one without. */
export async function writer(store) {
  const sessions = new SessileSessionStore(store);
  const key = { projectKey: "project", sessionId: "shared" };
  return (what) => sessions.append(key, [{ type: "user", uuid: what, message: { role: "user", content: what } }, { type: "mode", what }]);
}
