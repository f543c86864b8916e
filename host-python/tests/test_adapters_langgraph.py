"""LangGraph's own conformance suite for checkpointers, and what is promised beyond it."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import AsyncGenerator
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from adapters import killed, side_by_side
from langgraph.checkpoint.base import BaseCheckpointSaver, empty_checkpoint
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph

import sessile
from sessile.adapters._delta import apply, difference
from sessile.adapters.langgraph import SessileSaver

HERE: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}


def test_the_conformance_suite_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    opened: list[sessile.Store] = []

    @checkpointer_test(name="SessileSaver")
    async def saver() -> AsyncGenerator[BaseCheckpointSaver[str], None]:
        with sessile.open(tmp_path / str(len(opened))) as store:
            opened.append(store)
            yield SessileSaver(store)
            assert store.doctor()["healthy"]

    report = asyncio.run(validate(saver))
    results = report.results
    passed = sum(result.tests_passed for result in results.values())
    skipped = {name: result.tests_skipped for name, result in results.items() if result.tests_skipped}
    with capsys.disabled():
        name = "langgraph-checkpoint-conformance"
        print(f"\n{name} {version(name)}: {passed} tests, skipped {skipped or 0}; {report.conformance_level()}")
        print(", ".join(f"{name} {result.tests_passed}" for name, result in results.items()))
    assert [failure for result in results.values() for failure in result.failures] == []
    assert not skipped and passed >= 81


def checkpoint(id: int, **values: Any) -> Any:
    versions = {channel: f"{id:032}.{id}" for channel in values}
    return {**empty_checkpoint(), "id": f"{id:08}", "channel_values": values, "channel_versions": versions}


def put(saver: SessileSaver, config: Any, id: int, **values: Any) -> Any:
    made = checkpoint(id, **values)
    return saver.put(config, made, {"source": "loop", "step": id, "parents": {}}, made["channel_versions"])


def size(store: sessile.Store) -> int:
    return sum(session.log_bytes for session in store.sessions())


def test_bytes_grow_with_what_changes_and_not_with_the_state(
    store: sessile.Store, capsys: pytest.CaptureFixture[str]
) -> None:
    saver = SessileSaver(store)
    config, before, steps = HERE, size(store), 150
    messages: list[Any] = []
    naive = 0
    for step in range(1, steps + 1):
        text = "".join(chr(97 + (step * k) % 26) for k in range(400))
        messages = [*messages, {"role": "user", "content": f"{step} {text}"}]
        config = put(saver, config, step, messages=messages, constant="x" * 20_000)
        naive += sum(len(saver.serde.dumps_typed(value)[1]) for value in (messages, "x" * 20_000))
    grown = size(store) - before
    changed = len(saver.serde.dumps_typed(messages)[1]) + 20_000
    with capsys.disabled():
        print(f"\n{steps} checkpoints: {changed} bytes changed, {naive} in all states, {grown} written")
    # Base64 takes a third, storing whole now and then as much as the changes, a checkpoint some 1,000 bytes.
    assert grown < changed * 4 / 3 * 2.5 + steps * 1_200
    assert grown * 20 < naive
    # Cold, and from a process that knows nothing.
    found = SessileSaver(store).get_tuple(HERE)
    assert found is not None and found.checkpoint["channel_values"] == {"messages": messages, "constant": "x" * 20_000}
    listed = list(SessileSaver(store).list(HERE))
    assert [len(one.checkpoint["channel_values"]["messages"]) for one in listed] == list(range(steps, 0, -1))


def test_a_copied_thread_shares_its_bytes(store: sessile.Store, capsys: pytest.CaptureFixture[str]) -> None:
    saver = SessileSaver(store)
    config = HERE
    for step in range(1, 6):
        config = put(saver, config, step, state=[f"{step}"] * 50_000)
    before = size(store)
    saver.copy_thread("t", "copy")
    copied = size(store) - before
    there: Any = {"configurable": {"thread_id": "copy", "checkpoint_ns": ""}}
    with capsys.disabled():
        print(f"\na thread of {before} bytes copied with {copied}")
    assert copied < 2_000
    # Neither sees what the other does.
    put(saver, {"configurable": {**config["configurable"], "thread_id": "copy"}}, 6, state=["copy"])
    put(saver, config, 7, state=["original"])
    for place, value, count in ((HERE, ["original"], 6), (there, ["copy"], 6)):
        found = saver.get_tuple(place)
        assert found is not None and found.checkpoint["channel_values"] == {"state": value}
        assert len(list(saver.list(place))) == count
    saver.delete_thread("t")
    assert saver.get_tuple(HERE) is None
    assert [one.checkpoint["channel_values"]["state"][0] for one in saver.list(there)] == ["copy", *"54321"]
    assert list(SessileSaver(store).list(None)) == list(saver.list(there))
    # The name can be used again, though the copy still needs what the first of that name had.
    put(saver, HERE, 1, state=["again"])
    assert [one.checkpoint["channel_values"] for one in SessileSaver(store).list(HERE)] == [{"state": ["again"]}]
    assert [one.checkpoint["channel_values"]["state"][0] for one in saver.list(there)] == ["copy", *"54321"]
    with pytest.raises(sessile.ConflictError):
        saver.copy_thread("t", "copy")
    saver.delete_thread("copy")
    assert list(saver.list(there)) == []


def test_a_copy_that_was_cut_off_is_made_again(store: sessile.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    saver = SessileSaver(store)
    put(saver, HERE, 1, state=["x"])
    update = store.update
    monkeypatch.setattr(store, "update", lambda id, **facts: None if id.endswith("copy") else update(id, **facts))
    saver.copy_thread("t", "copy")
    monkeypatch.undo()
    assert len(list(saver.list(None))) == 1
    saver.copy_thread("t", "copy")
    assert len(list(saver.list(None))) == 2


def test_pruning_frees_the_space_and_keeps_what_is_needed(store: sessile.Store) -> None:
    saver = SessileSaver(store)
    config = HERE
    messages: list[str] = []
    for step in range(1, 41):
        messages = [*messages, f"{step} " * 200]
        config = put(saver, config, step, messages=messages, other=[f"{step}" * 3] * 1_000)
        saver.put_writes(config, [("messages", "y" * 5_000 + str(step))], f"task {step}")
    before = size(store)
    reader = SessileSaver(store)
    assert reader.get_tuple(HERE) is not None
    saver.prune(["t"])
    assert size(store) < before / 2
    for one in (reader, saver, SessileSaver(store)):
        (found,) = one.list(HERE)
        assert found.checkpoint["channel_values"] == {"messages": messages, "other": ["404040"] * 1_000}
        assert found.pending_writes == [("task 40", "messages", "y" * 5_000 + "40")]
    # A value that was removed comes back, through a process that had known it.
    put(reader, config, 41, messages=[*messages, "more"], other=["111"] * 1_000)
    latest = SessileSaver(store).get_tuple(HERE)
    assert latest is not None
    assert latest.checkpoint["channel_values"] == {"messages": [*messages, "more"], "other": ["111"] * 1_000}
    assert store.doctor()["healthy"]


def test_pruning_keeps_what_delta_channels_are_made_of(store: sessile.Store) -> None:
    saver = SessileSaver(store)
    config = HERE
    for step in range(1, 6):
        made = checkpoint(step, log=[step])
        if step > 2:
            del made["channel_values"]["log"]
        metadata: Any = {"source": "loop", "step": step, "counters_since_delta_snapshot": {"log": [step, step]}}
        config = saver.put(config, made, metadata, made["channel_versions"])
        saver.put_writes(config, [("log", step)], f"task {step}")
    before = saver.get_delta_channel_history(config=HERE, channels=["log"])
    assert before["log"].get("seed") == [2] and len(before["log"]["writes"]) == 3
    saver.prune(["t"])
    assert [one.config["configurable"]["checkpoint_id"][-1] for one in saver.list(HERE)] == ["5", "4", "3", "2"]
    assert SessileSaver(store).get_delta_channel_history(config=HERE, channels=["log"]) == before


def test_values_larger_than_a_message_come_back(store: sessile.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sessile.adapters.langgraph.PIECE_BYTES_MAX", 1_000)
    saver = SessileSaver(store)
    value, write = bytes(range(256)) * 50, "w" * 3_333
    config = put(saver, HERE, 1, large=value)
    saver.put_writes(config, [("large", write)], "task")
    config = put(saver, config, 2, large=value[:5_000] + b"new" * 900 + value[5_000:])
    for one in (saver, SessileSaver(store)):
        new, old = one.list(HERE)
        assert old.checkpoint["channel_values"] == {"large": value}
        assert old.pending_writes == [("task", "large", write)]
        assert new.checkpoint["channel_values"] == {"large": value[:5_000] + b"new" * 900 + value[5_000:]}
    saver.prune(["t"])
    assert next(SessileSaver(store).list(HERE)).checkpoint == new.checkpoint


def test_a_thread_goes_on_after_a_revert(store: sessile.Store) -> None:
    saver = SessileSaver(store)
    config = put(saver, HERE, 1, state=["a" * 1_000])
    (session,) = store.sessions(scope="langgraph")
    put(saver, config, 2, state=["b" * 1_000])
    reader = SessileSaver(store)
    assert len(list(reader.list(HERE))) == 2
    store.revert(session.id, session.head)
    found = saver.get_tuple(HERE)
    assert found is not None and found.checkpoint["channel_values"] == {"state": ["a" * 1_000]}
    put(saver, config, 3, state=["c" * 1_000], more=["d" * 1_000])
    # One that has seen the other branch, and none of what came between.
    for one in (saver, reader, SessileSaver(store)):
        found = one.get_tuple(HERE)
        assert found is not None and found.checkpoint["channel_values"]["more"] == ["d" * 1_000]
        assert len(list(one.list(HERE))) == 2


def test_what_others_remove_meanwhile_is_no_error(store: sessile.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    saver, other = SessileSaver(store), SessileSaver(store)
    at = saver._threads.at

    def prune_behind(id: str) -> Any:
        known = at(id)
        monkeypatch.undo()
        other.prune(["t"])
        return known

    config = HERE
    configs = [config := put(saver, config, step, state=["x" * 1_000, step]) for step in range(1, 5)]
    saver._threads.forget("langgraph:t")
    with monkeypatch.context():
        monkeypatch.setattr(saver._threads, "at", prune_behind)
        assert saver.get_tuple(configs[1]) is None
    put(saver, configs[3], 5, state=["x" * 1_000, 5])
    saver = SessileSaver(store)
    at = saver._threads.at
    monkeypatch.setattr(saver._threads, "at", prune_behind)
    config = put(saver, configs[3], 6, state=["x" * 1_000, 6])
    found = SessileSaver(store).get_tuple(config)
    assert found is not None and found.checkpoint["channel_values"] == {"state": ["x" * 1_000, 6]}
    assert store.doctor()["healthy"]


class State(TypedDict):
    messages: Annotated[list[str], operator.add]
    count: int


def graph(saver: BaseCheckpointSaver[Any]) -> Any:
    builder = StateGraph(State)
    builder.add_node("one", lambda state: {"messages": [f"one {state['count']}"], "count": state["count"] + 1})
    builder.add_node("two", lambda state: {"messages": [f"two {state['count']}"], "count": state["count"] + 1})
    builder.add_edge(START, "one")
    builder.add_edge("one", "two")
    builder.add_edge("two", END)
    return builder.compile(checkpointer=saver)


def test_a_graph_does_what_it_does_with_the_saver_of_langgraph(store: sessile.Store) -> None:
    def run(saver: BaseCheckpointSaver[Any]) -> Any:
        app, config = graph(saver), {"configurable": {"thread_id": "t"}}
        app.invoke({"messages": ["first"], "count": 0}, config)
        app.invoke({"messages": ["second"]}, config)
        history = list(app.get_state_history(config))
        # Time travel: a branch from the middle.
        branched = app.invoke(None, history[3].config)
        asynchronous = asyncio.run(app.ainvoke({"messages": ["third"]}, config))
        states = [(state.values, state.next, state.metadata["step"]) for state in app.get_state_history(config)]
        return branched, asynchronous, states

    expected = run(InMemorySaver())
    assert run(SessileSaver(store)) == expected
    again = graph(SessileSaver(store)).get_state({"configurable": {"thread_id": "t"}})
    assert again.values == expected[1]


def test_differences_make_the_new_of_the_old() -> None:
    old = b"".join(b"%d," % (n * 7919 % 10_007) for n in range(500))
    changes = {
        old: 0,
        b"\xdc" + old[1:] + b"added": 6,
        old[:700] + b"x" * 3_000 + old[700:]: 3_000,
        old[:500] + old[900:]: 0,
        b"": 0,
        b"quite another" * 10: 130,
        old[:400] + b"!" + old[401:1_000] + b"?" + old[1_001:]: 2,
    }
    for new, new_bytes in changes.items():
        pieces, literal = difference(old, new)
        assert apply(old, pieces, literal) == new
        assert len(literal) <= new_bytes + 4 and len(pieces) <= 6
    assert apply(b"", *difference(b"", old)) == old


def test_processes_side_by_side_lose_and_double_nothing(root: Path) -> None:
    side_by_side("langgraph", root, 8)
    with sessile.open(root) as store:
        found = SessileSaver(store).get_tuple(HERE)
        assert found is not None and found.pending_writes is not None
        written = [value for _, _, value in found.pending_writes]
        assert sorted(written) == sorted(f"{name} {number}" for name in ("a", "b") for number in range(8))
        for name in ("a", "b"):
            place: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": name}}
            states = [one.checkpoint["channel_values"]["state"] for one in SessileSaver(store).list(place)]
            assert states == [[f"{name} {k}" for k in range(n + 1)] * 20 for n in reversed(range(8))]
        assert store.doctor()["healthy"]


def test_what_was_acknowledged_survives_a_kill(root: Path) -> None:
    acknowledged = killed("langgraph", root, 6)
    with sessile.open(root) as store:
        place: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": "a"}}
        states = [one.checkpoint["channel_values"]["state"] for one in SessileSaver(store).list(place)]
        assert acknowledged <= len(states) <= acknowledged + 1
        assert states == [[f"a {k}" for k in range(n + 1)] * 20 for n in reversed(range(len(states)))]
        found = SessileSaver(store).get_tuple(HERE)
        assert found is not None and found.pending_writes is not None
        assert acknowledged <= len(found.pending_writes) <= acknowledged + 1
        assert store.doctor()["healthy"]
