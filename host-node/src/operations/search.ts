/** Search: finding messages of all sessions by their words, and the index that makes it fast. */
import type { CallOptions, Message } from "../types.js";

/** What {@link SearchOperations.search} takes. */
export interface Search extends CallOptions {
  /** What is looked for, at most 4,096 bytes and 64 words. */
  readonly query: string;
  /** Only in sessions of this scope. */
  readonly scope?: string | null | undefined;
  /** Only in this session, with what it inherits. */
  readonly session?: string | null | undefined;
  /** Only in messages of this role. */
  readonly role?: Message["role"] | null | undefined;
  /** Only in messages that call this tool, or have its result under its name. */
  readonly tool?: string | null | undefined;
  /** Only what came at this time or later. */
  readonly since?: Date | number | null | undefined;
  /** Only what came before this time. */
  readonly until?: Date | number | null | undefined;
  /** In sessions that are in the trash too. */
  readonly trashed?: boolean | undefined;
  /** In messages that a revert or another branch hides too. */
  readonly hidden?: boolean | undefined;
  /** At most so many hits, 1 to 1,000; absent: 20. */
  readonly limit?: number | null | undefined;
  /**
   * What an earlier answer gave as `next`, for the same query. Where the store has changed since, a page may repeat or
   * miss hits.
   */
  readonly cursor?: string | null | undefined;
}

/** What was found. */
export interface SearchResults {
  /** The hits, the best first. */
  hits: SearchHit[];
  /** Where to go on; absent at the end. */
  next: string | null;
  /** What was not searched. */
  behind: SearchBehind;
}

/** What an index lacks. All 0: nothing. */
export interface SearchBehind {
  /** Sessions of which something is not found yet. */
  sessions: number;
  /** About how many bytes of their logs. */
  bytes: number;
}

/** A message or a title that was found. */
export interface SearchHit {
  /** The session's id. */
  sessionId: string;
  /** Its title. */
  title: string | null;
  /** Its scope. */
  scope: string;
  /** The message's number; absent where it is the title that was found. */
  seq: number | null;
  /** Its role. */
  role: Message["role"] | null;
  /** When it came; for a title, when the session was made. In ms. */
  createdAt: number;
  /** How well it fits, to be compared within one answer. */
  score: number;
  /** Whether the session is in the trash. */
  trashed: boolean;
  /** Whether a revert or another branch hides the message. */
  hidden: boolean;
  /** About 160 characters of the text, in one line. */
  snippet: string;
  /** What was found in it. */
  highlights: SearchHighlight[];
  /** Other sessions that are searched and hold the same message, at most 10. */
  also: SearchPlace[];
}

/** A range of a snippet, in characters: Unicode code points, so that `[...snippet].slice(from, to)` is what was found. */
export interface SearchHighlight {
  /** The first character, from 0. */
  from: number;
  /** The one behind the last. */
  to: number;
}

/** Where a message is. */
export interface SearchPlace {
  /** The session's id. */
  sessionId: string;
  /** The message's number there. */
  seq: number;
}

/** What {@link SearchOperations.updateSearch} takes. */
export interface UpdateSearch extends CallOptions {
  /** Take in about so many bytes of messages, 1 to 64 MiB; absent: 8 MiB. */
  readonly bytes?: number | null | undefined;
}

/** What an update has left. */
export interface SearchUpdate {
  /** Whether another call has something to do. */
  more: boolean;
  /** What the index lacks. */
  behind: SearchBehind;
  /** How many messages and titles it has. */
  documents: number;
  /** How many files. */
  files: number;
  /** How many bytes they have. */
  bytes: number;
}

/** Operations that find messages. */
export interface SearchOperations {
  /**
   * Finds messages, and titles of sessions, that have all words of a query, the best first (BM25). A query is words,
   * with `"phrases"`, beginnings (`begin*`), what must not be there (`-word`), `role:user` and `tool:name`. Case, accents
   * and width do not matter. What has come since the index was updated is taken in first, up to 4 MiB of it; `behind`
   * says what is left. It writes nothing.
   *
   * Guarantee: each hit was read from its log as it is now. A message that forks inherit is one hit, with `also`.
   *
   * Errors: `invalid` (the query is too long, has nothing to look for, or a mistake).
   */
  search(request: Search): SearchResults;

  /**
   * Brings the index of words up to date, so that searches need not read logs. Each call does a bounded piece of the
   * work; call it until there is no `more`, whenever there is time for it: other calls neither wait for it nor fail.
   * Cut off at any moment, it goes on where it was.
   *
   * Errors: `unavailable` (the disk is full or the store read-only: searches go on without).
   */
  updateSearch(request?: UpdateSearch): SearchUpdate;
}
