/**
 * The component in this thread: instances of it on one disk, and what it imports.
 *
 * After a trap an instance is dead. It is dropped, and the next call makes and opens another on the same disk: what an
 * instance holds is a cache of the files, while the disk knows of failed syncs and outlives it.
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { Disk, FsError, type DiskOptions, type FsErrorKind } from "./disk.js";
import { errorOf, InternalError, type ErrorKind, type PlainError } from "./errors.js";
import { random } from "./random.js";
import type * as Component from "./component/sessile.cjs";

/** The machine, where tests put their own in its place. */
export interface Machine {
  /** Milliseconds since 1970. */
  nowMs(): number;
  /** 128 fresh unpredictable bits, as two halves. */
  random(): [high: bigint, low: bigint];
}

export const system: Machine = {
  // A clock set before 1970 is wrong, and reads as 1970.
  nowMs: () => Math.max(Date.now(), 0),
  random,
};

type Functions = Component.Functions;

/** The component's glue is loaded when a store is first opened here: a store in another thread needs it there. */
const require = createRequire(import.meta.url);

const modules = new Map<string, WebAssembly.Module>();

/** Compiles a core module of the component once in this thread. */
function compiled(file: string): WebAssembly.Module {
  let module = modules.get(file);
  if (module === undefined) {
    module = new WebAssembly.Module(readFileSync(new URL(`./component/${file}`, import.meta.url)));
    modules.set(file, module);
  }
  return module;
}

/** What the caller of a store does about an error of its disk. */
const KINDS: Readonly<Record<FsErrorKind, ErrorKind>> = {
  "not-found": "not-found",
  exists: "conflict",
  "not-text": "damaged",
  refused: "damaged",
  unavailable: "unavailable",
  closed: "closed",
};

/** A store in this thread. Errors of its methods are `SessileError`s. */
export class Engine {
  readonly #disk: Disk;
  readonly #machine: Machine;
  readonly #isReadOnly: boolean;
  #functions: Functions | undefined;

  /** Opens the store in the directory `root`, or makes one there. */
  constructor(root: string, options: DiskOptions, machine: Machine = system) {
    this.#machine = machine;
    this.#isReadOnly = options.readOnly;
    try {
      this.#disk = new Disk(root, options);
    } catch (error) {
      if (!(error instanceof FsError)) throw error;
      throw errorOf({ kind: KINDS[error.payload.kind], message: error.message });
    }
    try {
      this.#functions = this.#start();
    } catch (error) {
      this.#disk.dispose();
      throw error;
    }
  }

  /** Calls a function of the component, in a fresh instance where the last one has trapped. */
  call(name: string, args: readonly unknown[]): unknown {
    this.#functions ??= this.#start();
    return this.#run(this.#functions, name, args);
  }

  /** Closes the files. The engine is not used after it. */
  dispose(): void {
    this.#functions = undefined;
    this.#disk.dispose();
  }

  #start(): Functions {
    const disk = this.#disk;
    const machine = this.#machine;
    let functions: Functions;
    try {
      const { instantiate } = require("./component/sessile.cjs") as typeof Component;
      const component = instantiate(compiled, {
        "sessile:store/filesystem": {
          append: disk.append.bind(disk),
          create: disk.create.bind(disk),
          createBase64: disk.createBase64.bind(disk),
          replace: disk.replace.bind(disk),
          readText: disk.readText.bind(disk),
          readBytes: disk.readBytes.bind(disk),
          stat: disk.stat.bind(disk),
          listFiles: disk.listFiles.bind(disk),
          remove: disk.remove.bind(disk),
          sync: disk.sync.bind(disk),
        },
        "sessile:store/clock": { nowMs: () => BigInt(machine.nowMs()) },
        "sessile:store/entropy": { random: () => machine.random() },
      });
      functions = component.sessions;
    } catch (error) {
      throw new InternalError(`the component cannot be started: ${String(error)}; please report this`, { cause: error });
    }
    this.#run(functions, "open", [{ readOnly: this.#isReadOnly }]);
    return functions;
  }

  #run(functions: Functions, name: string, args: readonly unknown[]): unknown {
    const act = functions[name];
    if (act === undefined) throw new InternalError(`the component has no function ${name}; please report this`);
    try {
      return act(...args);
    } catch (error) {
      if (isPlainError(error)) throw errorOf(error);
      // Whatever else is thrown comes from a trap, from a stack that is exhausted, or from a fault of ours: the
      // instance may be in the middle of anything.
      this.#functions = undefined;
      const message = `the component has trapped (${String(error)}); nothing acknowledged is lost, please report this`;
      throw new InternalError(message, { cause: error });
    }
  }
}

/** Tells what the component returns as its error from what is thrown when it dies. */
function isPlainError(error: unknown): error is PlainError {
  return typeof error === "object" && error !== null && !(error instanceof Error) && "kind" in error;
}
