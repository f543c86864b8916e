/** The operations of a store, with what they take and give. Each takes one object. */
import type { CountersOperations } from "./counters.js";

export type * from "./counters.js";

/** The operations of a store. Errors beside those of every call are named with each. */
export interface Operations
  extends CountersOperations {}
