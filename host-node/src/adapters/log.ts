/** A session followed by a fold: what an adapter knows of it, brought up to date by what has come since. */
import { randomUUID } from "node:crypto";
import { DamagedError, NotFoundError } from "../errors.js";
import type { Message, NewSession, Session } from "../types.js";
import { ensure, look, type AnyStore } from "./sessions.js";

const PAGE = 1000;

/** What is known of a session up to `head`. */
export interface Folded<State> {
  readonly session: string;
  readonly born: unknown;
  head: number;
  readonly state: State;
}

/** How a session is folded. */
export interface Fold<State> {
  /** What is known of a session without messages. */
  readonly fresh: () => State;
  /** What a message adds. */
  readonly add: (state: State, message: Message, seq: number) => void;
}

/** Finds a session and brings what is known of it up to date; `null` where there is none. */
export async function lookAt<State>(
  store: AnyStore,
  id: string,
  fold: Fold<State>,
  known: Folded<State> | undefined,
): Promise<Folded<State> | null> {
  const session = await look(store, id);
  try {
    return session === null ? null : await follow(store, session, fold, known);
  } catch (error) {
    // Somebody has removed it meanwhile.
    if (error instanceof NotFoundError) return null;
    throw error;
  }
}

/** As `lookAt`, and makes the session where there is none. */
export async function openAt<State>(
  store: AnyStore,
  id: string,
  facts: NewSession & { readonly metadata: object },
  fold: Fold<State>,
  known: Folded<State> | undefined,
): Promise<Folded<State>> {
  // A session that was removed and made again under the same id is another one.
  const session = await ensure(store, id, { ...facts, metadata: { ...facts.metadata, born: randomUUID() } });
  return follow(store, session, fold, known);
}

async function follow<State>(
  store: AnyStore,
  { id, head, metadata }: Session,
  fold: Fold<State>,
  known: Folded<State> | undefined,
): Promise<Folded<State>> {
  const born = metadata?.["born"];
  const isSame = known !== undefined && known.born === born && known.head <= head;
  const folded = isSame ? known : { session: id, born, head: 0, state: fold.fresh() };
  while (folded.head < head) {
    const page = await store.read(id, { from: folded.head + 1, limit: PAGE });
    if (page.unreadable.length > 0) {
      const numbers = page.unreadable.slice(0, 10).join(", ");
      throw new DamagedError(`session ${JSON.stringify(id)}: messages ${numbers} cannot be read`);
    }
    for (const { seq, message } of page.messages) {
      // Another call may have been here meanwhile.
      if (seq <= folded.head) continue;
      fold.add(folded.state, message, seq);
      folded.head = seq;
    }
    if (page.messages.length === 0) break;
  }
  return folded;
}
