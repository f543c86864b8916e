"""The component's machine code: compiled once per machine, kept outside the store.

The cache is a directory of our own with mode 0700, because whoever can write to it can run code as us. A file is
named by a hash over the component and by what its machine code depends on, and ends with a checksum, so that a damaged
one is seen before it is run. Whatever goes wrong with the cache, the component is compiled again; that
costs a fraction of a second and nothing else.
"""

from __future__ import annotations

import mmap
import os
import platform
import stat
import sys
import threading
import zlib
from collections.abc import Callable
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


_CHECKSUM_BYTES = 4

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
    wasm, directory = component_file(), cache_directory()
    settings = f"{wasmtime_version()}-{sys.platform}-{platform.machine()}-fuel"
    file = directory and directory / f"{wasm.stem}-{settings}.cwasm"
    if file and _is_sound(file):
        try:
            return wc.Component.deserialize_file(engine, str(file))
        except wasmtime.WasmtimeError:
            pass  # Another processor, for instance.
    component = wc.Component(engine, wasm.read_bytes())
    if file:
        try:
            _keep(file, bytes(component.serialize()))
        except OSError:
            pass  # The next start compiles again.
    return component


def component_file() -> Path:
    """The component. The build has put it there, with its SHA-256 in its name."""
    files = list((Path(__file__).parent / "component").glob("sessile-*.wasm"))
    if len(files) != 1:
        raise FileNotFoundError(f"{len(files)} components in the package, not one; install it again")
    return files[0]


def _is_sound(path: Path) -> bool:
    """Whether only we can have written a file, and it is as we wrote it."""
    careful = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        if not _is_ours_alone(os.lstat(path.parent), stat.S_ISDIR):
            return False
        with open(os.open(path, os.O_RDONLY | careful), "rb") as file:
            facts = os.fstat(file.fileno())
            if not _is_ours_alone(facts, stat.S_ISREG) or facts.st_size <= _CHECKSUM_BYTES:
                return False
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content, memoryview(content) as bytes_:
                with bytes_[:-_CHECKSUM_BYTES] as code, bytes_[-_CHECKSUM_BYTES:] as checksum:
                    return bytes(checksum) == _checksum(code)
    except (OSError, ValueError):
        return False


def _checksum(code: bytes | memoryview) -> bytes:
    # It finds accidents, and need not find more: who could write the file could run code as us anyway.
    return zlib.crc32(code).to_bytes(_CHECKSUM_BYTES, "little")


def _keep(path: Path, code: bytes) -> None:
    directory = path.parent
    directory.parent.mkdir(parents=True, exist_ok=True)
    try:
        directory.mkdir(mode=0o700)
    except FileExistsError:
        pass
    if not _is_ours_alone(os.lstat(directory), stat.S_ISDIR):
        return
    temporary = directory / f"{os.urandom(16).hex()}.tmp"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        with open(os.open(temporary, flags, 0o600), "wb") as file:
            file.write(code + _checksum(code))
            file.flush()
            # A file that a power cut has emptied must not carry the name.
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def _is_ours_alone(facts: os.stat_result, is_kind: Callable[[int], bool]) -> bool:
    """Whether it belongs to us and nobody else can come at it. Windows protects a user's directory by its ACL."""
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
