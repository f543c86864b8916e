"""The store as its users meet it first: open, write, read, close, in both forms."""

import asyncio
from pathlib import Path

import pytest

import sessile
import sessile.aio


def message(text: str) -> sessile.types.Message:
    return {"role": "user", "parts": [{"type": "text", "text": text}]}


def test_what_was_written_is_read(tmp_path: Path) -> None:
    with sessile.open(tmp_path / "store") as store:
        session = store.create(title="first")
        store.append(session.id, [message("a"), message("b")])
        texts = [stored["message"]["parts"][0]["text"] for stored in store.messages(session.id)]
        assert texts == ["a", "b"]
    with pytest.raises(sessile.ClosedError):
        store.get(session.id)


def test_a_thousand_calls_in_flight_keep_their_order(tmp_path: Path) -> None:
    async def run() -> list[str]:
        async with sessile.aio.open(tmp_path / "store") as store:
            session = await store.create()
            appends = [store.append(session.id, message(str(n)), durability="buffered") for n in range(1000)]
            await asyncio.gather(*appends)
            page = await store.read(session.id, from_seq=1, limit=1000)
            return [stored["message"]["parts"][0]["text"] for stored in page.messages]

    assert asyncio.run(run()) == [str(n) for n in range(1000)]
