"""Sessile: an embeddable, crash-safe session store for AI agents.

A store is a directory. Sessions in it hold messages; any number of processes, in Rust, Node and Python, work on it at
once. What was acknowledged is never lost, forks share their parent's bytes, and a revert can be undone.

:func:`open` is for synchronous use, :mod:`sessile.aio` for asyncio. The library prints nothing, installs no signal
handlers and no exit handlers, and starts no thread but the one of each store that `sessile.aio` opens.
"""

from .errors import (
    ClosedError,
    ConflictError,
    DamagedError,
    InternalError,
    InvalidError,
    NotFoundError,
    SessileError,
    UnavailableError,
    UnsupportedError,
)
from .store import Store, open
from .types import (
    Appended,
    Branch,
    DamagedRange,
    Durability,
    JsonPage,
    Message,
    MessageRef,
    Page,
    Part,
    Rewritten,
    Role,
    Session,
    SessionPage,
    Status,
    StoredMessage,
    Time,
)

__all__ = [
    "Appended",
    "Branch",
    "ClosedError",
    "ConflictError",
    "DamagedError",
    "DamagedRange",
    "Durability",
    "InternalError",
    "InvalidError",
    "JsonPage",
    "Message",
    "MessageRef",
    "NotFoundError",
    "Page",
    "Part",
    "Rewritten",
    "Role",
    "SessileError",
    "Session",
    "SessionPage",
    "Status",
    "Store",
    "StoredMessage",
    "Time",
    "UnavailableError",
    "UnsupportedError",
    "open",
]

__version__ = "0.1.0"
