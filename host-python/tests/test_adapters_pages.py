"""What the pages of the adapters show is what runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1]
PAGES = [page for page in sorted((PACKAGE.parent / "docs/adapters").glob("*.md")) if not page.stem.endswith("-js")]
"""Those of this package; the others are Node's."""
ADAPTERS = [path for path in (PACKAGE / "src/sessile/adapters").glob("*.py") if not path.name.startswith("_")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_quick_start_runs(page: Path, tmp_path: Path) -> None:
    if page.stem == "google-adk" and sys.version_info < (3, 11):
        pytest.skip("google-adk needs Python 3.11")
    text = page.read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.S)
    assert blocks
    for block in blocks:
        done = subprocess.run([sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        printed = re.search(re.escape(block) + r"```\n\n```text\n(.*?)```", text, re.S)
        assert printed is not None and done.stdout == printed[1]


def test_every_adapter_has_its_page() -> None:
    pages = "".join(page.read_text() for page in PAGES)
    assert [path.stem for path in ADAPTERS if f"sessile.adapters.{path.stem} " not in pages] == []
