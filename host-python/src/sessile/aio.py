"""A store for asyncio.

All calls on a store run in one worker thread, in the order in which they were made. The thread is started by the
first call and ends with :meth:`AsyncStore.close`.

Cancellation is safe: a call that has not begun when its `await` is cancelled is dropped; one that has begun runs to
its end, and the calls behind it wait for it. Either way it has happened wholly or not at all, and the store can be
used on. Whoever cancelled and wants to know looks, or makes the call again with the same `op`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from ._methods import AsyncOperations
from .errors import ClosedError
from .store import Store, StrPath, readable
from .store import open as _open_store
from .types import (
    Appended,
    Branch,
    JsonPage,
    Message,
    MessageRef,
    Page,
    Rewritten,
    Session,
    SessionPage,
    StoredMessage,
)

if TYPE_CHECKING:
    from collections.abc import Generator

    from typing_extensions import ParamSpec, Self, Unpack

    from .options import (
        CreateOptions,
        ForkOptions,
        ListOptions,
        MessageOptions,
        ReadOptions,
        Unreadable,
        UpdateOptions,
        WriteOptions,
    )

    P = ParamSpec("P")

T = TypeVar("T")

__all__ = ["AsyncStore", "open"]


def open(path: StrPath, read_only: bool = False) -> _Opening:
    """Opens a store as :func:`sessile.open` does, in its worker thread.

    `await` it for an :class:`AsyncStore`, or use it with `async with`, which closes the store.
    """
    return _Opening(path, read_only)


class _Opening:
    def __init__(self, path: StrPath, read_only: bool) -> None:
        self._path, self._read_only = path, read_only
        self._store: AsyncStore | None = None

    def __await__(self) -> Generator[Any, None, AsyncStore]:
        return AsyncStore._open(self._path, self._read_only).__await__()

    async def __aenter__(self) -> AsyncStore:
        self._store = await self
        return self._store

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._store is not None:
            await self._store.close()


class AsyncStore(AsyncOperations):
    """An open store whose calls are awaited. Every call is that of the same name of :class:`sessile.Store`."""

    def __init__(self, worker: ThreadPoolExecutor, store: Store) -> None:
        """Not for use from outside: see :func:`sessile.aio.open`."""
        self._worker, self._store = worker, store

    @classmethod
    async def _open(cls, path: StrPath, read_only: bool) -> Self:
        worker = ThreadPoolExecutor(1, "sessile")
        opening = worker.submit(_open_store, path, read_only)
        try:
            return cls(worker, await asyncio.wrap_future(opening))
        except BaseException:
            # A store whose opening had begun when this was cancelled is dropped unused.
            worker.shutdown(wait=False)
            raise

    async def _run(self, call: Callable[P, T], /, *args: P.args, **options: P.kwargs) -> T:
        try:
            future = self._worker.submit(call, *args, **options)
        except RuntimeError:
            raise ClosedError("this store was closed; open it again") from None
        return await asyncio.wrap_future(future)

    async def _operate(self, name: str, request: Any) -> Any:
        return await self._run(self._store._operate, name, request)

    async def create(self, **options: Unpack[CreateOptions]) -> Session:
        """See :meth:`sessile.Store.create`."""
        return await self._run(self._store.create, **options)

    async def get(self, id: str, /) -> Session:
        """See :meth:`sessile.Store.get`."""
        return await self._run(self._store.get, id)

    async def update(self, id: str, /, **options: Unpack[UpdateOptions]) -> Session:
        """See :meth:`sessile.Store.update`."""
        return await self._run(self._store.update, id, **options)

    async def touch(self, id: str, /) -> Session:
        """See :meth:`sessile.Store.touch`."""
        return await self._run(self._store.touch, id)

    async def trash(self, id: str, /) -> Session:
        """See :meth:`sessile.Store.trash`."""
        return await self._run(self._store.trash, id)

    async def restore(self, id: str, /) -> Session:
        """See :meth:`sessile.Store.restore`."""
        return await self._run(self._store.restore, id)

    async def purge(self, id: str, /) -> None:
        """See :meth:`sessile.Store.purge`."""
        return await self._run(self._store.purge, id)

    async def append(
        self, id: str, messages: Message | Sequence[Message], /, **options: Unpack[WriteOptions]
    ) -> Appended:
        """See :meth:`sessile.Store.append`."""
        return await self._run(self._store.append, id, messages, **options)

    async def append_json(self, id: str, messages: str, /, **options: Unpack[WriteOptions]) -> Appended:
        """See :meth:`sessile.Store.append_json`."""
        return await self._run(self._store.append_json, id, messages, **options)

    async def update_message(self, id: str, message: MessageRef, /, **options: Unpack[MessageOptions]) -> int:
        """See :meth:`sessile.Store.update_message`."""
        return await self._run(self._store.update_message, id, message, **options)

    async def sync(self, id: str, /) -> None:
        """See :meth:`sessile.Store.sync`."""
        return await self._run(self._store.sync, id)

    async def read(self, id: str, /, **options: Unpack[ReadOptions]) -> Page:
        """See :meth:`sessile.Store.read`."""
        return await self._run(self._store.read, id, **options)

    async def read_json(self, id: str, /, **options: Unpack[ReadOptions]) -> JsonPage:
        """See :meth:`sessile.Store.read_json`."""
        return await self._run(self._store.read_json, id, **options)

    async def messages(
        self, id: str, /, *, from_seq: int = 1, limit: int = 1000, unreadable: Unreadable = "fail"
    ) -> AsyncIterator[StoredMessage]:
        """See :meth:`sessile.Store.messages`."""
        page = readable(id, await self.read(id, from_seq=from_seq, limit=limit), unreadable)
        for message in page.messages:
            yield message
        while page.next is not None:
            page = readable(id, await self.read(id, cursor=page.next, limit=limit), unreadable)
            for message in page.messages:
                yield message

    async def fork(self, id: str, /, **options: Unpack[ForkOptions]) -> Session:
        """See :meth:`sessile.Store.fork`."""
        return await self._run(self._store.fork, id, **options)

    async def detach(self, id: str, /) -> Rewritten:
        """See :meth:`sessile.Store.detach`."""
        return await self._run(self._store.detach, id)

    async def compact(self, id: str, /) -> Rewritten:
        """See :meth:`sessile.Store.compact`."""
        return await self._run(self._store.compact, id)

    async def revert(
        self, id: str, to: MessageRef, /, *, inclusive: bool = False, **options: Unpack[WriteOptions]
    ) -> Session:
        """See :meth:`sessile.Store.revert`."""
        return await self._run(self._store.revert, id, to, inclusive=inclusive, **options)

    async def unrevert(self, id: str, /, **options: Unpack[WriteOptions]) -> Session:
        """See :meth:`sessile.Store.unrevert`."""
        return await self._run(self._store.unrevert, id, **options)

    async def switch(self, id: str, to: MessageRef, /, **options: Unpack[WriteOptions]) -> Session:
        """See :meth:`sessile.Store.switch`."""
        return await self._run(self._store.switch, id, to, **options)

    async def branches(self, id: str, /) -> tuple[Branch, ...]:
        """See :meth:`sessile.Store.branches`."""
        return await self._run(self._store.branches, id)

    async def list(self, **query: Unpack[ListOptions]) -> SessionPage:
        """See :meth:`sessile.Store.list`."""
        return await self._run(self._store.list, **query)

    async def sessions(self, **query: Unpack[ListOptions]) -> AsyncIterator[Session]:
        """See :meth:`sessile.Store.sessions`."""
        page = await self.list(**query)
        for session in page.sessions:
            yield session
        while page.next is not None:
            query["cursor"] = page.next
            page = await self.list(**query)
            for session in page.sessions:
                yield session

    async def resolve(self, text: str, /, scope: str | None = None) -> Session:
        """See :meth:`sessile.Store.resolve`."""
        return await self._run(self._store.resolve, text, scope)

    async def doctor(self, repair: bool = False) -> dict[str, Any]:
        """See :meth:`sessile.Store.doctor`."""
        return await self._run(self._store.doctor, repair)

    async def close(self) -> None:
        """Closes the store behind all calls that were made before, and ends the worker thread. Closing twice is
        fine. Cancelling this does not undo it."""
        try:
            closing = self._worker.submit(self._store.close)
        except RuntimeError:
            return
        self._worker.shutdown(wait=False)
        await asyncio.shield(asyncio.wrap_future(closing))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
