/**
 * The shapes of what callers give, as values: each checks a value and puts it into the form that the component takes.
 *
 * A call's arguments are described by combining these (see `calls.ts`); whatever does not fit is `invalid` before the
 * component is called. The limits of lengths are the core's business.
 */
import { InvalidError } from "./errors.js";
import { snakeCase } from "./names.js";

/** Checks a value and returns it as the component takes it. `at` names the value in messages. */
export type Shape = (value: unknown, at: string) => unknown;

/** A member that may be left out, with what it then is. */
export interface Member {
  readonly shape: Shape;
  readonly absent?: { readonly value: unknown };
  /** Whether `null` is as good as leaving it out. */
  readonly isNullAbsent?: boolean;
}

function refuse(at: string, value: unknown, wanted: string): never {
  // The value is content and not shown, only what it is.
  const given = value === null ? "null" : Array.isArray(value) ? "an array" : typeof value;
  throw new InvalidError(`\`${at}\` must be ${wanted}, not ${given === "object" ? "an object" : given}`);
}

/** Text that can be written as UTF-8. */
export const text: Shape = (value, at) => {
  if (typeof value !== "string") refuse(at, value, "a string");
  if (!value.isWellFormed()) throw new InvalidError(`\`${at}\` has half a surrogate pair; send whole characters`);
  return value;
};

export const flag: Shape = (value, at) => (typeof value === "boolean" ? value : refuse(at, value, "a boolean"));

function integer(value: unknown, at: string, max: number): number {
  if (typeof value !== "number") refuse(at, value, "a number");
  if (Number.isInteger(value) && value >= 0 && value <= max) return value;
  throw new InvalidError(`\`${at}\` must be a whole number from 0 to below 2^${Math.log2(max + 1)}, not ${value}`);
}

/** A number that every language holds exactly: below 2^53. */
export const count: Shape = (value, at) => BigInt(integer(value, at, Number.MAX_SAFE_INTEGER));

/** A time: milliseconds since 1970, or a `Date`. */
export const time: Shape = (value, at) => count(value instanceof Date ? value.getTime() : value, at);

/** Any number that JSON can say. */
export const finite: Shape = (value, at) => {
  if (typeof value !== "number") refuse(at, value, "a number");
  if (Number.isFinite(value)) return value;
  throw new InvalidError(`\`${at}\` must be finite, not ${value}`);
};

/** A number below 2^32. */
export const size: Shape = (value, at) => integer(value, at, 0xffff_ffff);

export const oneOf =
  (...names: readonly string[]): Shape =>
  (value, at) => {
    if (typeof value === "string" && names.includes(value)) return value;
    throw new InvalidError(`\`${at}\` must be one of ${names.join(", ")}`);
  };

export const list =
  (element: Shape): Shape =>
  (value, at) =>
    Array.isArray(value) ? value.map((one, index) => element(one, `${at}[${index}]`)) : refuse(at, value, "an array");

/** JSON: text as it is, or a value that is written as text. */
export const json: Shape = (value, at) => (typeof value === "string" ? text(value, at) : stringify(value, at));

/** JSON text that a request has as it is. */
export const raw =
  (shape: Shape): Shape =>
  (value, at) =>
    new Written(shape(value, at) as string);

/** JSON of the caller's own inside of a request: any value, and a string is one too. */
export const value: Shape = raw(stringify);

/** An object whose names are the caller's own. */
export const named =
  (element: Shape): Shape =>
  (value, at) => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) refuse(at, value, "an object");
    const members = Object.entries(value).map(([name, member]) => {
      return `${JSON.stringify(text(name, `a name in ${at}`))}:${write(element(member, `${at}.${name}`))}`;
    });
    return new Written(`{${members.join()}}`);
  };

/** Messages: one, or an array of them, written as the text of an array. */
export const messages: Shape = (value, at) => {
  if (typeof value !== "object" || value === null) refuse(at, value, "a message or an array of messages");
  return stringify(Array.isArray(value) ? value : [value], at);
};

/** A message by number or by id. */
export const reference: Shape = (value, at) => {
  if (typeof value === "string") return { tag: "id", val: text(value, at) };
  if (typeof value === "number") return { tag: "seq", val: count(value, at) };
  return refuse(at, value, "the number or the id of a message");
};

export const required = (shape: Shape): Member => ({ shape });
/** Left out or `null` it is absent. */
export const optional = (shape: Shape): Member => ({ shape, absent: { value: undefined }, isNullAbsent: true });
/** Left out it is absent; `null` is refused. */
export const maybe = (shape: Shape): Member => ({ shape, absent: { value: undefined } });
/** Left out it is `value`. */
export const otherwise = (value: unknown, shape: Shape): Member => ({ shape, absent: { value } });
/** Left out it stays, `null` clears it. */
export const clearable = (shape: Shape): Member => ({
  shape: (value, at) => ({ tag: "some", val: value === null ? undefined : shape(value, at) }),
  absent: { value: { tag: "none" } },
});

/** What a session is doing. */
export const status = oneOf("active", "running", "idle", "done", "error", "closed", "interrupted");
/** How far a write must have come on return. */
export const durability = otherwise("synced", oneOf("buffered", "synced"));

export type Members = Readonly<Record<string, Member>>;

/** An object with these members and no others: an unknown one is a typing mistake. */
export function record(members: Members): Shape {
  const known = new Map(Object.entries(members));
  return (value, at) => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) refuse(at, value, "an object");
    for (const name of Object.keys(value)) {
      if (known.has(name)) continue;
      throw new InvalidError(`\`${at}\` has no member ${JSON.stringify(name)}; it has ${[...known.keys()].join(", ")}`);
    }
    const lowered: Record<string, unknown> = {};
    for (const [name, { shape, absent, isNullAbsent }] of known) {
      const member: unknown = (value as Record<string, unknown>)[name];
      const isAbsent = member === undefined || (member === null && isNullAbsent === true);
      if (isAbsent && absent === undefined) throw new InvalidError(`\`${at}\` needs the member \`${name}\``);
      lowered[name] = isAbsent ? absent?.value : shape(member, `${at}.${name}`);
    }
    return lowered;
  };
}

/** One of several objects, told apart by the member that has the name of the case. */
export function variant(cases: Readonly<Record<string, { shape: Shape; tag?: string; val: (lowered: never) => unknown }>>): Shape {
  const entries = Object.entries(cases);
  return (value, at) => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) refuse(at, value, "an object");
    for (const [name, { shape, tag, val }] of entries) {
      if (!Object.hasOwn(value, name)) continue;
      return { tag: tag ?? name, val: val(shape(value, at) as never) };
    }
    throw new InvalidError(`\`${at}\` must have one of the members ${entries.map(([name]) => name).join(", ")}`);
  };
}

/** What stands in a request as it is, among values that are still to be written. */
class Written {
  constructor(readonly text: string) {}
}

/** Writes what shapes have made as JSON: members have the contract's names, and those that are absent are left out. */
export function write(value: unknown): string {
  if (value instanceof Written) return value.text;
  if (typeof value === "bigint") return String(value);
  if (Array.isArray(value)) return `[${value.map(write).join()}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  return `{${members.map(([name, member]) => `"${snakeCase(name)}":${write(member)}`).join()}}`;
}

function stringify(value: unknown, at: string): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch (error) {
    throw new InvalidError(`\`${at}\` cannot be written as JSON: it has a cycle, a BigInt, or too many levels`, {
      cause: error,
    });
  }
  if (text === undefined) refuse(at, value, "a value that JSON has");
  // JSON.stringify writes `null` for what JSON cannot say. Only where it did must all values be looked at.
  if (text.includes("null")) checkValues(value, at);
  return text;
}

/** Only `at` is named, because member names of messages are content. */
function checkValues(value: unknown, at: string): void {
  if (typeof value === "number" && !Number.isFinite(value)) {
    throw new InvalidError(`\`${at}\` holds ${value}, which JSON cannot say`);
  }
  if (Array.isArray(value)) {
    // A loop, because `forEach` leaves out holes.
    for (let index = 0; index < value.length; index += 1) {
      const element: unknown = value[index];
      if (element === undefined || typeof element === "function" || typeof element === "symbol") {
        throw new InvalidError(`\`${at}\` holds an array with ${typeof element} in it, which JSON cannot say`);
      }
      checkValues(element, at);
    }
  } else if (typeof value === "object" && value !== null) {
    for (const member of Object.values(value)) checkValues(member, at);
  }
}
