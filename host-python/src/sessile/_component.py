"""The component under wasmtime: three imports, a limit of memory, and a bound of work per call.

After a trap the instance is dropped, and the next call makes a fresh one on the same files: what an instance holds is
only a cache of them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from struct import Struct
from typing import Any

import wasmtime

from . import _compiled, _signals, _wire
from ._plain import PlainInstance
from ._shapes import FUNCTIONS, IMPORTS
from .disk import DiskFs, FsError
from .errors import BY_KIND, InternalError, SessileError

_SESSIONS = "sessile:store/sessions@0.1.0"
# The most memory of an instance, in bytes: as much as the module itself allows.
_MEMORY_BYTES_MAX = 1 << 30
# The work that one call may do, in fuel: some minutes. A call that needs more is a fault.
FUEL = 1 << 40
_HALVES = Struct(">2Q")

Instance = _wire.WireInstance if _wire.usable() else PlainInstance


def now_ms() -> int:
    """The wall clock of the system. One that is set before 1970 is wrong, and reads as 1970."""
    return max(0, time.time_ns() // 1_000_000)


def random() -> tuple[int, int]:
    """128 random bits of the system, as two halves."""
    high, low = _HALVES.unpack(os.urandom(16))
    return high, low


def error_of(error: FsError) -> SessileError:
    """What an error of the disk means to whoever opens a store."""
    kinds = {"exists": "conflict", "not-text": "damaged", "refused": "damaged"}
    return BY_KIND[kinds.get(error.kind, error.kind)](str(error))


class Component:
    """A store in the component. One thread calls it at a time."""

    def __init__(
        self,
        disk: DiskFs,
        read_only: bool,
        clock: Callable[[], int] = now_ms,
        entropy: Callable[[], tuple[int, int]] = random,
    ) -> None:
        """Opens the store in the root of `disk`. `clock` and `entropy` are for tests."""
        self.fuel = FUEL
        self._options = [(read_only,)]
        other: dict[str, Callable[..., Any]] = {"now-ms": clock, "random": entropy}
        self._imports = {
            interface: {
                name: (function, other.get(name) or getattr(disk, name.replace("-", "_")))
                for name, function in functions.items()
            }
            for interface, functions in IMPORTS.items()
        }
        self._store: wasmtime.Store | None = None
        self._instance: Any = None
        self._functions: dict[str, Callable[[Sequence[Any]], Any]] = {}
        held = _signals.hold()
        try:
            self._start()
        finally:
            _signals.release(held)

    def call(self, name: str, args: Sequence[Any]) -> Any:
        """Calls a function of the contract. Errors: those of the function; `invalid`; `internal` after a trap."""
        plain = FUNCTIONS[name].check(args)
        held = _signals.hold()
        try:
            if self._store is None:
                self._start()
            return self._run(name, plain)
        finally:
            _signals.release(held)

    def close(self) -> None:
        """Drops the instance. The next call makes another."""
        # Nothing may interrupt wasmtime-py between freeing what it holds and noting that it has.
        held = _signals.hold()
        try:
            self._drop()
        finally:
            _signals.release(held)

    def _drop(self) -> None:
        if self._store is not None:
            # Not left to the collector, which would free it in the middle of whatever the caller does then.
            self._store.close()
        self._store, self._instance, self._functions = None, None, {}

    def _start(self) -> None:
        try:
            engine, component = _compiled.component()
            store = wasmtime.Store(engine)
            store.set_limits(memory_size=_MEMORY_BYTES_MAX)
            store.set_fuel(FUEL)
            self._instance = Instance(store, component, self._imports, FsError)
            self._store = store
        except (wasmtime.WasmtimeError, OSError) as error:
            self._drop()
            raise InternalError(f"the component cannot be started: {_first_line(error)}") from None
        try:
            self._run("open", self._options)
        except BaseException:
            # The next call tries again.
            self._drop()
            raise

    def _run(self, name: str, plain: Sequence[Any]) -> Any:
        function = self._functions.get(name)
        try:
            if function is None:
                function = self._functions[name] = self._instance.bind(_SESSIONS, name, FUNCTIONS[name])
            assert self._store
            self._store.set_fuel(self.fuel)
            return function(plain)
        except SessileError:
            raise
        except (wasmtime.WasmtimeError, ValueError, AssertionError) as trap:
            self._drop()
            raise InternalError(
                f"the component has trapped ({_first_line(trap)}); nothing acknowledged is lost, please report this"
            ) from None
        except BaseException:
            # An interrupt, or the host's own fault: the instance was left in the middle of the call.
            self._drop()
            raise


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    # The cause stands behind the addresses.
    return next((line.strip() for line in lines if "trap" in line or "fuel" in line), lines[0])[:200]
