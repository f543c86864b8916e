"""The keyword arguments of the calls, for type checkers: `**options: Unpack[WriteOptions]`.

Nothing of this package imports it when it runs, because making these classes takes time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

from .types import Durability, MessageRef, Part, Status, Time

__all__ = [
    "AddedText",
    "CreateOptions",
    "ForkOptions",
    "ListOptions",
    "MessageOptions",
    "ReadOptions",
    "Unreadable",
    "UpdateOptions",
    "WriteOptions",
]


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


Unreadable = Literal["fail", "skip"]
"""What becomes of messages that cannot be read: they raise `DamagedError`, or are left out."""


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
