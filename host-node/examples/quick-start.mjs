import { openStore } from "sessile";

const store = await openStore("sessions");
const { id } = await store.create({ title: "Fix the build" });
await store.append(id, { role: "user", parts: [{ type: "text", text: "Why does it fail?" }] }, { op: "request-1" });
await store.append(id, { role: "assistant", parts: [{ type: "text", text: "A missing import." }] });

const fork = await store.fork(id);
await store.revert(fork.id, 1); // hides message 2 in the fork alone
for await (const { seq, message } of store.messages(id)) console.log(seq, message.role);
await store.close();
