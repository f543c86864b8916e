"""Compiled code is kept where only its user can write, and nothing else is ever run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sessile import _compiled

PROGRAM = """
import sys
import wasmtime.component as wc
compiled = []
real = wc.Component.__init__
def init(self, *args):
    compiled.append(1)
    real(self, *args)
wc.Component.__init__ = init
import sessile
with sessile.open(sys.argv[1]) as store:
    store.create()
print("compiled" if compiled else "loaded")
"""


def start(tmp_path: Path, cache: Path | str, **environment: str) -> str:
    """Opens a store in a fresh process, and says whether the component had to be compiled."""
    given = {**os.environ, "SESSILE_CACHE": str(cache), **environment}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "store")], env=given, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_the_second_start_compiles_nothing(tmp_path: Path) -> None:
    cache = tmp_path / "deep" / "cache"
    assert start(tmp_path, cache) == "compiled"
    assert start(tmp_path, cache) == "loaded"
    (file,) = cache.iterdir()
    assert cache.stat().st_mode & 0o777 == 0o700 and file.stat().st_mode & 0o777 == 0o600
    assert "tmp" not in os.listdir(tmp_path / "store") or not list((tmp_path / "store").rglob("*.cwasm"))


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o755, 0o720])
def test_a_directory_that_others_come_at_is_not_used(tmp_path: Path, mode: int) -> None:
    cache = tmp_path / "cache"
    assert start(tmp_path, cache) == "compiled"
    cache.chmod(mode)
    assert start(tmp_path, cache) == "compiled"
    cache.chmod(0o700)
    assert start(tmp_path, cache) == "loaded"


def test_nothing_is_put_into_such_a_directory(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    cache.chmod(0o777)
    assert start(tmp_path, cache) == "compiled"
    assert os.listdir(cache) == []


def test_a_link_to_a_directory_is_not_used(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    assert start(tmp_path, cache) == "compiled"
    (tmp_path / "link").symlink_to(cache)
    assert start(tmp_path, tmp_path / "link") == "compiled"


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a directory away takes the superuser")
def test_a_directory_of_another_user_is_not_used(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    assert start(tmp_path, cache) == "compiled"
    os.chown(cache, 12345, -1)
    assert start(tmp_path, cache) == "compiled"


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "noise", "writable", "link", "fifo", "directory"])
def test_a_damaged_or_foreign_file_is_not_run(tmp_path: Path, damage: str) -> None:
    cache = tmp_path / "cache"
    assert start(tmp_path, cache) == "compiled"
    (file,) = cache.iterdir()
    code = bytearray(file.read_bytes())
    if damage == "flip":
        code[len(code) // 2] ^= 1
        file.write_bytes(code)
    elif damage in ("cut", "empty", "noise"):
        file.write_bytes({"cut": bytes(code[:-1000]), "empty": b"", "noise": b"noise" * 1000}[damage])
    elif damage == "writable":
        file.chmod(0o666)
    else:
        (tmp_path / "copy").write_bytes(code)
        (tmp_path / "copy").chmod(0o600)
        file.unlink()
        if damage == "link":
            file.symlink_to(tmp_path / "copy")
        elif damage == "fifo":
            os.mkfifo(file, 0o600)
        else:
            file.mkdir(0o700)
    assert start(tmp_path, cache) == "compiled"
    if damage != "directory":
        assert start(tmp_path, cache) == "loaded", "the next one is good again"


def test_no_place_for_a_cache_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert start(tmp_path, tmp_path / "file" / "cache") == "compiled"
    nowhere = {"HOME": "", "XDG_CACHE_HOME": ""}
    assert start(tmp_path, "", **nowhere) == "compiled"


def test_the_place_is_the_users_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESSILE_CACHE", "relative")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert _compiled.cache_directory() == Path("/x/sessile")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/h")
    assert _compiled.cache_directory() == Path("/h/.cache/sessile")
    monkeypatch.setenv("SESSILE_CACHE", "/c")
    assert _compiled.cache_directory() == Path("/c")


def test_the_version_of_wasmtime_is_found() -> None:
    from importlib import metadata

    assert _compiled.wasmtime_version() == metadata.version("wasmtime")
