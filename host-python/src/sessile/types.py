"""The values that a store takes and gives.

Dataclasses are given out and cannot be changed; everything in them is a copy. Messages are plain dictionaries, which
TypedDicts describe. The keyword arguments of the calls stand in :mod:`sessile.options`. Times are ``datetime`` in UTC; where one is taken, a
zone-aware ``datetime`` or a number of milliseconds since 1970 will do. Lengths are bytes of UTF-8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypedDict, Union

__all__ = [
    "Appended",
    "Branch",
    "DamagedRange",
    "Durability",
    "JsonPage",
    "Message",
    "MessageRef",
    "Page",
    "Part",
    "Rewritten",
    "Role",
    "Session",
    "SessionPage",
    "Status",
    "StoredMessage",
    "Time",
]

Durability = Literal["buffered", "synced"]
"""``buffered`` survives the death of the process, ``synced`` survives power loss."""

Status = Literal["active", "running", "idle", "done", "error", "closed", "interrupted"]
"""What a session is doing, as far as its host has said."""

Role = Literal["user", "assistant", "system", "tool"]
"""Who speaks."""

Time = Union[datetime, int]
"""A zone-aware ``datetime``, or milliseconds since 1970-01-01T00:00:00Z below 2**53."""

MessageRef = Union[int, str]
"""A message of a session: by number, from 1, or by the id that the store or its caller gave it."""


class _PartType(TypedDict):
    type: Literal["text", "thinking", "code", "tool_call", "tool_result", "image", "file", "opaque"]


class Part(_PartType, total=False):
    """A part of a message. Which members go with which ``type`` stands at :meth:`Store.append`."""

    text: str
    language: str
    id: str
    name: str
    arguments: Any
    call_id: str
    content: Any
    is_error: bool
    media_type: str
    data: Any
    url: str
    path: str


class _MessageCore(TypedDict):
    role: Role
    parts: Sequence[Part]


class Message(_MessageCore, total=False):
    """A message. The store keeps any further members too, byte for byte."""

    id: str
    status: Literal["pending", "streaming", "completed", "error"]


class StoredMessage(TypedDict):
    """A message of a session, as the store gives it. Times are milliseconds since 1970, as they stand in the page."""

    seq: int
    """Its number, from 1."""
    id: str
    """The id that the store gave it."""
    parent: int
    """The number of the message before it on its branch; 0 for a first one."""
    created_at: int
    """When it came, in ms."""
    updated_at: int
    """When it last changed, in ms."""
    message: Message
    """The message as it was appended, with its changes applied."""


class _Given:
    """What a store gives out. Written once here, as generating it for each class is half of the time that importing
    this package takes."""

    def __repr__(self) -> str:
        members = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({members})"

    def __eq__(self, other: object) -> bool:
        return vars(self) == vars(other) if type(other) is type(self) else NotImplemented

    # Some hold dicts and lists.
    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True, repr=False, eq=False)
class Session(_Given):
    """A session."""

    id: str
    """The id."""
    scope: str
    """Whom it belongs to."""
    title: str | None
    """The title."""
    title_manual: bool
    """Whether a person chose the title."""
    agent: str | None
    """The agent."""
    provider: str | None
    """The provider of the model."""
    model: str | None
    """The model."""
    status: Status
    """What it is doing."""
    parent: str | None
    """The session that it was forked from or belongs to."""
    fork_point: int | None
    """The message of the parent behind which a fork begins (0: before all). ``None`` where it is no fork."""
    tags: tuple[str, ...]
    """Tags."""
    metadata: dict[str, Any] | None
    """The metadata, a copy."""
    created_at: datetime
    """When it began."""
    updated_at: datetime
    """When anything but ``accessed_at`` last changed."""
    accessed_at: datetime
    """When a host last said that somebody looked at it."""
    active_at: datetime
    """When a message last came."""
    trashed_at: datetime | None
    """When it was moved to the trash. ``None`` where it is not there."""
    message_count: int
    """How many messages are visible."""
    head: int
    """The number of the last visible message; 0 where there is none."""
    can_unrevert: bool
    """Whether ``unrevert`` would show again what a revert has hidden."""
    generation: int
    """The generation of the log."""
    log_bytes: int
    """The size of its log in bytes, without what a fork shares with its parent."""


@dataclass(frozen=True, repr=False, eq=False)
class Appended(_Given):
    """What an append did."""

    seq: int
    """The number of the first message."""
    count: int
    """How many messages."""
    id: str
    """The first message's id, a ULID; the ids of the others count up from it. Empty where ``repeated``."""
    head: int
    """The number of the last message."""
    repeated: bool
    """Whether this operation had been done before."""
    durability: Durability
    """How durable it is."""


@dataclass(frozen=True, repr=False, eq=False)
class DamagedRange(_Given):
    """Bytes of a log that hold no record."""

    session: str
    """The session."""
    start: int
    """The first byte."""
    end: int
    """The byte behind the last."""


@dataclass(frozen=True, repr=False, eq=False)
class JsonPage(_Given):
    """A page of messages as text, ended behind the message that takes it past 8 MiB."""

    messages: str
    """A JSON array of :class:`StoredMessage`. ``message`` is what was appended, byte for byte but for whitespace
    outside strings, with its changes applied."""
    next: str | None
    """Where to go on. ``None`` at the end."""
    unreadable: tuple[int, ...]
    """Numbers of visible messages of this page that cannot be read."""
    damage: tuple[DamagedRange, ...]
    """Damage met on the way."""


@dataclass(frozen=True, repr=False, eq=False)
class Page(_Given):
    """A page of messages, ended behind the message that takes it past 8 MiB."""

    messages: list[StoredMessage]
    """The messages, in order."""
    next: str | None
    """Where to go on. ``None`` at the end."""
    unreadable: tuple[int, ...]
    """Numbers of visible messages of this page that cannot be read."""
    damage: tuple[DamagedRange, ...]
    """Damage met on the way."""


@dataclass(frozen=True, repr=False, eq=False)
class Branch(_Given):
    """The tip of a branch."""

    tip: int
    """The tip's number."""
    id: str
    """The tip's id; empty where it cannot be read."""
    message_count: int
    """How many messages lead to it, itself included."""
    shared: int
    """The last message that it shares with the visible path; 0 for none."""
    created_at: datetime
    """When the tip came."""
    current: bool
    """Whether it is the head."""


@dataclass(frozen=True, repr=False, eq=False)
class SessionPage(_Given):
    """A page of sessions, newest change first."""

    sessions: tuple[Session, ...]
    """The sessions."""
    next: str | None
    """Where to go on. ``None`` at the end."""


@dataclass(frozen=True, repr=False, eq=False)
class Rewritten(_Given):
    """What a rewrite did."""

    generation: int
    """The new generation."""
    bytes_before: int
    """The size of the old log in bytes."""
    bytes_after: int
    """The size of the new log in bytes."""
    old_kept: bool
    """Whether the old log is still there because a fork needs it."""
