// Carries out the cases of tests/corpus on real files: `node tests/corpus.mjs OPS_DIR OUT_DIR`. See its README.
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { isDeepStrictEqual } from "node:util";
import { SessileError } from "../dist/index.js";
import { engines, openSyncWith } from "../dist/internal.js";
import { call } from "./support/calls.mjs";
import { damaged, entropy } from "./support/conditions.mjs";

/** One case, in a directory of its own. */
class Case {
  #root;
  #now = 1_700_000_000_000;
  #stores = new Map();
  #entropies = new Map();
  #kept = new Map();

  constructor(root) {
    this.#root = root;
  }

  run(steps, round) {
    for (const [index, given] of steps.entries()) {
      const step = this.#fill(given, round);
      try {
        this.#step(step);
      } catch (error) {
        throw new Error(`step ${index + 1} (${step.call}): ${error.message}`, { cause: error });
      }
    }
  }

  /** Puts what was kept, and the number of the round, where a step names it. */
  #fill(value, round) {
    if (typeof value === "string") {
      if (value.startsWith("$") && this.#kept.has(value.slice(1))) return this.#kept.get(value.slice(1));
      return round === undefined ? value : value.replaceAll("$i", String(round));
    }
    if (Array.isArray(value)) return value.map((element) => this.#fill(element, round));
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, this.#fill(member, round)]));
  }

  #step(step) {
    const { call: name, args = {}, process: instance = 1 } = step;
    const path = (file) => join(this.#root, file);
    if (name === "repeat") for (let round = 1; round <= args.count; round += 1) this.run(args.steps, round);
    else if (name === "wait") this.#now += args.ms;
    else if (name === "damage") writeFileSync(path(args.file), damaged(readFileSync(path(args.file)), args));
    else if (name === "marker") writeFileSync(path("sessile.json"), args.text);
    else if (name === "delete_catalogue") {
      for (const file of readdirSync(path("catalogue"))) rmSync(path(join("catalogue", file)));
    } else {
      let outcome;
      try {
        outcome = { answer: this.#call(instance, name, args) };
      } catch (error) {
        if (!(error instanceof SessileError)) throw error;
        outcome = { error };
      }
      this.#check(step, outcome);
    }
  }

  #call(instance, name, args) {
    if (name === "reopen") this.#stores.delete(instance);
    if (name === "reopen" || !this.#entropies.has(instance)) this.#entropies.set(instance, entropy(instance));
    if (!this.#stores.has(instance)) {
      const machine = { nowMs: () => (this.#now += 1), random: this.#entropies.get(instance) };
      this.#stores.set(instance, openSyncWith(this.#root, { readOnly: args.read_only ?? false }, { machine }));
    }
    if (name === "reopen") return null;
    const store = this.#stores.get(instance);
    // The contract's: the instance can be used on, and does not draw what opening draws.
    if (name === "close") return engines.get(store).call("close", []) ?? null;
    return call(store, name, args);
  }

  #check({ error: kind, says = "", ends, count, expect }, { answer, error }) {
    if (error !== undefined || kind !== undefined) {
      if (error?.kind === kind && error.message.includes(says)) return;
      throw new Error(`expected ${kind} (${says}), got ${error?.kind}: ${error?.message ?? JSON.stringify(answer)}`);
    }
    if (ends !== undefined && !answer.text.endsWith(ends)) throw new Error(`the text does not end with ${ends}`);
    if (count !== undefined && answer[count[0]].length !== count[1]) throw new Error(`not ${count[1]} ${count[0]}`);
    if (expect !== undefined) this.#fits(expect, answer, "answer");
  }

  #fits(expected, actual, place) {
    const keeps = (value) => typeof value === "string" && /^\$.+=$/.test(value);
    if (expected === "$any") return;
    if (keeps(expected)) return void this.#kept.set(expected.slice(1, -1), actual);
    const filled = this.#fill(expected);
    if (typeof filled === "object" && filled !== null && typeof actual === "object" && actual !== null) {
      if (Array.isArray(filled) && filled.length !== actual.length) throw new Error(`${place}: ${JSON.stringify(actual)}`);
      // What keeps a value comes before what compares with it.
      const members = Object.entries(expected).sort(([, a], [, b]) => Number(keeps(b)) - Number(keeps(a)));
      for (const [name, value] of members) {
        if (!Object.hasOwn(actual, name)) throw new Error(`${place} has no ${name}: ${JSON.stringify(actual)}`);
        this.#fits(value, actual[name], `${place}.${name}`);
      }
    } else if (!isDeepStrictEqual(filled, actual)) {
      throw new Error(`${place} is ${JSON.stringify(actual)}, expected ${JSON.stringify(filled)}`);
    }
  }
}

/** Carries out the cases of a file in `out`. Returns how many there are, and what failed. */
export function runFile(file, out) {
  const failures = [];
  const cases = JSON.parse(readFileSync(file, "utf8"));
  for (const [index, { name, base, steps }] of cases.entries()) {
    const root = join(out, basename(file, ".json"), String(index));
    rmSync(root, { recursive: true, force: true });
    mkdirSync(root, { recursive: true, mode: 0o700 });
    if (base !== undefined) cpSync(resolve(file, "../../stores", base, "files"), root, { recursive: true });
    try {
      new Case(root).run(steps);
    } catch (error) {
      failures.push(`${basename(file)}: ${name}: ${error.message}`);
    }
  }
  return { count: cases.length, failures };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [ops, out] = process.argv.slice(2);
  const files = readdirSync(ops).filter((file) => file.endsWith(".json")).sort();
  const results = files.map((file) => runFile(join(ops, file), out));
  const [count, failures] = [results.reduce((sum, one) => sum + one.count, 0), results.flatMap((one) => one.failures)];
  for (const failure of failures) console.log(failure);
  console.log(`corpus: ${count} cases, ${failures.length} failed`);
  process.exitCode = count === 0 || failures.length > 0 ? 1 : 0;
}
