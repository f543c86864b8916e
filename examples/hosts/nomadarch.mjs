// NomadArch's NativeSessionManager on Sessile: a workspace is a scope, a revert can be undone, a fork is its own.
import { NotFoundError, openStore } from "sessile";

const orNull = (error) => {
  if (error instanceof NotFoundError) return null;
  throw error;
};

export class NativeSessionManager {
  #store;

  /** A data directory is one store. No name of a workspace is part of a path (BUG1.6), and nothing is cached. */
  static async open(dataDir) {
    const manager = new NativeSessionManager();
    manager.#store = await openStore(dataDir);
    return manager;
  }

  /** Newest first. Values are copies: what a caller does to them changes nothing in the store (BUG1.7). */
  async listSessions(workspaceId) {
    const sessions = [];
    for await (const session of this.#store.sessions({ scope: workspaceId })) sessions.push(shown(session));
    return sessions;
  }

  async getSession(workspaceId, id) {
    const session = await this.#find(workspaceId, id);
    const messages = await this.getSessionMessages(workspaceId, id);
    return session && { ...shown(session), messageIds: messages.map((message) => message.id) };
  }

  async createSession(workspaceId, { title = "New Session", parentId, model, agent } = {}) {
    const facts = { provider: model?.providerId, model: model?.modelId, agent };
    // Two at once on a cold store both get theirs, also in two processes (BUG1.4, BUG1.5).
    return shown(await this.#store.create({ scope: workspaceId, title, parent: parentId, ...facts }));
  }

  /** Facts alone: neither times nor the list of messages can be overwritten (BUG1.7). */
  async updateSession(workspaceId, id, { title, model, agent, status }) {
    if ((await this.#find(workspaceId, id)) === null) return null;
    const patch = { title, provider: model?.providerId, model: model?.modelId, agent, status };
    return shown(await this.#store.update(id, patch));
  }

  /** Into the trash: `restore` gives it back. Forks keep all their messages (BUG1.1). */
  async deleteSession(workspaceId, id) {
    if ((await this.#find(workspaceId, id)) === null) return false;
    await this.#store.trash(id);
    return true;
  }

  /** A fork, at a message where one is named. `parentId` is the root, as it was; the store knows the real one. */
  async forkSession(workspaceId, id, messageId) {
    const session = await this.#must(workspaceId, id);
    const title = session.title === null ? "Forked Session" : `${session.title} (fork)`;
    const fork = await this.#store.fork(id, { at: messageId && refOf(messageId), title });
    const root = await this.#store.rootSession({ session: fork.id });
    return { ...shown(fork), parentId: root.session.id };
  }

  /**
   * Without a message: hides the last one. With one: hides what comes behind it, or with `inclusive` the message too,
   * as OpenCode and the UI mean it. Nothing is removed: `unrevert` shows it again until the next message.
   */
  async revert(workspaceId, id, messageId, { inclusive = false } = {}) {
    const session = await this.#must(workspaceId, id);
    if (messageId === undefined && session.head === 0) return shown(session);
    // An unknown message is an error instead of nothing: the user believes that something was undone.
    const [to, options] = messageId ? [refOf(messageId), { inclusive }] : [session.head, { inclusive: true }];
    return shown(await this.#store.revert(id, to, options));
  }

  async unrevert(workspaceId, id) {
    await this.#must(workspaceId, id);
    return shown(await this.#store.unrevert(id));
  }

  async getSessionMessages(workspaceId, id) {
    if ((await this.#find(workspaceId, id)) === null) return [];
    const messages = [];
    for await (const stored of this.#store.messages(id)) messages.push(shownMessage(id, stored));
    return messages;
  }

  /** One record is written, whatever stands before it (BUG1.3): no crash leaves half a file. */
  async addMessage(workspaceId, id, message) {
    await this.#must(workspaceId, id);
    const { seq } = await this.#store.append(id, toMessage(message));
    return shownMessage(id, (await this.#store.read(id, { from: seq, limit: 1 })).messages[0]);
  }

  /**
   * Changes a message in the session that its id names: a change in a fork is not seen in the original (BUG1.1). Text
   * that streams in is better appended: `updateMessage(id, ref, { addText })` writes the piece and not the whole.
   */
  async updateMessage(workspaceId, messageId, { content, parts, toolCalls, status }) {
    const id = sessionOf(messageId);
    if ((await this.#find(workspaceId, id)) === null) return null;
    const { parts: changed } = toMessage({ role: "assistant", content, parts, toolCalls });
    const patch = { status, ...(changed.length > 0 && { parts: changed }) };
    if ((await this.#store.updateMessage(id, refOf(messageId), { patch }).catch(orNull)) === null) return null;
    return (await this.getSessionMessages(workspaceId, id)).find((message) => message.id === messageId) ?? null;
  }

  async getActiveSessionCount(workspaceId) {
    return (await this.#store.countSessions({ scope: workspaceId })).total;
  }

  close() {
    return this.#store.close();
  }

  /** Only a session of that workspace: ids are unique in the store, so one of another workspace is nobody's here. */
  async #find(workspaceId, id) {
    const session = await this.#store.get(id).catch(orNull);
    return session?.scope === workspaceId && session.trashedAt === null ? session : null;
  }

  async #must(workspaceId, id) {
    const session = await this.#find(workspaceId, id);
    if (session === null) throw new Error(`Session not found: ${id}`);
    return session;
  }
}

/** Ids of messages name their session, because messages are found in their sessions alone. */
const refOf = (messageId) => messageId.slice(messageId.lastIndexOf("/") + 1);
const sessionOf = (messageId) => messageId.slice(0, messageId.lastIndexOf("/"));

function shown({ id, scope, title, parent, createdAt, updatedAt, provider, model, agent, canUnrevert }) {
  const chosen = model === null ? undefined : { providerId: provider, modelId: model };
  return { id, workspaceId: scope, title, parentId: parent, createdAt, updatedAt, model: chosen, agent, canUnrevert };
}

function toMessage({ role, content, parts = [], toolCalls = [], toolCallId, status }) {
  const calls = toolCalls.map((toolCall) => toPart({ type: "tool_call", toolCall }));
  const said = toolCallId ? { type: "tool_result", call_id: toolCallId, content } : { type: "text", text: content };
  const all = [...(content === undefined ? [] : [said]), ...parts.map(toPart), ...calls];
  return { role, parts: all, ...(status && { status }) };
}

function toPart({ type, content, toolCall: call, toolResult: result }) {
  if (type === "tool_call") return { type, id: call.id, name: call.function.name, arguments: call.function.arguments };
  if (type !== "tool_result") return { type, text: content };
  return { type, call_id: result.toolCallId, content: result.content, is_error: result.isError ?? false };
}

function shownMessage(sessionId, { id, createdAt, updatedAt, message: { role, status = "completed", parts } }) {
  const all = (type) => parts.filter((part) => part.type === type);
  const [result] = all("tool_result");
  const call = ({ id, name, arguments: text }) => ({ id, type: "function", function: { name, arguments: text } });
  return {
    id: `${sessionId}/${id}`,
    sessionId,
    role,
    status,
    content: result?.content ?? all("text").map(({ text }) => text).join("\n"),
    parts,
    toolCalls: all("tool_call").map(call),
    ...(result && { toolCallId: result.call_id }),
    createdAt,
    updatedAt,
  };
}

export async function main(directory) {
  const manager = await NativeSessionManager.open(directory);
  const model = { providerId: "local", modelId: "small" };
  const { id } = await manager.createSession("workspace-1", { title: "Fix the build", model });
  const question = await manager.addMessage("workspace-1", id, { role: "user", content: "Why does it fail?" });
  await manager.addMessage("workspace-1", id, { role: "assistant", content: "A missing import." });

  const fork = await manager.forkSession("workspace-1", id);
  await manager.revert("workspace-1", fork.id, question.id);
  await manager.addMessage("workspace-1", fork.id, { role: "assistant", content: "A missing script." });

  const original = await manager.getSessionMessages("workspace-1", id);
  const forked = await manager.getSessionMessages("workspace-1", fork.id);
  await manager.close();
  const said = (messages) => messages.map(({ content }) => content);
  return { original: said(original), fork: said(forked), title: fork.title };
}

if (process.argv[1] === import.meta.filename) console.log(await main(process.argv[2] ?? "sessions"));
