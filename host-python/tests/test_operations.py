"""The operations: what they take is what the component takes, what they give has the types of Python."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
import types
import typing
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import corpus
import pytest
import typing_extensions
from calls import call, plain
from conftest import message

import sessile
import sessile.aio
from sessile import _component, _operations, _shapes, operations
from sessile._methods import AsyncOperations, Operations

REPOSITORY = Path(__file__).parents[2]
NAMES = list(_operations.OPERATIONS)


def hints(kind: Any) -> dict[str, Any]:
    """The types of the members, or of the parameters."""
    # What modules import for type checkers alone.
    scope = {"Required": typing_extensions.Required, "Unpack": typing_extensions.Unpack, "ops": operations}
    return typing_extensions.get_type_hints(kind, None, scope, include_extras=True)


def request_type(name: str) -> Any:
    """The TypedDict of an operation's keyword arguments."""
    return typing.get_args(hints(getattr(Operations, name))["request"])[0]


def refusal(store: sessile.Store, name: str, request: str) -> str:
    """What the component has against a request; nothing where it takes it."""
    try:
        store._call("operate", name, request)
    except sessile.SessileError as error:
        return str(error)
    return ""


def test_the_table_has_every_operation_of_the_core() -> None:
    sources = [path.read_text() for path in (REPOSITORY / "core/src/operations").rglob("*.rs")]
    declared = re.findall(r'const NAME: &\'static str = "(\w+)"', "".join(sources))
    assert sorted(declared) == sorted(NAMES)


class Carrier(Operations):
    """Says what it would carry out."""

    def _operate(self, name: str, request: Any) -> Any:
        return name, request


class AsyncCarrier(AsyncOperations):
    """Likewise."""

    async def _operate(self, name: str, request: Any) -> Any:
        return name, request


def test_every_operation_has_a_method_and_a_coroutine() -> None:
    for kind, sees in ((Operations, None), (AsyncOperations, "See :meth:`sessile.Store.{}`.")):
        methods = {name: method for name, method in vars(kind).items() if not name.startswith("_")}
        assert list(methods) == NAMES, kind
        for name, method in methods.items():
            assert inspect.iscoroutinefunction(method) == (sees is not None)
            assert method.__doc__ == sees.format(name) if sees else len(method.__doc__) > 20
            assert hints(method) == hints(getattr(Operations, name))
    for name in NAMES:
        assert getattr(Carrier(), name)(any=1) == (name, {"any": 1})
        assert asyncio.run(getattr(AsyncCarrier(), name)(any=1)) == (name, {"any": 1})


WORDS: dict[type[_shapes.Shape], str] = {
    _shapes.Text: "a string",
    _shapes.Bool: "a boolean",
    _shapes.List: "a sequence",
    _shapes.Named: "a map",
    _shapes.Record: "struct",
}
"""What the component says that it wants instead of `true`, or of a number."""


def inside(shape: _shapes.Shape) -> _shapes.Shape:
    """The shape of what an option holds."""
    while isinstance(shape, _shapes.Option):
        shape = shape.inner
    return shape


def assert_takes(store: sessile.Store, name: str, record: _shapes.Record, around: str = "%s") -> None:
    """The component takes the members of this record, in its place in a request, and of these kinds."""
    unknown = refusal(store, name, around % '{"nobody":1}').partition("unknown field `nobody`, ")[2]
    assert re.findall(r"`(\w+)`", unknown) == list(record.fields)
    for member, shape in record.fields.items():
        inner, place = inside(shape), around.replace("%s", f'{{"{member}":%s}}')
        said = refusal(store, name, place % {_shapes.Bool: "5", _shapes.Enum: '"?"'}.get(type(inner), "true"))
        if isinstance(inner, _shapes.Enum):
            assert re.findall(r"`(\w+)`", said) == list(inner.names), member
        elif isinstance(inner, _shapes.Int):
            assert f"expected u{32 if inner.bits == 32 else 64}" in said, f"{member}: {said}"
            is_time = member.endswith(("_at", "_until")) or member in ("since", "until")
            assert isinstance(inner, _shapes.Time) == is_time, member
        elif isinstance(inner, (_shapes.Value, _shapes.Number)):
            assert "invalid type" not in said, f"{member}: {said}"
        elif (member, type(inner)) != ("messages", _shapes.List):
            assert re.search(f"invalid type: .*, expected {WORDS[type(inner)]}", said), f"{member}: {said}"
        if isinstance(inner, _shapes.List) and isinstance(inner.inner, _shapes.Record):
            assert_takes(store, name, inner.inner, place % "[%s]")
        if isinstance(inner, _shapes.Record):
            assert_takes(store, name, inner, place)


def sample(shape: _shapes.Shape) -> str:
    """A value of that shape as JSON, with the members that must be there alone."""
    if isinstance(shape, _shapes.Record):
        needed = {name: inner for name, inner in shape.fields.items() if not isinstance(inner, _shapes.Option)}
        return "{%s}" % ",".join(f'"{name}":{sample(inner)}' for name, inner in needed.items())
    if isinstance(shape, _shapes.List):
        return f"[{sample(shape.inner)}]"
    if isinstance(shape, _shapes.Enum):
        return f'"{shape.names[0]}"'
    kinds = {_shapes.Text: '"x"', _shapes.Bool: "true", _shapes.Named: "{}"}
    return kinds.get(type(shape), "1")


@pytest.mark.parametrize("name", NAMES)
def test_the_table_is_what_the_component_takes(name: str, store: sessile.Store) -> None:
    assert_takes(store, name, _operations.OPERATIONS[name])
    # What the table lets callers leave out, the component does not miss.
    said = refusal(store, name, sample(_operations.OPERATIONS[name]))
    assert "missing field" not in said and "invalid type" not in said, said


def test_what_the_table_wants_is_what_the_component_wants(store: sessile.Store) -> None:
    """Where they differ the table is the stricter one, on purpose."""
    stricter = []
    for name, record in _operations.OPERATIONS.items():
        given = json.loads(sample(record))
        for member in list(given):
            left = {key: value for key, value in given.items() if key != member}
            if f"missing field `{member}`" not in refusal(store, name, json.dumps(left)):
                stricter.append((name, member))
    assert stricter == [("add_counters", "add")]


def assert_typed(kind: Any, record: _shapes.Record) -> None:
    """The TypedDict has the members of the record, and requires the same."""
    members = hints(kind)
    assert list(members) == list(record.fields)
    for member, hint in members.items():
        shape = record.fields[member]
        is_optional = isinstance(shape, _shapes.Option)
        assert (typing_extensions.get_origin(hint) is typing_extensions.Required) != is_optional, member
        assert (type(None) in typing_extensions.get_args(hint)) == is_optional, member
        inner = inside(shape)
        nested = inner.inner if isinstance(inner, _shapes.List) else inner
        if isinstance(nested, _shapes.Record):
            found = re.findall(r"sessile\.operations\.(\w+)", str(hint))
            assert len(found) == 1, f"{member}: {hint}"
            assert_typed(getattr(operations, found[0]), nested)
        if isinstance(inner, _shapes.Enum):
            choices = re.findall(r"'(\w+)'", str(hint))
            assert choices == list(inner.names), member


@pytest.mark.parametrize("name", NAMES)
def test_the_types_are_the_table(name: str) -> None:
    assert_typed(request_type(name), _operations.OPERATIONS[name])


def misfit(value: Any, hint: Any, place: str = "answer") -> str | None:
    """Where a value is not of its type; nothing where it is."""
    origin, arguments = typing_extensions.get_origin(hint), typing_extensions.get_args(hint)
    if hint is Any:
        return None
    if typing_extensions.is_typeddict(hint):
        members = hints(hint)
        if not isinstance(value, dict) or not hint.__required_keys__ <= set(value) <= set(members):
            return f"{place} is {value}, not {sorted(members)}"
        return next(filter(None, (misfit(value[name], members[name], f"{place}.{name}") for name in value)), None)
    if origin is typing_extensions.Literal:
        return None if value in arguments else f"{place} is {value}"
    if origin in (typing_extensions.Required, typing_extensions.NotRequired):
        return misfit(value, arguments[0], place)
    if origin in (typing.Union, types.UnionType):
        found = [misfit(value, choice, place) for choice in arguments]
        return None if None in found else found[0]
    if origin in (list, Sequence) and isinstance(value, list):
        return next(filter(None, (misfit(item, arguments[0], f"{place}[]") for item in value)), None)
    if origin in (dict, Mapping) and isinstance(value, dict):
        return next(filter(None, (misfit(item, arguments[1], f"{place}.{name}") for name, item in value.items())), None)
    wanted = (int, float) if hint is float else hint
    is_of = origin is None and isinstance(value, wanted) and (hint is bool or not isinstance(value, bool))
    return None if is_of else f"{place} is {value!r}, not {hint}"


def test_what_the_corpus_gets_has_its_types(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[tuple[str, str]] = []
    real = _component.Component.call

    def noting(self: _component.Component, name: str, args: Sequence[Any]) -> Any:
        answer = real(self, name, args)
        if name == "operate":
            answers.append((args[0], answer))
        return answer

    monkeypatch.setattr(_component.Component, "call", noting)
    (tmp_path / "ops.json").write_text(json.dumps(CASES))
    assert corpus.main(tmp_path / "ops.json", tmp_path / "own") == 0
    assert corpus.main(REPOSITORY / "tests/corpus/ops", tmp_path / "ops") == 0
    for name, text in answers:
        assert not misfit(_operations.answer(text), hints(getattr(Operations, name))["return"], name)
    assert len(answers) >= 3


PAST, FUTURE = datetime(2020, 1, 1, tzinfo=timezone.utc), datetime(2100, 1, 1, tzinfo=timezone.utc)
OWN = {"toolCalls": [{"x_at": 1, "session": {"id": "no session"}}]}
"""JSON of the caller's, which comes back as it went."""

EVERY: list[tuple[str, dict[str, Any], Any]] = [
    # Each with a part of what it must give.
    ("changes", {"session": "s", "cursor": ""}, {"more": False}),
    ("search", {"query": "nowhere"}, {"hits": [], "next": None}),
    ("update_search", {}, {"more": False}),
    ("add_counters", {"session": "s", "add": {"toolCalls": 1}}, {"counters": {"toolCalls": 1}}),
    ("get_counters", {"session": "s"}, {"counters": {"toolCalls": 1}}),
    ("reset_counters", {"session": "s", "names": ["toolCalls"]}, {"counters": {}}),
    ("add_usage", {"session": "s", "amounts": {"input": 5, "cost": 0.25}, "used_at": PAST}, {"groups": []}),
    ("get_usage", {"by": "day", "scope": "w"}, {"groups": [{"key": "2020-01-01"}]}),
    ("rename_session", {"session": "s", "title": " a "}, {"session": {"title": "a", "metadata": OWN}}),
    ("suggest_title", {"session": "s", "title": "b"}, {"session": {"title": "a", "title_manual": True}}),
    ("save_session", {"session": "s", "messages": [message("1"), message("é")]}, {"appended": 2}),
    ("read_view", {"session": "s", "limit": 1}, {"messages": [{"seq": 2, "message": message("é")}], "before": 1}),
    ("count_sessions", {}, {"total": 1, "counters": {"active": 1}}),
    ("directory_scope", {"directory": "/a//b/../c/"}, {"scope": "/a/c"}),
    ("root_session", {"session": "s"}, {"session": {"id": "s"}}),
    ("current_session", {"scope": "p", "new": {"metadata": OWN, "tags": ["t"]}}, {"session": {"metadata": OWN}}),
    ("resolve_thread", {"agent_group": "g", "chat": "c", "mode": "shared"}, {"created": True}),
    ("set_routing", {"session": "s", "default": OWN, "destinations": {"x_at": OWN, "no": None}}, {"default": OWN}),
    ("get_routing", {"session": "s"}, {"default": OWN, "destinations": {"x_at": OWN}}),
    ("set_routing", {"session": "s", "default": None}, {"default": None, "destinations": {"x_at": OWN}}),
    ("set_state", {"session": "s", "key": "x_at", "value": OWN}, {"values": {"x_at": OWN}}),
    ("get_state", {"session": "s", "key": "x_at"}, {"values": {"x_at": OWN}}),
    ("set_state", {"session": "s", "key": "x_at"}, {"values": {}}),
    ("heartbeat", {"session": "s", "worker": "w", "status": "idle", "timeout_ms": 5}, {"timeout_ms": 5}),
    ("liveness", {"session": "s", "started_at": PAST}, {"verdict": "alive"}),
    (
        "enqueue",
        {
            "session": "s",
            "items": [
                {"id": "in", "kind": "chat", "content": OWN, "address": OWN, "due_at": PAST},
                {"id": "later", "kind": "task", "content": "text", "due_at": FUTURE, "recurrence": "0 9 * * *"},
            ],
        },
        {"items": [{"id": "in", "repeated": False}, {"id": "later"}]},
    ),
    ("inbound", {"session": "s"}, {"items": [{"content": OWN, "due_at": PAST}, {"content": "text", "due_at": FUTURE}]}),
    ("find_item", {"session": "s", "seq": 2}, {"inbound": {"address": OWN, "due_at": PAST}, "outbound": None}),
    ("next_batch", {"session": "s", "worker": "w"}, {"items": [{"id": "in", "status": "processing"}]}),
    ("release", {"session": "s", "items": ["in"]}, {"items": ["in"]}),
    ("ack", {"session": "s", "acks": [{"id": "in", "status": "failed", "error": "e"}]}, {"acked": ["in"]}),
    ("sweep", {"session": "s"}, {"failed": ["in"], "due_at": FUTURE}),
    ("change_series", {"session": "s", "target": "later", "action": "update", "due_at": PAST}, {"items": ["later"]}),
    ("emit", {"session": "s", "items": [{"id": "out", "kind": "chat", "content": OWN, "address": OWN}]}, {}),
    ("next_deliveries", {"session": "s"}, {"items": [{"address": OWN, "delivery": {"next_at": None}}]}),
    ("record_delivery", {"session": "s", "item": "out", "status": "refused"}, {"item": {"delivery": {"attempts": 1}}}),
    ("outbound", {"session": "s"}, {"items": [{"content": OWN, "delivery": {"status": "refused"}}]}),
    ("ask", {"session": "s", "id": "q", "content": OWN, "expires_at": FUTURE}, {}),
    ("questions", {"session": "s"}, {"questions": [{"content": OWN, "expires_at": FUTURE}]}),
    ("answer_question", {"session": "s", "id": "q", "answer": None}, {"items": [{"repeated": False}]}),
    (
        "store_attachments",
        {"session": "s", "content": {"attachments": [{"name": "a.txt", "data": "aGVsbG8=", "x_at": 1}]}},
        {"content": {"attachments": ...}, "count": 1},
    ),
    ("list_attachments", {"session": "s", "direction": "message"}, {"attachments": [{"name": "a.txt", "size": 5}]}),
    ("read_attachment", {"session": "s", "digest": "$digest"}, {"data": "aGVsbG8="}),
    ("restore_attachments", {"content": "$content"}, {"count": 1}),
    ("clear_attachments", {"session": "s", "direction": "message"}, {"attachments": [{"name": "a.txt"}]}),
    ("collect_attachments", {}, {"waiting": 1}),
    ("begin_run", {"session": "s", "owner": "o", "lease_ms": 5000}, {"is_running": True, "session": {"id": "s"}}),
    ("renew_run", {"session": "s", "run": "$run", "lease_ms": 6000}, {"run": {"owner": "o", "ended_at": None}}),
    ("list_runs", {"scope": "w"}, {"runs": [{"session": {"status": "running"}}]}),
    ("end_run", {"session": "s", "run": "$run", "status": "done", "amounts": {"cost": 1}}, {"is_running": False}),
    ("get_run", {"session": "s"}, {"session": {"status": "done"}, "run": {"error": None}}),
    ("check_environment", {"values": {"x_at": "1", "CODEX": "2"}}, {"values": {"x_at": "1"}, "refused": ["CODEX"]}),
    ("ingest", {"session": "s", "events": [{"type": "text", "content": "hi", "at": 1}]}, {"appended": 1}),
    ("set_retention", {"policy": {"max_sessions": 0, "clock": "active"}}, {"policy": {"grace_ms": None}}),
    ("get_retention", {}, {"policy": {"clock": "active", "max_sessions": 0}}),
    ("plan_retention", {"scope": "w"}, {"trash": [{"session_id": "s", "reason": "count"}]}),
    ("apply_retention", {"scope": "w", "policy": {"max_sessions": 0}}, {"trash": [{"session_id": "s"}], "purge": []}),
    ("purge_scope", {"scope": "p"}, {"running": []}),
    ("changes", {"session": "s", "cursor": ""}, {"changes": ...}),
    ("salvage_session", {"session": "s", "id": "salvaged"}, {"session": {"id": "salvaged"}, "unreadable": []}),
]


def lacking(answer: Any, wanted: Any, place: str = "answer") -> str | None:
    """Where an answer has not what is wanted of it."""
    if isinstance(wanted, dict) and not isinstance(answer, dict):
        answer = vars(answer) if isinstance(answer, sessile.Session) else {}
    if isinstance(wanted, dict):
        parts = ((f"{place}.{name}", answer.get(name, ...), item) for name, item in wanted.items())
    elif isinstance(wanted, list) and isinstance(answer, list) and len(wanted) == len(answer):
        parts = ((f"{place}[{at}]", *pair) for at, pair in enumerate(zip(answer, wanted)))
    else:
        return None if wanted is ... and answer or answer == wanted else f"{place} is {answer}, not {wanted}"
    return next(filter(None, (lacking(item, part, where) for where, item, part in parts)), None)


def test_every_operation_gives_values_of_its_types(root: Path) -> None:
    kept: dict[str, Any] = {}
    with sessile.open(root) as store:
        store.create(id="s", scope="w", metadata=OWN)
        for name, given, wanted in EVERY:
            given = {member: kept[item] if str(item)[:1] == "$" else item for member, item in given.items()}
            answer = getattr(store, name)(**given)
            assert not misfit(answer, hints(getattr(Operations, name))["return"], name)
            assert not lacking(answer, wanted, name)
            if name == "begin_run":
                kept["$run"] = answer["run"]["id"]
            elif name == "store_attachments":
                kept["$content"] = answer["content"]
            elif name == "list_attachments":
                kept["$digest"] = answer["attachments"][0]["digest"]
    assert {name for name, *_ in EVERY} == set(NAMES)


CASES: Any = [
    {
        "name": "operations by name",
        "steps": [
            {"call": "add_counters", "args": {"add": {"a_at": 1.5}}, "expect": {"counters": {"a_at": 1.5}}},
            {"call": "get_counters", "expect": {"counters": {"a_at": 1.5}}},
            {"call": "reset_counters", "args": {"names": ["a_at"]}, "expect": {"counters": {}}},
            {"call": "get_counters", "args": {"session": "nobody"}, "error": "not-found"},
            {"call": "get_counters", "args": {"sessions": "s"}, "error": "invalid", "says": "unknown field"},
            {"call": "make_coffee", "error": "invalid", "says": "no such operation"},
        ],
    }
]


def test_the_corpus_sees_a_wrong_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "ops.json").write_text(json.dumps(CASES).replace('"a_at": 1.5}}}', '"a_at": 2}}}'))
    assert corpus.main(tmp_path / "ops.json", tmp_path / "out") == 1
    assert "answer.counters.a_at is 1.5, not 2" in capsys.readouterr().out


def test_the_table_of_values_may_hold_operations(store: sessile.Store) -> None:
    with pytest.raises(sessile.InvalidError, match="finite number"):
        call(store, "add_counters", {"add": {"a": float("nan")}}, text=lambda value: value)
    assert call(store, "add_counters", {"add": {"a": 1}}, text=lambda value: value) == {"counters": {"a": 1}}


def test_counters_count(store: sessile.Store) -> None:
    assert store.add_counters(add={"runs": 1}) == {"counters": {"runs": 1}}
    added = store.add_counters(session="s", add={"toolCalls": 1, "a_at": 5, "session": 0.5}, op="x")
    assert added == {"counters": {"toolCalls": 1, "a_at": 5, "session": 0.5}}
    assert isinstance(added["counters"]["toolCalls"], int), "callers' names are names, also such as end in _at"
    assert store.add_counters(session="s", add={"toolCalls": 1}, op="x") == added
    assert store.add_counters(session="s", add={"toolCalls": -2}, durability="buffered", op=None)["counters"] == {
        "toolCalls": -1, "a_at": 5, "session": 0.5
    }  # fmt: skip
    assert store.reset_counters(session="s", names=("a_at", "session")) == {"counters": {"toolCalls": -1}}
    assert store.reset_counters(session="s") == store.get_counters(session="s") == {"counters": {}}
    assert store.get_counters(session=None) == {"counters": {"runs": 1}}


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda store: store.add_counters(), "add_counters lacks the member add"),
        (lambda store: store.add_counters(add=None), "add must be a dict, not NoneType"),
        (lambda store: store.add_counters(add=[1]), "add must be a dict, not list"),
        (lambda store: store.add_counters(add={1: 1}), "add must be a text, not int"),
        (lambda store: store.add_counters(add={"\ud800": 1}), "surrogate"),
        (lambda store: store.add_counters(add={"a": "1"}), "add must be a number, not str"),
        (lambda store: store.add_counters(add={"a": True}), "add must be a number, not bool"),
        (lambda store: store.add_counters(add={"a": float("nan")}), "add must be a finite number"),
        (lambda store: store.add_counters(add={"a": float("-inf")}), "add must be a finite number"),
        (lambda store: store.add_counters(add={"a": 10**400}), "add must be a finite number"),
        (lambda store: store.add_counters(add={"a": 1}, session=7), "session must be a text, not int"),
        (lambda store: store.add_counters(add={"a": 1}, session="\ud800"), "surrogate"),
        (lambda store: store.add_counters(add={"a": 1}, durability="maybe"), "one of buffered, synced"),
        (lambda store: store.add_counters(add={"a": 1}, opp="x"), "add_counters has no member 'opp'"),
        (lambda store: store.get_counters(sessions="s"), "get_counters has no member 'sessions'; it has session"),
        (lambda store: store.reset_counters(names="all"), "names must be a list, not str"),
        (lambda store: store.reset_counters(names=[None]), "names must be a text, not NoneType"),
    ],
)
def test_what_breaks_a_rule_does_not_reach_the_component(store: sessile.Store, call: Any, says: str) -> None:
    store._component.call = None  # type: ignore[method-assign, assignment]
    with pytest.raises(sessile.InvalidError, match=says):
        call(store)
    del store._component.call
    assert store.get_counters() == {"counters": {}}


def test_what_the_core_has_against_it_is_an_error_by_kind(store: sessile.Store, root: Path) -> None:
    with pytest.raises(sessile.NotFoundError):
        store.get_counters(session="nobody")
    store.add_counters(add={"a": 1e308})
    for bad in ({"a": 1e308}, {"": 1}, {"n" * 257: 1}):
        with pytest.raises(sessile.InvalidError):
            store.add_counters(add={**bad, "b": 1})
    with sessile.open(root, read_only=True) as reader:
        with pytest.raises(sessile.UnavailableError, match="read-only"):
            reader.add_counters(add={"a": 1})
        assert reader.get_counters() == {"counters": {"a": 1e308}}
    store.close()
    with pytest.raises(sessile.ClosedError, match="open it again"):
        store.get_counters()


def test_the_other_kinds_of_members() -> None:
    """No operation has all of them: the shapes alone."""
    shape = _shapes.Record(
        {
            "at": _shapes.Option(_shapes.Time(53)),
            "limit": _shapes.Option(_shapes.Int(53)),
            "title": _shapes.Clearable(_shapes.Option(_shapes.TEXT)),
            "value": _shapes.Option(_shapes.Value()),
            "deep": _shapes.Option(_shapes.Named(_shapes.Record({"is_it": _shapes.BOOL}))),
        }
    )
    time = datetime(2024, 5, 1, 12, 0, 0, 5000, timezone(timedelta(hours=2)))
    given = {"at": time, "limit": 2**53 - 1, "title": None, "value": {"toolCalls": ["é", 1.5, None]}}
    assert shape.in_json(given, "it") == (
        '{"at":1714557600005,"limit":9007199254740991,"title":null,"value":{"toolCalls":["é",1.5,null]}}'
    )
    given = {"value": "a", "deep": {"x": {"is_it": True}}}
    assert shape.in_json(given, "it") == '{"value":"a","deep":{"x":{"is_it":true}}}'
    assert shape.in_json({"value": None, "at": None}, "it") == "{}"
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"at": datetime(2024, 1, 1)}, "at is a time without a zone"),
        ({"at": 2**53}, r"at must be a number from 0 to 2\*\*53 - 1"),
        ({"limit": 2**53}, r"limit must be a number from 0 to 2\*\*53 - 1"),
        ({"limit": 1.0}, "limit must be an int, not float"),
        ({"value": {"a": [float("nan")]}}, "value holds a number or a circle"),
        ({"value": {"a": {1, 2}}}, "value must be made of what JSON has"),
        ({"value": ["\udfff"]}, "value holds half of a surrogate pair"),
        ({"deep": {"x": {"is_it": 1}}}, "is_it must be a bool, not int"),
        ({"deep": {"x": {"was_it": True}}}, "deep has no member 'was_it'"),
        ({"deep": {"x": {}}}, "deep lacks the member is_it"),
    ]
    for given, says in wrong:
        with pytest.raises(sessile.InvalidError, match=says):
            shape.in_json(given, "it")


def test_answers_become_values_of_python(store: sessile.Store) -> None:
    session = store.update("s", title="t", tags=["x"], metadata={"created_at": 1})
    record = {**plain(session), "metadata": {"created_at": 1}}
    given = {
        "claimed_until": 1_700_000_000_000,
        "done_at": None,
        "created_at": 2**53 - 1,
        "session": "s",
        "entries": [{"session": record, "value": {"x_at": 1, "session": record}, "at": 5}],
        **{name: {"x_at": 5, "session": {"metadata": 1}} for name in _operations.CALLERS},
    }
    found = _operations.answer(json.dumps(given))
    assert found["claimed_until"] == datetime.fromtimestamp(1_700_000_000, timezone.utc)
    assert found["claimed_until"].tzinfo is timezone.utc
    assert (found["done_at"], found["created_at"].year, found["session"]) == (None, 9999, "s")
    assert found["entries"] == [{"session": session, "value": {"x_at": 1, "session": record}, "at": 5}]
    for name in _operations.CALLERS:
        assert found[name] == given[name], name


def test_the_store_for_asyncio_has_them_too(root: Path) -> None:
    async def work() -> None:
        async with sessile.aio.open(root) as store:
            pending = [store.add_counters(add={"n": 1}, durability="buffered") for _ in range(20)]
            assert [counters["counters"]["n"] for counters in await asyncio.gather(*pending)] == list(range(1, 21))
            assert await store.get_counters() == {"counters": {"n": 20}}
            assert await store.reset_counters() == {"counters": {}}
            for call, error in (
                (store.get_counters(session="nobody"), sessile.NotFoundError),
                (store.add_counters(add={"n": float("nan")}), sessile.InvalidError),
                (store.add_counters(ad={}), sessile.InvalidError),  # type: ignore[call-arg]
            ):
                with pytest.raises(error):
                    await call
        with pytest.raises(sessile.ClosedError):
            await store.get_counters()

    asyncio.run(work())


def test_messages_are_found_by_their_words(root: Path) -> None:
    with sessile.open(root) as store:
        session = store.create(title="Fix the build", scope="work").id
        store.append(session, [message("Why does the café close? 全文検索"), message("It is open")])
        before = store.search(query="close")
        assert [hit["seq"] for hit in before["hits"]] == [1]
        while store.update_search(bytes=1 << 20)["more"]:
            pass
        since = datetime(2020, 1, 1, tzinfo=timezone.utc)
        found = store.search(query="CAFE 検索", scope="work", session=session, role="user", since=since, limit=5)
        assert found["behind"] == {"sessions": 0, "bytes": 0}
        (hit,) = found["hits"]
        assert (hit["session_id"], hit["title"], hit["created_at"].tzinfo) == (session, "Fix the build", timezone.utc)
        marked = [hit["snippet"][mark["from"] : mark["to"]] for mark in hit["highlights"]]
        assert marked == ["café", "検索"]
        assert store.search(query="close", until=since)["hits"] == []
        with pytest.raises(sessile.InvalidError, match="close it"):
            store.search(query='"open')
