/** The operating system's errors: their codes, and their words without the paths that Node adds to them. */
import { getSystemErrorMap } from "node:util";

/** Returns the code of an error of the system, and what it means in words. */
export function describe(error: unknown): { code: string | undefined; text: string } {
  if (typeof error !== "object" || error === null) return { code: undefined, text: String(error) };
  const { code, errno, text, message } = error as Record<string, unknown>;
  const known = typeof code === "string" ? code : undefined;
  if (typeof text === "string") return { code: known, text };
  const words = typeof errno === "number" ? getSystemErrorMap().get(errno)?.[1] : undefined;
  const named = known === undefined ? undefined : wordsByCode().get(known);
  const described = words ?? named;
  const suffix = known === undefined ? "" : ` (${known})`;
  return { code: known, text: described === undefined ? String(message ?? known) : `${described}${suffix}` };
}

let byCode: Map<string, string> | undefined;

function wordsByCode(): Map<string, string> {
  byCode ??= new Map([...getSystemErrorMap().values()].map(([code, words]) => [code, words]));
  return byCode;
}
