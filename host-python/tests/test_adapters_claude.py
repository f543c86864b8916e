"""The Claude Agent SDK's own contracts for a ``SessionStore``, and what is promised beyond them."""

from __future__ import annotations

import asyncio
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import claude_agent_sdk as sdk
import pytest
from adapters import killed, side_by_side
from claude_agent_sdk.testing import run_session_store_conformance

import sessile
from sessile.adapters import _common
from sessile.adapters.claude import SessileSessionStore

TRANSCRIPTS = Path(__file__).parents[2] / "tests/corpus/transcripts/claude-code"
KEY: Any = {"project_key": "p", "session_id": "s"}


@pytest.fixture
def adapter(store: sessile.Store) -> SessileSessionStore:
    return SessileSessionStore(store)


def entry(uuid: str | None = None, **members: Any) -> Any:
    return {"type": "user", **({} if uuid is None else {"uuid": uuid}), **members}


def test_the_contracts_of_the_sdk_hold(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    opened: list[sessile.Store] = []

    def make() -> SessileSessionStore:
        opened.append(sessile.open(tmp_path / str(len(opened))))
        return SessileSessionStore(opened[-1])

    asyncio.run(run_session_store_conformance(make))
    # It makes a store for each contract that it checks, and one to see which methods there are.
    checked = len(opened) - 1
    for store in opened:
        assert store.doctor()["healthy"]
        store.close()
    with capsys.disabled():
        print(f"\nclaude-agent-sdk {version('claude-agent-sdk')}: {checked} of 14 contracts, {14 - checked} skipped")
    assert checked == 14


def test_an_entry_that_is_there_is_not_added_again(adapter: SessileSessionStore, store: sessile.Store) -> None:
    async def work() -> None:
        await adapter.append(KEY, [entry("1"), entry("2"), entry(tag="x")])
        # A retry that overlaps, through another adapter as another process has it; entries without a uuid come again.
        other = SessileSessionStore(store)
        await other.append(KEY, [entry("2"), entry("3"), entry("3"), entry(tag="x")])
        await adapter.append(KEY, [entry("1"), entry("3")])
        assert await adapter.load(KEY) == [entry("1"), entry("2"), entry(tag="x"), entry("3"), entry(tag="x")]

    asyncio.run(work())


STRANGE: list[Any] = [
    {"type": "user", "message": None},
    {"type": "user", "message": "text"},
    {"type": "user", "message": {"content": None}},
    {"type": "user", "message": {"content": {"text": "x"}}},
    {"type": "user", "message": {"content": ""}},
    {"type": "user", "message": {"content": []}},
    {"type": "assistant", "message": {"content": [{"type": "text", "text": "a", "n": []}, {"text": "b"}]}},
    {"type": "assistant", "message": {"content": [1, "x", None, [], {}, {"text": 1}, {"input": {}}]}},
    {"type": "user", "message": {"content": [{"text": "x", "fields": {"text": "y"}, "type": "opaque", "data": 1}]}},
    {"type": "summary", "record": {}, "content": "text", "parts": [], "summary": {"x": 1}, "role": "?"},
    {"type": "\u0000\u2028 \U0001f600", "__proto__": {"constructor": 1}, "n": [10**30, -0.0, 1e-300, True]},
]


def test_entries_come_back_as_they_were(adapter: SessileSessionStore) -> None:
    async def work() -> None:
        await adapter.append(KEY, STRANGE)
        assert await adapter.load(KEY) == STRANGE

    asyncio.run(work())


def test_texts_are_seen_by_whoever_shows_the_session(adapter: SessileSessionStore, store: sessile.Store) -> None:
    asyncio.run(adapter.append(KEY, [entry("1", message={"role": "user", "content": "Why does it fail?"})]))
    (session,) = store.sessions(scope="claude-agent-sdk:p")
    (stored,) = store.messages(session.id)
    assert stored["message"]["parts"] == [{"type": "text", "text": "Why does it fail?"}]


def test_names_of_any_form_stay_apart(adapter: SessileSessionStore) -> None:
    keys: list[Any] = [
        {"project_key": project, "session_id": session, **subpath}
        for project in ("a", "a:b", "A", "../..", "x" * 5000)
        for session in ("b:c", "\u00e9", "e\u0301")
        for subpath in ({}, {"subpath": "c/\u0000\n"})
    ]

    async def work() -> None:
        for number, key in enumerate(keys):
            await adapter.append(key, [entry(str(number))])
        for number, key in enumerate(keys):
            assert await adapter.load(key) == [entry(str(number))]
        for key in keys:
            if "subpath" not in key:
                assert len(await adapter.list_subkeys(key)) == 1

    asyncio.run(work())


def titles(listed: list[sdk.SDKSessionInfo]) -> list[tuple[str, str, str | None]]:
    return sorted((one.session_id, one.summary, one.first_prompt) for one in listed)


def test_the_functions_of_the_sdk_work_on_real_transcripts(
    adapter: SessileSessionStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = str(tmp_path)
    project = sdk.project_key_for_directory(directory)
    read: dict[str, list[Any]] = {}
    for number, path in enumerate(sorted(TRANSCRIPTS.rglob("*.jsonl"))[:5]):
        lines = [json.loads(line) for line in path.read_text().splitlines() if line.startswith("{")]
        read[f"00000000-0000-4000-8000-{number:012}"] = [line for line in lines if "type" in line]

    async def work() -> None:
        for id, entries in read.items():
            for start in range(0, len(entries), 50):
                await adapter.append({"project_key": project, "session_id": id}, entries[start : start + 50])
        memory = sdk.InMemorySessionStore()
        for id, entries in read.items():
            once: list[Any] = []
            for one in entries:
                if "uuid" not in one or all(one["uuid"] != other.get("uuid") for other in once):
                    once.append(one)
            key: Any = {"project_key": project, "session_id": id}
            await memory.append(key, once)
            assert await adapter.load(key) == once
        listed = await sdk.list_sessions_from_store(adapter, directory)
        assert titles(listed) == titles(await sdk.list_sessions_from_store(memory, directory)) != []
        for one in listed:
            await sdk.rename_session_via_store(adapter, one.session_id, "Renamed", directory)
        assert {one.custom_title for one in await sdk.list_sessions_from_store(adapter, directory)} == {"Renamed"}
        forked = 0
        for one in listed:
            if not await sdk.get_session_messages_from_store(adapter, one.session_id, directory):
                continue
            fork = await sdk.fork_session_via_store(adapter, one.session_id, directory)
            assert await sdk.get_session_messages_from_store(adapter, fork.session_id, directory)
            forked += 1
        assert forked
        for one in listed:
            await sdk.delete_session_via_store(adapter, one.session_id, directory)
        left = {one.session_id for one in await sdk.list_sessions_from_store(adapter, directory)}
        assert not left & {one.session_id for one in listed}

    asyncio.run(work())
    with capsys.disabled():
        print(f"\n{sum(map(len, read.values()))} entries of {len(read)} real transcripts")


def test_what_was_deleted_can_be_written_again(adapter: SessileSessionStore) -> None:
    async def work() -> None:
        for text in ("first", "second"):
            await adapter.append(KEY, [entry("1", message={"content": text})])
            assert await adapter.load(KEY) == [entry("1", message={"content": text})]
            await adapter.delete(KEY)
            assert await adapter.load(KEY) is None

    asyncio.run(work())


def test_a_name_whose_log_a_fork_needs_is_refused_with_its_reason(
    adapter: SessileSessionStore, store: sessile.Store
) -> None:
    async def work() -> None:
        await adapter.append(KEY, [entry("1")])
        (session,) = store.sessions(scope="claude-agent-sdk:p")
        store.fork(session.id, id="fork")
        await adapter.delete(KEY)
        assert await adapter.load(KEY) is None
        with pytest.raises(sessile.ConflictError, match="fork"):
            await adapter.append(KEY, [entry("2")])

    asyncio.run(work())


def test_what_is_in_the_trash_is_not_there_and_not_written_over(
    adapter: SessileSessionStore, store: sessile.Store
) -> None:
    async def work() -> None:
        await adapter.append(KEY, [entry("1")])
        (session,) = store.sessions(scope="claude-agent-sdk:p")
        store.trash(session.id)
        assert await adapter.load(KEY) is None and await adapter.list_sessions("p") == []
        with pytest.raises(sessile.ConflictError):
            await adapter.append(KEY, [entry("2")])
        store.restore(session.id)
        await adapter.append(KEY, [entry("2")])
        assert await adapter.load(KEY) == [entry("1"), entry("2")]

    asyncio.run(work())


def test_summaries_follow_what_others_do_to_the_session(adapter: SessileSessionStore, store: sessile.Store) -> None:
    async def title() -> Any:
        (summary,) = await adapter.list_session_summaries("p")
        return summary["data"].get("custom_title")

    async def work() -> None:
        await adapter.append(KEY, [entry(customTitle="first")])
        await adapter.append(KEY, [entry(customTitle="second")])
        assert await title() == "second"
        (session,) = store.sessions(scope="claude-agent-sdk:p")
        store.revert(session.id, 1)
        assert await title() == "first"
        await adapter.append(KEY, [entry("3")])
        assert await title() == "first"
        assert await adapter.load(KEY) == [entry(customTitle="first"), entry("3")]

    asyncio.run(work())


def test_a_batch_that_is_larger_than_an_append_comes_whole(
    adapter: SessileSessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_common, "BATCH_MESSAGES_MAX", 3)
    monkeypatch.setattr(_common, "BATCH_BYTES_MAX", 10_000)
    entries = [entry(str(number), message={"content": "x" * 997 * (number % 11)}) for number in range(40)]

    async def work() -> None:
        await adapter.append(KEY, entries)
        assert await adapter.load(KEY) == entries
        (summary,) = await adapter.list_session_summaries("p")
        assert summary["data"] == sdk.fold_session_summary(None, KEY, entries)["data"]

    asyncio.run(work())


def test_processes_side_by_side_lose_and_double_nothing(root: Path) -> None:
    side_by_side("claude", root, 10)
    with sessile.open(root) as store:
        loaded = asyncio.run(SessileSessionStore(store).load(KEY)) or []
        for name in ("a", "b"):
            own = [one["uuid"] for one in loaded if one["uuid"].startswith(name)]
            assert own == [f"{name}-{number}" for number in range(10)]
        (summary,) = asyncio.run(SessileSessionStore(store).list_session_summaries("p"))
        assert summary["data"] == sdk.fold_session_summary(None, KEY, loaded)["data"]


def test_what_was_acknowledged_survives_a_kill(root: Path) -> None:
    acknowledged = killed("claude", root, 8)
    with sessile.open(root) as store:
        loaded = asyncio.run(SessileSessionStore(store).load(KEY)) or []
        assert store.doctor()["healthy"]
    assert [one["uuid"] for one in loaded] == [f"a-{number}" for number in range(len(loaded))]
    assert acknowledged <= len(loaded) <= acknowledged + 1
