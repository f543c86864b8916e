"""`worker.py STORE LOG NAME SECONDS SEED`: works on a store that others work on at the same time.

What it is acknowledged it writes to LOG, a JSON object a line, so that whoever kills it can check what must be there.
It may be killed at any moment, and started again with another SEED.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Callable
from typing import Any

import sessile


class Worker:
    """A writer with a session of its own, three that it shares, and forks of these."""

    def __init__(self, store: sessile.Store, log: str, name: str, seed: int) -> None:
        self.store, self.name, self.seed = store, name, seed
        self.log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.draw = random.Random(seed)
        self.counter = self.calls = self.forks = 0
        self.own = f"own-{name}"
        for id in (self.own, "shared-0", "shared-1", "shared-2"):
            self.make(id)

    def say(self, **line: Any) -> None:
        """Writes a line to the log, in one write."""
        os.write(self.log, (json.dumps(line, ensure_ascii=False) + "\n").encode())

    def make(self, id: str) -> None:
        """Makes a session that another may make first."""
        try:
            self.store.create(id=id)
        except sessile.ConflictError:
            pass

    def text(self) -> str:
        """A text that nobody else writes."""
        self.counter += 1
        return f"{self.name}-{self.seed}-{self.counter}"

    def durability(self) -> sessile.Durability:
        return "synced" if self.draw.random() < 0.25 else "buffered"

    def append(self, id: str, count: int = 1, expect_head: int | None = None) -> None:
        texts = [self.text() for _ in range(count)]
        op = f"op-{texts[0]}"
        done = self.store.append(
            id,
            [{"role": "user", "parts": [{"type": "text", "text": text}]} for text in texts],
            op=op,
            durability=self.durability(),
            expect_head=expect_head,
        )
        self.say(session=id, op=op, seq=done.seq, texts=texts, repeated=done.repeated)

    def append_own(self) -> None:
        self.append(self.own, self.draw.choice((1, 1, 1, 2, 5)))

    def append_shared(self) -> None:
        self.append(f"shared-{self.draw.randrange(3)}", self.draw.choice((1, 1, 2)))

    def append_at_head(self) -> None:
        id = f"shared-{self.draw.randrange(3)}"
        head = self.store.get(id).head
        try:
            self.append(id, 1, head)
        except sessile.ConflictError:
            pass  # Another was first.

    def add_text(self) -> None:
        head = self.store.get(self.own).head
        if head:
            text = self.text()
            self.store.update_message(
                self.own, head, add_text={"part": 0, "text": f" {text}"}, durability=self.durability()
            )
            self.say(session=self.own, add=text)

    def revert(self) -> None:
        messages = self.store.read(self.own, last=20).messages
        if messages:
            to = self.draw.choice(messages)["seq"]
            reverted = self.store.revert(self.own, to, durability=self.durability())
            if reverted.can_unrevert and self.draw.random() < 0.7:
                self.store.unrevert(self.own, durability=self.durability())

    def compact(self) -> None:
        self.store.compact(self.own)

    def touch(self) -> None:
        self.store.touch(self.own)

    def update(self) -> None:
        self.store.update(self.own, title=f"title {self.counter}", durability=self.durability())

    def sync(self) -> None:
        self.store.sync(self.own)

    def fork(self) -> None:
        parent = f"shared-{self.draw.randrange(3)}"
        self.forks += 1
        # Mostly at an early message: the content of forks is read whole afterwards.
        early = self.draw.randrange(1, 65)
        at = early if early < self.store.get(parent).head and self.draw.random() < 0.94 else None
        child = self.store.fork(parent, at=at, id=f"fork-{self.name}-{self.forks}-{self.seed}")
        self.say(fork=child.id, parent=parent, count=child.message_count)
        self.append(child.id)

    def read(self) -> None:
        id = self.draw.choice((self.own, f"shared-{self.draw.randrange(3)}"))
        page = self.store.read(id, last=self.draw.choice((1, 10, 100)))
        if page.unreadable or page.damage:
            self.say(error="damaged", call="read", message=f"{id}: {page.unreadable} {page.damage}")

    def work(self, seconds: float) -> None:
        """Calls at random until the time is over."""
        weights: dict[Callable[[], None], float] = {
            self.append_own: 30,
            self.append_shared: 30,
            self.append_at_head: 8,
            self.add_text: 10,
            self.revert: 4,
            self.compact: 0.5,
            self.touch: 3,
            self.update: 3,
            self.sync: 3,
            self.fork: 1.5,
            self.read: 10,
        }
        calls, shares = list(weights), list(weights.values())
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            call = self.draw.choices(calls, shares)[0]
            try:
                call()
            except sessile.SessileError as error:
                self.say(error=error.kind, call=call.__name__, message=str(error))
            self.calls += 1


def main(store: str, log: str, name: str, seconds: str, seed: str) -> None:
    with sessile.open(store) as opened:
        worker = Worker(opened, log, name, int(seed))
        worker.work(float(seconds))
    worker.say(done=worker.calls)


if __name__ == "__main__":
    main(*sys.argv[1:])
