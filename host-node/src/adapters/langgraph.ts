/** A checkpointer for LangGraph that keeps threads in a store. See docs/adapters/langgraph-js.md. */
import { randomUUID } from "node:crypto";
import type { RunnableConfig } from "@langchain/core/runnables";
import {
  BaseCheckpointSaver,
  maxChannelVersion,
  TASKS,
  WRITES_IDX_MAP,
  type ChannelVersions,
  type Checkpoint,
  type CheckpointListOptions,
  type CheckpointMetadata,
  type CheckpointPendingWrite,
  type CheckpointTuple,
  type PendingWrite,
  type SerializerProtocol,
} from "@langchain/langgraph-checkpoint";
import { DamagedError, InvalidError, NotFoundError } from "../errors.js";
import type { Message, Session } from "../types.js";
import { compose, difference, type Delta } from "./deltas.js";
import { contested, digest, ensure, look, Recent, remove, sessionId, settle, Turns, type AdapterOptions, type AnyStore } from "./sessions.js";

export type { AdapterOptions, AnyStore } from "./sessions.js";

/** A value as a serializer gives it: its type, and its bytes as text where they are text, otherwise in base64. */
interface Typed {
  readonly type: string;
  readonly text?: string;
  readonly base64?: string;
}

/** A value of a channel: whole, or by an earlier one. Its name is the digest of what it says. */
type BlobRecord = { readonly record: "value"; readonly name: string; readonly type: string; readonly binary?: boolean } & (
  | { readonly text: string }
  | { readonly base: string; readonly delta: Delta; readonly size: number }
);

interface CheckpointRecord {
  readonly record: "checkpoint";
  readonly ns: string;
  readonly id: string;
  readonly parent?: string;
  readonly checkpoint: Typed;
  readonly metadata: Typed;
  /** The version and the name of each channel's value. */
  readonly values: Readonly<Record<string, readonly [version: number | string | null, name: string]>>;
}

interface WritesRecord {
  readonly record: "writes";
  readonly ns: string;
  readonly id: string;
  readonly task: string;
  readonly path: string;
  readonly writes: readonly (readonly [index: number, channel: string, value: Typed])[];
}

type Entry = BlobRecord | CheckpointRecord | WritesRecord;

/** Where a value lies, and what it takes to read it. */
interface Blob {
  readonly seq: number;
  readonly size: number;
  readonly base?: string;
  /** How much has been written since the last whole text. */
  readonly since: number;
}

interface Write {
  readonly seq: number;
  readonly at: number;
  readonly task: string;
  readonly path: string;
  readonly index: number;
}

interface Known {
  readonly seq: number;
  readonly parent: string | undefined;
  readonly values: CheckpointRecord["values"];
}

/** What is known of a thread: where everything lies in its session, up to `head`. */
interface Thread {
  readonly session: string;
  readonly born: unknown;
  head: number;
  readonly checkpoints: Map<string, Map<string, Known>>;
  readonly writes: Map<string, Map<string, Write>>;
  readonly blobs: Map<string, Blob>;
}

const THREADS_MAX = 64;
const TEXTS_MAX = 32 << 20;
const PAGE = 1000;
/** Where records that are needed lie closer than this, all between them are read too: a page costs less than two calls. */
const GAP = 64;

/**
 * A LangGraph checkpointer over a store: one session for each thread. On return everything is on the disk. Any number of
 * processes can work on a thread.
 *
 * The value of a channel is written when it has changed, and then what has changed of it: forks of a thread and states
 * that come again share what they have in common.
 */
export class SessileSaver extends BaseCheckpointSaver {
  readonly #store: AnyStore;
  readonly #scope: string;
  readonly #turns = new Turns();
  readonly #threads = new Recent<Thread>(THREADS_MAX);
  readonly #texts = new Recent<string>(TEXTS_MAX);

  constructor(store: AnyStore, options: AdapterOptions & { readonly serde?: SerializerProtocol | undefined } = {}) {
    super(options.serde);
    this.#store = store;
    this.#scope = options.scope ?? "";
  }

  /** Reads a checkpoint, or the newest of its namespace. */
  override async getTuple(config: RunnableConfig): Promise<CheckpointTuple | undefined> {
    const { threadId, ns, id } = addressOf(config);
    if (threadId === undefined) return undefined;
    const thread = await this.#look(threadId);
    const all = thread?.checkpoints.get(ns);
    const wanted = id ?? [...(all?.keys() ?? [])].reduce<string | undefined>((a, b) => (a === undefined || b > a ? b : a), undefined);
    if (thread === null || wanted === undefined || !all?.has(wanted)) return undefined;
    return this.#tuple(thread, threadId, ns, wanted);
  }

  /** Lists checkpoints, newest first in each namespace of each thread. */
  override async *list(config: RunnableConfig, options: CheckpointListOptions = {}): AsyncGenerator<CheckpointTuple> {
    const { threadId, id } = addressOf(config);
    const onlyNs = config.configurable?.["checkpoint_ns"] as string | undefined;
    const before = options.before === undefined ? undefined : addressOf(options.before).id;
    let left = options.limit ?? Infinity;
    for await (const one of threadId === undefined ? this.#threadIds() : [threadId]) {
      const thread = await this.#look(one);
      for (const [ns, all] of thread?.checkpoints ?? []) {
        if (onlyNs !== undefined && ns !== onlyNs) continue;
        for (const found of [...all.keys()].sort().reverse()) {
          if (left <= 0) return;
          if ((id !== undefined && found !== id) || (before !== undefined && found >= before)) continue;
          if (thread === null || !(await this.#matches(thread, ns, found, options.filter))) continue;
          left -= 1;
          yield await this.#tuple(thread, one, ns, found);
        }
      }
    }
  }

  /** Stores a checkpoint with the values of channels that have changed, all or nothing. */
  override async put(
    config: RunnableConfig,
    checkpoint: Checkpoint,
    metadata: CheckpointMetadata,
    newVersions: ChannelVersions,
  ): Promise<RunnableConfig> {
    const { threadId, ns, id: parent } = addressOf(config);
    if (threadId === undefined) throw new InvalidError("a checkpoint needs a `thread_id` in `configurable`");
    const body = await this.#dump({ ...checkpoint, channel_values: {} });
    const about = await this.#dump(metadata);
    await this.#turns.take(threadId, () =>
      settle(async () => {
        const thread = await this.#open(threadId);
        const made: BlobRecord[] = [];
        const values: Record<string, readonly [number | string | null, string]> = Object.create(null);
        const before = parent === undefined ? undefined : thread.checkpoints.get(ns)?.get(parent);
        for (const [channel, value] of Object.entries(checkpoint.channel_values)) {
          const version = checkpoint.channel_versions[channel] ?? null;
          const inherited = before && Object.hasOwn(before.values, channel) ? before.values[channel] : undefined;
          const isNew = Object.hasOwn(newVersions ?? {}, channel);
          if (!isNew && inherited?.[0] === version && version !== null) {
            values[channel] = inherited;
            continue;
          }
          const typed = await this.#dump(value);
          const name = nameOf(typed);
          if (!thread.blobs.has(name) && !made.some((one) => one.name === name)) {
            // The framework says which values are new. One that is not, of a checkpoint behind nothing, it does not want.
            if (!isNew && before === undefined) continue;
            made.push(await this.#blob(thread, name, typed, inherited?.[1]));
          }
          values[channel] = [version, name];
        }
        const entries: Entry[] = [
          ...made,
          { record: "checkpoint", ns, id: checkpoint.id, ...(parent === undefined ? {} : { parent }), checkpoint: body, metadata: about, values },
        ];
        // Whoever has written meanwhile may have removed the thread, and with it what the values refer to.
        const { seq } = await contested(() => this.#store.append(thread.session, entries.map(messageOf), { expectHead: thread.head }));
        entries.forEach((entry, place) => fold(thread, entry, seq + place));
        thread.head = Math.max(thread.head, seq + entries.length - 1);
      }),
    );
    return { configurable: { thread_id: threadId, checkpoint_ns: ns, checkpoint_id: checkpoint.id } };
  }

  /** Stores what a task has written on top of a checkpoint. What was stored before under the same task and place stays. */
  override async putWrites(config: RunnableConfig, writes: PendingWrite[], taskId: string, taskPath = ""): Promise<void> {
    const { threadId, ns, id } = addressOf(config);
    if (threadId === undefined) throw new InvalidError("writes need a `thread_id` in `configurable`");
    if (id === undefined) throw new InvalidError("writes need a `checkpoint_id` in `configurable`");
    const typed = await Promise.all(
      writes.map(async ([channel, value], place) => [placeOf(channel, place), channel, await this.#dump(value)] as const),
    );
    if (typed.length === 0) return;
    const record: WritesRecord = { record: "writes", ns, id, task: taskId, path: taskPath, writes: typed };
    await this.#turns.take(threadId, () =>
      settle(async () => {
        const { session } = await this.#open(threadId);
        await this.#store.append(session, messageOf(record));
      }),
    );
  }

  /** Removes a thread with everything in it, for good. */
  override async deleteThread(threadId: string): Promise<void> {
    await this.#turns.take(threadId, async () => {
      await remove(this.#store, this.#sessionId(threadId));
      this.#threads.delete(threadId);
    });
  }

  #sessionId(threadId: string): string {
    return sessionId("langgraph", this.#scope, threadId);
  }

  async *#threadIds(): AsyncGenerator<string> {
    for await (const { metadata } of this.#store.sessions({ scope: this.#scope })) {
      const about = metadata?.["langgraph"] as { thread?: unknown } | undefined;
      if (typeof about?.thread === "string") yield about.thread;
    }
  }

  async #look(threadId: string): Promise<Thread | null> {
    const session = await look(this.#store, this.#sessionId(threadId));
    try {
      return session === null ? null : await this.#follow(threadId, session);
    } catch (error) {
      if (error instanceof NotFoundError) return null;
      throw error;
    }
  }

  async #open(threadId: string): Promise<Thread> {
    const metadata = { langgraph: { thread: threadId, born: randomUUID() } };
    const facts = { scope: this.#scope, agent: "langgraph", title: threadId.slice(0, 200).toWellFormed(), metadata };
    return this.#follow(threadId, await ensure(this.#store, this.#sessionId(threadId), facts));
  }

  /** Brings what is known of a thread up to date: reads what has come since. */
  async #follow(threadId: string, { id, head, metadata }: Session): Promise<Thread> {
    const born = (metadata?.["langgraph"] as { born?: unknown } | undefined)?.born;
    const known = this.#threads.get(threadId);
    const isSame = known !== undefined && known.born === born && known.head <= head;
    // What is there is not touched before all of it is read: another call may be using it.
    const thread: Thread = isSame
      ? known
      : { session: id, born, head: 0, checkpoints: new Map(), writes: new Map(), blobs: new Map() };
    while (thread.head < head) {
      const from = thread.head + 1;
      const page = await this.#store.read(id, { from, limit: PAGE });
      if (page.unreadable.length > 0) throw unreadable(id, page.unreadable);
      for (const { seq, message } of page.messages) {
        if (seq <= thread.head) continue;
        const entry = entryOf(message);
        if (entry !== null) fold(thread, entry, seq);
        thread.head = seq;
      }
      if (page.messages.length === 0) break;
    }
    this.#threads.set(threadId, thread, 1);
    return thread;
  }

  async #matches(thread: Thread, ns: string, id: string, filter: Record<string, unknown> | undefined): Promise<boolean> {
    const wanted = Object.entries(filter ?? {});
    if (wanted.length === 0) return true;
    const { metadata } = await this.#record(thread, ns, id);
    const found = (await this.#load(metadata)) as Record<string, unknown>;
    return wanted.every(([key, value]) => found[key] === value);
  }

  async #record(thread: Thread, ns: string, id: string): Promise<CheckpointRecord> {
    const seq = thread.checkpoints.get(ns)?.get(id)?.seq ?? 0;
    return (await this.#read(thread.session, [seq])).get(seq) as CheckpointRecord;
  }

  async #tuple(thread: Thread, threadId: string, ns: string, id: string): Promise<CheckpointTuple> {
    const { parent, checkpoint: body, metadata, values } = await this.#record(thread, ns, id);
    const loaded: [string, unknown][] = [];
    for (const [channel, [, name]] of Object.entries(values)) {
      loaded.push([channel, await this.#load(await this.#value(thread, name))]);
    }
    const checkpoint: Checkpoint = { ...((await this.#load(body)) as Checkpoint), channel_values: Object.fromEntries(loaded) };
    if (checkpoint.v < 4 && parent !== undefined) await this.#migrate(thread, ns, parent, checkpoint);
    const address = (checkpoint_id: string) => ({ configurable: { thread_id: threadId, checkpoint_ns: ns, checkpoint_id } });
    return {
      config: address(id),
      checkpoint,
      metadata: (await this.#load(metadata)) as CheckpointMetadata,
      pendingWrites: await this.#pending(thread, ns, id),
      ...(parent === undefined ? {} : { parentConfig: address(parent) }),
    };
  }

  /** Checkpoints of old have what was sent among the writes of their parent. */
  async #migrate(thread: Thread, ns: string, parent: string, checkpoint: Checkpoint): Promise<void> {
    const sent = (await this.#pending(thread, ns, parent)).filter(([, channel]) => channel === TASKS);
    const versions = Object.values(checkpoint.channel_versions);
    checkpoint.channel_values[TASKS] = sent.map(([, , value]) => value);
    checkpoint.channel_versions[TASKS] = versions.length > 0 ? maxChannelVersion(...versions) : this.getNextVersion(undefined);
  }

  /** What tasks have written on top of a checkpoint, in the order in which it is applied. */
  async #pending(thread: Thread, ns: string, id: string): Promise<CheckpointPendingWrite[]> {
    const writes = [...(thread.writes.get(writesKey(ns, id))?.values() ?? [])];
    writes.sort((a, b) => byCodePoint(a.path, b.path) || byCodePoint(a.task, b.task) || a.index - b.index);
    const records = await this.#read(thread.session, writes.map(({ seq }) => seq));
    return Promise.all(
      writes.map(async ({ seq, at, task }): Promise<CheckpointPendingWrite> => {
        const [, channel, value] = (records.get(seq) as WritesRecord).writes[at] as WritesRecord["writes"][number];
        return [task, channel, await this.#load(value)];
      }),
    );
  }

  /** Makes the record of a value: by the one that it takes the place of, unless it is whole soon enough. */
  async #blob(thread: Thread, name: string, typed: Typed, before: string | undefined): Promise<BlobRecord> {
    const text = contentOf(typed);
    this.#texts.set(`${thread.session} ${name}`, text, text.length);
    const head = { record: "value", name, type: typed.type, ...(typed.base64 === undefined ? {} : { binary: true }) } as const;
    const base = before === undefined ? undefined : thread.blobs.get(before);
    if (before !== undefined && base !== undefined) {
      const delta = difference(contentOf(await this.#value(thread, before)), text);
      // All that is written for a value stays within three times of what has changed, and so does what is read for it.
      if (base.since + delta.text.length + 100 < text.length) return { ...head, base: before, delta, size: text.length };
    }
    return { ...head, text };
  }

  async #value(thread: Thread, name: string): Promise<Typed> {
    const chain: string[] = [];
    for (let at: string | undefined = name; at !== undefined; at = thread.blobs.get(at)?.base) chain.push(at);
    const known = chain.findIndex((one) => this.#texts.get(`${thread.session} ${one}`) !== undefined);
    const needed = known < 0 ? chain : chain.slice(0, known);
    const seqs = [name, ...needed].map((one) => {
      const blob = thread.blobs.get(one);
      if (blob === undefined) throw new DamagedError(`session ${JSON.stringify(thread.session)}: a value of a channel is missing`);
      return blob.seq;
    });
    const records = await this.#read(thread.session, seqs);
    const blobs = seqs.map((seq) => records.get(seq) as BlobRecord);
    const { type, binary } = blobs[0] as BlobRecord;
    const deltas = blobs.slice(1).flatMap((blob) => ("delta" in blob ? [blob.delta] : []));
    const sizes = chain.slice(0, deltas.length).map((one) => thread.blobs.get(one)?.size ?? 0);
    const last = blobs.at(-1) as BlobRecord;
    const cached = known < 0 ? undefined : this.#texts.get(`${thread.session} ${chain[known]}`);
    const content = compose(deltas, sizes, cached ?? ("text" in last ? last.text : ""));
    this.#texts.set(`${thread.session} ${name}`, content, content.length);
    return binary ? { type, base64: content } : { type, text: content };
  }

  /** Reads records by their numbers, those that lie close together at once. */
  async #read(session: string, seqs: readonly number[]): Promise<Map<number, Entry>> {
    const found = new Map<number, Entry>();
    const wanted = [...new Set(seqs)].sort((a, b) => a - b);
    for (let next = 0; next < wanted.length; ) {
      const from = wanted[next] as number;
      let last = next;
      while (last + 1 < wanted.length && (wanted[last + 1] as number) - (wanted[last] as number) < GAP) last += 1;
      const limit = Math.min((wanted[last] as number) - from + 1, PAGE);
      const page = await this.#store.read(session, { from, limit });
      const lost = page.unreadable.filter((seq) => wanted.includes(seq));
      if (lost.length > 0) throw unreadable(session, lost);
      for (const { seq, message } of page.messages) {
        const entry = entryOf(message);
        if (entry !== null) found.set(seq, entry);
      }
      if (!found.has(from)) throw new NotFoundError(`session ${JSON.stringify(session)} has no message ${from} any more`);
      while (next < wanted.length && found.has(wanted[next] as number)) next += 1;
    }
    return found;
  }

  async #dump(value: unknown): Promise<Typed> {
    const [type, bytes] = await this.serde.dumpsTyped(value);
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const text = buffer.toString("utf8");
    return Buffer.from(text, "utf8").equals(buffer) ? { type, text } : { type, base64: buffer.toString("base64") };
  }

  #load({ type, text, base64 }: Typed): Promise<unknown> {
    const bytes = base64 === undefined ? Buffer.from(text ?? "", "utf8") : Buffer.from(base64, "base64");
    return this.serde.loadsTyped(type, new Uint8Array(bytes));
  }
}

function addressOf(config: RunnableConfig): { threadId: string | undefined; ns: string; id: string | undefined } {
  const given = config.configurable ?? {};
  const text = (name: string) => {
    const value = given[name] as unknown;
    if (value === undefined || value === null || value === "") return undefined;
    if (typeof value !== "string") throw new InvalidError(`\`${name}\` in \`configurable\` must be a text`);
    return value;
  };
  return { threadId: text("thread_id"), ns: text("checkpoint_ns") ?? "", id: text("checkpoint_id") ?? text("thread_ts") };
}

/** Where a write stands among its task's: some kinds have places of their own. */
function placeOf(channel: string, place: number): number {
  return (Object.hasOwn(WRITES_IDX_MAP, channel) ? WRITES_IDX_MAP[channel] : undefined) ?? place;
}

function contentOf({ text, base64 }: Typed): string {
  return text ?? base64 ?? "";
}

function nameOf({ type, text, base64 }: Typed): string {
  return digest(`${type}\n${base64 === undefined ? "text" : "base64"}\n${text ?? base64 ?? ""}`);
}

function messageOf(data: Entry): Message {
  return { role: "system", parts: [{ type: "opaque", data }] };
}

/** What a message says of a thread; `null` where it says something else. */
function entryOf(message: Message): Entry | null {
  const [part] = message.parts;
  const data = part?.type === "opaque" ? (part.data as Partial<Entry> | null) : null;
  return data?.record === "value" || data?.record === "checkpoint" || data?.record === "writes" ? (data as Entry) : null;
}

/** Notes where a record lies and what it means: the same in whatever process. */
function fold(thread: Thread, entry: Entry, seq: number): void {
  switch (entry.record) {
    case "value": {
      if (thread.blobs.has(entry.name)) break;
      const isWhole = "text" in entry;
      const size = isWhole ? entry.text.length : entry.size;
      const since = isWhole ? 0 : (thread.blobs.get(entry.base)?.since ?? 0) + entry.delta.text.length + 100;
      thread.blobs.set(entry.name, { seq, size, since, ...(isWhole ? {} : { base: entry.base }) });
      break;
    }
    case "checkpoint": {
      const all = thread.checkpoints.get(entry.ns) ?? new Map<string, Known>();
      thread.checkpoints.set(entry.ns, all);
      all.set(entry.id, { seq, parent: entry.parent, values: entry.values });
      break;
    }
    case "writes": {
      const key = writesKey(entry.ns, entry.id);
      const all = thread.writes.get(key) ?? new Map<string, Write>();
      thread.writes.set(key, all);
      entry.writes.forEach(([index], at) => {
        const place = JSON.stringify([entry.task, index]);
        // Errors, interrupts and answers take the place of earlier ones; everything else is written once.
        if (index >= 0 && all.has(place)) return;
        all.set(place, { seq, at, task: entry.task, path: entry.path, index });
      });
      break;
    }
  }
}

function writesKey(ns: string, id: string): string {
  return JSON.stringify([ns, id]);
}

/** The order of the framework: by code points, and not by the units of UTF-16. */
function byCodePoint(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

function unreadable(session: string, seqs: readonly number[]): DamagedError {
  return new DamagedError(`session ${JSON.stringify(session)}: messages ${seqs.slice(0, 10).join(", ")} cannot be read`);
}
