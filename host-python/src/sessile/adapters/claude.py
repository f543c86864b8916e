"""Claude Agent SDK: a ``SessionStore`` that keeps transcripts in a Sessile store.

Each transcript is a session, and so is each of a sub-agent, as a child of it. A batch of entries is one append: it is
wholly there or wholly absent. An entry whose ``uuid`` is there already is not added again, whoever added it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

import anyio.to_thread
from claude_agent_sdk import SessionStore, fold_session_summary

from ..store import Store
from ..types import Role, Session, StoredMessage
from ._common import (
    Follower,
    Packed,
    batches,
    ensure,
    find,
    milliseconds,
    name_of,
    pack,
    remove,
    settled,
    unpack,
)

if TYPE_CHECKING:
    from claude_agent_sdk import (
        SessionKey,
        SessionListSubkeysKey,
        SessionStoreEntry,
        SessionStoreListEntry,
        SessionSummaryEntry,
    )

__all__ = ["SessileSessionStore"]

T = TypeVar("T")

KIND = "claude-agent-sdk"
CONTENT = ("message", "content")
ROLES: dict[Any, Role] = {"user": "user", "assistant": "assistant"}


class SessileSessionStore(SessionStore):
    """Keeps transcripts of the Claude Agent SDK in a store: ``ClaudeAgentOptions(session_store=...)``.

    The store is neither opened nor closed here. Deleting removes for good. A session that somebody else has moved to
    the trash is not there for the SDK; appending to it is `ConflictError` until it is restored or purged.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._transcripts = Follower(store, _Transcript)
        self._lock = threading.RLock()

    async def append(self, key: SessionKey, entries: list[SessionStoreEntry]) -> None:
        """Adds entries that are not there yet, in order. On return they survive power loss."""
        if entries:
            await self._aside(lambda: self._append(key, entries))

    async def load(self, key: SessionKey) -> list[SessionStoreEntry] | None:
        """All entries; ``None`` where there are none."""
        return await self._aside(lambda: self._load(key))

    async def list_sessions(self, project_key: str) -> list[SessionStoreListEntry]:
        """The sessions of a project and when they were last written to."""
        return await self._aside(
            lambda: [{"session_id": _session(found), "mtime": _mtime(found)} for found in self._of(project_key)]
        )

    async def list_session_summaries(self, project_key: str) -> list[SessionSummaryEntry]:
        """What the SDK's own fold makes of each session: it stands in the session's last message, so that nothing
        else of it is read."""
        return await self._aside(lambda: [self._summary(found) for found in self._of(project_key)])

    async def delete(self, key: SessionKey) -> None:
        """Removes a transcript; a main one with those of its sub-agents."""
        await self._aside(lambda: self._delete(key))

    async def list_subkeys(self, key: SessionListSubkeysKey) -> list[str]:
        """The sub-paths that a session has."""
        return await self._aside(lambda: [_names(found)["subpath"] for found in self._under(key)])

    async def _aside(self, call: Callable[[], T]) -> T:
        def alone() -> T:
            with self._lock:
                return call()

        # The SDK runs on asyncio and on trio.
        return await anyio.to_thread.run_sync(alone)

    def _append(self, key: SessionKey, entries: list[SessionStoreEntry]) -> None:
        id = _id(key)
        subpath = key.get("subpath")
        ensure(
            self._store,
            id,
            scope=_scope(key) if subpath is None else _scope_under(key),
            agent=KIND,
            parent=None if subpath is None else _id(_main(key)),
            metadata={KIND: dict(key)},
        )
        settled(self._store, id, lambda: self._append_at_head(id, key, entries))

    def _append_at_head(self, id: str, key: SessionKey, entries: list[SessionStoreEntry]) -> None:
        head, transcript = self._transcripts.at(id)
        for batch in batches(transcript.missing(entries)):
            if key.get("subpath") is None:
                # With the entries that it sums up, in one record: it can neither be lost nor be behind.
                taken = [_entry(message) for message in batch]
                cast(Any, batch[-1])["summary"] = transcript.summary_with(taken)
            head = self._store.append(id, batch, expect_head=head).head
            head, transcript = self._transcripts.at(id)

    def _load(self, key: SessionKey) -> list[SessionStoreEntry] | None:
        found = find(self._store, _id(key))
        if found is None:
            return None
        return [_entry(stored["message"]) for stored in self._store.messages(found.id)] or None

    def _of(self, project_key: str) -> list[Session]:
        scope = _scope({"project_key": project_key, "session_id": ""})
        return [found for found in self._store.sessions(scope=scope) if found.message_count]

    def _under(self, key: SessionListSubkeysKey) -> list[Session]:
        return [found for found in self._store.sessions(scope=_scope_under(key)) if found.message_count]

    def _summary(self, found: Session) -> SessionSummaryEntry:
        last = cast(Any, self._store.read(found.id, last=1).messages[-1]["message"])
        # Absent where it was not this adapter that wrote last.
        data = last["summary"] if "summary" in last else self._transcripts.at(found.id)[1].summary
        return {"session_id": _session(found), "mtime": _mtime(found), "data": data}

    def _delete(self, key: SessionKey) -> None:
        # The main one goes last: where this is cut off, the SDK still finds what it has to delete.
        if key.get("subpath") is None:
            for found in list(self._store.sessions(scope=_scope_under(key))):
                self._remove(found.id)
        self._remove(_id(key))

    def _remove(self, id: str) -> None:
        remove(self._store, id)
        self._transcripts.forget(id)


class _Transcript:
    """What a transcript's messages come to."""

    def __init__(self) -> None:
        self.uuids: set[str] = set()
        self.summary: dict[str, Any] = {}

    def take(self, stored: StoredMessage) -> None:
        message = cast(Any, stored["message"])
        entry = _entry(message)
        if isinstance(entry.get("uuid"), str):
            self.uuids.add(entry["uuid"])
        self.summary = message["summary"] if "summary" in message else self.summary_with([entry])

    def summary_with(self, entries: list[SessionStoreEntry]) -> dict[str, Any]:
        before: SessionSummaryEntry = {"session_id": "", "mtime": 0, "data": self.summary}
        return fold_session_summary(before, {"project_key": "", "session_id": ""}, entries)["data"]

    def missing(self, entries: list[SessionStoreEntry]) -> list[Packed]:
        """Messages for the entries that are not there yet."""
        seen = set(self.uuids)
        messages = []
        for entry in entries:
            uuid = entry.get("uuid")
            if isinstance(uuid, str):
                if uuid in seen:
                    continue
                seen.add(uuid)
            messages.append(pack(ROLES.get(entry.get("type"), "system"), dict(entry), CONTENT))
        return messages


def _entry(message: Any) -> SessionStoreEntry:
    return cast("SessionStoreEntry", unpack(message, CONTENT))


def _id(key: SessionKey) -> str:
    subpath = key.get("subpath")
    return name_of(KIND, key["project_key"], key["session_id"], *(() if subpath is None else (subpath,)))


def _main(key: SessionKey) -> SessionKey:
    return {"project_key": key["project_key"], "session_id": key["session_id"]}


def _scope(key: SessionKey) -> str:
    return name_of(KIND, key["project_key"])


def _scope_under(key: SessionKey | SessionListSubkeysKey) -> str:
    return name_of(KIND, key["project_key"], key["session_id"])


def _names(found: Session) -> Any:
    return (found.metadata or {})[KIND]


def _session(found: Session) -> str:
    name: str = _names(found)["session_id"]
    return name


def _mtime(found: Session) -> int:
    return milliseconds(found.active_at)
