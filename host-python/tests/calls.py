"""What the corpus says, in this language: its clock and entropy, its calls and answers, its damage."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import sessile
from sessile._shapes import FUNCTIONS
from sessile.store import Store

EPOCH, MILLISECOND, WORD = datetime(1970, 1, 1, tzinfo=timezone.utc), timedelta(milliseconds=1), (1 << 64) - 1


class Clock:
    """Goes on by 1 ms at each look."""

    now = 1_700_000_000_000

    def __call__(self) -> int:
        self.now += 1
        return self.now


def entropy(process: int) -> Callable[[], tuple[int, int]]:
    """SplitMix64, two numbers for each 128 bits."""
    state = process * 0x5851F42D4C957F2D & WORD

    def draw() -> int:
        nonlocal state
        state = state + 0x9E3779B97F4A7C15 & WORD
        mixed = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & WORD
        mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & WORD
        return mixed ^ mixed >> 31

    return lambda: (draw(), draw())


def plain(value: Any) -> Any:
    """An answer as the corpus writes it."""
    if isinstance(value, datetime):
        return (value - EPOCH) // MILLISECOND
    if isinstance(value, sessile.JsonPage):
        page = {**vars(value), "text": value.messages, "messages": json.loads(value.messages)}
        return {**page, "unreadable": [*value.unreadable], "damage": [
            {"session": range.session, "from": range.start, "to": range.end} for range in value.damage
        ]}  # fmt: skip
    if isinstance(value, sessile.Session):
        # The corpus has metadata as text, as the contract has.
        metadata = value.metadata and json.dumps(value.metadata, ensure_ascii=False, separators=(",", ":"))
        return {**{name: plain(item) for name, item in vars(value).items()}, "metadata": metadata}
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    return {name: plain(item) for name, item in vars(value).items()} if hasattr(value, "__dataclass_fields__") else value


def ref(value: Any) -> Any:
    """A message, which the corpus may write as a number, a text, or an object that says which."""
    return next(iter(value.values())) if isinstance(value, dict) else value


def text(value: Any) -> Any:
    """A JSON value as the runners of all languages pass it on: compact, members sorted, so that the bytes agree."""
    return value if isinstance(value, str) else json.dumps(
        value, ensure_ascii=False, sort_keys=True, separators=(",", ":")
    )  # fmt: skip


def texts(given: dict[str, Any], *names: str) -> dict[str, Any]:
    """The members that are JSON values as text."""
    return {name: text(item) if name in names and item is not None else item for name, item in given.items()}


def call(store: Store, name: str, args: dict[str, Any], text: Callable[[Any], Any] = text) -> Any:
    """Makes one call, named and with arguments as the corpus writes them."""
    # Untyped: some of the arguments are wrong on purpose.
    api: Any = store
    id, options = args.get("id"), args.get("options") or {}
    if name == "read":
        # A number and its limit stand in an object here, a cursor and its limit too.
        ((kind, inner),) = args["select"].items()
        select = inner if isinstance(inner, dict) else {kind: inner}
        return plain(api.read_json(id, **{"from_seq" if key == "seq" else key: select[key] for key in select}))
    if name == "close":
        # The contract's: this one can be used on.
        return store._call("close")
    if name != "list" and name.replace("_", "-") not in FUNCTIONS:
        # An operation: its request as it crosses, or as a caller gives it.
        request = text(args)
        is_text = isinstance(request, str)
        return json.loads(store._call("operate", name, request)) if is_text else api._operate(name, request)
    calls: dict[str, Callable[[], Any]] = {
        "create": lambda: api.create(**texts(args["new"], "metadata")),
        "update": lambda: api.update(id, **texts(args["patch"], "metadata"), **options),
        "append": lambda: (api.append_json if isinstance(text(args["messages"]), str) else api.append)(
            id, text(args["messages"]), **options
        ),
        "update_message": lambda: api.update_message(
            id, ref(args["message"]), **texts(args["change"], "patch", "add_parts"), **options
        ),
        "fork": lambda: api.fork(id, **{**options, **({"at": ref(options["at"])} if "at" in options else {})}),
        "revert": lambda: api.revert(id, ref(args["to"]), inclusive=args.get("inclusive", False), **options),
        "switch": lambda: api.switch(id, ref(args["to"]), **options),
        "list": lambda: api.list(**args.get("query") or {}),
        "resolve": lambda: api.resolve(args["text"], args.get("scope")),
        "doctor": lambda: api.doctor(args.get("repair", False)),
    }
    return plain(calls[name]() if name in calls else getattr(api, name)(id, **options))


def damage(file: Path, args: dict[str, Any]) -> None:
    """Does to a file what crashes, disks and people do."""
    old, at, count = file.read_bytes(), args.get("at"), args.get("bytes", 1)
    at = len(old) if at is None else old.index(at.encode()) if isinstance(at, str) else at
    head, cut, tail = old[:at], old[at : at + count], old[at + count :]
    acts: dict[str, Callable[[], bytes]] = {
        "cut": lambda: head,
        "cut_end": lambda: old[: max(0, len(old) - count)],
        "insert": lambda: head + args["text"].encode() + old[at:],
        "insert_bytes": lambda: head + bytes([args.get("byte", 0)]) * count + old[at:],
        "zero": lambda: head + bytes(len(cut)) + tail,
        "flip": lambda: head + bytes([old[at] ^ 1]) + old[at + 1 :],
        "remove": lambda: head + tail,
        "crlf": lambda: old.replace(b"\n", b"\r\n"),
        "twice": lambda: old + cut,
    }
    file.write_bytes(acts[args["do"]]())
