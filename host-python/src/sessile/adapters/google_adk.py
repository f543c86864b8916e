"""Google ADK: a ``BaseSessionService`` that keeps sessions in a Sessile store.

An ADK session is a session with its events as messages, and its state is what its events say. The state of an app and
of a user are logs of their own, which all their sessions share.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from google.adk.errors._stale_session_error import StaleSessionError
from google.adk.errors.already_exists_error import AlreadyExistsError
from google.adk.errors.session_not_found_error import SessionNotFoundError
from google.adk.events.event import Event
from google.adk.sessions.base_session_service import BaseSessionService, GetSessionConfig, ListSessionsResponse
from google.adk.sessions.session import Session
from google.adk.sessions.state import State
from pydantic_core import to_jsonable_python

from ..errors import ConflictError, NotFoundError
from ..store import Store
from ..types import StoredMessage
from ..types import Session as Kept
from ._common import Follower, aside, ensure, find, last, name_of, pack, remove, unpack

__all__ = ["SessileSessionService"]

T = TypeVar("T")

KIND = "google-adk"
SHARED = "google-adk-state"
CONTENT = ("content", "parts")


class SessileSessionService(BaseSessionService):
    """Keeps ADK's sessions in a store: ``Runner(..., session_service=SessileSessionService(store))``.

    The store is neither opened nor closed here. What a method has done survives power loss when it returns. An event is
    appended only to what its caller has seen: otherwise it is `StaleSessionError`, and the session has to be read
    again. An event that is there already is not appended again. A session in the trash is not there.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sessions = Follower(store, _Events)
        self._shared = Follower(store, _Shared)
        self._lock = threading.RLock()

    async def create_session(
        self, *, app_name: str, user_id: str, state: dict[str, Any] | None = None, session_id: str | None = None
    ) -> Session:
        """Makes a session. Errors: `AlreadyExistsError`."""
        name = (session_id or "").strip() or str(uuid.uuid4())
        return await self._aside(lambda: self._create(app_name, user_id, name, state or {}))

    async def get_session(
        self, *, app_name: str, user_id: str, session_id: str, config: GetSessionConfig | None = None
    ) -> Session | None:
        """The session with its state and its events, or those that the config asks for."""
        return await self._aside(lambda: self._get(app_name, user_id, session_id.strip(), config))

    async def list_sessions(self, *, app_name: str, user_id: str | None = None) -> ListSessionsResponse:
        """The sessions of a user, or of all users of an app, with their states and without events, the one that was
        written to last at the end. Each session is read that this service has not read before."""
        return await self._aside(lambda: self._list(app_name, user_id))

    async def delete_session(self, *, app_name: str, user_id: str, session_id: str) -> None:
        """Removes a session for good. What it has given to its app and its user stays."""
        id = name_of(KIND, app_name, user_id, session_id.strip())

        def work() -> None:
            remove(self._store, id)
            self._sessions.forget(id)

        await self._aside(work)

    async def get_user_state(self, *, app_name: str, user_id: str) -> dict[str, Any]:
        """What the sessions of a user share."""
        return await self._aside(lambda: self._shared_state(app_name, user_id))

    async def append_event(self, session: Session, event: Event) -> Event:
        """Appends an event and applies what it says to the state. Errors: `SessionNotFoundError`,
        `StaleSessionError` (others have written to the session since it was read)."""
        if event.partial:
            return event
        self._apply_temp_state(session, event)
        event = self._trim_temp_delta_state(event)
        is_new = await self._aside(lambda: self._append(session, event))
        return self._commit_event_to_session(session, event) if is_new else event

    async def _aside(self, call: Callable[[], T]) -> T:
        def alone() -> T:
            with self._lock:
                return call()

        return await aside(alone)

    def _create(self, app_name: str, user_id: str, session_id: str, state: dict[str, Any]) -> Session:
        id = name_of(KIND, app_name, user_id, session_id)
        names = {"app_name": app_name, "user_id": user_id, "session_id": session_id}
        begin = {"at": time.time(), "state": to_jsonable_python(_kept(state), serialize_unknown=True)}
        ensure(self._store, id, scope=name_of(KIND, app_name, user_id), agent=KIND, metadata={KIND: names})
        try:
            # Without it the session is not there: who dies in between has made none.
            message: Any = {"role": "system", "parts": [], "begin": begin}
            done = self._store.append(id, message, expect_head=0)
        except ConflictError:
            raise AlreadyExistsError(f"Session with id {session_id} already exists.") from None
        self._share(app_name, user_id, done.id, begin["state"])
        made = self._get(app_name, user_id, session_id, None)
        if made is None:
            raise SessionNotFoundError(f"Session {session_id} was removed by somebody else.")
        return made

    def _get(self, app_name: str, user_id: str, session_id: str, config: GetSessionConfig | None) -> Session | None:
        found = find(self._store, name_of(KIND, app_name, user_id, session_id))
        made = None if found is None else self._session(found)
        if made is not None and found is not None:
            made.events = self._events(found.id, config)
        return made

    def _session(self, found: Kept) -> Session | None:
        """The session without its events; none where it was not begun."""
        head, events = self._sessions.at(found.id)
        if not events.is_begun:
            return None
        names = _names(found)
        self._heal(names, events)
        state = json.loads(json.dumps(events.state))
        for prefix, shared in (
            (State.APP_PREFIX, self._shared_state(names["app_name"])),
            (State.USER_PREFIX, self._shared_state(names["app_name"], names["user_id"])),
        ):
            state.update({prefix + key: value for key, value in shared.items()})
        made = Session(
            id=names["session_id"],
            app_name=names["app_name"],
            user_id=names["user_id"],
            state=state,
            last_update_time=events.updated_at,
        )
        made._storage_update_marker = str(head)
        return made

    def _events(self, id: str, config: GetSessionConfig | None) -> list[Event]:
        count = config.num_recent_events if config else None
        since = config.after_timestamp if config else None
        if count == 0:
            return []
        # Where only the last ones are asked for, the rest is not read.
        is_end = count is not None and since is None and count < 10_000
        stored = last(self._store, id, cast(int, count)) if is_end else self._store.messages(id)
        events = [_event(one) for one in stored if "record" in one["message"]]
        if since is not None:
            events = [event for event in events if event.timestamp >= since]
        return events if count is None else events[-count:]

    def _list(self, app_name: str, user_id: str | None) -> ListSessionsResponse:
        if user_id is not None:
            kept = list(self._store.sessions(scope=name_of(KIND, app_name, user_id)))
        else:
            kept = [found for found in self._store.sessions() if _names(found).get("app_name") == app_name]
        made = [session for session in map(self._session, kept) if session is not None]
        made.sort(key=lambda session: (session.last_update_time, session.user_id, session.id))
        return ListSessionsResponse(sessions=made)

    def _append(self, session: Session, event: Event) -> bool:
        """Whether the event is new."""
        found = find(self._store, name_of(KIND, session.app_name, session.user_id, session.id))
        head, events = self._sessions.at(found.id) if found is not None else (0, _Events())
        if found is None or not events.is_begun:
            raise SessionNotFoundError(f"Session {session.id} not found.")
        record = json.loads(event.model_dump_json(exclude_none=True))
        self._heal(_names(found), events)
        if (seq := events.seqs.get(event.id)) and _record(next(self._store.messages(found.id, from_seq=seq))) == record:
            return False
        marker = session._storage_update_marker
        if marker != str(head) if marker is not None else events.updated_at > session.last_update_time:
            raise StaleSessionError(f"Session {session.id} has gone on since it was read; get it again.")
        message = pack("user" if event.author == "user" else "assistant", record, CONTENT)
        try:
            done = self._store.append(found.id, message, expect_head=head)
        except ConflictError:
            raise StaleSessionError(f"Session {session.id} has gone on since it was read; get it again.") from None
        self._share(session.app_name, session.user_id, done.id, _delta(record))
        # Here and not in the event loop: another branch of the same invocation may be waiting with this session.
        session._storage_update_marker, session.last_update_time = str(done.head), event.timestamp
        return True

    def _heal(self, names: Mapping[str, str], events: _Events) -> None:
        """Shares what the last record says, where whoever wrote it died before he had."""
        self._share(names["app_name"], names["user_id"], events.last_id, events.last_delta)

    def _share(self, app_name: str, user_id: str, source: str, delta: Mapping[str, Any]) -> None:
        for owner, prefix in (((app_name,), State.APP_PREFIX), ((app_name, user_id), State.USER_PREFIX)):
            part = {key.removeprefix(prefix): value for key, value in delta.items() if key.startswith(prefix)}
            id = name_of(SHARED, *owner)
            if part and source not in self._of(id).sources:
                ensure(self._store, id, scope=SHARED, agent=KIND, metadata={SHARED: list(owner)})
                message: Any = {"role": "system", "parts": [], "state": part, "source": source}
                # Once, whoever does it.
                self._store.append(id, message, op=source)

    def _shared_state(self, *owner: str) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(json.dumps(self._of(name_of(SHARED, *owner)).state))
        return state

    def _of(self, id: str) -> _Shared:
        try:
            return self._shared.at(id)[1]
        except NotFoundError:
            return _Shared()


class _Events:
    """What a session's events come to."""

    def __init__(self) -> None:
        self.state: dict[str, Any] = {}
        self.updated_at = 0.0
        self.seqs: dict[str, int] = {}
        self.is_begun = False
        self.last_id = ""
        self.last_delta: Mapping[str, Any] = {}

    def take(self, stored: StoredMessage) -> None:
        message = cast("dict[str, Any]", stored["message"])
        if "begin" in message:
            self.is_begun = True
            self.updated_at, delta = message["begin"]["at"], message["begin"]["state"]
        else:
            record = message["record"]
            self.seqs[record["id"]] = stored["seq"]
            self.updated_at, delta = record["timestamp"], _delta(record)
        self.last_id, self.last_delta = stored["id"], delta
        shared = (State.APP_PREFIX, State.USER_PREFIX)
        self.state.update({key: value for key, value in delta.items() if not key.startswith(shared)})


class _Shared:
    """What the state of an app or a user comes to."""

    def __init__(self) -> None:
        self.state: dict[str, Any] = {}
        self.sources: set[str] = set()

    def take(self, stored: StoredMessage) -> None:
        message = cast("dict[str, Any]", stored["message"])
        self.state.update(message["state"])
        self.sources.add(message["source"])


def _kept(state: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in state.items() if not key.startswith(State.TEMP_PREFIX)}


def _delta(record: Mapping[str, Any]) -> dict[str, Any]:
    return record.get("actions", {}).get("state_delta") or {}


def _record(stored: StoredMessage) -> dict[str, Any]:
    return unpack(stored["message"], CONTENT)


def _event(stored: StoredMessage) -> Event:
    # As JSON, because only so bytes are read from base64.
    return Event.model_validate_json(json.dumps(_record(stored)))


def _names(found: Kept) -> Any:
    return (found.metadata or {}).get(KIND) or {}
