/**
 * What a store does beside sessions and messages, with the values that it takes and gives. Each operation takes one
 * object. Times are milliseconds since 1970-01-01T00:00:00Z; where one is given, it may be a `Date`.
 */
import type { CallOptions, Durability } from "./types.js";

/** What counters are changed by. */
export interface AddCounters extends CallOptions {
  /** The session. Default: the store. */
  readonly session?: string | null | undefined;
  /** Finite numbers by the names of counters, each 1 to 256 bytes. */
  readonly add: Readonly<Record<string, number>>;
  /** The caller's name for this addition: given again it adds nothing. */
  readonly op?: string | null | undefined;
  /** How far it must have come on return. Default: `synced`. */
  readonly durability?: Durability | null | undefined;
}

/** Whose counters are read. */
export interface GetCounters extends CallOptions {
  /** The session. Default: the store. */
  readonly session?: string | null | undefined;
}

/** Which counters begin anew. */
export interface ResetCounters extends CallOptions {
  /** The session. Default: the store. */
  readonly session?: string | null | undefined;
  /** Their names. Default: all. */
  readonly names?: readonly string[] | null | undefined;
}

/** Counters as they are now. */
export interface Counters {
  /** The totals by name. */
  counters: Record<string, number>;
}

/** The operations of a store. Errors beside those of every call are named with each. */
export interface Operations {
  /**
   * Adds to counters, all or none. One that is not there begins at 0; counters may go below it. Every acknowledged
   * addition is in the total exactly once, however many processes add. A session or the store has at most 10,000.
   *
   * Errors: `invalid` (a sum that is not finite; nothing was added); `not-found`.
   */
  addCounters(request: AddCounters): Counters;
  /** Returns the counters. Errors: `not-found`. */
  getCounters(request?: GetCounters): Counters;
  /** Makes counters absent, so that they begin at 0 again. Errors: `not-found`. */
  resetCounters(request?: ResetCounters): Counters;
}
