import { MessagesAnnotation, START, StateGraph } from "@langchain/langgraph";
import { openStore } from "sessile";
import { SessileSaver } from "sessile/langgraph";

const store = await openStore("sessions");
const graph = new StateGraph(MessagesAnnotation)
  .addNode("answer", ({ messages }) => ({ messages: [{ role: "assistant", content: `You said: ${messages.at(-1).content}` }] }))
  .addEdge(START, "answer")
  .compile({ checkpointer: new SessileSaver(store) });

const thread = { configurable: { thread_id: "support-1" } };
await graph.invoke({ messages: [{ role: "user", content: "hello" }] }, thread);
await graph.invoke({ messages: [{ role: "user", content: "and again" }] }, thread);
const { values } = await graph.getState(thread);
for (const message of values.messages) console.log(message.getType(), message.content);
await store.close();
