"""What the operations beside sessions and messages take and give, for type checkers.

Nothing of this package imports it when it runs, because making these classes takes time. What may be left out may be
`None`, which says the same. Answers are plain dicts; times in them are `datetime` in UTC.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypedDict

from .types import Durability

if sys.version_info >= (3, 11):
    from typing import Required
elif TYPE_CHECKING:
    from typing_extensions import Required

__all__ = [
    "AddCounters",
    "Counters",
    "GetCounters",
    "ResetCounters",
]


class AddCounters(TypedDict, total=False):
    """What to add to counters."""

    session: str | None
    """The session. Absent: the store."""
    add: Required[Mapping[str, float]]
    """Finite numbers by the names of counters, each of 1 to 256 bytes."""
    op: str | None
    """The caller's name for this addition: given again it adds nothing."""
    durability: Durability | None
    """How durable it is on return. The default is ``synced``."""


class GetCounters(TypedDict, total=False):
    """Whose counters."""

    session: str | None
    """The session. Absent: the store."""


class ResetCounters(TypedDict, total=False):
    """Which counters to make absent."""

    session: str | None
    """The session. Absent: the store."""
    names: Sequence[str] | None
    """Their names. Absent: all."""


class Counters(TypedDict):
    """The counters as they are now."""

    counters: dict[str, float]
    """The totals by name: ``int`` or ``float``, as they stand in the store."""
