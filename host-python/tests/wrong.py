"""What type checkers must object to, each line of it: see `test_types.py`."""

from __future__ import annotations

import sessile


def wrong(store: sessile.Store) -> None:
    store.get(1)
    store.create(titel="x")
    store.append("s", "hello")
    store.append("s", {"role": "robot", "parts": []})
    store.append("s", {"role": "user", "parts": []}, durability="maybe")
    store.read("s", last="1")
    store.get("s").title = "x"
    store.get("s").titel
    store.add_counters(session="s")
    store.add_counters(add={"x": "1"})
    store.add_counters(add={}, operation="o")
    store.get_counters("s")
    store.get_counters()["totals"]
