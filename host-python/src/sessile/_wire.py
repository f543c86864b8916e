"""The fast codec: values as the C interface of wasmtime lays them out, written and read as machine words.

wasmtime-py looks the types of a function up on each call and goes through ctypes for each member, which costs several
times what a whole call costs here. This module uses what wasmtime-py keeps to itself (`wasmtime._ffi`), so it looks
first: `usable()` compares every size, offset and number that it relies on with wasmtime-py's own declarations, and
wants a version that the tests have run with. Where it says no, `_plain` does the same through the public interface.

Memory: arguments are borrowed, so they stand in arrays of ours that live until the call returns. What a function
gives belongs to us and is deleted after it was read. What an import gives is copied by wasmtime before it is used.
"""

from __future__ import annotations

import ctypes
import sys
from array import array
from collections.abc import Callable, Mapping, Sequence
from ctypes import c_size_t, c_void_p
from struct import Struct
from typing import Any

import wasmtime
from wasmtime import component as wc

from . import _shapes as shapes
from ._compiled import wasmtime_version
from ._plain import exported
from ._shapes import Function, Shape
from ._signals import let_in

VERSIONS = range(48, 51)
"""The major versions of wasmtime that the tests have run with."""

_KINDS = {
    shapes.Bool: ("BOOL", 0),
    shapes.Text: ("STRING", 12),
    shapes.List: ("LIST", 13),
    shapes.Record: ("RECORD", 14),
    shapes.Tuple: ("TUPLE", 15),
    shapes.Variant: ("VARIANT", 16),
    shapes.Enum: ("ENUM", 17),
    shapes.Option: ("OPTION", 18),
}
_INT_KINDS = {8: ("U8", 2), 32: ("U32", 6), 64: ("U64", 8)}
_RESULT = ("RESULT", 19)

# A value is four words: the kind, and three of what it is. A member of a record has two more before it: its name.
_WORD = 8
_VALUE = 4
_MEMBER = 6
_ONE = Struct(f"{_VALUE}Q")


def _reader() -> Callable[[int, int], bytes]:
    """What `ctypes.string_at` is, without a frame of Python around it: all that crosses is read by this."""
    if not hasattr(ctypes, "pythonapi"):
        return ctypes.string_at  # Another Python than CPython.
    prototype = ctypes.PYFUNCTYPE(ctypes.py_object, c_void_p, ctypes.c_ssize_t)
    return prototype(("PyBytes_FromStringAndSize", ctypes.pythonapi))


string_at = _reader()

Words = tuple[int, int, int]
Low = Callable[[Any, list[Any]], Words]
Lift = Callable[[tuple[int, ...], int], Any]


def usable() -> bool:
    """Tells whether this wasmtime lays values out as this module does."""
    try:
        from wasmtime import _ffi as ffi

        val, entry, union = (
            ffi.wasmtime_component_val_t,
            ffi.wasmtime_component_valrecord_entry_t,
            ffi.wasmtime_component_valunion,
        )
        kinds = [*_KINDS.values(), *_INT_KINDS.values(), _RESULT]
        return (
            int(wasmtime_version().split(".")[0]) in VERSIONS
            and sys.byteorder == "little"
            and ctypes.sizeof(c_void_p) == _WORD
            and ctypes.sizeof(val) == _VALUE * _WORD
            and ctypes.sizeof(entry) == _MEMBER * _WORD
            and (val.kind.offset, val.of.offset) == (0, _WORD)
            and (entry.name.offset, entry.val.offset) == (0, 2 * _WORD)
            and all(getattr(union, name).offset == 0 for name in ("boolean", "u64", "string", "record", "option"))
            and _offsets(ffi.wasm_byte_vec_t) == _offsets(ffi.wasmtime_component_vallist_t) == [0, _WORD]
            and _offsets(ffi.wasmtime_component_valrecord_t) == _offsets(ffi.wasmtime_component_valtuple_t)
            and _offsets(ffi.wasmtime_component_valrecord_t) == [0, _WORD]
            and _offsets(ffi.wasmtime_component_valvariant_t) == [0, 2 * _WORD]
            and _offsets(ffi.wasmtime_component_valresult) == [0, _WORD]
            and all(getattr(ffi, f"WASMTIME_COMPONENT_{name}").value == kind for name, kind in kinds)
            and callable(ffi.dll.wasmtime_component_val_clone)
        )
    except (AttributeError, ImportError, ValueError):
        return False


def _offsets(structure: Any) -> list[int]:
    return [getattr(structure, name).offset for name, _ in structure._fields_]


def _kind(shape: Shape) -> int:
    if isinstance(shape, shapes.Int):
        return _INT_KINDS[shape.bits][1]
    return next(number for kind, (_, number) in _KINDS.items() if isinstance(shape, kind))


# Names of members and cases: made once, never freed.
_names: dict[str, tuple[Any, Words]] = {}


def _name(text: str) -> Words:
    if text not in _names:
        held = array("B", text.replace("_", "-").encode())
        address, size = held.buffer_info()
        _names[text] = (held, (size, address, 0))
    return _names[text][1]


def _place(words: list[int], keep: list[Any]) -> int:
    held = array("Q", words)
    keep.append(held)
    return held.buffer_info()[0]


def _bytes(value: bytes, keep: list[Any]) -> Words:
    # An empty one needs an address too.
    held = array("B", value or b"\0")
    keep.append(held)
    return len(value), held.buffer_info()[0], 0


def lowering(shape: Shape) -> Low:
    """Returns a function that writes plain values of this shape. What it writes lives as long as `keep`."""
    if isinstance(shape, shapes.Text):
        return _bytes
    if isinstance(shape, (shapes.Bool, shapes.Int)):
        return lambda value, keep: (int(value), 0, 0)
    if isinstance(shape, shapes.Enum):
        words = {name: _name(name) for name in shape.names}
        return lambda value, keep: words[value]
    if isinstance(shape, shapes.Option):
        kind, low = _kind(shape.inner), lowering(shape.inner)

        def option(value: Any, keep: list[Any]) -> Words:
            return (0, 0, 0) if value is None else (_place([kind, *low(value[0], keep)], keep), 0, 0)

        return option
    if isinstance(shape, shapes.Variant):
        cases = {name: (_name(name), _kind(inner), lowering(inner)) for name, inner in shape.cases.items()}

        def variant(value: Any, keep: list[Any]) -> Words:
            (size, address, _), kind, low = cases[value[0]]
            return size, address, _place([kind, *low(value[1], keep)], keep)

        return variant
    if isinstance(shape, shapes.Record):
        members = [((*_name(name)[:2], _kind(inner)), lowering(inner)) for name, inner in shape.fields.items()]
        low = _several_of(members, len(members))
        inners = shape.fields.values()
        return _remembering(low) if all(isinstance(inner, (shapes.Enum, shapes.Option)) for inner in inners) else low
    if isinstance(shape, shapes.Tuple):
        items = [((_kind(inner),), lowering(inner)) for inner in shape.items]
        return _several_of(items, len(items))
    assert isinstance(shape, shapes.List)
    kind, low = _kind(shape.inner), lowering(shape.inner)

    def several(values: Sequence[Any], keep: list[Any]) -> Words:
        words: list[int] = []
        for value in values:
            words.append(kind)
            words += low(value, keep)
        return len(values), _place(words or [0], keep), 0

    return several


def _several_of(members: Sequence[tuple[tuple[int, ...], Low]], count: int) -> Low:
    def low(values: Sequence[Any], keep: list[Any]) -> Words:
        words: list[int] = []
        for (head, low), value in zip(members, values):
            words += head
            words += low(value, keep)
        return count, _place(words, keep), 0

    return low


def _remembering(low: Low) -> Low:
    """Keeps what a record of enums and options becomes while no option is given: there are few such records, and
    nearly every write has one of them."""
    kept: dict[tuple[Any, ...], tuple[Words, list[Any]]] = {}

    def remembered(values: tuple[Any, ...], keep: list[Any]) -> Words:
        if any(type(value) is tuple for value in values):
            return low(values, keep)
        found = kept.get(values)
        if found is None:
            held: list[Any] = []
            found = kept[values] = low(values, held), held
        return found[0]

    return remembered


def lifting(shape: Shape) -> Lift:
    """Returns a function that reads a value of this shape from words of which those from `at` on are its own."""
    if isinstance(shape, shapes.Text):
        make = shape.make
        if shape.raw:
            return lambda words, at: string_at(words[at + 1], words[at])
        if make is None:
            return lambda words, at: string_at(words[at + 1], words[at]).decode()
        return lambda words, at: make(string_at(words[at + 1], words[at]).decode())
    if isinstance(shape, shapes.Bool):
        return lambda words, at: words[at] & 0xFF != 0
    if isinstance(shape, shapes.Int):
        # The bytes behind a small number are anything.
        mask, made = (1 << shape.bits) - 1, shape.make
        return (lambda words, at: words[at] & mask) if made is None else (lambda words, at: made(words[at] & mask))
    if isinstance(shape, shapes.Enum):
        return lambda words, at: string_at(words[at + 1], words[at]).decode()
    if isinstance(shape, shapes.Option):
        inner = _lifting_at(shape.inner)
        return lambda words, at: inner(words[at]) if words[at] else None
    if isinstance(shape, shapes.Record):
        lifts = [(lifting(inner), _MEMBER * place + 3) for place, inner in enumerate(shape.fields.values())]
        struct, build = Struct(f"{_MEMBER * len(lifts)}Q"), shape.make

        def record(words: tuple[int, ...], at: int) -> Any:
            if words[at] != len(lifts):
                raise ValueError("a record has other members than the contract says")
            members = struct.unpack(string_at(words[at + 1], struct.size))
            values = [lift(members, place) for lift, place in lifts]
            return build(*values) if build else tuple(values)

        return record
    assert isinstance(shape, shapes.List), "no function gives this"
    lift = lifting(shape.inner)

    def several(words: tuple[int, ...], at: int) -> Any:
        count = words[at]
        items = Struct(f"{_VALUE * count}Q").unpack(string_at(words[at + 1], _VALUE * _WORD * count))
        return tuple([lift(items, _VALUE * place + 1) for place in range(count)])

    return several


def _lifting_at(shape: Shape) -> Callable[[int], Any]:
    lift, kind = lifting(shape), _kind(shape)

    def at(address: int) -> Any:
        words = _ONE.unpack(string_at(address, _ONE.size))
        if words[0] & 0xFF != kind:
            raise ValueError("a value is of another kind than the contract says")
        return lift(words, 1)

    return at


def _given(shape: Shape | None) -> Callable[[int], Any]:
    return _lifting_at(shape) if shape else lambda address: None


def _boxed(shape: Shape | None) -> Callable[[Any, list[Any]], int]:
    if shape is None:
        return lambda value, keep: 0
    kind, low = _kind(shape), lowering(shape)
    if isinstance(shape, shapes.Int):
        # One place for all: what an import gives is copied before the next one is called.
        place = array("Q", (kind, 0, 0, 0))
        address = place.buffer_info()[0]

        def boxed(value: Any, keep: list[Any]) -> int:
            place[1] = value
            return address

        return boxed
    return lambda value, keep: _place([kind, *low(value, keep)], keep)


class WireInstance:
    """An instance of the component, in a wasmtime store of its own. One thread uses it at a time."""

    def __init__(
        self,
        store: wasmtime.Store,
        component: wc.Component,
        imports: Mapping[str, Mapping[str, tuple[Function, Callable[..., Any]]]],
        failure: type[Exception],
    ) -> None:
        """Instantiates. An import fails by raising `failure`, whose `args` are the kind and the message."""
        from wasmtime import _ffi as ffi

        self._ffi, self._store, self._failure = ffi, store, failure
        self._call = _prototype(ffi, "func_call", c_void_p, *[c_void_p] * 3, c_size_t, c_void_p, c_size_t)
        self._delete = _prototype(ffi, "val_delete", None, c_void_p)
        self._clone = _prototype(ffi, "val_clone", None, c_void_p, c_void_p)
        self._context = ctypes.cast(store._context(), c_void_p)
        # What an import raised that is no failure of a file; it ends the call that it was made in.
        self._raised: BaseException | None = None
        self._callbacks: list[Any] = []
        linker = wc.Linker(store.engine)
        with linker.root() as root:
            for interface, functions in imports.items():
                with root.add_instance(interface) as instance:
                    for name, (function, act) in functions.items():
                        self._add(instance, name, function, act)
        self._instance = linker.instantiate(store, component)

    def _add(self, instance: Any, name: str, function: Function, act: Callable[..., Any]) -> None:
        add = _prototype(
            self._ffi, "linker_instance_add_func", c_void_p, c_void_p, c_void_p, c_size_t, *[c_void_p] * 3
        )
        callback = _CALLBACK(self._import(function, act))
        self._callbacks.append(callback)
        encoded = ctypes.create_string_buffer(name.encode())
        target = ctypes.cast(instance.ptr(), c_void_p)
        error = add(target, ctypes.addressof(encoded), len(name), ctypes.cast(callback, c_void_p), None, None)
        if error:
            raise self._error(error)

    def _import(self, function: Function, act: Callable[..., Any]) -> Callable[..., int]:
        lifts = [(lifting(shape), _VALUE * place + 1) for place, shape in enumerate(function.params.values())]
        args = Struct(f"{_VALUE * len(lifts)}Q")
        box_ok, box_error = _boxed(function.ok), _boxed(function.error)
        clone, failure, failed = self._clone, self._failure, self._failed
        # It is copied before the next import is called, so one place does for all.
        result = array("Q", (_RESULT[1], 0, 0, 0))
        address = result.buffer_info()[0]

        def call(data: Any, context: Any, type_: Any, given: int, count: int, results: int, result_count: int) -> int:
            try:
                let_in()
                keep: list[Any] = []
                words = args.unpack(string_at(given, args.size))
                try:
                    result[2] = box_ok(act(*[lift(words, at) for lift, at in lifts]), keep)
                    result[1] = 1
                except failure as error:
                    result[2] = box_error(error.args, keep)
                    result[1] = 0
                clone(address, results)
                return 0
            except BaseException as error:
                return failed(error)

        def tell(data: Any, context: Any, type_: Any, given: int, count: int, results: int, result_count: int) -> int:
            # The clock and random bits: there is no argument, no wait in which a signal could come, and no failure.
            try:
                keep: list[Any] = []
                clone(box_ok(act(), keep), results)
                return 0
            except BaseException as error:
                return failed(error)

        return call if function.error is not None else tell

    def _failed(self, error: BaseException) -> int:
        # Also an interrupt from the keyboard: nothing may be raised through the component.
        self._raised = error
        return int(ctypes.cast(self._ffi.wasmtime_error_new(b"the host failed"), c_void_p).value or 0)

    def bind(self, interface: str, name: str, function: Function) -> Callable[[Sequence[Any]], Any]:
        """Returns an exported function. It takes plain values, returns what the function gives or raises the error
        that it gives instead, and raises `wasmtime.WasmtimeError` for a trap: then this instance is dead."""
        func = exported(self._store, self._instance, interface, name)
        lows = [(_kind(shape), lowering(shape)) for shape in function.params.values()]
        ok, error = _given(function.ok), _given(function.error)
        raw, context, call, delete = func._func, self._context, self._call, self._delete
        address, count, is_result = ctypes.addressof(raw), len(lows), _RESULT[1]
        # Calls never meet: a call ends before the next begins.
        space = array("Q", (0, 0, 0, 0))
        result = space.buffer_info()[0]

        def run(args: Sequence[Any], raw: Any = raw) -> Any:
            keep: list[Any] = []
            words: list[int] = []
            for (kind, low), arg in zip(lows, args):
                words.append(kind)
                words += low(arg, keep)
            # A bool, which owns nothing: wasmtime drops what stands where it writes.
            space[0] = 0
            trap = call(address, context, _place(words or [0], keep), count, result, 1)
            if trap:
                raised, self._raised = self._raised, None
                failed = self._error(trap)
                if raised is None:
                    raise failed
                failed.close()
                raise raised
            try:
                if space[0] & 0xFF != is_result:
                    raise ValueError("a function gives another kind than the contract says")
                if space[1] & 0xFF:
                    return ok(space[2])
                raise error(space[2])
            finally:
                delete(result)

        return run

    def _error(self, address: int) -> wasmtime.WasmtimeError:
        pointer = ctypes.cast(address, ctypes.POINTER(self._ffi.wasmtime_error_t))
        return wasmtime.WasmtimeError._from_ptr(pointer)


_CALLBACK = ctypes.CFUNCTYPE(c_size_t, c_void_p, c_void_p, c_void_p, c_void_p, c_size_t, c_void_p, c_size_t)


def _prototype(ffi: Any, name: str, result: Any, *args: Any) -> Any:
    # Looked up by item, a function is our own copy, so that wasmtime-py's keeps its types.
    function = ffi.dll[f"wasmtime_component_{name}"]
    function.restype, function.argtypes = result, args
    return function
