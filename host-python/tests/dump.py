"""`dump.py STORE`: prints all that a store holds as one JSON object, with the words of `wit/types.wit`."""

from __future__ import annotations

import json
import sys
from typing import Any

from calls import plain

import sessile


def dump(store: sessile.Store) -> dict[str, Any]:
    """All sessions, trashed ones included, by id, and the text of all their messages."""
    found = [session for trashed in (False, True) for session in store.sessions(trashed=trashed, limit=1000)]
    # By the bytes of the ids, as the other languages sort.
    found.sort(key=lambda session: session.id.encode())
    return {
        "sessions": [{**plain(session), "metadata": session.metadata} for session in found],
        "messages": {session.id: messages(store, session.id) for session in found},
    }


def messages(store: sessile.Store, id: str) -> str:
    """All messages of a session as the text of one JSON array."""
    page = store.read_json(id, from_seq=1, limit=10_000)
    pages = [page.messages]
    while page.next is not None:
        page = store.read_json(id, cursor=page.next, limit=10_000)
        pages.append(page.messages)
    return "[" + ",".join(inner for page_text in pages if (inner := page_text.strip()[1:-1].strip())) + "]"


if __name__ == "__main__":
    with sessile.open(sys.argv[1], read_only=True) as opened:
        print(json.dumps(dump(opened), ensure_ascii=False, sort_keys=True))
