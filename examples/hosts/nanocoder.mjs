// nanocoder's SessionManager on Sessile: its calls and its shapes, without an index file, a lock or rewritten files.
import { randomUUID } from "node:crypto";
import { NotFoundError, openStore } from "sessile";

const DAY_MS = 24 * 60 * 60 * 1000;
const orNull = (error) => {
  if (error instanceof NotFoundError) return null;
  throw error;
};

export class SessionManager {
  #directory;
  #config;
  #opening;

  constructor(directory, config = {}) {
    this.#directory = directory;
    this.#config = { maxSessions: 100, maxMessages: 1000, retentionDays: 30, ...config };
  }

  /** Called before every use, so it is cheap: the store is opened once, and again only where that failed. */
  initialize() {
    this.#opening ??= this.#open().catch((error) => {
      this.#opening = undefined;
      throw error;
    });
    return this.#opening;
  }

  async #open() {
    const store = await openStore(this.#directory);
    const { retentionDays, maxSessions } = this.#config;
    // Reading and saving both count as use, so what is saved all the time never ages (BUG0.6). What goes can be
    // restored for a week, and running sessions stay.
    const policy = { clock: "accessed", maxAgeMs: retentionDays * DAY_MS, maxSessions, graceMs: 7 * DAY_MS };
    await store.setRetention({ policy });
    await store.applyRetention().catch((error) => console.error("retention:", error.message));
    return store;
  }

  async createSession({ title, provider, model, workingDirectory, messages = [] }) {
    const store = await this.initialize();
    const { scope } = await store.directoryScope({ directory: workingDirectory });
    const { id } = await store.create({ id: randomUUID(), title, provider, model, scope });
    if (messages.length > 0) await store.append(id, messages.map(toMessage));
    // The list is no file that two processes overwrite for each other (BUG0.1), so this counts what all have made.
    await store.applyRetention();
    return this.readSession(id);
  }

  /** The session, or null. `head` is new among its members: it says which state of the session the copy shows. */
  async readSession(id) {
    const store = await this.initialize();
    const session = await store.get(id).catch(orNull);
    if (session === null || session.trashedAt !== null) return null;
    const read = { ...metadata(session), head: 0, messages: [] };
    // Damage is no absence (BUG0.8): it is thrown, and `unreadable: "skip"` would give what is around it.
    for await (const { seq, message } of store.messages(id)) {
      read.head = seq;
      read.messageCount = read.messages.push(fromMessage(message));
    }
    return read;
  }

  /** Reads it and notes that somebody did. That writes no copy back, so it cannot undo a save (BUG0.2). */
  async loadSession(id) {
    const session = await this.readSession(id);
    const store = await this.initialize();
    return session && { ...session, lastAccessedAt: metadata(await store.touch(id)).lastAccessedAt };
  }

  /**
   * Saves all of a session. What the store has already is not written again (BUG0.4): after one new message that is one
   * record. A copy older than the session is a ConflictError, and so is one that was deleted (BUG0.3).
   */
  async saveSession(session) {
    const store = await this.initialize();
    const { id, provider, model, title } = session;
    const { scope } = await store.directoryScope({ directory: session.workingDirectory });
    const create = () => store.create({ id, scope, createdAt: new Date(session.createdAt) });
    const before = (await store.get(id).catch(orNull)) ?? (await create());
    const messages = session.messages.map(toMessage);
    const saved = await store.saveSession({ session: id, messages, expectHead: session.head });
    session.head = saved.head;
    if (provider !== before.provider || model !== before.model) await store.update(id, { provider, model });
    // Whoever has renamed it meanwhile, in whatever process, keeps the name.
    if (title && title !== before.title) await store.suggestTitle({ session: id, title });
  }

  /** Into the trash. There are no files to outlive their entry in a list. */
  async deleteSession(id) {
    const store = await this.initialize();
    await store.trash(id).catch(orNull);
  }

  /** Metadata alone. The order is that of the last change. */
  async listSessions({ workingDirectory } = {}) {
    const store = await this.initialize();
    const scope = workingDirectory && (await store.directoryScope({ directory: workingDirectory })).scope;
    const sessions = [];
    for await (const session of store.sessions({ scope })) sessions.push(metadata(session));
    return sessions;
  }

  /** Trims; 1 to 100 characters, otherwise an InvalidError. An unknown id gives null. */
  async renameSession(id, title) {
    const store = await this.initialize();
    const renamed = await store.renameSession({ session: id, title }).catch(orNull);
    return renamed && metadata(renamed.session);
  }

  /** What `--resume ARG` means: the last one, the n-th of the list, or an id. */
  async resolveSession(arg = "last", { workingDirectory, all = false } = {}) {
    const listed = await this.listSessions(all ? {} : { workingDirectory });
    listed.sort((a, b) => b.lastAccessedAt.localeCompare(a.lastAccessedAt));
    if (listed.length === 0 && arg === "last") return { kind: "empty" };
    const position = arg.toLowerCase() === "last" ? 1 : /^\d+$/.test(arg) ? Number(arg) : 0;
    const session = await this.readSession(listed[position - 1]?.id ?? arg);
    return session === null ? { kind: "not-found" } : { kind: "ok", session };
  }

  /** What the model is sent: the last messages, no tool's result without its call. Nothing stored is cut. */
  async messagesForModel(id) {
    const store = await this.initialize();
    const view = await store.readView({ session: id, limit: this.#config.maxMessages });
    return view.messages.map(({ message }) => fromMessage(message));
  }

  async close() {
    await (await this.#opening)?.close();
  }
}

function metadata({ id, title, titleManual, createdAt, accessedAt, updatedAt, messageCount, provider, model, scope }) {
  const time = (ms) => new Date(ms).toISOString();
  const lastAccessedAt = time(Math.max(accessedAt, updatedAt));
  const facts = { id, title, titleManuallySet: titleManual, provider, model, workingDirectory: scope, messageCount };
  return { ...facts, createdAt: time(createdAt), lastAccessedAt };
}

/** Members that have no part of their own (`name`, `structuredContent`) stay members. */
function toMessage({ content, reasoning, tool_calls: calls = [], tool_call_id: call, images = [], ...rest }) {
  const parts = [
    call === undefined ? { type: "text", text: content } : { type: "tool_result", call_id: call, content },
    ...images.map(({ mediaType, ...image }) => ({ type: "image", media_type: mediaType, ...image })),
    ...calls.map(({ id, function: { name, arguments: given } }) => ({ type: "tool_call", id, name, arguments: given })),
  ];
  return { ...rest, parts: reasoning === undefined ? parts : [{ type: "thinking", text: reasoning }, ...parts] };
}

function fromMessage({ parts, ...rest }) {
  const all = (type) => parts.filter((part) => part.type === type);
  const [[text], [thinking], [result]] = ["text", "thinking", "tool_result"].map(all);
  const images = all("image").map(({ type, media_type: mediaType, ...image }) => ({ mediaType, ...image }));
  const calls = all("tool_call").map(({ id, name, arguments: given }) => ({ id, function: { name, arguments: given } }));
  return {
    ...rest,
    content: result?.content ?? text?.text ?? "",
    ...(thinking && { reasoning: thinking.text }),
    ...(result && { tool_call_id: result.call_id }),
    ...(images.length > 0 && { images }),
    ...(calls.length > 0 && { tool_calls: calls }),
  };
}

export async function main(directory) {
  const manager = new SessionManager(directory);
  const call = { id: "call-1", function: { name: "read_file", arguments: { path: "package.json" } } };
  const { id } = await manager.createSession({
    title: "Why does the build fail?",
    provider: "local",
    model: "small",
    workingDirectory: "/projects/one/",
    messages: [{ role: "user", content: "Why does the build fail?" }],
  });

  const session = await manager.loadSession(id);
  session.messages.push({ role: "assistant", content: "", reasoning: "Look at the scripts.", tool_calls: [call] });
  session.messages.push({ role: "tool", content: '{"scripts":{}}', tool_call_id: "call-1", name: "read_file" });
  session.messages.push({ role: "assistant", content: "There is no build script." });
  await manager.saveSession(session);
  await manager.renameSession(id, "  The missing script ");

  const resumed = await manager.resolveSession("last", { workingDirectory: "/projects/one" });
  const { title, messageCount, messages } = resumed.session;
  await manager.close();
  return { title, messageCount, last: messages.at(-1).content };
}

if (process.argv[1] === import.meta.filename) console.log(await main(process.argv[2] ?? "sessions"));
