/**
 * A store in a thread of its own, as its caller's thread sees it.
 *
 * Calls are carried out in the order in which they were made. The thread keeps the process alive only while a call is
 * under way. When it dies, the calls that it had fail and the next one starts another: what a thread holds is a cache of
 * the files, and whether a sync has failed stands in memory that both threads share.
 */
import type { Worker } from "node:worker_threads";
import { errorOf, InternalError, UnavailableError, type PlainError } from "./errors.js";
import type { Signal } from "./types.js";

/** What a thread is started with. */
export interface ThreadData {
  readonly path: string;
  readonly readOnly: boolean;
  readonly shared: Int32Array;
}

/** A call on its way to the thread. `slot` is where `shared` has its state; -1 for none. */
export interface Request {
  readonly number: number;
  readonly slot: number;
  readonly name: string;
  readonly args: readonly unknown[];
}

/** What the thread answers. Neither `value` nor `error`: the call was dropped. */
export interface Answer {
  readonly number: number;
  readonly value?: unknown;
  readonly error?: PlainError;
}

/** Starts the thread. Tests put their own in its place. */
export type Threads = (data: ThreadData) => Worker;

/** Places in the memory that the threads share. */
export const POISONED = 0;
export const CLOSED = 1;
const FIRST_SLOT = 2;
/** Most calls that the thread is given at once; the others wait here. */
const SLOTS = 1024;

/** States of a call that the thread was given. */
export const WAITING = 0;
export const BEGUN = 1;
export const DROPPED = 2;

/** How long the end of a process waits for the thread, in ms. */
const CLOSING_MS_MAX = 5000;

interface Pending extends Request {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
  /** Stops listening to the signal. */
  forget: () => void;
}

/** Node's module for threads is loaded with the first of them: a store in the caller's thread starts without it. */
const startThread: Threads = (workerData) => {
  const threads = process.getBuiltinModule("node:worker_threads");
  const script = new URL("./thread.js", import.meta.url);
  return new threads.Worker(script, { workerData, name: "sessile", env: threads.SHARE_ENV, execArgv: [] });
};

export class Client {
  readonly #data: ThreadData;
  readonly #start: Threads;
  #worker: Worker | undefined;
  #count = 0;
  /** Calls that the thread has and has not answered, in order. */
  readonly #given = new Map<number, Pending>();
  /** Calls that wait for a free slot, in order. */
  readonly #waiting = new Map<number, Pending>();

  constructor(data: Omit<ThreadData, "shared">, start: Threads = startThread) {
    this.#data = { ...data, shared: new Int32Array(new SharedArrayBuffer(4 * (FIRST_SLOT + SLOTS))) };
    this.#start = start;
  }

  /** Opens the store in its thread. */
  async open(): Promise<void> {
    try {
      await this.call("open", []);
    } catch (error) {
      await this.#worker?.terminate();
      throw error;
    }
  }

  /** Carries out a call. */
  call(name: string, args: readonly unknown[], signal?: Signal): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason);
        return;
      }
      const number = (this.#count += 1);
      const slot = FIRST_SLOT + (number % SLOTS);
      const pending: Pending = { number, slot, name, args, resolve, reject, forget: () => undefined };
      if (signal !== undefined) {
        const abort = () => this.#abort(pending, signal.reason);
        signal.addEventListener("abort", abort);
        pending.forget = () => signal.removeEventListener("abort", abort);
      }
      this.#waiting.set(number, pending);
      this.#give();
    });
  }

  /** Closes the store behind all calls, and ends the thread. */
  async close(): Promise<void> {
    // A thread that died has nothing to tell.
    if (this.#worker === undefined) return;
    try {
      await this.call("close", []);
    } finally {
      await this.#worker?.terminate();
    }
  }

  /** Does the same while the process ends, when promises are not kept any more. */
  closeNow(): void {
    const worker = this.#worker;
    if (worker === undefined) return;
    for (const pending of this.#waiting.values()) worker.postMessage(requestOf(pending, -1));
    this.#waiting.clear();
    worker.postMessage({ number: 0, slot: -1, name: "close", args: [] } satisfies Request);
    Atomics.wait(this.#data.shared, CLOSED, 0, CLOSING_MS_MAX);
  }

  /** Gives the thread what it may have. */
  #give(): void {
    const worker = (this.#worker ??= this.#startThread());
    if (this.#given.size === 0) worker.ref();
    for (const [number, pending] of this.#waiting) {
      // Answers come in order, so that the slots of the calls that are given are all different.
      const [oldest = number] = this.#given.keys();
      if (number - oldest >= SLOTS) break;
      this.#waiting.delete(number);
      this.#given.set(number, pending);
      Atomics.store(this.#data.shared, pending.slot, WAITING);
      worker.postMessage(requestOf(pending, pending.slot));
    }
  }

  #startThread(): Worker {
    const worker = this.#start(this.#data);
    let failure: unknown;
    worker.on("message", (answer: Answer) => this.#answer(worker, answer));
    worker.on("error", (error) => (failure = error));
    worker.on("exit", () => this.#bury(worker, failure));
    return worker;
  }

  #answer(worker: Worker, { number, value, error }: Answer): void {
    const pending = this.#given.get(number);
    if (pending === undefined || worker !== this.#worker) return;
    this.#given.delete(number);
    pending.forget();
    if (error === undefined) pending.resolve(value);
    else pending.reject(errorOf(error));
    if (this.#waiting.size > 0) this.#give();
    else if (this.#given.size === 0) worker.unref();
  }

  #abort(pending: Pending, reason: unknown): void {
    pending.forget();
    const hasNotBegun =
      this.#waiting.delete(pending.number) ||
      Atomics.compareExchange(this.#data.shared, pending.slot, WAITING, DROPPED) === WAITING;
    if (hasNotBegun) pending.reject(reason);
    else pending.reject(unknownOutcome("it was given up when it had begun", reason));
  }

  /** Fails the calls that a dead thread had. */
  #bury(worker: Worker, failure: unknown): void {
    if (worker !== this.#worker) return;
    this.#worker = undefined;
    const lost = [...this.#given.values(), ...this.#waiting.values()];
    const states = lost.map(({ number, slot }) =>
      this.#given.has(number) ? Atomics.load(this.#data.shared, slot) : WAITING,
    );
    this.#given.clear();
    this.#waiting.clear();
    lost.forEach((pending, index) => {
      pending.forget();
      pending.reject(deathOf(failure, states[index] === BEGUN));
    });
  }
}

function requestOf({ number, name, args }: Pending, slot: number): Request {
  return { number, slot, name, args };
}

function unknownOutcome(what: string, cause: unknown): UnavailableError {
  return new UnavailableError(`the outcome of the call is unknown: ${what}; retry with the same \`op\``, { cause });
}

function deathOf(failure: unknown, hasBegun: boolean): Error {
  const isOutOfMemory = (failure as { code?: unknown } | undefined)?.code === "ERR_WORKER_OUT_OF_MEMORY";
  if (failure !== undefined && !isOutOfMemory) {
    const message = `the thread of the store has failed (${String(failure)}); nothing acknowledged is lost, please report this`;
    return new InternalError(message, { cause: failure });
  }
  const reason = isOutOfMemory ? "the thread of the store ran out of memory" : "the thread of the store was ended";
  if (hasBegun) return unknownOutcome(`${reason} during it`, failure);
  return new UnavailableError(`${reason} before the call began; retry`, { cause: failure });
}
