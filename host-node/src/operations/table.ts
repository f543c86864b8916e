/**
 * The operations of a store, as a table: what each takes. One is an entry here, and a method with its values in the file
 * of its kind, which this must agree with to compile. Names in the contract follow from the names here.
 */
import { answer } from "../answers.js";
import { snakeCase } from "../names.js";
import {
  durability,
  finite,
  list,
  named,
  optional,
  required,
  text,
  write,
  type Member,
  type Members,
} from "../shapes.js";
import type { Call } from "../calls.js";
import type { CallOptions } from "../types.js";
import type * as Types from "./types.js";

/** For each member of a value its shape. */
type Shapes<Value> = { readonly [Name in Exclude<keyof Value, keyof CallOptions>]-?: Member };

/** For each operation the shapes of its request. */
type Requests = {
  readonly [Name in keyof Types.Operations]: Shapes<NonNullable<Parameters<Types.Operations[Name]>[0]>>;
};

const session = optional(text);
const op = optional(text);


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
) as { readonly [Name in keyof Requests]: Call };
