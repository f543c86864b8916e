"""A cache of compiled code for this run alone, and what all tests want."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

# Before the package is used: the user's own cache must play no part.
_CACHE = tempfile.TemporaryDirectory(prefix="sessile-cache-")
os.environ["SESSILE_CACHE"] = str(Path(_CACHE.name) / "code")

import sessile  # noqa: E402


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where a store may come to be."""
    return tmp_path / "store"


@pytest.fixture
def store(root: Path) -> Iterator[sessile.Store]:
    """A store with one session, `s`."""
    with sessile.open(root) as opened:
        opened.create(id="s")
        yield opened


def message(text: str = "hello") -> sessile.Message:
    """A message."""
    return {"role": "user", "parts": [{"type": "text", "text": text}]}


def texts(store: sessile.Store, id: str = "s") -> list[str]:
    """The texts of all visible messages."""
    return [stored["message"]["parts"][0]["text"] for stored in store.messages(id)]
