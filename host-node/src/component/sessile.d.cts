/**
 * The component as jco makes it (`dist/component/sessile.cjs`), as far as `engine.ts` uses it. Its own declarations are
 * not used: for a function named `switch` they do not parse, and they name the imports otherwise than the module does.
 */

/** What the component imports: the interfaces of `wit/filesystem.wit`. Errors are thrown with a `payload`. */
export interface Imports {
  "sessile:store/filesystem": {
    /** The data as UTF-8 in the component's memory, which holds until the call returns (`scripts/patches.mjs`). */
    append(path: string, data: Uint8Array, durability: "buffered" | "synced"): bigint;
    create(path: string, data: string): void;
    createBase64(path: string, data: string): void;
    replace(path: string, data: string): void;
    /** The text as UTF-8 (`scripts/patches.mjs`). */
    readText(path: string, offset: bigint, limit: number): { start: bigint; data: Uint8Array };
    readBytes(path: string, offset: bigint, limit: number): Uint8Array;
    stat(path: string): bigint;
    listFiles(directory: string, after: string, limit: number): { name: string; size: bigint }[];
    remove(path: string): void;
    sync(path: string): void;
  };
  "sessile:store/clock": { nowMs(): bigint };
  "sessile:store/entropy": { random(): [high: bigint, low: bigint] };
}

/** The functions of `wit/sessions.wit` by their names in camel case. */
export type Functions = Readonly<Record<string, (...args: unknown[]) => unknown>>;

export function instantiate(
  getCoreModule: (file: string) => WebAssembly.Module,
  imports: Imports,
): { readonly sessions: Functions };
