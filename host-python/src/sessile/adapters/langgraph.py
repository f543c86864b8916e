"""LangGraph: a checkpointer that keeps threads in a Sessile store.

A thread is a session, with its checkpoints, pending writes and channel values as messages. A value is stored once,
however many checkpoints have it; one that has changed a little is stored as what has changed. A copied thread is a
fork, which shares everything with its source.
"""

from __future__ import annotations

import base64
import random
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, List, TypeVar, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    get_checkpoint_id,
    get_checkpoint_metadata,
)
from langgraph.checkpoint.serde.base import SerializerProtocol

from ..errors import ConflictError, DamagedError, InvalidError, NotFoundError
from ..store import Store
from ..types import Session, StoredMessage
from ._common import Follower, aside, batches, ensure, find, name_of, remove, settled
from ._delta import apply, difference

__all__ = ["SessileSaver"]

T = TypeVar("T")

KIND = "langgraph"
INLINE_BYTES_MAX = 256
"""Values up to this size stand where they are used."""
PIECE_BYTES_MAX = 6 << 20
"""A value above this size is spread over several messages."""
THREADS_MAX = 16
"""So many threads are kept folded."""
CACHE_BYTES_MAX = 32 << 20
"""So many bytes of a thread's latest values are kept in memory."""
RECORD_BYTES = 160
"""About what a message costs beside its data."""
READS_MAX = 5
"""So often something is read again that others remove."""
NOTHING: dict[str, Any] = {"blob": None, "piece": None, "checkpoint": None, "writes": None}
"""The patch of a message that nothing needs any more."""


class SessileSaver(BaseCheckpointSaver[str]):
    """Keeps LangGraph's threads in a store: ``graph.compile(checkpointer=SessileSaver(store))``.

    All methods, also those for asyncio, which run in threads. The store is neither opened nor closed here. What a
    method has done survives power loss when it returns. Any number of processes may work on a thread at once.

    `delete_thread` removes for good. `delete_for_runs` and `prune` note first what is gone, which is what counts, and
    then free the space, which a later call makes up for where it was cut off. A thread that somebody else has moved to
    the trash is not there; writing to it is `ConflictError`.
    """

    def __init__(self, store: Store, *, serde: SerializerProtocol | None = None) -> None:
        super().__init__(serde=serde)
        self._store = store
        self._threads = Follower(store, _Thread, THREADS_MAX)
        self._lock = threading.RLock()

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """The checkpoint of the config, or the latest one of its thread and namespace."""
        thread_id, ns = _place(config)

        def read() -> CheckpointTuple | None:
            thread = self._thread(thread_id)
            known = thread.checkpoints.get(ns, {}) if thread else {}
            id = get_checkpoint_id(config) or max(known, default=None)
            return self._tuple(thread_id, thread, ns, id) if thread and id in known else None

        return self._steadily(read)

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """Checkpoints, the newest first: of the config's thread, or of all threads."""
        left = limit
        for thread_id, ns, id in self._listed(config, before):
            if left is not None and left <= 0:
                return
            found = self._matching(thread_id, ns, id, filter)
            if found is not None:
                yield found
                left = None if left is None else left - 1

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Stores a checkpoint, with the values that are not there yet."""
        thread_id, ns = _place(config)
        parent = get_checkpoint_id(config)
        kept = get_checkpoint_metadata(config, metadata)
        values = checkpoint["channel_values"]
        rest = {k: v for k, v in checkpoint.items() if k not in ("channel_values", "channel_versions")}

        def draft(thread: _Thread) -> _Draft:
            made = _Draft(self._store, _id(thread_id), thread)
            known = thread.checkpoints.get(ns, {})
            before = known[parent].values if parent in known else {}
            stored: dict[str, Any] = {}
            for channel, version in checkpoint["channel_versions"].items():
                stored[channel] = [version]
                old = before.get(channel, [None])
                if channel not in new_versions and (place := thread.place(ns, channel, version, old)):
                    stored[channel] += [place]
                elif channel in values:
                    kind, data = self.serde.dumps_typed(values[channel])
                    stored[channel] += [made.blob(kind, data, old[1] if len(old) > 1 else None)]
            record: dict[str, Any] = {"ns": ns, "id": checkpoint["id"], "parent": parent}
            record["data"] = _text(self.serde.dumps_typed(rest))
            record["metadata"] = _text(self.serde.dumps_typed(kept))
            record["values"] = {
                channel: [value[0], *(made.reference(place) for place in value[1:])]
                for channel, value in stored.items()
            }
            if isinstance(run := kept.get("run_id"), str):
                record["run"] = run
            if delta := kept.get("counters_since_delta_snapshot"):
                record["delta"] = [*delta]
            made.add("checkpoint", record)
            return made

        self._write(thread_id, draft)
        return _config(thread_id, ns, checkpoint["id"])

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Stores what a task has written. What it has written before stays, but for errors, interrupts and resumes,
        of which the last counts."""
        thread_id, ns = _place(config)
        id = config["configurable"]["checkpoint_id"]

        def draft(thread: _Thread) -> _Draft:
            made = _Draft(self._store, _id(thread_id), thread)
            known = thread.writes.get((ns, id), {})
            items: List[Any] = []
            for place, (channel, value) in enumerate(writes):
                index = WRITES_IDX_MAP.get(channel, place)
                if index < 0 or (task_id, index) not in known:
                    items.append([index, channel, made.value(*self.serde.dumps_typed(value))])
            if items:
                for item in items:
                    item[2] = [made.reference(place) for place in item[2]] if len(item[2]) == 1 else item[2]
                made.add("writes", {"ns": ns, "id": id, "task": task_id, "path": task_path, "items": items})
            return made

        self._write(thread_id, draft)

    def delete_thread(self, thread_id: str) -> None:
        """Removes a thread for good. Of one that was copied an empty session stays, because copies need its log: only
        so can its name be used again."""
        id = _id(thread_id)
        with self._lock:
            try:
                # Whoever copies notes it first and then looks whether it is still there. This is the other way round.
                self._store.trash(id)
                if not _facts(self._store.get(id)).get("copied"):
                    self._store.purge(id)
                else:
                    self._store.restore(id)
                    self._remove(thread_id, lambda thread: [place for place, _ in thread.all()])
            except NotFoundError:
                pass
            self._threads.forget(id)

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Removes the checkpoints of these runs from all threads, with their writes. It looks at every thread."""
        runs = set(run_ids)
        if runs:
            for thread_id in self._thread_ids():
                self._remove(thread_id, lambda thread: [k for k, c in thread.all() if c.run in runs])

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Makes the target a fork of the source: it has everything that the source has, and no byte is copied. Does
        nothing where there is no source. Errors: `ConflictError` (the target was written to before)."""
        source, target = _id(source_thread_id), _id(target_thread_id)
        with self._lock:
            if find(self._store, source) is None:
                return
            self._store.update(source, metadata={KIND: {"copied": True}})
            if find(self._store, source) is None:
                return
            try:
                self._store.fork(source, id=target)
            except ConflictError:
                # A copy that was cut off before it had its name is no thread yet.
                if _thread_id(self._store.get(target)) is not None:
                    raise
                remove(self._store, target)
                self._store.fork(source, id=target)
            facts = {"thread_id": target_thread_id, "copied": None}
            self._store.update(target, title=None, metadata={KIND: facts})

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Removes all checkpoints of threads (``"delete"``), or all but the latest of each namespace
        (``"keep_latest"``) and those before it that its delta channels are made of."""
        if strategy not in ("keep_latest", "delete"):
            raise ValueError(f'strategy must be "keep_latest" or "delete", not {strategy!r}')
        for thread_id in thread_ids:
            if strategy == "delete":
                self.delete_thread(thread_id)
            elif find(self._store, _id(thread_id)) is not None:
                self._remove(thread_id, lambda thread: [k for k, _ in thread.all() if k not in thread.latest()])

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """See :meth:`get_tuple`."""
        return await aside(lambda: self.get_tuple(config))

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """See :meth:`list`."""
        listed = self.list(config, filter=filter, before=before, limit=limit)
        while (found := await aside(lambda: next(listed, None))) is not None:
            yield found

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """See :meth:`put`."""
        return await aside(lambda: self.put(config, checkpoint, metadata, new_versions))

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """See :meth:`put_writes`."""
        await aside(lambda: self.put_writes(config, writes, task_id, task_path))

    async def adelete_thread(self, thread_id: str) -> None:
        """See :meth:`delete_thread`."""
        await aside(lambda: self.delete_thread(thread_id))

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """See :meth:`delete_for_runs`."""
        await aside(lambda: self.delete_for_runs(run_ids))

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """See :meth:`copy_thread`."""
        await aside(lambda: self.copy_thread(source_thread_id, target_thread_id))

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """See :meth:`prune`."""
        await aside(lambda: self.prune(thread_ids, strategy=strategy))

    def get_next_version(self, current: str | int | None, channel: None) -> str:
        """The next version of a channel. Branches of a thread never come to the same one."""
        number = 0 if current is None else current if isinstance(current, int) else int(current.split(".")[0])
        return f"{number + 1:032}.{random.random():016}"

    def _write(self, thread_id: str, draft: Callable[[_Thread], _Draft]) -> None:
        id = _id(thread_id)

        def attempt() -> None:
            head, thread = self._threads.at(id)
            made = draft(thread)
            for batch in batches(made.messages):
                head = self._store.append(id, batch, expect_head=head).head
            thread.remember(made.values)

        with self._lock:
            ensure(self._store, id, scope=KIND, agent=KIND, metadata={KIND: {"thread_id": thread_id}})
            settled(self._store, id, attempt)

    def _thread(self, thread_id: str) -> _Thread | None:
        found = find(self._store, _id(thread_id))
        return None if found is None else self._threads.at(found.id)[1]

    def _thread_ids(self) -> Sequence[str]:
        with self._lock:
            named = [_thread_id(session) for session in self._store.sessions(scope=KIND)]
        return [thread_id for thread_id in named if thread_id is not None]

    def _listed(self, config: RunnableConfig | None, before: RunnableConfig | None) -> Sequence[tuple[str, str, str]]:
        configurable = config["configurable"] if config else {}
        thread_ids = [str(configurable["thread_id"])] if "thread_id" in configurable else self._thread_ids()
        only_ns, only_id = configurable.get("checkpoint_ns"), configurable.get("checkpoint_id")
        until = get_checkpoint_id(before) if before else None
        listed = []
        for thread_id in thread_ids:
            with self._lock:
                thread = self._thread(thread_id)
                for (ns, id), _ in thread.all() if thread else []:
                    if only_ns in (None, ns) and only_id in (None, id) and (until is None or id < until):
                        listed.append((thread_id, ns, id))
        return sorted(listed, key=lambda place: place[2], reverse=True)

    def _matching(self, thread_id: str, ns: str, id: str, filter: dict[str, Any] | None) -> CheckpointTuple | None:
        def read() -> CheckpointTuple | None:
            thread = self._thread(thread_id)
            if thread is None or id not in thread.checkpoints.get(ns, {}):
                return None  # It was removed meanwhile.
            if filter:
                record = _read(self._store, _id(thread_id), thread.checkpoints[ns][id].seq, "checkpoint")
                metadata = self.serde.loads_typed(_typed(record["metadata"]))
                if any(metadata.get(name) != value for name, value in filter.items()):
                    return None
            return self._tuple(thread_id, thread, ns, id)

        return self._steadily(read)

    def _steadily(self, read: Callable[[], T]) -> T | None:
        """Reads again where somebody else removes what is being read."""
        for _ in range(READS_MAX):
            with self._lock:
                try:
                    return read()
                except _Gone:
                    continue
                except NotFoundError:
                    return None
        raise DamagedError("a thread refers to values that are not there; `doctor` may say more")

    def _tuple(self, thread_id: str, thread: _Thread, ns: str, id: str) -> CheckpointTuple:
        known = thread.checkpoints[ns][id]
        record = _read(self._store, _id(thread_id), known.seq, "checkpoint")
        load = self.serde.loads_typed
        checkpoint = load(_typed(record["data"]))
        checkpoint["channel_versions"] = {channel: value[0] for channel, value in known.values.items()}
        checkpoint["channel_values"] = {
            channel: load(thread.blob(self._store, _id(thread_id), value[1]))
            for channel, value in known.values.items()
            if len(value) > 1
        }
        return CheckpointTuple(
            config=_config(thread_id, ns, id),
            checkpoint=checkpoint,
            metadata=load(_typed(record["metadata"])),
            parent_config=_config(thread_id, ns, record["parent"]) if record["parent"] else None,
            pending_writes=self._writes(thread_id, thread, ns, id),
        )

    def _writes(self, thread_id: str, thread: _Thread, ns: str, id: str) -> List[tuple[str, str, Any]]:
        known = thread.writes.get((ns, id), {})
        records: dict[int, Any] = {}
        writes = []
        # The order in which a run applies them.
        for _, task, index in sorted((written.path, task, index) for (task, index), written in known.items()):
            written = known[task, index]
            if written.seq not in records:
                records[written.seq] = _read(self._store, _id(thread_id), written.seq, "writes")["items"]
            channel, value = next((channel, value) for i, channel, value in records[written.seq] if i == index)
            if written.value is None:
                typed = _typed(value)
            else:
                typed = thread.blob(self._store, _id(thread_id), written.value)
            writes.append((task, channel, self.serde.loads_typed(typed)))
        return writes

    def _remove(self, thread_id: str, select: Callable[[_Thread], Sequence[tuple[str, str]]]) -> None:
        id = _id(thread_id)

        def attempt() -> _Thread:
            head, thread = self._threads.at(id)
            if gone := select(thread):
                self._store.append(id, _record("removed", [list(place) for place in gone]), expect_head=head)
            return self._threads.at(id)[1]

        with self._lock:
            try:
                garbage = settled(self._store, id, attempt).garbage()
            except NotFoundError:
                return
            try:
                # Whoever reads the thread passes it over already; this frees the space.
                for seq in garbage:
                    self._store.update_message(id, seq, patch=NOTHING, durability="buffered")
                if garbage:
                    self._store.compact(id)
            except (ConflictError, DamagedError, InvalidError, NotFoundError):
                pass  # Somebody else rewrites it, or it cannot be rewritten: it is larger than need be, and right.
            self._threads.forget(id)


@dataclass
class _Checkpoint:
    """What is kept in memory of a checkpoint."""

    seq: int
    parent: str | None
    values: dict[str, Any]
    """``[version]``, or ``[version, number of the message with the value]``, by channel."""
    run: str | None
    delta: Sequence[str]


@dataclass
class _Written:
    """What is kept in memory of a write."""

    seq: int
    path: str
    value: int | None


@dataclass
class _Blob:
    """What is kept in memory of a value."""

    chain: int
    """So many bytes have been written since the last value that was stored whole."""
    needs: Sequence[int]
    """The messages that it is made of."""
    digest: str


@dataclass
class _Thread:
    """What a thread's messages come to."""

    checkpoints: dict[str, dict[str, _Checkpoint]] = field(default_factory=dict)
    writes: dict[tuple[str, str], dict[tuple[str, int], _Written]] = field(default_factory=dict)
    blobs: dict[int, _Blob] = field(default_factory=dict)
    digests: dict[str, int] = field(default_factory=dict)
    versions: dict[tuple[str, str, Any], int] = field(default_factory=dict)
    records: set[int] = field(default_factory=set)
    """The messages that have something in them."""
    cache: OrderedDict[str, tuple[str, bytes]] = field(default_factory=OrderedDict)
    cached: int = 0

    def take(self, stored: StoredMessage) -> None:
        message, seq = cast("dict[str, Any]", stored["message"]), stored["seq"]
        if not message.keys().isdisjoint(("blob", "piece", "checkpoint", "writes")):
            self.records.add(seq)
        if blob := message.get("blob"):
            needs = [_resolve(seq, back) for back in [*blob.get("pieces", ()), *filter(None, [blob.get("base")])]]
            self.blobs[seq] = _Blob(blob.get("chain", 0), needs, blob["digest"])
            self.digests[blob["digest"]] = seq
        if checkpoint := message.get("checkpoint"):
            self._take_checkpoint(checkpoint, seq)
        if writes := message.get("writes"):
            known = self.writes.setdefault((writes["ns"], writes["id"]), {})
            for index, _, value in writes["items"]:
                if index < 0 or (writes["task"], index) not in known:
                    place = _resolve(seq, value[0]) if len(value) == 1 else None
                    known[writes["task"], index] = _Written(seq, writes["path"], place)
        if removed := message.get("removed"):
            self._take_removed(removed)

    def _take_checkpoint(self, record: dict[str, Any], seq: int) -> None:
        ns = record["ns"]
        values = {
            channel: [value[0], *(_resolve(seq, back) for back in value[1:])]
            for channel, value in record["values"].items()
        }
        known = _Checkpoint(seq, record["parent"], values, record.get("run"), record.get("delta", ()))
        self.checkpoints.setdefault(ns, {})[record["id"]] = known
        for channel, value in values.items():
            if len(value) > 1:
                self.versions[ns, channel, value[0]] = value[1]

    def _take_removed(self, removed: Sequence[Sequence[str]]) -> None:
        for ns, id in removed:
            self.checkpoints.get(ns, {}).pop(id, None)
            self.writes.pop((ns, id), None)
        # From here on nobody refers to what nobody needed here: its space may be freed at any time.
        live = self._live()
        self.blobs = {seq: blob for seq, blob in self.blobs.items() if seq in live}
        self.digests = {blob.digest: seq for seq, blob in self.blobs.items()}
        self.versions = {name: seq for name, seq in self.versions.items() if seq in live}

    def _live(self) -> set[int]:
        todo = [value[1] for _, known in self.all() for value in known.values.values() if len(value) > 1]
        todo += [written.value for known in self.writes.values() for written in known.values() if written.value]
        live: set[int] = set()
        while todo:
            seq = todo.pop()
            if seq not in live:
                live.add(seq)
                todo += self.blobs[seq].needs if seq in self.blobs else []
        return live

    def garbage(self) -> Sequence[int]:
        """The messages that nothing needs any more."""
        used = {known.seq for _, known in self.all()}
        used |= {written.seq for known in self.writes.values() for written in known.values()}
        return sorted(self.records - used - self._live())

    def all(self) -> Iterator[tuple[tuple[str, str], _Checkpoint]]:
        """All checkpoints."""
        return (((ns, id), known) for ns, of in self.checkpoints.items() for id, known in of.items())

    def latest(self) -> set[tuple[str, str]]:
        """The latest checkpoint of each namespace, and those before it that its delta channels are made of."""
        kept = set()
        for ns, known in self.checkpoints.items():
            id: str | None = max(known, default=None)
            missing = {channel for channel in known[id].delta} if id else set()
            while id in known:
                kept.add((ns, id))
                missing = {channel for channel in missing if len(known[id].values.get(channel, ())) < 2}
                id = known[id].parent if missing else None
        return kept

    def place(self, ns: str, channel: str, version: Any, before: Sequence[Any]) -> int | None:
        """The message with the value of this version, first of all that of the checkpoint before."""
        if len(before) > 1 and before[0] == version:
            return cast(int, before[1])
        return self.versions.get((ns, channel, version))

    def blob(self, store: Store, id: str, seq: int) -> tuple[str, bytes]:
        """A value. Errors: `DamagedError`."""
        chain: List[Any] = []
        digest, place = self._digest_of(seq), seq
        while (known := self.cache.get(self._digest_of(place))) is None:
            record = _read(store, id, place, "blob")
            pieces = [_read(store, id, _resolve(place, back), "piece") for back in record.get("pieces", ())]
            data = b"".join(base64.b64decode(text) for text in [*pieces, record["data"]])
            if "base" not in record:
                known = (record["type"], data)
                break
            chain.append((record["copy"], data))
            place = _resolve(place, record["base"])
        kind, data = known
        for copy, literal in reversed(chain):
            data = apply(data, copy, literal)
        if digest not in self.cache:
            if _digest(kind, data) != digest:
                raise DamagedError(f'session "{id}": the value of message {seq} is not what was stored')
            self.remember({digest: (kind, data)})
        return kind, data

    def _digest_of(self, seq: int) -> str:
        if seq not in self.blobs:
            raise _Gone
        return self.blobs[seq].digest

    def remember(self, values: dict[str, tuple[str, bytes]]) -> None:
        """Keeps values at hand that are likely to be asked for, or to change a little, next."""
        for digest, (kind, data) in values.items():
            if digest not in self.cache:
                self.cache[digest] = (kind, data)
                self.cached += len(data)
            self.cache.move_to_end(digest)
        while self.cached > CACHE_BYTES_MAX and len(self.cache) > 1:
            self.cached -= len(self.cache.popitem(last=False)[1][1])


class _Draft:
    """Messages to append behind a thread's head. They refer to messages that are there by number, and to each other by
    how far back they are; here the latter are -1 for the first, and so on."""

    def __init__(self, store: Store, id: str, thread: _Thread) -> None:
        self._store, self._id, self._thread = store, id, thread
        self._places: dict[str, int] = {}
        self.messages: List[Any] = []
        self.values: dict[str, tuple[str, bytes]] = {}

    def add(self, kind: str, body: Any) -> int:
        """Adds a message, and gives its place."""
        self.messages.append(_record(kind, body))
        return -len(self.messages)

    def reference(self, place: int) -> int:
        """A place as the message that is added next refers to it."""
        return place if place > 0 else -place - 1 - len(self.messages)

    def value(self, kind: str, data: bytes) -> List[Any]:
        """A value to be read with what it belongs to: ``[type, base64]``, or ``[place]``."""
        return _text((kind, data)) if len(data) <= INLINE_BYTES_MAX else [self.blob(kind, data, None)]

    def blob(self, kind: str, data: bytes, base: int | None) -> int:
        """The place of a value: where it is already, or in a message of its own, as the difference to another one
        where that is worth it."""
        digest = _digest(kind, data)
        self.values[digest] = (kind, data)
        place = self._thread.digests.get(digest) or self._places.get(digest)
        if place is None:
            record = {"type": kind, "digest": digest, "size": len(data)}
            place = self._places[digest] = self._add_blob(record, data, base)
        return place

    def _add_blob(self, record: dict[str, Any], data: bytes, base: int | None) -> int:
        if base is not None and len(data) > INLINE_BYTES_MAX:
            try:
                kind, old = self._thread.blob(self._store, self._id, base)
            except (_Gone, DamagedError):
                kind, old = "", b""  # Somebody else removes it, or it cannot be read: the new one needs nothing of it.
            copy, literal = difference(old, data)
            before = self._thread.blobs[base].chain if kind else 0
            chain = before + len(literal) + 12 * len(copy) + RECORD_BYTES
            # A chain never has more bytes than the value: so it costs little to read, and storing a value whole now
            # and then costs no more than the changes since the last time.
            if kind == record["type"] and chain < len(data):
                record.update(base=base, copy=copy, chain=chain)
                data = literal
        pieces = []
        if len(data) > PIECE_BYTES_MAX:
            for start in range(0, len(data), PIECE_BYTES_MAX):
                pieces.append(self.add("piece", _base64(data[start : start + PIECE_BYTES_MAX])))
            data = b""
        if pieces:
            record["pieces"] = [self.reference(place) for place in pieces]
        return self.add("blob", {**record, "data": _base64(data)})


class _Gone(Exception):
    """Somebody else has removed what was to be read."""


def _record(kind: str, body: Any) -> Any:
    return {"role": "system", "parts": [], kind: body}


def _read(store: Store, id: str, seq: int, kind: str) -> Any:
    page = store.read(id, from_seq=seq, limit=1)
    if seq in page.unreadable:
        raise DamagedError(f'session "{id}": message {seq} cannot be read')
    message = cast("dict[str, Any]", page.messages[0]["message"]) if page.messages else {}
    if not page.messages or page.messages[0]["seq"] != seq or message.get(kind) is None:
        raise _Gone
    return message[kind]


def _resolve(seq: int, reference: int) -> int:
    return reference if reference > 0 else seq + reference


def _digest(kind: str, data: bytes) -> str:
    return sha256(kind.encode() + b"\0" + data).hexdigest()[:32]


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _text(typed: tuple[str, bytes]) -> List[Any]:
    return [typed[0], _base64(typed[1])]


def _typed(text: Sequence[Any]) -> tuple[str, bytes]:
    return text[0], base64.b64decode(text[1])


def _id(thread_id: str) -> str:
    return name_of(KIND, thread_id)


def _facts(session: Session) -> dict[str, Any]:
    return (session.metadata or {}).get(KIND) or {}


def _thread_id(session: Session) -> str | None:
    """The thread that a session is; none where it is a copy that was cut off before it had its name."""
    name = _facts(session).get("thread_id")
    return name if isinstance(name, str) and _id(name) == session.id else None


def _place(config: RunnableConfig) -> tuple[str, str]:
    configurable = config["configurable"]
    return str(configurable["thread_id"]), configurable.get("checkpoint_ns") or ""


def _config(thread_id: str, ns: str, id: str) -> RunnableConfig:
    return {"configurable": {"thread_id": thread_id, "checkpoint_ns": ns, "checkpoint_id": id}}
