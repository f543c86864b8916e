// The corpus (tests/corpus/README.md) in the words of this package: calls and their answers in snake case.
import { engines, KEPT, operations } from "../../dist/internal.js";

const camel = (name) => name.replace(/_(.)/g, (_, letter) => letter.toUpperCase());
const snake = (name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

function renamed(value, rename) {
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [rename(name), member]));
}

/** JSON values of the corpus are written with their members in byte order, in every language. */
export function sorted(value) {
  if (Array.isArray(value)) return value.map(sorted);
  if (!isObject(value)) return value;
  const names = Object.keys(value).sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  return Object.fromEntries(names.map((name) => [name, sorted(value[name])]));
}

function session({ metadata, ...rest }) {
  return { ...renamed(rest, snake), metadata: metadata === null ? null : JSON.stringify(metadata) };
}

function change(given) {
  const renamedChange = renamed(given, camel);
  const { addText } = renamedChange;
  return addText === undefined ? sorted(renamedChange) : { addText: renamed(addText, camel) };
}

function select(given) {
  // The corpus has the variant of the contract.
  if (isObject(given?.from)) return { from: given.from.seq, limit: given.from.limit };
  return isObject(given?.cursor) ? given.cursor : given;
}

/** Makes one call of the corpus and returns its answer as the corpus writes it. */
export function call(store, name, args = {}) {
  const { id } = args;
  const options = renamed(args.options, camel);
  const facts = (given) => {
    const lowered = renamed(given, camel);
    if (lowered?.metadata !== undefined) lowered.metadata = sorted(lowered.metadata);
    return lowered;
  };
  switch (name) {
    case "create":
      return session(store.create(facts(args.new)));
    case "update":
      return session(store.update(id, facts(args.patch), options));
    case "append": {
      const append = typeof args.messages === "string" ? store.appendJson : store.append;
      return append(id, sorted(args.messages), options);
    }
    case "update_message":
      return store.updateMessage(id, args.message, change(args.change), options);
    case "read": {
      const { messages: text, ...page } = store.readJson(id, select(args.select));
      return { messages: JSON.parse(text), text, ...page };
    }
    case "revert":
      return session(store.revert(id, args.to, { ...options, inclusive: args.inclusive }));
    case "switch":
      return session(store.switch(id, args.to, options));
    case "fork":
    case "unrevert":
      return session(store[name](id, options));
    case "list": {
      const page = store.list(renamed(args.query, camel));
      return { ...page, sessions: page.sessions.map(session) };
    }
    case "resolve":
      return session(store.resolve(args.text, { scope: args.scope }));
    case "doctor":
      return store.doctor({ repair: args.repair ?? false });
    case "branches":
      return store.branches(id).map((branch) => renamed(branch, snake));
    case "detach":
    case "compact":
      return renamed(store[name](id), snake);
    case "purge":
    case "sync":
      return store[name](id) ?? null;
    case "get":
    case "touch":
    case "trash":
    case "restore":
      return session(store[name](id));
    case "close":
      return store.close() ?? null;
    default:
      // An operation: as the component knows it, so that what is written does not depend on what hosts make of it.
      return JSON.parse(engines.get(store).call("operate", [name, JSON.stringify(sorted(args))]));
  }
}

/** Whether a call is an operation. */
export const isOperation = (name) => camel(name) in operations;

/** Carries out an operation as this package offers it. */
export function operate(store, name, args) {
  const request = (given) => {
    if (Array.isArray(given)) return given.map(request);
    if (!isObject(given)) return given;
    return Object.fromEntries(Object.entries(given).map(([key, member]) => [camel(key), KEPT.has(key) ? member : request(member)]));
  };
  return store[camel(name)](request(args));
}

/** All that a store holds, as a frozen store's `expected.json` has it. */
export function dump(store) {
  const sessions = {};
  for (const trashed of [false, true]) {
    for (const listed of call(store, "list", { query: { trashed, limit: 1000 } }).sessions) {
      const { text, unreadable } = call(store, "read", { id: listed.id, select: { last: 10_000 } });
      const branches = store.branches(listed.id).map(({ tip, shared, current }) => [tip, shared, current]);
      sessions[listed.id] = { session: listed, text, unreadable, branches };
    }
  }
  return sessions;
}
