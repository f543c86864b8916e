/** Named counters of a session or of the whole store. Any number of processes add at once, and the totals are exact. */
import type { CallOptions, Durability } from "../types.js";

/** What {@link CountersOperations.addCounters} takes. */
export interface AddCounters extends CallOptions {
  /** The session. Default: the store. */
  readonly session?: string | null | undefined;
  /** Finite numbers by the names of counters, each 1 to 256 bytes. */
  readonly add: Readonly<Record<string, number>>;
  /** The caller's name for this addition: given again it adds nothing. */
  readonly op?: string | null | undefined;
  /** How durable it is on return. */
  readonly durability?: Durability | undefined;
}

/** What {@link CountersOperations.getCounters} takes. */
export interface GetCounters extends CallOptions {
  /** The session. Default: the store. */
  readonly session?: string | null | undefined;
}

/** What {@link CountersOperations.resetCounters} takes. */
export interface ResetCounters extends CallOptions {
  /** The session. Default: the store. */
  readonly session?: string | null | undefined;
  /** Their names. Default: all. */
  readonly names?: readonly string[] | null | undefined;
}

/** The counters as they are now. */
export interface Counters {
  /** The totals by name. */
  counters: Record<string, number>;
}

/** Operations on counters. */
export interface CountersOperations {
  /**
   * Adds to counters, all or none. One that is not there begins at 0; counters may go below it.
   *
   * Guarantee: every acknowledged addition is in the total exactly once, however many processes add.
   *
   * Errors: `invalid` (a number that is not finite, here or as the sum; nothing was added), `not-found`.
   */
  addCounters(request: AddCounters): Counters;
  /** Gives the counters. Errors: `not-found`. */
  getCounters(request?: GetCounters): Counters;
  /** Makes counters absent, so that they begin at 0 again. Errors: `not-found`. */
  resetCounters(request?: ResetCounters): Counters;
}
