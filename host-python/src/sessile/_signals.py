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

if sys.platform == "win32":

    def hold() -> None:
        """Nothing: Windows has no mask of signals."""

    def release(held: None) -> None:
        """Nothing."""

    def let_in() -> None:
        """Nothing."""

else:
    _WAITING = {
        signal.SIGINT,
        signal.SIGTERM,
        signal.SIGHUP,
        signal.SIGALRM,
        signal.SIGUSR1,
        signal.SIGUSR2,
    }

    def hold() -> Set[int] | None:
        """Lets signals wait. Returns what `release` needs; `None` outside the main thread, where no handler runs."""
        if threading.current_thread() is not threading.main_thread():
            return None
        return signal.pthread_sigmask(signal.SIG_BLOCK, _WAITING)

    def release(held: Set[int] | None) -> None:
        """Lets them in again. What their handlers raise comes out here."""
        if held is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, held)

    def let_in() -> None:
        """Lets in those that wait. What their handlers raise comes out here."""
        if waiting := signal.sigpending() & _WAITING:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, waiting)
            signal.pthread_sigmask(signal.SIG_BLOCK, waiting)
