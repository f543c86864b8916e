// What a program in TypeScript sees of the package. It is compiled, and then run.
import {
  closeOnExit,
  ConflictError,
  openStore,
  openStoreSync,
  SessileError,
  type Appended,
  type Counters,
  type ErrorKind,
  type Message,
  type MessageChange,
  type Page,
  type Select,
  type Session,
  type Store,
  type StoreSync,
} from "sessile";

/** Compiles only where both types are the same. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const same = <A, B>(_: Same<A, B>): void => undefined;

const message: Message = { role: "user", parts: [{ type: "text", text: "hello" }], mood: "curious" };

function inThisThread(path: string): void {
  using store = openStoreSync(path);
  const session = store.create({ title: "T", metadata: { n: 1 } });
  same<typeof session, Session>(true);
  same<Session["createdAt"], number>(true);
  same<Session["trashedAt"], number | null>(true);
  const appended = store.append(session.id, [message], { durability: "buffered", op: "one" });
  same<typeof appended, Appended>(true);
  const select: Select = { from: 1, limit: 10 };
  const page = store.read(session.id, select);
  same<typeof page, Page>(true);
  same<ReturnType<StoreSync["readJson"]>["messages"], string>(true);
  const change: MessageChange = { addText: { part: 0, text: "!" } };
  const length: number = store.updateMessage(session.id, 1, change);
  if (length !== 6) throw new Error(`${length}`);
  for (const stored of store.messages(session.id)) {
    same<typeof stored.seq, number>(true);
    // Members that are not named are unknown, and not any.
    same<(typeof stored.message)["mood"], unknown>(true);
  }
  const { counters } = store.addCounters({ session: session.id, add: { toolCalls: 1 }, op: "two" });
  same<typeof counters, Record<string, number>>(true);
  same<ReturnType<StoreSync["getCounters"]>, Counters>(true);
  // @ts-expect-error numbers are numbers
  const added = () => store.addCounters({ add: { toolCalls: "1" } });
  // @ts-expect-error no such option
  const wrong = () => store.append(session.id, message, { expectedHead: 1 });
  // @ts-expect-error numbers are numbers
  const big = () => store.create({ createdAt: 1n });
  // @ts-expect-error one of the three
  const nothing = () => store.read(session.id, {});
  void [added, wrong, big, nothing];
}

async function inAThreadOfItsOwn(path: string): Promise<void> {
  await using store: Store = await openStore(path, { readOnly: false });
  const undo: () => void = closeOnExit(store);
  undo();
  same<Awaited<ReturnType<Store["resetCounters"]>>, Counters>(true);
  const [first] = (await store.list({ limit: 1 })).sessions;
  if (first === undefined) throw new Error("no session");
  same<Awaited<ReturnType<Store["get"]>>, Session>(true);
  for await (const session of store.sessions()) same<typeof session, Session>(true);
  try {
    await store.append(first.id, message, { expectHead: 0 });
  } catch (error) {
    if (!(error instanceof ConflictError)) throw error;
    same<typeof error.kind, "conflict">(true);
    const base: SessileError = error;
    const kind: ErrorKind = base.kind;
    console.log(kind, base.code);
  }
}

export async function main(path: string): Promise<void> {
  inThisThread(path);
  await inAThreadOfItsOwn(path);
}
