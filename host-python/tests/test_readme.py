"""What the README shows is what runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parents[1]


def blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", (PACKAGE / "README.md").read_text(), re.S)


def test_the_quick_start_is_the_example(tmp_path: Path) -> None:
    example = (PACKAGE / "examples/quick_start.py").read_text()
    assert blocks()[0] == example
    assert len(example.splitlines()) <= 15
    done = subprocess.run(
        [sys.executable, PACKAGE / "examples/quick_start.py"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "1 user Why does it fail?\n2 assistant A missing import.\n"


def test_the_other_examples_run(tmp_path: Path) -> None:
    assert len(blocks()) > 1
    for block in blocks()[1:]:
        done = subprocess.run([sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
