/** Sessile: a crash-safe session store for AI agents. See README.md. */
import { open, openSync } from "./store.js";
import type { OpenOptions, Store, StoreSync } from "./types.js";

export {
  ClosedError,
  ConflictError,
  DamagedError,
  InternalError,
  InvalidError,
  NotFoundError,
  SessileError,
  UnavailableError,
  UnsupportedError,
  type ErrorKind,
} from "./errors.js";
export { closeOnExit } from "./exit.js";
export type * from "./types.js";

/**
 * Opens the store in the directory `path`, or makes one there, with its calls in a thread of their own: a sync of some
 * milliseconds does not block the event loop. The thread keeps the process alive only while a call is under way.
 *
 * Opening a store that is there writes nothing, and damage does not prevent it. Errors: `not-found` (read-only and there
 * is none), `unsupported` (a newer format), `damaged` (something else stands there, or others may write to it),
 * `unavailable` (the disk).
 */
export function openStore(path: string, options?: OpenOptions): Promise<Store> {
  return open(path, options);
}

/** Opens a store as `openStore` does, with its calls in this thread: each returns when it is done. */
export function openStoreSync(path: string, options?: OpenOptions): StoreSync {
  return openSync(path, options);
}
