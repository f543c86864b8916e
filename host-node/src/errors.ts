/** The errors of a store, by what the caller does next. The kinds and the codes are API, the messages are not. */

/** What the caller does next; see the class of the same name. */
export type ErrorKind =
  | "not-found"
  | "conflict"
  | "invalid"
  | "unsupported"
  | "damaged"
  | "unavailable"
  | "closed"
  | "internal";

/** The base of all errors of a store. */
export abstract class SessileError extends Error {
  /** What the caller does next. */
  abstract readonly kind: ErrorKind;

  constructor(message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.name = new.target.name;
  }

  /** The kind in the form of Node's error codes: `ERR_SESSILE_NOT_FOUND` for `not-found`. */
  get code(): string {
    return `ERR_SESSILE_${this.kind.toUpperCase().replaceAll("-", "_")}`;
  }
}

/** No such session or message. Check the id. */
export class NotFoundError extends SessileError {
  override readonly kind = "not-found";
}

/** Somebody else was first, or the session is in another state. Read again and decide. */
export class ConflictError extends SessileError {
  override readonly kind = "conflict";
}

/** The input breaks a documented rule or limit. Nothing was written; correct it. */
export class InvalidError extends SessileError {
  override readonly kind = "invalid";
}

/** A newer format. Upgrade; nothing was changed. */
export class UnsupportedError extends SessileError {
  override readonly kind = "unsupported";
}

/** Stored bytes that this call needs cannot be read. Everything around them stays readable. */
export class DamagedError extends SessileError {
  override readonly kind = "damaged";
}

/** The disk or the host failed. Nothing acknowledged is harmed; retry later with the same `op`. */
export class UnavailableError extends SessileError {
  override readonly kind = "unavailable";
}

/** The store was closed, or a sync failed earlier. Open the store again. */
export class ClosedError extends SessileError {
  override readonly kind = "closed";
}

/** A fault in Sessile. Nothing acknowledged is lost; please report it. */
export class InternalError extends SessileError {
  override readonly kind = "internal";
}

const CLASSES = {
  "not-found": NotFoundError,
  conflict: ConflictError,
  invalid: InvalidError,
  unsupported: UnsupportedError,
  damaged: DamagedError,
  unavailable: UnavailableError,
  closed: ClosedError,
  internal: InternalError,
} as const;

/** An error as it crosses from the component and between threads. */
export interface PlainError {
  readonly kind: ErrorKind;
  readonly message: string;
}

/** Makes the error of a kind. */
export function errorOf({ kind, message }: PlainError): SessileError {
  return new CLASSES[kind](message);
}

/** Returns an error in the form that crosses. What is no error of a store is a fault. */
export function plainOf(error: unknown): PlainError {
  if (error instanceof SessileError) return { kind: error.kind, message: error.message };
  return { kind: "internal", message: `${String(error)}; nothing acknowledged is lost, please report this` };
}
