/** Chats of the Vercel AI SDK in a store. See docs/adapters/ai-sdk-js.md. */
import { readUIMessageStream, validateUIMessages, type UIMessage, type UIMessageChunk } from "ai";
import { InvalidError } from "../errors.js";
import type { Message, MessageChange } from "../types.js";
import { canonical, messageOf, valueOf } from "./content.js";
import { contested, ensure, look, remove, sessionId, settle, Turns, type AdapterOptions, type AnyStore } from "./sessions.js";

export type { AdapterOptions, AnyStore } from "./sessions.js";

/** How what was loaded is checked: as `validateUIMessages` takes it. */
export type Validation<UI extends UIMessage> = Omit<Parameters<typeof validateUIMessages<UI>>[0], "messages">;

/** How a stream is kept. */
export interface StreamOptions<UI extends UIMessage> {
  /** The message that the stream goes on with. Default: a new one. */
  readonly message?: UI | undefined;
  /** At least so many milliseconds between two writes. Default: 250. */
  readonly everyMs?: number | undefined;
}

/** A message of a chat as it is stored. */
interface Stored {
  readonly seq: number;
  readonly message: Message;
}

const EVERY_MS = 250;

/**
 * The chats of an application over a store: a session for each. On return everything is on the disk; any number of
 * processes can save at once, and none of them loses a message of another.
 */
export class SessileChats<UI extends UIMessage = UIMessage> {
  readonly #store: AnyStore;
  readonly #scope: string;
  readonly #turns = new Turns();

  constructor(store: AnyStore, options: AdapterOptions = {}) {
    this.#store = store;
    this.#scope = options.scope ?? "";
  }

  /** Reads the messages of a chat, checked by `validateUIMessages`; none where there is no such chat. */
  async load(chatId: string, validation: Validation<UI> = {}): Promise<UI[]> {
    const id = this.#id(chatId);
    if ((await look(this.#store, id)) === null) return [];
    const { stored } = await this.#read(id);
    const messages = [...stored.values()].map(({ message }) => (valueOf(message, "ui") as [UI])[0]);
    return messages.length === 0 ? [] : validateUIMessages<UI>({ ...validation, messages });
  }

  /**
   * Saves messages by their ids: those that are new are appended, those that have changed are changed. Messages of the
   * chat that are not among them stay, because somebody else may have saved them; `truncate` takes messages away.
   */
  async save(chatId: string, messages: readonly UI[]): Promise<void> {
    const wanted = messages.map(messageOfUi);
    const id = this.#id(chatId);
    await this.#turns.take(id, () =>
      settle(async () => {
        await ensure(this.#store, id, { scope: this.#scope, agent: "ai-sdk", metadata: { aiSdk: { chat: chatId } } });
        const { stored, head } = await this.#read(id);
        const added: Message[] = [];
        for (const message of wanted) {
          const known = stored.get(idOf(message));
          if (known === undefined) added.push(message);
          else if (canonical(known.message) !== canonical(message)) {
            const change = changeOf(known.message, message);
            await contested(() => this.#store.updateMessage(id, known.seq, change));
          }
        }
        // Whoever was in between may have appended the same messages.
        if (added.length > 0) await contested(() => this.#store.append(id, added, { expectHead: head }));
      }),
    );
  }

  /**
   * Keeps an answer while it streams, and gives the whole: after a crash `load` has what had come. Text is written once,
   * as it comes; everything else of the message where it changes.
   */
  async saveStream(chatId: string, stream: ReadableStream<UIMessageChunk>, options: StreamOptions<UI> = {}): Promise<UI | undefined> {
    const { message, everyMs = EVERY_MS } = options;
    let last: UI | undefined;
    let isSaved = true;
    let savedAt = 0;
    const chunks = readUIMessageStream<UI>({ stream, terminateOnError: true, ...(message === undefined ? {} : { message }) });
    try {
      for await (last of chunks) {
        isSaved = false;
        if (Date.now() - savedAt < everyMs) continue;
        await this.save(chatId, [last]);
        savedAt = Date.now();
        isSaved = true;
      }
    } finally {
      // What had come before an error is kept, too.
      if (last !== undefined && !isSaved) await this.save(chatId, [last]);
    }
    return last;
  }

  /** Hides a message and all behind it, to have it answered anew. It can be undone in the store. Errors: `invalid`. */
  async truncate(chatId: string, messageId: string): Promise<void> {
    const id = this.#id(chatId);
    await this.#turns.take(id, () =>
      settle(async () => {
        const { stored, head } = await this.#read(id);
        const known = stored.get(messageId);
        if (known === undefined) {
          throw new InvalidError(`chat ${JSON.stringify(chatId)} has no message ${JSON.stringify(messageId)}`);
        }
        await contested(() => this.#store.revert(id, known.seq, { inclusive: true, expectHead: head }));
      }),
    );
  }

  /** Lists the chats, the one that changed last first. */
  async *list(): AsyncGenerator<{ chatId: string; updatedAt: number }> {
    for await (const { metadata, updatedAt } of this.#store.sessions({ scope: this.#scope })) {
      const about = metadata?.["aiSdk"] as { chat?: unknown } | undefined;
      if (typeof about?.chat === "string") yield { chatId: about.chat, updatedAt };
    }
  }

  /** Removes a chat for good. */
  async delete(chatId: string): Promise<void> {
    const id = this.#id(chatId);
    await this.#turns.take(id, () => remove(this.#store, id));
  }

  #id(chatId: string): string {
    return sessionId("ai-sdk", this.#scope, chatId);
  }

  /** The visible messages by their ids, and the head that they are of. */
  async #read(id: string): Promise<{ stored: Map<string, Stored>; head: number }> {
    const { head } = await this.#store.get(id);
    const stored = new Map<string, Stored>();
    for await (const { seq, message } of this.#store.messages(id)) {
      if (seq > head || message["ui"] === undefined) continue;
      stored.set(idOf(message), { seq, message });
    }
    return { stored, head };
  }
}

function messageOfUi(message: UIMessage): Message {
  if (typeof message.id !== "string" || message.id === "") {
    throw new InvalidError("a message needs an `id`; give `generateMessageId` where answers are made");
  }
  // In an array, which a change replaces as a whole.
  return messageOf(message.role, "ui", [message]);
}

function idOf(message: Message): string {
  return (valueOf(message, "ui") as [UIMessage])[0].id;
}

/** What makes one message of the other: the text that one of its parts has more, or all of it. */
function changeOf(before: Message, after: Message): MessageChange {
  const textOf = (message: Message, part: number) => (message.parts[part] as { text?: string } | undefined)?.text ?? "";
  const isSameBut = canonical(before["ui"]) === canonical(after["ui"]) && before.parts.length === after.parts.length;
  const changed = after.parts.flatMap((_, part) => (textOf(before, part) === textOf(after, part) ? [] : [part]));
  const [part] = changed;
  if (isSameBut && part !== undefined && changed.length === 1 && textOf(after, part).startsWith(textOf(before, part))) {
    const text = textOf(before, part);
    return { addText: { part, text: textOf(after, part).slice(text.length), at: Buffer.byteLength(text) } };
  }
  return { patch: { parts: after.parts, ui: after["ui"] } };
}
