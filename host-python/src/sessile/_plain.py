"""The slow codec: values through the public interface of wasmtime-py alone.

It stands in for `_wire` where that does not know the version of wasmtime. Its answers are the same; a call takes
several times as long.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import wasmtime
from wasmtime import component as wc

from . import _shapes as shapes
from ._shapes import Function, Shape
from ._signals import let_in


def _classes(shape: Shape | None) -> set[type]:
    # What wasmtime-py takes a value of this shape for: a choice whose cases share a class is tagged.
    if isinstance(shape, shapes.Option):
        return {wc.Variant} if _overlaps(None, shape.inner) else {object, *_classes(shape.inner)}
    if isinstance(shape, shapes.Variant):
        cases = list(shape.cases.values())
        return {wc.Variant} if _overlaps(*cases) else set().union(*map(_classes, cases))
    if isinstance(shape, shapes.List):
        return {bytes} if isinstance(shape.inner, shapes.Int) and shape.inner.bits == 8 else {list}
    for kind, classes in _CLASSES.items():
        if isinstance(shape, kind):
            return {classes}
    return {object}


_CLASSES: dict[type[Shape], type] = {
    shapes.Text: str,
    shapes.Enum: str,
    shapes.Bool: bool,
    shapes.Int: int,
    shapes.Record: wc.Record,
    shapes.Tuple: tuple,
}


def _overlaps(*cases: Shape | None) -> bool:
    seen: set[type] = set()
    for case in cases:
        classes = _classes(case)
        if classes & seen:
            return True
        seen |= classes
    return False


def _lower(shape: Shape, value: Any) -> Any:
    if isinstance(shape, shapes.Text):
        return value.decode()
    if isinstance(shape, shapes.Option):
        if not _overlaps(None, shape.inner):
            return None if value is None else _lower(shape.inner, value[0])
        return wc.Variant("none") if value is None else wc.Variant("some", _lower(shape.inner, value[0]))
    if isinstance(shape, shapes.Variant):
        inner = _lower(shape.cases[value[0]], value[1])
        return wc.Variant(value[0], inner) if _overlaps(*shape.cases.values()) else inner
    if isinstance(shape, shapes.Record):
        record = wc.Record()
        for (name, inner), item in zip(shape.fields.items(), value):
            setattr(record, name.replace("_", "-"), _lower(inner, item))
        return record
    if isinstance(shape, shapes.Tuple):
        return tuple(_lower(inner, item) for inner, item in zip(shape.items, value))
    if isinstance(shape, shapes.List) and not isinstance(value, bytes):
        return [_lower(shape.inner, item) for item in value]
    return value


def _lift(shape: Shape, value: Any) -> Any:
    if isinstance(shape, shapes.Text):
        if shape.raw:
            return value.encode()
        return shape.make(value) if shape.make else value
    if isinstance(shape, shapes.Int):
        return shape.make(value) if shape.make else value
    if isinstance(shape, shapes.Option):
        return None if value is None else _lift(shape.inner, value)
    if isinstance(shape, shapes.Record):
        values = [_lift(inner, getattr(value, name.replace("_", "-"))) for name, inner in shape.fields.items()]
        return shape.make(*values) if shape.make else tuple(values)
    if isinstance(shape, shapes.List):
        return tuple(_lift(shape.inner, item) for item in value)
    return value


def exported(store: wasmtime.Store, instance: wc.Instance, interface: str, name: str) -> wc.Func:
    """Finds a function that an instance exports."""
    outer = instance.get_export_index(store, interface)
    inner = outer and instance.get_export_index(store, name, outer)
    func = instance.get_func(store, inner) if inner else None
    if func is None:
        raise wasmtime.WasmtimeError(f"the component does not export {name}")
    return func


class PlainInstance:
    """As :class:`sessile._wire.WireInstance`."""

    def __init__(
        self,
        store: wasmtime.Store,
        component: wc.Component,
        imports: Mapping[str, Mapping[str, tuple[Function, Callable[..., Any]]]],
        failure: type[Exception],
    ) -> None:
        self._store, self._failure = store, failure
        self._raised: BaseException | None = None
        linker = wc.Linker(store.engine)
        with linker.root() as root:
            for interface, functions in imports.items():
                with root.add_instance(interface) as instance:
                    for name, (function, act) in functions.items():
                        instance.add_func(name, self._import(function, act))
        self._instance = linker.instantiate(store, component)

    def _import(self, function: Function, act: Callable[..., Any]) -> Callable[..., Any]:
        def call(context: Any, *args: Any) -> Any:
            try:
                let_in()
                given = [_lift(shape, arg) for shape, arg in zip(function.params.values(), args)]
                try:
                    value = act(*given)
                    case, shape = "ok", function.ok
                except self._failure as error:
                    value, case, shape = error.args, "err", function.error
                inner = None if shape is None else _lower(shape, value)
                tagged = function.error is not None and _overlaps(function.ok, function.error)
                return wc.Variant(case, inner) if tagged else inner
            except BaseException as error:
                self._raised = error
                raise wasmtime.WasmtimeError("the host failed") from None

        return call

    def bind(self, interface: str, name: str, function: Function) -> Callable[[Sequence[Any]], Any]:
        found = exported(self._store, self._instance, interface, name)
        tagged = _overlaps(function.ok, function.error)

        def run(args: Sequence[Any]) -> Any:
            lowered = [_lower(shape, arg) for shape, arg in zip(function.params.values(), args)]
            try:
                result = found(self._store, *lowered)
            except wasmtime.WasmtimeError as trap:
                raised, self._raised = self._raised, None
                raise raised or trap
            if tagged:
                is_error, result = result.tag == "err", result.payload
            else:
                is_error = isinstance(result, wc.Record)
            if is_error:
                assert function.error
                raise _lift(function.error, result)
            return None if function.ok is None else _lift(function.ok, result)

        return run
