/**
 * The operations of a store, as a table: what each takes. One is an entry here, and a method with its values in the
 * file of its kind, which this must agree with to compile. Names in the contract follow from the names here.
 */
import { answer } from "../answers.js";
import { snakeCase } from "../names.js";
import {
  count,
  durability,
  finite,
  flag,
  list,
  maybe,
  messages,
  named,
  oneOf,
  optional,
  raw,
  record,
  required,
  size,
  text,
  time,
  value,
  write,
  type Member,
  type Members,
  type Shape,
} from "../shapes.js";
import type { Call } from "../calls.js";
import type { CallOptions } from "../types.js";
import type * as Types from "./types.js";

/** For each member of a value its shape. */
type Shapes<Value> = { readonly [Name in Exclude<keyof Value, keyof CallOptions>]-?: Member };

/** For each operation the shapes of its request. */
type Requests = {
  readonly [Name in keyof Types.Operations]: Shapes<NonNullable<Parameters<Types.Operations[Name]>[0]>>;
};

const nested = <Value>(members: Shapes<Value>): Shape => record(members);

const session = optional(text);
const op = optional(text);
const direction = oneOf("message", "in", "out");
const newItem = nested<Types.NewItem>({
  id: optional(text),
  kind: required(text),
  content: optional(value),
  wakes: optional(flag),
  onStart: maybe(flag),
  dueAt: optional(time),
  recurrence: optional(text),
  timeZone: optional(text),
  series: optional(text),
  address: optional(value),
  sourceSession: optional(text),
});
const newAck = nested<Types.NewAck>({
  id: required(text),
  status: required(oneOf("completed", "failed")),
  error: optional(text),
});
const newOut = nested<Types.NewOut>({
  id: optional(text),
  kind: required(text),
  content: optional(value),
  inReplyTo: optional(text),
  dueAt: optional(time),
  address: optional(value),
  destination: optional(text),
});
const policy = nested<Types.Policy>({
  maxAgeMs: optional(count),
  clock: maybe(oneOf("accessed", "active")),
  maxSessions: optional(count),
  maxBytes: optional(count),
  eachScope: maybe(flag),
  graceMs: optional(count),
  onOpen: maybe(flag),
});
const newFacts = nested<Types.NewFacts>({
  title: optional(text),
  agent: optional(text),
  provider: optional(text),
  model: optional(text),
  tags: maybe(list(text)),
  metadata: optional(value),
});
const amounts = nested<Types.Amounts>({
  input: optional(finite),
  output: optional(finite),
  cacheRead: optional(finite),
  cacheWrite: optional(finite),
  cost: optional(finite),
});

const requests: Requests = {
  storeAttachments: { session: required(text), content: required(value), direction: maybe(direction) },
  restoreAttachments: { content: required(value) },
  listAttachments: { session: required(text), direction: optional(direction) },
  readAttachment: { session: required(text), digest: required(text) },
  clearAttachments: { session: required(text), direction: required(direction) },
  collectAttachments: {},
  changes: { session, cursor: optional(text), limit: optional(size) },
  addCounters: { session, add: required(named(finite)), op, durability },
  getCounters: { session },
  resetCounters: { session, names: optional(list(text)) },
  ingest: { session: required(text), events: required(list(value)) },
  enqueue: { session: required(text), items: required(list(newItem)), durability },
  nextBatch: {
    session: required(text),
    worker: required(text),
    limit: optional(size),
    first: maybe(flag),
    leaseMs: optional(count),
  },
  release: { session: required(text), items: required(list(text)) },
  ack: { session: required(text), acks: required(list(newAck)), durability },
  sweep: { session: required(text), workerGone: maybe(flag) },
  inbound: {
    session: required(text),
    status: optional(oneOf("pending", "processing", "paused", "completed", "failed", "cancelled")),
  },
  changeSeries: {
    session: required(text),
    target: required(text),
    action: required(oneOf("cancel", "pause", "resume", "update")),
    content: optional(value),
    recurrence: optional(text),
    timeZone: optional(text),
    dueAt: optional(time),
  },
  emit: { session: required(text), items: required(list(newOut)), durability },
  nextDeliveries: { session: required(text), limit: optional(size) },
  outbound: { session: required(text) },
  recordDelivery: {
    session: required(text),
    item: required(text),
    status: required(oneOf("delivered", "failed", "refused")),
    platformId: optional(text),
    error: optional(text),
  },
  findItem: { session: required(text), seq: required(count) },
  ask: { session: required(text), id: required(text), content: required(value), expiresAt: optional(time) },
  answerQuestion: { session: required(text), id: required(text), answer: required(value) },
  questions: { session: required(text) },
  planRetention: { scope: optional(text), policy: optional(policy) },
  applyRetention: { scope: optional(text), policy: optional(policy) },
  setRetention: { policy: optional(policy) },
  getRetention: {},
  purgeScope: { scope: required(text) },
  beginRun: { session: required(text), owner: required(text), leaseMs: required(count) },
  renewRun: { session: required(text), run: required(text), leaseMs: required(count) },
  endRun: {
    session: required(text),
    run: required(text),
    status: required(oneOf("done", "error", "idle", "interrupted")),
    error: optional(text),
    amounts: optional(amounts),
    model: optional(text),
  },
  getRun: { session: required(text), silenceMs: optional(count) },
  listRuns: { scope: optional(text), silenceMs: optional(count), mark: maybe(flag) },
  checkEnvironment: { values: required(named(text)), blocked: optional(list(text)) },
  salvageSession: {
    session: required(text),
    id: optional(text),
    generation: optional(size),
    quarantine: maybe(flag),
  },
  renameSession: { session: required(text), title: required(text) },
  suggestTitle: { session: required(text), title: required(text) },
  saveSession: { session: required(text), messages: required(raw(messages)), expectHead: optional(count), durability },
  readView: { session: required(text), limit: required(size) },
  countSessions: { scope: optional(text) },
  directoryScope: { directory: required(text) },
  rootSession: { session: required(text) },
  currentSession: { scope: required(text), new: maybe(newFacts), forceNew: maybe(flag) },
  resolveThread: {
    agentGroup: required(text),
    chat: optional(text),
    thread: optional(text),
    mode: required(oneOf("shared", "per_thread", "agent_shared")),
    new: maybe(newFacts),
  },
  setRouting: { session: required(text), default: maybe(value), destinations: maybe(named(value)) },
  getRouting: { session: required(text) },
  setState: { session: required(text), key: required(text), value: optional(value), durability },
  getState: { session: required(text), key: optional(text) },
  heartbeat: {
    session: required(text),
    worker: required(text),
    status: optional(oneOf("running", "idle", "stopped")),
    tool: optional(text),
    timeoutMs: optional(count),
  },
  liveness: { session: required(text), startedAt: optional(time) },
  addUsage: {
    session: required(text),
    model: optional(text),
    amounts: required(amounts),
    absolute: maybe(flag),
    source: optional(text),
    usedAt: optional(time),
    op,
    durability,
  },
  search: {
    query: required(text),
    scope: optional(text),
    session,
    role: optional(oneOf("user", "assistant", "system", "tool")),
    tool: optional(text),
    since: optional(time),
    until: optional(time),
    trashed: maybe(flag),
    hidden: maybe(flag),
    limit: optional(count),
    cursor: optional(text),
  },
  updateSearch: { bytes: optional(count) },
  getUsage: { session, scope: optional(text), by: optional(oneOf("session", "scope", "model", "day")) },
};

function operation(method: string, members: Members): Call {
  const name = snakeCase(method);
  return { name: "operate", args: [], options: members, order: (request) => [name, write(request)], answer };
}

export const operations = Object.fromEntries(
  Object.entries(requests).map(([method, members]) => [method, operation(method, members)]),
) as { readonly [Name in keyof Requests]: Call };
