"""Signals wait while the component runs, and are let in where an exception of their handlers can come out.

A handler of Python runs in the main thread, wherever that begins to execute Python: here, that is the entry of an
import, before any `try` of ours. What it raises there (an interrupt from the keyboard, say) would be lost between
wasmtime and Python. So the main thread blocks the usual signals for the time of a call, and each import asks for
them inside its `try`. In a process with more threads the system may give a signal to another one, which nothing here
can hold back: then the call fails as `internal`, with nothing lost but the exception.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Set
from typing import Any

if sys.platform == "win32":

    def hold() -> Set[int] | None:
        """Nothing: Windows has no mask of signals."""

    def release(held: Set[int] | None) -> None:
        """Nothing."""

    def let_in() -> None:
        """Nothing."""

else:
    _NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGALRM", "SIGUSR1", "SIGUSR2")
    _WAITING: Set[int] = frozenset(int(getattr(signal, name)) for name in _NAMES)
    # The module makes enumerations of all numbers, which takes several times as long as the rest.
    _numbers: Any = sys.modules.get("_signal", signal)
    _this_thread = threading.get_ident
    _mask, _pending = _numbers.pthread_sigmask, _numbers.sigpending

    _BLOCK, _UNBLOCK, _SET = int(signal.SIG_BLOCK), int(signal.SIG_UNBLOCK), int(signal.SIG_SETMASK)

    def hold() -> Set[int] | None:
        """Lets signals wait. Returns what `release` needs; `None` outside the main thread, where no handler runs."""
        if _this_thread() != threading.main_thread().ident:
            return None
        before: Set[int] = _mask(_BLOCK, _WAITING)
        return before

    def release(held: Set[int] | None) -> None:
        """Lets them in again. What their handlers raise comes out here."""
        if held is not None:
            _mask(_SET, held)

    def let_in() -> None:
        """Lets in those that wait. What their handlers raise comes out here."""
        if waiting := _pending() & _WAITING:
            before = _mask(_UNBLOCK, waiting)
            _mask(_SET, before)
