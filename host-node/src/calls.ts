/**
 * The calls of a store, as a table: what each takes, how its arguments reach the component, and how its answer is given
 * out. A function of `wit/sessions.wit` is one entry here and one method in `types.ts`; operations stand in
 * `operations/table.ts`.
 */
import { lift, page, session } from "./answers.js";
import { InvalidError } from "./errors.js";
import { operations } from "./operations/table.js";
import {
  clearable,
  count,
  durability,
  flag,
  json,
  list,
  maybe,
  messages,
  optional,
  otherwise,
  record,
  reference,
  required,
  size,
  status,
  text,
  time,
  variant,
  type Members,
  type Shape,
} from "./shapes.js";
import type { Calls, Signal } from "./types.js";

/** One call. */
export interface Call {
  /** The component's function, where it has another name. */
  readonly name?: string;
  /** The arguments before the options. */
  readonly args: readonly (readonly [name: string, shape: Shape, absent?: unknown])[];
  /** The members of the options, beside `signal`. */
  readonly options?: Members;
  /** Puts the arguments in the component's order. Default: as they are, with the options behind them if there are any. */
  readonly order?: (options: Record<string, unknown>, ...args: unknown[]) => readonly unknown[];
  /** Makes what is given out of what the component returned, after numbers and absences are JavaScript's. */
  readonly answer?: (lifted: never) => unknown;
}

/** A call ready for the component. */
export interface Prepared {
  readonly name: string;
  readonly args: readonly unknown[];
  readonly signal: Signal | undefined;
  /** Makes what is given out of what the component returns. */
  lift(returned: unknown): unknown;
}

const newSession = record({
  id: optional(text),
  scope: otherwise("", text),
  title: optional(text),
  titleManual: otherwise(false, flag),
  agent: optional(text),
  provider: optional(text),
  model: optional(text),
  status: otherwise("active", status),
  parent: optional(text),
  tags: otherwise([], list(text)),
  metadata: optional(json),
  createdAt: optional(time),
});

const sessionPatch = record({
  scope: maybe(text),
  title: clearable(text),
  titleManual: maybe(flag),
  agent: clearable(text),
  provider: clearable(text),
  model: clearable(text),
  status: maybe(status),
  tags: maybe(list(text)),
  metadata: clearable(json),
});

const writeOptions = {
  durability,
  expectHead: optional(count),
  op: optional(text),
  at: optional(time),
};

const limit = otherwise(100, size);

const select = variant({
  last: { shape: record({ last: required(size) }), val: ({ last }: { last: unknown }) => last },
  from: {
    shape: record({ from: required(count), limit }),
    val: ({ from, limit }: { from: unknown; limit: unknown }) => ({ seq: from, limit }),
  },
  cursor: { shape: record({ cursor: required(text), limit }), val: (cursor: unknown) => cursor },
});

const addedText = record({ part: required(count), text: required(text), at: optional(count) });

const change = variant({
  patch: { shape: record({ patch: required(json) }), val: ({ patch }: { patch: unknown }) => patch },
  addParts: {
    shape: record({ addParts: required(json) }),
    tag: "add-parts",
    val: ({ addParts }: { addParts: unknown }) => addParts,
  },
  addText: {
    shape: record({ addText: required(addedText) }),
    tag: "add-text",
    val: ({ addText }: { addText: unknown }) => addText,
  },
});

const id = ["id", text] as const;
const to = ["to", reference] as const;

export const calls: { readonly [Name in keyof Calls]: Call } = {
  create: { args: [["session", newSession, {}]], answer: session },
  get: { args: [id], answer: session },
  update: { args: [id, ["patch", sessionPatch]], options: writeOptions, answer: session },
  touch: { args: [id], answer: session },
  trash: { args: [id], answer: session },
  restore: { args: [id], answer: session },
  purge: { args: [id] },
  append: { args: [id, ["messages", messages]], options: writeOptions },
  appendJson: { name: "append", args: [id, ["messages", text]], options: writeOptions },
  updateMessage: { args: [id, ["message", reference], ["change", change]], options: writeOptions },
  sync: { args: [id] },
  read: { args: [id, ["select", select]], answer: page },
  readJson: { name: "read", args: [id, ["select", select]] },
  fork: {
    args: [id],
    options: { at: optional(reference), id: optional(text), title: optional(text) },
    answer: session,
  },
  detach: { args: [id] },
  compact: { args: [id] },
  revert: {
    args: [id, to],
    options: { ...writeOptions, inclusive: otherwise(false, flag) },
    order: ({ inclusive, ...options }, id, to) => [id, to, inclusive, options],
    answer: session,
  },
  unrevert: { args: [id], options: writeOptions, answer: session },
  switch: { args: [id, to], options: writeOptions, answer: session },
  branches: { args: [id] },
  list: {
    name: "listSessions",
    args: [],
    options: {
      scope: optional(text),
      trashed: otherwise(false, flag),
      cursor: optional(text),
      // 0 is the component's word for its default.
      limit: otherwise(0, size),
    },
    answer: (page: { sessions: { metadata: unknown }[] }) => {
      page.sessions.forEach(session);
      return page;
    },
  },
  resolve: {
    args: [["text", text]],
    options: { scope: optional(text) },
    order: ({ scope }, text) => [text, scope],
    answer: session,
  },
  doctor: {
    args: [],
    options: { repair: otherwise(false, flag) },
    order: ({ repair }) => [repair],
    answer: (report: string) => JSON.parse(report),
  },
  ...operations,
};

const signal: Shape = (value, at) => {
  if (typeof value === "object" && value !== null && "aborted" in value && "addEventListener" in value) return value;
  throw new InvalidError(`\`${at}\` must be an AbortSignal`);
};

/** Returns, for each call, what checks its arguments and prepares it. */
function preparer(method: string, call: Call): (given: readonly unknown[]) => Prepared {
  const { name = method, args, answer } = call;
  const order = call.order ?? ((options, ...rest) => (call.options === undefined ? rest : [...rest, options]));
  const options = record({ ...call.options, signal: optional(signal) });
  return (given) => {
    if (given.length > args.length + 1) {
      const most = args.length === 0 ? "1 argument" : `${args.length + 1} arguments`;
      throw new InvalidError(`\`${method}\` takes at most ${most}, not ${given.length}`);
    }
    const lowered = args.map(([at, shape, absent], index) => shape(given[index] === undefined ? absent : given[index], at));
    const { signal, ...rest } = options(given[args.length] ?? {}, "options") as Record<string, unknown>;
    return {
      name,
      args: order(rest, ...lowered),
      signal: signal as Signal | undefined,
      lift: (returned) => {
        const lifted = lift(returned);
        return answer === undefined ? lifted : answer(lifted as never);
      },
    };
  };
}

export const preparers = new Map(Object.entries(calls).map(([method, call]) => [method, preparer(method, call)]));
