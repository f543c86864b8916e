"""The operations beside sessions and messages as methods, for both kinds of stores. They are carried out by name."""
# The component keeps the promise of the types; a test compares both.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from . import operations as ops


class Operations:
    """The methods of a :class:`sessile.Store` for counters and whatever else hosts keep beside messages."""

    def _operate(self, name: str, request: Any) -> Any:
        raise NotImplementedError

    def add_counters(self, **request: Unpack[ops.AddCounters]) -> ops.Counters:
        """Adds to counters, all or none. One that is not there begins at 0; counters may go below it.

        Guarantee: every acknowledged addition is in the total exactly once, however many processes add. Errors:
        `InvalidError` (a number that is not finite, here or as the sum; nothing was added), `NotFoundError`.
        """
        return self._operate("add_counters", request)

    def get_counters(self, **request: Unpack[ops.GetCounters]) -> ops.Counters:
        """Gives the counters. Errors: `NotFoundError`."""
        return self._operate("get_counters", request)

    def reset_counters(self, **request: Unpack[ops.ResetCounters]) -> ops.Counters:
        """Makes counters absent, so that they begin at 0 again. Errors: `NotFoundError`."""
        return self._operate("reset_counters", request)

    def add_usage(self, **request: Unpack[ops.AddUsage]) -> ops.Usage:
        """Enters what a turn has used, or with `absolute` what a source has used in all: then the difference to what it
        has said before is entered.

        Guarantee: every acknowledged entry is in the totals exactly once. Errors: `InvalidError` (not finite;
        `absolute` without a source), `NotFoundError`.
        """
        return self._operate("add_usage", request)

    def get_usage(self, **request: Unpack[ops.GetUsage]) -> ops.Usage:
        """Sums up usage: of a session, of a scope, or of the whole store with what purged sessions have used. A store's
        sum looks at the end of every session's log.

        Errors: `NotFoundError`, `InvalidError` (a session and a scope).
        """
        return self._operate("get_usage", request)

    def salvage_session(self, **request: Unpack[ops.SalvageSession]) -> ops.Salvaged:
        """Makes a new session of everything that can be read of a damaged one: its messages in order and as they are
        now, hidden branches and a revert that can be undone included, with its facts and its attachments.
        `metadata.salvaged` says where it comes from. It has no gaps, needs no other session, and is not in the trash.

        The damaged session is only read; its queues, counters, usage, runs and operation ids stay with it. With
        `quarantine` it then goes to the trash with the tag `pinned`: `restore` brings it back, and no retention policy
        purges it.

        Guarantee: on return the new session survives power loss. Salvaging what has not changed gives the same session
        again. Errors: `NotFoundError`, `ConflictError` (there is another session of that id), `InvalidError` (its
        readable part is past 256 MiB), `DamagedError` (nothing of the file can be read).
        """
        return self._operate("salvage_session", request)

    def search(self, **request: Unpack[ops.Search]) -> ops.SearchResults:
        """Finds messages, and titles of sessions, that have all words of a query, the best first (BM25). A query is
        words, with `"phrases"`, beginnings (`begin*`), what must not be there (`-word`), `role:user` and `tool:name`.
        Case, accents and width do not matter. What has come since the index was updated is taken in first, up to 4 MiB
        of it; `behind` says what is left. It writes nothing.

        Guarantee: each hit was read from its log as it is now. A message that forks inherit is one hit, with `also`.
        Errors: `InvalidError` (the query is too long, has nothing to look for, or a mistake).
        """
        return self._operate("search", request)

    def update_search(self, **request: Unpack[ops.UpdateSearch]) -> ops.SearchUpdate:
        """Brings the index of words up to date, so that searches need not read logs. Each call does a bounded piece of
        the work; call it until there is no `more`, whenever there is time for it: other calls neither wait for it nor
        fail. Cut off at any moment, it goes on where it was.

        Errors: `UnavailableError` (the disk is full or the store read-only: searches go on without).
        """
        return self._operate("update_search", request)

    def rename_session(self, **request: Unpack[ops.RenameSession]) -> ops.OneSession:
        """Gives a session the title that a person has chosen; suggested ones no longer replace it.

        Errors: `InvalidError` (nothing but spaces, or more than 100 characters), `NotFoundError`.
        """
        return self._operate("rename_session", request)

    def suggest_title(self, **request: Unpack[ops.SuggestTitle]) -> ops.OneSession:
        """Gives a session a title that a program has made, unless a person has chosen one: then nothing happens, also
        where that was at the same moment. It is cut to 1,024 bytes.

        Errors: `NotFoundError`.
        """
        return self._operate("suggest_title", request)

    def save_session(self, **request: Unpack[ops.SaveSession]) -> ops.Saved:
        """Makes a session hold exactly these messages, with as few writes as can be: what it has already stays, what is
        new is appended. Where they differ, what it has is hidden in the same step; `branches` shows it, and `switch`
        brings it back.

        Guarantee: a copy that is older than the session never hides what came since, because hiding needs
        `expect_head`. Errors: `ConflictError` (it would hide messages, and `expect_head` is not the head),
        `DamagedError` (messages that it has cannot be read), `NotFoundError`, `InvalidError`.
        """
        return self._operate("save_session", request)

    def read_view(self, **request: Unpack[ops.ReadView]) -> ops.View:
        """Reads the end of a session as a model should be shown it: at most so many messages, and more only where the
        first of them would be a tool's result without its call. What is stored is not cut.

        Errors: `NotFoundError`; `DamagedError` where a message of the view cannot be read.
        """
        return self._operate("read_view", request)

    def count_sessions(self, **request: Unpack[ops.CountSessions]) -> ops.SessionCounts:
        """Counts sessions, without reading their logs."""
        return self._operate("count_sessions", request)

    def directory_scope(self, **request: Unpack[ops.DirectoryScope]) -> ops.Scope:
        """Gives the scope of a working directory: absolute, without `.`, `..`, doubled or trailing slashes. The disk is
        not asked, so links stay as they are.

        Errors: `InvalidError` (not absolute).
        """
        return self._operate("directory_scope", request)

    def root_session(self, **request: Unpack[ops.RootSession]) -> ops.OneSession:
        """Finds the session that a session descends from, over all parents that are there: the one that a fork of a
        fork belongs to. Errors: `NotFoundError`."""
        return self._operate("root_session", request)

    def current_session(self, **request: Unpack[ops.CurrentSession]) -> ops.Resolved:
        """Gives the one current session of a scope, or makes it. A session that is closed or in the trash is current no
        more.

        Guarantee: of any number of processes that ask at once, one makes it and all get the same. Errors:
        `InvalidError`.
        """
        return self._operate("current_session", request)

    def resolve_thread(self, **request: Unpack[ops.ResolveThread]) -> ops.Resolved:
        """Gives the session of a conversation of an agent group, or makes it. One that is closed or in the trash is its
        session no more.

        Guarantee: as :meth:`current_session`. Errors: `InvalidError`.
        """
        return self._operate("resolve_thread", request)

    def set_routing(self, **request: Unpack[ops.SetRouting]) -> ops.Routing:
        """Says where a session's messages go. What is absent stays. Written by the host's side.

        Errors: `NotFoundError`, `InvalidError`.
        """
        return self._operate("set_routing", request)

    def get_routing(self, **request: Unpack[ops.GetRouting]) -> ops.Routing:
        """Gives a session's routing. Errors: `NotFoundError`."""
        return self._operate("get_routing", request)

    def set_state(self, **request: Unpack[ops.SetState]) -> ops.State:
        """Keeps a value for a session's worker. Written by the worker's side.

        Errors: `NotFoundError`, `InvalidError` (a key of 1 to 256 bytes, a value of at most 64 KiB, at most 1,000
        keys).
        """
        return self._operate("set_state", request)

    def get_state(self, **request: Unpack[ops.GetState]) -> ops.State:
        """Gives what was kept. Errors: `NotFoundError`."""
        return self._operate("get_state", request)

    def heartbeat(self, **request: Unpack[ops.Heartbeat]) -> ops.Worker:
        """Says that a session's worker is alive, and what it does. Buffered: nobody waits for the disk to learn that.

        Errors: `NotFoundError`, `InvalidError`.
        """
        return self._operate("heartbeat", request)

    def liveness(self, **request: Unpack[ops.Liveness]) -> ops.Worker:
        """Judges whether a session's worker is alive. Changes nothing.

        `unknown`: no worker was heard of. `stopped`: it says so. `silent`: it was not heard of for 30 minutes, or as
        long as its tool may take where that is longer. `stuck`: it has claimed an item more than a minute ago, or as
        long as its tool may take, and was not heard of since. `alive`: neither. Errors: `NotFoundError`.
        """
        return self._operate("liveness", request)

    def enqueue(self, **request: Unpack[ops.Enqueue]) -> ops.Enqueued:
        """Puts items into the queue of a session's worker, all or none. Called by the host's side.

        Guarantee: an item whose id is known with the same content is there once, however often it is given; a known id
        with other content is kept under an id that is derived from both. Errors: `NotFoundError`, `InvalidError`.
        """
        return self._operate("enqueue", request)

    def next_batch(self, **request: Unpack[ops.NextBatch]) -> ops.Items:
        """Claims the next items for a worker. Called by the worker's side.

        Due items that wake come first, the oldest first, at most `limit`; what is left of it is filled with the newest
        of those that only ride along, and due items of kind `system` come on top. Where nothing wakes, the batch is
        empty. The answer is in the order of numbers. Guarantee: no two workers have the same item, unless a lease has
        ended. Errors: `NotFoundError`, `InvalidError`.
        """
        return self._operate("next_batch", request)

    def release(self, **request: Unpack[ops.Release]) -> ops.Touched:
        """Gives claimed items back, to be claimed again at once. Called by the worker's side. Errors:
        `NotFoundError`."""
        return self._operate("release", request)

    def ack(self, **request: Unpack[ops.Ack]) -> ops.Acked:
        """Says how items have ended. Called by the worker's side; the next `sweep` of the host's side takes it over.

        What was acknowledged once stays so: a second, other acknowledgement changes nothing and is named in the answer.
        Errors: `NotFoundError` (an id that no item has or lately had; then nothing was acknowledged), `InvalidError`.
        """
        return self._operate("ack", request)

    def sweep(self, **request: Unpack[ops.Sweep]) -> ops.Swept:
        """Brings a session's incoming queue up to date: takes over acknowledgements, gives crashed workers' items back
        with a growing delay (5, 10, 20, 40, 80 s) or gives them up after five tries, and puts the successor of each
        recurring item that has ended. Called by the host's side, about every minute.

        Guarantee: an item ends once, and has exactly one successor, whoever sweeps. Errors: `NotFoundError`.
        """
        return self._operate("sweep", request)

    def inbound(self, **request: Unpack[ops.Inbound]) -> ops.Items:
        """Lists what came in and has not ended, or one item by id or number. Errors: `NotFoundError`."""
        return self._operate("inbound", request)

    def change_series(self, **request: Unpack[ops.ChangeSeries]) -> ops.Touched:
        """Cancels, pauses, resumes or changes items by their id or that of their series. Only those that wait are
        touched: neither claimed nor ended ones. Called by the host's side. Errors: `NotFoundError` (the session),
        `InvalidError`."""
        return self._operate("change_series", request)

    def emit(self, **request: Unpack[ops.Emit]) -> ops.Enqueued:
        """Puts items into the outgoing queue of a session, all or none. Called by the worker's side. Ids as with
        :meth:`enqueue`.

        Errors: `NotFoundError`, `InvalidError`.
        """
        return self._operate("emit", request)

    def next_deliveries(self, **request: Unpack[ops.NextDeliveries]) -> ops.OutItems:
        """Gives what is to be delivered now, in the order of numbers: due, not ended, and behind its last attempt's
        delay. One that fails stands in nobody's way. Called by the host's side. Errors: `NotFoundError`,
        `InvalidError`."""
        return self._operate("next_deliveries", request)

    def record_delivery(self, **request: Unpack[ops.RecordDelivery]) -> ops.OneOut:
        """Says what became of an attempt to deliver. Called by the host's side. What has ended stays as it is, so a
        retry is harmless.

        A failed attempt is made again after 5, 15, 45, 120 and 300 s, also after a restart; the sixth failure is the
        last. Errors: `NotFoundError` (no such item), `InvalidError`.
        """
        return self._operate("record_delivery", request)

    def outbound(self, **request: Unpack[ops.Outbound]) -> ops.OutItems:
        """Lists what goes out, with what became of it: what has not ended, and what has within the last seven days.
        Errors: `NotFoundError`."""
        return self._operate("outbound", request)

    def find_item(self, **request: Unpack[ops.FindItem]) -> ops.Found:
        """Finds an item of either direction by its number, which is what an agent calls it by. Errors:
        `NotFoundError`."""
        return self._operate("find_item", request)

    def ask(self, **request: Unpack[ops.Ask]) -> ops.OpenQuestions:
        """Puts a question to the user of a session. Known ids are left as they are, so a retry is harmless. Called by
        the host's side. Errors: `NotFoundError`, `InvalidError`."""
        return self._operate("ask", request)

    def answer_question(self, **request: Unpack[ops.AnswerQuestion]) -> ops.Enqueued:
        """Answers a question: it is asked no more, and the answer is in the queue of the worker, as an item of kind
        `system` with the content `{"type":"question_response","questionId","status":"answered","result"}`. Both or
        none.

        Errors: `NotFoundError` (not asked, answered before, or lapsed), `InvalidError`.
        """
        return self._operate("answer_question", request)

    def questions(self, **request: Unpack[ops.Questions]) -> ops.OpenQuestions:
        """Lists the questions that are open. Errors: `NotFoundError`."""
        return self._operate("questions", request)

    def begin_run(self, **request: Unpack[ops.BeginRun]) -> ops.RunInfo:
        """Begins a run: the session is `running` until the run ends, or until its lease does.

        Guarantee: of any number of processes that begin at once, one has the run. Errors: `ConflictError` (another one
        runs; who and until when), `InvalidError`, `NotFoundError`.
        """
        return self._operate("begin_run", request)

    def renew_run(self, **request: Unpack[ops.RenewRun]) -> ops.RunInfo:
        """Renews the lease of a run. Errors: `ConflictError` (it has ended, or somebody else runs)."""
        return self._operate("renew_run", request)

    def end_run(self, **request: Unpack[ops.EndRun]) -> ops.RunInfo:
        """Ends a run, with what it has used: all in one record, so that the cost that comes last is not lost. Also a
        run whose lease has ended can be ended, unless somebody else has begun one, and so can one that `list_runs`
        has marked. What was said first about an end stays.

        Errors: `ConflictError` (somebody else runs), `InvalidError`.
        """
        return self._operate("end_run", request)

    def get_run(self, **request: Unpack[ops.GetRun]) -> ops.RunInfo:
        """Gives the run of a session, the last one where none is under way. Errors: `NotFoundError`."""
        return self._operate("get_run", request)

    def list_runs(self, **request: Unpack[ops.ListRuns]) -> ops.Runs:
        """Finds the runs of a scope, or of the store, that have not ended: those under way, and those of which only an
        ended lease is left. With `mark`, the latter become `interrupted`, so that they can be resumed.

        Errors: those of the disk.
        """
        return self._operate("list_runs", request)

    def check_environment(self, **request: Unpack[ops.CheckEnvironment]) -> ops.Environment:
        """Checks environment variables that a caller wants to give to an agent. Pure: nothing is stored.

        Errors: `InvalidError` (a name that no system takes).
        """
        return self._operate("check_environment", request)

    def store_attachments(self, **request: Unpack[ops.StoreAttachments]) -> ops.Content:
        """Moves the files that content holds as base64 out to files, and gives the content that is left.

        What is moved: the text `data` of every object in an array `attachments`, and of every part (an object in an
        array `parts`) of type `image` or `file`, where it is base64 as RFC 4648 writes it. In its place stand `path`,
        relative to the store's directory, where any process can read it; `attachment`, with its digest and size; and a
        safe `name`, where there is none or an unsafe one. `enqueue` and `emit` do this themselves; for messages it is
        done before they are appended. Guarantee: on return the files are durable and have their rows. Errors:
        `NotFoundError`, `InvalidError` (a file of more than 20 MiB).
        """
        return self._operate("store_attachments", request)

    def restore_attachments(self, **request: Unpack[ops.RestoreAttachments]) -> ops.Content:
        """Puts the data of attachments back into content, byte for byte as it was before they were moved out.

        Errors: `DamagedError` (a file is gone, or is not what was stored; which one).
        """
        return self._operate("restore_attachments", request)

    def list_attachments(self, **request: Unpack[ops.ListAttachments]) -> ops.Attachments:
        """Lists the attachments of a session. Errors: `NotFoundError`."""
        return self._operate("list_attachments", request)

    def read_attachment(self, **request: Unpack[ops.ReadAttachment]) -> ops.FileData:
        """Gives a file as base64. Errors: `NotFoundError` (the session has no such attachment), `DamagedError`."""
        return self._operate("read_attachment", request)

    def clear_attachments(self, **request: Unpack[ops.ClearAttachments]) -> ops.Attachments:
        """Gives up a session's attachments of one direction: their rows go now, and the files a day later, unless
        somebody else has them too. Errors: `NotFoundError`."""
        return self._operate("clear_attachments", request)

    def collect_attachments(self, **request: Unpack[ops.CollectAttachments]) -> ops.Collected:
        """Removes the files that no session has for at least a day, and notes those that nobody has now. It looks at
        every session's rows."""
        return self._operate("collect_attachments", request)

    def plan_retention(self, **request: Unpack[ops.PlanRetention]) -> ops.Plan:
        """Says what a policy would do, and does nothing.

        Running and pinned sessions (tag `pinned`), those with forks, and those whose log cannot be read are never
        taken; the plan names them where the policy would take them. Errors: `InvalidError`.
        """
        return self._operate("plan_retention", request)

    def apply_retention(self, **request: Unpack[ops.ApplyRetention]) -> ops.Plan:
        """Does what the plan says: moves sessions to the trash, where they can be restored, and purges those that are
        there for longer than the grace period. A session that is used between plan and deed stays.

        Errors: `InvalidError`; those of the disk, and what was done stays done.
        """
        return self._operate("apply_retention", request)

    def set_retention(self, **request: Unpack[ops.SetRetention]) -> ops.KeptPolicy:
        """Keeps the policy that `plan_retention` and `apply_retention` use where they are given none. Errors:
        `InvalidError`."""
        return self._operate("set_retention", request)

    def get_retention(self, **request: Unpack[ops.GetRetention]) -> ops.KeptPolicy:
        """Gives the policy that is kept."""
        return self._operate("get_retention", request)

    def purge_scope(self, **request: Unpack[ops.PurgeScope]) -> ops.PurgedScope:
        """Purges all sessions of a scope that are not running, without a stay in the trash.

        What forks in other scopes need stays, hidden. Errors: those of the disk, and what was done stays done.
        """
        return self._operate("purge_scope", request)

    def ingest(self, **request: Unpack[ops.Ingest]) -> ops.Ingested:
        """Takes events of an agent in, in order: each becomes a message, or changes what is known of the session.

        - `user`, `text`: a message of the user, of the assistant
        - `thinking`: a message of the assistant with a part `thinking`
        - `tool_call`: a message of the assistant with a part `tool_call`, its `view` and its `tool_path`
        - `tool_result`: a message of the tool with the whole result, and a `view` of 500 lines where it has more
        - `init`: a note of the system; the session's model
        - `error`: a note of the system
        - `cost`: usage, as all that the session has used so far
        - `status`: the session's status; a text that is none: `idle`
        - `compaction` and any other: a note of the system with the event as it came, in a part `opaque`

        Guarantee: an event whose id came before with the same content changes nothing; one with other content is kept
        under an id that is derived from both. Events that were taken stay so where a later one fails. On return all of
        them are durable. Errors: `NotFoundError`, `InvalidError` (an event is no object, or has no `type`),
        `ConflictError` (in the trash).
        """
        return self._operate("ingest", request)

    def changes(self, **request: Unpack[ops.Changes]) -> ops.Changed:
        """Gives the changes since a cursor: of the store, or of one session. Without a cursor it gives no changes, only
        the cursor of now; the cursor `""` is that of the beginning.

        Guarantee: every change that counts is given exactly once along a chain of cursors, in the order of its log,
        whoever has written it. Where a log was rewritten or purged meanwhile, what had not been seen of the old one is
        given as one change `rewritten` or `purged`. A cursor over the store has some 50 bytes for each session, and
        looks at the size of each log. Errors: `InvalidError` (no cursor of this), `NotFoundError` (the session, unless
        the cursor knows it).
        """
        return self._operate("changes", request)


class AsyncOperations:
    """The same for a :class:`sessile.aio.AsyncStore`."""

    async def _operate(self, name: str, request: Any) -> Any:
        raise NotImplementedError

    async def add_counters(self, **request: Unpack[ops.AddCounters]) -> ops.Counters:
        """See :meth:`sessile.Store.add_counters`."""
        return await self._operate("add_counters", request)

    async def get_counters(self, **request: Unpack[ops.GetCounters]) -> ops.Counters:
        """See :meth:`sessile.Store.get_counters`."""
        return await self._operate("get_counters", request)

    async def reset_counters(self, **request: Unpack[ops.ResetCounters]) -> ops.Counters:
        """See :meth:`sessile.Store.reset_counters`."""
        return await self._operate("reset_counters", request)

    async def add_usage(self, **request: Unpack[ops.AddUsage]) -> ops.Usage:
        """See :meth:`sessile.Store.add_usage`."""
        return await self._operate("add_usage", request)

    async def get_usage(self, **request: Unpack[ops.GetUsage]) -> ops.Usage:
        """See :meth:`sessile.Store.get_usage`."""
        return await self._operate("get_usage", request)

    async def salvage_session(self, **request: Unpack[ops.SalvageSession]) -> ops.Salvaged:
        """See :meth:`sessile.Store.salvage_session`."""
        return await self._operate("salvage_session", request)

    async def search(self, **request: Unpack[ops.Search]) -> ops.SearchResults:
        """See :meth:`sessile.Store.search`."""
        return await self._operate("search", request)

    async def update_search(self, **request: Unpack[ops.UpdateSearch]) -> ops.SearchUpdate:
        """See :meth:`sessile.Store.update_search`."""
        return await self._operate("update_search", request)

    async def rename_session(self, **request: Unpack[ops.RenameSession]) -> ops.OneSession:
        """See :meth:`sessile.Store.rename_session`."""
        return await self._operate("rename_session", request)

    async def suggest_title(self, **request: Unpack[ops.SuggestTitle]) -> ops.OneSession:
        """See :meth:`sessile.Store.suggest_title`."""
        return await self._operate("suggest_title", request)

    async def save_session(self, **request: Unpack[ops.SaveSession]) -> ops.Saved:
        """See :meth:`sessile.Store.save_session`."""
        return await self._operate("save_session", request)

    async def read_view(self, **request: Unpack[ops.ReadView]) -> ops.View:
        """See :meth:`sessile.Store.read_view`."""
        return await self._operate("read_view", request)

    async def count_sessions(self, **request: Unpack[ops.CountSessions]) -> ops.SessionCounts:
        """See :meth:`sessile.Store.count_sessions`."""
        return await self._operate("count_sessions", request)

    async def directory_scope(self, **request: Unpack[ops.DirectoryScope]) -> ops.Scope:
        """See :meth:`sessile.Store.directory_scope`."""
        return await self._operate("directory_scope", request)

    async def root_session(self, **request: Unpack[ops.RootSession]) -> ops.OneSession:
        """See :meth:`sessile.Store.root_session`."""
        return await self._operate("root_session", request)

    async def current_session(self, **request: Unpack[ops.CurrentSession]) -> ops.Resolved:
        """See :meth:`sessile.Store.current_session`."""
        return await self._operate("current_session", request)

    async def resolve_thread(self, **request: Unpack[ops.ResolveThread]) -> ops.Resolved:
        """See :meth:`sessile.Store.resolve_thread`."""
        return await self._operate("resolve_thread", request)

    async def set_routing(self, **request: Unpack[ops.SetRouting]) -> ops.Routing:
        """See :meth:`sessile.Store.set_routing`."""
        return await self._operate("set_routing", request)

    async def get_routing(self, **request: Unpack[ops.GetRouting]) -> ops.Routing:
        """See :meth:`sessile.Store.get_routing`."""
        return await self._operate("get_routing", request)

    async def set_state(self, **request: Unpack[ops.SetState]) -> ops.State:
        """See :meth:`sessile.Store.set_state`."""
        return await self._operate("set_state", request)

    async def get_state(self, **request: Unpack[ops.GetState]) -> ops.State:
        """See :meth:`sessile.Store.get_state`."""
        return await self._operate("get_state", request)

    async def heartbeat(self, **request: Unpack[ops.Heartbeat]) -> ops.Worker:
        """See :meth:`sessile.Store.heartbeat`."""
        return await self._operate("heartbeat", request)

    async def liveness(self, **request: Unpack[ops.Liveness]) -> ops.Worker:
        """See :meth:`sessile.Store.liveness`."""
        return await self._operate("liveness", request)

    async def enqueue(self, **request: Unpack[ops.Enqueue]) -> ops.Enqueued:
        """See :meth:`sessile.Store.enqueue`."""
        return await self._operate("enqueue", request)

    async def next_batch(self, **request: Unpack[ops.NextBatch]) -> ops.Items:
        """See :meth:`sessile.Store.next_batch`."""
        return await self._operate("next_batch", request)

    async def release(self, **request: Unpack[ops.Release]) -> ops.Touched:
        """See :meth:`sessile.Store.release`."""
        return await self._operate("release", request)

    async def ack(self, **request: Unpack[ops.Ack]) -> ops.Acked:
        """See :meth:`sessile.Store.ack`."""
        return await self._operate("ack", request)

    async def sweep(self, **request: Unpack[ops.Sweep]) -> ops.Swept:
        """See :meth:`sessile.Store.sweep`."""
        return await self._operate("sweep", request)

    async def inbound(self, **request: Unpack[ops.Inbound]) -> ops.Items:
        """See :meth:`sessile.Store.inbound`."""
        return await self._operate("inbound", request)

    async def change_series(self, **request: Unpack[ops.ChangeSeries]) -> ops.Touched:
        """See :meth:`sessile.Store.change_series`."""
        return await self._operate("change_series", request)

    async def emit(self, **request: Unpack[ops.Emit]) -> ops.Enqueued:
        """See :meth:`sessile.Store.emit`."""
        return await self._operate("emit", request)

    async def next_deliveries(self, **request: Unpack[ops.NextDeliveries]) -> ops.OutItems:
        """See :meth:`sessile.Store.next_deliveries`."""
        return await self._operate("next_deliveries", request)

    async def record_delivery(self, **request: Unpack[ops.RecordDelivery]) -> ops.OneOut:
        """See :meth:`sessile.Store.record_delivery`."""
        return await self._operate("record_delivery", request)

    async def outbound(self, **request: Unpack[ops.Outbound]) -> ops.OutItems:
        """See :meth:`sessile.Store.outbound`."""
        return await self._operate("outbound", request)

    async def find_item(self, **request: Unpack[ops.FindItem]) -> ops.Found:
        """See :meth:`sessile.Store.find_item`."""
        return await self._operate("find_item", request)

    async def ask(self, **request: Unpack[ops.Ask]) -> ops.OpenQuestions:
        """See :meth:`sessile.Store.ask`."""
        return await self._operate("ask", request)

    async def answer_question(self, **request: Unpack[ops.AnswerQuestion]) -> ops.Enqueued:
        """See :meth:`sessile.Store.answer_question`."""
        return await self._operate("answer_question", request)

    async def questions(self, **request: Unpack[ops.Questions]) -> ops.OpenQuestions:
        """See :meth:`sessile.Store.questions`."""
        return await self._operate("questions", request)

    async def begin_run(self, **request: Unpack[ops.BeginRun]) -> ops.RunInfo:
        """See :meth:`sessile.Store.begin_run`."""
        return await self._operate("begin_run", request)

    async def renew_run(self, **request: Unpack[ops.RenewRun]) -> ops.RunInfo:
        """See :meth:`sessile.Store.renew_run`."""
        return await self._operate("renew_run", request)

    async def end_run(self, **request: Unpack[ops.EndRun]) -> ops.RunInfo:
        """See :meth:`sessile.Store.end_run`."""
        return await self._operate("end_run", request)

    async def get_run(self, **request: Unpack[ops.GetRun]) -> ops.RunInfo:
        """See :meth:`sessile.Store.get_run`."""
        return await self._operate("get_run", request)

    async def list_runs(self, **request: Unpack[ops.ListRuns]) -> ops.Runs:
        """See :meth:`sessile.Store.list_runs`."""
        return await self._operate("list_runs", request)

    async def check_environment(self, **request: Unpack[ops.CheckEnvironment]) -> ops.Environment:
        """See :meth:`sessile.Store.check_environment`."""
        return await self._operate("check_environment", request)

    async def store_attachments(self, **request: Unpack[ops.StoreAttachments]) -> ops.Content:
        """See :meth:`sessile.Store.store_attachments`."""
        return await self._operate("store_attachments", request)

    async def restore_attachments(self, **request: Unpack[ops.RestoreAttachments]) -> ops.Content:
        """See :meth:`sessile.Store.restore_attachments`."""
        return await self._operate("restore_attachments", request)

    async def list_attachments(self, **request: Unpack[ops.ListAttachments]) -> ops.Attachments:
        """See :meth:`sessile.Store.list_attachments`."""
        return await self._operate("list_attachments", request)

    async def read_attachment(self, **request: Unpack[ops.ReadAttachment]) -> ops.FileData:
        """See :meth:`sessile.Store.read_attachment`."""
        return await self._operate("read_attachment", request)

    async def clear_attachments(self, **request: Unpack[ops.ClearAttachments]) -> ops.Attachments:
        """See :meth:`sessile.Store.clear_attachments`."""
        return await self._operate("clear_attachments", request)

    async def collect_attachments(self, **request: Unpack[ops.CollectAttachments]) -> ops.Collected:
        """See :meth:`sessile.Store.collect_attachments`."""
        return await self._operate("collect_attachments", request)

    async def plan_retention(self, **request: Unpack[ops.PlanRetention]) -> ops.Plan:
        """See :meth:`sessile.Store.plan_retention`."""
        return await self._operate("plan_retention", request)

    async def apply_retention(self, **request: Unpack[ops.ApplyRetention]) -> ops.Plan:
        """See :meth:`sessile.Store.apply_retention`."""
        return await self._operate("apply_retention", request)

    async def set_retention(self, **request: Unpack[ops.SetRetention]) -> ops.KeptPolicy:
        """See :meth:`sessile.Store.set_retention`."""
        return await self._operate("set_retention", request)

    async def get_retention(self, **request: Unpack[ops.GetRetention]) -> ops.KeptPolicy:
        """See :meth:`sessile.Store.get_retention`."""
        return await self._operate("get_retention", request)

    async def purge_scope(self, **request: Unpack[ops.PurgeScope]) -> ops.PurgedScope:
        """See :meth:`sessile.Store.purge_scope`."""
        return await self._operate("purge_scope", request)

    async def ingest(self, **request: Unpack[ops.Ingest]) -> ops.Ingested:
        """See :meth:`sessile.Store.ingest`."""
        return await self._operate("ingest", request)

    async def changes(self, **request: Unpack[ops.Changes]) -> ops.Changed:
        """See :meth:`sessile.Store.changes`."""
        return await self._operate("changes", request)
