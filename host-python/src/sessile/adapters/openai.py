"""OpenAI Agents SDK: a ``Session`` that keeps a conversation in a Sessile store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, List, cast

from agents.memory import SessionABC, SessionSettings

from ..store import Store
from ..types import Role, StoredMessage
from ._common import aside, batches, ensure, find, last, name_of, pack, settled, unpack

if TYPE_CHECKING:
    from agents import TResponseInputItem

__all__ = ["SessileSession"]

KIND = "openai-agents"
ROLES: dict[Any, Role] = {"user": "user", "assistant": "assistant", "developer": "system", "system": "system"}
TOOL_ENDS = ("_output", "_result")
PAGE_MAX = 10_000


class SessileSession(SessionABC):
    """A conversation of the OpenAI Agents SDK: ``Runner.run(agent, "...", session=SessileSession("chat-7", store))``.

    Any number of these, in any number of processes, may be one conversation. The store is neither opened nor closed
    here. What is popped or cleared is hidden: ``store.unrevert`` shows it again until something else is added.
    What a method has done survives power loss when it returns.
    """

    session_settings: SessionSettings | None = None

    def __init__(
        self, session_id: str, store: Store, *, session_settings: SessionSettings | dict[str, Any] | None = None
    ) -> None:
        settings = session_settings if session_settings is not None else SessionSettings()
        self.session_settings = SessionSettings(**settings) if isinstance(settings, dict) else settings
        self.session_id = session_id
        self._store = store
        self._id = name_of(KIND, session_id)

    async def get_items(self, limit: int | None = None) -> List[TResponseInputItem]:
        """All items in order, or the last ones: ``limit``, else that of the settings. 0 gives none, a negative one
        all, as in the SDK's own sessions."""
        if limit is None and self.session_settings is not None:
            limit = self.session_settings.limit
        return await aside(lambda: self._items(limit))

    async def add_items(self, items: List[TResponseInputItem]) -> None:
        """Adds items, all or none where one append takes them."""
        if items:
            await aside(lambda: self._add(items))

    async def pop_item(self) -> TResponseInputItem | None:
        """Takes the last item away and gives it; ``None`` where there is none. No two callers get the same."""
        return await aside(self._pop)

    async def clear_session(self) -> None:
        """Takes all items away."""
        await aside(self._clear)

    def _items(self, limit: int | None) -> List[TResponseInputItem]:
        if limit == 0 or find(self._store, self._id) is None:
            return []
        if limit is None or not 0 < limit <= PAGE_MAX:
            stored = list(self._store.messages(self._id))
            return [_item(one) for one in (stored[-limit:] if limit is not None and limit > 0 else stored)]
        return [_item(one) for one in last(self._store, self._id, limit)]

    def _add(self, items: List[TResponseInputItem]) -> None:
        ensure(self._store, self._id, scope=KIND, agent=KIND, metadata={KIND: {"session_id": self.session_id}})
        for batch in batches([pack(_role(item), cast("dict[str, Any]", item)) for item in items]):
            self._store.append(self._id, batch)

    def _pop(self) -> TResponseInputItem | None:
        def attempt() -> TResponseInputItem | None:
            for stored in last(self._store, self._id, 1):
                # Where somebody was quicker and has moved the head, this is a conflict, and the next one is tried.
                self._store.revert(self._id, stored["seq"], inclusive=True, expect_head=stored["seq"])
                return _item(stored)
            return None

        return None if find(self._store, self._id) is None else settled(self._store, self._id, attempt)

    def _clear(self) -> None:
        def attempt() -> None:
            first = self._store.read(self._id, from_seq=1, limit=1).messages
            if first:
                self._store.revert(self._id, first[0]["seq"], inclusive=True)

        if find(self._store, self._id) is not None:
            settled(self._store, self._id, attempt)


def _role(item: Any) -> Role:
    kind = item.get("type") or ""
    return "tool" if isinstance(kind, str) and kind.endswith(TOOL_ENDS) else ROLES.get(item.get("role"), "assistant")


def _item(stored: StoredMessage) -> TResponseInputItem:
    return cast("TResponseInputItem", unpack(stored["message"]))
