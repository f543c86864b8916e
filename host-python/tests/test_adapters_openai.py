"""The OpenAI Agents SDK's ``Session``: what its protocol says, what its own SQLite session does, and more."""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from adapters import killed, side_by_side
from agents import Agent, Runner, SQLiteSession
from agents.items import ModelResponse
from agents.memory import Session, SessionSettings
from agents.models.interface import Model
from agents.usage import Usage
from openai.types.responses import ResponseOutputMessage, ResponseOutputText

import sessile
from sessile.adapters import openai as adapter
from sessile.adapters.openai import SessileSession

ITEMS: list[Any] = [
    {"role": "user", "content": "Why does it fail?"},
    {
        "role": "user",
        "content": [{"type": "input_text", "text": "See:"}, {"type": "input_image", "image_url": "data:,"}],
    },
    {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"},
    {"type": "function_call", "call_id": "c1", "name": "build", "arguments": '{"a": 1.0}', "id": "fc_1"},
    {"type": "function_call_output", "call_id": "c1", "output": "error"},
    {
        "type": "message",
        "id": "m1",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": "A missing import.", "annotations": [], "logprobs": []}],
    },
    {"role": "developer", "content": "", "record": {"content": 1}, "parts": [{"text": 1}]},
    {"role": "user", "content": "\u0000 \u2028 \U0001f600 \\u0000"},
    {"role": "user", "content": []},
]


@pytest.fixture(params=["sqlite", "sessile"])
def sessions(request: pytest.FixtureRequest, store: sessile.Store, tmp_path: Path) -> Any:
    """Makes sessions: of the SDK, to see that the contract is its own, and ours."""
    made: list[SQLiteSession] = []

    def make(id: str, **settings: Any) -> Session:
        if request.param == "sessile":
            return SessileSession(id, store, **settings)
        made.append(SQLiteSession(id, tmp_path / "sessions.db", **settings))
        return made[-1]

    yield make
    for session in made:
        session.close()


def item(number: int) -> Any:
    return {"role": "user", "content": f"{number}"}


def test_it_is_a_session(sessions: Any) -> None:
    session = sessions("a")
    assert isinstance(session, Session) and session.session_id == "a"
    assert session.session_settings == SessionSettings()


def test_items_come_back_in_order_and_as_they_were(sessions: Any) -> None:
    async def work() -> None:
        session = sessions("a")
        assert await session.get_items() == []
        await session.add_items(ITEMS[:4])
        await session.add_items([])
        await session.add_items(ITEMS[4:])
        assert await session.get_items() == ITEMS
        assert await sessions("a").get_items() == ITEMS
        assert await sessions("b").get_items() == []

    asyncio.run(work())


def test_a_limit_gives_the_latest(sessions: Any) -> None:
    async def work() -> None:
        session = sessions("a")
        assert await session.get_items(3) == []
        await session.add_items([item(number) for number in range(10)])
        everything = [item(number) for number in range(10)]
        for limit, expected in ((3, everything[7:]), (10, everything), (11, everything), (0, []), (-1, everything)):
            assert await session.get_items(limit) == expected, limit
        assert await session.get_items(100_000) == everything

    asyncio.run(work())


def test_settings_say_how_many(sessions: Any) -> None:
    async def work() -> None:
        session = sessions("a", session_settings=SessionSettings(limit=2))
        await session.add_items([item(number) for number in range(5)])
        assert await session.get_items() == [item(3), item(4)]
        assert await session.get_items(limit=4) == [item(1), item(2), item(3), item(4)]
        assert await sessions("a", session_settings={"limit": 1}).get_items() == [item(4)]

    asyncio.run(work())


def test_popping_takes_the_last_away(sessions: Any) -> None:
    async def work() -> None:
        session = sessions("a")
        assert await session.pop_item() is None
        await session.add_items([item(1), item(2), item(3)])
        assert await session.pop_item() == item(3)
        assert await session.get_items() == [item(1), item(2)]
        await session.add_items([item(4)])
        assert [await session.pop_item() for _ in range(4)] == [item(4), item(2), item(1), None]
        assert await session.get_items() == []
        await session.add_items([item(5)])
        assert await sessions("a").get_items() == [item(5)]

    asyncio.run(work())


def test_clearing_takes_all_away(sessions: Any) -> None:
    async def work() -> None:
        session, other = sessions("a"), sessions("b")
        await session.clear_session()
        await session.add_items([item(1), item(2)])
        await other.add_items([item(3)])
        await session.clear_session()
        assert await session.get_items() == [] and await session.pop_item() is None
        assert await other.get_items() == [item(3)]
        await session.add_items([item(4)])
        assert await session.get_items() == [item(4)]

    asyncio.run(work())


def test_calls_at_once_lose_and_double_nothing(sessions: Any) -> None:
    async def work() -> None:
        session = sessions("a")
        await asyncio.gather(*(session.add_items([item(number), item(number)]) for number in range(12)))
        found = [one["content"] for one in await session.get_items()]
        # What was added in one call stands together.
        assert sorted(found) == sorted(f"{number // 2}" for number in range(24)) and found[::2] == found[1::2]
        popped = await asyncio.gather(*(session.pop_item() for _ in range(30)))
        assert sorted(one["content"] for one in popped if one) == sorted(found)
        assert await session.get_items() == []

    asyncio.run(work())


def test_what_is_added_while_popping_is_not_lost(store: sessile.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        session, other = SessileSession("a", store), SessileSession("a", store)
        await session.add_items([item(1), item(2)])
        read = adapter.last

        def add_behind(*args: Any) -> Any:
            found = read(*args)
            monkeypatch.undo()
            other._add([item(3)])
            return found

        monkeypatch.setattr(adapter, "last", add_behind)
        assert await session.pop_item() == item(3)
        assert await session.get_items() == [item(1), item(2)]

    asyncio.run(work())


class Echo(Model):
    """A model that says how many items it was given."""

    async def get_response(self, system_instructions: Any, input: Any, *args: Any, **kwargs: Any) -> ModelResponse:
        text = ResponseOutputText(text=f"{len(input)} items", type="output_text", annotations=[], logprobs=[])
        message = ResponseOutputMessage(id="m", content=[text], role="assistant", status="completed", type="message")
        return ModelResponse(output=[message], usage=Usage(), response_id=None)

    def stream_response(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError


def test_the_runner_remembers(sessions: Any) -> None:
    async def work() -> None:
        agent = Agent(name="a", model=Echo())
        for expected in ("1 items", "3 items", "5 items"):
            result = await Runner.run(agent, "hello", session=sessions("chat"))
            assert result.final_output == expected

    asyncio.run(work())


def test_what_was_cleared_or_popped_can_be_shown_again(store: sessile.Store) -> None:
    async def work() -> None:
        session = SessileSession("a", store)
        await session.add_items([item(1), item(2)])
        await session.clear_session()
        store.unrevert("openai-agents:a")
        assert await session.get_items() == [item(1), item(2)]

    asyncio.run(work())


def test_texts_are_seen_by_whoever_shows_the_session(store: sessile.Store) -> None:
    asyncio.run(SessileSession("a", store).add_items(ITEMS))
    messages = [stored["message"] for stored in store.messages("openai-agents:a")]
    roles = [message["role"] for message in messages[:6]]
    assert roles == ["user", "user", "assistant", "assistant", "tool", "assistant"]
    assert messages[5]["parts"][0]["text"] == "A missing import."


def test_what_is_in_the_trash_is_not_there_and_not_written_over(store: sessile.Store) -> None:
    async def work() -> None:
        session = SessileSession("a", store)
        await session.add_items([item(1)])
        store.trash("openai-agents:a")
        assert await session.get_items() == [] and await session.pop_item() is None
        await session.clear_session()
        with pytest.raises(sessile.ConflictError):
            await session.add_items([item(2)])
        store.restore("openai-agents:a")
        assert await session.get_items() == [item(1)]

    asyncio.run(work())


def test_processes_side_by_side_lose_and_double_nothing(root: Path) -> None:
    side_by_side("openai", root, 10)
    with sessile.open(root) as store:
        found: list[Any] = asyncio.run(SessileSession("s", store).get_items())
    for name in ("a", "b"):
        own = [one["content"] for one in found if one["content"].startswith(name)]
        assert own == [f"{name} {number}" for number in range(10)]


def test_what_was_acknowledged_survives_a_kill(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    acknowledged = killed("openai", root, 8)
    with sessile.open(root) as store:
        found: list[Any] = asyncio.run(SessileSession("s", store).get_items())
        assert store.doctor()["healthy"]
    assert found == [{"role": "user", "content": f"a {number}"} for number in range(len(found))]
    assert acknowledged <= len(found) <= acknowledged + 1
    with capsys.disabled():
        print(f"\nopenai-agents {version('openai-agents')} brings no suite; its own session keeps these contracts too")
