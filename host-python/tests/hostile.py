"""Carries out a table of the hostile corpus (see `tests/corpus/README.md`): what tries to break a store, and the
verdict on it: `ok` or the kind of an error.

`hostile.py TABLES OUT PART`: the table PART of the directory TABLES, on stores below OUT. Prints every outcome that is
not the table's, and a line of counts.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from calls import call

import sessile

BUFFERED = {"durability": "buffered"}


def fill(value: Any) -> Any:
    """Puts what JSON cannot say, or only at length, where a case names it."""
    if isinstance(value, list):
        return [fill(item) for item in value]
    if not isinstance(value, dict):
        return value
    kind = value.get("$")
    if kind is None:
        return {name: fill(item) for name, item in value.items()}
    if kind == "long":
        return value["text"] * value["count"]
    if kind == "list":
        return [value["item"]] * value["count"]
    if kind == "concat":
        return "".join(fill(text) for text in value["texts"])
    found = re.fullmatch(r"2\^(\d+)([+-]\d+)?", kind)
    assert found, f"the table has an unknown value {kind}"
    return (1 << int(found[1])) + int(found[2] or 0)


def without_space(text: str) -> str:
    """JSON without the white space outside of its strings: what a store gives back."""
    return re.sub(r'("(?:[^"\\]|\\.)*")|[ \t\n\r]+', lambda found: found[1] or "", text)


class Table:
    """A table, and what came of it."""

    def __init__(self, tables: Path, out: Path, part: str) -> None:
        self.cases: Any = json.loads((tables / f"{part}.json").read_text())
        self.out = out
        self.count = self.skipped = 0
        self.failures: list[str] = []
        self.longest = 0.0

    def expect(self, what: str, expected: str, act: Callable[[], Any]) -> Any:
        """Returns the answer, if there is one."""
        got, answer = self.verdict(act)
        self.require(got.split(":")[0] == expected, f"{what}: expected {expected}, got {got}")
        return answer

    def require(self, holds: bool, what: str) -> None:
        """Notes `what` where something does not hold."""
        if not holds:
            # A failure is one line.
            self.failures.append(ascii(what))

    def verdict(self, act: Callable[[], Any]) -> tuple[str, Any]:
        """What a call comes to."""
        begun = time.monotonic()
        try:
            return "ok", act()
        except sessile.SessileError as error:
            return f"{error.kind}: {error}", None
        except Exception as error:
            # Whatever is not the store's own is a fault, of a kind that no table has.
            return f"{type(error).__name__}: {error}", None
        finally:
            self.longest = max(self.longest, time.monotonic() - begun)


def json_texts(table: Table) -> None:
    """Every text as content, as all of the messages, and as metadata."""
    with sessile.open(table.out / "store") as store:
        store.create(id="s")
        for case in table.cases:
            table.count += 1
            raw = base64.b64decode(case["bytes"]) if "bytes" in case else fill(case["text"]).encode()
            # A byte that is not UTF-8 becomes half of a surrogate pair, as Python reads names of files.
            json_text(table, store, case["name"], case["verdict"], raw.decode(errors="surrogateescape"))


def json_text(table: Table, store: sessile.Store, name: str, expected: str, text: str) -> None:
    content = f'[{{"role":"user","parts":[{{"type":"opaque","data":{text}}}]}}]'
    if table.expect(f"{name} as content", expected, lambda: store.append_json("s", content, durability="buffered")):
        page = store.read_json("s", last=1).messages
        kept = f'"data":{without_space(text)}}}]' in page
        table.require(kept, f"{name}: the content comes back as something else")
        table.expect(f"{name}, read as values", "ok", lambda: store.read("s", last=1))
    table.expect(f"{name} as the messages", "invalid", lambda: store.append_json("s", text, durability="buffered"))
    metadata: Any = f'{{"x":{text}}}'
    made = table.expect(f"{name} as metadata", expected, lambda: store.create(id=name, metadata=metadata))
    if made is not None and not re.search(r"\d", text):
        table.require(made.metadata == json.loads(metadata), f"{name}: other metadata")


def strings(table: Table) -> None:
    """Every string as what a person or a program may give."""
    with sessile.open(table.out / "store") as store:
        store.create(id="strings")
        for case in table.cases:
            table.count += 1
            string(table, store, case)
        texts = [case["text"] for case in table.cases]
        messages: Any = [{"role": "user", "parts": [{"type": "text", "text": text}]} for text in texts]
        table.expect("all of them as content", "ok", lambda: store.append("strings", messages))
        back: Any = [stored["message"] for stored in store.messages("strings")]
        table.require(back == messages, "the content comes back as something else")
        names(table, store, texts)


def string(table: Table, store: sessile.Store, case: dict[str, str]) -> None:
    text = case["text"]
    places: dict[str, Any] = {"title": text, "scope": text, "tags": [text]}
    for place, value in places.items():
        given: Any = {place: value, **BUFFERED}
        expected, what = case.get(place.rstrip("s"), "ok"), f"{text!r} as {place}"
        session = table.expect(what, expected, lambda given=given: store.update("strings", **given))
        if session is not None:
            back = getattr(session, place)
            table.require((list(back) if place == "tags" else back) == value, f"{what} comes back as {back!r}")
    session = table.expect(f"{text!r} as id", case.get("id", "ok"), lambda: store.create(id=text))
    table.require(session is None or session.id == text, f"{text!r}: another id comes back")


def names(table: Table, store: sessile.Store, texts: list[str]) -> None:
    """As names of attachments: what is unsafe comes back with the data."""
    content = {"attachments": [
        {"name": text, "data": base64.b64encode(f"file {number}".encode()).decode()} for number, text in enumerate(texts)
    ]}  # fmt: skip
    stored = table.expect("all of them as names of attachments", "ok",
        lambda: store.store_attachments(session="strings", content=content))  # fmt: skip
    back = table.expect("all attachments back", "ok", lambda: store.restore_attachments(content=stored["content"]))
    table.require(back is not None and back["content"] == content, "the attachments come back as something else")


def ids(table: Table) -> None:
    """Every id as that of a session, which takes a message and a state."""
    with sessile.open(table.out / "store") as store:
        for case in table.cases:
            table.count += 1
            id = fill(case["id"])
            what = repr(id[:40])
            session = table.expect(what, case["verdict"], lambda id=id: store.create(id=id))
            if session is None:
                continue
            table.require(session.id == id, f"{what} comes back as {session.id!r}")
            message: sessile.Message = {"role": "user", "parts": [{"type": "text", "text": id}]}
            table.expect(what, "ok", lambda id=id, message=message: store.append(id, message, durability="buffered"))
            table.expect(
                what, "ok", lambda id=id: store.set_state(session=id, key="k", value=id, durability="buffered")
            )


def limits(table: Table) -> None:
    """Every limit around its edge, and large numbers, each on a store of its own."""
    message: sessile.Message = {"role": "user", "parts": [{"type": "text", "text": "one"}]}
    for number, case in enumerate(table.cases):
        table.count += 1
        root, name = table.out / str(number), case["name"]
        with sessile.open(root) as store:
            store.create(id="s")
            store.append("s", message)
            args = fill(case["args"])
            # The answers of reading are not parsed here: what they hold is more than this parser takes.
            reads = case["call"] == "read"
            given = lambda value: value  # noqa: E731
            act = (lambda store=store, args=args: read(store, args)) if reads else (
                lambda store=store, case=case, args=args: call(store, case["call"], args, text=given)
            )  # fmt: skip
            table.expect(name, case["verdict"], act)
            if "back" in case:
                page = store.read_json("s", last=1).messages
                table.require(fill(case["back"]) in page, f"{name}: it comes back as something else")
            first = store.read_json("s", from_seq=1, limit=1).messages
            table.require('"text":"one"' in first, f"{name}: the first message is gone")
        shutil.rmtree(root)


def read(store: Any, args: dict[str, Any]) -> Any:
    ((kind, inner),) = args["select"].items()
    select = inner if isinstance(inner, dict) else {kind: inner}
    return store.read_json(args["id"], **{"from_seq" if key == "seq" else key: select[key] for key in select})


def files(table: Table) -> None:
    """Stores with something foreign in place of a file: opened for reading alone, then for writing."""
    calls = table.cases["calls"]
    for number, case in enumerate(table.cases["cases"]):
        root = table.out / str(number) / "store"
        if not root.exists():
            table.skipped += 1
            continue
        table.count += 1
        for mode in ("read", "write"):
            got = probe(table, calls[mode], mode, root)
            what = f"{case['thing']} in place of {case['file']}, to {mode}"
            table.require(got == case[mode], f"{what}: {json.dumps(got)} for {json.dumps(case[mode])}")


def probe(table: Table, calls: list[dict[str, Any]], mode: str, root: Path) -> dict[str, str]:
    """Opens a store and makes the calls of a mode. Returns their verdicts by name."""
    got, store = table.verdict(lambda: sessile.open(root, read_only=mode == "read"))
    verdicts = {"open": got.split(":")[0]}
    if store is None:
        return verdicts
    with store:
        for step in calls:
            got, _ = table.verdict(lambda step=step: call(store, step["call"], step["args"]))
            verdicts[step["name"]] = got.split(":")[0]
    return verdicts


PARTS: dict[str, Callable[[Table], None]] = {
    "json": json_texts,
    "strings": strings,
    "ids": ids,
    "limits": limits,
    "files": files,
}


def main(tables: Path, out: Path, part: str) -> int:
    """Carries out a table. Returns the exit code."""
    table = Table(tables, out, part)
    PARTS[part](table)
    for failure in table.failures:
        print(failure)
    counts = f"{table.count} cases, {table.skipped} skipped, {len(table.failures)} failed"
    print(f"{part}: {counts}, longest {table.longest * 1000:.0f} ms")
    return 1 if table.failures or not table.count else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]))
