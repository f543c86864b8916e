"""Strands' ``SessionRepository``: what its own repository of files does, and more."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from adapters import killed, side_by_side
from strands import Agent
from strands.models import Model
from strands.session.file_session_manager import FileSessionManager
from strands.session.repository_session_manager import RepositorySessionManager
from strands.session.session_repository import SessionRepository
from strands.types.exceptions import SessionException
from strands.types.session import Session, SessionAgent, SessionMessage, SessionType

import sessile
from sessile.adapters.strands import SessileSessionRepository


class Repository:
    """Makes repositories of one kind over the same sessions."""

    def __init__(self, kind: str, store: sessile.Store, directory: Path) -> None:
        self.kind, self._store, self._directory = kind, store, directory

    def __call__(self) -> Any:
        if self.kind == "sessile":
            return SessileSessionRepository(self._store)
        return FileSessionManager("another", str(self._directory))


@pytest.fixture(params=["files", "sessile"])
def repository(request: pytest.FixtureRequest, store: sessile.Store, tmp_path: Path) -> Repository:
    """Repositories of Strands, to see that the contract is its own, and ours."""
    return Repository(request.param, store, tmp_path / "files")


def message(number: int, text: str = "hello", **members: Any) -> SessionMessage:
    return SessionMessage({"role": "user", "content": [{"text": text}]}, number, **members)


def begun(repository: SessionRepository) -> SessionAgent:
    repository.create_session(Session("s", SessionType.AGENT))
    agent = SessionAgent("a", {"n": 1, "none": None}, {"removed_message_count": 0})
    repository.create_agent("s", agent)
    return agent


def test_sessions(repository: Repository) -> None:
    session = Session("s", SessionType.AGENT)
    assert repository().read_session("s") is None
    assert repository().create_session(session) == session
    assert repository().read_session("s") == session
    with pytest.raises(SessionException):
        repository().create_session(session)
    repository().delete_session("s")
    assert repository().read_session("s") is None
    with pytest.raises(SessionException):
        repository().delete_session("s")
    repository().create_session(session)


def test_agents(repository: Repository) -> None:
    agent = begun(repository())
    assert repository().read_agent("s", "a") == agent
    assert repository().read_agent("s", "nobody") is None and repository().read_agent("nobody", "a") is None
    agent.state = {"n": {"deep": [None, b"bytes"]}}
    created_at, agent.created_at = agent.created_at, "another"
    repository().update_agent("s", agent)
    read = repository().read_agent("s", "a")
    assert read.state == agent.state and read.created_at == created_at
    with pytest.raises(SessionException):
        repository().update_agent("s", SessionAgent("nobody", {}, {}))
    repository().delete_session("s")
    assert repository().read_agent("s", "a") is None


def test_messages(repository: Repository) -> None:
    begun(repository())
    assert repository().list_messages("s", "a") == []
    messages = [message(number, f"{number}") for number in range(12)]
    for one in messages:
        repository().create_message("s", "a", one)
    assert repository().list_messages("s", "a") == messages
    assert repository().list_messages("s", "a", limit=3) == messages[:3]
    assert repository().list_messages("s", "a", limit=3, offset=10) == messages[10:]
    assert repository().list_messages("s", "a", offset=4) == messages[4:]
    assert repository().list_messages("s", "a", offset=40) == []
    assert repository().read_message("s", "a", 5) == messages[5]
    assert repository().read_message("s", "a", 99) is None
    with pytest.raises(SessionException):
        repository().list_messages("s", "nobody")


def test_redacting_keeps_the_place(repository: Repository) -> None:
    begun(repository())
    for number in range(3):
        repository().create_message("s", "a", message(number))
    changed = message(1, redact_message={"role": "user", "content": [{"text": "[redacted]"}]}, created_at="another")
    repository().update_message("s", "a", changed)
    listed = repository().list_messages("s", "a")
    assert [one.message_id for one in listed] == [0, 1, 2]
    assert listed[1].to_message()["content"] == [{"text": "[redacted]"}]
    assert listed[1].created_at != "another"
    with pytest.raises(SessionException):
        repository().update_message("s", "a", message(9))


CONTENTS: list[Any] = [
    [],
    [{"text": ""}, {"text": "\u0000 \u2028 \U0001f600"}],
    [{"toolUse": {"toolUseId": "1", "name": "build", "input": {"a": None}}}],
    [{"toolResult": {"toolUseId": "1", "status": "error", "content": [{"text": "x"}, {"json": {"b": None}}]}}],
    [{"image": {"format": "png", "source": {"bytes": bytes(range(256))}}}, {"text": "what is it?"}],
    [{"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}, "redactedContent": b"r"}}],
]


def test_content_of_any_kind_comes_back(repository: Repository) -> None:
    begun(repository())
    for number, content in enumerate(CONTENTS):
        repository().create_message("s", "a", SessionMessage({"role": "assistant", "content": content}, number))
    assert [one.message["content"] for one in repository().list_messages("s", "a")] == CONTENTS


class Team:
    """Several agents, as far as a repository is concerned."""

    id = "team"

    def __init__(self, state: dict[str, Any]) -> None:
        self.state = state

    def serialize_state(self) -> dict[str, Any]:
        return self.state


def test_several_agents_as_one(repository: Repository) -> None:
    begun(repository())
    assert repository().read_multi_agent("s", "team") is None
    with pytest.raises(SessionException):
        repository().update_multi_agent("s", Team({}))
    repository().create_multi_agent("s", Team({"step": 1, "none": None}))
    assert repository().read_multi_agent("s", "team") == {"step": 1, "none": None}
    repository().update_multi_agent("s", Team({"step": 2}))
    assert repository().read_multi_agent("s", "team") == {"step": 2}


class Echo(Model):
    """A model that says how many messages it was given."""

    def update_config(self, **config: Any) -> None: ...

    def get_config(self) -> Any:
        return {}

    def structured_output(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    async def stream(self, messages: Any, *args: Any, **kwargs: Any) -> AsyncGenerator[Any, None]:
        yield {"messageStart": {"role": "assistant"}}
        yield {"contentBlockDelta": {"delta": {"text": f"{len(messages)} messages"}}}
        yield {"contentBlockStop": {}}
        yield {"messageStop": {"stopReason": "end_turn"}}


def test_an_agent_goes_on_where_it_was(repository: Repository) -> None:
    for expected in ("1 messages", "3 messages", "5 messages"):
        manager = RepositorySessionManager("chat", repository())
        agent = Agent(model=Echo(), session_manager=manager, agent_id="a", callback_handler=None)
        agent.state.set("turns", expected)
        assert str(agent("hello")).strip() == expected
    assert repository().read_agent("chat", "a").state == {"turns": "5 messages"}
    assert len(repository().list_messages("chat", "a")) == 6


def test_a_state_that_stays_is_not_written_again(store: sessile.Store) -> None:
    repository = SessileSessionRepository(store)
    begun(repository)
    before = store.get("strands:s:agent:a").log_bytes
    for _ in range(3):
        repository.update_agent("s", SessionAgent("a", {"n": 1, "none": None}, {"removed_message_count": 0}))
    assert store.get("strands:s:agent:a").log_bytes == before


def test_a_message_is_not_written_over(store: sessile.Store) -> None:
    one, other = SessileSessionRepository(store), SessileSessionRepository(store)
    begun(one)
    one.create_message("s", "a", message(0, "one"))
    other.create_message("s", "a", message(0, "one"))  # a retry
    with pytest.raises(SessionException):
        other.create_message("s", "a", message(0, "other"))
    assert [found.message["content"] for found in other.list_messages("s", "a")] == [[{"text": "one"}]]
    store.trash("strands:s:agent:a")
    assert one.read_agent("s", "a") is None
    with pytest.raises(sessile.ConflictError):
        one.create_message("s", "a", message(1))


def test_names_of_any_form_stay_apart(store: sessile.Store) -> None:
    repository = SessileSessionRepository(store)
    names = ["a", "A", "a:b", "a/../b", "agent", "\u0000", "x" * 3_000]
    for session in names:
        for agent in names:
            repository.create_agent(session, SessionAgent(agent, {"of": [session, agent]}, {}))
    for session in names:
        for agent in names:
            found = repository.read_agent(session, agent)
            assert found is not None and found.state == {"of": [session, agent]}


def test_processes_side_by_side_lose_and_double_nothing(root: Path) -> None:
    side_by_side("strands", root, 10)
    with sessile.open(root) as store:
        found = SessileSessionRepository(store).list_messages("s", "a")
        assert [one.message_id for one in found] == list(range(20))
        texts = [one.message["content"][0]["text"] for one in found]
        for name in ("a", "b"):
            assert [text for text in texts if text.startswith(name)] == [f"{name} {number}" for number in range(10)]


def test_what_was_acknowledged_survives_a_kill(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    acknowledged = killed("strands", root, 8)
    with sessile.open(root) as store:
        found = SessileSessionRepository(store).list_messages("s", "a")
        assert store.doctor()["healthy"]
    assert [one.message["content"][0]["text"] for one in found] == [f"a {number}" for number in range(len(found))]
    assert acknowledged <= len(found) <= acknowledged + 1
    with capsys.disabled():
        print(f"\nstrands-agents {version('strands-agents')} brings no suite; its own files keep these contracts too")
