/** Sessions by name: titles, saving as a whole, what a model is shown, counting, scopes. */
import type { CallOptions, Durability, Message, Session, StoredMessage } from "../types.js";

/** What {@link SessionsOperations.renameSession} takes. */
export interface RenameSession extends CallOptions {
  /** The session. */
  readonly session: string;
  /** Its title; spaces around it go. */
  readonly title: string;
}

/** What {@link SessionsOperations.suggestTitle} takes. */
export interface SuggestTitle extends CallOptions {
  /** The session. */
  readonly session: string;
  /** The title. */
  readonly title: string;
}

/** The answer of what is about one session. */
export interface OneSession {
  /** The session as it is now. */
  session: Session;
}

/** What {@link SessionsOperations.saveSession} takes. */
export interface SaveSession extends CallOptions {
  /** The session. */
  readonly session: string;
  /** All its messages, as `append` takes them. */
  readonly messages: Message | readonly Message[];
  /** The head that the caller has seen. */
  readonly expectHead?: number | null | undefined;
  /** How durable it is on return. */
  readonly durability?: Durability | undefined;
}

/** What saving did. */
export interface Saved {
  /** How many messages it had already. */
  kept: number;
  /** How many were hidden. */
  hidden: number;
  /** How many were appended. */
  appended: number;
  /** The head now. */
  head: number;
}

/** What {@link SessionsOperations.readView} takes. */
export interface ReadView extends CallOptions {
  /** The session. */
  readonly session: string;
  /** At most so many messages, 1 to 10,000. */
  readonly limit: number;
}

/** The end of a session. */
export interface View {
  /** As `read` gives them. */
  messages: StoredMessage[];
  /** How many visible messages lie before them. */
  before: number;
}

/** What {@link SessionsOperations.countSessions} takes. */
export interface CountSessions extends CallOptions {
  /** Of this scope alone. */
  readonly scope?: string | null | undefined;
}

/** How many sessions there are. */
export interface SessionCounts {
  /** Those that are listed. */
  total: number;
  /** Those in the trash. */
  trashed: number;
  /** The listed ones by status. */
  counters: Record<string, number>;
}

/** What {@link SessionsOperations.directoryScope} takes. */
export interface DirectoryScope extends CallOptions {
  /** An absolute path, of Unix or Windows. */
  readonly directory: string;
}

/** A scope. */
export interface Scope {
  /** As `create` and `list` take it. */
  scope: string;
}

/** What {@link SessionsOperations.rootSession} takes. */
export interface RootSession extends CallOptions {
  /** The session. */
  readonly session: string;
}

/** Operations on sessions as a whole. */
export interface SessionsOperations {
  /**
   * Gives a session the title that a person has chosen; suggested ones no longer replace it.
   *
   * Errors: `invalid` (nothing but spaces, or more than 100 characters), `not-found`.
   */
  renameSession(request: RenameSession): OneSession;
  /**
   * Gives a session a title that a program has made, unless a person has chosen one: then nothing happens, also where
   * that was at the same moment. It is cut to 1,024 bytes.
   *
   * Errors: `not-found`.
   */
  suggestTitle(request: SuggestTitle): OneSession;
  /**
   * Makes a session hold exactly these messages, with as few writes as can be: what it has already stays, what is new
   * is appended. Where they differ, what it has is hidden in the same step; `branches` shows it, and `switch`
   * brings it back.
   *
   * Guarantee: a copy that is older than the session never hides what came since, because hiding needs `expectHead`.
   *
   * Errors: `conflict` (it would hide messages, and `expectHead` is not the head), `damaged` (messages that it has
   * cannot be read), `not-found`, `invalid`.
   */
  saveSession(request: SaveSession): Saved;
  /**
   * Reads the end of a session as a model should be shown it: at most so many messages, and more only where the first
   * of them would be a tool's result without its call. What is stored is not cut.
   *
   * Errors: `not-found`; `damaged` where a message of the view cannot be read.
   */
  readView(request: ReadView): View;
  /** Counts sessions, without reading their logs. */
  countSessions(request?: CountSessions): SessionCounts;
  /**
   * Gives the scope of a working directory: absolute, without `.`, `..`, doubled or trailing slashes. The disk is not
   * asked, so links stay as they are.
   *
   * Errors: `invalid` (not absolute).
   */
  directoryScope(request: DirectoryScope): Scope;
  /**
   * Finds the session that a session descends from, over all parents that are there: the one that a fork of a fork
   * belongs to.
   *
   * Errors: `not-found`.
   */
  rootSession(request: RootSession): OneSession;
}
