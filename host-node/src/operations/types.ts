/** The operations of a store, with what they take and give. Each takes one object. */
import type { AttachmentsOperations } from "./attachments.js";
import type { ChangesOperations } from "./changes.js";
import type { CountersOperations } from "./counters.js";
import type { IngestOperations } from "./ingest.js";
import type { QueuesOperations } from "./queues.js";
import type { RetentionOperations } from "./retention.js";
import type { RunsOperations } from "./runs.js";
import type { SalvageOperations } from "./salvage.js";
import type { SearchOperations } from "./search.js";
import type { SessionsOperations } from "./sessions.js";
import type { ThreadsOperations } from "./threads.js";
import type { UsageOperations } from "./usage.js";

export type * from "./attachments.js";
export type * from "./changes.js";
export type * from "./counters.js";
export type * from "./ingest.js";
export type * from "./queues.js";
export type * from "./retention.js";
export type * from "./runs.js";
export type * from "./salvage.js";
export type * from "./search.js";
export type * from "./sessions.js";
export type * from "./threads.js";
export type * from "./usage.js";

/** The operations of a store. Errors beside those of every call are named with each. */
export interface Operations
  extends AttachmentsOperations,
    ChangesOperations,
    CountersOperations,
    IngestOperations,
    QueuesOperations,
    RetentionOperations,
    RunsOperations,
    SalvageOperations,
    SearchOperations,
    SessionsOperations,
    ThreadsOperations,
    UsageOperations {}
