"""A program that uses the installed package: type checkers must find nothing wrong with it."""

from __future__ import annotations

import asyncio
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import sessile
import sessile.aio

if TYPE_CHECKING:
    from sessile.operations import Counters
    from sessile.options import WriteOptions
    from typing_extensions import Unpack


def note(store: sessile.Store, id: str, text: str, **options: Unpack[WriteOptions]) -> int:
    """A caller's own function passes the options on."""
    message: sessile.Message = {"role": "user", "parts": [{"type": "text", "text": text}], "status": "completed"}
    return store.append(id, message, **options).seq


def work(path: Path) -> list[str]:
    with sessile.open(path) as store:
        session: sessile.Session = store.create(title="t", metadata={"a": 1}, created_at=datetime.now(timezone.utc))
        note(store, session.id, "one", durability="buffered", op="x")
        store.append(session.id, [{"role": "assistant", "parts": [{"type": "text", "text": "two"}]}], expect_head=1)
        store.update(session.id, title=None, status="done", tags=["a"])
        store.update_message(session.id, 1, add_text={"part": 0, "text": "!"})
        store.fork(session.id, at=1, title=None)
        counters: Counters = store.add_counters(session=session.id, add={"toolCalls": 1}, op=None)
        assert counters["counters"]["toolCalls"] == 1
        created: datetime = session.created_at
        assert created.tzinfo is not None
        try:
            store.get("nobody")
        except sessile.NotFoundError as error:
            assert error.kind == "not-found"
        return [stored["message"]["role"] for stored in store.messages(session.id)]


async def work_async(path: Path) -> int:
    async with sessile.aio.open(path) as store:
        session = await store.create(id="async")
        counters: Counters = await store.add_counters(add={"runs": 0.5})
        assert counters == await store.get_counters()
        appended: sessile.Appended = await store.append(session.id, {"role": "user", "parts": []})
        return appended.seq + len([stored async for stored in store.messages(session.id)])


def main(path: Path) -> None:
    assert work(path) == ["user", "assistant"]
    assert asyncio.run(work_async(path)) == 2
