"""`adapter_worker.py FRAMEWORK STORE NAME COUNT`: adds to a session through an adapter and says what was acknowledged.

Each line of the output is the number of an addition that the framework was told to be done.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import sessile

Add = Callable[[int], None]


def claude(store: sessile.Store, name: str) -> Add:
    """Every entry is given twice, as the SDK does when it does not know whether the first time has come through."""
    from sessile.adapters.claude import SessileSessionStore

    adapter = SessileSessionStore(store)

    def add(number: int) -> None:
        entry: Any = {"type": "user", "uuid": f"{name}-{number}", "message": {"role": "user", "content": f"{number}"}}
        for _ in range(2):
            asyncio.run(adapter.append({"project_key": "p", "session_id": "s"}, [entry]))

    return add


def langgraph(store: sessile.Store, name: str) -> Add:
    """A pending write of one checkpoint that all share, and a checkpoint in a namespace of its own."""
    from langgraph.checkpoint.base import empty_checkpoint

    from sessile.adapters.langgraph import SessileSaver

    saver = SessileSaver(store)
    shared: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    saver.put(shared, {**empty_checkpoint(), "id": "0"}, {}, {})
    shared["configurable"]["checkpoint_id"] = "0"
    own: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": name}}

    def add(number: int) -> None:
        nonlocal own
        versions: Any = {"state": number + 1}
        state = [f"{name} {k}" for k in range(number + 1)] * 20
        made: Any = {**empty_checkpoint(), "id": f"{number:08}", "channel_versions": versions}
        own = saver.put(own, {**made, "channel_values": {"state": state}}, {}, versions)
        saver.put_writes(shared, [("all", f"{name} {number}")], f"{name} {number}")

    return add


def openai(store: sessile.Store, name: str) -> Add:
    """An item."""
    from sessile.adapters.openai import SessileSession

    session = SessileSession("s", store)
    return lambda number: asyncio.run(session.add_items([{"role": "user", "content": f"{name} {number}"}]))


def strands(store: sessile.Store, name: str) -> Add:
    """The next message; where another process was first, the one behind it."""
    from strands.types.exceptions import SessionException
    from strands.types.session import SessionAgent, SessionMessage

    from sessile.adapters.strands import SessileSessionRepository

    repository = SessileSessionRepository(store)
    repository.create_agent("s", SessionAgent("a", {}, {}))

    def add(number: int) -> None:
        while True:
            message: Any = {"role": "user", "content": [{"text": f"{name} {number}"}]}
            try:
                count = len(repository.list_messages("s", "a"))
                return repository.create_message("s", "a", SessionMessage(message, count))
            except SessionException:
                continue

    return add


def google_adk(store: sessile.Store, name: str) -> Add:
    """An event, again and again until its session was not stale, that counts and gives to the app and the user."""
    from google.adk.errors._stale_session_error import StaleSessionError
    from google.adk.errors.already_exists_error import AlreadyExistsError
    from google.adk.events.event import Event
    from google.adk.events.event_actions import EventActions
    from google.genai import types

    from sessile.adapters.google_adk import SessileSessionService

    service = SessileSessionService(store)
    here: Any = {"app_name": "app", "user_id": "user", "session_id": "s"}

    async def add(number: int) -> None:
        while True:
            try:
                session = await service.get_session(**here) or await service.create_session(**here)
                delta = {f"app:{name}": number, f"user:{name}": number, "count": session.state.get("count", 0) + 1}
                content = types.Content(parts=[types.Part(text=f"{name} {number}")])
                await service.append_event(
                    session, Event(author="user", content=content, actions=EventActions(state_delta=delta))
                )
                return
            except (AlreadyExistsError, StaleSessionError):
                continue

    return lambda number: asyncio.run(add(number))


def main(framework: str, root: str, name: str, count: str) -> None:
    with sessile.open(root) as store:
        add: Add = globals()[framework](store, name)
        for number in range(int(count)):
            add(number)
            print(number, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
