"""The operations: what they take is what the component takes, what they give has the types of Python."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
import types
import typing
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import corpus
import pytest
import typing_extensions
from calls import plain

import sessile
import sessile.aio
from sessile import _component, _operations, _shapes, operations
from sessile._methods import AsyncOperations, Operations

REPOSITORY = Path(__file__).parents[2]
NAMES = list(_operations.OPERATIONS)


def hints(kind: Any) -> dict[str, Any]:
    """The types of the members, or of the parameters."""
    scope = {**vars(typing_extensions), "ops": operations}
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


@pytest.mark.parametrize("name", NAMES)
def test_the_table_is_what_the_component_takes(name: str, store: sessile.Store) -> None:
    members = _operations.OPERATIONS[name].fields
    unknown = refusal(store, name, '{"?":1}').partition("unknown field `?`, ")[2]
    assert re.findall(r"`(\w+)`", unknown) == list(members)
    words: dict[type[_shapes.Shape], str] = {
        _shapes.Text: "a string",
        _shapes.Time: "u64",
        _shapes.Int: "u64",
        _shapes.Number: "f64",
        _shapes.Bool: "a boolean",
        _shapes.List: "a sequence",
        _shapes.Named: "a map",
        _shapes.Record: "struct",
    }
    for member, shape in members.items():
        inner = shape.inner if isinstance(shape, _shapes.Option) else shape
        probe = {_shapes.Bool: "5", _shapes.Enum: '"?"'}.get(type(inner), "true")
        said = refusal(store, name, f'{{"{member}":{probe}}}')
        if isinstance(inner, _shapes.Value):
            assert "invalid type" not in said
        elif isinstance(inner, _shapes.Enum):
            assert re.findall(r"`(\w+)`", said) == list(inner.names)
        else:
            assert re.search(f"invalid type: .*, expected {words[type(inner)]}", said), f"{member}: {said}"


@pytest.mark.parametrize("name", NAMES)
def test_the_types_are_the_table(name: str) -> None:
    members, fields = hints(request_type(name)), _operations.OPERATIONS[name].fields
    assert list(members) == list(fields)
    for member, hint in members.items():
        is_optional = isinstance(fields[member], _shapes.Option)
        assert (typing_extensions.get_origin(hint) is typing_extensions.Required) != is_optional, member
        assert (type(None) in typing_extensions.get_args(hint)) == is_optional, member


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
    if origin is list and isinstance(value, list):
        return next(filter(None, (misfit(item, arguments[0], f"{place}[]") for item in value)), None)
    if origin is dict and isinstance(value, dict):
        return next(filter(None, (misfit(item, arguments[1], f"{place}.{name}") for name, item in value.items())), None)
    wanted = (int, float) if hint is float else hint
    is_of = origin is None and isinstance(value, wanted) and (hint is bool or not isinstance(value, bool))
    return None if is_of else f"{place} is {value!r}, not {hint}"


def test_what_the_corpus_gets_has_its_types(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[tuple[str, str]] = []
    call = _component.Component.call

    def noting(self: _component.Component, name: str, args: Sequence[Any]) -> Any:
        answer = call(self, name, args)
        if name == "operate":
            answers.append((args[0], answer))
        return answer

    monkeypatch.setattr(_component.Component, "call", noting)
    (tmp_path / "ops.json").write_text(json.dumps(CASES))
    assert corpus.main(tmp_path / "ops.json", tmp_path / "own") == 0
    assert corpus.main(REPOSITORY / "tests/corpus/ops", tmp_path / "ops") == 0
    for name, text in answers:
        assert not misfit(_operations.answer(text), hints(getattr(Operations, name))["return"], name)
    assert sorted({name for name, _ in answers}) == sorted(NAMES), "the corpus leaves operations out"


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
