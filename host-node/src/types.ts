/**
 * The values that a store takes and gives, and its calls. Times are milliseconds since 1970-01-01T00:00:00Z, lengths
 * are bytes of UTF-8. Numbers are whole and below 2^53. In what is given out, what is absent is `null`.
 */
/// <reference lib="esnext.disposable" preserve="true" />

import type { Operations } from "./operations/types.js";

export type * from "./operations/types.js";

/** A value that JSON can say. */
export type Json = string | number | boolean | null | readonly Json[] | JsonObject;

/** An object that JSON can say. */
export interface JsonObject {
  readonly [member: string]: Json | undefined;
}

/** A time that is given: milliseconds, or a `Date`. What is given out is milliseconds. */
export type Time = number | Date;

/** An `AbortSignal`, as far as a store needs one. */
export interface Signal {
  readonly aborted: boolean;
  readonly reason?: unknown;
  addEventListener(type: "abort", listener: () => void): void;
  removeEventListener(type: "abort", listener: () => void): void;
}

/** How a store is opened. */
export interface OpenOptions {
  /** Refuse every write. Works on read-only media; nothing is created. Default: false. */
  readonly readOnly?: boolean | undefined;
}

/** What every call takes. */
export interface CallOptions {
  /**
   * Gives the call up. One that has not begun is dropped and fails with the signal's reason: nothing was done. One that
   * has begun goes on, and the error is `unavailable` because its outcome is unknown: retry with the same `op`.
   */
  readonly signal?: Signal | undefined;
}

/** How far a write has come: `synced` survives power loss, `buffered` the death of the process. */
export type Durability = "buffered" | "synced";

/** How something is written. */
export interface WriteOptions extends CallOptions {
  /** How far it must have come on return. Default: `synced`. */
  readonly durability?: Durability | undefined;
  /** The head that the session must have (0: no message): otherwise `conflict`. */
  readonly expectHead?: number | null | undefined;
  /**
   * The caller's name for this operation, 1 to 256 bytes. Given again in this session, at whatever time, it changes
   * nothing and returns what the first time returned.
   */
  readonly op?: string | null | undefined;
  /** When it happened, for what comes from elsewhere. Default: now. */
  readonly at?: Time | null | undefined;
}

/** What a session is doing, as far as its host has said. */
export type Status = "active" | "running" | "idle" | "done" | "error" | "closed" | "interrupted";

/** What a session is made with. */
export interface NewSession {
  /** The caller's id: 1 to 256 bytes of any form without control characters. Default: a fresh ULID. */
  readonly id?: string | null | undefined;
  /** Whom it belongs to: at most 4,096 bytes. Default: empty. */
  readonly scope?: string | undefined;
  /** At most 1,024 bytes. */
  readonly title?: string | null | undefined;
  /** Whether a person chose the title. Default: false. */
  readonly titleManual?: boolean | undefined;
  /** At most 256 bytes. */
  readonly agent?: string | null | undefined;
  /** At most 256 bytes. */
  readonly provider?: string | null | undefined;
  /** At most 256 bytes. */
  readonly model?: string | null | undefined;
  /** What it is doing. Default: `active`. */
  readonly status?: Status | undefined;
  /** The session it belongs to. It need not exist. */
  readonly parent?: string | null | undefined;
  /** At most 64 tags of at most 128 bytes. */
  readonly tags?: readonly string[] | undefined;
  /** A JSON object of at most 64 KiB, or its text. */
  readonly metadata?: object | string | null | undefined;
  /** When it began, for sessions that come from elsewhere. Default: now. */
  readonly createdAt?: Time | null | undefined;
}

/** A change of a session's facts. What is left out stays, `null` clears. */
export interface SessionPatch {
  /** See {@link NewSession}. */
  readonly scope?: string | undefined;
  /** See {@link NewSession}. */
  readonly title?: string | null | undefined;
  /** See {@link NewSession}. */
  readonly titleManual?: boolean | undefined;
  /** See {@link NewSession}. */
  readonly agent?: string | null | undefined;
  /** See {@link NewSession}. */
  readonly provider?: string | null | undefined;
  /** See {@link NewSession}. */
  readonly model?: string | null | undefined;
  /** See {@link NewSession}. */
  readonly status?: Status | undefined;
  /** Replaces all tags. */
  readonly tags?: readonly string[] | undefined;
  /** A merge patch (RFC 7396) of the metadata, as an object or as text. */
  readonly metadata?: object | string | null | undefined;
}

/** A session. */
export interface Session {
  /** The id. */
  id: string;
  /** Whom it belongs to. */
  scope: string;
  /** The title. */
  title: string | null;
  /** Whether a person chose the title. */
  titleManual: boolean;
  /** The agent. */
  agent: string | null;
  /** The provider of the model. */
  provider: string | null;
  /** The model. */
  model: string | null;
  /** What it is doing. */
  status: Status;
  /** The session that it was forked from or belongs to. */
  parent: string | null;
  /** The message of the parent behind which a fork begins (0: before all); `null` where it is no fork. */
  forkPoint: number | null;
  /** Tags. */
  tags: string[];
  /** The metadata, parsed. */
  metadata: JsonObject | null;
  /** When it began. */
  createdAt: number;
  /** When anything but `accessedAt` last changed. */
  updatedAt: number;
  /** When a host last said that somebody looked at it. */
  accessedAt: number;
  /** When a message last came. */
  activeAt: number;
  /** When it was moved to the trash; `null` where it is not there. */
  trashedAt: number | null;
  /** How many messages are visible. */
  messageCount: number;
  /** The number of the last visible message; 0 where there is none. */
  head: number;
  /** Whether `unrevert` would show again what a revert has hidden. */
  canUnrevert: boolean;
  /** The generation of the log. */
  generation: number;
  /** The size of its log in bytes, without what a fork shares with its parent. */
  logBytes: number;
}

/** A part of a message. Every type may have further members. */
export type Part =
  | { readonly type: "text" | "thinking"; readonly text: string }
  | { readonly type: "code"; readonly text: string; readonly language?: string | undefined }
  | { readonly type: "tool_call"; readonly id: string; readonly name: string; readonly arguments: unknown }
  | {
      readonly type: "tool_result";
      readonly call_id: string;
      readonly content: unknown;
      readonly is_error?: boolean | undefined;
    }
  | {
      /** One of `data` (base64), `url`, `path` and, of a file, `name` must be there. */
      readonly type: "image" | "file";
      readonly media_type?: string | undefined;
      readonly name?: string | undefined;
      readonly data?: string | undefined;
      readonly url?: string | undefined;
      readonly path?: string | undefined;
    }
  | { readonly type: "opaque"; readonly data: unknown };

/** A message: at most 16 MiB of JSON, with any further members. */
export interface Message {
  /** Who speaks. */
  readonly role: "user" | "assistant" | "system" | "tool";
  /** What is said. */
  readonly parts: readonly Part[];
  /** Left out it means completed. */
  readonly status?: "pending" | "streaming" | "completed" | "error" | undefined;
  /** The caller's own id. */
  readonly id?: string | undefined;
  /** Whatever else the caller keeps with it. */
  readonly [member: string]: unknown;
}

/** A message of a session. */
export interface StoredMessage {
  /** Its number, from 1. */
  seq: number;
  /** The id that the store gave it, a ULID. */
  id: string;
  /** The number of the message before it on its branch; 0 for a first one. */
  parent: number;
  /** When it came. */
  createdAt: number;
  /** When it last changed. */
  updatedAt: number;
  /** What was appended, with its changes applied. Numbers beyond what JavaScript holds are rounded; see `readJson`. */
  message: Message;
}

/** A message by its number, or by the id that the store or its caller gave it. */
export type MessageRef = number | string;

/** What an append did. */
export interface Appended {
  /** The number of the first message. */
  seq: number;
  /** How many messages. */
  count: number;
  /** The first message's id, a ULID; the ids of the others count up from it. Empty where `repeated`. */
  id: string;
  /** The number of the last message. */
  head: number;
  /** Whether this operation had been done before. */
  repeated: boolean;
  /** How durable it is. */
  durability: Durability;
}

/** A change of a message. */
export type MessageChange =
  /** A merge patch (RFC 7396), as an object or as text. `id` and `role` cannot be changed. */
  | { readonly patch: object | string }
  /** Parts to add at the end, as an array or as its text. */
  | { readonly addParts: readonly Part[] | string }
  /** Text to add at the end of a part's text. */
  | { readonly addText: AddedText };

/** Text to add to a part of a message. */
export interface AddedText {
  /** The part, from 0. The one right behind the last begins a new part of type `text`. */
  readonly part: number;
  /** The text. */
  readonly text: string;
  /** The length in bytes of the part's text before: otherwise `conflict`. Makes a retry harmless. */
  readonly at?: number | null | undefined;
}

/** Which messages to read. A page has 1 to 10,000 messages; `limit` is 100 where it is left out. */
export type Select =
  /** The last ones. Costs the same whatever lies before them. */
  | { readonly last: number }
  /** From a number on. */
  | { readonly from: number; readonly limit?: number | undefined }
  /** From where an earlier page ended: its `next`. */
  | { readonly cursor: string; readonly limit?: number | undefined };

/** Bytes of a log that hold no record. */
export interface DamagedRange {
  /** The session. */
  session: string;
  /** The first byte. */
  from: number;
  /** The byte behind the last. */
  to: number;
}

/** A page of messages: at most as many as asked for, and ended behind the one that takes it past 8 MiB. */
export interface Page<Messages = StoredMessage[]> {
  /** The messages, in order. */
  messages: Messages;
  /** Where to go on; `null` at the end. */
  next: string | null;
  /** Numbers of visible messages of this page that cannot be read. */
  unreadable: number[];
  /** Damage met on the way. */
  damage: DamagedRange[];
}

/** How all messages are gone through. */
export interface MessagesOptions extends CallOptions {
  /** The first number. Default: 1. */
  readonly from?: number | undefined;
  /** Messages of one page, at most 10,000. Default: 1,000. */
  readonly pageSize?: number | undefined;
  /** What to do about messages that cannot be read: fail with `damaged` (the default), or leave them out. */
  readonly unreadable?: "fail" | "skip" | undefined;
}

/** How a fork is made. */
export interface ForkOptions extends CallOptions {
  /** The last message that it begins with. Default: the head. */
  readonly at?: MessageRef | null | undefined;
  /** The new session's id. Default: a fresh ULID. */
  readonly id?: string | null | undefined;
  /** Its title. Default: the parent's with " (fork)" behind it. */
  readonly title?: string | null | undefined;
}

/** What a rewrite did. */
export interface Rewritten {
  /** The new generation. */
  generation: number;
  /** The size of the old log in bytes. */
  bytesBefore: number;
  /** The size of the new log in bytes. */
  bytesAfter: number;
  /** Whether the old log is still there because a fork needs it. */
  oldKept: boolean;
}

/** How messages are hidden. */
export interface RevertOptions extends WriteOptions {
  /** Hide the named message too. Default: false. */
  readonly inclusive?: boolean | undefined;
}

/** The tip of a branch. */
export interface Branch {
  /** The tip's number. */
  tip: number;
  /** The tip's id; empty where it cannot be read. */
  id: string;
  /** How many messages lead to it, itself included. */
  messageCount: number;
  /** The last message that it shares with the visible path; 0 for none. */
  shared: number;
  /** When the tip came. */
  createdAt: number;
  /** Whether it is the head. */
  current: boolean;
}

/** Which sessions to list. */
export interface ListQuery extends CallOptions {
  /** Only those of this scope, compared byte for byte. */
  readonly scope?: string | null | undefined;
  /** Those in the trash instead of the others. Default: false. */
  readonly trashed?: boolean | undefined;
  /** What an earlier page returned as `next`. */
  readonly cursor?: string | null | undefined;
  /** At most so many: 1 to 10,000. Default: 100. */
  readonly limit?: number | undefined;
}

/** A page of sessions, newest change first. */
export interface SessionPage {
  /** The sessions. */
  sessions: Session[];
  /** Where to go on; `null` at the end. */
  next: string | null;
}

/** How all sessions are gone through. */
export interface SessionsQuery extends CallOptions {
  /** Only those of this scope. */
  readonly scope?: string | null | undefined;
  /** Those in the trash instead of the others. Default: false. */
  readonly trashed?: boolean | undefined;
  /** Sessions of one page, at most 10,000. Default: 100. */
  readonly pageSize?: number | undefined;
}

/** How a session is found. */
export interface ResolveOptions extends CallOptions {
  /** The scope that `last` is taken from. Default: any. */
  readonly scope?: string | null | undefined;
}

/** How a store is checked. */
export interface DoctorOptions extends CallOptions {
  /** Rebuild what is derived, and remove what purged sessions have left. Default: false. */
  readonly repair?: boolean | undefined;
}

/** What the doctor found: docs/format.md, "The report". Its members keep the names that they have there. */
export interface DoctorReport {
  /** Whether nothing is wrong. */
  healthy: boolean;
  /** What was found, in words and by kind. */
  findings: { kind: string; session?: string; file: string; ranges?: [number, number][]; what: string }[];
  /** Counts of what was looked at, the state of the catalogue, and what was repaired. */
  [member: string]: unknown;
}

/**
 * The calls of a store, as `openStoreSync` gives them: each returns when it is done.
 *
 * Every call is whole: whatever happens to the process, it has happened or it has not. Values given out are copies. Bad
 * arguments are `invalid` and change nothing; after `close` every call is `closed`. The other errors of each call are
 * named with it.
 */
export interface Calls extends Operations {
  /** Makes a session. It survives power loss. Errors: `conflict` (the id is taken). */
  create(session?: NewSession, options?: CallOptions): Session;
  /** Returns a session, also one in the trash. Errors: `not-found`. */
  get(id: string, options?: CallOptions): Session;
  /** Changes facts of a session. Errors: `not-found`; `conflict` (another head than `expectHead`). */
  update(id: string, patch: SessionPatch, options?: WriteOptions): Session;
  /** Notes that somebody looked at the session: `accessedAt` becomes now. Buffered. Errors: `not-found`. */
  touch(id: string, options?: CallOptions): Session;
  /**
   * Moves a session to the trash: it is not listed and takes no messages until restored. Does nothing to one that is
   * there. Errors: `not-found`.
   */
  trash(id: string, options?: CallOptions): Session;
  /** Takes a session out of the trash. Does nothing to one that is not there. Errors: `not-found`. */
  restore(id: string, options?: CallOptions): Session;
  /**
   * Removes a session that is in the trash, for good. Its bytes stay, hidden, as long as a fork needs them. Errors:
   * `not-found`; `conflict` (not in the trash).
   */
  purge(id: string, options?: CallOptions): void;
  /**
   * Appends messages behind the head, all or none: at most 10,000 messages and 32 MiB of JSON.
   *
   * Errors: `not-found`; `invalid` (nothing was written); `conflict` (another head, or in the trash); `unavailable`
   * (retry with the same `op`); `closed`.
   */
  append(id: string, messages: Message | readonly Message[], options?: WriteOptions): Appended;
  /** Appends messages given as the JSON text of an array, which is kept byte for byte. Otherwise as `append`. */
  appendJson(id: string, messages: string, options?: WriteOptions): Appended;
  /**
   * Changes a message; the bytes written are those of the change. Returns the length in bytes of the part's text behind
   * added text, otherwise 0. `addText` takes `at` instead of `op` and `expectHead`.
   *
   * Errors: `not-found`; `conflict` (another `at` or head, or in the trash).
   */
  updateMessage(id: string, message: MessageRef, change: MessageChange, options?: WriteOptions): number;
  /** Makes everything durable that was appended to the session. Errors: `not-found`; `closed`. */
  sync(id: string, options?: CallOptions): void;
  /** Reads a page of visible messages. Errors: `not-found`. */
  read(id: string, select: Select, options?: CallOptions): Page;
  /**
   * Reads a page with `messages` as the text of a JSON array, its members named as in `wit/types.wit`; every message is
   * what was appended, byte for byte but for whitespace outside strings. Errors: `not-found`.
   */
  readJson(id: string, select: Select, options?: CallOptions): Page<string>;
  /**
   * Makes a session that begins with the messages of another up to one of them, on whatever branch. No message is
   * copied, nothing is written to the parent, and neither ever sees what the other does later.
   *
   * Errors: `not-found`; `conflict` (the id is taken).
   */
  fork(id: string, options?: ForkOptions): Session;
  /**
   * Rewrites a fork so that it holds all its messages itself. Errors: `not-found`; `damaged` (something would be lost);
   * `conflict` (rewritten by somebody else).
   */
  detach(id: string, options?: CallOptions): Rewritten;
  /** Rewrites a log with all changes merged into their messages. Hidden branches stay. Errors: as `detach`. */
  compact(id: string, options?: CallOptions): Rewritten;
  /** Hides all messages behind one that is visible. Errors: `not-found`; `conflict` (another head). */
  revert(id: string, to: MessageRef, options?: RevertOptions): Session;
  /** Shows again what reverts since the last append have hidden. Errors: `not-found`; `conflict` (nothing to undo). */
  unrevert(id: string, options?: WriteOptions): Session;
  /** Makes any message of any branch the head. Errors: `not-found`; `conflict` (another head). */
  switch(id: string, to: MessageRef, options?: WriteOptions): Session;
  /** Lists the tips of all branches: the visible one first, then the newest first. Errors: `not-found`. */
  branches(id: string, options?: CallOptions): Branch[];
  /** Lists sessions, newest change first, without reading their logs. */
  list(query?: ListQuery): SessionPage;
  /**
   * Finds a session by `last` (the newest), by id, or by the beginning of its id; sessions named `<id>/...` do not count
   * beside `<id>`. Errors: `not-found`; `conflict` (several begin so).
   */
  resolve(text: string, options?: ResolveOptions): Session;
  /** Checks the whole store, and repairs what is derived where asked to. It changes no log. */
  doctor(options?: DoctorOptions): DoctorReport;
}

/** The same calls, each with a promise of what it returns. */
export type Promised<C> = {
  readonly [Name in keyof C]: C[Name] extends (...args: infer Args) => infer Result
    ? (...args: Args) => Promise<Result>
    : never;
};

/** An open store whose calls return when they are done. */
export interface StoreSync extends Calls {
  /** All visible messages in order, read page by page. Errors: `not-found`; `damaged`, see the options. */
  messages(id: string, options?: MessagesOptions): IterableIterator<StoredMessage>;
  /** All sessions, newest change first, read page by page. */
  sessions(query?: SessionsQuery): IterableIterator<Session>;
  /**
   * Closes the store: later calls are `closed`, closing again does nothing. Tells the catalogue what this store knows, so
   * that the next list need not look into logs; where that fails the error is thrown, and the store is closed all the
   * same. Not closing loses nothing.
   */
  close(): void;
  /** As `close`. */
  [Symbol.dispose](): void;
}

/** An open store whose calls are carried out in a thread of its own, in the order in which they were made. */
export interface Store extends Promised<Calls> {
  /** All visible messages in order, read page by page. Errors: `not-found`; `damaged`, see the options. */
  messages(id: string, options?: MessagesOptions): AsyncIterableIterator<StoredMessage>;
  /** All sessions, newest change first, read page by page. */
  sessions(query?: SessionsQuery): AsyncIterableIterator<Session>;
  /**
   * Closes the store behind the calls already made, and ends its thread: later calls are `closed`, closing again does
   * nothing. Tells the catalogue what this store knows, so that the next list need not look into logs; where that fails
   * the promise fails, and the store is closed all the same. Not closing loses nothing.
   */
  close(): Promise<void>;
  /** As `close`. */
  [Symbol.asyncDispose](): Promise<void>;
}
