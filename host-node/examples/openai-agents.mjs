import { Agent, run } from "@openai/agents-core";
import { assistantMessage, ScriptedModel } from "@openai/agents-core/testing";
import { openStore } from "sessile";
import { SessileSession } from "sessile/openai-agents";

// A model that answers from a script; in your program it is the name of a model.
const model = new ScriptedModel([[assistantMessage("It is in Lyon.")], [assistantMessage("About 520,000.")]]);
const agent = new Agent({ name: "Guide", model });

const store = await openStore("sessions");
const session = new SessileSession(store, { sessionId: "trip-1" });
await run(agent, "Where is the Musée des Confluences?", { session });
await run(agent, "How many people live there?", { session });
for (const item of await session.getItems()) console.log(item.role, item.content[0].text ?? item.content);
await store.close();
