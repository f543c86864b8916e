"""A store for synchronous use."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Union

from . import _operations
from ._component import Component, error_of, now_ms, random
from ._methods import Operations
from ._shapes import MESSAGES, WRITE, parse_json
from .disk import DiskFs, FsError
from .errors import ClosedError, DamagedError, InvalidError, SessileError, UnavailableError
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
    from typing_extensions import Self, Unpack

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

__all__ = ["Store", "open"]

StrPath = Union[str, "os.PathLike[str]"]


def open(path: StrPath, read_only: bool = False) -> Store:
    """Opens the store in the directory `path`, or makes one there (mode 0700, with its parents).

    Opening a store that is there writes nothing, and damage in it does not prevent it. With `read_only` every write
    is refused and nothing is created, so read-only media and snapshots work.

    Errors: `InvalidError` (an empty path, or a NUL in it), `NotFoundError` (read-only, and there is none),
    `DamagedError` (something else stands there, or a directory that others may write to), `UnsupportedError` (a newer
    format), `UnavailableError` (the disk).
    """
    return _open(path, read_only, now_ms, random)


def _open(
    path: StrPath, read_only: bool, clock: Callable[[], int], entropy: Callable[[], tuple[int, int]]
) -> Store:
    """As `open`, with a given clock and entropy: for tests, which want the same bytes each time."""
    try:
        root = os.fspath(path)
        if not isinstance(root, str):
            raise TypeError
        os.fsencode(root)
    except (TypeError, UnicodeEncodeError):
        raise InvalidError("the path of the store must be a text or a path; give the path of a directory") from None
    if not root or "\0" in root:
        reason = "holds a NUL character" if root else "is empty"
        raise InvalidError(f"the path of the store {reason}; give the path of a directory")
    if not isinstance(read_only, bool):
        raise InvalidError(f"read_only must be a bool, not {type(read_only).__name__}")
    try:
        disk = DiskFs(root, read_only)
    except FsError as error:
        raise error_of(error) from None
    try:
        return Store(disk, Component(disk, read_only, clock, entropy))
    except BaseException:
        disk.close()
        raise


class Store(Operations):
    """An open store. :func:`sessile.open` makes one; `with` closes it.

    Every call is whole: whatever happens to the process, it has happened or it has not. What each call guarantees is
    said of its return; of an error, its class says what the caller does next. All calls raise `ClosedError` after
    `close`, and `InvalidError` for what breaks a documented rule; then nothing was written.

    Any number of threads may use one store: calls wait for each other. After `os.fork` the child's copy raises
    `ClosedError`; the child opens the store anew. An interrupt from the keyboard ends a call like a crash at that
    point would: what it was doing is done or not, and the store can be used on.
    """

    def __init__(self, disk: DiskFs, component: Component) -> None:
        """Not for use from outside: see :func:`sessile.open`."""
        self._disk: DiskFs | None = disk
        self._component = component
        self._lock = threading.RLock()
        self._is_busy = False
        self._pid = os.getpid()

    def create(self, **options: Unpack[CreateOptions]) -> Session:
        """Makes a session. It survives power loss. Errors: `ConflictError` (the id is taken)."""
        return self._session("create", options)

    def get(self, id: str, /) -> Session:
        """Returns a session, also one in the trash. Errors: `NotFoundError`."""
        return self._session("get", id)

    def update(self, id: str, /, **options: Unpack[UpdateOptions]) -> Session:
        """Changes facts of a session: what is left out stays, `None` clears.

        Errors: `NotFoundError`, `ConflictError` (with `expect_head`).
        """
        write, patch = _split(options)
        return self._session("update", id, patch, write)

    def touch(self, id: str, /) -> Session:
        """Notes that somebody looked at the session: `accessed_at` becomes now. Buffered."""
        return self._session("touch", id)

    def trash(self, id: str, /) -> Session:
        """Moves a session to the trash: it is not listed and takes no messages until restored. Does nothing to one
        that is there."""
        return self._session("trash", id)

    def restore(self, id: str, /) -> Session:
        """Takes a session out of the trash. Does nothing to one that is not there."""
        return self._session("restore", id)

    def purge(self, id: str, /) -> None:
        """Removes a session that is in the trash, for good. Its bytes stay, hidden, as long as a fork needs them.
        Errors: `ConflictError` (not in the trash)."""
        self._call("purge", id)

    def append(self, id: str, messages: Message | Sequence[Message], /, **options: Unpack[WriteOptions]) -> Appended:
        """Appends one message, or at most 10,000 and 32 MiB of them, behind the head: one write, one sync, all or
        none. With the default durability they survive power loss.

        A message is a dict of at most 16 MiB as JSON, `{"role": "user", "parts": [...]}`, with `status`, `id` and any
        further members. Parts: `{"type": "text", "text"}`, `thinking` and `code` likewise,
        `{"type": "tool_call", "id", "name", "arguments"}`, `{"type": "tool_result", "call_id", "content",
        "is_error"?}`, `{"type": "image" | "file"}` with one of `data`, `url`, `path`, `name`, and
        `{"type": "opaque", "data"}`.

        Errors: `NotFoundError`; `ConflictError` (another head, or in the trash); `UnavailableError` (retry with the
        same `op`); `ClosedError`.
        """
        return self.append_json(id, MESSAGES.text(messages, "messages"), **options)

    def append_json(self, id: str, messages: str, /, **options: Unpack[WriteOptions]) -> Appended:
        """Appends messages given as the text of a JSON array, which is kept byte for byte but for whitespace outside
        strings. Otherwise as :meth:`append`."""
        appended: Appended = self._call("append", id, messages, options)
        return appended

    def update_message(self, id: str, message: MessageRef, /, **options: Unpack[MessageOptions]) -> int:
        """Changes a message by one of `patch`, `add_parts` and `add_text`. The bytes written are those of the change.

        Returns the length in bytes of the part's text behind added text, otherwise 0. Errors: `NotFoundError`,
        `ConflictError` (another head; another length than `at` of the added text).
        """
        write, change = _split(options)
        length: int = self._call("update-message", id, message, change, write)
        return length

    def sync(self, id: str, /) -> None:
        """Makes everything durable that was appended to the session. Errors: `NotFoundError`, `ClosedError`."""
        self._call("sync", id)

    def read(self, id: str, /, **options: Unpack[ReadOptions]) -> Page:
        """Reads visible messages: the `last` ones, those `from_seq` on, or from a `cursor` on. Errors:
        `NotFoundError`."""
        page = self.read_json(id, **options)
        return Page(parse_json(page.messages), page.next, page.unreadable, page.damage)

    def read_json(self, id: str, /, **options: Unpack[ReadOptions]) -> JsonPage:
        """As :meth:`read`, with the messages as the text of a JSON array, where numbers keep their text."""
        page: JsonPage = self._call("read", id, options)
        return page

    def messages(
        self, id: str, /, *, from_seq: int = 1, limit: int = 1000, unreadable: Unreadable = "fail"
    ) -> Iterator[StoredMessage]:
        """All visible messages from a number on, read in pages of at most `limit`.

        A page with a message that cannot be read raises `DamagedError`, because leaving it out without a word could
        change what a model is told; with `unreadable="skip"` it is left out, and :meth:`read` names it. Errors: those
        of :meth:`read`, on the way.
        """
        page = readable(id, self.read(id, from_seq=from_seq, limit=limit), unreadable)
        yield from page.messages
        while page.next is not None:
            page = readable(id, self.read(id, cursor=page.next, limit=limit), unreadable)
            yield from page.messages

    def fork(self, id: str, /, **options: Unpack[ForkOptions]) -> Session:
        """Makes a session that begins with the messages of another up to one of them, on whatever branch. No message
        is copied, nothing is written to the parent, and neither ever sees what the other does later. It survives
        power loss. Errors: `NotFoundError`, `ConflictError` (the id is taken)."""
        return self._session("fork", id, options)

    def detach(self, id: str, /) -> Rewritten:
        """Rewrites a fork so that it holds all its messages itself. Errors: `DamagedError` (something would be lost),
        `ConflictError` (rewritten by somebody else)."""
        rewritten: Rewritten = self._call("detach", id)
        return rewritten

    def compact(self, id: str, /) -> Rewritten:
        """Rewrites a log with all changes merged into their messages. Hidden branches stay. Errors as
        :meth:`detach`."""
        rewritten: Rewritten = self._call("compact", id)
        return rewritten

    def revert(
        self, id: str, to: MessageRef, /, *, inclusive: bool = False, **options: Unpack[WriteOptions]
    ) -> Session:
        """Hides all messages behind one that is visible; with `inclusive` that one too. Errors: `NotFoundError`,
        `ConflictError` (another head)."""
        return self._session("revert", id, to, inclusive, options)

    def unrevert(self, id: str, /, **options: Unpack[WriteOptions]) -> Session:
        """Shows again what reverts since the last append have hidden. Errors: `ConflictError` (nothing to undo)."""
        return self._session("unrevert", id, options)

    def switch(self, id: str, to: MessageRef, /, **options: Unpack[WriteOptions]) -> Session:
        """Makes any message of any branch the head. Errors: `NotFoundError`, `ConflictError` (another head)."""
        return self._session("switch", id, to, options)

    def branches(self, id: str, /) -> tuple[Branch, ...]:
        """Lists the tips of all branches: the visible one first, then the newest first. Errors: `NotFoundError`."""
        branches: tuple[Branch, ...] = self._call("branches", id)
        return branches

    def list(self, **query: Unpack[ListOptions]) -> SessionPage:
        """Lists sessions, newest change first, without reading their logs."""
        page: SessionPage = self._call("list-sessions", query)
        return page

    def sessions(self, **query: Unpack[ListOptions]) -> Iterator[Session]:
        """All sessions that :meth:`list` would give, read in pages of at most `limit`."""
        page = self.list(**query)
        yield from page.sessions
        while page.next is not None:
            query["cursor"] = page.next
            page = self.list(**query)
            yield from page.sessions

    def resolve(self, text: str, /, scope: str | None = None) -> Session:
        """Finds a session by `last` (the newest, of the scope where one is given), by id, or by the beginning of its
        id. Errors: `NotFoundError`, `ConflictError` (several begin so)."""
        return self._session("resolve", text, scope)

    def doctor(self, repair: bool = False) -> dict[str, Any]:
        """Checks the whole store and returns a report (docs/format.md, "The report"). With `repair` it rebuilds what
        is derived and removes what purged sessions have left; it changes no log."""
        report: dict[str, Any] = self._call("doctor", repair)
        return report

    def close(self) -> None:
        """Tells the catalogue what this process knows, so that the next list need not look into logs, and closes the
        handle. Not closing loses nothing; closing twice is fine. What the disk says against it is not an error."""
        if self._pid != os.getpid():
            self._drop()
            return
        with self._lock:
            try:
                if self._disk is not None:
                    self._call("close")
            except SessileError:
                # The catalogue is derived: readers look into the logs where it says nothing.
                pass
            finally:
                self._drop()

    @property
    def closed(self) -> bool:
        """Whether the handle was closed."""
        return self._disk is None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _drop(self) -> None:
        disk, self._disk = self._disk, None
        if disk is not None:
            self._component.close()
            disk.close()

    def _session(self, name: str, *args: object) -> Session:
        session: Session = self._call(name, *args)
        return session

    def _operate(self, name: str, request: Any) -> Any:
        return _operations.answer(self._call("operate", name, _operations.request(name, request)))

    def _call(self, name: str, *args: object) -> Any:
        if self._pid != os.getpid():
            raise ClosedError("this store was opened before a fork; open it again in this process")
        with self._lock:
            if self._disk is None:
                raise ClosedError("this store was closed; open it again")
            if self._is_busy:
                # The lock lets its own thread in: a signal handler, in the middle of a call.
                raise UnavailableError("this thread is in the middle of a call already; retry when it has returned")
            self._is_busy = True
            try:
                return self._component.call(name, args)
            finally:
                self._is_busy = False


def _split(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parts the options of a write from the rest."""
    write = {name: value for name, value in options.items() if name in WRITE.fields}
    return write, {name: value for name, value in options.items() if name not in write}


def readable(id: str, page: Page, unreadable: Unreadable) -> Page:
    """The page, unless messages of it cannot be read and are not to be skipped. Errors: `DamagedError`."""
    if unreadable not in ("fail", "skip"):
        raise InvalidError(f"unreadable must be \"fail\" or \"skip\", not {unreadable!r}")
    if not page.unreadable or unreadable == "skip":
        return page
    numbers = ", ".join(map(str, page.unreadable[:10]))
    raise DamagedError(f'session "{id}": messages {numbers} cannot be read; leave them out with unreadable="skip"')
