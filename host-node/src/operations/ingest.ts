/** Raw events of agents, as messages. */
import type { CallOptions } from "../types.js";

/** What {@link IngestOperations.ingest} takes. */
export interface Ingest extends CallOptions {
  /** The session. */
  readonly session: string;
  /**
   * At most 10,000 JSON objects with `type`, and by type: `id`, `content`, `name`, `call_id`, `input`, `output`,
   * `is_error`, `model`, `status`, `cost`, `input_tokens`, `output_tokens`, `at`.
   */
  readonly events: readonly object[];
}

/** What became of events. */
export interface Ingested {
  /** How many messages were appended. */
  appended: number;
  /** How many events had been taken before. */
  repeated: number;
  /** How many came with a known id and other content, and were kept under another. */
  renamed: number;
  /** The head now. */
  head: number;
}

/** Taking in what agents say. */
export interface IngestOperations {
  /**
   * Takes events of an agent in, in order: each becomes a message, or changes what is known of the session.
   *
   * | `type` | becomes |
   * | --- | --- |
   * | `user`, `text` | a message of the user, of the assistant |
   * | `thinking` | a message of the assistant with a part `thinking` |
   * | `tool_call` | a message of the assistant with a part `tool_call`, its `view` and its `tool_path` |
   * | `tool_result` | a message of the tool with the whole result, and a `view` of 500 lines where it has more |
   * | `init` | a note of the system; the session's model |
   * | `error` | a note of the system |
   * | `cost` | usage, as all that the session has used so far |
   * | `status` | the session's status; a text that is none: `idle` |
   * | `compaction` and any other | a note of the system with the event as it came, in a part `opaque` |
   *
   * Guarantee: an event whose id came before with the same content changes nothing; one with other content is kept
   * under an id that is derived from both. Events that were taken stay so where a later one fails. On return all of
   * them are durable.
   *
   * Errors: `not-found`, `invalid` (an event is no object, or has no `type`), `conflict` (in the trash).
   */
  ingest(request: Ingest): Ingested;
}
