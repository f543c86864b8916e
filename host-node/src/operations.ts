/**
 * The operations of a store, as a table: what each takes. One is an entry here, and a method and its values in
 * `operation-types.ts`, which this must agree with to compile. Names in the contract follow from the names here.
 */
import { answer } from "./answers.js";
import { snakeCase } from "./names.js";
import { finite, list, named, oneOf, optional, required, text, write, type Member, type Members } from "./shapes.js";
import type { Call } from "./calls.js";
import type { Operations } from "./operation-types.js";
import type { CallOptions } from "./types.js";

/** For each member of an operation's request its shape. */
type Requests = {
  readonly [Name in keyof Operations]: {
    readonly [Key in Exclude<keyof NonNullable<Parameters<Operations[Name]>[0]>, keyof CallOptions>]: Member;
  };
};

const session = optional(text);
const op = optional(text);
const durability = optional(oneOf("buffered", "synced"));

const requests: Requests = {
  addCounters: { session, add: required(named(finite)), op, durability },
  getCounters: { session },
  resetCounters: { session, names: optional(list(text)) },
};

function operation(method: string, members: Members): Call {
  const name = snakeCase(method);
  return { name: "operate", args: [], options: members, order: (request) => [name, write(request)], answer };
}

export const operations = Object.fromEntries(
  Object.entries(requests).map(([method, members]) => [method, operation(method, members)]),
) as { readonly [Name in keyof Operations]: Call };
