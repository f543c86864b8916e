"""`script.py STORE ACKS SCRIPT`: carries out the steps of SCRIPT. The same program as `tests/src/bin/script.rs`;
tests/src/real/scripts.rs says what it must do."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import sessile
from calls import call

TRIES, GAVE_UP, UNHEARD = 3, 9, 8


class Script:
    """A script under way."""

    def __init__(self, root: str, acks: str) -> None:
        self.root, self.kept = root, dict[str, Any]()
        self.log = os.open(acks, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.store = self.open()

    def say(self, **line: Any) -> None:
        """Writes a line, in one write."""
        try:
            os.write(self.log, (json.dumps(line) + "\n").encode())
        except OSError:
            sys.exit(UNHEARD)

    def open(self) -> sessile.Store:
        for _ in range(TRIES):
            try:
                return sessile.open(self.root)
            except sessile.SessileError as error:
                self.say(error=error.kind, call="open", message=str(error))
        sys.exit(GAVE_UP)

    def fill(self, value: Any) -> Any:
        """Puts what was kept where a step names it."""
        if isinstance(value, str):
            return self.kept.get(value, value)
        if isinstance(value, list):
            return [self.fill(element) for element in value]
        return {name: self.fill(member) for name, member in value.items()} if isinstance(value, dict) else value

    def keep(self, names: dict[str, str], answer: Any) -> None:
        for name, at in names.items():
            value = answer
            for member in at[1:].split("/"):
                value = value[int(member)] if isinstance(value, list) else value[member]
            self.kept[f"${name}"] = value

    def step(self, place: int, step: dict[str, Any]) -> None:
        tried = 0
        while True:
            tried += 1
            try:
                answer = call(self.store, step["call"], self.fill(step.get("args", {})))
            except sessile.SessileError as error:
                if tried > 1 and error.kind in step.get("retry", []):
                    return self.say(step=place, made=error.kind)
                self.say(error=error.kind, call=step["call"], message=str(error))
                if tried == TRIES:
                    sys.exit(GAVE_UP)
                if error.kind == "closed":
                    self.store = self.open()
            else:
                self.keep(step.get("keep", {}), answer)
                return self.say(step=place, answer=answer)


def main(root: str, acks: str, script: str) -> None:
    running = Script(root, acks)
    for place, step in enumerate(json.loads(Path(script).read_text(encoding="utf-8"))):
        running.step(place, step)
    running.store.close()
    running.say(done=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
