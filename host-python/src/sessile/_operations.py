"""The operations beside sessions and messages as data: what each takes, and how answers become Python values.

Request and answer cross as JSON objects, whose members have the names of the keyword arguments. Adding an operation
costs a line in `OPERATIONS`, its types in `operations` and its two methods in `_methods`. Tests compare the table with
what the component takes, and the types with the table.

A member that is `Option` may be left out, or be `None`, which says the same.
"""

from __future__ import annotations

from typing import Any

from . import types
from ._shapes import DURABILITY, SESSION, TEXT, List, Named, Number, Option, Record, Shape, Time, parse_json, time_from

_NUMBER = Number()
_NUMBERS = Named(_NUMBER)
_TEXTS = List(TEXT)


def _request(**members: Shape) -> Record:
    return Record(members)


OPERATIONS: dict[str, Record] = {
    "add_counters": _request(
        session=Option(TEXT), add=_NUMBERS, op=Option(TEXT), durability=Option(DURABILITY)
    ),
    "get_counters": _request(session=Option(TEXT)),
    "reset_counters": _request(session=Option(TEXT), names=Option(_TEXTS)),
}
"""What each operation takes."""

CALLERS = frozenset(
    "add address answer arguments content counters data default destinations event events message messages metadata "
    "options policy_note snapshot value values".split()
)
"""The members whose insides are the caller's own: they pass as they are, at any depth."""


def request(name: str, given: dict[str, Any]) -> str:
    """Returns the request of an operation as JSON text. Errors: `invalid`."""
    return OPERATIONS[name].in_json(given, name)


def answer(text: str) -> Any:
    """Returns the answer of an operation as Python values."""
    return _from(parse_json(text))


def _from(value: Any) -> Any:
    if isinstance(value, list):
        return [_from(item) for item in value]
    if isinstance(value, dict):
        return {name: _member(name, item) for name, item in value.items()}
    return value


def _member(name: str, value: Any) -> Any:
    if name in CALLERS:
        return value
    if name.endswith(("_at", "_until")) and isinstance(value, int):
        return time_from(value)
    if name == "session" and isinstance(value, dict):
        return _session(value)
    return _from(value)


def _session(given: dict[str, Any]) -> types.Session:
    members = {name: _member(name, given[name]) for name in SESSION.fields}
    return types.Session(**{**members, "tags": tuple(members["tags"])})
