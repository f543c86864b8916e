"""Carries out `tests/corpus/values.json`: bad input, and the kind of error that it must get (see the README there).

`values.py TABLE OUT`: each case in a directory of its own below OUT.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from calls import call

import sessile

MESSAGE: sessile.Message = {"role": "user", "parts": [{"type": "text", "text": "one"}]}
WORDS = {"lone-surrogate": "\ud800", "nan": float("nan"), "infinity": float("inf"), "2^53": 1 << 53, "2^64": 1 << 64}


def fill(value: Any) -> Any:
    """Puts what JSON cannot say where a case names it."""
    if isinstance(value, dict):
        if "$" in value:
            return value["text"] * value["count"] if value["$"] == "long" else WORDS[value["$"]]
        return {name: fill(item) for name, item in value.items()}
    return [fill(item) for item in value] if isinstance(value, list) else value


def arguments(case: dict[str, Any], root: Path) -> str | None:
    """Makes a call on a store with one session of one message. Returns what differs."""
    with sessile.open(root) as store:
        store.create(id="s")
        store.append("s", MESSAGE)
        if case.get("after") == "close":
            store.close()
        try:
            # Values as they are: writing them as JSON is the package's business here.
            call(store, case["call"], fill(case["args"]), text=lambda value: value)
        except sessile.SessileError as error:
            what = None if error.kind == case["error"] else f"expected {case['error']}, got {error.kind}: {error}"
        else:
            what = f"expected {case['error']}, got no error"
    with sessile.open(root, read_only=True) as store:
        left = store.get("s")
        return what or (None if (left.message_count, left.title) == (1, None) else "something was written")


def root(case: dict[str, Any], place: Path) -> str | None:
    """Opens what a case has made. Returns what differs."""
    target, marker = place / "root", place / "root" / "sessile.json"
    makers: dict[str, Callable[[], object]] = {
        "nothing": lambda: None,
        "file": lambda: target.write_text("a file"),
        "fifo": lambda: os.mkfifo(target),
        "directory": lambda: target.mkdir(),
    }
    makers[case.get("make", "nothing")]()
    if case.get("make") == "directory":
        target.chmod(int(case.get("mode", "700"), 8))
    if case.get("marker") == "fifo":
        os.mkfifo(marker)
    elif case.get("marker") == "link":
        (place / "other.json").write_text('{"format":"sessile","version":1,"reader":1}')
        marker.symlink_to(place / "other.json")
    elif "marker" in case:
        texts = {"noise": "noise\n", "newer": '{"format":"sessile","version":99,"reader":99}'}
        marker.write_text(texts[case["marker"]])
    path = case.get("path", str(target / case["below"] if "below" in case else target))
    opened = False
    try:
        with sessile.open(path, case.get("read_only", False)) as store:
            opened = True
            if "call" in case:
                call(store, case["call"], fill(case["args"]))
    except sessile.SessileError as error:
        if error.kind == case["error"] and opened == ("call" in case):
            return None
        return f"expected {case['error']}, got {error.kind} (opened: {opened}): {error}"
    return f"expected {case['error']}, got no error"


def main(table: Path, out: Path) -> int:
    """Carries out all cases. Returns the exit code."""
    cases = json.loads(table.read_text())
    count = failed = 0
    for kind, run in (("calls", arguments), ("roots", root)):
        for number, case in enumerate(cases[kind]):
            place = out / kind / str(number)
            place.mkdir(mode=0o700, parents=True)
            count += 1
            if what := run(case, place):
                failed += 1
                print(f"{kind}: {case['name']}: {what}")
    print(f"values: {count} cases, {failed} failed")
    return 1 if failed or not count else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
