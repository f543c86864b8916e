import { SessileSession } from "../../dist/adapters/openai-agents.js";

/** Every write is an item, or a transaction that puts one in the place of the one before. */
export async function writer(store) {
  const session = new SessileSession(store, { sessionId: "shared" });
  let count = 0;
  return async (what) => {
    count += 1;
    const item = { role: "user", content: what };
    if (count % 2 === 1) return session.addItems([item]);
    return session.applyHistoryTransaction({ operationId: what, transaction: { type: "append_items", items: [item] } });
  };
}
