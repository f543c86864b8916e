/**
 * Runs: an agent at work on a session. One at a time, by a lease; a crashed one is found by the lease that has ended.
 */
import type { Amounts } from "./usage.js";
import type { CallOptions, Session } from "../types.js";

/** What {@link RunsOperations.beginRun} takes. */
export interface BeginRun extends CallOptions {
  /** The session. */
  readonly session: string;
  /** Who runs, 1 to 256 bytes. */
  readonly owner: string;
  /** How long the lease is, in ms: 1 second to 24 hours. It is renewed with `renewRun`. */
  readonly leaseMs: number;
}

/** What {@link RunsOperations.renewRun} takes. */
export interface RenewRun extends CallOptions {
  /** The session. */
  readonly session: string;
  /** The run's id. */
  readonly run: string;
  /** How long the lease is from now, in ms. */
  readonly leaseMs: number;
}

/** What {@link RunsOperations.endRun} takes. */
export interface EndRun extends CallOptions {
  /** The session. */
  readonly session: string;
  /** The run's id. */
  readonly run: string;
  /** How: `done`, `error`, `idle` or `interrupted`. */
  readonly status: "done" | "error" | "idle" | "interrupted";
  /** What went wrong, at most 4,096 bytes. */
  readonly error?: string | null | undefined;
  /** What it has used, beyond what was entered already. */
  readonly amounts?: Amounts | null | undefined;
  /** The model of the amounts. Default: the session's. */
  readonly model?: string | null | undefined;
}

/** What {@link RunsOperations.getRun} takes. */
export interface GetRun extends CallOptions {
  /** The session. */
  readonly session: string;
  /** Without messages or renewals for so long a run is stalled, in ms. Default: 15 minutes. */
  readonly silenceMs?: number | null | undefined;
}

/** What {@link RunsOperations.listRuns} takes. */
export interface ListRuns extends CallOptions {
  /** Of this scope alone. */
  readonly scope?: string | null | undefined;
  /** See {@link GetRun}. */
  readonly silenceMs?: number | null | undefined;
  /** Whether crashed runs become `interrupted`. */
  readonly mark?: boolean | undefined;
}

/** Runs. */
export interface Runs {
  /** Those that have not ended. */
  runs: RunInfo[];
}

/** A run as it is. */
export interface RunInfo {
  /** The session, as it is now. */
  session: Session;
  /** The run; `null` where there never was one. */
  run: RunRecord | null;
  /** Whether its lease holds. */
  isRunning: boolean;
  /** Whether it has not ended and its lease does not hold any more: its process has died. */
  isCrashed: boolean;
  /** Whether it runs and nothing has come for a while. */
  isStalled: boolean;
}

/** What is known of a run. */
export interface RunRecord {
  /** Its id. */
  id: string;
  /** Who runs. */
  owner: string;
  /** When it began. */
  begunAt: number;
  /** When its lease was last renewed. */
  renewedAt: number;
  /** Until when its lease holds. */
  leaseUntil: number;
  /** When it ended. */
  endedAt: number | null;
  /** What went wrong. */
  error: string | null;
}

/** What {@link RunsOperations.checkEnvironment} takes. */
export interface CheckEnvironment extends CallOptions {
  /** Values by name. */
  readonly values: Readonly<Record<string, string>>;
  /** What names must not begin with, whatever the case. Default: CLAUDE, CODEX, OLLAMA, ANTHROPIC_. */
  readonly blocked?: readonly string[] | null | undefined;
}

/** Environment variables. */
export interface Environment {
  /** Those that may be given. */
  values: Record<string, string>;
  /** The names of those that may not. */
  refused: string[];
}

/** Runs. */
export interface RunsOperations {
  /**
   * Begins a run: the session is `running` until the run ends, or until its lease does.
   *
   * Guarantee: of any number of processes that begin at once, one has the run.
   *
   * Errors: `conflict` (another one runs; who and until when), `invalid`, `not-found`.
   */
  beginRun(request: BeginRun): RunInfo;
  /** Renews the lease of a run. Errors: `conflict` (it has ended, or somebody else runs). */
  renewRun(request: RenewRun): RunInfo;
  /**
   * Ends a run, with what it has used: all in one record, so that the cost that comes last is not lost. Also a run
   * whose lease has ended can be ended, unless somebody else has begun one, and so can one that `listRuns` has
   * marked. What was said first about an end stays.
   *
   * Errors: `conflict` (somebody else runs), `invalid`.
   */
  endRun(request: EndRun): RunInfo;
  /** Gives the run of a session, the last one where none is under way. Errors: `not-found`. */
  getRun(request: GetRun): RunInfo;
  /**
   * Finds the runs of a scope, or of the store, that have not ended: those under way, and those of which only an
   * ended lease is left. With `mark`, the latter become `interrupted`, so that they can be resumed.
   *
   * Errors: those of the disk.
   */
  listRuns(request?: ListRuns): Runs;
  /**
   * Checks environment variables that a caller wants to give to an agent. Pure: nothing is stored.
   *
   * Errors: `invalid` (a name that no system takes).
   */
  checkEnvironment(request: CheckEnvironment): Environment;
}
