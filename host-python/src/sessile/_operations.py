"""The operations beside sessions and messages as data: what each takes, and how answers become Python values.

Request and answer cross as JSON objects, whose members have the names of the keyword arguments. Adding an operation
costs a line in `OPERATIONS`, its types in `operations` and its two methods in `_methods`. Tests compare the table with
what the component takes, and the types with the table.

A member that is `Option` may be left out, or be `None`, which says the same.
"""

from __future__ import annotations

from typing import Any

from . import types
from ._shapes import (
    BOOL,
    DURABILITY,
    SESSION,
    STATUS,
    TEXT,
    U32,
    Clearable,
    Enum,
    Int,
    List,
    Named,
    Number,
    Option,
    Record,
    Shape,
    Time,
    Value,
    parse_json,
    time_from,
)

# JSON numbers are whole and exact below 2**53.
_NUMBER, _WHOLE, _TIME, _VALUE, _TEXTS = Number(), Int(53), Time(53), Value(), List(TEXT)


def _request(**members: Shape) -> Record:
    return Record(members)


_GROUP_BY = Enum("session", "scope", "model", "day")
_THREAD_MODE = Enum("shared", "per_thread", "agent_shared")
_WORKER_STATUS = Enum("running", "idle", "stopped")
_ITEM_STATUS = Enum("pending", "processing", "paused", "completed", "failed", "cancelled")
_SERIES_ACTION = Enum("cancel", "pause", "resume", "update")
_DELIVERY_STATUS = Enum("pending", "delivered", "failed", "refused")
_DIRECTION = Enum("message", "in", "out")
_CLOCK = Enum("accessed", "active")
_AMOUNTS = _request(
    input=Option(_NUMBER),
    output=Option(_NUMBER),
    cache_read=Option(_NUMBER),
    cache_write=Option(_NUMBER),
    cost=Option(_NUMBER),
)
_NEW_FACTS = _request(
    title=Option(TEXT),
    agent=Option(TEXT),
    provider=Option(TEXT),
    model=Option(TEXT),
    tags=Option(_TEXTS),
    metadata=Option(_VALUE),
)
_NEW_ITEM = _request(
    id=Option(TEXT),
    kind=TEXT,
    content=Option(_VALUE),
    wakes=Option(BOOL),
    on_start=Option(BOOL),
    due_at=Option(_TIME),
    recurrence=Option(TEXT),
    time_zone=Option(TEXT),
    series=Option(TEXT),
    address=Option(_VALUE),
    source_session=Option(TEXT),
)
_NEW_ACK = _request(id=TEXT, status=_ITEM_STATUS, error=Option(TEXT))
_NEW_OUT = _request(
    id=Option(TEXT),
    kind=TEXT,
    content=Option(_VALUE),
    in_reply_to=Option(TEXT),
    due_at=Option(_TIME),
    address=Option(_VALUE),
    destination=Option(TEXT),
)
_POLICY = _request(
    max_age_ms=Option(_WHOLE),
    clock=Option(_CLOCK),
    max_sessions=Option(_WHOLE),
    max_bytes=Option(_WHOLE),
    each_scope=Option(BOOL),
    grace_ms=Option(_WHOLE),
    on_open=Option(BOOL),
)

OPERATIONS: dict[str, Record] = {
    "add_counters": _request(session=Option(TEXT), add=Named(_NUMBER), op=Option(TEXT), durability=Option(DURABILITY)),
    "get_counters": _request(session=Option(TEXT)),
    "reset_counters": _request(session=Option(TEXT), names=Option(_TEXTS)),
    "add_usage": _request(
        session=TEXT,
        model=Option(TEXT),
        amounts=_AMOUNTS,
        absolute=Option(BOOL),
        source=Option(TEXT),
        used_at=Option(_TIME),
        op=Option(TEXT),
        durability=Option(DURABILITY),
    ),
    "get_usage": _request(session=Option(TEXT), scope=Option(TEXT), by=Option(_GROUP_BY)),
    "salvage_session": _request(session=TEXT, id=Option(TEXT), generation=Option(U32), quarantine=Option(BOOL)),
    "search": _request(
        query=TEXT,
        scope=Option(TEXT),
        session=Option(TEXT),
        role=Option(TEXT),
        tool=Option(TEXT),
        since=Option(_TIME),
        until=Option(_TIME),
        trashed=Option(BOOL),
        hidden=Option(BOOL),
        limit=Option(U32),
        cursor=Option(TEXT),
    ),
    "update_search": _request(bytes=Option(_WHOLE)),
    "rename_session": _request(session=TEXT, title=TEXT),
    "suggest_title": _request(session=TEXT, title=TEXT),
    "save_session": _request(
        session=TEXT, messages=List(_VALUE), expect_head=Option(_WHOLE), durability=Option(DURABILITY)
    ),
    "read_view": _request(session=TEXT, limit=U32),
    "count_sessions": _request(scope=Option(TEXT)),
    "directory_scope": _request(directory=TEXT),
    "root_session": _request(session=TEXT),
    "current_session": _request(scope=TEXT, new=Option(_NEW_FACTS), force_new=Option(BOOL)),
    "resolve_thread": _request(
        agent_group=TEXT, chat=Option(TEXT), thread=Option(TEXT), mode=_THREAD_MODE, new=Option(_NEW_FACTS)
    ),
    "set_routing": _request(session=TEXT, default=Clearable(_VALUE), destinations=Option(Named(_VALUE))),
    "get_routing": _request(session=TEXT),
    "set_state": _request(session=TEXT, key=TEXT, value=Option(_VALUE), durability=Option(DURABILITY)),
    "get_state": _request(session=TEXT, key=Option(TEXT)),
    "heartbeat": _request(
        session=TEXT, worker=TEXT, status=Option(_WORKER_STATUS), tool=Option(TEXT), timeout_ms=Option(_WHOLE)
    ),
    "liveness": _request(session=TEXT, started_at=Option(_TIME)),
    "enqueue": _request(session=TEXT, items=List(_NEW_ITEM), durability=Option(DURABILITY)),
    "next_batch": _request(session=TEXT, worker=TEXT, limit=Option(U32), first=Option(BOOL), lease_ms=Option(_WHOLE)),
    "release": _request(session=TEXT, items=_TEXTS),
    "ack": _request(session=TEXT, acks=List(_NEW_ACK), durability=Option(DURABILITY)),
    "sweep": _request(session=TEXT, worker_gone=Option(BOOL)),
    "inbound": _request(session=TEXT, status=Option(_ITEM_STATUS)),
    "change_series": _request(
        session=TEXT,
        target=TEXT,
        action=_SERIES_ACTION,
        content=Option(_VALUE),
        recurrence=Option(TEXT),
        time_zone=Option(TEXT),
        due_at=Option(_TIME),
    ),
    "emit": _request(session=TEXT, items=List(_NEW_OUT), durability=Option(DURABILITY)),
    "next_deliveries": _request(session=TEXT, limit=Option(U32)),
    "record_delivery": _request(
        session=TEXT, item=TEXT, status=_DELIVERY_STATUS, platform_id=Option(TEXT), error=Option(TEXT)
    ),
    "outbound": _request(session=TEXT),
    "find_item": _request(session=TEXT, seq=_WHOLE),
    "ask": _request(session=TEXT, id=TEXT, content=_VALUE, expires_at=Option(_TIME)),
    "answer_question": _request(session=TEXT, id=TEXT, answer=_VALUE),
    "questions": _request(session=TEXT),
    "begin_run": _request(session=TEXT, owner=TEXT, lease_ms=_WHOLE),
    "renew_run": _request(session=TEXT, run=TEXT, lease_ms=_WHOLE),
    "end_run": _request(
        session=TEXT, run=TEXT, status=STATUS, error=Option(TEXT), amounts=Option(_AMOUNTS), model=Option(TEXT)
    ),
    "get_run": _request(session=TEXT, silence_ms=Option(_WHOLE)),
    "list_runs": _request(scope=Option(TEXT), silence_ms=Option(_WHOLE), mark=Option(BOOL)),
    "check_environment": _request(values=Named(TEXT), blocked=Option(_TEXTS)),
    "store_attachments": _request(session=TEXT, content=_VALUE, direction=Option(_DIRECTION)),
    "restore_attachments": _request(content=_VALUE),
    "list_attachments": _request(session=TEXT, direction=Option(_DIRECTION)),
    "read_attachment": _request(session=TEXT, digest=TEXT),
    "clear_attachments": _request(session=TEXT, direction=_DIRECTION),
    "collect_attachments": _request(),
    "plan_retention": _request(scope=Option(TEXT), policy=Option(_POLICY)),
    "apply_retention": _request(scope=Option(TEXT), policy=Option(_POLICY)),
    "set_retention": _request(policy=Option(_POLICY)),
    "get_retention": _request(),
    "purge_scope": _request(scope=TEXT),
    "ingest": _request(session=TEXT, events=List(_VALUE)),
    "changes": _request(session=Option(TEXT), cursor=Option(TEXT), limit=Option(U32)),
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
