"""What the adapters have in common: names, content as parts, and following a session that others write to."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any, Generic, Literal, Protocol, TypeVar
from urllib.parse import quote

from ..errors import ConflictError, NotFoundError
from ..store import Store, readable
from ..types import Message, Part, Role, Session, StoredMessage

T = TypeVar("T")

ID_BYTES_MAX = 256
FOLDED_MAX = 64
BATCH_MESSAGES_MAX = 5_000
BATCH_BYTES_MAX = 16 << 20
ATTEMPTS_MAX = 200


def name_of(kind: str, *names: str) -> str:
    """A session id or scope for names of a framework, whatever is in them: different names, different ids."""
    readable = ":".join([kind, *(quote(name, safe="", errors="surrogatepass") for name in names)])
    if len(readable) <= ID_BYTES_MAX:
        return readable
    # `quote` leaves no `#`, so that no readable one can be this one.
    return f"{kind}:#{sha256(readable.encode()).hexdigest()}"


def find(store: Store, id: str) -> Session | None:
    """The session, unless there is none or it is in the trash."""
    try:
        session = store.get(id)
    except NotFoundError:
        return None
    return session if session.trashed_at is None else None


def ensure(store: Store, id: str, **facts: Any) -> Session:
    """The session, made with these facts where there is none. Any number of processes may ask at once. Errors:
    `ConflictError` (it was removed, and forks that are left need its log)."""
    try:
        return store.get(id)
    except NotFoundError:
        pass
    try:
        return store.create(id=id, **facts)
    except ConflictError:
        pass
    try:
        return store.get(id)
    except NotFoundError:
        raise ConflictError(
            f'session "{id}" was removed, and a fork needs its log still; detach or remove the fork, or use another name'
        ) from None


def remove(store: Store, id: str) -> None:
    """Removes a session for good. Does nothing where there is none."""
    try:
        store.trash(id)
        store.purge(id)
    except NotFoundError:
        pass


def settled(store: Store, id: str, attempt: Callable[[], T]) -> T:
    """Makes an attempt again as long as somebody else was first. Errors: `ConflictError` (the session is in the
    trash, or others were first too often)."""
    for tries in range(ATTEMPTS_MAX):
        try:
            return attempt()
        except ConflictError:
            if find(store, id) is None:
                raise
            time.sleep(random.random() * 0.001 * min(tries, 20))
    return attempt()


def last(store: Store, id: str, count: int) -> list[StoredMessage]:
    """The last messages. Errors: `DamagedError` (one of them cannot be read)."""
    page = readable(id, store.read(id, last=count), "fail")
    messages = list(page.messages)
    while page.next is not None:
        page = readable(id, store.read(id, cursor=page.next), "fail")
        messages += page.messages
    return messages


def milliseconds(moment: datetime) -> int:
    """Milliseconds since 1970."""
    return round(moment.timestamp() * 1000)


def batches(messages: Sequence[Message]) -> Iterator[list[Message]]:
    """The messages in as few batches as one append takes."""
    batch: list[Message] = []
    room = BATCH_BYTES_MAX
    for message in messages:
        size = len(json.dumps(message))
        if batch and (size > room or len(batch) == BATCH_MESSAGES_MAX):
            yield batch
            batch, room = [], BATCH_BYTES_MAX
        batch.append(message)
        room -= size
    if batch:
        yield batch


async def aside(call: Callable[[], T]) -> T:
    """Makes a call in a thread, so that a sync never holds up the event loop."""
    return await asyncio.to_thread(call)


class Packed(Message, total=False):
    """A message of a framework. Its texts are parts, so that everything that shows or searches sessions sees them;
    the rest of it is kept beside them."""

    record: dict[str, Any]
    """What the framework gave, without the content that became parts."""
    content: Literal["text", "list"]
    """What the parts were. Absent: there was no content that could become parts, and it stands in ``record``."""


def pack(role: Role, record: dict[str, Any], path: Sequence[str] = ("content",)) -> Packed:
    """A message of a framework, whose content stands at this path, as one of ours."""
    content: Any = record
    for member in path:
        content = content.get(member) if isinstance(content, dict) else None
    if isinstance(content, str):
        parts: list[Part] = [{"type": "text", "text": content}]
        return {"role": role, "parts": parts, "record": _without(record, path), "content": "text"}
    if isinstance(content, list):
        parts = [_part(element) for element in content]
        return {"role": role, "parts": parts, "record": _without(record, path), "content": "list"}
    return {"role": role, "parts": [], "record": record}


def unpack(message: Any, path: Sequence[str] = ("content",)) -> dict[str, Any]:
    """What was packed."""
    record: dict[str, Any] = message["record"]
    if "content" in message:
        holder = record
        for member in path[:-1]:
            holder = holder[member]
        parts = message["parts"]
        holder[path[-1]] = parts[0]["text"] if message["content"] == "text" else [_element(part) for part in parts]
    return record


def _without(record: dict[str, Any], path: Sequence[str]) -> dict[str, Any]:
    first, rest = path[0], path[1:]
    if not rest:
        return {name: value for name, value in record.items() if name != first}
    return {**record, first: _without(record[first], rest)}


def _part(element: Any) -> Any:
    if not isinstance(element, dict) or not isinstance(element.get("text"), str):
        return {"type": "opaque", "data": element}
    part: dict[str, Any] = {"type": "text", "text": element["text"]}
    fields = {name: value for name, value in element.items() if name != "text"}
    return {**part, "fields": fields} if fields else part


def _element(part: Any) -> Any:
    return part["data"] if part["type"] == "opaque" else {**part.get("fields", {}), "text": part["text"]}


class Fold(Protocol):
    """What a session's messages come to."""

    def take(self, stored: StoredMessage) -> None:
        """Takes the next message."""


F = TypeVar("F", bound=Fold)


class _Followed(Generic[F]):
    def __init__(self, created_at: datetime, fold: F) -> None:
        self.created_at, self.fold, self.head = created_at, fold, 0


class Follower(Generic[F]):
    """Folds of sessions, each read once and from then on as far as others have written to it. A cache of files: losing
    it loses nothing. For one thread at a time."""

    def __init__(self, store: Store, make: Callable[[], F], known_max: int = FOLDED_MAX) -> None:
        self._store, self._make, self._known_max = store, make, known_max
        self._known: OrderedDict[str, _Followed[F]] = OrderedDict()

    def at(self, id: str) -> tuple[int, F]:
        """The head of a session and what its messages up to there come to. Errors: `NotFoundError`, `DamagedError`."""
        session = self._store.get(id)
        known = self._known.pop(id, None)
        if known is None or known.created_at != session.created_at or not self._follow(id, known, session.head):
            # Not known yet, or not what it was: reverted, or removed and made again.
            known = _Followed(session.created_at, self._make())
            self._follow(id, known, 0)
        self._known[id] = known
        if len(self._known) > self._known_max:
            self._known.popitem(last=False)
        return known.head, known.fold

    def forget(self, id: str) -> None:
        """Drops what is known of a session."""
        self._known.pop(id, None)

    def _follow(self, id: str, known: _Followed[F], head: int) -> bool:
        """Takes what came since. Whether what came goes on from what is known, and is no other branch."""
        if known.head == head != 0:
            return True
        before = known.head
        for stored in self._store.messages(id, from_seq=known.head + 1):
            if stored["parent"] != known.head and known.head != 0:
                return False
            known.fold.take(stored)
            known.head = stored["seq"]
        return known.head != before or head == known.head
