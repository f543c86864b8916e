// Carries out a table of the hostile corpus (tests/corpus/README.md): `node tests/hostile.mjs TABLES OUT PART`.
// What tries to break a store gets the verdict that the table says: `ok` or the kind of an error. Prints every outcome
// that is not the table's, and a line of counts.
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { openStoreSync, SessileError } from "../dist/index.js";
import { call, isOperation, operate } from "./support/calls.mjs";

const BUFFERED = { durability: "buffered" };

/** Puts what JSON cannot say, or only at length, where a case names it. */
function fill(value) {
  if (Array.isArray(value)) return value.map(fill);
  if (typeof value !== "object" || value === null) return value;
  switch (value.$) {
    case undefined: return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, fill(member)]));
    case "long": return value.text.repeat(value.count);
    case "list": return Array(value.count).fill(value.item);
    case "concat": return value.texts.map(fill).join("");
    default: {
      const [, exponent, add = "0"] = /^2\^(\d+)([+-]\d+)?$/.exec(value.$);
      return Number(2n ** BigInt(exponent) + BigInt(add.replace("+", "")));
    }
  }
}

/** JSON without the white space outside of its strings: what a store gives back. */
const withoutSpace = (text) => text.replace(/("(?:[^"\\]|\\.)*")|[ \t\n\r]+/g, (_, string) => string ?? "");

/** Bytes as a text: one that is not UTF-8 becomes half of a surrogate pair, so that it is not lost on the way. */
function textOf(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return [...bytes].map((byte) => String.fromCharCode(byte < 0x80 ? byte : 0xdc00 + byte)).join("");
  }
}

class Table {
  constructor(tables, out, part) {
    this.cases = JSON.parse(readFileSync(join(tables, `${part}.json`), "utf8"));
    this.out = out;
    this.count = 0;
    this.skipped = 0;
    this.failures = [];
    this.longest = 0;
  }

  /** Makes a call and returns its answer, if there is one. */
  expect(what, expected, act) {
    const { got, message, answer } = this.verdict(act);
    this.require(got === expected, `${what}: expected ${expected}, got ${got} ${message ?? ""}`);
    return answer;
  }

  require(holds, what) {
    // A failure is one line.
    if (!holds) this.failures.push(JSON.stringify(what));
  }

  verdict(act) {
    const begun = performance.now();
    try {
      return { got: "ok", answer: act() ?? null };
    } catch (error) {
      // Whatever is not the store's own is a fault, of a kind that no table has.
      return { got: error instanceof SessileError ? error.kind : error.constructor.name, message: error.message };
    } finally {
      this.longest = Math.max(this.longest, performance.now() - begun);
    }
  }
}

/** Every text as content, as all of the messages, and as metadata. */
function jsonTexts(table) {
  const store = openStoreSync(join(table.out, "store"));
  store.create({ id: "s" });
  for (const { name, bytes, text: given, verdict } of table.cases) {
    table.count += 1;
    const text = bytes === undefined ? fill(given) : textOf(Buffer.from(bytes, "base64"));
    const content = `[{"role":"user","parts":[{"type":"opaque","data":${text}}]}]`;
    if (table.expect(`${name} as content`, verdict, () => store.appendJson("s", content, BUFFERED)) !== undefined) {
      const { messages } = store.readJson("s", { last: 1 });
      table.require(messages.includes(`"data":${withoutSpace(text)}}]`), `${name}: the content comes back as something else`);
      table.expect(`${name}, read as values`, "ok", () => store.read("s", { last: 1 }));
    }
    table.expect(`${name} as the messages`, "invalid", () => store.appendJson("s", text, BUFFERED));
    const metadata = `{"x":${text}}`;
    const made = table.expect(`${name} as metadata`, verdict, () => store.create({ id: name, metadata }));
    if (made !== undefined) table.require(isDeepStrictEqual(made.metadata, JSON.parse(metadata)), `${name}: other metadata`);
  }
  store.close();
}

/** Every string as what a person or a program may give. */
function strings(table) {
  const store = openStoreSync(join(table.out, "store"));
  store.create({ id: "strings" });
  for (const given of table.cases) {
    table.count += 1;
    string(table, store, given);
  }
  const texts = table.cases.map(({ text }) => text);
  const messages = texts.map((text) => ({ role: "user", parts: [{ type: "text", text }] }));
  table.expect("all of them as content", "ok", () => store.append("strings", messages));
  const back = [...store.messages("strings")].map(({ message }) => message);
  table.require(isDeepStrictEqual(back, messages), "the content comes back as something else");
  names(table, store, texts);
  store.close();
}

function string(table, store, given) {
  const { text } = given;
  for (const [place, value] of [["title", text], ["scope", text], ["tags", [text]]]) {
    const what = `${JSON.stringify(text)} as ${place}`;
    const expected = given[place.replace(/s$/, "")] ?? "ok";
    const session = table.expect(what, expected, () => store.update("strings", { [place]: value }, BUFFERED));
    if (session !== undefined) table.require(isDeepStrictEqual(session[place], value), `${what} comes back as another`);
  }
  const session = table.expect(`${JSON.stringify(text)} as id`, given.id ?? "ok", () => store.create({ id: text }));
  if (session !== undefined) table.require(session.id === text, `${JSON.stringify(text)}: another id comes back`);
}

/** As names of attachments: what is unsafe comes back with the data. */
function names(table, store, texts) {
  const attachments = texts.map((name, number) => ({ name, data: Buffer.from(`file ${number}`).toString("base64") }));
  const content = { attachments };
  const stored = table.expect("all of them as names of attachments", "ok", () => store.storeAttachments({ session: "strings", content }));
  const back = table.expect("all attachments back", "ok", () => store.restoreAttachments({ content: stored.content }));
  table.require(isDeepStrictEqual(back?.content, content), "the attachments come back as something else");
}

/** Every id as that of a session, which takes a message and a state. */
function ids(table) {
  const store = openStoreSync(join(table.out, "store"));
  for (const given of table.cases) {
    table.count += 1;
    const id = fill(given.id);
    const what = JSON.stringify(id.slice(0, 40));
    const session = table.expect(what, given.verdict, () => store.create({ id }));
    if (session === undefined) continue;
    table.require(session.id === id, `${what}: another id comes back`);
    const message = { role: "user", parts: [{ type: "text", text: id }] };
    table.expect(what, "ok", () => store.append(id, message, BUFFERED));
    table.expect(what, "ok", () => store.setState({ session: id, key: "k", value: id, durability: "buffered" }));
  }
  store.close();
}

/** Every limit around its edge, and large numbers, each on a store of its own. */
function limits(table) {
  for (const [number, given] of table.cases.entries()) {
    table.count += 1;
    const root = join(table.out, String(number));
    const store = openStoreSync(root);
    store.create({ id: "s" });
    store.append("s", { role: "user", parts: [{ type: "text", text: "one" }] });
    const args = fill(given.args);
    table.expect(given.name, given.verdict, () => (isOperation(given.call) ? operate : call)(store, given.call, args));
    if (given.back !== undefined) {
      const { messages } = store.readJson("s", { last: 1 });
      table.require(messages.includes(fill(given.back)), `${given.name}: it comes back as something else`);
    }
    const { messages } = store.readJson("s", { from: 1, limit: 1 });
    table.require(messages.includes('"text":"one"'), `${given.name}: the first message is gone`);
    store.close();
    rmSync(root, { recursive: true });
  }
}

/** Stores with something foreign in place of a file: opened for reading alone, then for writing. */
function files(table) {
  for (const [number, given] of table.cases.cases.entries()) {
    const root = join(table.out, String(number), "store");
    if (!existsSync(root)) {
      table.skipped += 1;
      continue;
    }
    table.count += 1;
    for (const mode of ["read", "write"]) {
      const got = probe(table, mode, root);
      const what = `${given.thing} in place of ${given.file}, to ${mode}`;
      const isSame = isDeepStrictEqual(got, given[mode]);
      table.require(isSame, `${what}: ${JSON.stringify(got)} for ${JSON.stringify(given[mode])}`);
    }
  }
}

/** Opens a store and makes the calls of a mode. Returns their verdicts by name. */
function probe(table, mode, root) {
  const { got, answer: store } = table.verdict(() => openStoreSync(root, { readOnly: mode === "read" }));
  const verdicts = { open: got };
  if (store === undefined) return verdicts;
  for (const { name, call: act, args } of table.cases.calls[mode]) {
    verdicts[name] = table.verdict(() => call(store, act, args)).got;
  }
  store.close();
  return verdicts;
}

const PARTS = { json: jsonTexts, strings, ids, limits, files };

const [tables, out, part] = process.argv.slice(2);
const table = new Table(tables, out, part);
PARTS[part](table);
for (const failure of table.failures) console.log(failure);
const counts = `${table.count} cases, ${table.skipped} skipped, ${table.failures.length} failed`;
console.log(`${part}: ${counts}, longest ${Math.round(table.longest)} ms`);
process.exitCode = table.failures.length > 0 || table.count === 0 ? 1 : 0;
