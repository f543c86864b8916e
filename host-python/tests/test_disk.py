"""The disk layer keeps its promises on real files, or says that it cannot."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sessile import disk
from sessile.disk import DiskFs, FsError

FILE = "sessions/0/a.jsonl"
# Before any test: Python's own handler, or none, where whoever starts the tests has them ignore it.
INTERRUPTED = signal.getsignal(signal.SIGINT)


@pytest.fixture
def fs(root: Path) -> DiskFs:
    made = DiskFs(str(root))
    made.create(FILE, b"one\n")
    return made


def kind_of(call: Callable[[], object]) -> str:
    """The kind of the error that a call must raise."""
    with pytest.raises(FsError) as caught:
        call()
    assert "`" in str(caught.value) or '"' in str(caught.value), "the message names no file"
    assert ";" in str(caught.value), "the message has no way out"
    return caught.value.kind


def test_all_operations_do_what_they_say(root: Path, fs: DiskFs) -> None:
    assert fs.append(FILE, "zwö\n".encode(), "buffered") == 9
    assert fs.append(FILE, b"3\n", "synced") == 11
    assert fs.read_text(FILE, 0, 100) == (0, "one\nzwö\n3\n".encode())
    assert fs.read_bytes(FILE, 5, 3) == b"w\xc3\xb6"
    assert fs.stat(FILE) == 11
    assert fs.list_files("sessions/0", "", 9) == [(b"a.jsonl", 11)]
    assert fs.list_files("sessions/0", "a.jsonl", 9) == fs.list_files("absent", "", 9) == []
    fs.replace(FILE, b"new")
    assert (root / FILE).read_bytes() == b"new"
    assert kind_of(lambda: fs.create(FILE, b"")) == "exists"
    fs.remove(FILE)
    for call in (fs.stat, fs.remove, fs.sync):
        assert kind_of(lambda: call(FILE)) == "not-found"
    assert kind_of(lambda: fs.append(FILE, b"x", "synced")) == "not-found"
    assert os.listdir(root / "tmp") == []


def test_modes_are_those_of_one_user(root: Path, fs: DiskFs) -> None:
    umask = os.umask(0)
    try:
        fs.create("catalogue/b.jsonl", b"")
    finally:
        os.umask(umask)
    for path, mode in ((root, 0o700), (root / "catalogue", 0o700), (root / "catalogue/b.jsonl", 0o600)):
        assert path.stat().st_mode & 0o777 == mode, path


@pytest.mark.parametrize("make", ["fifo", "symlink", "directory", "hard link"])
def test_what_is_no_file_of_ours_is_refused_at_once(root: Path, fs: DiskFs, make: str) -> None:
    other, place = root.parent / "other", root / "sessions/0/b.jsonl"
    other.write_text("secret")
    {
        "fifo": lambda: os.mkfifo(place),
        "symlink": lambda: place.symlink_to(other),
        "directory": lambda: place.mkdir(),
        "hard link": lambda: os.link(other, place),
    }[make]()
    path = "sessions/0/b.jsonl"
    calls: list[Callable[[], object]] = [
        lambda: fs.append(path, b"x", "synced"),
        lambda: fs.read_text(path, 0, 9),
        lambda: fs.read_bytes(path, 0, 9),
        lambda: fs.create(path, b"x"),
        lambda: fs.replace(path, b"x"),
        lambda: fs.stat(path),
        lambda: fs.sync(path),
        lambda: fs.remove(path),
    ]
    assert [kind_of(call) for call in calls] == ["refused"] * len(calls)
    assert other.read_text() == "secret"


def test_a_linked_directory_is_not_followed(root: Path, fs: DiskFs) -> None:
    (root.parent / "elsewhere").mkdir()
    (root / "sessions/1").symlink_to(root.parent / "elsewhere")
    assert kind_of(lambda: fs.create("sessions/1/b.jsonl", b"x")) == "refused"
    assert os.listdir(root.parent / "elsewhere") == []


@pytest.mark.parametrize(
    "path", ["", "..", "a/../b", "/etc/passwd", "a//b", "A", "a_b", "a/b/c/d", "x" * 65, "a\0", "é", "a/."]
)
def test_other_paths_are_refused(fs: DiskFs, path: str) -> None:
    assert kind_of(lambda: fs.stat(path)) == "refused"
    assert kind_of(lambda: fs.create(path, b"")) == "refused"


def test_a_leftover_of_a_crashed_creation_is_cleared_up(root: Path, fs: DiskFs) -> None:
    leftover = root / "tmp" / ("0" * 32)
    os.link(root / FILE, leftover)
    assert DiskFs(str(root), read_only=True).stat(FILE) == 4
    assert leftover.exists(), "a reader writes nothing"
    assert fs.append(FILE, b"x", "synced") == 5
    fs._forget(FILE)
    assert fs.append(FILE, b"x", "synced") == 6
    assert not leftover.exists()


def test_old_temporary_files_are_swept_once(root: Path, fs: DiskFs) -> None:
    old, young, other = (root / "tmp" / name for name in ("1" * 32, "2" * 32, "mine"))
    for path in (old, young, other):
        path.write_text("x")
    for path in (old, other):
        os.utime(path, (0, 0))
    DiskFs(str(root)).create("sessions/0/c.jsonl", b"")
    assert sorted(os.listdir(root / "tmp")) == ["2" * 32, "mine"]


def fail_sync(monkeypatch: pytest.MonkeyPatch, name: str, which: Callable[[int], bool] = lambda fd: True) -> None:
    real = getattr(os, name)

    def sync(fd: int) -> None:
        if which(fd):
            raise OSError(errno.EIO, "Input/output error")
        real(fd)

    monkeypatch.setattr(os, name, sync)
    if name == "fdatasync":
        monkeypatch.setattr(disk, "_sync_data", sync)


def test_a_failed_sync_closes_for_good(fs: DiskFs, monkeypatch: pytest.MonkeyPatch) -> None:
    fs.append(FILE, b"2\n", "buffered")
    with monkeypatch.context() as patch:
        fail_sync(patch, "fdatasync")
        assert kind_of(lambda: fs.sync(FILE)) == "closed"
    # The disk is well again, but what was lost in between nobody knows.
    for call in (lambda: fs.append(FILE, b"3\n", "buffered"), lambda: fs.sync(FILE), lambda: fs.remove(FILE)):
        assert kind_of(call) == "closed"
    assert fs.stat(FILE) == 6, "reading goes on"


def test_a_failed_sync_of_a_directory_closes_too(fs: DiskFs, monkeypatch: pytest.MonkeyPatch) -> None:
    import stat

    fail_sync(monkeypatch, "fsync", lambda fd: stat.S_ISDIR(os.fstat(fd).st_mode))
    assert kind_of(lambda: fs.create("sessions/0/b.jsonl", b"")) == "closed"
    assert kind_of(lambda: fs.append(FILE, b"3\n", "buffered")) == "closed"


def test_a_synced_append_to_the_file_of_another_syncs_its_name(
    root: Path, fs: DiskFs, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(os.fstat(fd).st_ino), real(fd))[1])
    inode = (root / "sessions/0").stat().st_ino
    fs.append(FILE, b"2\n", "synced")
    assert synced == [], "this one made the name durable when it created the file"
    other = DiskFs(str(root))
    other.append(FILE, b"2\n", "synced")
    other.append(FILE, b"2\n", "synced")
    assert synced == [inode], "once"


def test_the_size_is_taken_between_write_and_sync(fs: DiskFs, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    for name in ("write", "fstat"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *args, real=real, name=name: (order.append(name), real(*args))[1])
    monkeypatch.setattr(disk, "_sync_data", lambda fd: order.append("fdatasync"))
    fs.append(FILE, b"2\n", "synced")
    order.clear()
    fs.append(FILE, b"2\n", "synced")
    assert order == ["write", "fstat", "fdatasync"]


def test_a_short_write_is_an_error_and_is_not_continued(fs: DiskFs, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda fd, data: real(fd, data[:1]))
        assert kind_of(lambda: fs.append(FILE, b"two\n", "synced")) == "unavailable"
    assert fs.read_bytes(FILE, 0, 99) == b"one\nt"
    assert fs.append(FILE, b"\nthree\n", "synced") == 12, "the same handle goes on"


LIMITED = """
import resource, signal, sys
from sessile.disk import DiskFs, FsError
fs = DiskFs(sys.argv[1])
fs.create("a", b"x" * 1000)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1010, 1010))
for _ in range(2):
    try:
        fs.append("a", b"y" * 20, "synced")
        print("no error")
    except FsError as error:
        print(error.kind, error)
print(fs.stat("a"))
"""


def test_a_limit_of_file_sizes_is_unavailable(root: Path) -> None:
    done = subprocess.run([sys.executable, "-c", LIMITED, str(root)], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert "only 10 of 20 bytes were written" in lines[0] and lines[0].startswith("unavailable")
    assert "raise the limit of file sizes" in lines[1]
    assert lines[2] == "1010"


def test_an_append_to_a_removed_file_never_vanishes(root: Path, fs: DiskFs) -> None:
    fs.append(FILE, b"2\n", "buffered")
    (root / FILE).unlink()
    assert kind_of(lambda: fs.append(FILE, b"3\n", "synced")) == "not-found"
    (root / FILE).write_text("other\n")
    assert fs.append(FILE, b"4\n", "synced") == 8
    (root / FILE).unlink()
    (root / FILE).write_text("third\n")
    assert fs.append(FILE, b"5\n", "synced") == 8
    assert (root / FILE).read_text() == "third\n5\n"


def test_descriptors_are_bounded(root: Path, fs: DiskFs) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for number in range(200):
        fs.create(f"many-{number}/f", b"")
        fs.append(f"many-{number}/f", b"x", "buffered")
    assert len(os.listdir("/proc/self/fd")) - before <= 100
    assert all((root / f"many-{number}/f").read_bytes() == b"x" for number in range(200))
    fs.close()
    del fs


def test_descriptors_close_with_their_owner(root: Path) -> None:
    before = os.listdir("/proc/self/fd")
    made = DiskFs(str(root))
    made.create("a", b"")
    made.append("a", b"x", "buffered")
    assert len(os.listdir("/proc/self/fd")) > len(before)
    made.close()
    del made
    assert len(os.listdir("/proc/self/fd")) == len(before)


STANDARD = """
import os, sys
from sessile.disk import DiskFs
for fd in (0, 1, 2):
    os.close(fd)
fs = DiskFs(sys.argv[1])
fs.create("a", b"")
fs.append("a", b"x", "buffered")
try:
    os.write(1, b"a stray print")
    os._exit(1)
except OSError:
    os._exit(0 if fs.read_bytes("a", 0, 99) == b"x" else 2)
"""


def test_a_stray_print_never_lands_in_a_file(root: Path) -> None:
    assert subprocess.run([sys.executable, "-c", STANDARD, str(root)]).returncode == 0


def test_a_child_process_inherits_nothing(fs: DiskFs) -> None:
    fs.append(FILE, b"x", "buffered")
    assert not any(os.get_inheritable(appender.file.fd) for appender in fs._appenders.values())


@pytest.mark.parametrize(
    ("data", "offset", "reaches_end", "expected"),
    [
        (b"one\ntwo", 0, True, (0, b"one\n")),
        (b"two", 4, True, (4, b"two")),
        (b"\xb6\nx\n", 4, True, (5, b"\nx\n")),
        (b"a\xc3", 0, False, (0, b"a")),
        (b"a\xc3", 0, True, 1),
        (b"a\xff\n", 7, False, 8),
        (b"\xb6a", 0, True, 0),
        (b"\x80\x80\x80\x80", 4, True, 7),
        (b"", 9, True, (9, b"")),
        (b"\xf0\x9f\x98", 0, False, (0, b"")),
        (b"\xed\xa0\x80", 0, False, 0),
    ],
)
def test_text_is_cut_to_lines_and_characters(
    data: bytes, offset: int, reaches_end: bool, expected: tuple[int, bytes] | int
) -> None:
    if isinstance(expected, int):
        with pytest.raises(disk._NotText) as caught:
            disk.text_from(data, offset, reaches_end)
        assert caught.value.offset == expected
    else:
        assert disk.text_from(data, offset, reaches_end) == expected


def test_a_read_only_store_writes_nothing(root: Path, fs: DiskFs) -> None:
    reader = DiskFs(str(root), read_only=True)
    assert reader.read_text(FILE, 0, 9) == (0, b"one\n")
    for call in (lambda: reader.append(FILE, b"x", "synced"), lambda: reader.create("b", b""), lambda: reader.remove(FILE)):
        assert kind_of(call) == "unavailable"


def test_parents_of_the_root_are_made_for_one_user(root: Path) -> None:
    deep = root / "a" / "b" / "c"
    DiskFs(f"{deep}/./")
    assert deep.stat().st_mode & 0o777 == (root / "a").stat().st_mode & 0o777 == 0o700


def test_an_interrupt_leaves_the_descriptor_known_as_dirty(fs: DiskFs, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write

    def write(fd: int, data: bytes) -> int:
        real(fd, data)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write)
        with pytest.raises(KeyboardInterrupt):
            fs.append(FILE, b"2\n", "buffered")
    assert fs._appenders[FILE].is_dirty


def test_the_limits_of_this_test_process_are_untouched() -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    assert signal.getsignal(signal.SIGINT) is INTERRUPTED
