// The worker of Node: one subject doing one kind of work, block by block, as the conductor asks for it. The protocol
// stands in `../src/worker.rs`. What a subject needs is imported when it is opened, because that is measured too.
import * as fs from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";

const job = JSON.parse(process.argv[2]);
const here = new URL(".", import.meta.url);
const text = (bytes) => "The quick brown fox jumps over the lazy dog. ".repeat(bytes / 45 + 1);
const frame = JSON.stringify({ role: "user", parts: [{ type: "text", text: "" }] }).length;
const message = (bytes) => ({ role: "user", parts: [{ type: "text", text: text(bytes).slice(0, bytes - frame) }] });
const words = "and then some more words of a model ".repeat(4);
const pieces = Array.from({ length: 200 }, (_, n) => words.slice(0, n % 5 < 2 ? 103 : 102));
const durability = (durable) => (durable ? "synced" : "buffered");

/** The limit: lines at the end of a file. */
class Raw {
  open() {
    fs.mkdirSync(job.dir, { recursive: true });
    this.file = fs.openSync(join(job.dir, "raw.jsonl"), "a");
  }
  create() {}
  fill(_, count, bytes) {
    const line = JSON.stringify(message(bytes)) + "\n";
    for (let n = 0; n < count; n += 1) fs.writeSync(this.file, line);
  }
  append(_, bytes, batch, durable) {
    this.line ??= Buffer.from(JSON.stringify(message(bytes)).repeat(batch) + "x".repeat(109) + "\n");
    this.#write(this.line, durable);
  }
  #write(line, durable) {
    fs.writeSync(this.file, line);
    if (durable) fs.fdatasyncSync(this.file);
  }
  #last(name, count, guess) {
    const file = fs.openSync(join(job.dir, name), "r");
    const { size } = fs.fstatSync(file);
    const buffer = Buffer.alloc(Math.min(guess, size));
    fs.readSync(file, buffer, 0, buffer.length, size - buffer.length);
    fs.closeSync(file);
    return buffer.toString("utf8").trimEnd().split("\n").slice(-count).map((line) => JSON.parse(line)).length;
  }
  tail(_, count) {
    return this.#last("raw.jsonl", count, count * 2200);
  }
  list(count) {
    return this.#last("index.jsonl", count, count * 300);
  }
  fork() {
    this.#write(Buffer.alloc(301, "x"), true);
  }
  stream(_, durable) {
    let bytes = 0;
    for (const piece of pieces) {
      this.#write(piece, durable);
      bytes += piece.length;
    }
    return bytes;
  }
}

/** The store: in this thread, or in one of its own. */
class Sessile {
  constructor(inThread) {
    this.inThread = inThread;
  }
  async open() {
    const { openStore, openStoreSync } = await import(new URL("../../host-node/dist/index.js", here));
    this.store = this.inThread ? openStoreSync(job.dir) : await openStore(job.dir);
  }
  async create(id) {
    try {
      await this.store.get(id);
    } catch {
      await this.store.create({ id });
    }
  }
  async fill(session, count, bytes) {
    const one = message(bytes);
    for (let n = 0; n < count; n += 1) await this.store.append(session, one, { durability: "buffered" });
  }
  append(session, bytes, batch, durable) {
    this.batch ??= batch === 1 ? message(bytes) : Array.from({ length: batch }, () => message(bytes));
    return this.store.append(session, this.batch, { durability: durability(durable) });
  }
  async tail(session, count) {
    return (await this.store.read(session, { last: count })).messages.length;
  }
  async list(count) {
    return (await this.store.list({ limit: count })).sessions.length;
  }
  fork(session) {
    return this.store.fork(session);
  }
  async stream(session, durable) {
    const options = { durability: durability(durable) };
    const first = { role: "assistant", parts: [{ type: "text", text: "" }] };
    const { seq } = await this.store.append(session, first, options);
    let bytes = 0;
    for (const piece of pieces) {
      await this.store.updateMessage(session, seq, { addText: { part: 0, text: piece } }, options);
      bytes += piece.length;
    }
    return bytes;
  }
  async count(session) {
    let count = 0;
    for await (const _ of this.store.messages(session, { pageSize: 1000 })) count += 1;
    return count;
  }
  async fold(session) {
    let bytes = 0;
    let select = { from: 1, limit: 10000 };
    for (;;) {
      const page = await this.store.readJson(session, select);
      bytes += page.messages.length;
      if (page.next === null) return bytes;
      select = { cursor: page.next, limit: 10000 };
    }
  }
  close() {
    return this.store?.close();
  }
}

/** The tables, the same in every language. */
const SCHEMA = `
  CREATE TABLE IF NOT EXISTS session (id TEXT PRIMARY KEY, title TEXT, updated INTEGER NOT NULL, messages INTEGER NOT NULL);
  CREATE INDEX IF NOT EXISTS newest ON session (updated);
  CREATE TABLE IF NOT EXISTS message (id INTEGER PRIMARY KEY, session TEXT NOT NULL, body TEXT NOT NULL);
  CREATE INDEX IF NOT EXISTS of_session ON message (session, id);`;

class Sqlite {
  constructor(synchronous) {
    this.synchronous = synchronous;
  }
  async open() {
    const { default: Database } = await import("better-sqlite3");
    fs.mkdirSync(job.dir, { recursive: true });
    this.db = new Database(join(job.dir, "sessions.db"), { timeout: 60000 });
    this.db.pragma("journal_mode = WAL");
    this.db.pragma(`synchronous = ${this.synchronous}`);
    this.db.exec(SCHEMA);
  }
  create(id) {
    this.db.prepare("INSERT OR IGNORE INTO session VALUES (?, ?, 1, 0)").run(id, id);
  }
  #insert(session, messages) {
    this.insertOne ??= this.db.prepare("INSERT INTO message (session, body) VALUES (?, ?)");
    this.update ??= this.db.prepare("UPDATE session SET updated = updated + 1, messages = messages + ? WHERE id = ?");
    this.transaction ??= this.db.transaction((to, all) => {
      for (const one of all) this.insertOne.run(to, JSON.stringify(one));
      this.update.run(all.length, to);
    }).immediate;
    this.transaction(session, messages);
  }
  fill(session, count, bytes) {
    const one = message(bytes);
    this.#insert(session, Array.from({ length: count }, () => one));
    this.db.pragma("wal_checkpoint(TRUNCATE)");
  }
  fill_sessions(count) {
    const insert = this.db.prepare("INSERT INTO session VALUES (?, ?, ?, 2)");
    this.db.transaction(() => {
      for (let n = 0; n < count; n += 1) insert.run(`session ${n}`, `Session number ${n}`, n);
    })();
    this.db.pragma("wal_checkpoint(TRUNCATE)");
  }
  append(session, bytes, batch) {
    this.batch ??= Array.from({ length: batch }, () => message(bytes));
    this.#insert(session, this.batch);
  }
  tail(session, count) {
    const select = this.db.prepare("SELECT body FROM message WHERE session = ? ORDER BY id DESC LIMIT ?");
    return select.all(session, count).map(({ body }) => JSON.parse(body)).length;
  }
  list(count) {
    const select = "SELECT id, title, updated, messages FROM session ORDER BY updated DESC LIMIT ?";
    return this.db.prepare(select).all(count).length;
  }
  fork(session) {
    this.forks = (this.forks ?? 0) + 1;
    const child = `fork ${this.forks}`;
    this.db.transaction(() => {
      this.db
        .prepare("INSERT INTO session SELECT ?, title, updated, messages FROM session WHERE id = ?")
        .run(child, session);
      this.db
        .prepare("INSERT INTO message (session, body) SELECT ?, body FROM message WHERE session = ? ORDER BY id")
        .run(child, session);
    })();
  }
  stream(session) {
    const { lastInsertRowid } = this.db.prepare("INSERT INTO message (session, body) VALUES (?, '')").run(session);
    const update = this.db.prepare("UPDATE message SET body = ? WHERE id = ?");
    let all = "";
    for (const piece of pieces) {
      all += piece;
      update.run(all, lastInsertRowid);
    }
    return all.length;
  }
  count(session) {
    return this.db.prepare("SELECT count(*) AS n FROM message WHERE session = ?").get(session).n;
  }
  close() {
    this.db?.close();
  }
}

/** Nanocoder's sessions: a file of JSON for each, and an index of all. */
class Nanocoder {
  async open() {
    const { SessionManager } = await import(
      new URL("node_modules/@nanocollective/nanocoder/dist/session/session-manager.js", here)
    );
    this.manager = new SessionManager(job.dir);
    await this.manager.initialize();
    const [found] = await this.manager.listSessions();
    if (found !== undefined && job.work !== "list" && job.work !== "tail" && job.work !== "open") {
      this.session = await this.manager.readSession(found.id);
    }
  }
  #empty(title) {
    return { title, messageCount: 0, provider: "p", model: "m", workingDirectory: "/srv", messages: [] };
  }
  async create(id) {
    const found = (await this.manager.listSessions()).find(({ title }) => title === id);
    this.session = found === undefined ? await this.manager.createSession(this.#empty(id)) : await this.manager.readSession(found.id);
  }
  async fill(_, count, bytes) {
    const content = message(bytes).parts[0].text;
    for (let n = 0; n < count; n += 1) this.session.messages.push({ role: "user", content });
    await this.#save();
  }
  /** What its `createSession` would leave, without its limit of 100 sessions. */
  fill_sessions(count) {
    fs.mkdirSync(job.dir, { recursive: true });
    const at = new Date().toISOString();
    const index = [];
    for (let n = 0; n < count; n += 1) {
      const id = `00000000-0000-4000-8000-${String(n).padStart(12, "0")}`;
      const facts = { id, createdAt: at, lastAccessedAt: at, ...this.#empty(`Session number ${n}`) };
      const { messages, ...metadata } = facts;
      index.push(metadata);
      fs.writeFileSync(join(job.dir, `${id}.json`), JSON.stringify(facts, null, 2));
    }
    fs.writeFileSync(join(job.dir, "sessions.json"), JSON.stringify(index, null, 2));
  }
  #save() {
    this.session.messageCount = this.session.messages.length;
    return this.manager.saveSession(this.session);
  }
  append(_, bytes, batch) {
    const content = message(bytes).parts[0].text;
    for (let n = 0; n < batch; n += 1) this.session.messages.push({ role: "user", content });
    return this.#save();
  }
  async tail(_, count) {
    const [{ id }] = await this.manager.listSessions();
    return (await this.manager.readSession(id)).messages.slice(-count).length;
  }
  async list(count) {
    return (await this.manager.listSessions()).slice(0, count).length;
  }
  async fork() {
    await this.manager.createSession({ ...this.session, title: "fork" });
  }
  async stream() {
    const one = { role: "assistant", content: "" };
    this.session.messages.push(one);
    for (const piece of pieces) {
      one.content += piece;
      await this.#save();
    }
    return one.content.length;
  }
  async count(id) {
    const found = (await this.manager.listSessions()).find(({ title }) => title === id);
    return found === undefined ? 0 : (await this.manager.readSession(found.id)).messages.length;
  }
}

/** Pi's sessions: JSON lines, read whole. It syncs nothing. */
class Pi {
  async open() {
    const { BACKGROUND_CONTEXT } = await import("@earendil-works/pi-agent-core/harness/context");
    const { NodeExecutionEnv } = await import("@earendil-works/pi-agent-core/harness/env/nodejs");
    const { JsonlSessionRepo } = await import("@earendil-works/pi-agent-core/harness/session");
    this.context = BACKGROUND_CONTEXT;
    fs.mkdirSync(job.dir, { recursive: true });
    const fileSystem = new NodeExecutionEnv({ cwd: job.dir });
    this.repo = new JsonlSessionRepo({ fileSystem, sessionsRoot: join(job.dir, "sessions") });
  }
  async #find(id) {
    return (await this.repo.list({ cwd: job.dir }, this.context)).find((one) => one.id === id);
  }
  async create(id) {
    const found = await this.#find(id);
    this.session =
      found === undefined
        ? await this.repo.create({ cwd: job.dir, id }, this.context)
        : await this.repo.open(found, this.context);
    this.branch =
      (await this.session.branch("main", this.context)) ??
      (await this.session.createBranch("main", null, this.context));
  }
  #one(content) {
    return { role: "user", content: [{ type: "text", text: content }], timestamp: Date.now() };
  }
  async fill(_, count, bytes) {
    const one = this.#one(message(bytes).parts[0].text);
    for (let n = 0; n < count; n += 1) await this.branch.appendMessage(one, this.context);
  }
  async fill_sessions(count) {
    for (let n = 0; n < count; n += 1) {
      const session = await this.repo.create({ cwd: job.dir, id: `session-${n}` }, this.context);
      await session.setName(`Session number ${n}`, this.context);
      await session.close(this.context);
    }
  }
  async append(_, bytes, batch) {
    for (let n = 0; n < batch; n += 1) {
      await this.branch.appendMessage(this.#one(message(bytes).parts[0].text), this.context);
    }
  }
  async tail(id, count) {
    const session = await this.repo.open(await this.#find(id), this.context);
    const start = await session.getBranchTip("main", this.context);
    const all = await session.scanBranch({ start }, this.context);
    await session.close(this.context);
    return all.slice(0, count).length;
  }
  async list(count) {
    return (await this.repo.list({ cwd: job.dir }, this.context)).slice(0, count).length;
  }
  async fork(id) {
    const fork = await this.repo.fork(await this.#find(id), { scope: "tree" }, this.context);
    await fork.close(this.context);
  }
  async stream() {
    let all = "";
    for (const piece of pieces) {
      all += piece;
      await this.branch.appendMessage(this.#one(all), this.context);
    }
    return all.length;
  }
  async count(id) {
    await this.create(id);
    const entries = await this.session.findEntries(undefined, this.context);
    return entries.filter(({ type }) => type === "message").length;
  }
  close() {
    return this.repo?.close(this.context);
  }
}

const subjects = {
  raw: () => new Raw(),
  sessile: () => new Sessile(true),
  "sessile-thread": () => new Sessile(false),
  "better-sqlite3-full": () => new Sqlite("FULL"),
  "better-sqlite3-normal": () => new Sqlite("NORMAL"),
  nanocoder: () => new Nanocoder(),
  pi: () => new Pi(),
};

const figure = (file, name) => {
  const line = fs.readFileSync(`/proc/self/${file}`, "utf8").split("\n").find((one) => one.startsWith(name));
  return Number(line?.slice(name.length).trim().split(/\s/)[0] ?? 0);
};

const subject = subjects[job.subject]();
const session = job.session || "s";

async function prepare() {
  if (job.work === "open") return;
  await subject.open();
  if (job.work === "append" || job.work === "fork") {
    await subject.create("s");
    if (job.held > 0) await subject.fill("s", job.held, job.bytes);
  } else if (job.work === "stream" || job.work === "contend") {
    await subject.create(session);
  }
}

const works = {
  async append() {
    const batch = Math.max(1, job.batch);
    for (let n = 0; n < job.ops; n += 1) {
      // In this thread nothing is awaited: a caller would not.
      const done = subject.append(session, job.bytes, batch, job.durable);
      if (done instanceof Promise) await done;
    }
    return job.ops * batch;
  },
  contend: () => works.append(),
  tail: () => subject.tail("s", 50),
  list: () => subject.list(20),
  async fork() {
    for (let n = 0; n < job.ops; n += 1) await subject.fork("s");
    return job.ops;
  },
  stream: () => subject.stream(session, job.durable),
  open: async () => (await subject.open(), 0),
  count: () => subject.count(session),
  async fill() {
    await subject.create("s");
    await subject.fill("s", job.held, job.bytes);
    return job.held;
  },
  async fill_sessions() {
    await subject.fill_sessions(job.held);
    return job.held;
  },
  fold: () => subject.fold(session),
};

async function block() {
  const [written, read, memory] = [figure("io", "wchar:"), figure("io", "rchar:"), figure("status", "VmRSS:")];
  const begin = performance.now();
  const count = await works[job.work]();
  const seconds = (performance.now() - begin) / 1000;
  return {
    seconds,
    ops: Math.max(1, job.ops),
    written: figure("io", "wchar:") - written,
    read: figure("io", "rchar:") - read,
    count,
    memory: Math.max(0, figure("status", "VmHWM:") - memory) * 1024,
    descriptors: fs.readdirSync("/proc/self/fd").length,
  };
}

await prepare();
console.log("ready");
for await (const _ of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await block()));
}
await subject.close?.();
process.exit(0);
