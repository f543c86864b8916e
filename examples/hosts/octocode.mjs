// octocode's session storage on Sessile: one session for each home, and counters that any number of servers add to.
import { NotFoundError, openStoreSync } from "sessile";

const STATS = ["toolCalls", "promptCalls", "errors", "rateLimits"];
const SCOPE = "octocode";

/**
 * The functions of `storage.ts` over the store in a home. There they are a module with a cache; here nothing is cached,
 * so several servers, or several of these in one process, see the same.
 */
export function sessionStorage(home) {
  const store = openStoreSync(home);
  let id = null;

  const current = () => {
    try {
      // `currentSession` would make one; this only looks.
      id ??= [...store.sessions({ scope: SCOPE })].find(({ status }) => status !== "closed")?.id ?? null;
      const session = id === null ? null : store.get(id);
      return session?.trashedAt === null ? session : null;
    } catch (error) {
      if (error instanceof NotFoundError) return null;
      throw error;
    }
  };

  // A copy each time: what a caller does to it does not change the store (BUG2.6).
  const shown = (session) => {
    const { counters } = store.getCounters({ session: session.id });
    return {
      version: 1,
      sessionId: session.id,
      createdAt: new Date(session.createdAt).toISOString(),
      lastActiveAt: new Date(Math.max(session.accessedAt, session.updatedAt)).toISOString(),
      stats: Object.fromEntries(STATS.map((name) => [name, counters[name] ?? 0])),
    };
  };

  /** Of any number of servers that start at once, one makes the session and all get it. */
  function getOrCreateSession({ forceNew = false } = {}) {
    // A store of a newer version, or a damaged one, is an error and never replaced by an empty session (BUG2.3).
    const replaced = forceNew ? current() : null;
    ({ id } = store.currentSession({ scope: SCOPE, forceNew }).session);
    // Its totals stay in the store. A server that still has it goes on counting there.
    if (replaced !== null) store.update(replaced.id, { status: "closed" });
    return shown(store.touch(id));
  }

  function readSession() {
    const session = current();
    return session && shown(session);
  }

  /**
   * Adds to the totals that are in the store now, not to those that this process has read (BUG2.2). Buffered: each
   * increment survives the death of the process at once (BUG2.1), and `flushSession` takes all of them to the disk.
   * A delta that is not finite is an InvalidError before it can spoil the totals (BUG2.5).
   */
  function updateSessionStats(deltas) {
    const session = current();
    if (session === null) return { success: false, session: null };
    store.addCounters({ session: session.id, add: deltas, durability: "buffered" });
    return { success: true, session: shown(store.touch(session.id)) };
  }

  function resetSessionStats() {
    const session = current();
    if (session === null) return { success: false, session: null };
    store.resetCounters({ session: session.id, names: STATS });
    return { success: true, session: shown(store.touch(session.id)) };
  }

  function flushSession() {
    const session = current();
    if (session !== null) store.sync(session.id);
  }

  /** True where there was one. It can be restored from the trash; `getOrCreateSession` makes another. */
  function deleteSession() {
    const session = current();
    if (session === null) return false;
    store.trash(session.id);
    id = null;
    return true;
  }

  return {
    getOrCreateSession,
    readSession,
    getSessionId: () => current()?.id ?? null,
    updateSessionStats,
    incrementToolCalls: (count = 1) => updateSessionStats({ toolCalls: count }),
    incrementPromptCalls: (count = 1) => updateSessionStats({ promptCalls: count }),
    incrementErrors: (count = 1) => updateSessionStats({ errors: count }),
    incrementRateLimits: (count = 1) => updateSessionStats({ rateLimits: count }),
    resetSessionStats,
    flushSession,
    deleteSession,
    // There are no timers and no handlers of signals: nothing is held back that they would have to save (BUG2.4).
    close: () => store.close(),
  };
}

export async function main(directory) {
  const editor = sessionStorage(directory);
  const terminal = sessionStorage(directory);
  const { sessionId } = editor.getOrCreateSession();
  const isSame = terminal.getOrCreateSession().sessionId === sessionId;
  for (let call = 0; call < 10; call += 1) {
    editor.incrementToolCalls();
    terminal.updateSessionStats({ toolCalls: 1, errors: call % 5 === 0 ? 1 : 0 });
  }
  const { stats } = editor.readSession();
  terminal.close();
  editor.close();
  return { isSame, stats };
}

if (process.argv[1] === import.meta.filename) console.log(await main(process.argv[2] ?? "sessions"));
