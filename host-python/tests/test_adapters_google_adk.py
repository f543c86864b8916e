"""Google ADK's ``BaseSessionService``: what its own services do, and more."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

if sys.version_info < (3, 11):
    pytest.skip("google-adk needs Python 3.11", allow_module_level=True)

from adapters import killed, side_by_side
from google.adk.agents import BaseAgent
from google.adk.errors._stale_session_error import StaleSessionError
from google.adk.errors.already_exists_error import AlreadyExistsError
from google.adk.errors.session_not_found_error import SessionNotFoundError
from google.adk.events.event import Event
from google.adk.events.event_actions import EventActions
from google.adk.runners import Runner
from google.adk.sessions import BaseSessionService, InMemorySessionService, Session
from google.adk.sessions.base_session_service import GetSessionConfig
from google.adk.sessions.sqlite_session_service import SqliteSessionService
from google.genai import types

import sessile
from sessile.adapters.google_adk import SessileSessionService

WHO: Any = {"app_name": "app", "user_id": "user"}
HERE: Any = {**WHO, "session_id": "s"}


@pytest.fixture(params=["memory", "sqlite", "sessile"])
def service(request: pytest.FixtureRequest, store: sessile.Store, tmp_path: Path) -> BaseSessionService:
    """Services of ADK, to see that the contract is its own, and ours."""
    if request.param == "memory":
        return InMemorySessionService()
    if request.param == "sqlite":
        return SqliteSessionService(str(tmp_path / "sessions.db"))
    return SessileSessionService(store)


def event(text: str = "hello", author: str = "user", **members: Any) -> Event:
    delta = members.pop("delta", {})
    content = types.Content(role=author, parts=[types.Part(text=text)])
    return Event(author=author, content=content, actions=EventActions(state_delta=delta), **members)


def texts(session: Session | None) -> list[str | None]:
    assert session is not None
    return [one.content.parts[0].text for one in session.events]


def test_sessions(service: BaseSessionService) -> None:
    async def work() -> None:
        assert await service.get_session(**HERE) is None
        made = await service.create_session(**HERE, state={"n": {"deep": [None, 1]}})
        assert (made.id, made.app_name, made.user_id, made.events) == ("s", "app", "user", [])
        assert made.state == {"n": {"deep": [None, 1]}}
        with pytest.raises(AlreadyExistsError):
            await service.create_session(**HERE)
        named = await service.create_session(**WHO)
        await service.create_session(app_name="app", user_id="other", session_id="s", state={"of": "other"})
        assert [one.id for one in (await service.list_sessions(**WHO)).sessions] == ["s", named.id]
        listed = (await service.list_sessions(app_name="app")).sessions
        assert {(one.user_id, one.id) for one in listed} == {("user", "s"), ("user", named.id), ("other", "s")}
        assert (await service.list_sessions(app_name="nobody")).sessions == []
        await service.delete_session(**HERE)
        await service.delete_session(**HERE)
        assert await service.get_session(**HERE) is None
        other = await service.get_session(app_name="app", user_id="other", session_id="s")
        assert other is not None and other.state == {"of": "other"}
        assert (await service.create_session(**HERE)).state == {}

    asyncio.run(work())


def test_events_come_back_in_order_and_as_they_were(service: BaseSessionService) -> None:
    parts = [
        types.Part(text="a"),
        types.Part(inline_data=types.Blob(data=bytes(range(256)), mime_type="image/png")),
        types.Part(function_call=types.FunctionCall(id="1", name="build", args={"a": None})),
        types.Part(function_response=types.FunctionResponse(id="1", name="build", response={"b": [1.5]})),
        types.Part(text="thought", thought=True, thought_signature=b"\x00\xff"),
    ]
    events = [
        event("first", custom_metadata={"k": [1, {"deep": "x"}]}),
        Event(author="agent", content=types.Content(role="model", parts=parts), invocation_id="i", branch="a.b"),
        Event(author="agent"),
        event("", author="agent", turn_complete=True),
    ]

    async def work() -> None:
        session = await service.create_session(**HERE)
        for one in events:
            assert await service.append_event(session, one) == one
        assert session.events == events
        found = await service.get_session(**HERE)
        assert found is not None and found.events == events
        assert found.last_update_time == session.last_update_time == events[-1].timestamp

    asyncio.run(work())


def test_scopes_of_state(service: BaseSessionService) -> None:
    async def work() -> None:
        start = {"own": 1, "app:a": 1, "user:u": 1, "temp:t": 1}
        session = await service.create_session(**HERE, state=start)
        delta = {"own": None, "app:a": 2, "user:new": {"x": [1]}, "temp:t": 2, "more": "m"}
        given = await service.append_event(session, event(delta=dict(delta)))
        assert given.actions.state_delta == {key: value for key, value in delta.items() if key != "temp:t"}
        # For the rest of the invocation, and not kept.
        assert session.state["temp:t"] == 2
        found = await service.get_session(**HERE)
        assert found is not None
        expected = {"own": None, "app:a": 2, "user:u": 1, "user:new": {"x": [1]}, "more": "m"}
        assert found.state == expected
        assert (await service.list_sessions(**WHO)).sessions[0].state == expected
        assert await service.get_user_state(**WHO) == {"u": 1, "new": {"x": [1]}}
        assert await service.get_user_state(app_name="app", user_id="nobody") == {}
        assert (await service.create_session(**WHO)).state == {"app:a": 2, "user:u": 1, "user:new": {"x": [1]}}
        assert (await service.create_session(app_name="app", user_id="other")).state == {"app:a": 2}
        assert (await service.create_session(app_name="other", user_id="user")).state == {}

    asyncio.run(work())


def test_partial_events_are_not_kept(service: BaseSessionService) -> None:
    async def work() -> None:
        session = await service.create_session(**HERE)
        await service.append_event(session, event("part", partial=True))
        assert session.events == []
        assert texts(await service.get_session(**HERE)) == []

    asyncio.run(work())


def test_which_events(service: BaseSessionService) -> None:
    async def found(**config: Any) -> list[str | None]:
        return texts(await service.get_session(**HERE, config=GetSessionConfig(**config)))

    async def work() -> None:
        session = await service.create_session(**HERE)
        start = session.last_update_time
        for number in range(5):
            await service.append_event(session, event(f"{number}", timestamp=start + number))
        assert await found(num_recent_events=2) == ["3", "4"]
        assert await found(num_recent_events=9) == ["0", "1", "2", "3", "4"]
        assert await found(num_recent_events=0) == []
        assert await found(after_timestamp=start + 2) == ["2", "3", "4"]
        assert await found(after_timestamp=start + 2, num_recent_events=1) == ["4"]
        assert await found(after_timestamp=start + 99) == []

    asyncio.run(work())


def test_a_session_that_is_gone(service: BaseSessionService) -> None:
    async def work() -> None:
        session = await service.create_session(**HERE)
        await service.delete_session(**HERE)
        with pytest.raises(SessionNotFoundError):
            await service.append_event(session, event())

    asyncio.run(work())


class Counter(BaseAgent):
    """An agent that counts its turns."""

    async def _run_async_impl(self, ctx: Any) -> AsyncGenerator[Event, None]:
        turns = ctx.session.state.get("turns", 0) + 1
        delta = {"turns": turns, "user:turns": turns}
        yield event(f"turn {turns}", author=self.name, invocation_id=ctx.invocation_id, delta=delta)


def test_a_runner_goes_on_and_rewinds(service: BaseSessionService) -> None:
    async def work() -> None:
        await service.create_session(**HERE)
        runner = Runner(app_name="app", agent=Counter(name="counter"), session_service=service)
        invocations = []
        for number in range(3):
            said = types.Content(role="user", parts=[types.Part(text=f"{number}")])
            async for one in runner.run_async(user_id="user", session_id="s", new_message=said):
                invocations.append(one.invocation_id)
        found = await service.get_session(**HERE)
        assert texts(found) == ["0", "turn 1", "1", "turn 2", "2", "turn 3"]
        assert found is not None and found.state == {"turns": 3, "user:turns": 3}
        await runner.rewind_async(user_id="user", session_id="s", rewind_before_invocation_id=invocations[1])
        found = await service.get_session(**HERE)
        assert found is not None and found.state["turns"] == 1
        assert found.events[-1].actions.rewind_before_invocation_id == invocations[1]
        async for one in runner.run_async(user_id="user", session_id="s", new_message=said):
            assert texts(Session(id="", app_name="", user_id="", events=[one])) == ["turn 2"]

    asyncio.run(work())


@pytest.mark.parametrize("service", ["sqlite", "sessile"], indirect=True)
def test_a_stale_session_is_found(service: BaseSessionService) -> None:
    async def work() -> None:
        await service.create_session(**HERE)
        one, other = await service.get_session(**HERE), await service.get_session(**HERE)
        assert one is not None and other is not None
        await service.append_event(one, event("one"))
        await service.append_event(one, event("goes on"))
        with pytest.raises(StaleSessionError):
            await service.append_event(other, event("other", delta={"app:lost": 1}))
        again = await service.get_session(**HERE)
        assert again is not None and texts(again) == ["one", "goes on"] and "app:lost" not in again.state
        await service.append_event(again, event("other"))
        assert texts(await service.get_session(**HERE)) == ["one", "goes on", "other"]
        # One that was made by hand has only its time.
        by_hand = Session(id="s", app_name="app", user_id="user", last_update_time=1.0)
        with pytest.raises(StaleSessionError):
            await service.append_event(by_hand, event())

    asyncio.run(work())


def test_events_of_the_same_time_are_no_excuse(store: sessile.Store) -> None:
    async def work() -> None:
        service = SessileSessionService(store)
        await service.create_session(**HERE)
        one, other = await service.get_session(**HERE), await service.get_session(**HERE)
        assert one is not None and other is not None
        await service.append_event(one, event("one", timestamp=1.0))
        with pytest.raises(StaleSessionError):
            await SessileSessionService(store).append_event(other, event("other", timestamp=1.0))

    asyncio.run(work())


@pytest.mark.parametrize("service", ["memory", "sessile"], indirect=True)
def test_an_event_that_is_there_is_not_appended_again(service: BaseSessionService) -> None:
    async def work() -> None:
        session = await service.create_session(**HERE)
        first = event("first", delta={"n": 1, "app:n": 1})
        await service.append_event(session, first)
        await service.append_event(session, event("second", delta={"n": 2, "app:n": 2}))
        await service.append_event(session, first.model_copy(deep=True))
        found = await service.get_session(**HERE)
        assert found is not None and texts(found) == texts(session) == ["first", "second"]
        assert found.state == {"n": 2, "app:n": 2}

    asyncio.run(work())


def test_branches_of_one_invocation_share_a_session(store: sessile.Store) -> None:
    async def work() -> None:
        service = SessileSessionService(store)
        session = await service.create_session(**HERE)
        await asyncio.gather(*(service.append_event(session, event(f"{number}")) for number in range(12)))
        assert sorted(map(str, texts(session))) == sorted(f"{number}" for number in range(12))
        assert len(texts(await service.get_session(**HERE))) == 12

    asyncio.run(work())


def test_what_is_shared_is_made_up_for_after_a_crash(store: sessile.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    class Died(Exception):
        pass

    def die(*args: Any) -> None:
        raise Died

    async def work() -> None:
        service = SessileSessionService(store)
        session = await service.create_session(**HERE)
        with monkeypatch.context() as patch, pytest.raises(Died):
            patch.setattr(service, "_share", lambda *args: die() if args[3] else None)
            await service.append_event(session, event("x", delta={"app:a": 1, "user:u": 2}))
        found = await SessileSessionService(store).get_session(**HERE)
        assert found is not None and texts(found) == ["x"] and found.state == {"app:a": 1, "user:u": 2}
        sizes = {one.id: one.log_bytes for one in store.sessions()}
        await SessileSessionService(store).get_session(**HERE)
        assert {one.id: one.log_bytes for one in store.sessions()} == sizes

    asyncio.run(work())


def test_state_that_is_no_json_is_kept_as_far_as_it_can_be(store: sessile.Store) -> None:
    async def work() -> None:
        service = SessileSessionService(store)
        at = datetime(2026, 1, 2, tzinfo=timezone.utc)
        made = await service.create_session(**HERE, state={"at": at, "object": object})
        assert made.state["at"] == "2026-01-02T00:00:00Z" and "object" in made.state["object"]

    asyncio.run(work())


def test_processes_side_by_side_lose_and_double_nothing(root: Path) -> None:
    side_by_side("google_adk", root, 8)
    with sessile.open(root) as store:
        found = asyncio.run(SessileSessionService(store).get_session(**HERE))
        said = list(map(str, texts(found)))
        for name in ("a", "b"):
            assert [text for text in said if text.startswith(name)] == [f"{name} {number}" for number in range(8)]
        assert found is not None and found.state == {
            "app:a": 7, "app:b": 7, "user:a": 7, "user:b": 7, "count": 16
        }


def test_what_was_acknowledged_survives_a_kill(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    acknowledged = killed("google_adk", root, 6)
    with sessile.open(root) as store:
        found = asyncio.run(SessileSessionService(store).get_session(**HERE))
        assert store.doctor()["healthy"]
    count = len(texts(found))
    assert texts(found) == [f"a {number}" for number in range(count)]
    assert found is not None and found.state == {"app:a": count - 1, "user:a": count - 1, "count": count}
    assert acknowledged <= count <= acknowledged + 1
    with capsys.disabled():
        print(f"\ngoogle-adk {version('google-adk')} brings no suite; its own services keep these contracts too")
