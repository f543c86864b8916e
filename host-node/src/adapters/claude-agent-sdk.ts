/** Transcripts of the Claude Agent SDK in a store. See docs/adapters/claude-agent-sdk-js.md. */
import {
  foldSessionSummary,
  type SessionKey,
  type SessionStore,
  type SessionStoreEntry,
  type SessionSummaryEntry,
} from "@anthropic-ai/claude-agent-sdk";
import { InvalidError, SessileError } from "../errors.js";
import type { Message, Session } from "../types.js";
import { messageOf, valueOf } from "./content.js";
import { lookAt, openAt, type Fold, type Folded } from "./log.js";
import { Recent, remove, sessionId, settle, Turns, type AnyStore } from "./sessions.js";

export type { AnyStore } from "./sessions.js";

/** What is known of a transcript: which entries it has, and what the SDK makes of them. */
interface Transcript {
  readonly uuids: Set<string>;
  summary: SessionSummaryEntry | undefined;
}

/** What stands in the metadata of a session: whose transcript it is. */
interface About {
  readonly session: string;
  readonly subpath?: string;
  /** The summary as text, and the head that it was made at. */
  readonly summary?: string;
  readonly at?: number;
}

const TRANSCRIPTS_MAX = 64;
const BATCH_MAX = 5_000;
const BATCH_BYTES_MAX = 24 << 20;

/**
 * A `SessionStore` of the Claude Agent SDK: a session for each transcript, in the scope of its project, with those of
 * subagents as its children. On return everything is on the disk; any number of processes may mirror into one store.
 */
export class SessileSessionStore implements SessionStore {
  readonly #store: AnyStore;
  readonly #turns = new Turns();
  readonly #known = new Recent<Folded<Transcript>>(TRANSCRIPTS_MAX);

  constructor(store: AnyStore) {
    this.#store = store;
  }

  /** Appends entries in order. An entry whose `uuid` the transcript has is passed over. */
  async append(key: SessionKey, entries: SessionStoreEntry[]): Promise<void> {
    if (entries.length === 0) return;
    const id = idOf(key);
    await this.#turns.take(id, async () => {
      await settle(async () => {
        const { session, state } = await this.#open(id, key);
        const fresh = firsts(entries, new Set(state.uuids));
        // Where a later batch fails the whole is given again, and what has a `uuid` is not there twice.
        for (const batch of batches(fresh.map(messageOfEntry))) await this.#store.appendJson(session, batch);
      });
      if (key.subpath === undefined) await this.#summarize(id, key);
    });
  }

  /** Reads all entries in order; `null` for what was never written. */
  async load(key: SessionKey): Promise<SessionStoreEntry[] | null> {
    const id = idOf(key);
    if ((await this.#look(id, key)) === null) return null;
    const entries: SessionStoreEntry[] = [];
    try {
      for await (const { message } of this.#store.messages(id)) {
        if (message["entry"] !== undefined) entries.push(valueOf(message, "entry") as SessionStoreEntry);
      }
    } catch (error) {
      // Somebody has deleted it meanwhile.
      if (error instanceof SessileError && error.kind === "not-found") return null;
      throw error;
    }
    // Two processes that have not seen each other's may both have written one.
    const found = firsts(entries, new Set());
    return found.length === 0 ? null : found;
  }

  /** Lists the transcripts of a project, without those of subagents. */
  async listSessions(projectKey: string): Promise<{ sessionId: string; mtime: number }[]> {
    const listed = [];
    for await (const { session, about } of this.#transcripts(projectKey)) {
      if (about.subpath === undefined) listed.push({ sessionId: about.session, mtime: session.updatedAt });
    }
    return listed;
  }

  /** Gives the summaries of a project's transcripts, as the SDK folds them. */
  async listSessionSummaries(projectKey: string): Promise<SessionSummaryEntry[]> {
    const summaries = [];
    for await (const { session, about } of this.#transcripts(projectKey)) {
      if (about.subpath !== undefined) continue;
      const key = { projectKey, sessionId: about.session };
      // Whoever died between an entry and its summary, or wrote at the same time, has left one that is not of this head.
      const isOfNow = about.summary !== undefined && about.at === session.head;
      const data = isOfNow
        ? (JSON.parse(about.summary) as Record<string, unknown>)
        : (await this.#look(session.id, key))?.state.summary?.data;
      if (data !== undefined) summaries.push({ sessionId: about.session, mtime: session.updatedAt, data });
    }
    return summaries;
  }

  /** Removes a transcript for good, and with it those of its subagents. */
  async delete(key: SessionKey): Promise<void> {
    const ids = [idOf(key)];
    if (key.subpath === undefined) {
      for await (const { session, about } of this.#transcripts(key.projectKey)) {
        if (about.session === key.sessionId && about.subpath !== undefined) ids.unshift(session.id);
      }
    }
    for (const id of ids) {
      await this.#turns.take(id, async () => {
        await remove(this.#store, id);
        this.#known.delete(id);
      });
    }
  }

  /** Lists the subagents' transcripts of a session by their subpaths. */
  async listSubkeys(key: { projectKey: string; sessionId: string }): Promise<string[]> {
    const subpaths = [];
    for await (const { about } of this.#transcripts(key.projectKey)) {
      if (about.session === key.sessionId && about.subpath !== undefined) subpaths.push(about.subpath);
    }
    return subpaths;
  }

  async *#transcripts(projectKey: string): AsyncGenerator<{ session: Session; about: About }> {
    for await (const session of this.#store.sessions({ scope: projectKey })) {
      const about = session.metadata?.["claude"] as Partial<About> | undefined;
      // One that was made and not written to is no transcript yet.
      if (typeof about?.session === "string" && session.messageCount > 0) yield { session, about: about as About };
    }
  }

  /** Keeps the summary with the session. What fails here is made up for when it is asked for. */
  async #summarize(id: string, key: SessionKey): Promise<void> {
    try {
      const folded = await this.#look(id, key);
      if (folded?.state.summary === undefined) return;
      const summary = JSON.stringify(folded.state.summary.data);
      await this.#store.update(id, { metadata: { claude: { summary, at: folded.head } } }, { durability: "buffered" });
    } catch (error) {
      // The entries are written: an error would have them written again.
      if (!(error instanceof SessileError)) throw error;
    }
  }

  async #look(id: string, key: SessionKey): Promise<Folded<Transcript> | null> {
    const folded = await lookAt(this.#store, id, foldOf(key), this.#known.get(id));
    if (folded === null) this.#known.delete(id);
    else this.#known.set(id, folded, 1);
    return folded;
  }

  async #open(id: string, key: SessionKey): Promise<Folded<Transcript>> {
    const { projectKey, sessionId: session, subpath } = key;
    const facts = {
      scope: projectKey,
      agent: "claude-agent-sdk",
      ...(subpath === undefined ? {} : { parent: idOf({ projectKey, sessionId: session }) }),
      metadata: { claude: { session, ...(subpath === undefined ? {} : { subpath }) } },
    };
    const folded = await openAt(this.#store, id, facts, foldOf(key), this.#known.get(id));
    this.#known.set(id, folded, 1);
    return folded;
  }
}

function foldOf(key: SessionKey): Fold<Transcript> {
  return {
    fresh: () => ({ uuids: new Set(), summary: undefined }),
    add: (state, message) => {
      if (message["entry"] === undefined) return;
      const entry = valueOf(message, "entry") as SessionStoreEntry;
      if (firsts([entry], state.uuids).length === 0) return;
      if (key.subpath === undefined) state.summary = foldSessionSummary(state.summary, key, [entry], { mtime: 0 });
    },
  };
}

/** The entries whose `uuid` is not among those seen; notes theirs. */
function firsts(entries: readonly SessionStoreEntry[], seen: Set<string>): SessionStoreEntry[] {
  return entries.filter(({ uuid }) => {
    if (typeof uuid !== "string") return true;
    const isFirst = !seen.has(uuid);
    seen.add(uuid);
    return isFirst;
  });
}

function idOf({ projectKey, sessionId: session, subpath }: SessionKey): string {
  if (subpath === "") throw new InvalidError("`subpath` must not be empty; leave it out for the main transcript");
  return subpath === undefined
    ? sessionId("claude", projectKey, session)
    : sessionId("claude-subagent", projectKey, session, subpath);
}

function messageOfEntry(entry: SessionStoreEntry): Message {
  const role = entry.type === "user" || entry.type === "assistant" ? entry.type : "system";
  return messageOf(role, "entry", entry);
}

/** Messages as texts of arrays that an append takes. */
function* batches(messages: readonly Message[]): Generator<string> {
  let texts: string[] = [];
  let bytes = 0;
  for (const message of messages) {
    const text = JSON.stringify(message);
    const size = Buffer.byteLength(text) + 1;
    if (texts.length > 0 && (texts.length === BATCH_MAX || bytes + size > BATCH_BYTES_MAX)) {
      yield `[${texts.join(",")}]`;
      texts = [];
      bytes = 0;
    }
    texts.push(text);
    bytes += size;
  }
  if (texts.length > 0) yield `[${texts.join(",")}]`;
}
