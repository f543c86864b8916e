"""The operations beside sessions and messages as methods, for both kinds of stores. They are carried out by name."""
# The component keeps the promise of the types; a test compares both.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from . import operations as ops


class Operations:
    """The methods of a :class:`sessile.Store` for counters and whatever else hosts keep beside messages."""

    def _operate(self, name: str, request: Any) -> Any:
        raise NotImplementedError

    def add_counters(self, **request: Unpack[ops.AddCounters]) -> ops.Counters:
        """Adds to counters of a session or of the store, all or none, and returns them. One that is not there begins
        at 0; counters may go below it. There are at most 10,000.

        Every acknowledged addition is in the total exactly once, however many processes add. Errors: `InvalidError`
        (a number that is not finite, here or as the sum; nothing was added), `NotFoundError`.
        """
        return self._operate("add_counters", request)

    def get_counters(self, **request: Unpack[ops.GetCounters]) -> ops.Counters:
        """Returns the counters of a session or of the store. Errors: `NotFoundError`."""
        return self._operate("get_counters", request)

    def reset_counters(self, **request: Unpack[ops.ResetCounters]) -> ops.Counters:
        """Makes counters absent, so that they begin at 0 again, and returns the others. Errors: `NotFoundError`."""
        return self._operate("reset_counters", request)


class AsyncOperations:
    """The same for a :class:`sessile.aio.AsyncStore`."""

    async def _operate(self, name: str, request: Any) -> Any:
        raise NotImplementedError

    async def add_counters(self, **request: Unpack[ops.AddCounters]) -> ops.Counters:
        """See :meth:`sessile.Store.add_counters`."""
        return await self._operate("add_counters", request)

    async def get_counters(self, **request: Unpack[ops.GetCounters]) -> ops.Counters:
        """See :meth:`sessile.Store.get_counters`."""
        return await self._operate("get_counters", request)

    async def reset_counters(self, **request: Unpack[ops.ResetCounters]) -> ops.Counters:
        """See :meth:`sessile.Store.reset_counters`."""
        return await self._operate("reset_counters", request)
