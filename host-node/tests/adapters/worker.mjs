// Writes through an adapter and says what was acknowledged: `node tests/adapters/worker.mjs ADAPTER STORE NAME COUNT`.
import { writeSync } from "node:fs";
import { openStore } from "../../dist/index.js";

const [adapter, place, name, count] = process.argv.slice(2);
const { writer } = await import(`./${adapter}.writer.mjs`);
const store = await openStore(place);
const write = await writer(store);
for (let number = 1; number <= Number(count); number += 1) {
  const what = `${name} ${number}`;
  await write(what);
  writeSync(1, `${what}\n`);
}
await store.close();
