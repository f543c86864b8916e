"""The store for asyncio keeps order, survives cancellation and ends its thread."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest
from conftest import message

import sessile
import sessile.aio

T = TypeVar("T")


def workers() -> int:
    return sum(thread.name.startswith("sessile") for thread in threading.enumerate())


async def texts(store: sessile.aio.AsyncStore) -> list[str]:
    return [stored["message"]["parts"][0]["text"] async for stored in store.messages("s", limit=7)]


def test_calls_are_carried_out_in_order(root: Path) -> None:
    async def work() -> None:
        async with sessile.aio.open(root) as store:
            await store.create(id="s")
            pending = [store.append("s", message(str(n)), durability="buffered") for n in range(100)]
            done = await asyncio.gather(*pending)
            assert [appended.seq for appended in done] == list(range(1, 101))
            assert await texts(store) == [str(n) for n in range(100)]
            assert [session.id async for session in store.sessions()] == ["s"]
            assert (await store.read("s", last=1)).messages[0]["seq"] == 100
        assert workers() == 0 or time.sleep(0.2) or workers() == 0

    asyncio.run(work())


def test_every_call_has_its_coroutine(root: Path) -> None:
    async def work() -> None:
        store = await sessile.aio.open(root)
        async with store:
            await store.create(id="s")
            await store.append("s", [message("1"), message("2")])
            await store.append_json("s", '[{"role":"user","parts":[]}]', op="j")
            await store.update("s", title="t")
            await store.touch("s")
            await store.sync("s")
            assert await store.update_message("s", 1, add_text={"part": 0, "text": "!"}) == 2
            assert (await store.revert("s", 2)).head == 2
            assert (await store.unrevert("s")).head == 3
            assert (await store.switch("s", 1)).head == 1
            assert len(await store.branches("s")) == 2
            assert (await store.read_json("s", last=1)).messages.startswith("[")
            await store.fork("s", id="f")
            assert (await store.detach("f")).generation == 2
            assert (await store.compact("s")).generation == 2
            assert len((await store.list()).sessions) == 2
            assert (await store.resolve("f")).id == (await store.get("f")).id == "f"
            assert (await store.doctor())["healthy"]
            await store.trash("f")
            await store.restore("f")
            await store.trash("f")
            await store.purge("f")

    asyncio.run(work())


def slowly(store: sessile.aio.AsyncStore) -> tuple[threading.Event, threading.Event]:
    """Holds up the disk until told to go on."""
    disk = store._store._disk
    assert disk
    began, go_on = threading.Event(), threading.Event()
    imports = store._store._component._imports["sessile:store/filesystem@0.1.0"]
    function, real = imports["append"]

    def append(*args: str) -> int:
        began.set()
        assert go_on.wait(10)
        size: int = real(*args)
        return size

    store._store._component.close()
    imports["append"] = (function, append)
    return began, go_on


def test_what_has_begun_runs_to_its_end_and_what_has_not_is_dropped(root: Path) -> None:
    async def work() -> None:
        async with sessile.aio.open(root) as store:
            await store.create(id="s")
            began, go_on = slowly(store)
            first = asyncio.create_task(store.append("s", message("first"), op="1"))
            second = asyncio.create_task(store.append("s", message("second"), op="2"))
            third = asyncio.create_task(store.append("s", message("third"), op="3"))
            await asyncio.to_thread(began.wait, 10)
            first.cancel()
            second.cancel()
            for cancelled in (first, second):
                with pytest.raises(asyncio.CancelledError):
                    await cancelled
            go_on.set()
            assert (await third).seq == 2
            assert await texts(store) == ["first", "third"]
            assert (await store.append("s", message("first"), op="1")).repeated
            assert (await store.doctor())["healthy"]

    asyncio.run(work())


def test_a_timeout_leaves_the_store_usable(root: Path) -> None:
    async def work() -> None:
        async with sessile.aio.open(root) as store:
            await store.create(id="s")
            began, go_on = slowly(store)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(store.append("s", message("late")), 0.05)
            go_on.set()
            assert (await store.get("s")).message_count == 1

    asyncio.run(work())


def test_the_loop_goes_on_while_the_disk_is_slow(root: Path) -> None:
    async def work() -> None:
        async with sessile.aio.open(root) as store:
            await store.create(id="s")
            began, go_on = slowly(store)
            pending = asyncio.create_task(store.append("s", message("x")))
            await asyncio.to_thread(began.wait, 10)
            for _ in range(10):
                await asyncio.sleep(0)
            assert not pending.done()
            go_on.set()
            await pending

    asyncio.run(work())


def test_closing_comes_behind_the_calls_before_it_and_is_final(root: Path) -> None:
    async def work() -> None:
        store = await sessile.aio.open(root)
        await store.create(id="s")
        pending = [asyncio.create_task(store.append("s", message(str(n)))) for n in range(5)]
        await asyncio.sleep(0)
        await store.close()
        await store.close()
        assert [(await task).seq for task in pending] == [1, 2, 3, 4, 5]
        with pytest.raises(sessile.ClosedError):
            await store.get("s")

    asyncio.run(work())


def test_errors_come_as_in_the_other_api(root: Path) -> None:
    async def kind(call: Callable[[], Awaitable[T]]) -> str:
        with pytest.raises(sessile.SessileError) as caught:
            await call()
        return caught.value.kind

    async def work() -> None:
        before = workers()
        assert await kind(lambda: _awaited(sessile.aio.open(""))) == "invalid"
        assert await kind(lambda: _awaited(sessile.aio.open(root, read_only=True))) == "not-found"
        async with sessile.aio.open(root) as store:
            assert await kind(lambda: store.get("nobody")) == "not-found"
            assert await kind(lambda: store.create(titel="x")) == "invalid"  # type: ignore[call-arg]
        assert workers() <= before or time.sleep(0.2) or workers() <= before

    asyncio.run(work())


async def _awaited(opening: "sessile.aio._Opening") -> sessile.aio.AsyncStore:
    return await opening
