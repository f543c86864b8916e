"""What the tests of all adapters want: processes that write through one, side by side and killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

WORKER = Path(__file__).with_name("adapter_worker.py")


def start(framework: str, root: Path, name: str, count: int) -> subprocess.Popen[str]:
    """Starts a process that adds to the framework's session."""
    arguments = [sys.executable, str(WORKER), framework, str(root), name, str(count)]
    # Errors go to the test's own output.
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)


def side_by_side(framework: str, root: Path, count: int, names: tuple[str, ...] = ("a", "b")) -> None:
    """Lets processes add to one session at once, each so many times."""
    workers = [start(framework, root, name, count) for name in names]
    for worker in workers:
        said, _ = worker.communicate(timeout=300)
        assert worker.returncode == 0
        assert said.split() == [str(number) for number in range(count)]


def killed(framework: str, root: Path, after: int) -> int:
    """Kills a process without a warning when it has had so many acknowledged. Gives how many it had in the end."""
    worker = start(framework, root, "a", 1_000_000)
    assert worker.stdout is not None
    acknowledged = [worker.stdout.readline() for _ in range(after)]
    os.kill(worker.pid, signal.SIGKILL)
    acknowledged += worker.stdout.readlines()
    assert worker.wait() == -signal.SIGKILL
    worker.stdout.close()
    whole = [line for line in acknowledged if line.endswith("\n")]
    assert len(whole) >= after
    return len(whole)
