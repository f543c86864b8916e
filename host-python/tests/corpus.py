"""Carries out the language-neutral cases of `tests/corpus` on real files: see the README there.

`corpus.py OPS OUT`: every case of every file of OPS (a directory of `*.json`, or one file; a case with a `base` starts
on a copy of that frozen store), in `OUT/<file>/<number of the case>/`, which stays.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from calls import Clock, call, damage, entropy

import sessile
from sessile.store import Store, _open


class Runner:
    """Carries out one case in a directory."""

    def __init__(self, root: Path) -> None:
        self.root, self.clock = root, Clock()
        self.stores: dict[int, Store] = {}
        self.kept: dict[str, Any] = {}

    def steps(self, steps: list[dict[str, Any]], round: int | None = None) -> None:
        for place, step in enumerate(steps, 1):
            what = self.step(self.fill(step, round))
            if what:
                raise AssertionError(f"step {place} ({step['call']}): {what}")

    def fill(self, value: Any, round: int | None) -> Any:
        """Puts what was kept, and the number of the round, where a step names it."""
        if isinstance(value, str):
            if value[:1] == "$" and value[1:] in self.kept:
                return self.kept[value[1:]]
            return value if round is None else value.replace("$i", str(round))
        if isinstance(value, list):
            return [self.fill(item, round) for item in value]
        return {key: self.fill(item, round) for key, item in value.items()} if isinstance(value, dict) else value

    def store(self, process: int, read_only: bool = False) -> Store:
        if process not in self.stores:
            self.stores[process] = _open(self.root, read_only, self.clock, entropy(process))
        return self.stores[process]

    def step(self, step: dict[str, Any]) -> str | None:
        name, args, process = step["call"], step.get("args") or {}, step.get("process", 1)
        try:
            if name == "repeat":
                for round in range(1, args["count"] + 1):
                    self.steps(args["steps"], round)
                return None
            if name in ("wait", "delete_catalogue", "marker", "damage"):
                self.outside(name, args)
                return None
            if name == "reopen":
                if process in self.stores:
                    self.stores.pop(process)._drop()
                return self.check(step, self.store(process, args.get("read_only", False)) and None)
            return self.check(step, call(self.store(process), name, args))
        except sessile.SessileError as error:
            if error.kind == step.get("error") and step.get("says", "") in str(error):
                return None
            return f"expected {step.get('error', 'no error')} ({step.get('says', '')}), got {error.kind}: {error}"

    def outside(self, name: str, args: dict[str, Any]) -> None:
        """Does what no call does: time passes, people and disks change files."""
        if name == "wait":
            self.clock.now += args["ms"]
        elif name == "delete_catalogue":
            for file in (self.root / "catalogue").glob("*"):
                file.unlink()
        elif name == "marker":
            (self.root / "sessile.json").write_text(args["text"])
        else:
            damage(self.root / args["file"], args)

    def check(self, step: dict[str, Any], answer: Any) -> str | None:
        if "error" in step:
            return f"expected {step['error']}, got {answer}"
        if not (answer or {}).get("text", "").endswith(step["ends"]) if "ends" in step else False:
            return f"the text does not end with {step['ends']}: {answer}"
        if "count" in step and len(answer[step["count"][0]]) != step["count"][1]:
            return f"{step['count'][0]} has not {step['count'][1]} elements"
        return self.fits(step["expect"], answer, "answer") if "expect" in step else None

    def fits(self, expected: Any, actual: Any, place: str) -> str | None:
        if isinstance(expected, str) and expected[:1] == "$":
            if expected[-1] == "=":
                self.kept[expected[1:-1]] = actual
            if expected == "$any" or expected[-1] == "=":
                return None
            expected = self.kept.get(expected[1:], expected)
        if isinstance(expected, dict) and isinstance(actual, dict):
            # What keeps a value comes before what compares with it.
            for key in sorted(expected, key=lambda key: str(expected[key])[-1:] != "="):
                what = f"{place} has no {key}" if key not in actual else None
                if what := what or self.fits(expected[key], actual[key], f"{place}.{key}"):
                    return what
            return None
        if isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
            found = (self.fits(one, other, f"{place}[{at}]") for at, (one, other) in enumerate(zip(expected, actual)))
            return next(filter(None, found), None)
        return None if type(expected) is type(actual) and expected == actual else f"{place} is {actual}, not {expected}"


def run(case: dict[str, Any], root: Path, stores: Path) -> str | None:
    """Carries out a case. Returns what differs."""
    if "base" in case:
        shutil.copytree(stores / case["base"] / "files", root)
    root.mkdir(parents=True, exist_ok=True)
    root.chmod(0o700)
    runner = Runner(root)
    try:
        runner.steps(case["steps"])
    except AssertionError as what:
        return str(what)
    finally:
        for store in runner.stores.values():
            store._drop()
    return None


def main(ops: Path, out: Path) -> int:
    """Carries out all cases. Returns the exit code."""
    count = failed = 0
    stores = next((path / "stores" for path in ops.resolve().parents if (path / "stores").is_dir()), ops)
    for file in sorted(ops.glob("*.json")) if ops.is_dir() else [ops]:
        for number, case in enumerate(json.loads(file.read_text())):
            count += 1
            if what := run(case, out / file.stem / str(number), stores):
                failed += 1
                print(f"{file.name}: {case['name']}: {what}")
    print(f"corpus: {count} cases, {failed} failed")
    return 1 if failed or not count else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
