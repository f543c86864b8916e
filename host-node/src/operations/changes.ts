/**
 * Watching: what has changed in a store or a session since a cursor, across processes and breaks.
 *
 * The logs themselves are read on from where the cursor has seen them, so nothing is missed and nothing is told
 * twice.
 */
import type { CallOptions } from "../types.js";

/** What {@link ChangesOperations.changes} takes. */
export interface Changes extends CallOptions {
  /** Only of this session. */
  readonly session?: string | null | undefined;
  /** What an earlier answer gave as `cursor`. */
  readonly cursor?: string | null | undefined;
  /** At most about so many, 1 to 10,000. Default: 1,000. */
  readonly limit?: number | null | undefined;
}

/** Changes, and how to go on. */
export interface Changed {
  /** In the order of each log. */
  changes: Change[];
  /** For the next call. */
  cursor: string;
  /** Whether there are more already. */
  more: boolean;
}

/** A change of a session. */
export interface Change {
  /** The session's id. */
  sessionId: string;
  /** What has happened. */
  kind: ChangeKind;
  /** When, as its writer says; streamed text says none. */
  changedAt: number | null;
  /** The number of the first message that came, of the one that changed, or of the head that was moved to. */
  seq: number | null;
  /** How many messages came. */
  count: number | null;
}

/** What happens to a session. */
export type ChangeKind =
  /** It was made. */
  | "created"
  /** It was made as a fork. */
  | "forked"
  /** Messages came. */
  | "appended"
  /** A message changed. */
  | "message_updated"
  /** Messages were hidden. */
  | "reverted"
  /** They were shown again. */
  | "unreverted"
  /** Another branch is visible. */
  | "switched"
  /** Its facts changed. */
  | "updated"
  /** Its status changed. */
  | "status"
  /** It was moved to the trash. */
  | "trashed"
  /** It was taken out of it. */
  | "restored"
  /** Counters, usage or its run changed. */
  | "counted"
  /** Its log was written anew, with the same meaning. */
  | "rewritten"
  /** It is gone. */
  | "purged";

/** What has changed. */
export interface ChangesOperations {
  /**
   * Gives the changes since a cursor: of the store, or of one session. Without a cursor it gives no changes, only the
   * cursor of now; the cursor `""` is that of the beginning.
   *
   * Guarantee: every change that counts is given exactly once along a chain of cursors, in the order of its log,
   * whoever has written it. Where a log was rewritten or purged meanwhile, what had not been seen of the old one is
   * given as one change `rewritten` or `purged`. A cursor over the store has some 50 bytes for each session, and
   * looks at the size of each log.
   *
   * Errors: `invalid` (no cursor of this), `not-found` (the session, unless the cursor knows it).
   */
  changes(request?: Changes): Changed;
}
