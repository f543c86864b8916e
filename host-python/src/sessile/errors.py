"""The errors of a store, one class for each thing that a caller does next.

The kind is for the program, the message for the person: messages say what is wrong, with what, and the way out;
they hold no content, and they are not part of the API.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "ClosedError",
    "ConflictError",
    "DamagedError",
    "InternalError",
    "InvalidError",
    "NotFoundError",
    "SessileError",
    "UnavailableError",
    "UnsupportedError",
]


class SessileError(Exception):
    """The base of all errors of this package. ``kind`` is the contract's word for what the caller does next."""

    kind: ClassVar[str] = "internal"


class NotFoundError(SessileError, LookupError):
    """There is no such session, message or store. Check the id."""

    kind = "not-found"


class ConflictError(SessileError):
    """Somebody else was first, or the session is in another state. Read again and decide."""

    kind = "conflict"


class InvalidError(SessileError, ValueError):
    """The input breaks a documented rule or limit. Nothing was written; correct it."""

    kind = "invalid"


class UnsupportedError(SessileError):
    """The store has a newer format. Upgrade; nothing was changed."""

    kind = "unsupported"


class DamagedError(SessileError):
    """Stored bytes that this call needs cannot be read. Everything around them stays readable."""

    kind = "damaged"


class UnavailableError(SessileError):
    """The disk or the host failed. Nothing acknowledged is harmed; retry later with the same ``op``."""

    kind = "unavailable"


class ClosedError(SessileError):
    """The store was closed, or a sync failed earlier. Open it again."""

    kind = "closed"


class InternalError(SessileError):
    """A fault in Sessile. Nothing acknowledged is lost; please report it."""

    kind = "internal"


BY_KIND: dict[str, type[SessileError]] = {
    error.kind: error
    for error in (
        NotFoundError,
        ConflictError,
        InvalidError,
        UnsupportedError,
        DamagedError,
        UnavailableError,
        ClosedError,
        InternalError,
    )
}
