/** Retention: what would go, why, and how many bytes that gives back; then the trash, and after a while the end. */
import type { CallOptions } from "../types.js";

/** What is kept. A limit that is absent is none. */
export interface Policy {
  /** Sessions older than this go, in ms. */
  readonly maxAgeMs?: number | null | undefined;
  /** By which clock a session is old, and which of two is older. */
  readonly clock?: Clock | undefined;
  /** At most so many sessions stay: the newest. */
  readonly maxSessions?: number | null | undefined;
  /** At most so many bytes of logs stay: those of the newest. */
  readonly maxBytes?: number | null | undefined;
  /** Whether the limits are each scope's instead of the store's. */
  readonly eachScope?: boolean | undefined;
  /** Sessions that are in the trash for longer are purged, in ms. Default: none is. */
  readonly graceMs?: number | null | undefined;
  /**
   * For the policy that is kept: whether it is applied whenever somebody opens the store for writing. What goes wrong
   * with that does not keep the store from opening.
   */
  readonly onOpen?: boolean | undefined;
}

/** What {@link RetentionOperations.planRetention} takes. */
export interface PlanRetention extends CallOptions {
  /** Only this scope. */
  readonly scope?: string | null | undefined;
  /** The policy. Default: that of `setRetention`, and where there is none nothing goes. */
  readonly policy?: Policy | null | undefined;
}

/** What {@link RetentionOperations.applyRetention} takes. */
export interface ApplyRetention extends CallOptions {
  /** Only this scope. */
  readonly scope?: string | null | undefined;
  /** See {@link PlanRetention}. */
  readonly policy?: Policy | null | undefined;
}

/** A plan, or what was done of it. */
export interface Plan {
  /** What goes to the trash, the oldest first. */
  trash: Candidate[];
  /** What is purged, the oldest first. */
  purge: Candidate[];
  /** What the policy would take and must not. */
  exempt: Candidate[];
  /**
   * How many bytes of files `purge` gives back, and when applied the attachments that nobody has any more. The trash
   * gives back none.
   */
  bytesFreed: number;
}

/** A session that a policy is about. */
export interface Candidate {
  /** Its id. */
  sessionId: string;
  /** Its scope. */
  scope: string;
  /** Why. */
  reason: Reason;
  /** The bytes of its logs and queues. */
  bytes: number;
  /** When it was last used, by the policy's clock, or moved to the trash. */
  usedAt: number;
}

/** What {@link RetentionOperations.setRetention} takes. */
export interface SetRetention extends CallOptions {
  /** The policy. Default: none. */
  readonly policy?: Policy | null | undefined;
}

/** The policy that is kept. */
export interface KeptPolicy {
  /** `null`: none. */
  policy: Policy | null;
}

/** What {@link RetentionOperations.purgeScope} takes. */
export interface PurgeScope extends CallOptions {
  /** The scope. */
  readonly scope: string;
}

/** What was purged. */
export interface PurgedScope {
  /** Ids of sessions that are gone. */
  purged: string[];
  /** Ids of sessions that stay, because an agent is at work. */
  running: string[];
}

/** What {@link RetentionOperations.getRetention} takes. */
export interface GetRetention extends CallOptions {}

/** By which clock a session is old. */
export type Clock =
  /** When somebody last looked at it, or wrote to it. */
  | "accessed"
  /** When a message last came. */
  | "active";

/** Why a session goes, or must not. */
export type Reason =
  /** It is too old. */
  | "age"
  /** There are too many. */
  | "count"
  /** They are too large. */
  | "bytes"
  /** It is in the trash for long enough. */
  | "grace"
  /** Exempt: an agent is at work. */
  | "running"
  /** Exempt: it has the tag `pinned`. */
  | "pinned"
  /** Exempt: a fork begins with its messages. */
  | "forked"
  /** Exempt: its log cannot be read. */
  | "unreadable";

/** Keeping and removing. */
export interface RetentionOperations {
  /**
   * Says what a policy would do, and does nothing.
   *
   * Running and pinned sessions (tag `pinned`), those with forks, and those whose log cannot be read are never taken;
   * the plan names them where the policy would take them.
   *
   * Errors: `invalid`.
   */
  planRetention(request?: PlanRetention): Plan;
  /**
   * Does what the plan says: moves sessions to the trash, where they can be restored, and purges those that are there
   * for longer than the grace period. A session that is used between plan and deed stays.
   *
   * Errors: `invalid`; those of the disk, and what was done stays done.
   */
  applyRetention(request?: ApplyRetention): Plan;
  /**
   * Keeps the policy that `planRetention` and `applyRetention` use where they are given none.
   *
   * Errors: `invalid`.
   */
  setRetention(request?: SetRetention): KeptPolicy;
  /** Gives the policy that is kept. */
  getRetention(request?: GetRetention): KeptPolicy;
  /**
   * Purges all sessions of a scope that are not running, without a stay in the trash.
   *
   * What forks in other scopes need stays, hidden.
   *
   * Errors: those of the disk, and what was done stays done.
   */
  purgeScope(request: PurgeScope): PurgedScope;
}
