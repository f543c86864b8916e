/**
 * Which session a conversation belongs to, where its answers go, and what its worker keeps and tells.
 *
 * A key has one current session, agreed on in a log of its own: of any number of processes that ask at once, one
 * makes the session and all get it. Routing is written by the host's side of a session and state by its worker's,
 * each into a log of its own, so that both work over a directory that is shared between machines.
 */
import type { CallOptions, Durability, Json, Session, Time } from "../types.js";

/** Facts of a session that may have to be made. */
export interface NewFacts {
  /** See `create`. */
  readonly title?: string | null | undefined;
  /** See `create`. */
  readonly agent?: string | null | undefined;
  /** See `create`. */
  readonly provider?: string | null | undefined;
  /** See `create`. */
  readonly model?: string | null | undefined;
  /** See `create`. */
  readonly tags?: readonly string[] | undefined;
  /** A JSON object, see `create`. */
  readonly metadata?: object | null | undefined;
}

/** What {@link ThreadsOperations.currentSession} takes. */
export interface CurrentSession extends CallOptions {
  /** The scope. */
  readonly scope: string;
  /** Facts of a new one. */
  readonly new?: NewFacts | undefined;
  /** Make a new one in any case. The old one stays as it is. */
  readonly forceNew?: boolean | undefined;
}

/** What {@link ThreadsOperations.resolveThread} takes. */
export interface ResolveThread extends CallOptions {
  /** The agent group: the scope of its sessions. */
  readonly agentGroup: string;
  /** The chat. Without one, `shared` and `per_thread` make a new session each time. */
  readonly chat?: string | null | undefined;
  /** The thread in the chat. */
  readonly thread?: string | null | undefined;
  /** Who shares a session. */
  readonly mode: ThreadMode;
  /** Facts of a new one. */
  readonly new?: NewFacts | undefined;
}

/** The session that was found or made. */
export interface Resolved {
  /** The session. */
  session: Session;
  /** Whether this call has made it. */
  created: boolean;
}

/** What {@link ThreadsOperations.setRouting} takes. */
export interface SetRouting extends CallOptions {
  /** The session. */
  readonly session: string;
  /** The address of its messages where they have none of their own: any JSON; `null` clears. */
  readonly default?: unknown;
  /** Addresses by name; `null` removes one. */
  readonly destinations?: Readonly<Record<string, unknown>> | undefined;
}

/** What {@link ThreadsOperations.getRouting} takes. */
export interface GetRouting extends CallOptions {
  /** The session. */
  readonly session: string;
}

/** Where a session's messages go. */
export interface Routing {
  /** The address where a message has none. */
  default: Json | null;
  /** Addresses by name. */
  destinations: Record<string, Json>;
}

/** What {@link ThreadsOperations.setState} takes. */
export interface SetState extends CallOptions {
  /** The session. */
  readonly session: string;
  /** The key. */
  readonly key: string;
  /** Any JSON; absent or `null` removes the key. */
  readonly value?: unknown;
  /** How durable it is on return. */
  readonly durability?: Durability | undefined;
}

/** What {@link ThreadsOperations.getState} takes. */
export interface GetState extends CallOptions {
  /** The session. */
  readonly session: string;
  /** One key. Default: all. */
  readonly key?: string | null | undefined;
}

/** A session's state. */
export interface State {
  /** The values by key. */
  values: Record<string, Json>;
}

/** What {@link ThreadsOperations.heartbeat} takes. */
export interface Heartbeat extends CallOptions {
  /** The session. */
  readonly session: string;
  /** The worker's name, 1 to 256 bytes. */
  readonly worker: string;
  /** What it is doing. Left out it stays. */
  readonly status?: WorkerStatus | null | undefined;
  /** The tool that it runs. Default: none. */
  readonly tool?: string | null | undefined;
  /** How long that tool may take, in ms, as it was declared. */
  readonly timeoutMs?: number | null | undefined;
}

/** What {@link ThreadsOperations.liveness} takes. */
export interface Liveness extends CallOptions {
  /** The session. */
  readonly session: string;
  /** Do not judge by what was before this time: when the worker was started. */
  readonly startedAt?: Time | null | undefined;
}

/** A session's worker. */
export interface Worker {
  /** The verdict. */
  verdict: Verdict;
  /** Its name. */
  worker: string | null;
  /** What it says it does. */
  status: WorkerStatus;
  /** The tool that it runs. */
  tool: string | null;
  /** How long that may take, in ms. */
  timeoutMs: number | null;
  /** When it was last heard of. */
  beatAt: number | null;
  /** The items that it has claimed, oldest first. */
  claims: string[];
}

/** Who shares a session. */
export type ThreadMode =
  /** Everybody in a chat, whatever the thread. */
  | "shared"
  /** Everybody in a thread; outside of threads, everybody in the chat. */
  | "per_thread"
  /** All chats of the agent group. */
  | "agent_shared";

/** What a worker is doing. */
export type WorkerStatus =
  /** At work. */
  | "running"
  /** Waiting. */
  | "idle"
  /** Not there. */
  | "stopped";

/** Whether a worker is alive. */
export type Verdict =
  /** No worker was heard of. */
  | "unknown"
  /** It has said that it stops. */
  | "stopped"
  /** It is. */
  | "alive"
  /** It was not heard of for too long. */
  | "silent"
  /** It has claimed something and was not heard of since. */
  | "stuck";

/** Whose session it is, and its worker. */
export interface ThreadsOperations {
  /**
   * Gives the one current session of a scope, or makes it. A session that is closed or in the trash is current no
   * more.
   *
   * Guarantee: of any number of processes that ask at once, one makes it and all get the same.
   *
   * Errors: `invalid`.
   */
  currentSession(request: CurrentSession): Resolved;
  /**
   * Gives the session of a conversation of an agent group, or makes it. One that is closed or in the trash is its
   * session no more.
   *
   * Guarantee: as {@link CurrentSession}.
   *
   * Errors: `invalid`.
   */
  resolveThread(request: ResolveThread): Resolved;
  /**
   * Says where a session's messages go. What is left out stays. Written by the host's side.
   *
   * Errors: `not-found`, `invalid`.
   */
  setRouting(request: SetRouting): Routing;
  /** Gives a session's routing. Errors: `not-found`. */
  getRouting(request: GetRouting): Routing;
  /**
   * Keeps a value for a session's worker. Written by the worker's side.
   *
   * Errors: `not-found`, `invalid` (a key of 1 to 256 bytes, a value of at most 64 KiB, at most 1,000 keys).
   */
  setState(request: SetState): State;
  /** Gives what was kept. Errors: `not-found`. */
  getState(request: GetState): State;
  /**
   * Says that a session's worker is alive, and what it does. Buffered: nobody waits for the disk to learn that.
   *
   * Errors: `not-found`, `invalid`.
   */
  heartbeat(request: Heartbeat): Worker;
  /**
   * Judges whether a session's worker is alive. Changes nothing.
   *
   * `unknown`: no worker was heard of. `stopped`: it says so. `silent`: it was not heard of for 30 minutes, or as
   * long as its tool may take where that is longer. `stuck`: it has claimed an item more than a minute ago, or as
   * long as its tool may take, and was not heard of since. `alive`: neither.
   *
   * Errors: `not-found`.
   */
  liveness(request: Liveness): Worker;
}
