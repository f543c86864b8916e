"""What a call costs over the file operation that it contains: `python bench/bench.py [DIRECTORY]`.

Medians of alternating runs, in the directory (default: the system's temporary one; give one on the disk that is to be
measured).
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import sessile
import sessile.aio

SIZE = 2048


def message(number: int) -> sessile.Message:
    return {"role": "user", "parts": [{"type": "text", "text": f"{number} ".ljust(SIZE - 60, "x")}]}


def alternating(rounds: int, acts: Sequence[Callable[[int], object]]) -> list[float]:
    """Runs all in turn, so that they meet the same machine. Returns the median time of each, in seconds."""
    times: list[list[float]] = [[] for _ in acts]
    for number in range(rounds):
        for act, taken in zip(acts, times):
            begin = time.perf_counter()
            act(number)
            taken.append(time.perf_counter() - begin)
    return [statistics.median(taken) for taken in times]


def line(what: str, value: str) -> None:
    print(f"{what:<62} {value}", flush=True)


def us(seconds: float) -> str:
    return f"{seconds * 1e6:.1f} us"


def appends(place: Path) -> None:
    raw = os.open(place / "raw", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    # As much as the store's own record, which is some bytes longer than the message.
    record = b"x" * (len(json.dumps(message(1))) + 110)

    def raw_synced(_: int) -> None:
        os.write(raw, record)
        os.fdatasync(raw)

    with sessile.open(place / "store") as store:
        store.create(id="s")

        def buffered(number: int) -> None:
            store.append("s", message(number), durability="buffered")

        acts: list[Callable[[int], object]] = [lambda _: os.write(raw, record), buffered]
        alternating(1000, acts)
        write, append = alternating(5000, acts)
        line(f"buffered append of {SIZE} bytes", f"{us(append)}; over the raw write of {us(write)}: {us(append - write)}")
        ten = [message(number) for number in range(10)]
        [batch] = alternating(500, [lambda _: store.append("s", ten, durability="buffered")])
        line("the same, ten at once, each", us(batch / 10))
        synced, append = alternating(1000, [raw_synced, lambda number: store.append("s", message(number))])
        line("raw write + fdatasync", us(synced))
        line("durable append", f"{us(append)}: {append / synced:.2f} times")
    os.close(raw)


async def appends_aio(place: Path) -> None:
    async with sessile.aio.open(place / "store") as store:
        await store.create(id="aio")
        taken = []
        for number in range(2000):
            begin = time.perf_counter()
            await store.append("aio", message(number), durability="buffered")
            taken.append(time.perf_counter() - begin)
        line("buffered append, sessile.aio, one after the other", us(statistics.median(taken)))


def reads(place: Path) -> None:
    with sessile.open(place / "store") as store:
        store.create(id="read")
        for number in range(5000):
            store.append("read", message(number), durability="buffered")

        def read(_: int) -> None:
            if len(list(store.messages("read", limit=5000))) != 5000:
                raise AssertionError("messages are missing")

        everything, tail = alternating(15, [read, lambda _: store.read("read", last=50)])
        line(f"read 5,000 messages of {SIZE} bytes", f"{everything * 1e3:.1f} ms")
        line("read the last 50 of 5,000", us(tail))


def starts(place: Path) -> None:
    path = place / "small"
    with sessile.open(path) as store:
        store.create(id="s")
        for number in range(100):
            store.append("s", message(number), durability="buffered")
    # The parts of the standard library and of wasmtime that the package imports are not its own.
    runtime = "import wasmtime, wasmtime.component"
    use = f"import sessile; sessile.open({str(path)!r}).get('s')"

    # An installed package has its bytecode beside it, whatever this environment says about writing it.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

    def run(code: str) -> Callable[[int], object]:
        return lambda _: subprocess.run([sys.executable, "-c", code], check=True, env=environment)

    run(use)(0)

    nothing, imported, opened = alternating(21, [run(""), run(runtime), run(use)])
    line("start of python alone", f"{nothing * 1e3:.1f} ms")
    line("import of wasmtime, over it", f"{(imported - nothing) * 1e3:.1f} ms")
    line("open and get in a fresh process, over that", f"{(opened - imported) * 1e3:.1f} ms")


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="sessile-bench-", dir=(sys.argv + [None])[1]) as directory:
        place = Path(directory)
        appends(place)
        asyncio.run(appends_aio(place))
        reads(place)
        starts(place)


main()
