"""The values that a store takes and gives.

Dataclasses are given out and cannot be changed; everything in them is a copy. TypedDicts describe plain
dictionaries: messages, and the keyword arguments of the calls. Times are ``datetime`` in UTC; where one is taken, a
zone-aware ``datetime`` or a number of milliseconds since 1970 will do. Lengths are bytes of UTF-8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypedDict, Union

__all__ = [
    "AddedText",
    "Appended",
    "Branch",
    "CreateOptions",
    "DamagedRange",
    "Durability",
    "ForkOptions",
    "JsonPage",
    "ListOptions",
    "Message",
    "MessageOptions",
    "MessageRef",
    "Page",
    "Part",
    "ReadOptions",
    "Rewritten",
    "Role",
    "Session",
    "SessionPage",
    "Status",
    "StoredMessage",
    "Time",
    "UpdateOptions",
    "WriteOptions",
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


class AddedText(TypedDict, total=False):
    """Text to add to a part of a message. ``part`` and ``text`` must be there."""

    part: int
    """The part, from 0. The one right behind the last begins a new part of type ``text``."""
    text: str
    """The text."""
    at: int | None
    """The length in bytes of the part's text before: otherwise ``conflict``. Makes a retry harmless."""


class WriteOptions(TypedDict, total=False):
    """How something is written."""

    durability: Durability
    """How far it must have come on return. The default is ``synced``."""
    expect_head: int | None
    """The head that the session must have (0: no message): otherwise ``conflict``."""
    op: str | None
    """The caller's name for this operation, 1 to 256 bytes. Given again in this session, at whatever time, it
    changes nothing and returns what the first time returned."""
    at: Time | None
    """When it happened, for what comes from elsewhere. Absent: now."""


class CreateOptions(TypedDict, total=False):
    """What a session is made with."""

    id: str | None
    """The caller's id: 1 to 256 bytes of any form without control characters. Absent: a fresh ULID."""
    scope: str
    """Whom it belongs to: at most 4,096 bytes, may be empty."""
    title: str | None
    """At most 1,024 bytes."""
    title_manual: bool
    """Whether a person chose the title."""
    agent: str | None
    """At most 256 bytes."""
    provider: str | None
    """At most 256 bytes."""
    model: str | None
    """At most 256 bytes."""
    status: Status
    """What it is doing. The default is ``active``."""
    parent: str | None
    """The session it belongs to. It need not exist."""
    tags: Sequence[str]
    """At most 64 tags of at most 128 bytes."""
    metadata: Mapping[str, Any] | str | None
    """An object, or the text of a JSON object, of at most 64 KiB."""
    created_at: Time | None
    """When it began, for sessions that come from elsewhere. Absent: now."""


class UpdateOptions(WriteOptions, total=False):
    """Facts of a session to change. What is absent stays; ``None`` clears."""

    scope: str
    title: str | None
    title_manual: bool
    agent: str | None
    provider: str | None
    model: str | None
    status: Status
    tags: Sequence[str]
    """Replaces all tags."""
    metadata: Mapping[str, Any] | str | None
    """A merge patch (RFC 7396) of the metadata."""


class MessageOptions(WriteOptions, total=False):
    """A change of a message: exactly one of ``patch``, ``add_parts`` and ``add_text``."""

    patch: Mapping[str, Any] | str
    """A merge patch (RFC 7396). ``id`` and ``role`` cannot be changed."""
    add_parts: Sequence[Part] | str
    """Parts to add at the end."""
    add_text: AddedText
    """Text to add at the end of a part's text. It has its own ``at`` and takes no ``op`` and no ``expect_head``."""


class ReadOptions(TypedDict, total=False):
    """Which messages to read: exactly one of ``last``, ``from_seq`` and ``cursor``."""

    last: int
    """The last ones: 1 to 10,000. Costs the same whatever lies before them."""
    from_seq: int
    """From a number on."""
    cursor: str
    """From where an earlier page ended: its ``next``."""
    limit: int
    """At most so many, with ``from_seq`` and ``cursor``: 1 to 10,000. The default is 100."""


class ForkOptions(TypedDict, total=False):
    """How a fork is made."""

    at: MessageRef | None
    """The last message that it begins with. Absent: the head."""
    id: str | None
    """The new session's id. Absent: a fresh ULID."""
    title: str | None
    """Its title. Absent: the parent's with " (fork)" behind it."""


class ListOptions(TypedDict, total=False):
    """Which sessions to list."""

    scope: str | None
    """Only those of this scope, compared byte for byte."""
    trashed: bool
    """Those in the trash instead of the others."""
    cursor: str | None
    """What an earlier page returned as ``next``."""
    limit: int
    """At most so many: 1 to 10,000. The default is 100."""


@dataclass(frozen=True)
class Session:
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


@dataclass(frozen=True)
class Appended:
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


@dataclass(frozen=True)
class DamagedRange:
    """Bytes of a log that hold no record."""

    session: str
    """The session."""
    start: int
    """The first byte."""
    end: int
    """The byte behind the last."""


@dataclass(frozen=True)
class JsonPage:
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


@dataclass(frozen=True)
class Page:
    """A page of messages, ended behind the message that takes it past 8 MiB."""

    messages: list[StoredMessage]
    """The messages, in order."""
    next: str | None
    """Where to go on. ``None`` at the end."""
    unreadable: tuple[int, ...]
    """Numbers of visible messages of this page that cannot be read."""
    damage: tuple[DamagedRange, ...]
    """Damage met on the way."""


@dataclass(frozen=True)
class Branch:
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


@dataclass(frozen=True)
class SessionPage:
    """A page of sessions, newest change first."""

    sessions: tuple[Session, ...]
    """The sessions."""
    next: str | None
    """Where to go on. ``None`` at the end."""


@dataclass(frozen=True)
class Rewritten:
    """What a rewrite did."""

    generation: int
    """The new generation."""
    bytes_before: int
    """The size of the old log in bytes."""
    bytes_after: int
    """The size of the new log in bytes."""
    old_kept: bool
    """Whether the old log is still there because a fork needs it."""
