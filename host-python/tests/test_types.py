"""Type checkers agree with the package, with what uses it, and not with what is wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import consumer
import sessile

HERE = Path(__file__).parent
PACKAGE = Path(sessile.__file__).parent


def mypy(*arguments: Path | str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", *map(str, arguments)],
        cwd=HERE.parent,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout + done.stderr


def test_the_package_is_typed() -> None:
    assert (PACKAGE / "py.typed").is_file()
    for platform in ("linux", "darwin", "win32"):
        code, out = mypy("--platform", platform, PACKAGE)
        assert code == 0, f"{platform}: {out}"


def test_programs_that_use_it_are_right(tmp_path: Path) -> None:
    code, out = mypy(HERE / "consumer.py", HERE.parent / "examples/quick_start.py", HERE.parent / "bench/bench.py")
    assert code == 0, out
    consumer.main(tmp_path / "store")


def test_what_is_wrong_is_found() -> None:
    code, out = mypy(HERE / "wrong.py")
    assert code == 1
    lines = (HERE / "wrong.py").read_text().splitlines()
    first = next(number for number, line in enumerate(lines, 1) if line.startswith("def wrong")) + 1
    missed = [lines[number - 1] for number in range(first, len(lines) + 1) if f"wrong.py:{number}:" not in out]
    assert not missed, f"{missed}\n{out}"
