// nanoclaw's session manager and queues on Sessile: the host and the runners share a directory and nothing else. Each
// side writes logs of its own, so neither waits for the other, and no killed runner's journal stops the host (BUG3.2).
import { openStoreSync } from "sessile";

const MODES = { shared: "shared", "per-thread": "per_thread", "agent-shared": "agent_shared" };

/** The host's side: sessions, what comes in, and what became of what goes out. */
export function openHost(directory) {
  const store = openStoreSync(directory);

  const shown = ({ id, scope, status, provider, metadata, accessedAt, createdAt }) => ({
    id,
    agent_group_id: scope,
    messaging_group_id: metadata?.chat ?? null,
    thread_id: metadata?.thread ?? null,
    agent_provider: provider,
    status: status === "closed" ? "closed" : "active",
    container_status: store.liveness({ session: id }).status,
    last_active: new Date(accessedAt).toISOString(),
    created_at: new Date(createdAt).toISOString(),
  });

  /** Of any number of routers at once one makes the session, and another chat's session is never taken (BUG3.9). */
  function resolveSession(agentGroup, messagingGroup, threadId, sessionMode) {
    const thread = sessionMode === "per-thread" ? threadId : null;
    const facts = { metadata: { chat: messagingGroup, thread } };
    const key = { agentGroup, chat: messagingGroup, thread, mode: MODES[sessionMode] };
    const { session, created } = store.resolveThread({ ...key, new: facts });
    return { session: shown(session), created };
  }

  /**
   * A message that comes again is there once; one that reuses an id for something else is kept under another (BUG3.3).
   * Files in `attachments` are stored with the row or not at all, whatever their names and ids are (BUG3.4).
   */
  function writeSessionMessage(session, message) {
    const { id, kind, trigger = 1, processAfter, recurrence, timeZone, onWake = 0, sourceSessionId } = message;
    const item = {
      id,
      kind,
      content: toContent(message.content),
      wakes: trigger === 1,
      onStart: onWake === 1,
      // A time, not a text that happens to sort (BUG3.5).
      dueAt: processAfter && new Date(processAfter),
      recurrence,
      timeZone,
      address: addressOf(message),
      sourceSession: sourceSessionId,
    };
    const [receipt] = store.enqueue({ session, items: [item] }).items;
    store.touch(session);
    return receipt;
  }

  /** The sweep of every minute, whole or not at all (BUG3.8). Says whether to start a runner, or to kill it. */
  function sweepSession(session, { containerGone = false, startedAt } = {}) {
    const swept = store.sweep({ session, workerGone: containerGone });
    const { verdict } = store.liveness({ session, startedAt });
    return { wake: swept.wakes, kill: verdict === "silent" || verdict === "stuck", ...swept };
  }

  /** Delivers what is due. Attempts and their delays are in the store, so they outlive this process (BUG3.7). */
  function deliverSessionMessages(session, deliver) {
    for (const { id: item, kind, address, content } of store.nextDeliveries({ session }).items) {
      // What nobody can be sent is refused, and not taken for delivered (BUG3.6).
      let outcome = { status: "refused", error: "no address" };
      try {
        if (address !== null) {
          const platformId = deliver(address, kind, fromContent(content), readOutboxFiles(content));
          outcome = { status: "delivered", platformId };
        }
      } catch (error) {
        outcome = { status: "failed", error: error.message };
      }
      store.recordDelivery({ session, item, ...outcome });
    }
  }

  function readOutboxFiles(content) {
    const { attachments } = store.restoreAttachments({ content }).content ?? {};
    const files = (Array.isArray(attachments) ? attachments : []).filter(({ data }) => data !== undefined);
    return files.map(({ name, data }) => ({ filename: name, data: Buffer.from(data, "base64") }));
  }

  const change = (action) => (session, target, rest) =>
    store.changeSeries({ session, target, action, ...rest }).items.length;
  return {
    resolveSession,
    writeSessionMessage,
    writeSessionRouting: (session, address, destinations) =>
      store.setRouting({ session, default: address, destinations }),
    sweepSession,
    deliverSessionMessages,
    getSession: (id) => shown(store.get(id)),
    getActiveSessions: () => [...store.sessions()].map(shown).filter(({ status }) => status === "active"),
    closeSession: (id) => shown(store.update(id, { status: "closed" })),
    cancelTask: change("cancel"),
    pauseTask: change("pause"),
    resumeTask: change("resume"),
    updateTask: change("update"),
    createPendingQuestion: (session, id, content) => store.ask({ session, id, content }),
    // The question is closed and its answer queued in one record.
    answerQuestion: (session, id, answer) => store.answerQuestion({ session, id, answer }),
    getDelivery: (session, id) => store.outbound({ session }).items.find((item) => item.id === id)?.delivery,
    close: () => store.close(),
  };
}

/** The runner's side: a worker in its container, with the same directory. */
export function openRunner(directory, session, worker) {
  const store = openStoreSync(directory);
  let first = true;

  /** Claims what is due. The first poll of a runner takes up again what it had claimed in an earlier life. */
  function getPendingMessages(limit = 10) {
    const { items } = store.nextBatch({ session, worker, first, limit });
    first = false;
    return items.map(({ address, content, ...item }) => ({ ...item, ...address, content: fromContent(content) }));
  }

  /** A failure stays one (BUG3.6), and what has ended is not changed by a late second word. */
  const acknowledge = (status) => (ids, error) =>
    store.ack({ session, acks: ids.map((id) => ({ id, status, error })) });

  function writeMessageOut({ id, in_reply_to, kind = "chat", content, deliver_after, destination, ...address }) {
    const to = address.platform_id === undefined ? undefined : address;
    const dueAt = deliver_after && new Date(deliver_after);
    const item = { id, inReplyTo: in_reply_to, kind, content: toContent(content), dueAt, destination, address: to };
    return store.emit({ session, items: [item] }).items[0];
  }

  const stateKey = (provider) => `continuation:${provider.toLowerCase()}`;
  return {
    getPendingMessages,
    markCompleted: acknowledge("completed"),
    markFailed: acknowledge("failed"),
    releaseMessages: (items) => store.release({ session, items }),
    writeMessageOut,
    getMessageIdBySeq: (seq) => store.findItem({ session, seq }).id,
    getContinuation: (provider) => store.getState({ session, key: stateKey(provider) }).values[stateKey(provider)],
    setContinuation: (provider, value) => store.setState({ session, key: stateKey(provider), value }),
    touchHeartbeat: (tool, timeoutMs) => store.heartbeat({ session, worker, status: "running", tool, timeoutMs }),
    stop: () => store.heartbeat({ session, worker, status: "stopped" }),
    close: () => store.close(),
  };
}

/** Content is a text there. An object is given as one, so that its files are found; any other text stays as it is. */
function toContent(text) {
  try {
    const value = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : text;
  } catch {
    return text;
  }
}

const fromContent = (content) => (typeof content === "string" ? content : JSON.stringify(content));

function addressOf({ channelType, platformId, threadId }) {
  return platformId ? { channel_type: channelType, platform_id: platformId, thread_id: threadId } : undefined;
}

export function main(directory) {
  const host = openHost(directory);
  const { id: session } = host.resolveSession("helpers", "chat-1", "thread-1", "per-thread").session;
  const address = { channelType: "mail", platformId: "p-1" };
  const message = { id: "m-1", kind: "chat", content: '{"text":"Why does it fail?"}', ...address };
  host.writeSessionMessage(session, message);
  host.writeSessionMessage(session, message);
  const daily = { recurrence: "0 9 * * 1-5", timeZone: "Europe/Berlin", processAfter: "2100-01-01T00:00:00Z" };
  host.writeSessionMessage(session, { id: "daily", kind: "task", content: "Look at the build.", ...daily });
  const { wake } = host.sweepSession(session);

  const runner = openRunner(directory, session, "runner-1");
  runner.touchHeartbeat();
  const [asked] = runner.getPendingMessages();
  const reply = runner.writeMessageOut({ id: "r-1", in_reply_to: asked.id, content: '{"text":"A missing import."}' });
  runner.setContinuation("Local", "turn-7");
  runner.markCompleted([asked.id]);
  runner.stop();
  runner.close();

  const sent = [];
  host.deliverSessionMessages(session, ({ platform_id: to }, kind, content) => {
    sent.push([to, JSON.parse(content).text]);
    return "platform-9";
  });
  const { completed } = host.sweepSession(session);
  const { status, platformId } = host.getDelivery(session, "r-1");
  host.close();
  const question = [asked.seq, asked.content];
  return { wake, asked: question, reply: reply.seq, sent, completed, delivery: [status, platformId] };
}

if (process.argv[1] === import.meta.filename) console.log(main(process.argv[2] ?? "sessions"));
