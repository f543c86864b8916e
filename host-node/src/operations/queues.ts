/**
 * The queues of a session: what comes in for its worker, and what goes out from it.
 *
 * The host's side and the worker's side each write a log of their own, so that one directory can be all that they
 * share, also across machines. The host enqueues, sweeps, and says what became of deliveries; the worker claims,
 * acknowledges and emits. Everybody sees both. Numbers tell the sides apart: even ones came in, odd ones go out.
 */
import type { CallOptions, Durability, Json, Time } from "../types.js";

/** What {@link QueuesOperations.enqueue} takes. */
export interface Enqueue extends CallOptions {
  /** The session. */
  readonly session: string;
  /** 1 to 1,000 items. */
  readonly items: readonly NewItem[];
  /** How durable it is on return. */
  readonly durability?: Durability | undefined;
}

/** An item that comes in. */
export interface NewItem {
  /** The caller's id, such as that of a platform's message. Default: a fresh ULID. */
  readonly id?: string | null | undefined;
  /**
   * What it is, such as `chat`, `task`, `webhook`, `system`. Items of kind `system` do not count against the limit of
   * a batch.
   */
  readonly kind: string;
  /** Any JSON of at most 1 MiB. */
  readonly content?: unknown;
  /** Whether it wakes the worker; otherwise it rides along with one that does. Default: yes. */
  readonly wakes?: boolean | null | undefined;
  /** Whether only the first batch of a worker's life has it. */
  readonly onStart?: boolean | undefined;
  /** Not before this time. */
  readonly dueAt?: Time | null | undefined;
  /** A cron expression: behind the item comes its successor. */
  readonly recurrence?: string | null | undefined;
  /** The time zone of the recurrence. Default: UTC. */
  readonly timeZone?: string | null | undefined;
  /** The id of its series. Default: its own. */
  readonly series?: string | null | undefined;
  /** Where it came from, and where answers go: any JSON. */
  readonly address?: unknown;
  /** The session of an agent that it came from. */
  readonly sourceSession?: string | null | undefined;
}

/** What became of items that were given. */
export interface Enqueued {
  /** One for each item, in order. */
  items: Receipt[];
}

/** Where an item stands. */
export interface Receipt {
  /** Its id, derived where its own was taken. */
  id: string;
  /** Its number in the session; 0 where the item is done already. */
  seq: number;
  /** Whether it was there before. */
  repeated: boolean;
}

/** An item that came in. */
export interface Item {
  /** Its id. */
  id: string;
  /** Its number: even. */
  seq: number;
  /** See {@link NewItem}. */
  kind: string;
  /** See {@link NewItem}. */
  content: Json;
  /** `pending`, `processing` (claimed), `paused`, `completed`, `failed`, `cancelled`. */
  status: ItemStatus;
  /** When it came. */
  createdAt: number;
  /** See {@link NewItem}. */
  wakes: boolean;
  /** See {@link NewItem}. */
  onStart: boolean;
  /** Not before this time. */
  dueAt: number | null;
  /** See {@link NewItem}. */
  recurrence: string | null;
  /** See {@link NewItem}. */
  timeZone: string | null;
  /** Its series. */
  series: string;
  /** How often it was tried without success. */
  tries: number;
  /** How many items of its series have failed in a row. */
  failures: number;
  /** Claims before this time do not count any more; `null`: all do. */
  releasedAt: number | null;
  /** See {@link NewItem}. */
  address: Json | null;
  /** See {@link NewItem}. */
  sourceSession: string | null;
}

/** What {@link QueuesOperations.nextBatch} takes. */
export interface NextBatch extends CallOptions {
  /** The session. */
  readonly session: string;
  /** The worker's name. */
  readonly worker: string;
  /** At most so many items, 1 to 1,000. Default: 10. */
  readonly limit?: number | null | undefined;
  /**
   * Whether the worker has just begun its life: what it had claimed before is free again, and items `onStart` come
   * too.
   */
  readonly first?: boolean | undefined;
  /** How long the claims last, in ms. Default: 30 minutes. */
  readonly leaseMs?: number | null | undefined;
}

/** Items. */
export interface Items {
  /** In the order of their numbers. */
  items: Item[];
}

/** What {@link QueuesOperations.release} takes. */
export interface Release extends CallOptions {
  /** The session. */
  readonly session: string;
  /** Their ids. */
  readonly items: readonly string[];
}

/** What {@link QueuesOperations.ack} takes. */
export interface Ack extends CallOptions {
  /** The session. */
  readonly session: string;
  /** One for each item. */
  readonly acks: readonly NewAck[];
  /** How durable it is on return. */
  readonly durability?: Durability | undefined;
}

/** How an item has ended. */
export interface NewAck {
  /** Its id. */
  readonly id: string;
  /** `completed` or `failed`. */
  readonly status: "completed" | "failed";
  /** What went wrong, at most 4,096 bytes. */
  readonly error?: string | null | undefined;
}

/** What became of acknowledgements. */
export interface Acked {
  /** Those that count now. */
  acked: string[];
  /** Those that had ended before, and stay as they were. */
  unchanged: string[];
}

/** What {@link QueuesOperations.sweep} takes. */
export interface Sweep extends CallOptions {
  /** The session. */
  readonly session: string;
  /** Whether the session's worker is known to be gone: its claims need not be waited for. */
  readonly workerGone?: boolean | undefined;
}

/** What a sweep did, by ids of items. */
export interface Swept {
  /** Those that have ended well. */
  completed: string[];
  /** Those that were given up. */
  failed: string[];
  /** Those that will be tried again. */
  retried: string[];
  /** Successors. */
  spawned: string[];
  /** Successors that wait to be resumed, because too many before them have failed. */
  paused: string[];
  /** Whether something is due and waits for a worker. */
  wakes: boolean;
  /** When the next item is due; `null`: none waits for its time. */
  dueAt: number | null;
}

/** What {@link QueuesOperations.inbound} takes. */
export interface Inbound extends CallOptions {
  /** The session. */
  readonly session: string;
  /** Only those of that status. */
  readonly status?: ItemStatus | null | undefined;
}

/** What {@link QueuesOperations.changeSeries} takes. */
export interface ChangeSeries extends CallOptions {
  /** The session. */
  readonly session: string;
  /** The id of an item or of a series. */
  readonly target: string;
  /** What to do. */
  readonly action: SeriesAction;
  /** For `update`: a merge patch (RFC 7396) of the content. */
  readonly content?: unknown;
  /** For `update`: another recurrence; an empty text ends it. */
  readonly recurrence?: string | null | undefined;
  /** For `update`: another time zone. */
  readonly timeZone?: string | null | undefined;
  /** For `update`: another time. */
  readonly dueAt?: Time | null | undefined;
}

/** How many items were touched. */
export interface Touched {
  /** Their ids. */
  items: string[];
}

/** What {@link QueuesOperations.emit} takes. */
export interface Emit extends CallOptions {
  /** The session. */
  readonly session: string;
  /** 1 to 1,000 items. */
  readonly items: readonly NewOut[];
  /** How durable it is on return. */
  readonly durability?: Durability | undefined;
}

/** An item that goes out. */
export interface NewOut {
  /** The caller's id. Default: a fresh ULID. */
  readonly id?: string | null | undefined;
  /** What it is. Items of kind `system` are for the host itself, and never delivered. */
  readonly kind: string;
  /** Any JSON of at most 1 MiB. */
  readonly content?: unknown;
  /** The incoming item that it answers, by id: its address is where it goes. */
  readonly inReplyTo?: string | null | undefined;
  /** Not before this time. */
  readonly dueAt?: Time | null | undefined;
  /**
   * Where it goes: any JSON. Default: to the address of what it answers, else to `destination`, else to the default
   * of the routing.
   */
  readonly address?: unknown;
  /** The name of a destination of the routing. */
  readonly destination?: string | null | undefined;
}

/** An item that goes out, and what became of it. */
export interface OutItem {
  /** Its id. */
  id: string;
  /** Its number: odd. */
  seq: number;
  /** See {@link NewOut}. */
  kind: string;
  /** See {@link NewOut}. */
  content: Json;
  /** See {@link NewOut}. */
  inReplyTo: string | null;
  /** When it was emitted. */
  createdAt: number;
  /** Not before this time. */
  dueAt: number | null;
  /** Where it goes, as of now; `null`: nobody knows, and it cannot be delivered. */
  address: Json | null;
  /** See {@link NewOut}. */
  destination: string | null;
  /** What became of it. */
  delivery: Delivery;
}

/** What became of a delivery. */
export interface Delivery {
  /** See {@link DeliveryStatus}. */
  status: DeliveryStatus;
  /** How often it was attempted. */
  attempts: number;
  /** Not again before this time. */
  nextAt: number | null;
  /** The platform's id of the message. */
  platformId: string | null;
  /** What went wrong last. */
  error: string | null;
  /** When it ended. */
  endedAt: number | null;
}

/** What {@link QueuesOperations.nextDeliveries} takes. */
export interface NextDeliveries extends CallOptions {
  /** The session. */
  readonly session: string;
  /** At most so many, 1 to 1,000. Default: 100. */
  readonly limit?: number | null | undefined;
}

/** Items that go out. */
export interface OutItems {
  /** In the order of their numbers. */
  items: OutItem[];
}

/** What {@link QueuesOperations.recordDelivery} takes. */
export interface RecordDelivery extends CallOptions {
  /** The session. */
  readonly session: string;
  /** The item's id. */
  readonly item: string;
  /** `delivered`, `failed` (this attempt), or `refused` (for good). */
  readonly status: "delivered" | "failed" | "refused";
  /** The platform's id of the message. */
  readonly platformId?: string | null | undefined;
  /** What went wrong, at most 4,096 bytes. */
  readonly error?: string | null | undefined;
}

/** One item that goes out. */
export interface OneOut {
  /** The item with its delivery. */
  item: OutItem;
}

/** What {@link QueuesOperations.outbound} takes. */
export interface Outbound extends CallOptions {
  /** The session. */
  readonly session: string;
}

/** What {@link QueuesOperations.findItem} takes. */
export interface FindItem extends CallOptions {
  /** The session. */
  readonly session: string;
  /** The number. */
  readonly seq: number;
}

/** An item of either direction. */
export interface Found {
  /** Its id; that of the platform where it was delivered. */
  id: string;
  /** The item, where it came in. */
  inbound: Item | null;
  /** The item, where it goes out. */
  outbound: OutItem | null;
}

/** What {@link QueuesOperations.ask} takes. */
export interface Ask extends CallOptions {
  /** The session. */
  readonly session: string;
  /** The question's id. */
  readonly id: string;
  /** What is asked, with its options: any JSON of at most 64 KiB. */
  readonly content: unknown;
  /** When it lapses. */
  readonly expiresAt?: Time | null | undefined;
}

/** What {@link QueuesOperations.answerQuestion} takes. */
export interface AnswerQuestion extends CallOptions {
  /** The session. */
  readonly session: string;
  /** The question's id. */
  readonly id: string;
  /** The answer: any JSON. */
  readonly answer: unknown;
}

/** What {@link QueuesOperations.questions} takes. */
export interface Questions extends CallOptions {
  /** The session. */
  readonly session: string;
}

/** Open questions. */
export interface OpenQuestions {
  /** In the order of their ids. */
  questions: Question[];
}

/** An open question. */
export interface Question {
  /** Its id. */
  id: string;
  /** What is asked. */
  content: Json;
  /** When it was asked. */
  createdAt: number;
  /** When it lapses. */
  expiresAt: number | null;
}

/** What an item is waiting for, or how it has ended. */
export type ItemStatus =
  /** For a worker, or for its time. */
  | "pending"
  /** A worker has claimed it. */
  | "processing"
  /** To be resumed. */
  | "paused"
  /** Done well. */
  | "completed"
  /** Given up. */
  | "failed"
  /** Called off. */
  | "cancelled";

/** What is done with a series. */
export type SeriesAction =
  /** Its items end, and nothing comes after them. */
  | "cancel"
  /** Its items wait to be resumed. */
  | "pause"
  /** Its paused items are pending again. */
  | "resume"
  /** See {@link ChangeSeries}. */
  | "update";

/** What a delivery is waiting for, or how it has ended. */
export type DeliveryStatus =
  /** To be attempted. */
  | "pending"
  /** It has arrived. */
  | "delivered"
  /** Given up after six attempts. */
  | "failed"
  /** The platform will never take it. */
  | "refused";

/** Queues between hosts, workers and users. */
export interface QueuesOperations {
  /**
   * Puts items into the queue of a session's worker, all or none. Called by the host's side.
   *
   * Guarantee: an item whose id is known with the same content is there once, however often it is given; a known id
   * with other content is kept under an id that is derived from both.
   *
   * Errors: `not-found`, `invalid`.
   */
  enqueue(request: Enqueue): Enqueued;
  /**
   * Claims the next items for a worker. Called by the worker's side.
   *
   * Due items that wake come first, the oldest first, at most `limit`; what is left of it is filled with the newest
   * of those that only ride along, and due items of kind `system` come on top. Where nothing wakes, the batch is
   * empty. The answer is in the order of numbers. Guarantee: no two workers have the same item, unless a lease has
   * ended.
   *
   * Errors: `not-found`, `invalid`.
   */
  nextBatch(request: NextBatch): Items;
  /** Gives claimed items back, to be claimed again at once. Called by the worker's side. Errors: `not-found`. */
  release(request: Release): Touched;
  /**
   * Says how items have ended. Called by the worker's side; the next `sweep` of the host's side takes it over.
   *
   * What was acknowledged once stays so: a second, other acknowledgement changes nothing and is named in the answer.
   *
   * Errors: `not-found` (an id that no item has or lately had; then nothing was acknowledged), `invalid`.
   */
  ack(request: Ack): Acked;
  /**
   * Brings a session's incoming queue up to date: takes over acknowledgements, gives crashed workers' items back with
   * a growing delay (5, 10, 20, 40, 80 s) or gives them up after five tries, and puts the successor of each recurring
   * item that has ended. Called by the host's side, about every minute.
   *
   * Guarantee: an item ends once, and has exactly one successor, whoever sweeps.
   *
   * Errors: `not-found`.
   */
  sweep(request: Sweep): Swept;
  /** Lists what came in and has not ended, or one item by id or number. Errors: `not-found`. */
  inbound(request: Inbound): Items;
  /**
   * Cancels, pauses, resumes or changes items by their id or that of their series. Only those that wait are touched:
   * neither claimed nor ended ones. Called by the host's side.
   *
   * Errors: `not-found` (the session), `invalid`.
   */
  changeSeries(request: ChangeSeries): Touched;
  /**
   * Puts items into the outgoing queue of a session, all or none. Called by the worker's side. Ids as with
   * {@link Enqueue}.
   *
   * Errors: `not-found`, `invalid`.
   */
  emit(request: Emit): Enqueued;
  /**
   * Gives what is to be delivered now, in the order of numbers: due, not ended, and behind its last attempt's delay.
   * One that fails stands in nobody's way. Called by the host's side.
   *
   * Errors: `not-found`, `invalid`.
   */
  nextDeliveries(request: NextDeliveries): OutItems;
  /**
   * Lists what goes out, with what became of it: what has not ended, and what has within the last seven days.
   *
   * Errors: `not-found`.
   */
  outbound(request: Outbound): OutItems;
  /**
   * Says what became of an attempt to deliver. Called by the host's side. What has ended stays as it is, so a retry
   * is harmless.
   *
   * A failed attempt is made again after 5, 15, 45, 120 and 300 s, also after a restart; the sixth failure is the
   * last.
   *
   * Errors: `not-found` (no such item), `invalid`.
   */
  recordDelivery(request: RecordDelivery): OneOut;
  /** Finds an item of either direction by its number, which is what an agent calls it by. Errors: `not-found`. */
  findItem(request: FindItem): Found;
  /**
   * Puts a question to the user of a session. Known ids are left as they are, so a retry is harmless. Called by the
   * host's side.
   *
   * Errors: `not-found`, `invalid`.
   */
  ask(request: Ask): OpenQuestions;
  /**
   * Answers a question: it is asked no more, and the answer is in the queue of the worker, as an item of kind
   * `system` with the content `{"type":"question_response","questionId","status":"answered","result"}`. Both or none.
   *
   * Errors: `not-found` (not asked, answered before, or lapsed), `invalid`.
   */
  answerQuestion(request: AnswerQuestion): Enqueued;
  /** Lists the questions that are open. Errors: `not-found`. */
  questions(request: Questions): OpenQuestions;
}
