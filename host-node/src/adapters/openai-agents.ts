/** Sessions of the OpenAI Agents SDK in a store. See docs/adapters/openai-agents-js.md. */
import { randomUUID } from "node:crypto";
import type {
  AgentInputItem,
  SessionHistoryRewriteArgs,
  SessionHistoryRewriteAwareSession,
  SessionHistoryTransactionArgs,
  SessionHistoryTransactionAwareSession,
} from "@openai/agents-core";
import { ConflictError, InvalidError } from "../errors.js";
import type { Message } from "../types.js";
import { canonical, messageOf, valueOf } from "./content.js";
import { lookAt, openAt, type Fold, type Folded } from "./log.js";
import { contested, digest, sessionId, settle, Turns, type AdapterOptions, type AnyStore } from "./sessions.js";

export type { AdapterOptions, AnyStore } from "./sessions.js";

/** Of the items before it only so many still count; and which transaction said so. */
interface Cut {
  readonly record: "keep";
  readonly items: number;
  readonly transaction?: { readonly id: string; readonly digest: string };
  /** Whether the transactions before are forgotten, too. */
  readonly forgets?: true;
}

/** A cut, and what is appended behind it. */
interface Change extends Omit<Cut, "record"> {
  readonly add: readonly Message[];
}

interface History {
  /** The messages of the items that count. */
  items: Message[];
  /** What was applied, by its operation id. */
  readonly transactions: Map<string, string>;
}

const FOLD: Fold<History> = {
  fresh: () => ({ items: [], transactions: new Map() }),
  add: (state, message) => {
    if (message["item"] !== undefined) {
      state.items.push(message);
      return;
    }
    const [part] = message.parts;
    const cut = part?.type === "opaque" ? (part.data as Partial<Cut> | null) : null;
    if (cut?.record !== "keep") return;
    state.items.length = Math.min(cut.items ?? 0, state.items.length);
    if (cut.forgets) state.transactions.clear();
    if (cut.transaction !== undefined) state.transactions.set(cut.transaction.id, cut.transaction.digest);
  },
};

/**
 * A session of the OpenAI Agents SDK over a store. On return everything is on the disk; every call is whole, and any
 * number of processes can work on one session.
 */
export class SessileSession implements SessionHistoryTransactionAwareSession, SessionHistoryRewriteAwareSession {
  readonly #store: AnyStore;
  readonly #key: string;
  readonly #scope: string;
  readonly #turns = new Turns();
  #known: Folded<History> | undefined;

  /** A session of that id, or of a new one. It is made when the first item comes. */
  constructor(store: AnyStore, options: AdapterOptions & { readonly sessionId?: string | undefined } = {}) {
    this.#store = store;
    this.#scope = options.scope ?? "";
    this.#key = options.sessionId ?? randomUUID();
  }

  /** Gives the session's id. */
  async getSessionId(): Promise<string> {
    return this.#key;
  }

  /** Reads the items, or the newest of them, in order. */
  async getItems(limit?: number): Promise<AgentInputItem[]> {
    const items = (await this.#look())?.state.items ?? [];
    const wanted = limit === undefined ? items : limit <= 0 ? [] : items.slice(-limit);
    return wanted.map(itemOf);
  }

  /** Appends items, all or none. */
  async addItems(items: AgentInputItem[]): Promise<void> {
    if (items.length === 0) return;
    const messages = items.map(messageOfItem);
    await this.#turns.take("", () =>
      settle(async () => {
        const { session } = await this.#open();
        await this.#store.append(session, messages);
      }),
    );
  }

  /** Removes the newest item and gives it; of any number that do so at once, each gets another. */
  async popItem(): Promise<AgentInputItem | undefined> {
    let popped: Message | undefined;
    await this.#change(({ items }) => {
      popped = items.at(-1);
      return popped === undefined ? null : { items: items.length - 1, add: [] };
    });
    return popped === undefined ? undefined : itemOf(popped);
  }

  /** Removes all items, and forgets which transactions were applied. */
  async clearSession(): Promise<void> {
    await this.#change(({ items, transactions }) =>
      items.length === 0 && transactions.size === 0 ? null : { items: 0, add: [], forgets: true },
    );
  }

  /** Puts a compacted history in the place of the old one, at once: whoever dies on the way has one or the other. */
  async replaceHistoryWithCompaction(items: AgentInputItem[]): Promise<void> {
    const add = items.map(messageOfItem);
    await this.#change(() => ({ items: 0, add }));
  }

  /** Puts other calls in the place of function calls. */
  async applyHistoryMutations({ mutations }: SessionHistoryRewriteArgs): Promise<void> {
    if (mutations.length === 0) return;
    await this.#change(({ items }) => {
      const changed = mutations.reduce((all, { callId, replacement }) => {
        const isCall = (item: AgentInputItem) => item.type === "function_call" && item.callId === callId;
        const first = all.findIndex(isCall);
        return first < 0 ? all : all.flatMap((item, place) => (place === first ? [replacement] : isCall(item) ? [] : [item]));
      }, items.map(itemOf));
      const add = changed.map(messageOfItem);
      const isOther = (item: Message, place: number) => place >= add.length || canonical(item) !== canonical(add[place]);
      const keep = items.findIndex(isOther);
      return keep < 0 ? null : { items: keep, add: add.slice(keep) };
    });
  }

  /**
   * Carries a transaction out, once for its operation id: the id and the change are one record. Errors: `conflict` where
   * the id was used for another transaction, or the end of the history is not the expected one; nothing was changed.
   */
  async applyHistoryTransaction({ operationId: id, transaction }: SessionHistoryTransactionArgs): Promise<void> {
    if (typeof id !== "string" || id.trim() === "") throw new InvalidError("`operationId` must be a text that is not empty");
    const name = digest(canonical(transaction));
    const [expected, added] =
      transaction.type === "append_items" ? [[], transaction.items] : [transaction.expectedSuffix, transaction.replacement];
    const add = added.map(messageOfItem);
    await this.#change(({ items, transactions }) => {
      const applied = transactions.get(id);
      if (applied === name) return null;
      if (applied !== undefined) throw new ConflictError("this `operationId` was used for another transaction");
      const keep = items.length - expected.length;
      const isExpected = keep >= 0 && expected.every((item, place) => canonical(item) === canonical(itemOf(items[keep + place] as Message)));
      if (!isExpected) throw new ConflictError("the end of the history is not what the transaction expects");
      return { items: keep, add, transaction: { id, digest: name } };
    });
  }

  /** Decides on what is there now, and writes if it is still so: one append, one record. */
  async #change(decide: (history: History) => Change | null): Promise<void> {
    await this.#turns.take("", () =>
      settle(async () => {
        const known = await this.#look();
        const head = known?.head ?? 0;
        const change = decide(known?.state ?? FOLD.fresh());
        if (change === null) return;
        const { session } = known ?? (await this.#open());
        const { add, ...cut } = change;
        const messages: Message[] = [{ role: "system", parts: [{ type: "opaque", data: { record: "keep", ...cut } }] }, ...add];
        await contested(() => this.#store.append(session, messages, { expectHead: head }));
      }),
    );
  }

  async #look(): Promise<Folded<History> | null> {
    const folded = await lookAt(this.#store, sessionId("openai-agents", this.#scope, this.#key), FOLD, this.#known);
    this.#known = folded ?? undefined;
    return folded;
  }

  async #open(): Promise<Folded<History>> {
    const id = sessionId("openai-agents", this.#scope, this.#key);
    const metadata = { openaiAgents: { session: this.#key } };
    const facts = { scope: this.#scope, agent: "openai-agents", metadata };
    this.#known = await openAt(this.#store, id, facts, FOLD, this.#known);
    return this.#known;
  }
}

function itemOf(message: Message): AgentInputItem {
  return valueOf(message, "item") as AgentInputItem;
}

function messageOfItem(item: AgentInputItem): Message {
  return messageOf(roleOf(item), "item", item);
}

/** Who speaks: the role that an item has, otherwise what its type says. */
function roleOf(item: AgentInputItem): Message["role"] {
  const { role, type } = item as { readonly role?: unknown; readonly type?: unknown };
  if (role === "user" || role === "assistant" || role === "system") return role;
  if (typeof type !== "string") return "system";
  return /_(result|output)$/.test(type) ? "tool" : /_call$|^reasoning$/.test(type) ? "assistant" : "system";
}
