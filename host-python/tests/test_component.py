"""The component: its types are those of the table, its faults cost an instance, and both codecs say the same."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import corpus
import pytest
from conftest import message, texts
from wasmtime import component as wc

import sessile
from sessile import _compiled, _component, _plain, _shapes, _wire

REPOSITORY = Path(__file__).parents[2]


def wit_of(shape: _shapes.Shape | None) -> Any:
    """A shape of the table, in the words of the contract."""
    dash = lambda name: name.replace("_", "-")  # noqa: E731
    if shape is None:
        return None
    if isinstance(shape, _shapes.Record):
        return {dash(name): wit_of(inner) for name, inner in shape.fields.items()}
    if isinstance(shape, _shapes.Variant):
        return ["variant", {name: wit_of(inner) for name, inner in shape.cases.items()}]
    if isinstance(shape, _shapes.Enum):
        return ["enum", list(shape.names)]
    if isinstance(shape, (_shapes.Option, _shapes.List)):
        return ["option" if isinstance(shape, _shapes.Option) else "list", wit_of(shape.inner)]
    if isinstance(shape, _shapes.Tuple):
        return ["tuple", [wit_of(item) for item in shape.items]]
    if isinstance(shape, _shapes.Int):
        return f"u{shape.bits}"
    return {_shapes.Bool: "bool"}.get(type(shape), "string")


def type_of(type_: Any) -> Any:
    """A type of the component, in the same words."""
    if isinstance(type_, wc.RecordType):
        return {name: type_of(inner) for name, inner in type_.fields}
    if isinstance(type_, wc.VariantType):
        return ["variant", {name: type_of(inner) for name, inner in type_.cases}]
    if isinstance(type_, wc.EnumType):
        return ["enum", type_.names]
    if isinstance(type_, wc.OptionType):
        return ["option", type_of(type_.payload)]
    if isinstance(type_, wc.ListType):
        return ["list", type_of(type_.element)]
    if isinstance(type_, wc.TupleType):
        return ["tuple", [type_of(item) for item in type_.elements]]
    return None if type_ is None else type(type_).__name__.lower()


def functions_of(items: Any, engine: Any) -> dict[str, Any]:
    """The functions of an interface: parameters, result, error."""
    found = {}
    for name, item in items.exports(engine).items():
        if isinstance(item.ty, wc.FuncType):
            result = item.ty.result
            ok, error = (result.ok, result.err) if isinstance(result, wc.ResultType) else (result, None)
            found[name] = ([(name, type_of(type_)) for name, type_ in item.ty.params], type_of(ok), type_of(error))
    return found


def table_of(functions: dict[str, _shapes.Function]) -> dict[str, Any]:
    return {
        name: (
            [(name.replace("_", "-"), wit_of(shape)) for name, shape in function.params.items()],
            wit_of(function.ok),
            wit_of(function.error),
        )
        for name, function in functions.items()
    }


def test_the_table_is_the_contract_of_the_component() -> None:
    engine, component = _compiled.component()
    exports = component.type.exports(engine)
    assert list(exports) == ["sessile:store/sessions@0.1.0"]
    assert functions_of(exports["sessile:store/sessions@0.1.0"].ty, engine) == table_of(_shapes.FUNCTIONS)
    imports = component.type.imports(engine)
    assert sorted(imports) == sorted([*_shapes.IMPORTS, "sessile:store/types@0.1.0"])
    for interface, functions in _shapes.IMPORTS.items():
        assert functions_of(imports[interface].ty, engine) == table_of(functions)


def test_every_function_has_a_method_and_a_coroutine() -> None:
    from sessile.aio import AsyncStore

    names = {name.replace("-", "_") for name in _shapes.FUNCTIONS} - {"open", "operate", "list_sessions"} | {"list"}
    for kind in (sessile.Store, AsyncStore):
        public = {name for name in vars(kind) if not name.startswith("_")}
        assert names | {"append_json", "read_json", "messages", "sessions"} == public - {"closed"}, kind


def test_the_package_carries_the_component_that_was_built_last() -> None:
    inside, built = _compiled.component_file(), REPOSITORY / "host/component/sessile.wasm"
    digest = sha256(inside.read_bytes()).hexdigest()
    assert inside.name == f"sessile-{digest}.wasm"
    assert digest == sha256(built.read_bytes()).hexdigest(), "install the package again: the component is older"


def test_the_fast_codec_is_in_use() -> None:
    assert _wire.usable()
    assert _component.Instance is _wire.WireInstance


def test_an_unknown_wasmtime_gets_the_slow_codec(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_wire, "wasmtime_version", lambda: "99.0.0")
    assert not _wire.usable()


def test_another_layout_gets_the_slow_codec(monkeypatch: pytest.MonkeyPatch) -> None:
    from wasmtime import _ffi

    monkeypatch.setattr(_ffi, "WASMTIME_COMPONENT_STRING", _ffi.WASMTIME_COMPONENT_LIST)
    assert not _wire.usable()


@pytest.mark.parametrize("instance", [_wire.WireInstance, _plain.PlainInstance])
def test_both_codecs_carry_out_the_corpus(
    instance: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_component, "Instance", instance)
    assert corpus.main(REPOSITORY / "tests/corpus/ops", tmp_path / "ops") == 0
    assert corpus.main(REPOSITORY / "tests/corpus/damaged/cases.json", tmp_path / "damaged") == 0
    assert corpus.main(REPOSITORY / "tests/corpus/stores/v1/case.json", tmp_path) == 0
    count = sum(len(json.loads(file.read_text())) for file in (REPOSITORY / "tests/corpus/ops").glob("*.json"))
    assert f"corpus: {count} cases, 0 failed" in capsys.readouterr().out
    made, frozen = tmp_path / "case/0", REPOSITORY / "tests/corpus/stores/v1/files"
    files = sorted(path.relative_to(frozen) for path in frozen.rglob("*") if path.is_file())
    assert len(files) > 10
    for file in files:
        assert (made / file).read_bytes() == (frozen / file).read_bytes(), f"{file} is written otherwise"


@pytest.mark.parametrize("instance", [_wire.WireInstance, _plain.PlainInstance])
def test_a_trap_costs_an_instance_and_nothing_else(
    instance: type, store: sessile.Store, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_component, "Instance", instance)
    with sessile.open(root) as opened:
        opened.append("s", message("one"))
        # So little work that a call cannot finish: it traps in the middle.
        opened._component.fuel = 20_000
        with pytest.raises(sessile.InternalError, match=r"trapped \(.*fuel.*please report"):
            opened.append("s", message("two"))
        opened._component.fuel = _component.FUEL
        assert texts(opened) == ["one"]
        assert opened.append("s", message("two")).seq == 2


@pytest.mark.parametrize("instance", [_wire.WireInstance, _plain.PlainInstance])
@pytest.mark.parametrize("fault", [KeyboardInterrupt, RuntimeError])
def test_what_the_host_raises_comes_out_and_the_store_goes_on(
    instance: type, fault: type[BaseException], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_component, "Instance", instance)
    with sessile.open(root) as opened:
        opened.create(id="s")

        def failing(*args: object) -> int:
            raise fault

        disk = opened._disk
        assert disk
        opened._component.close()
        imports = opened._component._imports
        files = imports["sessile:store/filesystem@0.1.0"]
        function, real = files["append"]
        files["append"] = (function, failing)
        with pytest.raises(fault):
            opened.append("s", message("one"))
        files["append"] = (function, real)
        assert opened.append("s", message("two")).seq == 1
        assert texts(opened) == ["two"]


def test_memory_has_a_limit(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_component, "_MEMORY_BYTES_MAX", 64 * 1024)
    with pytest.raises(sessile.InternalError, match="cannot be started"):
        sessile.open(root)


def test_calls_do_not_leak(store: sessile.Store) -> None:
    import resource

    def work(times: int) -> int:
        for _ in range(times):
            store.append("s", message("x" * 100_000), durability="buffered")
            store.read("s", last=10)
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    before = work(50)
    # What one call moves is some 2 MB: without freeing it would be 600 MB.
    assert work(300) - before < 60_000


def test_a_frozen_store_holds_what_it_held(tmp_path: Path) -> None:
    from calls import plain

    files = REPOSITORY / "tests/corpus/stores/v1/files"
    expected = json.loads((files.parent / "expected.json").read_text())
    before = {path: path.stat().st_mtime_ns for path in files.rglob("*")}
    found: dict[str, Any] = {}
    with sessile.open(files, read_only=True) as opened:
        for trashed in (False, True):
            for session in opened.sessions(trashed=trashed):
                page = opened.read_json(session.id, last=10_000)
                found[session.id] = {
                    "session": plain(session),
                    "text": page.messages,
                    "unreadable": list(page.unreadable),
                    "branches": [[branch.tip, branch.shared, branch.current] for branch in opened.branches(session.id)],
                }
        assert opened.doctor()["healthy"]
    assert found == expected
    assert before == {path: path.stat().st_mtime_ns for path in files.rglob("*")}, "reading has written"


@pytest.mark.parametrize("program", ["corpus", "values", "dump", "worker"])
def test_the_programs_run(program: str, tmp_path: Path) -> None:
    store = tmp_path / "store"
    files = REPOSITORY / "tests/corpus"
    shutil.copytree(files / "stores/v1/files", store)
    arguments = {
        "corpus": [files / "ops", tmp_path / "out"],
        "values": [files / "values.json", tmp_path / "out"],
        "dump": [store],
        "worker": [store, tmp_path / "log", "w", "1", "7"],
    }[program]
    here = Path(__file__).with_name(f"{program}.py")
    done = subprocess.run([sys.executable, here, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    if program == "dump":
        held = json.loads(done.stdout)
        assert len(held["sessions"]) == len(held["messages"]) > 3
        assert all(isinstance(json.loads(text), list) for text in held["messages"].values())
    elif program == "worker":
        lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
        assert lines[-1]["done"] > 10
        assert not [line for line in lines if "error" in line]
    else:
        assert ", 0 failed" in done.stdout.splitlines()[-1]
