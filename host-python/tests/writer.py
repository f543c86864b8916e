"""`writer.py STORE ACKS NAME`: appends whatever the disk does. The same program as `tests/src/bin/writer.rs`."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import sessile


def open_store(root: str, name: str) -> sessile.Store:
    """Opens the store, with this writer's sessions in it."""
    store = sessile.open(root)
    for id in (name, "shared"):
        try:
            store.create(id=id)
        except sessile.ConflictError:
            pass  # It is there.
    return store


def main(root: str, acks: str, name: str) -> None:
    log = os.open(acks, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    stop = Path(acks).with_suffix(".stop")

    def say(**line: Any) -> None:
        os.write(log, (json.dumps(line) + "\n").encode())

    store: sessile.Store | None = None
    number = 1
    while not stop.exists():
        try:
            if store is None:
                store = open_store(root, name)
                say(opened=True)
            text = f"{name} {number} {'x' * (number * 37 % 1500)}"
            message: sessile.Message = {"role": "user", "parts": [{"type": "text", "text": text}]}
            done = store.append("shared" if number % 3 == 0 else name, message, op=f"{name} {number}")
            say(number=number, seq=done.seq)
            number += 1
        except sessile.SessileError as error:
            say(error=error.kind, message=str(error))
            if error.kind == "closed":
                store = None
            time.sleep(0.02)
    if store is not None:
        store.close()
    say(done=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
