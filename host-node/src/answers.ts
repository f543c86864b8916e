/** What is given out, made of what the component returned. */
import { InternalError } from "./errors.js";
import { KEPT, camelCase } from "./names.js";
import type { Page, StoredMessage } from "./types.js";

/** Makes the component's values JavaScript's: whole numbers are numbers, and what is absent is `null`. */
export function lift(value: unknown): unknown {
  if (typeof value === "bigint") {
    if (value <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(value);
    throw new InternalError(`the store gave the number ${value}, which is beyond 2^53; please report this`);
  }
  if (value instanceof BigUint64Array) return Array.from(value, lift);
  if (Array.isArray(value)) return value.map(lift);
  if (typeof value !== "object" || value === null) return value;
  const lifted: Record<string, unknown> = {};
  for (const [name, member] of Object.entries(value)) lifted[name] = member === undefined ? null : lift(member);
  return lifted;
}

/** A session's metadata is JSON text in the component. */
export function session<S extends { metadata: unknown }>(lifted: S): S {
  if (typeof lifted.metadata === "string") lifted.metadata = JSON.parse(lifted.metadata);
  return lifted;
}

/** A message as the component writes it. */
interface WrittenMessage extends Pick<StoredMessage, "seq" | "id" | "parent" | "message"> {
  readonly created_at: number;
  readonly updated_at: number;
}

function storedMessage({ seq, id, parent, created_at, updated_at, message }: WrittenMessage): StoredMessage {
  return { seq, id, parent, createdAt: created_at, updatedAt: updated_at, message };
}

export function page({ messages, ...rest }: Page<string>): Page {
  return { messages: (JSON.parse(messages) as WrittenMessage[]).map(storedMessage), ...rest };
}

/** What an operation answers: members have JavaScript's names, and what callers have named or given is as it was. */
export function answer(text: string): unknown {
  return renamed(JSON.parse(text));
}

function renamed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(renamed);
  if (typeof value !== "object" || value === null) return value;
  const members = Object.entries(value).map(([name, member]) => {
    if (name === "messages" && Array.isArray(member)) return [name, member.map(storedOrGiven)];
    return [camelCase(name), KEPT.has(name) ? member : renamed(member)];
  });
  return Object.fromEntries(members);
}

/** Messages are either those of a session or what a caller has given; only the latter say themselves who speaks. */
function storedOrGiven(message: object): unknown {
  return "message" in message && !("role" in message) ? storedMessage(message as WrittenMessage) : message;
}
