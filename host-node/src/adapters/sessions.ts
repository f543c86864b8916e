/** What the adapters share: which session is whose, one turn at a time, and trying again when somebody was first. */
import { createHash } from "node:crypto";
import { ConflictError, NotFoundError, SessileError } from "../errors.js";
import type { NewSession, Session, Store, StoreSync } from "../types.js";

/** Either kind of open store. */
export type AnyStore = Store | StoreSync;

/** What all adapters are made with. */
export interface AdapterOptions {
  /** The scope of the sessions: adapters of different scopes do not see each other's. Default: empty. */
  readonly scope?: string | undefined;
}

const ID_BYTES_MAX = 256;
const TRIES_MAX = 100;
const GONE_TRIES_MAX = 5;

/** Returns the id of the session that stands for keys. What no id can hold is in it as a digest. */
export function sessionId(prefix: string, ...keys: readonly string[]): string {
  const last = keys.length - 1;
  // All but the last are without colons, so that no two lists of keys are one.
  const escaped = keys.map((key, place) => (place === last ? key : key.replaceAll("%", "%25").replaceAll(":", "%3A")));
  const id = [prefix, ...escaped].join(":");
  const fits = Buffer.byteLength(id) <= ID_BYTES_MAX && !/[\u0000-\u001f\u007f-\u009f]/.test(id) && id.isWellFormed();
  return fits ? id : `${prefix}#${digest(JSON.stringify(keys))}`;
}

/** A short name for a text: 132 bits of SHA-256 over its UTF-16. */
export function digest(text: string): string {
  return createHash("sha256").update(Buffer.from(text, "utf16le")).digest("base64url").slice(0, 22);
}

/** Finds a session; `null` where there is none, or it is in the trash. */
export async function look(store: AnyStore, id: string): Promise<Session | null> {
  try {
    const session = await store.get(id);
    return session.trashedAt === null ? session : null;
  } catch (error) {
    if (error instanceof NotFoundError) return null;
    throw error;
  }
}

/**
 * Finds a session or makes it, whoever else does so too. Errors: `conflict` where it is in the trash: somebody has put
 * it there, and writing to it or replacing it would undo that.
 */
export async function ensure(store: AnyStore, id: string, facts: NewSession): Promise<Session> {
  const session = await get(store, id);
  if (session !== null) return checked(session);
  try {
    return await store.create({ ...facts, id });
  } catch (error) {
    const made = error instanceof ConflictError ? await get(store, id) : null;
    if (made === null) throw error;
    return checked(made);
  }
}

async function get(store: AnyStore, id: string): Promise<Session | null> {
  try {
    return await store.get(id);
  } catch (error) {
    if (error instanceof NotFoundError) return null;
    throw error;
  }
}

function checked(session: Session): Session {
  if (session.trashedAt === null) return session;
  throw new ConflictError(`session ${JSON.stringify(session.id)} is in the trash; restore it or purge it first`);
}

/** Removes a session for good. Does nothing where there is none. */
export async function remove(store: AnyStore, id: string): Promise<void> {
  try {
    await store.trash(id);
    await store.purge(id);
  } catch (error) {
    // Somebody else has removed it meanwhile.
    if (!(error instanceof NotFoundError)) throw error;
  }
}

/**
 * Decides and writes again until nobody was in between: `act` reads afresh each time and writes with the head that it has
 * read. An outcome that is unknown is given to the caller.
 */
export async function settle<Result>(act: () => Promise<Result>): Promise<Result> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await act();
    } catch (error) {
      // A session may be removed and made again while it is written to; that does not go on for long.
      const isGone = error instanceof SessileError && error.kind === "not-found";
      const triesMax = error instanceof Raced ? TRIES_MAX : isGone ? GONE_TRIES_MAX : 0;
      if (tries >= triesMax) throw error instanceof Raced ? error.cause : error;
    }
  }
}

/** A write that came second: `settle` decides again. */
class Raced extends Error {}

/** Marks a conflict of this write as one that is decided again. */
export async function contested<Result>(write: () => Result | Promise<Result>): Promise<Result> {
  try {
    return await write();
  } catch (cause) {
    throw cause instanceof ConflictError ? new Raced("", { cause }) : cause;
  }
}

/** Lets what is done for one key wait for what was begun before. */
export class Turns {
  readonly #last = new Map<string, Promise<unknown>>();

  /** Runs `act` behind everything that was given for this key before. */
  async take<Result>(key: string, act: () => Promise<Result>): Promise<Result> {
    const before = this.#last.get(key) ?? Promise.resolve();
    const mine = before.then(act, act);
    const settled = mine.catch(() => undefined);
    this.#last.set(key, settled);
    try {
      return await mine;
    } finally {
      if (this.#last.get(key) === settled) this.#last.delete(key);
    }
  }
}

/** A map that keeps what was used last, up to a sum of sizes. */
export class Recent<Value> {
  readonly #entries = new Map<string, { value: Value; size: number }>();
  #size = 0;

  constructor(readonly sizeMax: number) {}

  get(key: string): Value | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    return entry.value;
  }

  set(key: string, value: Value, size: number): void {
    this.delete(key);
    this.#entries.set(key, { value, size });
    this.#size += size;
    for (const [oldest] of this.#entries) {
      if (this.#size <= this.sizeMax || oldest === key) break;
      this.delete(oldest);
    }
  }

  delete(key: string): void {
    this.#size -= this.#entries.get(key)?.size ?? 0;
    this.#entries.delete(key);
  }
}
