"""The component's machine code: compiled once per machine, kept outside the store.

The cache is a directory of our own with mode 0700, because whoever can write to it can run code as us. A file is
named by a hash over the component and what its machine code depends on, and begins with a hash over the rest, so that
a damaged one is seen before it is run. Whatever goes wrong with the cache, the component is compiled again; that
costs a fraction of a second and nothing else.
"""

from __future__ import annotations

import hashlib
import os
import platform
import secrets
import stat
import sys
import threading
from pathlib import Path

import wasmtime
from wasmtime import component as wc

def wasmtime_version() -> str:
    """The version of wasmtime, which does not say it itself."""
    # Its directory of metadata has it in its name. `importlib.metadata` takes longer to import than all the rest.
    found = [path.name for path in Path(wasmtime.__file__).parents[1].glob("wasmtime-*.dist-info")]
    if len(found) == 1:
        return found[0].removesuffix(".dist-info").split("-")[1]
    from importlib import metadata

    return metadata.version("wasmtime")


COMPONENT = Path(__file__).with_name("component") / "sessile.wasm"

_lock = threading.Lock()
_compiled: tuple[int, wasmtime.Engine, wc.Component] | None = None


def component() -> tuple[wasmtime.Engine, wc.Component]:
    """The engine and the component of this process. A child made by `fork` makes its own."""
    global _compiled, _lock
    if _compiled and _compiled[0] == os.getpid():
        return _compiled[1:]
    if _compiled:
        # A thread that the child has not may have held it.
        _lock = threading.Lock()
    with _lock:
        if not _compiled or _compiled[0] != os.getpid():
            config = wasmtime.Config()
            config.consume_fuel = True
            config.wasm_component_model = True
            engine = wasmtime.Engine(config)
            _compiled = (os.getpid(), engine, _load(engine))
        return _compiled[1:]


def _load(engine: wasmtime.Engine) -> wc.Component:
    wasm = COMPONENT.read_bytes()
    directory = cache_directory()
    name = f"{_key(wasm)}.pcwasm"
    if directory is not None:
        code = _kept(directory, name)
        if code is not None:
            try:
                return wc.Component.deserialize(engine, code)
            except wasmtime.WasmtimeError:
                pass  # Another processor, for instance.
    compiled = wc.Component(engine, wasm)
    if directory is not None:
        try:
            _keep(directory, name, bytes(compiled.serialize()))
        except OSError:
            pass  # The next start compiles again.
    return compiled


def _key(wasm: bytes) -> str:
    settings = f"{wasmtime_version()} {sys.platform} {platform.machine()} fuel\n".encode()
    return hashlib.sha256(settings + wasm).hexdigest()


def _kept(directory: Path, name: str) -> bytes | None:
    try:
        if not _is_ours_alone(os.lstat(directory), stat.S_ISDIR):
            return None
        careful = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        with open(os.open(directory / name, os.O_RDONLY | careful), "rb") as file:
            if not _is_ours_alone(os.fstat(file.fileno()), stat.S_ISREG):
                return None
            digest, code = file.read(32), file.read()
    except OSError:
        return None
    return code if hashlib.sha256(code).digest() == digest else None


def _keep(directory: Path, name: str, code: bytes) -> None:
    directory.parent.mkdir(parents=True, exist_ok=True)
    try:
        directory.mkdir(mode=0o700)
    except FileExistsError:
        pass
    if not _is_ours_alone(os.lstat(directory), stat.S_ISDIR):
        return
    temporary = directory / f"{secrets.token_hex(16)}.tmp"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        with open(os.open(temporary, flags, 0o600), "wb") as file:
            file.write(hashlib.sha256(code).digest() + code)
            file.flush()
            # A file that a power cut has emptied must not carry the name.
            os.fsync(file.fileno())
        os.replace(temporary, directory / name)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def _is_ours_alone(facts: os.stat_result, is_kind: object) -> bool:
    """Whether it belongs to us and nobody else can come at it. Windows protects a user's directory by its ACL."""
    assert callable(is_kind)
    if not is_kind(facts.st_mode):
        return False
    if sys.platform == "win32":
        return True
    return facts.st_uid == os.geteuid() and facts.st_mode & 0o077 == 0


def cache_directory() -> Path | None:
    """`$SESSILE_CACHE`, else `sessile` in the user's cache directory. `None` where there is none."""

    def given(name: str) -> Path | None:
        path = Path(os.environ.get(name) or ".")
        return path if path.is_absolute() else None

    if directory := given("SESSILE_CACHE"):
        return directory
    home = given("HOME")
    if sys.platform == "win32":
        caches = given("LOCALAPPDATA")
    elif sys.platform == "darwin":
        caches = home and home / "Library" / "Caches"
    else:
        caches = given("XDG_CACHE_HOME") or (home and home / ".cache")
    return caches and caches / "sessile"
