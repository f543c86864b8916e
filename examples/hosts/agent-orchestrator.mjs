// The durable half of agent-orchestrator on Sessile: the requests that its window sends. Everything is stored when it
// comes: there is no debounce that a stream can starve (BUG5.1), and no index of what is saved (BUG5.4, BUG5.5).
import { ConflictError, openStore } from "sessile";

const DAY_MS = 24 * 60 * 60 * 1000;
const FINISHED = ["done", "error", "interrupted"];

/** Opens the store and gives its requests by name. A lease is how long a silent process is believed to be alive. */
export async function openAgentStore(directory, { owner = `process ${process.pid}`, leaseMs = 60_000 } = {}) {
  const store = await openStore(directory);
  const runs = new Map();
  // By the time of the last message. It moves to the trash on disk, and never takes what runs or is not saved (BUG5.6).
  const policy = { clock: "active", maxSessions: 5, maxAgeMs: 30 * DAY_MS, eachScope: true };
  await store.setRetention({ policy });

  /** One active session for each project, also with several windows: closing the last makes room for one, not two. */
  async function start({ projectId, provider, model, extraEnv = {} }) {
    let { session } = await store.currentSession({ scope: projectId, new: { provider, model } });
    if (FINISHED.includes(session.status)) {
      await store.update(session.id, { status: "closed", metadata: { outcome: session.status } });
      ({ session } = await store.currentSession({ scope: projectId, new: { provider, model } }));
    }
    const { values: env, refused } = await store.checkEnvironment({ values: extraEnv });
    try {
      // Durable before the agent says anything (BUG5.2). A lease that has ended stands in nobody's way.
      const { run } = await store.beginRun({ session: session.id, owner, leaseMs });
      runs.set(session.id, run.id);
      return { ok: true, sessionId: session.id, env, refused };
    } catch (error) {
      if (!(error instanceof ConflictError)) throw error;
      return { ok: false, error: "Session start already in progress" };
    }
  }

  /** A process that slept for so long that it was taken for dead goes without. What it says is kept all the same. */
  const unlessLost = (error) => {
    if (!(error instanceof ConflictError)) throw error;
  };

  async function renew(session) {
    const run = runs.get(session);
    if (run !== undefined) await store.renewRun({ session, run, leaseMs }).catch(unlessLost);
  }

  async function saveSession({ sessionId, status, costUsd, inputTokens, outputTokens, model, error }) {
    // Absolute, as the agent counts. Said again it adds nothing, and what comes after the end counts too (BUG5.3).
    const amounts = { cost: costUsd, input: inputTokens, output: outputTokens };
    await store.addUsage({ session: sessionId, amounts, absolute: true, source: "agent", model });
    if (model) await store.update(sessionId, { model });
    if (!FINISHED.includes(status)) return renew(sessionId);
    const run = runs.get(sessionId);
    if (run === undefined) return;
    await store.endRun({ session: sessionId, run, status, error }).catch(unlessLost);
    runs.delete(sessionId);
    await store.applyRetention();
  }

  /** Overlapping and repeated batches are harmless: a message that is there is there once. Durable on return. */
  async function saveMessages({ messages }) {
    const sessions = new Set(messages.map(({ sessionId }) => sessionId));
    for (const session of sessions) {
      const events = messages.filter(({ sessionId }) => sessionId === session).map(toEvent);
      await store.ingest({ session, events });
      await renew(session);
    }
  }

  /** The last session of a project, also one whose process has died while it ran (BUG5.2): it is `interrupted`. */
  async function load({ projectId }) {
    await store.listRuns({ scope: projectId, mark: true });
    const { sessions } = await store.list({ scope: projectId });
    const session = sessions.find(({ status }) => status !== "closed");
    if (session === undefined || session.status === "running") return null;
    const { run } = await store.getRun({ session: session.id });
    const { amounts } = (await store.getUsage({ session: session.id })).total;
    return {
      projectId,
      sessionId: session.id,
      provider: session.provider,
      status: session.status,
      costUsd: amounts.cost ?? 0,
      inputTokens: amounts.input ?? 0,
      outputTokens: amounts.output ?? 0,
      model: session.model,
      error: run?.error ?? null,
      createdAt: session.createdAt,
      updatedAt: session.updatedAt,
    };
  }

  async function loadMessages({ sessionId }) {
    const messages = [];
    for await (const stored of store.messages(sessionId)) messages.push(fromStored(sessionId, stored));
    return messages;
  }

  return {
    "agent.start": start,
    "session.save": saveSession,
    "session.messages.save": saveMessages,
    "session.load": load,
    "session.messages.load": loadMessages,
    close: () => store.close(),
  };
}

/** The types of events that `ingest` knows. It also takes the agents' own events, without a conversion before it. */
const TYPES = {
  user: "user",
  assistant: "text",
  thinking: "thinking",
  "tool-call": "tool_call",
  "tool-result": "tool_result",
  system: "init",
};
const ROLES = Object.fromEntries(Object.entries(TYPES).map(([role, type]) => [type, role]));

function toEvent({ msgId, role, content, toolName, toolInput, timestamp }) {
  const event = { type: TYPES[role], id: msgId, at: timestamp };
  if (role === "tool-call") return { ...event, name: toolName, input: toolInput && JSON.parse(toolInput) };
  return role === "tool-result" ? { ...event, output: content } : { ...event, content };
}

/** A tool's result is stored whole; the window is shown its first 500 lines (BUG5.7). */
function fromStored(sessionId, { seq, createdAt, message: { id, event_type: type, parts: [part] } }) {
  const message = { sessionId, msgId: id, role: ROLES[type] ?? "system", timestamp: createdAt, seqId: seq };
  if (part.type === "tool_call") {
    const { name: toolName, arguments: input, view, tool_path: toolPath } = part;
    return { ...message, content: view, toolName, toolInput: JSON.stringify(input, null, 2), toolPath };
  }
  return { ...message, content: part.type === "tool_result" ? (part.view ?? part.content) : part.text };
}

export async function main(directory) {
  const before = await openAgentStore(directory, { owner: "first window", leaseMs: 1000 });
  const { sessionId } = await before["agent.start"]({ projectId: "project-1", provider: "local", model: "small" });
  const now = { sessionId, timestamp: Date.now() };
  const first = { ...now, msgId: "1", role: "user", content: "Why does it fail?" };
  const call = { ...now, msgId: "2", role: "tool-call", toolName: "Bash", toolInput: '{"command":"npm test"}' };
  await before["session.messages.save"]({ messages: [first] });
  await before["session.messages.save"]({ messages: [first, call] });
  await before["session.save"]({ sessionId, status: "running", costUsd: 0.25, inputTokens: 900, outputTokens: 40 });
  const second = await before["agent.start"]({ projectId: "project-1", provider: "local" });

  // Here its process dies: nobody ends the run, and its lease does.
  await new Promise((resolve) => setTimeout(resolve, 1100));
  const after = await openAgentStore(directory, { owner: "second window", leaseMs: 1000 });
  const { status, costUsd } = await after["session.load"]({ projectId: "project-1" });
  const messages = await after["session.messages.load"]({ sessionId });
  await Promise.all([before.close(), after.close()]);
  return { second: second.error, status, costUsd, messages: messages.map(({ role, content }) => [role, content]) };
}

if (process.argv[1] === import.meta.filename) console.log(await main(process.argv[2] ?? "sessions"));
