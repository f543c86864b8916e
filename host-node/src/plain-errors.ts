/** Errors on their way from the component and between threads. */
import {
  ClosedError,
  ConflictError,
  DamagedError,
  InternalError,
  InvalidError,
  NotFoundError,
  SessileError,
  UnavailableError,
  UnsupportedError,
  type ErrorKind,
} from "./errors.js";

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
