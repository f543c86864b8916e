"""What the operations beside sessions and messages take and give, for type checkers.

Nothing of this package imports it when it runs, because making these classes takes time. What may be left out may be
`None`, which says the same. Answers are plain dicts; times in them are `datetime` in UTC, and a session is a
:class:`sessile.Session`. Members of callers' own JSON stand in them as they were given.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from .types import Durability, Message, Role, Session, Status, StoredMessage, Time

if sys.version_info >= (3, 11):
    from typing import Required
elif TYPE_CHECKING:
    from typing_extensions import Required

__all__ = [
    "Ack",
    "Acked",
    "AddCounters",
    "AddUsage",
    "Amounts",
    "AnswerQuestion",
    "ApplyRetention",
    "Ask",
    "Attachment",
    "Attachments",
    "BeginRun",
    "Candidate",
    "Change",
    "ChangeKind",
    "ChangeSeries",
    "Changed",
    "Changes",
    "CheckEnvironment",
    "ClearAttachments",
    "Clock",
    "CollectAttachments",
    "Collected",
    "Content",
    "CountSessions",
    "Counters",
    "CurrentSession",
    "Delivery",
    "DeliveryStatus",
    "Direction",
    "DirectoryScope",
    "Emit",
    "EndRun",
    "Enqueue",
    "Enqueued",
    "Environment",
    "FileData",
    "FindItem",
    "Found",
    "GetCounters",
    "GetRetention",
    "GetRouting",
    "GetRun",
    "GetState",
    "GetUsage",
    "Group",
    "GroupBy",
    "Heartbeat",
    "Inbound",
    "Ingest",
    "Ingested",
    "Item",
    "ItemStatus",
    "Items",
    "KeptPolicy",
    "ListAttachments",
    "ListRuns",
    "Liveness",
    "NewAck",
    "NewFacts",
    "NewItem",
    "NewOut",
    "NextBatch",
    "NextDeliveries",
    "OneOut",
    "OneSession",
    "OpenQuestions",
    "OutItem",
    "OutItems",
    "Outbound",
    "Plan",
    "PlanRetention",
    "Policy",
    "PurgeScope",
    "PurgedScope",
    "Question",
    "Questions",
    "Range",
    "ReadAttachment",
    "ReadView",
    "Reason",
    "Receipt",
    "RecordDelivery",
    "Release",
    "RenameSession",
    "RenewRun",
    "ResetCounters",
    "ResolveThread",
    "Resolved",
    "RestoreAttachments",
    "RootSession",
    "Routing",
    "RunInfo",
    "RunRecord",
    "Runs",
    "SalvageSession",
    "Salvaged",
    "SaveSession",
    "Saved",
    "Scope",
    "Search",
    "SearchBehind",
    "SearchHighlight",
    "SearchHit",
    "SearchPlace",
    "SearchResults",
    "SearchUpdate",
    "SeriesAction",
    "SessionCounts",
    "SetRetention",
    "SetRouting",
    "SetState",
    "State",
    "StoreAttachments",
    "SuggestTitle",
    "Sweep",
    "Swept",
    "ThreadMode",
    "Totals",
    "Touched",
    "UpdateSearch",
    "Usage",
    "Verdict",
    "View",
    "Worker",
    "WorkerStatus",
]


class AddCounters(TypedDict, total=False):
    """What :meth:`sessile.Store.add_counters` takes."""

    session: str | None
    """The session; absent: the store."""
    add: Required[Mapping[str, float]]
    """Finite numbers by the names of counters, each 1 to 256 bytes."""
    op: str | None
    """The caller's name for this addition: given again it adds nothing."""
    durability: Durability | None
    """How durable it is on return. The default is ``synced``."""


class Counters(TypedDict):
    """The counters as they are now."""

    counters: dict[str, float]
    """The totals by name."""


class GetCounters(TypedDict, total=False):
    """What :meth:`sessile.Store.get_counters` takes."""

    session: str | None
    """The session; absent: the store."""


class ResetCounters(TypedDict, total=False):
    """What :meth:`sessile.Store.reset_counters` takes."""

    session: str | None
    """The session; absent: the store."""
    names: Sequence[str] | None
    """Their names; absent: all."""


class Amounts(TypedDict, total=False):
    """Amounts: tokens and money. ``None`` and absent: not known."""

    input: float | None
    """Tokens that the model was given."""
    output: float | None
    """Tokens that it gave."""
    cache_read: float | None
    """Tokens read from a cache."""
    cache_write: float | None
    """Tokens written to a cache."""
    cost: float | None
    """Money, in the caller's currency."""


class AddUsage(TypedDict, total=False):
    """What :meth:`sessile.Store.add_usage` takes."""

    session: Required[str]
    """The session."""
    model: str | None
    """The model; absent: the session's."""
    amounts: Required[Amounts]
    """How much."""
    absolute: bool | None
    """Whether the amounts are all that ``source`` has used so far."""
    source: str | None
    """Who counts, for ``absolute``: 1 to 256 bytes."""
    used_at: Time | None
    """When; absent: now. Says which day (UTC) it belongs to."""
    op: str | None
    """The caller's name for this entry: given again it adds nothing."""
    durability: Durability | None
    """How durable it is on return. The default is ``synced``."""


class Totals(TypedDict):
    """Sums: absent where nothing is known."""

    amounts: Amounts
    """The sums of what is known."""
    entries: int | None
    """How many entries there were."""
    counters: dict[str, int]
    """How many of them did not say, by kind."""


class Group(TypedDict):
    """A group of usage."""

    key: str | None
    """The session, scope, model or day."""
    total: Totals
    """Its sums."""


class Usage(TypedDict):
    """Sums of usage."""

    total: Totals
    """Everything."""
    groups: list[Group]
    """By what was asked for, in the order of the keys."""


GroupBy = Literal["session", "scope", "model", "day"]
"""What usage is grouped by. ``session``: the session; purged ones have no id any more: ``None``. ``scope``: the scope.
``model``: the model. ``day``: the day, ``2026-01-31``, in UTC."""


class GetUsage(TypedDict, total=False):
    """What :meth:`sessile.Store.get_usage` takes."""

    session: str | None
    """Of this session."""
    scope: str | None
    """Of all sessions of this scope."""
    by: GroupBy | None
    """What to group by."""


class SalvageSession(TypedDict, total=False):
    """What :meth:`sessile.Store.salvage_session` takes."""

    session: Required[str]
    """The damaged session."""
    id: str | None
    """The new session's id; absent: one that follows from what is salvaged."""
    generation: int | None
    """Which generation of its log, where the doctor says that readers do not come to it; absent: the one they read."""
    quarantine: bool | None
    """Whether the damaged session goes out of sight."""


Range = TypedDict("Range", {"from": int, "to": int})
"""From the first to the last message, or to the byte behind the last."""


class Salvaged(TypedDict):
    """What was salvaged."""

    session: Session
    """The new session as it is now."""
    repeated: bool
    """Whether an earlier call has made it."""
    carried: int
    """How many messages it was given, hidden ones included."""
    unreadable: list[Range]
    """Messages that cannot be read, by their numbers in the damaged session."""
    damage: list[Range]
    """Bytes of the damaged log that hold no record, from the first to the one behind the last."""
    quarantined: bool
    """Whether the damaged session is out of sight. One whose file no reader comes to is in no list anyway, and stays."""

class Search(TypedDict, total=False):
    """What :meth:`sessile.Store.search` takes."""

    query: Required[str]
    """What is looked for, at most 4,096 bytes and 64 words."""
    scope: str | None
    """Only in sessions of this scope."""
    session: str | None
    """Only in this session, with what it inherits."""
    role: str | None
    """Only in messages of this role."""
    tool: str | None
    """Only in messages that call this tool, or have its result under its name."""
    since: Time | None
    """Only what came at this time or later."""
    until: Time | None
    """Only what came before this time."""
    trashed: bool | None
    """In sessions that are in the trash too."""
    hidden: bool | None
    """In messages that a revert or another branch hides too."""
    limit: int | None
    """At most so many hits, 1 to 1,000; absent: 20."""
    cursor: str | None
    """What an earlier answer gave as `next`, for the same query. Where the store has changed since, a page may repeat or
    miss hits."""


class SearchBehind(TypedDict):
    """What an index lacks. All 0: nothing."""

    sessions: int
    """Sessions of which something is not found yet."""
    bytes: int
    """About how many bytes of their logs."""


SearchHighlight = TypedDict("SearchHighlight", {"from": int, "to": int})
"""A range of a snippet, in characters: `snippet[from:to]` is what was found."""


class SearchPlace(TypedDict):
    """Where a message is."""

    session_id: str
    """The session's id."""
    seq: int
    """The message's number there."""


class SearchHit(TypedDict):
    """A message or a title that was found."""

    session_id: str
    """The session's id."""
    title: str | None
    """Its title."""
    scope: str
    """Its scope."""
    seq: int | None
    """The message's number; absent where it is the title that was found."""
    role: Role | None
    """Its role."""
    created_at: datetime
    """When it came; for a title, when the session was made."""
    score: float
    """How well it fits, to be compared within one answer."""
    trashed: bool
    """Whether the session is in the trash."""
    hidden: bool
    """Whether a revert or another branch hides the message."""
    snippet: str
    """About 160 characters of the text, in one line."""
    highlights: list[SearchHighlight]
    """What was found in it."""
    also: list[SearchPlace]
    """Other sessions that are searched and hold the same message, at most 10."""


class SearchResults(TypedDict):
    """What was found."""

    hits: list[SearchHit]
    """The hits, the best first."""
    next: str | None
    """Where to go on; absent at the end."""
    behind: SearchBehind
    """What was not searched."""


class UpdateSearch(TypedDict, total=False):
    """What :meth:`sessile.Store.update_search` takes."""

    bytes: int | None
    """Take in about so many bytes of messages, 1 to 64 MiB; absent: 8 MiB."""


class SearchUpdate(TypedDict):
    """What an update has left."""

    more: bool
    """Whether another call has something to do."""
    behind: SearchBehind
    """What the index lacks."""
    documents: int
    """How many messages and titles it has."""
    files: int
    """How many files."""
    bytes: int
    """How many bytes they have."""



class RenameSession(TypedDict, total=False):
    """What :meth:`sessile.Store.rename_session` takes."""

    session: Required[str]
    """The session."""
    title: Required[str]
    """Its title; spaces around it go."""


class OneSession(TypedDict):
    """The answer of what is about one session."""

    session: Session
    """The session as it is now."""


class SuggestTitle(TypedDict, total=False):
    """What :meth:`sessile.Store.suggest_title` takes."""

    session: Required[str]
    """The session."""
    title: Required[str]
    """The title."""


class SaveSession(TypedDict, total=False):
    """What :meth:`sessile.Store.save_session` takes."""

    session: Required[str]
    """The session."""
    messages: Required[Sequence[Message]]
    """All its messages, as ``append`` takes them."""
    expect_head: int | None
    """The head that the caller has seen."""
    durability: Durability | None
    """How durable it is on return. The default is ``synced``."""


class Saved(TypedDict):
    """What saving did."""

    kept: int
    """How many messages it had already."""
    hidden: int
    """How many were hidden."""
    appended: int
    """How many were appended."""
    head: int
    """The head now."""


class ReadView(TypedDict, total=False):
    """What :meth:`sessile.Store.read_view` takes."""

    session: Required[str]
    """The session."""
    limit: Required[int]
    """At most so many messages, 1 to 10,000."""


class View(TypedDict):
    """The end of a session."""

    messages: list[StoredMessage]
    """As ``read`` gives them."""
    before: int
    """How many visible messages lie before them."""


class CountSessions(TypedDict, total=False):
    """What :meth:`sessile.Store.count_sessions` takes."""

    scope: str | None
    """Of this scope alone."""


class SessionCounts(TypedDict):
    """How many sessions there are."""

    total: int
    """Those that are listed."""
    trashed: int
    """Those in the trash."""
    counters: dict[str, int]
    """The listed ones by status."""


class DirectoryScope(TypedDict, total=False):
    """What :meth:`sessile.Store.directory_scope` takes."""

    directory: Required[str]
    """An absolute path, of Unix or Windows."""


class Scope(TypedDict):
    """A scope."""

    scope: str
    """As ``create`` and ``list`` take it."""


class RootSession(TypedDict, total=False):
    """What :meth:`sessile.Store.root_session` takes."""

    session: Required[str]
    """The session."""


class NewFacts(TypedDict, total=False):
    """Facts of a session that may have to be made."""

    title: str | None
    """See :meth:`sessile.Store.create`."""
    agent: str | None
    """See :meth:`sessile.Store.create`."""
    provider: str | None
    """See :meth:`sessile.Store.create`."""
    model: str | None
    """See :meth:`sessile.Store.create`."""
    tags: Sequence[str] | None
    """See :meth:`sessile.Store.create`."""
    metadata: Mapping[str, Any] | None
    """A JSON object, see ``create``."""


class CurrentSession(TypedDict, total=False):
    """What :meth:`sessile.Store.current_session` takes."""

    scope: Required[str]
    """The scope."""
    new: NewFacts | None
    """Facts of a new one."""
    force_new: bool | None
    """Make a new one in any case. The old one stays as it is."""


class Resolved(TypedDict):
    """The session that was found or made."""

    session: Session
    """The session."""
    created: bool
    """Whether this call has made it."""


ThreadMode = Literal["shared", "per_thread", "agent_shared"]
"""Who shares a session. ``shared``: everybody in a chat, whatever the thread. ``per_thread``: everybody in a thread;
outside of threads, everybody in the chat. ``agent_shared``: all chats of the agent group."""


class ResolveThread(TypedDict, total=False):
    """What :meth:`sessile.Store.resolve_thread` takes."""

    agent_group: Required[str]
    """The agent group: the scope of its sessions."""
    chat: str | None
    """The chat. Without one, ``shared`` and ``per_thread`` make a new session each time."""
    thread: str | None
    """The thread in the chat."""
    mode: Required[ThreadMode]
    """Who shares a session."""
    new: NewFacts | None
    """Facts of a new one."""


class SetRouting(TypedDict, total=False):
    """What :meth:`sessile.Store.set_routing` takes."""

    session: Required[str]
    """The session."""
    default: Any | None
    """The address of its messages where they have none of their own: any JSON; ``None`` clears."""
    destinations: Mapping[str, Any | None] | None
    """Addresses by name; ``None`` removes one."""


class Routing(TypedDict):
    """Where a session's messages go."""

    default: Any | None
    """The address where a message has none."""
    destinations: dict[str, Any]
    """Addresses by name."""


class GetRouting(TypedDict, total=False):
    """What :meth:`sessile.Store.get_routing` takes."""

    session: Required[str]
    """The session."""


class SetState(TypedDict, total=False):
    """What :meth:`sessile.Store.set_state` takes."""

    session: Required[str]
    """The session."""
    key: Required[str]
    """The key."""
    value: Any | None
    """Any JSON; absent or ``None`` removes the key."""
    durability: Durability | None
    """How durable it is on return. The default is ``synced``."""


class State(TypedDict):
    """A session's state."""

    values: dict[str, Any]
    """The values by key."""


class GetState(TypedDict, total=False):
    """What :meth:`sessile.Store.get_state` takes."""

    session: Required[str]
    """The session."""
    key: str | None
    """One key; absent: all."""


WorkerStatus = Literal["running", "idle", "stopped"]
"""What a worker is doing. ``running``: at work. ``idle``: waiting. ``stopped``: not there."""


class Heartbeat(TypedDict, total=False):
    """What :meth:`sessile.Store.heartbeat` takes."""

    session: Required[str]
    """The session."""
    worker: Required[str]
    """The worker's name, 1 to 256 bytes."""
    status: WorkerStatus | None
    """What it is doing: absent leaves it."""
    tool: str | None
    """The tool that it runs; absent: none."""
    timeout_ms: int | None
    """How long that tool may take, in ms, as it was declared."""


Verdict = Literal["unknown", "stopped", "alive", "silent", "stuck"]
"""Whether a worker is alive. ``unknown``: no worker was heard of. ``stopped``: it has said that it stops. ``alive``: it
is. ``silent``: it was not heard of for too long. ``stuck``: it has claimed something and was not heard of since."""


class Worker(TypedDict):
    """A session's worker."""

    verdict: Verdict
    """The verdict."""
    worker: str | None
    """Its name."""
    status: WorkerStatus
    """What it says it does."""
    tool: str | None
    """The tool that it runs."""
    timeout_ms: int | None
    """How long that may take, in ms."""
    beat_at: datetime | None
    """When it was last heard of."""
    claims: list[str]
    """The items that it has claimed, oldest first."""


class Liveness(TypedDict, total=False):
    """What :meth:`sessile.Store.liveness` takes."""

    session: Required[str]
    """The session."""
    started_at: Time | None
    """Do not judge by what was before this time: when the worker was started."""


class NewItem(TypedDict, total=False):
    """An item that comes in."""

    id: str | None
    """The caller's id, such as that of a platform's message; absent: a fresh ULID."""
    kind: Required[str]
    """What it is, such as ``chat``, ``task``, ``webhook``, ``system``. Items of kind ``system`` do not count against
    the limit of a batch."""
    content: Any | None
    """Any JSON of at most 1 MiB."""
    wakes: bool | None
    """Whether it wakes the worker; otherwise it rides along with one that does. Absent: yes."""
    on_start: bool | None
    """Whether only the first batch of a worker's life has it."""
    due_at: Time | None
    """Not before this time."""
    recurrence: str | None
    """A cron expression: behind the item comes its successor."""
    time_zone: str | None
    """The time zone of the recurrence; absent: UTC."""
    series: str | None
    """The id of its series; absent: its own."""
    address: Any | None
    """Where it came from, and where answers go: any JSON."""
    source_session: str | None
    """The session of an agent that it came from."""


class Enqueue(TypedDict, total=False):
    """What :meth:`sessile.Store.enqueue` takes."""

    session: Required[str]
    """The session."""
    items: Required[Sequence[NewItem]]
    """1 to 1,000 items."""
    durability: Durability | None
    """How durable it is on return. The default is ``synced``."""


class Receipt(TypedDict):
    """Where an item stands."""

    id: str
    """Its id, derived where its own was taken."""
    seq: int
    """Its number in the session; 0 where the item is done already."""
    repeated: bool
    """Whether it was there before."""


class Enqueued(TypedDict):
    """What became of items that were given."""

    items: list[Receipt]
    """One for each item, in order."""


class NextBatch(TypedDict, total=False):
    """What :meth:`sessile.Store.next_batch` takes."""

    session: Required[str]
    """The session."""
    worker: Required[str]
    """The worker's name."""
    limit: int | None
    """At most so many items, 1 to 1,000; absent: 10."""
    first: bool | None
    """Whether the worker has just begun its life: what it had claimed before is free again, and items ``on_start`` come
    too."""
    lease_ms: int | None
    """How long the claims last, in ms; absent: 30 minutes."""


ItemStatus = Literal["pending", "processing", "paused", "completed", "failed", "cancelled"]
"""What an item is waiting for, or how it has ended. ``pending``: for a worker, or for its time. ``processing``: a
worker has claimed it. ``paused``: to be resumed. ``completed``: done well. ``failed``: given up. ``cancelled``:
called off."""


class Item(TypedDict):
    """An item that came in."""

    id: str
    """Its id."""
    seq: int
    """Its number: even."""
    kind: str
    """What it is, such as ``chat``, ``task``, ``webhook``, ``system``. Items of kind ``system`` do not count against
    the limit of a batch."""
    content: Any
    """Any JSON of at most 1 MiB."""
    status: ItemStatus
    """``pending``, ``processing`` (claimed), ``paused``, ``completed``, ``failed``, ``cancelled``."""
    created_at: datetime
    """When it came."""
    wakes: bool
    """Whether it wakes the worker; otherwise it rides along with one that does. Absent: yes."""
    on_start: bool
    """Whether only the first batch of a worker's life has it."""
    due_at: datetime | None
    """Not before this time."""
    recurrence: str | None
    """A cron expression: behind the item comes its successor."""
    time_zone: str | None
    """The time zone of the recurrence; absent: UTC."""
    series: str
    """Its series."""
    tries: int
    """How often it was tried without success."""
    failures: int
    """How many items of its series have failed in a row."""
    released_at: datetime | None
    """Claims before this time do not count any more."""
    address: Any | None
    """Where it came from, and where answers go: any JSON."""
    source_session: str | None
    """The session of an agent that it came from."""


class Items(TypedDict):
    """Items."""

    items: list[Item]
    """In the order of their numbers."""


class Release(TypedDict, total=False):
    """What :meth:`sessile.Store.release` takes."""

    session: Required[str]
    """The session."""
    items: Required[Sequence[str]]
    """Their ids."""


class Touched(TypedDict):
    """How many items were touched."""

    items: list[str]
    """Their ids."""


class NewAck(TypedDict, total=False):
    """How an item has ended."""

    id: Required[str]
    """Its id."""
    status: Required[ItemStatus]
    """``completed`` or ``failed``."""
    error: str | None
    """What went wrong, at most 4,096 bytes."""


class Ack(TypedDict, total=False):
    """What :meth:`sessile.Store.ack` takes."""

    session: Required[str]
    """The session."""
    acks: Required[Sequence[NewAck]]
    """One for each item."""
    durability: Durability | None
    """How durable it is on return. The default is ``synced``."""


class Acked(TypedDict):
    """What became of acknowledgements."""

    acked: list[str]
    """Those that count now."""
    unchanged: list[str]
    """Those that had ended before, and stay as they were."""


class Sweep(TypedDict, total=False):
    """What :meth:`sessile.Store.sweep` takes."""

    session: Required[str]
    """The session."""
    worker_gone: bool | None
    """Whether the session's worker is known to be gone: its claims need not be waited for."""


class Swept(TypedDict):
    """What a sweep did, by ids of items."""

    completed: list[str]
    """Those that have ended well."""
    failed: list[str]
    """Those that were given up."""
    retried: list[str]
    """Those that will be tried again."""
    spawned: list[str]
    """Successors."""
    paused: list[str]
    """Successors that wait to be resumed, because too many before them have failed."""
    wakes: bool
    """Whether something is due and waits for a worker."""
    due_at: datetime | None
    """When the next item is due; absent: none waits for its time."""


class Inbound(TypedDict, total=False):
    """What :meth:`sessile.Store.inbound` takes."""

    session: Required[str]
    """The session."""
    status: ItemStatus | None
    """Only those of that status."""


SeriesAction = Literal["cancel", "pause", "resume", "update"]
"""What is done with a series. ``cancel``: its items end, and nothing comes after them. ``pause``: its items wait to be
resumed. ``resume``: its paused items are pending again. ``update``: see :meth:`sessile.Store.change_series`."""


class ChangeSeries(TypedDict, total=False):
    """What :meth:`sessile.Store.change_series` takes."""

    session: Required[str]
    """The session."""
    target: Required[str]
    """The id of an item or of a series."""
    action: Required[SeriesAction]
    """What to do."""
    content: Any | None
    """For ``update``: a merge patch (RFC 7396) of the content."""
    recurrence: str | None
    """For ``update``: another recurrence; an empty text ends it."""
    time_zone: str | None
    """For ``update``: another time zone."""
    due_at: Time | None
    """For ``update``: another time."""


class NewOut(TypedDict, total=False):
    """An item that goes out."""

    id: str | None
    """The caller's id; absent: a fresh ULID."""
    kind: Required[str]
    """What it is. Items of kind ``system`` are for the host itself, and never delivered."""
    content: Any | None
    """Any JSON of at most 1 MiB."""
    in_reply_to: str | None
    """The incoming item that it answers, by id: its address is where it goes."""
    due_at: Time | None
    """Not before this time."""
    address: Any | None
    """Where it goes: any JSON. Absent: to the address of what it answers, else to ``destination``, else to the default
    of the routing."""
    destination: str | None
    """The name of a destination of the routing."""


class Emit(TypedDict, total=False):
    """What :meth:`sessile.Store.emit` takes."""

    session: Required[str]
    """The session."""
    items: Required[Sequence[NewOut]]
    """1 to 1,000 items."""
    durability: Durability | None
    """How durable it is on return. The default is ``synced``."""


class NextDeliveries(TypedDict, total=False):
    """What :meth:`sessile.Store.next_deliveries` takes."""

    session: Required[str]
    """The session."""
    limit: int | None
    """At most so many, 1 to 1,000; absent: 100."""


DeliveryStatus = Literal["pending", "delivered", "failed", "refused"]
"""What a delivery is waiting for, or how it has ended. ``pending``: to be attempted. ``delivered``: it has arrived.
``failed``: given up after six attempts. ``refused``: the platform will never take it."""


class Delivery(TypedDict):
    """What became of a delivery."""

    status: DeliveryStatus
    """Where it stands."""
    attempts: int
    """How often it was attempted."""
    next_at: datetime | None
    """Not again before this time."""
    platform_id: str | None
    """The platform's id of the message."""
    error: str | None
    """What went wrong last."""
    ended_at: datetime | None
    """When it ended."""


class OutItem(TypedDict):
    """An item that goes out, and what became of it."""

    id: str
    """Its id."""
    seq: int
    """Its number: odd."""
    kind: str
    """What it is. Items of kind ``system`` are for the host itself, and never delivered."""
    content: Any
    """Any JSON of at most 1 MiB."""
    in_reply_to: str | None
    """The incoming item that it answers, by id: its address is where it goes."""
    created_at: datetime
    """When it was emitted."""
    due_at: datetime | None
    """Not before this time."""
    address: Any | None
    """Where it goes, as of now; absent: nobody knows, and it cannot be delivered."""
    destination: str | None
    """The name of a destination of the routing."""
    delivery: Delivery
    """What became of it."""


class OutItems(TypedDict):
    """Items that go out."""

    items: list[OutItem]
    """In the order of their numbers."""


class RecordDelivery(TypedDict, total=False):
    """What :meth:`sessile.Store.record_delivery` takes."""

    session: Required[str]
    """The session."""
    item: Required[str]
    """The item's id."""
    status: Required[DeliveryStatus]
    """``delivered``, ``failed`` (this attempt), or ``refused`` (for good)."""
    platform_id: str | None
    """The platform's id of the message."""
    error: str | None
    """What went wrong, at most 4,096 bytes."""


class OneOut(TypedDict):
    """One item that goes out."""

    item: OutItem
    """The item with its delivery."""


class Outbound(TypedDict, total=False):
    """What :meth:`sessile.Store.outbound` takes."""

    session: Required[str]
    """The session."""


class FindItem(TypedDict, total=False):
    """What :meth:`sessile.Store.find_item` takes."""

    session: Required[str]
    """The session."""
    seq: Required[int]
    """The number."""


class Found(TypedDict):
    """An item of either direction."""

    id: str
    """Its id; that of the platform where it was delivered."""
    inbound: Item | None
    """The item, where it came in."""
    outbound: OutItem | None
    """The item, where it goes out."""


class Ask(TypedDict, total=False):
    """What :meth:`sessile.Store.ask` takes."""

    session: Required[str]
    """The session."""
    id: Required[str]
    """The question's id."""
    content: Required[Any]
    """What is asked, with its options: any JSON of at most 64 KiB."""
    expires_at: Time | None
    """When it lapses."""


class Question(TypedDict):
    """An open question."""

    id: str
    """Its id."""
    content: Any
    """What is asked."""
    created_at: datetime
    """When it was asked."""
    expires_at: datetime | None
    """When it lapses."""


class OpenQuestions(TypedDict):
    """Open questions."""

    questions: list[Question]
    """In the order of their ids."""


class AnswerQuestion(TypedDict, total=False):
    """What :meth:`sessile.Store.answer_question` takes."""

    session: Required[str]
    """The session."""
    id: Required[str]
    """The question's id."""
    answer: Required[Any]
    """The answer: any JSON."""


class Questions(TypedDict, total=False):
    """What :meth:`sessile.Store.questions` takes."""

    session: Required[str]
    """The session."""


class BeginRun(TypedDict, total=False):
    """What :meth:`sessile.Store.begin_run` takes."""

    session: Required[str]
    """The session."""
    owner: Required[str]
    """Who runs, 1 to 256 bytes."""
    lease_ms: Required[int]
    """How long the lease is, in ms: 1 second to 24 hours. It is renewed with ``renew_run``."""


class RunRecord(TypedDict):
    """What is known of a run."""

    id: str
    """Its id."""
    owner: str
    """Who runs."""
    begun_at: datetime
    """When it began."""
    renewed_at: datetime
    """When its lease was last renewed."""
    lease_until: datetime
    """Until when its lease holds."""
    ended_at: datetime | None
    """When it ended."""
    error: str | None
    """What went wrong."""


class RunInfo(TypedDict):
    """A run as it is."""

    session: Session
    """The session, as it is now."""
    run: RunRecord | None
    """The run; absent where there never was one."""
    is_running: bool
    """Whether its lease holds."""
    is_crashed: bool
    """Whether it has not ended and its lease does not hold any more: its process has died."""
    is_stalled: bool
    """Whether it runs and nothing has come for a while."""


class RenewRun(TypedDict, total=False):
    """What :meth:`sessile.Store.renew_run` takes."""

    session: Required[str]
    """The session."""
    run: Required[str]
    """The run's id."""
    lease_ms: Required[int]
    """How long the lease is from now, in ms."""


class EndRun(TypedDict, total=False):
    """What :meth:`sessile.Store.end_run` takes."""

    session: Required[str]
    """The session."""
    run: Required[str]
    """The run's id."""
    status: Required[Status]
    """How: ``done``, ``error``, ``idle`` or ``interrupted``."""
    error: str | None
    """What went wrong, at most 4,096 bytes."""
    amounts: Amounts | None
    """What it has used, beyond what was entered already."""
    model: str | None
    """The model of the amounts; absent: the session's."""


class GetRun(TypedDict, total=False):
    """What :meth:`sessile.Store.get_run` takes."""

    session: Required[str]
    """The session."""
    silence_ms: int | None
    """Without messages or renewals for so long a run is stalled, in ms; absent: 15 minutes."""


class ListRuns(TypedDict, total=False):
    """What :meth:`sessile.Store.list_runs` takes."""

    scope: str | None
    """Of this scope alone."""
    silence_ms: int | None
    """Without messages or renewals for so long a run is stalled, in ms; absent: 15 minutes."""
    mark: bool | None
    """Whether crashed runs become ``interrupted``."""


class Runs(TypedDict):
    """Runs."""

    runs: list[RunInfo]
    """Those that have not ended."""


class CheckEnvironment(TypedDict, total=False):
    """What :meth:`sessile.Store.check_environment` takes."""

    values: Required[Mapping[str, str]]
    """Values by name."""
    blocked: Sequence[str] | None
    """What names must not begin with, whatever the case; absent: CLAUDE, CODEX, OLLAMA, ANTHROPIC_."""


class Environment(TypedDict):
    """Environment variables."""

    values: dict[str, str]
    """Those that may be given."""
    refused: list[str]
    """The names of those that may not."""


Direction = Literal["message", "in", "out"]
"""Which log a file belongs to. ``message``: the session's messages. ``in``: what came in: the host's side writes.
``out``: what goes out: the worker's side writes."""


class StoreAttachments(TypedDict, total=False):
    """What :meth:`sessile.Store.store_attachments` takes."""

    session: Required[str]
    """The session."""
    content: Required[Any]
    """Any JSON."""
    direction: Direction | None
    """Whose they are. The default is ``message``."""


class Content(TypedDict):
    """Content."""

    content: Any
    """The content."""
    count: int
    """How many files were moved, or put back."""


class RestoreAttachments(TypedDict, total=False):
    """What :meth:`sessile.Store.restore_attachments` takes."""

    content: Required[Any]
    """What :meth:`sessile.Store.store_attachments`, ``enqueue`` or ``emit`` made of it."""


class ListAttachments(TypedDict, total=False):
    """What :meth:`sessile.Store.list_attachments` takes."""

    session: Required[str]
    """The session."""
    direction: Direction | None
    """Only those of that direction."""


class Attachment(TypedDict):
    """A file that came with content."""

    digest: str
    """What its file is named for."""
    name: str
    """Its name: one that is safe in a directory of any system."""
    path: str
    """Its path, relative to the store's directory."""
    size: int
    """Its size in bytes."""
    media_type: str | None
    """Its media type, as its content says."""
    direction: Direction
    """Whose it is."""


class Attachments(TypedDict):
    """Attachments."""

    attachments: list[Attachment]
    """In the order of directions and digests."""


class ReadAttachment(TypedDict, total=False):
    """What :meth:`sessile.Store.read_attachment` takes."""

    session: Required[str]
    """The session."""
    digest: Required[str]
    """Its digest."""


class FileData(TypedDict):
    """A file."""

    data: str
    """In base64."""


class ClearAttachments(TypedDict, total=False):
    """What :meth:`sessile.Store.clear_attachments` takes."""

    session: Required[str]
    """The session."""
    direction: Required[Direction]
    """Whose."""


class CollectAttachments(TypedDict, total=False):
    """What :meth:`sessile.Store.collect_attachments` takes: nothing."""


class Collected(TypedDict):
    """What was collected."""

    count: int
    """How many files were removed."""
    bytes: int
    """How many bytes they had."""
    waiting: int
    """How many more nobody has."""


Clock = Literal["accessed", "active"]
"""By which clock a session is old. ``accessed``: when somebody last looked at it, or wrote to it. ``active``: when a
message last came."""


class Policy(TypedDict, total=False):
    """What is kept. A limit that is absent is none."""

    max_age_ms: int | None
    """Sessions older than this go, in ms."""
    clock: Clock | None
    """By which clock a session is old, and which of two is older. The default is ``accessed``."""
    max_sessions: int | None
    """At most so many sessions stay: the newest."""
    max_bytes: int | None
    """At most so many bytes of logs stay: those of the newest."""
    each_scope: bool | None
    """Whether the limits are each scope's instead of the store's."""
    grace_ms: int | None
    """Sessions that are in the trash for longer are purged, in ms; absent: none is."""
    on_open: bool | None
    """For the policy that is kept: whether it is applied whenever somebody opens the store for writing. What goes wrong
    with that does not keep the store from opening."""


class PlanRetention(TypedDict, total=False):
    """What :meth:`sessile.Store.plan_retention` takes."""

    scope: str | None
    """Only this scope."""
    policy: Policy | None
    """The policy; absent: that of ``set_retention``, and where there is none nothing goes."""


Reason = Literal["age", "count", "bytes", "grace", "running", "pinned", "forked", "unreadable"]
"""Why a session goes, or must not. ``age``: it is too old. ``count``: there are too many. ``bytes``: they are too
large. ``grace``: it is in the trash for long enough. ``running``: exempt: an agent is at work. ``pinned``: exempt:
it has the tag ``pinned``. ``forked``: exempt: a fork begins with its messages. ``unreadable``: exempt: its log
cannot be read."""


class Candidate(TypedDict):
    """A session that a policy is about."""

    session_id: str
    """Its id."""
    scope: str
    """Its scope."""
    reason: Reason
    """Why."""
    bytes: int
    """The bytes of its logs and queues."""
    used_at: datetime
    """When it was last used, by the policy's clock, or moved to the trash."""


class Plan(TypedDict):
    """A plan, or what was done of it."""

    trash: list[Candidate]
    """What goes to the trash, the oldest first."""
    purge: list[Candidate]
    """What is purged, the oldest first."""
    exempt: list[Candidate]
    """What the policy would take and must not."""
    bytes_freed: int
    """How many bytes of files ``purge`` gives back, and when applied the attachments that nobody has any more. The
    trash gives back none."""


class ApplyRetention(TypedDict, total=False):
    """What :meth:`sessile.Store.apply_retention` takes."""

    scope: str | None
    """Only this scope."""
    policy: Policy | None
    """The policy; absent: that of ``set_retention``, and where there is none nothing goes."""


class SetRetention(TypedDict, total=False):
    """What :meth:`sessile.Store.set_retention` takes."""

    policy: Policy | None
    """The policy; absent or ``None``: none."""


class KeptPolicy(TypedDict):
    """The policy that is kept."""

    policy: Policy | None
    """Absent: none."""


class GetRetention(TypedDict, total=False):
    """What :meth:`sessile.Store.get_retention` takes: nothing."""


class PurgeScope(TypedDict, total=False):
    """What :meth:`sessile.Store.purge_scope` takes."""

    scope: Required[str]
    """The scope."""


class PurgedScope(TypedDict):
    """What was purged."""

    purged: list[str]
    """Ids of sessions that are gone."""
    running: list[str]
    """Ids of sessions that stay, because an agent is at work."""


class Ingest(TypedDict, total=False):
    """What :meth:`sessile.Store.ingest` takes."""

    session: Required[str]
    """The session."""
    events: Required[Sequence[Mapping[str, Any]]]
    """At most 10,000 JSON objects with ``type``, and by type: ``id``, ``content``, ``name``, ``call_id``, ``input``,
    ``output``, ``is_error``, ``model``, ``status``, ``cost``, ``input_tokens``, ``output_tokens``, ``at``."""


class Ingested(TypedDict):
    """What became of events."""

    appended: int
    """How many messages were appended."""
    repeated: int
    """How many events had been taken before."""
    renamed: int
    """How many came with a known id and other content, and were kept under another."""
    head: int
    """The head now."""


class Changes(TypedDict, total=False):
    """What :meth:`sessile.Store.changes` takes."""

    session: str | None
    """Only of this session."""
    cursor: str | None
    """What an earlier answer gave as ``cursor``."""
    limit: int | None
    """At most about so many, 1 to 10,000; absent: 1,000."""


ChangeKind = Literal[
    "created",
    "forked",
    "appended",
    "message_updated",
    "reverted",
    "unreverted",
    "switched",
    "updated",
    "status",
    "trashed",
    "restored",
    "counted",
    "rewritten",
    "purged",
]
"""What happens to a session. ``created``: it was made. ``forked``: it was made as a fork. ``appended``: messages came.
``message_updated``: a message changed. ``reverted``: messages were hidden. ``unreverted``: they were shown again.
``switched``: another branch is visible. ``updated``: its facts changed. ``status``: its status changed. ``trashed``:
it was moved to the trash. ``restored``: it was taken out of it. ``counted``: counters, usage or its run changed.
``rewritten``: its log was written anew, with the same meaning. ``purged``: it is gone."""


class Change(TypedDict):
    """A change of a session."""

    session_id: str
    """The session's id."""
    kind: ChangeKind
    """What has happened."""
    changed_at: datetime | None
    """When, as its writer says; streamed text says none."""
    seq: int | None
    """The number of the first message that came, of the one that changed, or of the head that was moved to."""
    count: int | None
    """How many messages came."""


class Changed(TypedDict):
    """Changes, and how to go on."""

    changes: list[Change]
    """In the order of each log."""
    cursor: str
    """For the next call."""
    more: bool
    """Whether there are more already."""
