// Carries out the steps of SCRIPT: `node tests/script.mjs STORE ACKS SCRIPT`. The same program as `tests/src/bin/script.rs`;
// tests/src/real/scripts.rs says what it must do.
import { openSync, readFileSync, writeSync } from "node:fs";
import { openStoreSync, SessileError } from "../dist/index.js";
import { call } from "./support/calls.mjs";

const TRIES = 3;
const GAVE_UP = 9;
const UNHEARD = 8;

const [root, acks, script] = process.argv.slice(2);
const steps = JSON.parse(readFileSync(script, "utf8"));
const log = openSync(acks, "a", 0o600);
const say = (line) => {
  try {
    writeSync(log, `${JSON.stringify(line)}\n`);
  } catch {
    process.exit(UNHEARD);
  }
};
const kept = new Map();

function fill(value) {
  if (typeof value === "string") return kept.has(value) ? kept.get(value) : value;
  if (Array.isArray(value)) return value.map(fill);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, fill(member)]));
}

function said(error, name) {
  if (!(error instanceof SessileError)) throw error;
  say({ error: error.kind, call: name, message: error.message });
}

function open() {
  for (let tried = 0; tried < TRIES; tried += 1) {
    try {
      return openStoreSync(root);
    } catch (error) {
      said(error, "open");
    }
  }
  process.exit(GAVE_UP);
}

let store = open();
for (const [step, { call: name, args, retry = [], keep = {} }] of steps.entries()) {
  for (let tried = 1; ; tried += 1) {
    try {
      const answer = call(store, name, fill(args));
      for (const [key, at] of Object.entries(keep)) {
        kept.set(`$${key}`, at.slice(1).split("/").reduce((value, member) => value?.[member], answer));
      }
      say({ step, answer });
      // Here a store that was closed stays closed.
      if (name === "close") store = open();
      break;
    } catch (error) {
      if (tried > 1 && retry.includes(error.kind)) {
        say({ step, made: error.kind });
        break;
      }
      said(error, name);
      if (tried === TRIES) process.exit(GAVE_UP);
      if (error.kind === "closed") store = open();
    }
  }
}
store.close();
say({ done: true });
