// Appends whatever the disk does: `node tests/writer.mjs STORE ACKS NAME`. The same program as `tests/src/bin/writer.rs`.
import { existsSync, openSync, writeSync } from "node:fs";
import { openStoreSync, SessileError } from "../dist/index.js";

const [root, acks, name] = process.argv.slice(2);
const log = openSync(acks, "a", 0o600);
const say = (line) => writeSync(log, `${JSON.stringify(line)}\n`);
const stop = acks.replace(/\.jsonl$/, ".stop");
const pause = () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);

/** Opens the store, with this writer's sessions in it. */
function open() {
  const store = openStoreSync(root);
  for (const id of [name, "shared"]) {
    try {
      store.create({ id });
    } catch (error) {
      if (error.kind !== "conflict") throw error;
    }
  }
  return store;
}

let store;
let number = 1;
while (!existsSync(stop)) {
  try {
    if (store === undefined) {
      store = open();
      say({ opened: true });
    }
    const text = `${name} ${number} ${"x".repeat((number * 37) % 1500)}`;
    const message = { role: "user", parts: [{ type: "text", text }] };
    const { seq } = store.append(number % 3 === 0 ? "shared" : name, [message], { op: `${name} ${number}` });
    say({ number, seq });
    number += 1;
  } catch (error) {
    if (!(error instanceof SessileError)) throw error;
    say({ error: error.kind, message: error.message });
    if (error.kind === "closed") store = undefined;
    pause();
  }
}
store?.close();
say({ done: true });
