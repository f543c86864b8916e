/**
 * The ledger of what models have used: tokens by kind and cost, by session, scope, model and day.
 *
 * Sums stand beside the messages, so a revert or a rewrite does not change them, a fork begins with none, and what a
 * purged session has used stays counted. What is not known is counted as unknown and never as 0.
 */
import type { CallOptions, Durability, Time } from "../types.js";

/** Amounts: tokens and money. `null` and absent: not known. */
export interface Amounts {
  /** Tokens that the model was given. */
  readonly input?: number | null | undefined;
  /** Tokens that it gave. */
  readonly output?: number | null | undefined;
  /** Tokens read from a cache. */
  readonly cacheRead?: number | null | undefined;
  /** Tokens written to a cache. */
  readonly cacheWrite?: number | null | undefined;
  /** Money, in the caller's currency. */
  readonly cost?: number | null | undefined;
}

/** Amounts as far as they are known. */
export type KnownAmounts = { [Kind in keyof Amounts]-?: number | null };

/** What {@link UsageOperations.addUsage} takes. */
export interface AddUsage extends CallOptions {
  /** The session. */
  readonly session: string;
  /** The model. Default: the session's. */
  readonly model?: string | null | undefined;
  /** How much. */
  readonly amounts: Amounts;
  /** Whether the amounts are all that `source` has used so far. */
  readonly absolute?: boolean | undefined;
  /** Who counts, for `absolute`: 1 to 256 bytes. */
  readonly source?: string | null | undefined;
  /** When. Default: now. Says which day (UTC) it belongs to. */
  readonly usedAt?: Time | null | undefined;
  /** The caller's name for this entry: given again it adds nothing. */
  readonly op?: string | null | undefined;
  /** How durable it is on return. */
  readonly durability?: Durability | undefined;
}

/** What {@link UsageOperations.getUsage} takes. */
export interface GetUsage extends CallOptions {
  /** Of this session. */
  readonly session?: string | null | undefined;
  /** Of all sessions of this scope. */
  readonly scope?: string | null | undefined;
  /** What to group by. */
  readonly by?: GroupBy | null | undefined;
}

/** Sums of usage. */
export interface Usage {
  /** Everything. */
  total: Totals;
  /** By what was asked for, in the order of the keys. */
  groups: Group[];
}

/** A group of usage. */
export interface Group {
  /** The session, scope, model or day. */
  key: string | null;
  /** Its sums. */
  total: Totals;
}

/** Sums: `null` where nothing is known. */
export interface Totals {
  /** The sums of what is known. */
  amounts: KnownAmounts;
  /** How many entries there were. */
  entries: number | null;
  /** How many of them did not say, by kind, named as in `docs/operations.md`: `cache_read`. */
  counters: Record<string, number>;
}

/** What usage is grouped by. */
export type GroupBy =
  /** The session; purged ones have no id any more: `null`. */
  | "session"
  /** The scope. */
  | "scope"
  /** The model. */
  | "model"
  /** The day, `2026-01-31`, in UTC. */
  | "day";

/** The ledger of usage. */
export interface UsageOperations {
  /**
   * Enters what a turn has used, or with `absolute` what a source has used in all: then the difference to what it has
   * said before is entered.
   *
   * Guarantee: every acknowledged entry is in the totals exactly once.
   *
   * Errors: `invalid` (not finite; `absolute` without a source), `not-found`.
   */
  addUsage(request: AddUsage): Usage;
  /**
   * Sums up usage: of a session, of a scope, or of the whole store with what purged sessions have used. A store's sum
   * looks at the end of every session's log.
   *
   * Errors: `not-found`, `invalid` (a session and a scope).
   */
  getUsage(request?: GetUsage): Usage;
}
