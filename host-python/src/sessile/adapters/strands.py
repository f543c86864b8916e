"""Strands Agents: a ``SessionRepository`` that keeps sessions in a Sessile store.

A Strands session is a session, and each of its agents is one too, as a child of it, with the agent's messages and the
states that it has had. Redacting a message adds a record; the message keeps its place.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, List, TypeVar, cast

from strands.session.session_repository import SessionRepository
from strands.types.exceptions import SessionException
from strands.types.session import Session, SessionAgent, SessionMessage, SessionType

from ..errors import ConflictError, NotFoundError
from ..store import Store
from ..types import Role, StoredMessage
from ._common import Follower, ensure, find, last, name_of, pack, remove, settled, unpack

if TYPE_CHECKING:
    from strands.multiagent import MultiAgentBase

__all__ = ["SessileSessionRepository"]

T = TypeVar("T")

KIND = "strands"
CONTENT = ("message", "content")
ROLES: dict[Any, Role] = {"user": "user", "assistant": "assistant"}
TIMES = ("created_at", "updated_at")


class SessileSessionRepository(SessionRepository):
    """Keeps Strands' sessions in a store:
    ``RepositorySessionManager(session_id="chat-7", session_repository=SessileSessionRepository(store))``.

    The store is neither opened nor closed here. What a method has done survives power loss when it returns. A message
    whose number another process has taken meanwhile is `SessionException`, so that neither is lost. A session in the
    trash is not there; writing to it is an error until it is restored or purged.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._agents = Follower(store, _Agent)
        self._lock = threading.RLock()

    def create_session(self, session: Session, **kwargs: Any) -> Session:
        """Makes a session. Errors: `SessionException` (it is there)."""
        facts = {KIND: {"session_id": session.session_id, "session": session.to_dict()}}
        try:
            self._store.create(id=_id(session.session_id), scope=KIND, agent=KIND, metadata=facts)
        except ConflictError:
            raise SessionException(f"Session {session.session_id} already exists") from None
        return session

    def read_session(self, session_id: str, **kwargs: Any) -> Session | None:
        """The session; ``None`` where there is none."""
        found = find(self._store, _id(session_id))
        if found is None:
            return None
        facts = (found.metadata or {})[KIND]["session"]
        return Session.from_dict({**facts, "session_type": SessionType(facts["session_type"])})

    def delete_session(self, session_id: str, **kwargs: Any) -> None:
        """Removes a session and all that belongs to it for good. Errors: `SessionException` (there is none)."""
        if find(self._store, _id(session_id)) is None:
            raise SessionException(f"Session {session_id} does not exist")
        with self._lock:
            # The session goes last: where this is cut off, it can be made again.
            for found in list(self._store.sessions(scope=_id(session_id))):
                remove(self._store, found.id)
                self._agents.forget(found.id)
            remove(self._store, _id(session_id))

    def create_agent(self, session_id: str, session_agent: SessionAgent, **kwargs: Any) -> None:
        """Makes an agent; one that is there gets this state."""
        self._put_agent(session_id, session_agent, lambda agent: None)

    def read_agent(self, session_id: str, agent_id: str, **kwargs: Any) -> SessionAgent | None:
        """The agent; ``None`` where there is none."""
        state = self._read(session_id, agent_id, lambda agent: agent.state)
        return None if state is None else SessionAgent.from_dict(state)

    def update_agent(self, session_id: str, session_agent: SessionAgent, **kwargs: Any) -> None:
        """Gives an agent another state; where it has that already, nothing is written. Errors: `SessionException`
        (there is none)."""

        def keep(agent: _Agent) -> None:
            if agent.state is None:
                raise SessionException(f"Agent {session_agent.agent_id} in session {session_id} does not exist")
            session_agent.created_at = agent.state["created_at"]

        self._put_agent(session_id, session_agent, keep)

    def create_message(self, session_id: str, agent_id: str, session_message: SessionMessage, **kwargs: Any) -> None:
        """Adds a message; one that is there already is not added again. Errors: `SessionException` (there is another
        of its number)."""
        record = session_message.to_dict()

        def attempt(head: int, agent: _Agent) -> None:
            seq = agent.messages.get(session_message.message_id)
            if seq is None:
                self._append(session_id, agent_id, head, record)
            elif not _same(self._message(session_id, agent_id, seq), record):
                number = session_message.message_id
                raise SessionException(f"Message {number} of agent {agent_id} was written by somebody else")

        self._change(session_id, agent_id, attempt)

    def read_message(self, session_id: str, agent_id: str, message_id: int, **kwargs: Any) -> SessionMessage | None:
        """The message; ``None`` where there is none."""
        seq = self._read(session_id, agent_id, lambda agent: agent.messages.get(message_id))
        return None if seq is None else SessionMessage.from_dict(self._message(session_id, agent_id, seq))

    def update_message(self, session_id: str, agent_id: str, session_message: SessionMessage, **kwargs: Any) -> None:
        """Puts another version in the place of a message. Errors: `SessionException` (there is none)."""

        def attempt(head: int, agent: _Agent) -> None:
            seq = agent.messages.get(session_message.message_id)
            if seq is None:
                raise SessionException(f"Message {session_message.message_id} does not exist")
            session_message.created_at = self._message(session_id, agent_id, seq)["created_at"]
            self._append(session_id, agent_id, head, session_message.to_dict())

        self._change(session_id, agent_id, attempt)

    def list_messages(
        self, session_id: str, agent_id: str, limit: int | None = None, offset: int = 0, **kwargs: Any
    ) -> List[SessionMessage]:
        """Messages in the order of their numbers. Errors: `SessionException` (there is no such agent)."""
        known = self._read(session_id, agent_id, lambda agent: None if agent.is_empty() else dict(agent.messages))
        if known is None:
            raise SessionException(f"Agent {agent_id} in session {session_id} does not exist")
        ids = sorted(known)[offset : None if limit is None else offset + limit]
        missing = {known[id] for id in ids}
        found: dict[int, SessionMessage] = {}
        if missing:
            for stored in self._store.messages(_id(session_id, "agent", agent_id), from_seq=min(missing)):
                if stored["seq"] in missing:
                    missing.remove(stored["seq"])
                    message = SessionMessage.from_dict(unpack(stored["message"], CONTENT))
                    found[message.message_id] = message
                if not missing:
                    break
        return [found[id] for id in ids]

    def create_multi_agent(self, session_id: str, multi_agent: MultiAgentBase, **kwargs: Any) -> None:
        """Keeps the state of a graph or a swarm."""
        id = self._ensure(session_id, "multi-agent", multi_agent.id)
        self._store.append(id, _record("state", multi_agent.serialize_state()))

    def read_multi_agent(self, session_id: str, multi_agent_id: str, **kwargs: Any) -> dict[str, Any] | None:
        """The state of a graph or a swarm; ``None`` where there is none."""
        id = _id(session_id, "multi-agent", multi_agent_id)
        stored = last(self._store, id, 1) if find(self._store, id) else []
        return cast(Any, stored[0]["message"])["state"] if stored else None

    def update_multi_agent(self, session_id: str, multi_agent: MultiAgentBase, **kwargs: Any) -> None:
        """Gives a graph or a swarm another state; where it has that already, nothing is written. Errors:
        `SessionException` (there is none)."""
        state = self.read_multi_agent(session_id, multi_agent.id)
        if state is None:
            raise SessionException(f"MultiAgent state {multi_agent.id} in session {session_id} does not exist")
        if state != multi_agent.serialize_state():
            self.create_multi_agent(session_id, multi_agent)

    def _put_agent(self, session_id: str, session_agent: SessionAgent, check: Callable[[_Agent], None]) -> None:
        def attempt(head: int, agent: _Agent) -> None:
            check(agent)
            state = session_agent.to_dict()
            # Strands does this with every message; most often only the time is another.
            if agent.state is None or not _same(agent.state, state):
                id = _id(session_id, "agent", session_agent.agent_id)
                self._store.append(id, _record("agent", state), expect_head=head)

        self._change(session_id, session_agent.agent_id, attempt)

    def _append(self, session_id: str, agent_id: str, head: int, record: dict[str, Any]) -> None:
        message = pack(ROLES.get(record["message"].get("role"), "assistant"), record, CONTENT)
        self._store.append(_id(session_id, "agent", agent_id), message, expect_head=head)

    def _ensure(self, session_id: str, kind: str, id: str) -> str:
        name = _id(session_id, kind, id)
        facts = {KIND: {"session_id": session_id, kind: id}}
        ensure(self._store, name, scope=_id(session_id), parent=_id(session_id), agent=KIND, metadata=facts)
        return name

    def _change(self, session_id: str, agent_id: str, attempt: Callable[[int, _Agent], None]) -> None:
        with self._lock:
            id = self._ensure(session_id, "agent", agent_id)
            settled(self._store, id, lambda: attempt(*self._agents.at(id)))

    def _read(self, session_id: str, agent_id: str, what: Callable[[_Agent], T]) -> T | None:
        with self._lock:
            try:
                found = find(self._store, _id(session_id, "agent", agent_id))
                return None if found is None else what(self._agents.at(found.id)[1])
            except NotFoundError:
                return None

    def _message(self, session_id: str, agent_id: str, seq: int) -> dict[str, Any]:
        stored = next(self._store.messages(_id(session_id, "agent", agent_id), from_seq=seq, limit=1))
        return unpack(stored["message"], CONTENT)


class _Agent:
    """What an agent's records come to."""

    def __init__(self) -> None:
        self.state: dict[str, Any] | None = None
        self.messages: dict[int, int] = {}
        """The record with a message as it is now, by its number."""

    def take(self, stored: StoredMessage) -> None:
        message = cast("dict[str, Any]", stored["message"])
        if "agent" in message:
            self.state = message["agent"]
        elif "record" in message:
            self.messages[message["record"]["message_id"]] = stored["seq"]

    def is_empty(self) -> bool:
        return self.state is None and not self.messages


def _id(session_id: str, *names: str) -> str:
    return name_of(KIND, session_id, *names)


def _record(kind: str, body: Any) -> Any:
    return {"role": "system", "parts": [], kind: body}


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return {**one, **dict.fromkeys(TIMES)} == {**other, **dict.fromkeys(TIMES)}
