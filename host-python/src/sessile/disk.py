"""A store's files on a local disk: what the component asks for.

Owns the check of paths, the descriptors, and the order of writes and syncs that makes the promises of
`wit/filesystem.wit` true. It decides nothing about content. It takes no lock, starts no thread and prints nothing.

Invariants: nothing outside the root is read or written, because the root is opened once, every name below it is
opened from its directory, and no link is followed; only a regular file with a single name is used; content is synced
before it gets its name, and the name's directory is synced before success is reported; after a failed sync nothing
more is written. An exception from outside (an interrupt from the keyboard) leaves all of this true.

Windows has no descriptors of directories: there names are looked up by path, the owner and the mode of the root are
not checked, and that a file was removed is as durable as the file system's journal makes it.
"""

from __future__ import annotations

import binascii
import errno
import os
import stat
import sys
import time
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

_PATH_NAMES_MAX = 3
_NAME_BYTES_MAX = 64
_ALPHABET = frozenset("abcdefghijklmnopqrstuvwxyz0123456789.-")
_APPENDERS_MAX = 32
_NAMED_MAX = 1000
_DIRECTORIES_MAX = 64
# The directory of files that have no name of their own yet. The core does not know it.
_TEMPORARY = "tmp"
_TEMPORARY_ALPHABET = frozenset("0123456789abcdef")
# A temporary file this old belongs to a process that died. One that only slept finds its file gone.
_TEMPORARY_SECONDS_MAX = 24 * 60 * 60

_IS_WINDOWS = sys.platform == "win32"
# No link is followed, no FIFO is waited on, no terminal is acquired, and no child process inherits it.
_CAREFUL = 0
for _flag in ("O_NOFOLLOW", "O_CLOEXEC", "O_NONBLOCK", "O_NOCTTY", "O_BINARY", "O_NOINHERIT"):
    _CAREFUL |= getattr(os, _flag, 0)
_DIRECTORY = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)


class FsError(Exception):
    """What went wrong with a file: the kind (`not-found`, `exists`, `not-text`, `refused`, `unavailable`, `closed`)
    and, as UTF-8, a message that names the file and the way out."""

    args: tuple[str, bytes]

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(kind, message.encode(errors="backslashreplace"))

    @property
    def kind(self) -> str:
        return self.args[0]

    def __str__(self) -> str:
        return self.args[1].decode()


class _Descriptor:
    """A file descriptor that is closed with its last use."""

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        # A process may have closed its standard streams: a stray print must never land in a session.
        self.fd = fd
        # The C library of Windows keeps these for itself.
        if sys.platform != "win32" and fd <= 2:
            import fcntl

            self.fd = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
            os.close(fd)

    def close(self, close: Callable[[int], None] = os.close) -> None:
        fd, self.fd = self.fd, -1
        if fd >= 0:
            try:
                close(fd)
            except OSError:
                pass  # What matters was synced before, and said then.

    __del__ = close


class _Dir:
    """An open directory; on Windows its path."""

    def __init__(self, opened: _Descriptor | None, path: str) -> None:
        self._opened, self._path = opened, path
        self.id = None if opened is None else _id(os.fstat(opened.fd))

    @classmethod
    def open_root(cls, path: str) -> _Dir:
        if _IS_WINDOWS:
            path = os.path.realpath(path, strict=True)
            if not os.path.isdir(path):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            return cls(None, path)
        return cls(_Descriptor(os.open(path, _DIRECTORY)), path)

    def _at(self, name: str) -> dict[str, Any]:
        if self._opened is None:
            return {"path": os.path.join(self._path, name)}
        return {"path": name, "dir_fd": self._opened.fd}

    def open_dir(self, name: str) -> _Dir:
        if self._opened is None:
            if not stat.S_ISDIR(self.facts_at(name).st_mode):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            return _Dir(None, os.path.join(self._path, name))
        return _Dir(self.open(name, _DIRECTORY), name)

    def make_dir(self, name: str) -> None:
        try:
            os.mkdir(mode=0o700, **self._at(name))
        except FileExistsError:
            pass

    def is_still_at(self, root: _Dir, path: str) -> bool:
        """Tells whether `path` below `root` still leads here."""
        try:
            return self._opened is not None and _id(root.facts_at(path)) == self.id
        except OSError:
            return False

    def open(self, name: str, flags: int, mode: int = 0o777) -> _Descriptor:
        if _IS_WINDOWS and flags & os.O_APPEND:
            return _Descriptor(_open_append_windows(os.path.join(self._path, name)))
        return _Descriptor(_patiently(lambda: os.open(flags=flags | _CAREFUL, mode=mode, **self._at(name))))

    def facts_at(self, name: str) -> os.stat_result:
        return os.stat(follow_symlinks=False, **self._at(name))

    def names(self) -> list[str]:
        """The names of what may be files: some file systems do not say what a name stands for."""
        with os.scandir(self._path if self._opened is None else self._opened.fd) as entries:
            return [entry.name for entry in entries if not entry.is_dir(follow_symlinks=False)]

    def unlink(self, name: str) -> None:
        _patiently(lambda: os.unlink(**self._at(name)))

    def rename_over(self, name: str, to: _Dir, to_name: str) -> None:
        source, target = self._at(name), to._at(to_name)
        if self._opened is None:
            return _patiently(lambda: os.replace(source["path"], target["path"]))
        os.rename(name, to_name, src_dir_fd=source["dir_fd"], dst_dir_fd=target["dir_fd"])

    def rename_new(self, name: str, to: _Dir, to_name: str) -> None:
        """Renames a file to a name that must be free. A crash between the two steps leaves both names."""
        source, target = self._at(name), to._at(to_name)
        try:
            if self._opened is None:
                _patiently(lambda: os.link(source["path"], target["path"]))
            else:
                os.link(name, to_name, src_dir_fd=source["dir_fd"], dst_dir_fd=target["dir_fd"])
        except FileExistsError:
            # NFS sends a request again when the answer was lost, and then meets its own link.
            if _IS_WINDOWS or self.facts_at(name).st_nlink != 2:
                raise
        try:
            self.unlink(name)
        except OSError:
            pass  # Whoever meets the second name clears it up.

    def sync_name(self, name: str) -> None:
        """Makes it durable that `name` is there, or that it is not."""
        if self._opened is None:
            # NTFS keeps names with the file, and writes the journal up to a sync of it.
            try:
                _sync(self.open(name, os.O_WRONLY).fd, os.fsync)
            except (FileNotFoundError, PermissionError):
                pass
            return
        try:
            _sync(self._opened.fd, os.fsync)
        except OSError as error:
            # Some file systems know no sync of directories: there the names are as durable as they get.
            if error.errno not in (errno.EINVAL, errno.EBADF):
                raise


class _Appender:
    """A descriptor that appends to a file."""

    __slots__ = ("file", "is_dirty", "is_named", "path")

    def __init__(self, path: str, file: _Descriptor, is_named: bool) -> None:
        self.path, self.file = path, file
        # Whether the file's name is known to survive power loss.
        self.is_named = is_named
        # Whether appends through this descriptor await a sync.
        self.is_dirty = False


class DiskFs:
    """The files below one directory of a local disk.

    Every method keeps the promise of the function of its name in `wit/filesystem.wit`, and raises `FsError`. Any
    number of them, in any number of processes, may share a root. At most about 100 descriptors are kept open.
    """

    def __init__(self, root: str, read_only: bool = False) -> None:
        """Opens the directory `root`, which is created (0700, with its parents) if it is absent and may be written.

        A link at `root` itself is followed: whoever names the root decides where it lies. Errors: `refused` where it
        is not a directory, belongs to another user, or may be written by group or others; `not-found` where it is
        absent and is not to be created; `unavailable` otherwise.
        """
        shown = root.encode("unicode_escape").decode()
        try:
            try:
                opened = _Dir.open_root(root)
            except FileNotFoundError:
                if read_only:
                    raise
                _make_root(root)
                opened = _Dir.open_root(root)
            reason = _reason_to_refuse(opened, read_only)
        except OSError as error:
            raise _failure("open the store directory", shown, error) from None
        if reason:
            raise FsError("refused", f"refused to use the store directory `{shown}`: {reason}")
        self._root, self._is_read_only = opened, read_only
        self._is_poisoned = self._is_swept = False
        self._directories: dict[str, _Dir] = {}
        # The most recently used stands last.
        self._appenders: dict[str, _Appender] = {}
        # Files whose names this process has made durable itself.
        self._named: set[str] = set()

    def close(self) -> None:
        """Closes all descriptors; nothing is synced. No call may follow."""
        self._is_poisoned = True
        for appender in self._appenders.values():
            appender.file.close()
        self._appenders.clear()
        self._directories.clear()

    def append(self, path: str, data: bytes, durability: str) -> int:
        self._check_write(path)
        while True:
            appender, is_kept = self._appender(path)
            # Before the write: whatever interrupts, what may have been written is known to await a sync.
            was_dirty, appender.is_dirty = appender.is_dirty, True
            try:
                _write_once(appender.file.fd, data)
                # The size is taken before the sync, so that all of it is on the disk when the sync returns.
                facts = os.fstat(appender.file.fd)
            except OSError as error:
                appender.is_dirty = was_dirty
                self._retire(path)
                raise _failure("append to", path, error) from None
            if facts.st_nlink == 0:
                self._forget(path)
                if is_kept:
                    # The bytes went to a file without a name, where nobody sees them. If another file has the name
                    # by now, that is the one to append to; if none has, opening it says so.
                    continue
                raise _absence(path)
            if durability == "synced":
                self._sync_appender(appender)
            if facts.st_nlink > 1 or _IS_WINDOWS:
                # Somebody has linked it meanwhile: the next append opens it anew, and decides.
                self._retire(path)
            return facts.st_size

    def create(self, path: str, data: bytes) -> None:
        self._check_write(path)
        try:
            self._facts_at(path)
        except FsError as error:
            if error.kind != "not-found":
                raise
        else:
            raise _exists(path)
        self._place(path, data, _Dir.rename_new)
        if len(self._named) >= _NAMED_MAX:
            self._named.clear()
        self._named.add(path)

    def create_base64(self, path: str, data: bytes) -> None:
        """The component has made the base64 itself."""
        self.create(path, binascii.a2b_base64(data))

    def replace(self, path: str, data: bytes) -> None:
        self._check_write(path)
        try:
            self._facts_at(path)
        except FsError as error:
            if error.kind != "not-found":
                raise
        self._place(path, data, _Dir.rename_over)

    def read_text(self, path: str, offset: int, limit: int) -> tuple[int, bytes]:
        """Returns the offset of the first byte, and the text as the UTF-8 that it is."""
        data, reaches_end = self._read(path, offset, limit)
        try:
            return text_from(data, offset, reaches_end)
        except _NotText as error:
            raise FsError("not-text", f"`{path}` is not UTF-8 at byte {error.offset}; read it as bytes") from None

    def read_bytes(self, path: str, offset: int, limit: int) -> bytes:
        return self._read(path, offset, limit)[0]

    def stat(self, path: str) -> int:
        _check_path(path, _PATH_NAMES_MAX)
        return self._facts_at(path).st_size

    def list_files(self, directory: str, after: str, limit: int) -> list[tuple[bytes, int]]:
        _check_path(directory, _PATH_NAMES_MAX - 1)
        try:
            opened = self._directory(directory)
            names = opened.names()
        except FsError as error:
            if error.kind == "not-found":
                return []
            raise
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _failure("list", directory, error) from None
        entries: list[tuple[bytes, int]] = []
        # Sizes are asked for one by one until the page is full, so that a page is short only at the end.
        for name in sorted(name for name in names if name > after and _is_name(name)):
            if len(entries) == limit:
                break
            try:
                facts = opened.facts_at(name)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise _failure("list", directory, error) from None
            if stat.S_ISREG(facts.st_mode):
                entries.append((name.encode(), facts.st_size))
        return entries

    def remove(self, path: str) -> None:
        self._check_write(path)
        self._facts_at(path)
        directory, name = _split(path)
        opened = self._directory(directory)
        try:
            opened.unlink(name)
        except OSError as error:
            raise _failure("remove", path, error) from None
        self._forget(path)
        self._named.discard(path)
        self._sync_name(opened, name, path)

    def sync(self, path: str) -> None:
        self._check_write(path)
        while True:
            appender, is_kept = self._appender(path)
            try:
                has_name = os.fstat(appender.file.fd).st_nlink > 0
            except OSError:
                has_name = True  # The sync says itself what is wrong with it.
            if has_name:
                self._sync_appender(appender)
                return
            self._forget(path)
            if not is_kept:
                raise _absence(path)

    def _check_write(self, path: str) -> None:
        # A path that has an appender was checked when that was opened.
        if path not in self._appenders:
            _check_path(path, _PATH_NAMES_MAX)
        if self._is_read_only:
            raise FsError("unavailable", f"cannot write `{path}`: opened read-only; open the store for writing")
        if self._is_poisoned:
            raise FsError(
                "closed",
                f"cannot write `{path}`: an earlier sync failed; check the disk and open the store again",
            )

    def _directory(self, path: str, make: bool = False) -> _Dir:
        """Returns the directory at `path`. What has to be made is durable before anything is put in it."""
        if not path:
            return self._root
        kept = self._directories.get(path)
        # A directory may have been removed and made again, by a restore of a backup for instance.
        if kept is not None and kept.is_still_at(self._root, path):
            return kept
        opened = self._root
        for name in path.split("/"):
            try:
                try:
                    opened = opened.open_dir(name)
                except FileNotFoundError:
                    if not make:
                        raise
                    opened.make_dir(name)
                    self._sync_name(opened, name, path)
                    opened = opened.open_dir(name)
            except OSError as error:
                raise _failure("open the directory", path, error) from None
        if len(self._directories) >= _DIRECTORIES_MAX:
            self._directories.clear()
        self._directories[path] = opened
        return opened

    def _open_file(self, path: str, flags: int) -> tuple[_Descriptor, os.stat_result]:
        directory, name = _split(path)
        opened = self._directory(directory)
        try:
            file = opened.open(name, flags)
        except OSError as error:
            # Systems have many words for a link, a socket or a device that was not opened.
            try:
                is_regular = stat.S_ISREG(opened.facts_at(name).st_mode)
            except OSError:
                is_regular = True
            raise (_failure("open", path, error) if is_regular else _refusal(path, _NOT_REGULAR)) from None
        return file, self._admit(path, lambda: os.fstat(file.fd))

    def _facts_at(self, path: str) -> os.stat_result:
        directory, name = _split(path)
        opened = self._directory(directory)
        return self._admit(path, lambda: opened.facts_at(name))

    def _admit(self, path: str, look: Callable[[], os.stat_result]) -> os.stat_result:
        """Refuses all but a regular file with a single name: through a second one, others could change it.

        A second name in `tmp` is ours: where a new file is linked to its name, a crash can leave the temporary one.
        """
        try:
            facts = look()
            if not stat.S_ISREG(facts.st_mode):
                raise _refusal(path, _NOT_REGULAR)
            if facts.st_nlink <= 1 or facts.st_nlink - self._unlink_leftovers(_id(facts)) <= 1:
                return facts
            # Its creator may have unlinked the temporary name between the two looks.
            facts = look()
        except OSError as error:
            raise _failure("look at", path, error) from None
        if facts.st_nlink > 1:
            raise _refusal(path, "it is a hard link")
        return facts

    def _unlink_leftovers(self, wanted: tuple[int, int]) -> int:
        """Returns how many names in `tmp` belong to a file, and unlinks them where this host may write."""
        leftovers = 0
        try:
            opened = self._directory(_TEMPORARY)
            names = opened.names()
        except (FsError, OSError):
            return 0
        for name in names:
            try:
                if _id(opened.facts_at(name)) != wanted:
                    continue
                leftovers += 1
                if not self._is_read_only and not self._is_poisoned:
                    opened.unlink(name)
            except OSError:
                pass  # The file is good all the same, and the next to meet it tries again.
        return leftovers

    def _appender(self, path: str) -> tuple[_Appender, bool]:
        """Returns a descriptor for appending, and whether an earlier call opened it: then the path may name another
        file by now."""
        kept = self._appenders.pop(path, None)
        if kept is not None:
            self._appenders[path] = kept
            return kept, True
        if len(self._appenders) >= _APPENDERS_MAX:
            # Clean ones go first, as they go for nothing.
            clean = (other for other, appender in self._appenders.items() if not appender.is_dirty)
            self._retire(next(clean, next(iter(self._appenders))))
        file, _ = self._open_file(path, os.O_WRONLY | os.O_APPEND)
        appender = self._appenders[path] = _Appender(path, file, path in self._named)
        return appender, False

    def _retire(self, path: str) -> None:
        """Closes a descriptor without losing sight of its appends.

        The operating system tells of a failed write-back only those who have the file open. If a dirty descriptor
        were just closed, a later `sync` through a new one could succeed although the appends are lost.
        """
        appender = self._appenders[path]
        if appender.is_dirty:
            self._sync_appender(appender)
        self._forget(path)

    def _forget(self, path: str) -> None:
        """Closes the descriptor of a file that has lost its name, so that its space is free again."""
        appender = self._appenders.pop(path, None)
        if appender is not None:
            appender.file.close()

    def _sync_appender(self, appender: _Appender) -> None:
        """Makes all appends to a file durable, and the file's name with them.

        Whoever created the file may have been killed before its directory was synced: then the name lives in memory
        alone, and everything that is appended would be lost with it.
        """
        try:
            _sync(appender.file.fd, _sync_data)
        except OSError as error:
            # After a failed write-back the pages may count as clean although the disk never took them. They are
            # dropped, so that whoever reads the file next sees what the disk has, and not what we wished.
            if sys.platform == "linux":
                try:
                    os.posix_fadvise(appender.file.fd, 0, 0, os.POSIX_FADV_DONTNEED)
                except OSError:
                    pass
            raise self._poison(appender.path, error) from None
        if not appender.is_named:
            directory, name = _split(appender.path)
            self._sync_name(self._directory(directory), name, appender.path)
            appender.is_named = True
        appender.is_dirty = False

    def _sync_name(self, opened: _Dir, name: str, path: str) -> None:
        try:
            opened.sync_name(name)
        except OSError as error:
            raise self._poison(path, error) from None

    def _poison(self, path: str, error: OSError) -> FsError:
        self._is_poisoned = True
        self._appenders.clear()
        return FsError(
            "closed", f"cannot sync `{path}`: {_text_of(error)}; check the disk and open the store again"
        )

    def _place(self, path: str, data: bytes, rename: Callable[[_Dir, str, _Dir, str], None]) -> None:
        """Makes the file `path` of `data`, durably, so that no moment shows a part of it."""
        directory, name = _split(path)
        opened = self._directory(directory, make=True)
        temporaries = self._directory(_TEMPORARY, make=True)
        self._sweep(temporaries)
        temporary = os.urandom(16).hex()
        try:
            self._write_temporary(temporaries, temporary, path, data)
            try:
                rename(temporaries, temporary, opened, name)
            except FileExistsError:
                raise _exists(path) from None
            except FileNotFoundError:
                raise FsError(
                    "unavailable",
                    f"cannot write `{path}`: its temporary file or its directory was removed; retry",
                ) from None
            except OSError as error:
                raise _failure("write", path, error) from None
        except BaseException:
            try:
                temporaries.unlink(temporary)
            except OSError:
                pass
            raise
        self._forget(path)
        self._sync_name(opened, name, path)

    def _write_temporary(self, opened: _Dir, name: str, path: str, data: bytes) -> None:
        try:
            file = opened.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(file.fd, rest) :]
        except OSError as error:
            raise _failure("write", path, error) from None
        try:
            _sync(file.fd, os.fsync)
        except OSError as error:
            raise self._poison(path, error) from None
        file.close()

    def _sweep(self, opened: _Dir) -> None:
        """Removes, once, what crashed processes have left in `tmp`: no name leads there, and nobody was promised
        it."""
        if self._is_swept:
            return
        self._is_swept = True
        try:
            for name in opened.names():
                if len(name) != 32 or not _TEMPORARY_ALPHABET.issuperset(name):
                    continue
                facts = opened.facts_at(name)
                if stat.S_ISREG(facts.st_mode) and time.time() - facts.st_mtime > _TEMPORARY_SECONDS_MAX:
                    opened.unlink(name)
        except OSError:
            pass  # The next to open the store sweeps again.

    def _read(self, path: str, offset: int, limit: int) -> tuple[bytes, bool]:
        """Reads what there is of `limit` bytes from `offset`, and tells whether the end of the file was reached."""
        _check_path(path, _PATH_NAMES_MAX)
        file, facts = self._open_file(path, os.O_RDONLY)
        rest = max(0, facts.st_size - offset)
        # What is there bounds the memory, not what was asked for.
        wanted = min(rest, limit)
        pieces: list[bytes] = []
        filled = 0
        try:
            while filled < wanted:
                piece = _read_at(file.fd, wanted - filled, offset + filled)
                if not piece:
                    break
                pieces.append(piece)
                filled += len(piece)
        except MemoryError:
            raise FsError(
                "unavailable", f"cannot read {wanted} bytes of `{path}`: out of memory; read less at a time"
            ) from None
        except OSError as error:
            raise _failure("read", path, error) from None
        return (pieces[0] if len(pieces) == 1 else b"".join(pieces)), filled < wanted or filled == rest


class _NotText(Exception):
    def __init__(self, offset: int) -> None:
        self.offset = offset


def text_from(data: bytes, offset: int, reaches_end: bool) -> tuple[int, bytes]:
    """Cuts a piece of a file that starts at `offset` to whole lines, or else to whole characters."""
    # Up to three continuation bytes belong to a character that begins before the piece. A fourth belongs to none, and
    # at the beginning of the file neither does the first.
    skipped = 0
    while offset and skipped < min(3, len(data)) and data[skipped] & 0xC0 == 0x80:
        skipped += 1
    newline = data.rfind(b"\n", skipped)
    data = data[skipped : newline + 1 if newline >= 0 else len(data)]
    start = offset + skipped
    try:
        data.decode()
    except UnicodeDecodeError as error:
        # A character that the limit has cut is the next piece's. One that the end of the file cuts is damage.
        is_cut = error.reason == "unexpected end of data" and error.end == len(data) and not reaches_end
        if not is_cut:
            raise _NotText(start + error.start) from None
        data = data[: error.start]
    return start, data


def _write_once(fd: int, data: bytes) -> None:
    """Writes `data` in one call: two calls could have another writer's record between them."""
    written = os.write(fd, data)
    if written != len(data):
        raise OSError(errno.ENOSPC, f"only {written} of {len(data)} bytes were written")


def _read_at(fd: int, size: int, offset: int) -> bytes:
    if sys.platform != "win32":
        return os.pread(fd, size, offset)
    os.lseek(fd, offset, os.SEEK_SET)
    return os.read(fd, size)


_sync_data: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)


def _sync(fd: int, sync: Callable[[int], None]) -> None:
    if sys.platform == "darwin":
        # On Apple's systems `fsync` leaves the data in the drive's cache.
        import fcntl

        try:
            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
            return
        except OSError as error:
            # Network file systems know only the other.
            if error.errno not in (errno.EINVAL, errno.ENOTTY, errno.ENOTSUP):
                raise
    sync(fd)


def _make_root(path: str) -> None:
    """Makes the directory at `path` and its parents, durably."""
    path = os.path.join(path, "").rstrip(os.sep) or os.sep
    parent = os.path.dirname(path) or "."
    try:
        try:
            os.mkdir(path, 0o700)
        except FileNotFoundError:
            if parent == ".":
                raise
            _make_root(parent)
            os.mkdir(path, 0o700)
    except FileExistsError:
        # Another process was faster, and may not have come to the sync.
        _Dir.open_root(parent).sync_name(os.path.basename(path))
        return
    try:
        _Dir.open_root(parent).sync_name(os.path.basename(path))
    except OSError:
        # Whoever tries again must not find it and take it for durable.
        os.rmdir(path)
        raise


def _reason_to_refuse(root: _Dir, read_only: bool) -> str | None:
    """Says why this must not be the root of a store, and how to correct it."""
    if sys.platform == "win32" or root._opened is None:
        return None
    facts = os.fstat(root._opened.fd)
    mode, user = stat.S_IMODE(facts.st_mode), os.geteuid()
    if mode & 0o022:
        return f"group or others may write to it (mode {mode:04o}); run `chmod go-w` on it"
    # The superuser can change any file anyway, and read-only media belong to it as a rule.
    if facts.st_uid == user or user == 0 or (read_only and facts.st_uid == 0):
        return None
    return f"it belongs to user {facts.st_uid}, not to {user}; run `chown` on it or use another one"


def _id(facts: os.stat_result) -> tuple[int, int]:
    return facts.st_dev, facts.st_ino


def _split(path: str) -> tuple[str, str]:
    directory, _, name = path.rpartition("/")
    return directory, name


def _is_name(name: str) -> bool:
    if not 1 <= len(name) <= _NAME_BYTES_MAX or not _ALPHABET.issuperset(name) or name in (".", ".."):
        return False
    # Windows finds devices under some names, with any extension, and drops a dot at the end.
    stem = name.partition(".")[0]
    is_device = stem in ("con", "prn", "aux", "nul") or (stem[:3] in ("com", "lpt") and stem[3:].isdigit())
    return not (_IS_WINDOWS and (is_device or name.endswith(".")))


def _check_path(path: str, names_max: int) -> None:
    """The core writes paths of this form alone. They are checked again here, as the last place that can."""
    names = path.split("/")
    if len(names) > names_max or not all(map(_is_name, names)):
        shown = path[:64].encode("unicode_escape").decode()
        raise FsError(
            "refused",
            f'refused the path "{shown}": not at most {names_max} names of [a-z0-9.-]; use the names of the core',
        )


_NOT_REGULAR = "it is not a regular file"


def _exists(path: str) -> FsError:
    return FsError("exists", f"`{path}` is there already; read it, or use another name")


def _absence(path: str) -> FsError:
    return FsError("not-found", f"`{path}` was removed; list the store to see what it holds")


def _refusal(path: str, reason: str) -> FsError:
    return FsError("refused", f"refused to use `{path}`: {reason}; move it out of the store")


_FOREIGN = ("refused", "move what stands there out of the store")
_FULL = ("unavailable", "free space and retry")
_SHORTAGE = ("unavailable", "raise the limit of open files and retry")
_DENIED = ("unavailable", "correct the permissions and retry")
_WAYS_OUT = {
    errno.ENOENT: ("not-found", "check whether it was removed"),
    errno.EISDIR: _FOREIGN,
    errno.ENOTDIR: _FOREIGN,
    errno.ELOOP: _FOREIGN,
    errno.ENXIO: _FOREIGN,
    errno.ENOSPC: _FULL,
    getattr(errno, "EDQUOT", errno.ENOSPC): _FULL,
    errno.EFBIG: ("unavailable", "raise the limit of file sizes and retry"),
    errno.EROFS: ("unavailable", "make the file system writable, or open the store read-only"),
    errno.EACCES: _DENIED,
    errno.EPERM: _DENIED,
    errno.EMFILE: _SHORTAGE,
    errno.ENFILE: _SHORTAGE,
}


def _failure(doing: str, path: str, error: OSError) -> FsError:
    """Makes the error that says that `doing` something to `path` failed."""
    kind, way_out = _WAYS_OUT.get(error.errno or 0, ("unavailable", "check the disk and retry"))
    return FsError(kind, f"cannot {doing} `{path}`: {_text_of(error)}; {way_out}")


def _text_of(error: OSError) -> str:
    text = error.strerror or str(error)
    return f"{text[:1].lower()}{text[1:]}"


def _patiently(operate: Callable[[], T]) -> T:
    """Retries what Windows refuses while a virus scanner or an indexer has the file open. Elsewhere it runs once."""
    if sys.platform == "win32":
        waited, pause = 0.0, 0.01
        while waited < 5:
            try:
                return operate()
            except OSError as error:
                # ERROR_ACCESS_DENIED, ERROR_SHARING_VIOLATION and ERROR_LOCK_VIOLATION.
                if error.winerror not in (5, 32, 33):
                    raise
            time.sleep(pause)
            waited, pause = waited + pause, min(pause * 2, 0.1)
    return operate()


def _open_append_windows(path: str) -> int:
    """Opens a file whose writes the system puts at its end itself: the `O_APPEND` of Windows' C library looks for
    the end first and writes then, so that two writers meet."""
    if sys.platform == "win32":
        import ctypes
        import msvcrt

        facts = os.lstat(path)
        if not stat.S_ISREG(facts.st_mode):
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
        kernel = ctypes.WinDLL("kernel32", use_last_error=True)
        kernel.CreateFileW.restype = ctypes.c_void_p
        share_read_write, open_existing = 0x3, 3

        def opened() -> int:
            # FILE_GENERIC_WRITE without FILE_WRITE_DATA, and FILE_READ_ATTRIBUTES for the size. Without
            # FILE_SHARE_DELETE nobody removes the file meanwhile.
            access = 0x120114 | 0x80
            handle = kernel.CreateFileW(path, access, share_read_write, None, open_existing, 0, None)
            if handle is None or handle == ctypes.c_void_p(-1).value:
                raise ctypes.WinError(ctypes.get_last_error())
            return msvcrt.open_osfhandle(handle, os.O_BINARY | os.O_NOINHERIT)

        return _patiently(opened)
    raise NotImplementedError
