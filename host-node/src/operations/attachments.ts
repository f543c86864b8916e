/**
 * Attachments: files that come inside of JSON as base64, kept as files.
 *
 * A file is named for its content, so it is stored once, and no text of a caller is in a path. The bytes come first
 * and durably, then the row that names them, in the same record as the item that they belong to: a row never names
 * what is not there. Content can be given back with the data in its place, byte for byte.
 */
import type { CallOptions, Json } from "../types.js";

/** What {@link AttachmentsOperations.storeAttachments} takes. */
export interface StoreAttachments extends CallOptions {
  /** The session. */
  readonly session: string;
  /** Any JSON. */
  readonly content: unknown;
  /** Whose they are. */
  readonly direction?: Direction | undefined;
}

/** Content. */
export interface Content {
  /** The content. */
  content: Json;
  /** How many files were moved, or put back. */
  count: number;
}

/** What {@link AttachmentsOperations.restoreAttachments} takes. */
export interface RestoreAttachments extends CallOptions {
  /** What {@link StoreAttachments}, `enqueue` or `emit` made of it. */
  readonly content: unknown;
}

/** What {@link AttachmentsOperations.listAttachments} takes. */
export interface ListAttachments extends CallOptions {
  /** The session. */
  readonly session: string;
  /** Only those of that direction. */
  readonly direction?: Direction | null | undefined;
}

/** Attachments. */
export interface Attachments {
  /** In the order of directions and digests. */
  attachments: Attachment[];
}

/** A file that came with content. */
export interface Attachment {
  /** What its file is named for. */
  digest: string;
  /** Its name: one that is safe in a directory of any system. */
  name: string;
  /** Its path, relative to the store's directory. */
  path: string;
  /** Its size in bytes. */
  size: number;
  /** Its media type, as its content says. */
  mediaType: string | null;
  /** Whose it is. */
  direction: Direction;
}

/** What {@link AttachmentsOperations.readAttachment} takes. */
export interface ReadAttachment extends CallOptions {
  /** The session. */
  readonly session: string;
  /** Its digest. */
  readonly digest: string;
}

/** A file. */
export interface FileData {
  /** In base64. */
  data: string;
}

/** What {@link AttachmentsOperations.clearAttachments} takes. */
export interface ClearAttachments extends CallOptions {
  /** The session. */
  readonly session: string;
  /** Whose. */
  readonly direction: Direction;
}

/** What was collected. */
export interface Collected {
  /** How many files were removed. */
  count: number;
  /** How many bytes they had. */
  bytes: number;
  /** How many more nobody has. */
  waiting: number;
}

/** What {@link AttachmentsOperations.collectAttachments} takes. */
export interface CollectAttachments extends CallOptions {}

/** Which log a file belongs to. */
export type Direction =
  /** The session's messages. */
  | "message"
  /** What came in: the host's side writes. */
  | "in"
  /** What goes out: the worker's side writes. */
  | "out";

/** Attachments. */
export interface AttachmentsOperations {
  /**
   * Moves the files that content holds as base64 out to files, and gives the content that is left.
   *
   * What is moved: the text `data` of every object in an array `attachments`, and of every part (an object in an
   * array `parts`) of type `image` or `file`, where it is base64 as RFC 4648 writes it. In its place stand `path`,
   * relative to the store's directory, where any process can read it; `attachment`, with its digest and size; and a
   * safe `name`, where there is none or an unsafe one. `enqueue` and `emit` do this themselves; for messages it is
   * done before they are appended. Guarantee: on return the files are durable and have their rows.
   *
   * Errors: `not-found`, `invalid` (a file of more than 20 MiB).
   */
  storeAttachments(request: StoreAttachments): Content;
  /**
   * Puts the data of attachments back into content, byte for byte as it was before they were moved out.
   *
   * Errors: `damaged` (a file is gone, or is not what was stored; which one).
   */
  restoreAttachments(request: RestoreAttachments): Content;
  /** Lists the attachments of a session. Errors: `not-found`. */
  listAttachments(request: ListAttachments): Attachments;
  /** Gives a file as base64. Errors: `not-found` (the session has no such attachment), `damaged`. */
  readAttachment(request: ReadAttachment): FileData;
  /**
   * Gives up a session's attachments of one direction: their rows go now, and the files a day later, unless somebody
   * else has them too.
   *
   * Errors: `not-found`.
   */
  clearAttachments(request: ClearAttachments): Attachments;
  /**
   * Removes the files that no session has for at least a day, and notes those that nobody has now. It looks at every
   * session's rows.
   */
  collectAttachments(request?: CollectAttachments): Collected;
}
