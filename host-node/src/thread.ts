/** The thread that a store of `openStore` lives in: carries out calls as they come, and answers each. */
import { parentPort, workerData } from "node:worker_threads";
import { BEGUN, CLOSED, POISONED, WAITING, type Answer, type Request, type ThreadData } from "./client.js";
import { Engine } from "./engine.js";
import { plainOf } from "./errors.js";

const { path, readOnly, shared } = workerData as ThreadData;
const port = parentPort;
let engine: Engine | undefined;

/** After a death of the thread the first call opens the store again, and a failed sync stays failed. */
function open(): Engine {
  const isPoisoned = Atomics.load(shared, POISONED) === 1;
  return new Engine(path, { readOnly, isPoisoned, onPoison: () => Atomics.store(shared, POISONED, 1) });
}

function carryOut({ name, args }: Request): unknown {
  engine ??= open();
  return name === "open" ? undefined : engine.call(name, args);
}

port?.on("message", (request: Request) => {
  const { number, slot, name } = request;
  let answer: Answer = { number };
  const hasBegun = slot < 0 || Atomics.compareExchange(shared, slot, WAITING, BEGUN) === WAITING;
  if (hasBegun) {
    try {
      answer = { number, value: carryOut(request) };
    } catch (error) {
      answer = { number, error: plainOf(error) };
    }
  }
  port.postMessage(answer);
  if (name === "close") {
    engine?.dispose();
    Atomics.store(shared, CLOSED, 1);
    Atomics.notify(shared, CLOSED);
  }
});
