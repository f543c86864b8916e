/**
 * Values of frameworks as messages: what is said stands in parts, where everybody finds it, and everything else in one
 * member. What comes back is deeply equal to what went in.
 */
import { InvalidError } from "../errors.js";
import type { Message, Part } from "../types.js";

/** The members whose texts are what is said. */
const SAID = new Map([["text", "text"], ["content", "text"], ["thinking", "thinking"]] as const) as ReadonlyMap<string, "text" | "thinking">;
/** In the place of a text that stands in a part, by its number. */
const PART = "$part";
/** In the place of bytes, in base64. */
const BYTES = "$bytes";
/** In the place of a text that has no UTF-8: its UTF-16, in base64. */
const UTF16 = "$utf16";
/** Around an object that would be taken for one of these. */
const OBJECT = "$object";
const MARKS = new Set([PART, BYTES, UTF16, OBJECT]);

/** Makes a message of a value, which stands in its member `name`. Errors: `invalid` (what JSON cannot say). */
export function messageOf(role: Message["role"], name: string, value: unknown, id?: string): Message {
  const parts: Part[] = [];
  const rest = lower(value, parts, undefined);
  return { role, ...(id === undefined ? {} : { id }), parts, [name]: rest };
}

/** Gives the value of a message back. */
export function valueOf(message: Message, name: string): unknown {
  return lift(message[name], message.parts);
}

/** Makes JSON of a value; what is said goes to `parts`, where there are any. */
function lower(value: unknown, parts: Part[] | null, name: string | undefined): unknown {
  switch (typeof value) {
    case "string": {
      if (!value.isWellFormed()) return { [UTF16]: Buffer.from(value, "utf16le").toString("base64") };
      const type = name === undefined ? undefined : SAID.get(name);
      if (type === undefined || parts === null) return value;
      parts.push({ type, text: value });
      return { [PART]: parts.length - 1 };
    }
    case "boolean":
      return value;
    case "number":
      if (Number.isFinite(value)) return value;
      break;
    case "object":
      if (value === null) return null;
      if (value instanceof Uint8Array) {
        return { [BYTES]: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64") };
      }
      if (Array.isArray(value)) return value.map((member: unknown) => lower(member ?? null, parts, undefined));
      return lowerObject(value, parts);
  }
  throw new InvalidError(`a value of type ${typeof value} cannot be stored`);
}

function lowerObject(value: object, parts: Part[] | null): unknown {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== null && Object.getPrototypeOf(prototype) !== null) {
    throw new InvalidError("an object of a class of its own cannot be stored; give a plain one");
  }
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  const lowered = Object.fromEntries(members.map(([name, member]) => [name, lower(member, parts, name)]));
  return members.some(([name]) => MARKS.has(name)) ? { [OBJECT]: lowered } : lowered;
}

function lift(value: unknown, parts: readonly Part[]): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map((member: unknown) => lift(member, parts));
  const entries = Object.entries(value) as [string, unknown][];
  const [mark, what] = entries[0] ?? [];
  if (entries.length === 1) {
    if (mark === PART) return (parts[what as number] as { text: string } | undefined)?.text;
    if (mark === BYTES) return new Uint8Array(Buffer.from(what as string, "base64"));
    if (mark === UTF16) return Buffer.from(what as string, "base64").toString("utf16le");
  }
  const plain = entries.length === 1 && mark === OBJECT ? (Object.entries(what as object) as [string, unknown][]) : entries;
  return Object.fromEntries(plain.map(([name, member]) => [name, lift(member, parts)]));
}

/** The text of a value that is the same for equal values, whatever the order of members. */
export function canonical(value: unknown): string {
  return JSON.stringify(lower(value, null, undefined), (_, member: unknown) =>
    typeof member === "object" && member !== null && !Array.isArray(member)
      ? Object.fromEntries(Object.entries(member).sort(([a], [b]) => (a < b ? -1 : 1)))
      : member,
  );
}
