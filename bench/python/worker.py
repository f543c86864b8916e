"""The worker of Python: one subject doing one kind of work, block by block, as the conductor asks for it.

The protocol stands in `../src/worker.rs`. What a subject needs is imported when it is opened, because that is measured
too.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

job: dict[str, Any] = json.loads(sys.argv[1])
directory = Path(job["dir"])

FRAME = len('{"role":"user","parts":[{"type":"text","text":""}]}')
WORDS = "and then some more words of a model " * 4
PIECES = [WORDS[: 103 if number % 5 < 2 else 102] for number in range(200)]
SCHEMA = """
    CREATE TABLE IF NOT EXISTS session (id TEXT PRIMARY KEY, title TEXT, updated INTEGER NOT NULL, messages INTEGER NOT NULL);
    CREATE INDEX IF NOT EXISTS newest ON session (updated);
    CREATE TABLE IF NOT EXISTS message (id INTEGER PRIMARY KEY, session TEXT NOT NULL, body TEXT NOT NULL);
    CREATE INDEX IF NOT EXISTS of_session ON message (session, id);
"""


def text(size: int) -> str:
    return ("The quick brown fox jumps over the lazy dog. " * (size // 45 + 1))[: size - FRAME]


def message(size: int) -> dict[str, Any]:
    return {"role": "user", "parts": [{"type": "text", "text": text(size)}]}


def compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class Raw:
    """The limit: lines at the end of a file."""

    def open(self) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.file = os.open(directory / "raw.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.line = b""

    def create(self, session: str) -> None:
        pass

    def _write(self, line: bytes, durable: bool) -> None:
        os.write(self.file, line)
        if durable:
            os.fdatasync(self.file)

    def append(self, session: str, size: int, batch: int, durable: bool) -> None:
        if not self.line:
            self.line = (compact(message(size)) * batch + "x" * 109 + "\n").encode()
        self._write(self.line, durable)

    def fill(self, session: str, count: int, size: int) -> None:
        line = (compact(message(size)) + "\n").encode()
        for _ in range(count):
            os.write(self.file, line)

    def _last(self, name: str, count: int, guess: int) -> int:
        with open(directory / name, "rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, size - guess))
            lines = file.read(guess).decode("utf-8", "replace").splitlines()[-count:]
        return len([json.loads(line) for line in lines])

    def tail(self, session: str, count: int) -> int:
        return self._last("raw.jsonl", count, count * 2200)

    def list(self, count: int) -> int:
        return self._last("index.jsonl", count, count * 300)

    def fork(self, session: str) -> None:
        self._write(b"x" * 301, True)

    def stream(self, session: str, durable: bool) -> int:
        for piece in PIECES:
            self._write(piece.encode(), durable)
        return sum(map(len, PIECES))

    def close(self) -> None:
        pass


class Sessile:
    """The store."""

    def open(self) -> None:
        import sessile

        self.store = sessile.open(directory)
        self.batch: Any = None

    def create(self, session: str) -> None:
        import sessile

        try:
            self.store.get(session)
        except sessile.NotFoundError:
            self.store.create(id=session)

    def fill(self, session: str, count: int, size: int) -> None:
        one = message(size)
        for _ in range(count):
            self.store.append(session, one, durability="buffered")

    def append(self, session: str, size: int, batch: int, durable: bool) -> None:
        if self.batch is None:
            self.batch = message(size) if batch == 1 else [message(size) for _ in range(batch)]
        self.store.append(session, self.batch, durability="synced" if durable else "buffered")

    def tail(self, session: str, count: int) -> int:
        return len(self.store.read(session, last=count).messages)

    def list(self, count: int) -> int:
        return len(self.store.list(limit=count).sessions)

    def fork(self, session: str) -> None:
        self.store.fork(session)

    def stream(self, session: str, durable: bool) -> int:
        durability = "synced" if durable else "buffered"
        first = {"role": "assistant", "parts": [{"type": "text", "text": ""}]}
        seq = self.store.append(session, first, durability=durability).seq
        for piece in PIECES:
            self.store.update_message(session, seq, add_text={"part": 0, "text": piece}, durability=durability)
        return sum(map(len, PIECES))

    def count(self, session: str) -> int:
        return sum(1 for _ in self.store.messages(session))

    def fold(self, session: str) -> int:
        page = self.store.read_json(session, from_seq=1, limit=10_000)
        size = len(page.messages)
        while page.next is not None:
            page = self.store.read_json(session, cursor=page.next, limit=10_000)
            size += len(page.messages)
        return size

    def close(self) -> None:
        if hasattr(self, "store"):
            self.store.close()


class Sqlite:
    """The standard library's sqlite3, with the tables that a careful user would make."""

    def __init__(self, synchronous: str) -> None:
        self.synchronous = synchronous

    def open(self) -> None:
        import sqlite3

        directory.mkdir(parents=True, exist_ok=True)
        self.db = sqlite3.connect(directory / "sessions.db", timeout=60, isolation_level=None)
        self.db.execute("PRAGMA journal_mode=WAL")
        self.db.execute(f"PRAGMA synchronous={self.synchronous}")
        self.db.executescript(SCHEMA)
        self.forks = 0

    def create(self, session: str) -> None:
        self.db.execute("INSERT OR IGNORE INTO session VALUES (?, ?, 1, 0)", (session, session))

    def _insert(self, session: str, messages: list[dict[str, Any]]) -> None:
        self.db.execute("BEGIN IMMEDIATE")
        for one in messages:
            self.db.execute("INSERT INTO message (session, body) VALUES (?, ?)", (session, compact(one)))
        update = "UPDATE session SET updated = updated + 1, messages = messages + ? WHERE id = ?"
        self.db.execute(update, (len(messages), session))
        self.db.execute("COMMIT")

    def fill(self, session: str, count: int, size: int) -> None:
        self._insert(session, [message(size)] * count)
        self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def fill_sessions(self, count: int) -> None:
        self.db.execute("BEGIN")
        for number in range(count):
            values = (f"session {number}", f"Session number {number}", number)
            self.db.execute("INSERT INTO session VALUES (?, ?, ?, 2)", values)
        self.db.execute("COMMIT")
        self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def append(self, session: str, size: int, batch: int, durable: bool) -> None:
        self._insert(session, [message(size) for _ in range(batch)])

    def tail(self, session: str, count: int) -> int:
        select = "SELECT body FROM message WHERE session = ? ORDER BY id DESC LIMIT ?"
        return len([json.loads(body) for (body,) in self.db.execute(select, (session, count))])

    def list(self, count: int) -> int:
        select = "SELECT id, title, updated, messages FROM session ORDER BY updated DESC LIMIT ?"
        return len(self.db.execute(select, (count,)).fetchall())

    def fork(self, session: str) -> None:
        self.forks += 1
        child = f"fork {self.forks}"
        self.db.execute("BEGIN IMMEDIATE")
        copy = "INSERT INTO session SELECT ?, title, updated, messages FROM session WHERE id = ?"
        self.db.execute(copy, (child, session))
        copy = "INSERT INTO message (session, body) SELECT ?, body FROM message WHERE session = ? ORDER BY id"
        self.db.execute(copy, (child, session))
        self.db.execute("COMMIT")

    def stream(self, session: str, durable: bool) -> int:
        row = self.db.execute("INSERT INTO message (session, body) VALUES (?, '')", (session,)).lastrowid
        whole = ""
        for piece in PIECES:
            whole += piece
            self.db.execute("UPDATE message SET body = ? WHERE id = ?", (whole, row))
        return len(whole)

    def count(self, session: str) -> int:
        return int(self.db.execute("SELECT count(*) FROM message WHERE session = ?", (session,)).fetchone()[0])

    def close(self) -> None:
        if hasattr(self, "db"):
            self.db.close()


class OpenAiAgents:
    """The sessions of openai-agents. They are SQLite in WAL mode, with its default of FULL."""

    def open(self) -> None:
        import asyncio

        from agents import SQLiteSession

        directory.mkdir(parents=True, exist_ok=True)
        self.make = SQLiteSession
        self.loop = asyncio.new_event_loop()
        self.session: Any = SQLiteSession("s", directory / "agents.db")

    def create(self, session: str) -> None:
        self.session = self.make(session, directory / "agents.db")

    def _add(self, items: list[dict[str, Any]]) -> None:
        self.loop.run_until_complete(self.session.add_items(items))

    def _one(self, content: str) -> dict[str, Any]:
        return {"role": "user", "content": content}

    def fill(self, session: str, count: int, size: int) -> None:
        if count > 0:
            self._add([self._one(text(size))] * count)

    def append(self, session: str, size: int, batch: int, durable: bool) -> None:
        self._add([self._one(text(size)) for _ in range(batch)])

    def tail(self, session: str, count: int) -> int:
        return len(self.loop.run_until_complete(self.session.get_items(limit=count)))

    def count(self, session: str) -> int:
        self.create(session)
        return len(self.loop.run_until_complete(self.session.get_items()))

    def close(self) -> None:
        if hasattr(self, "session"):
            self.session.close()


class LangGraph:
    """The checkpoints of LangGraph: the whole state of a thread is written at every step."""

    def open(self) -> None:
        import sqlite3

        from langgraph.checkpoint.base import empty_checkpoint
        from langgraph.checkpoint.sqlite import SqliteSaver

        directory.mkdir(parents=True, exist_ok=True)
        self.db = sqlite3.connect(directory / "checkpoints.db", timeout=60, check_same_thread=False)
        self.saver = SqliteSaver(self.db)
        self.saver.setup()
        self.empty = empty_checkpoint
        self.messages: list[Any] = []
        self.config: Any = None

    def create(self, session: str) -> None:
        self.config = {"configurable": {"thread_id": session, "checkpoint_ns": ""}}
        found = self.saver.get_tuple(self.config)
        if found is not None:
            self.config = found.config
            self.messages = list(found.checkpoint["channel_values"].get("messages", []))

    def _put(self) -> None:
        checkpoint = self.empty()
        checkpoint["channel_values"] = {"messages": self.messages}
        step = {"source": "loop", "step": len(self.messages), "parents": {}}
        self.config = self.saver.put(self.config, checkpoint, step, {})

    def fill(self, session: str, count: int, size: int) -> None:
        self.messages += [message(size)] * count
        self._put()

    def append(self, session: str, size: int, batch: int, durable: bool) -> None:
        self.messages += [message(size) for _ in range(batch)]
        self._put()

    def tail(self, session: str, count: int) -> int:
        found = self.saver.get_tuple({"configurable": {"thread_id": session, "checkpoint_ns": ""}})
        return len(found.checkpoint["channel_values"]["messages"][-count:])

    def stream(self, session: str, durable: bool) -> int:
        whole = ""
        self.messages.append(None)
        for piece in PIECES:
            whole += piece
            self.messages[-1] = {"role": "assistant", "parts": [{"type": "text", "text": whole}]}
            self._put()
        return len(whole)

    def count(self, session: str) -> int:
        self.create(session)
        return len(self.messages)

    def close(self) -> None:
        if hasattr(self, "db"):
            self.db.close()


SUBJECTS: dict[str, Any] = {
    "raw": Raw,
    "sessile": Sessile,
    "sqlite3-full": lambda: Sqlite("FULL"),
    "sqlite3-normal": lambda: Sqlite("NORMAL"),
    "openai-agents": OpenAiAgents,
    "langgraph": LangGraph,
}


def figure(file: str, name: str) -> int:
    for line in Path(f"/proc/self/{file}").read_text().splitlines():
        if line.startswith(name):
            return int(line[len(name) :].split()[0])
    return 0


def prepare(subject: Any, session: str) -> None:
    if job["work"] == "open":
        return
    subject.open()
    if job["work"] in ("append", "fork"):
        subject.create("s")
        if job["held"] > 0:
            subject.fill("s", job["held"], job["bytes"])
    elif job["work"] in ("stream", "contend"):
        subject.create(session)


def act(subject: Any, session: str) -> int:
    work = job["work"]
    if work in ("append", "contend"):
        append, size, batch, durable = subject.append, job["bytes"], max(1, job["batch"]), job["durable"]
        for _ in range(job["ops"]):
            append(session, size, batch, durable)
        return int(job["ops"]) * batch
    if work == "tail":
        return int(subject.tail("s", 50))
    if work == "list":
        return int(subject.list(20))
    if work == "fork":
        for _ in range(job["ops"]):
            subject.fork("s")
        return int(job["ops"])
    if work == "stream":
        return int(subject.stream(session, job["durable"]))
    if work == "open":
        subject.open()
        return 0
    if work == "count":
        return int(subject.count(session))
    if work == "fold":
        return int(subject.fold("s"))
    if work == "fill":
        subject.create("s")
        subject.fill("s", job["held"], job["bytes"])
        return int(job["held"])
    if work == "fill_sessions":
        subject.fill_sessions(job["held"])
        return int(job["held"])
    raise ValueError(f"there is no work `{work}`")


def block(subject: Any, session: str) -> dict[str, Any]:
    written, read, memory = figure("io", "wchar:"), figure("io", "rchar:"), figure("status", "VmRSS:")
    begin = time.perf_counter()
    count = act(subject, session)
    seconds = time.perf_counter() - begin
    return {
        "seconds": seconds,
        "ops": max(1, job["ops"]),
        "written": figure("io", "wchar:") - written,
        "read": figure("io", "rchar:") - read,
        "count": count,
        "memory": max(0, figure("status", "VmHWM:") - memory) * 1024,
        "descriptors": len(os.listdir("/proc/self/fd")),
    }


def main() -> None:
    subject = SUBJECTS[job["subject"]]()
    session = job["session"] or "s"
    prepare(subject, session)
    print("ready", flush=True)
    for _ in sys.stdin:
        print(json.dumps(block(subject, session)), flush=True)
    subject.close()


main()
