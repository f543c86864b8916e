/** Closing stores when the process ends. Nothing is installed before somebody asks. */
import { InvalidError } from "./errors.js";
import { closers } from "./store.js";
import type { Store, StoreSync } from "./types.js";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

const closing = new Set<() => void>();

function closeAll(): void {
  for (const close of closing) {
    try {
      close();
    } catch {
      // A store that is not closed loses nothing, and the process is ending.
    }
  }
  closing.clear();
}

function onSignal(signal: NodeJS.Signals): void {
  // Whoever else listens decides whether the process ends; if it does, the exit handler closes.
  if (process.listenerCount(signal) > 1) return;
  closeAll();
  uninstall();
  process.kill(process.pid, signal);
}

function install(): void {
  process.on("exit", closeAll);
  for (const signal of SIGNALS) process.on(signal, onSignal);
}

function uninstall(): void {
  process.off("exit", closeAll);
  for (const signal of SIGNALS) process.off(signal, onSignal);
}

/**
 * Closes a store when the process exits, or is ended by SIGINT, SIGTERM or SIGHUP; after a signal the process then ends
 * as that signal ends it. Where the program has its own handler of a signal, that one decides, and the store is closed
 * at the exit that it may lead to. Of a store in a thread of its own the calls already made are carried out first, for
 * at most 5 seconds. Returns a function that undoes this.
 *
 * Not closing loses nothing: it only makes the next list look into the logs.
 */
export function closeOnExit(store: Store | StoreSync): () => void {
  const closer = closers.get(store);
  if (closer === undefined) throw new InvalidError("`store` must be a store that this package has opened");
  // A function of its own for each call, so that undoing one leaves the others.
  const close = () => closer();
  if (closing.size === 0) install();
  closing.add(close);
  return () => {
    if (closing.delete(close) && closing.size === 0) uninstall();
  };
}
