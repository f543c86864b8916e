// Carries out tests/corpus/values.json: `node tests/values.mjs [FILE]`. Bad input gets the error that the table says.
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { openStoreSync, SessileError } from "../dist/index.js";
import { call, isOperation, operate } from "./support/calls.mjs";

const MESSAGE = { role: "user", parts: [{ type: "text", text: "one" }] };

/** Puts what JSON cannot say where a case names it. */
function fill(value) {
  if (Array.isArray(value)) return value.map(fill);
  if (typeof value !== "object" || value === null) return value;
  switch (value.$) {
    case "lone-surrogate": return "\ud800";
    case "nan": return NaN;
    case "infinity": return Infinity;
    case "2^53": return 2 ** 53;
    case "2^64": return 2 ** 64;
    case "long": return value.text.repeat(value.count);
    case undefined: return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, fill(member)]));
    default: throw new Error(`the table has an unknown value ${value.$}`);
  }
}

/** Makes what a case opens, in `place`. */
function makeRoot(place, { make, mode = "700", marker, below, path }) {
  if (path !== undefined) return path;
  const root = join(place, "root");
  const fifo = (at) => execFileSync("mkfifo", [at]);
  if (make === "file") writeFileSync(root, "a file");
  if (make === "fifo") fifo(root);
  if (make === "directory") {
    mkdirSync(root);
    chmodSync(root, Number.parseInt(mode, 8));
  }
  const at = join(root, "sessile.json");
  if (marker === "fifo") fifo(at);
  if (marker === "noise") writeFileSync(at, "noise\n");
  if (marker === "newer") writeFileSync(at, '{"format":"sessile","version":99,"reader":99}');
  if (marker === "link") {
    writeFileSync(join(place, "other.json"), '{"format":"sessile","version":1,"reader":1}');
    symlinkSync(join(place, "other.json"), at);
  }
  return below === undefined ? root : join(root, below);
}

function makeCall(place, { call: name, args, after }) {
  const store = openStoreSync(place);
  store.create({ id: "s" });
  store.append("s", MESSAGE, { durability: "buffered" });
  if (after === "close") store.close();
  try {
    // What this package makes of values is the matter here, of operations too.
    (isOperation(name) ? operate : call)(store, name, fill(args));
  } finally {
    // What is refused changes nothing.
    const left = openStoreSync(place, { readOnly: true }).get("s");
    if (left.messageCount !== 1 || left.title !== null) throw new Error("the session has changed");
  }
}

function openRoot(place, given) {
  const store = openStoreSync(makeRoot(place, given), { readOnly: given.read_only ?? false });
  if (given.call !== undefined) call(store, given.call, given.args);
}

/** Carries out the table. Returns how many cases there are, and what failed. */
export function runValues(file) {
  const { calls, roots } = JSON.parse(readFileSync(file, "utf8"));
  const failures = [];
  const check = (given, act) => {
    const place = mkdtempSync(join(tmpdir(), "sessile-values-"));
    let got = "no error";
    try {
      act(place, given);
    } catch (error) {
      got = error instanceof SessileError ? error.kind : String(error);
      if (got === given.error) return;
      got = `${got}: ${error.message}`;
    } finally {
      rmSync(place, { recursive: true, force: true });
    }
    failures.push(`${given.name}: expected ${given.error}, got ${got}`);
  };
  for (const given of calls) check(given, makeCall);
  for (const given of roots) check(given, openRoot);
  return { count: calls.length + roots.length, failures };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const file = process.argv[2] ?? fileURLToPath(new URL("../../tests/corpus/values.json", import.meta.url));
  const { count, failures } = runValues(file);
  for (const failure of failures) console.log(failure);
  console.log(`values: ${count} cases, ${failures.length} failed`);
  process.exitCode = count === 0 || failures.length > 0 ? 1 : 0;
}
