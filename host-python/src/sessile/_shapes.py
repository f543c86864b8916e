"""The contract as data: the shape of every value, and the table of all functions.

A shape checks what a caller gives and turns it into a plain form; the codecs (`_wire`, `_plain`) carry plain forms
to the component and bring answers back. Adding a function of the contract costs a line in `FUNCTIONS`, and one for
each new record. A test compares this table with the types of the component itself.

The plain form of a text is `bytes`, of a record and of a tuple a tuple, of an option `None` or a tuple of one, of a
variant `(case, value)`. Answers come as Python values at once: `make` of a shape builds them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from math import isfinite
from typing import Any

from . import types
from .errors import BY_KIND, InternalError, InvalidError, SessileError

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MILLISECOND = timedelta(milliseconds=1)
_TIME_MAX = (datetime.max.replace(tzinfo=timezone.utc) - _EPOCH) // _MILLISECOND
# `json.dumps` makes an encoder for each call.
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def _refuse(place: str, wanted: str, value: object) -> InvalidError:
    # The type alone: a value could be content.
    return InvalidError(f"{place} must be {wanted}, not {type(value).__name__}; nothing was written")


def _lacks(name: str, place: str) -> InvalidError:
    return InvalidError(f"{place} lacks the member {name}; nothing was written")


def write_json(value: Any, place: str) -> str:
    """Writes a value as JSON. Errors: `invalid`."""
    try:
        return _encode(value)
    except TypeError:
        raise _refuse(place, "made of what JSON has", value) from None
    except ValueError:
        # The error's own text would quote the number.
        raise InvalidError(f"{place} holds a number or a circle that JSON has not; nothing was written") from None
    except RecursionError:
        raise InvalidError(f"{place} is nested too deeply: at most 128 levels; nothing was written") from None


def parse_json(text: str) -> Any:
    """Parses JSON that the component gave, which is sound."""
    try:
        return json.loads(text)
    except ValueError:
        # Python limits the digits of an integer; the store does not.
        from decimal import Decimal

        return json.loads(text, parse_int=lambda digits: int(digits) if len(digits) < 4300 else Decimal(digits))


def time_from(ms: int) -> datetime:
    """Python knows no year past 9999: a later time is given as the last one that it knows."""
    return _EPOCH + timedelta(milliseconds=min(ms, _TIME_MAX))


class Shape:
    """The shape of a value: how one that is given is checked."""

    def check(self, value: Any, place: str) -> Any:
        """Returns the plain form. Errors: `invalid`, naming the place."""
        raise NotImplementedError

    def in_json(self, value: Any, place: str) -> str:
        """Returns the value as it stands in the JSON text of a request. Errors: as `check`."""
        return write_json(self.check(value, place), place)


class Text(Shape):
    """A text. An answer is made by `make`, from bytes where `raw`."""

    def __init__(self, make: Callable[[str], Any] | None = None, raw: bool = False) -> None:
        self.make, self.raw = make, raw

    def check(self, value: Any, place: str) -> bytes:
        if not isinstance(value, str):
            raise _refuse(place, "a text", value)
        try:
            return value.encode()
        except UnicodeEncodeError:
            raise InvalidError(f"{place} holds half of a surrogate pair; remove it, nothing was written") from None

    def in_json(self, value: Any, place: str) -> str:
        return write_json(self.check(value, place).decode(), place)


class Json(Text):
    """The text of a JSON value: a text as it is, anything else is written as JSON."""

    def __init__(self) -> None:
        super().__init__(parse_json)

    def check(self, value: Any, place: str) -> bytes:
        return super().check(self.text(value, place), place)

    def text(self, value: Any, place: str) -> str:
        """Returns the JSON text of a value. Errors: `invalid`."""
        return value if isinstance(value, str) else write_json(value, place)


class Value(Shape):
    """A JSON value of the caller's in a request, where a text is a JSON string."""

    def in_json(self, value: Any, place: str) -> str:
        return TEXT.check(write_json(value, place), place).decode()


class Messages(Json):
    """One message, or some, as a JSON array."""

    def text(self, value: Any, place: str) -> str:
        # Nearly all are dicts, and the look at an abstract class takes as long as all the rest.
        if type(value) is dict or isinstance(value, Mapping):
            return write_json([value], place)
        if not isinstance(value, Sequence) or isinstance(value, (str, bytes, bytearray)):
            raise _refuse(place, "a message or a sequence of messages", value)
        return write_json(list(value), place)


class Bool(Shape):
    """A truth value."""

    def check(self, value: Any, place: str) -> bool:
        if not isinstance(value, bool):
            raise _refuse(place, "a bool", value)
        return value


class Int(Shape):
    """An unsigned number of so many bits."""

    def __init__(self, bits: int, make: Callable[[int], Any] | None = None) -> None:
        self.bits, self.make = bits, make

    def check(self, value: Any, place: str) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise _refuse(place, "an int", value)
        if not 0 <= value < 1 << self.bits:
            raise InvalidError(f"{place} must be a number from 0 to 2**{self.bits} - 1; nothing was written")
        return int(value)


class Number(Shape):
    """A finite number."""

    def check(self, value: Any, place: str) -> int | float:
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise _refuse(place, "a number", value)
        try:
            is_finite = isfinite(value)
        except OverflowError:
            is_finite = False
        if not is_finite:
            raise InvalidError(f"{place} must be a finite number; nothing was written")
        return value


class Time(Int):
    """Milliseconds, given as such or as a zone-aware `datetime`."""

    def __init__(self, bits: int = 64) -> None:
        super().__init__(bits, time_from)

    def check(self, value: Any, place: str) -> int:
        if not isinstance(value, datetime):
            return super().check(value, place)
        if value.tzinfo is None or value.utcoffset() is None:
            raise InvalidError(f"{place} is a time without a zone; give it one, such as timezone.utc")
        return super().check((value - _EPOCH) // _MILLISECOND, place)


class Enum(Shape):
    """One of some words."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def check(self, value: Any, place: str) -> str:
        if not isinstance(value, str) or value not in self.names:
            raise InvalidError(f"{place} must be one of {', '.join(self.names)}; nothing was written")
        return str(value)


class Option(Shape):
    """A value or none."""

    def __init__(self, inner: Shape) -> None:
        self.inner = inner

    def check(self, value: Any, place: str) -> tuple[Any] | None:
        return None if value is None else (self.inner.check(value, place),)

    def in_json(self, value: Any, place: str) -> str:
        return "null" if value is None else self.inner.in_json(value, place)


class Clearable(Option):
    """A change that may be absent; `None` clears."""

    def check(self, value: Any, place: str) -> tuple[Any] | None:
        return (self.inner.check(value, place),)


class List(Shape):
    """Some values of one shape."""

    def __init__(self, inner: Shape) -> None:
        self.inner = inner

    def check(self, value: Any, place: str) -> list[Any]:
        return [self.inner.check(item, place) for item in self._items(value, place)]

    def in_json(self, value: Any, place: str) -> str:
        return f"[{','.join(self.inner.in_json(item, place) for item in self._items(value, place))}]"

    def _items(self, value: Any, place: str) -> Sequence[Any]:
        if not isinstance(value, Sequence) or isinstance(value, (str, bytes, bytearray)):
            raise _refuse(place, "a list", value)
        return value


class Named(Shape):
    """Values of one shape by names that are the caller's, in a request."""

    def __init__(self, inner: Shape) -> None:
        self.inner = inner

    def in_json(self, value: Any, place: str) -> str:
        if not isinstance(value, Mapping):
            raise _refuse(place, "a dict", value)
        # The name is content, so it is not in an error's text.
        members = (f"{TEXT.in_json(name, place)}:{self.inner.in_json(item, place)}" for name, item in value.items())
        return "{%s}" % ",".join(members)


class Tuple(Shape):
    """Values of some shapes."""

    def __init__(self, *items: Shape) -> None:
        self.items = items


class Record(Shape):
    """Named values. One with a default, or an option, may be left out."""

    def __init__(
        self, fields: dict[str, Shape], make: Callable[..., Any] | None = None, defaults: Mapping[str, Any] = {}
    ) -> None:
        self.fields, self.make, self.defaults = fields, make, defaults
        self._items = list(fields.items())

    def check(self, value: Any, place: str) -> tuple[Any, ...]:
        self._refuse_unknown(value, place)
        return tuple(
            [
                shape.check(value[name], name) if name in value else self._absent(name, shape, place)
                for name, shape in self._items
            ]
        )

    def in_json(self, value: Any, place: str) -> str:
        self._refuse_unknown(value, place)
        members = []
        for name, shape in self.fields.items():
            if name in value and (value[name] is not None or type(shape) is not Option):
                members.append(f'"{name}":{shape.in_json(value[name], name)}')
            elif name not in value and name not in self.defaults and not isinstance(shape, Option):
                raise _lacks(name, place)
        return "{%s}" % ",".join(members)

    def _refuse_unknown(self, value: Any, place: str) -> None:
        if type(value) is not dict and not isinstance(value, Mapping):
            raise _refuse(place, "a dict", value)
        for name in value:
            if name not in self.fields:
                raise InvalidError(f"{place} has no member {name!r:.50}; it has {', '.join(self.fields)}")

    def _absent(self, name: str, shape: Shape, place: str) -> Any:
        if name in self.defaults:
            return self.defaults[name]
        if isinstance(shape, Option):
            return None
        raise _lacks(name, place)


class Variant(Shape):
    """One of some cases; `choose` finds it from how Python says it."""

    def __init__(self, cases: dict[str, Shape], choose: Callable[[Any, str], tuple[str, Any]]) -> None:
        self.cases, self.choose = cases, choose

    def check(self, value: Any, place: str) -> tuple[str, Any]:
        case, inner = self.choose(value, place)
        return case, self.cases[case].check(inner, place)


class Function:
    """A function of the contract: its parameters by name, what it gives, and the error that it may give instead."""

    def __init__(self, params: dict[str, Shape], ok: Shape | None, error: Shape | None) -> None:
        self.params, self.ok, self.error = params, ok, error

    def check(self, args: Sequence[Any]) -> list[Any]:
        """Returns the plain forms of all arguments. Errors: `invalid`."""
        return [shape.check(arg, name) for (name, shape), arg in zip(self.params.items(), args)]


def _ref_case(value: Any, place: str) -> tuple[str, Any]:
    return ("id" if isinstance(value, str) else "seq"), value


def _select_case(value: Any, place: str) -> tuple[str, Any]:
    match value:
        case {"last": last} if len(value) == 1:
            return "last", last
        case {"from_seq": seq, **rest} if "cursor" not in value and "last" not in value:
            return "from", {"seq": seq, **rest}
        case {"cursor": _} if "last" not in value:
            return "cursor", value
    raise InvalidError(f"{place} takes one of last=, from_seq= and cursor=; limit= goes with the latter two")


def _change_case(value: Any, place: str) -> tuple[str, Any]:
    match list(value):
        case [("patch" | "add_parts" | "add_text") as name]:
            return name.replace("_", "-"), value[name]
    raise InvalidError(f"{place} takes exactly one of patch=, add_parts= and add_text=, and the options of a write")


def _error_from(kind: str, message: str) -> SessileError:
    return BY_KIND.get(kind, InternalError)(message)


MESSAGES = Messages()
TEXT, DATA, JSON, BOOL, U32, U64, TIME = Text(), Text(raw=True), Json(), Bool(), Int(32), Int(64), Time()
DURABILITY = Enum("buffered", "synced")
STATUS = Enum("active", "running", "idle", "done", "error", "closed", "interrupted")
MESSAGE_REF = Variant({"seq": U64, "id": TEXT}, _ref_case)

ERROR = Record({"kind": Enum(*BY_KIND), "message": TEXT}, _error_from)
SESSION = Record(
    {
        "id": TEXT,
        "scope": TEXT,
        "title": Option(TEXT),
        "title_manual": BOOL,
        "agent": Option(TEXT),
        "provider": Option(TEXT),
        "model": Option(TEXT),
        "status": STATUS,
        "parent": Option(TEXT),
        "fork_point": Option(U64),
        "tags": List(TEXT),
        "metadata": Option(JSON),
        "created_at": TIME,
        "updated_at": TIME,
        "accessed_at": TIME,
        "active_at": TIME,
        "trashed_at": Option(TIME),
        "message_count": U64,
        "head": U64,
        "can_unrevert": BOOL,
        "generation": U32,
        "log_bytes": U64,
    },
    types.Session,
)
NEW_SESSION = Record(
    {
        "id": Option(TEXT),
        "scope": TEXT,
        "title": Option(TEXT),
        "title_manual": BOOL,
        "agent": Option(TEXT),
        "provider": Option(TEXT),
        "model": Option(TEXT),
        "status": STATUS,
        "parent": Option(TEXT),
        "tags": List(TEXT),
        "metadata": Option(JSON),
        "created_at": Option(TIME),
    },
    defaults={"scope": b"", "title_manual": False, "status": "active", "tags": []},
)
SESSION_PATCH = Record(
    {
        "scope": Option(TEXT),
        "title": Clearable(Option(TEXT)),
        "title_manual": Option(BOOL),
        "agent": Clearable(Option(TEXT)),
        "provider": Clearable(Option(TEXT)),
        "model": Clearable(Option(TEXT)),
        "status": Option(STATUS),
        "tags": Option(List(TEXT)),
        "metadata": Clearable(Option(JSON)),
    }
)
WRITE = Record(
    {"durability": DURABILITY, "expect_head": Option(U64), "op": Option(TEXT), "at": Option(TIME)},
    defaults={"durability": "synced"},
)
APPENDED = Record(
    {"seq": U64, "count": U64, "id": TEXT, "head": U64, "repeated": BOOL, "durability": DURABILITY}, types.Appended
)
ADDED_TEXT = Record({"part": U64, "text": TEXT, "at": Option(U64)})
MESSAGE_CHANGE = Variant({"patch": JSON, "add-parts": JSON, "add-text": ADDED_TEXT}, _change_case)
SELECT = Variant(
    {
        "last": U32,
        "from": Record({"seq": U64, "limit": U32}, defaults={"limit": 100}),
        "cursor": Record({"cursor": TEXT, "limit": U32}, defaults={"limit": 100}),
    },
    _select_case,
)
DAMAGED_RANGE = Record({"session": TEXT, "from": U64, "to": U64}, types.DamagedRange)
PAGE = Record(
    {"messages": TEXT, "next": Option(TEXT), "unreadable": List(U64), "damage": List(DAMAGED_RANGE)}, types.JsonPage
)
FORK_OPTIONS = Record({"at": Option(MESSAGE_REF), "id": Option(TEXT), "title": Option(TEXT)})
BRANCH = Record(
    {"tip": U64, "id": TEXT, "message_count": U64, "shared": U64, "created_at": TIME, "current": BOOL}, types.Branch
)
LIST_QUERY = Record(
    {"scope": Option(TEXT), "trashed": BOOL, "cursor": Option(TEXT), "limit": U32},
    defaults={"trashed": False, "limit": 0},
)
SESSION_PAGE = Record({"sessions": List(SESSION), "next": Option(TEXT)}, types.SessionPage)
REWRITTEN = Record(
    {"generation": U32, "bytes_before": U64, "bytes_after": U64, "old_kept": BOOL}, types.Rewritten
)


def _function(ok: Shape | None = None, **params: Shape) -> Function:
    return Function(params, ok, ERROR)


FUNCTIONS: dict[str, Function] = {
    "open": _function(options=Record({"read_only": BOOL})),
    "create": _function(SESSION, new=NEW_SESSION),
    "get": _function(SESSION, id=TEXT),
    "update": _function(SESSION, id=TEXT, patch=SESSION_PATCH, options=WRITE),
    "touch": _function(SESSION, id=TEXT),
    "trash": _function(SESSION, id=TEXT),
    "restore": _function(SESSION, id=TEXT),
    "purge": _function(id=TEXT),
    "append": _function(APPENDED, id=TEXT, messages=TEXT, options=WRITE),
    "update-message": _function(U64, id=TEXT, message=MESSAGE_REF, change=MESSAGE_CHANGE, options=WRITE),
    "sync": _function(id=TEXT),
    "read": _function(PAGE, id=TEXT, select=SELECT),
    "fork": _function(SESSION, id=TEXT, options=FORK_OPTIONS),
    "detach": _function(REWRITTEN, id=TEXT),
    "compact": _function(REWRITTEN, id=TEXT),
    "revert": _function(SESSION, id=TEXT, to=MESSAGE_REF, inclusive=BOOL, options=WRITE),
    "unrevert": _function(SESSION, id=TEXT, options=WRITE),
    "switch": _function(SESSION, id=TEXT, to=MESSAGE_REF, options=WRITE),
    "branches": _function(List(BRANCH), id=TEXT),
    "list-sessions": _function(SESSION_PAGE, query=LIST_QUERY),
    "resolve": _function(SESSION, text=TEXT, scope=Option(TEXT)),
    "doctor": _function(JSON, repair=BOOL),
    "operate": _function(TEXT, name=TEXT, request=TEXT),
    "close": _function(),
}
"""What the component exports."""

_FS_ERROR = Record(
    {"kind": Enum("not-found", "exists", "not-text", "refused", "unavailable", "closed"), "message": TEXT}
)


def _file(ok: Shape | None = None, **params: Shape) -> Function:
    return Function(params, ok, _FS_ERROR)


IMPORTS: dict[str, dict[str, Function]] = {
    "sessile:store/filesystem@0.1.0": {
        "append": _file(U64, path=TEXT, data=DATA, durability=DURABILITY),
        "create": _file(path=TEXT, data=DATA),
        "create-base64": _file(path=TEXT, data=DATA),
        "replace": _file(path=TEXT, data=DATA),
        "read-text": _file(Record({"start": U64, "data": TEXT}), path=TEXT, offset=U64, limit=U32),
        "read-bytes": _file(List(Int(8)), path=TEXT, offset=U64, limit=U32),
        "stat": _file(U64, path=TEXT),
        "list-files": _file(List(Record({"name": TEXT, "size": U64})), directory=TEXT, after=TEXT, limit=U32),
        "remove": _file(path=TEXT),
        "sync": _file(path=TEXT),
    },
    "sessile:store/clock@0.1.0": {"now-ms": Function({}, U64, None)},
    "sessile:store/entropy@0.1.0": {"random": Function({}, Tuple(U64, U64), None)},
}
"""What the component imports."""
