import { emptyCheckpoint, uuid6 } from "@langchain/langgraph-checkpoint";
import { SessileSaver } from "../../dist/adapters/langgraph.js";

/** Every write is a checkpoint behind the newest, with a list that has one more member, and a write on top of it. */
export async function writer(store) {
  const saver = new SessileSaver(store);
  const thread = { configurable: { thread_id: "shared", checkpoint_ns: "" } };
  return async (what) => {
    const newest = await saver.getTuple(thread);
    const version = (newest?.checkpoint.channel_versions.log ?? 0) + 1;
    const log = [...(newest?.checkpoint.channel_values.log ?? []), what];
    const checkpoint = { ...emptyCheckpoint(), id: uuid6(version), channel_values: { log }, channel_versions: { log: version } };
    const made = await saver.put(newest?.config ?? thread, checkpoint, { source: "loop", step: version, parents: {} }, { log: version });
    await saver.putWrites(made, [["log", what]], "task");
  };
}
