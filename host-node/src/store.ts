/** Opening a store: in the caller's thread or in one of its own, with the same calls. */
import { preparers, type Prepared } from "./calls.js";
import { Engine, type Machine } from "./engine.js";
import { ClosedError, DamagedError, InvalidError } from "./errors.js";
import { count, flag, oneOf, optional, otherwise, record, size, text } from "./shapes.js";
import type { Threads } from "./client.js";
import type { Seam } from "./disk.js";
import type {
  Calls,
  MessagesOptions,
  OpenOptions,
  Page,
  Select,
  SessionPage,
  SessionsQuery,
  Signal,
  Store,
  StoreSync,
} from "./types.js";

/** What tests put in the place of the machine. */
export interface Testing {
  readonly machine?: Machine;
  readonly seam?: Partial<Seam>;
}

/** For `closeOnExit`: what closes a store at once, without promises. */
export const closers = new WeakMap<object, () => void>();

/** For tests of the contract itself, whose `close` leaves the instance usable. */
export const engines = new WeakMap<StoreSync, Engine>();

const openOptions = record({ readOnly: otherwise(false, flag) });

function checkOpening(path: unknown, options: unknown): { path: string; readOnly: boolean } {
  const checked = text(path, "path") as string;
  if (checked === "" || checked.includes("\0")) {
    throw new InvalidError("`path` must name a directory: it is empty or has a NUL in it");
  }
  return { path: checked, readOnly: (openOptions(options, "options") as { readOnly: boolean }).readOnly };
}

/** As `openStoreSync`. */
export function openSync(path: string, options: OpenOptions = {}, testing: Testing = {}): StoreSync {
  const checked = checkOpening(path, options);
  const seam = testing.seam === undefined ? {} : { seam: testing.seam };
  const engine = new Engine(checked.path, { readOnly: checked.readOnly, ...seam }, testing.machine);
  let isClosed = false;
  const calls = methods((prepare) => {
    if (isClosed) throw closed();
    const prepared = prepare();
    if (prepared.signal?.aborted) throw prepared.signal.reason;
    return prepared.lift(engine.call(prepared.name, prepared.args));
  }) as unknown as Calls;
  const close = () => {
    if (isClosed) return;
    isClosed = true;
    try {
      engine.call("close", []);
    } finally {
      engine.dispose();
    }
  };
  const store: StoreSync = {
    ...calls,
    *messages(id, options) {
      const all = allMessages(options);
      for (let select: Select | undefined = all.first; select !== undefined; ) {
        const page = calls.read(id, select, all.options);
        yield* all.check(id, page).messages;
        select = all.next(page);
      }
    },
    *sessions(query) {
      const all = allSessions(query);
      for (let cursor: string | null | undefined; cursor !== null; ) {
        const page: SessionPage = calls.list({ ...all, cursor });
        yield* page.sessions;
        cursor = page.next;
      }
    },
    close,
    [Symbol.dispose]: close,
  };
  closers.set(store, close);
  engines.set(store, engine);
  return Object.freeze(store);
}

/** As `openStore`. */
export async function open(path: string, options: OpenOptions = {}, threads?: Threads): Promise<Store> {
  const checked = checkOpening(path, options);
  // Loaded when it is needed: a program with a store in its own thread has no other.
  const { Client } = await import("./client.js");
  const client = new Client(checked, threads);
  await client.open();
  let closing: Promise<void> | undefined;
  const calls = methods(async (prepare) => {
    if (closing !== undefined) throw closed();
    const { name, args, signal, lift } = prepare();
    return lift(await client.call(name, args, signal));
  }) as unknown as Pick<Store, keyof Calls>;
  const close = () => (closing ??= client.close());
  const store: Store = {
    ...calls,
    async *messages(id, options) {
      const all = allMessages(options);
      for (let select: Select | undefined = all.first; select !== undefined; ) {
        const page = await calls.read(id, select, all.options);
        yield* all.check(id, page).messages;
        select = all.next(page);
      }
    },
    async *sessions(query) {
      const all = allSessions(query);
      for (let cursor: string | null | undefined; cursor !== null; ) {
        const page: SessionPage = await calls.list({ ...all, cursor });
        yield* page.sessions;
        cursor = page.next;
      }
    },
    close,
    [Symbol.asyncDispose]: close,
  };
  closers.set(store, () => {
    closing ??= Promise.resolve();
    client.closeNow();
  });
  return Object.freeze(store);
}

/** Makes the methods of a store from the table of calls. */
function methods(run: (prepare: () => Prepared) => unknown): Record<string, (...args: unknown[]) => unknown> {
  return Object.fromEntries(
    [...preparers].map(([name, prepare]) => [name, (...args: unknown[]) => run(() => prepare(args))]),
  );
}

function closed(): ClosedError {
  return new ClosedError("the store was closed; open it again");
}

const signal = optional((value) => value);
const messagesOptions = record({
  from: otherwise(1, count),
  pageSize: otherwise(1000, size),
  unreadable: otherwise("fail", oneOf("fail", "skip")),
  signal,
});
const sessionsQuery = record({
  scope: optional(text),
  trashed: otherwise(false, flag),
  pageSize: otherwise(100, size),
  signal,
});

function allMessages(given: MessagesOptions = {}) {
  const checked = messagesOptions(given, "options") as { pageSize: number; unreadable: string; signal?: Signal };
  const limit = checked.pageSize;
  return {
    first: { from: given.from ?? 1, limit } as Select,
    options: { signal: checked.signal },
    next: ({ next }: Page): Select | undefined => (next === null ? undefined : { cursor: next, limit }),
    /** To leave out what cannot be read without a word could change what a model is told. */
    check: (id: string, page: Page): Page => {
      if (page.unreadable.length === 0 || checked.unreadable === "skip") return page;
      const numbers = page.unreadable.slice(0, 10).join(", ");
      throw new DamagedError(
        `session ${JSON.stringify(id)}: messages ${numbers} cannot be read; leave them out with \`unreadable: "skip"\``,
      );
    },
  };
}

function allSessions(given: SessionsQuery = {}) {
  const { scope, trashed, pageSize, signal } = sessionsQuery(given, "query") as Record<string, never>;
  return { scope, trashed, limit: pageSize, signal };
}
