// The suite that LangGraph publishes, from the installed package, for a store; run by vitest, started in ../langgraph.test.mjs.
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deltaChannelHistoryTests, validate } from "@langchain/langgraph-checkpoint-validation";
import { openStore } from "../../dist/index.js";
import { SessileSaver } from "../../dist/adapters/langgraph.js";

const opened = new Map();
// Some thousand syncs for each run: where there is a disk in memory, they are made there.
const temporary = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();

const initializer = {
  checkpointerName: "sessile",
  async createCheckpointer() {
    const place = mkdtempSync(join(temporary, "sessile-langgraph-"));
    const store = await openStore(place);
    const saver = new SessileSaver(store);
    opened.set(saver, { place, store });
    return saver;
  },
  async destroyCheckpointer(saver) {
    const { place, store } = opened.get(saver);
    await store.close();
    rmSync(place, { recursive: true });
  },
};

validate(initializer);
deltaChannelHistoryTests(initializer);
