/** Salvage: what can be read of a damaged session, as a new one. */
import type { CallOptions, Session } from "../types.js";

/** What {@link SalvageOperations.salvageSession} takes. */
export interface SalvageSession extends CallOptions {
  /** The damaged session. */
  readonly session: string;
  /** The new session's id; absent: one that follows from what is salvaged. */
  readonly id?: string | null | undefined;
  /** Which generation of its log, where the doctor says that readers do not come to it; absent: the one they read. */
  readonly generation?: number | null | undefined;
  /** Whether the damaged session goes out of sight. */
  readonly quarantine?: boolean | undefined;
}

/** What was salvaged. */
export interface Salvaged {
  /** The new session as it is now. */
  session: Session;
  /** Whether an earlier call has made it. */
  repeated: boolean;
  /** How many messages it was given, hidden ones included. */
  carried: number;
  /** Messages that cannot be read, by their numbers in the damaged session. */
  unreadable: Range[];
  /** Bytes of the damaged log that hold no record, from the first to the one behind the last. */
  damage: Range[];
  /** Whether the damaged session is out of sight. One whose file no reader comes to is in no list anyway, and stays. */
  quarantined: boolean;
}

/** From where to where. */
export interface Range {
  /** The first. */
  from: number;
  /** The last message, or the byte behind the last. */
  to: number;
}

/** Operations on damaged sessions. */
export interface SalvageOperations {
  /**
   * Makes a new session of everything that can be read of a damaged one: its messages in order and as they are now,
   * hidden branches and a revert that can be undone included, with its facts and its attachments. `metadata.salvaged`
   * says where it comes from. It has no gaps, needs no other session, and is not in the trash.
   *
   * The damaged session is only read; its queues, counters, usage, runs and operation ids stay with it. With
   * `quarantine` it then goes to the trash with the tag `pinned`: `restore` brings it back, and no retention policy
   * purges it.
   *
   * Guarantee: on return the new session survives power loss. Salvaging what has not changed gives the same session
   * again.
   *
   * Errors: `not-found`; `conflict` (there is another session of that id); `invalid` (its readable part is past
   * 256 MiB); `damaged` (nothing of the file can be read).
   */
  salvageSession(request: SalvageSession): Salvaged;
}
