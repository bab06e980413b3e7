"""Nothing outlives what started it, however that ended.

Every process that is started with the environment of a tether carries its mark, and passes it on to whatever it starts.
A guard in a session of its own waits for the other end of its standard input to close, which the kernel does even after
`kill -9`, and then ends everything that carries the mark. Process groups and parent processes would not do: a Procfile
runner gives each command a session, and a command that outlives the runner has another parent. It reads /proc, so this
is for Linux; elsewhere only an orderly end leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MARK = "ROOM_REPORTS_TETHER"
PATIENCE = 5.0
"""Seconds to end by itself, before it is killed."""

ROOT = Path(__file__).resolve().parents[1]


@contextmanager
def tether() -> Iterator[dict[str, str]]:
    """The variable to put into the environment of every process started inside; at the end none of them is left."""
    mark = secrets.token_hex(8)
    guard = subprocess.Popen(
        [sys.executable, "-m", "local.tether", mark], stdin=subprocess.PIPE, cwd=ROOT, start_new_session=True
    )
    try:
        yield {MARK: mark}
    finally:
        # Closes the pipe; the guard ends once nothing is left.
        guard.communicate()


def guard(mark: str) -> None:
    """Waits for the end of standard input, then ends every process with the mark."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
    sys.stdin.buffer.read()
    end_marked(mark)


def end_marked(mark: str) -> None:
    """SIGTERM to every process with the mark, SIGKILL to those that are still there after a while."""
    told: set[int] = set()
    kill_at = time.monotonic() + PATIENCE
    while found := marked(mark):
        is_late = time.monotonic() > kill_at
        for pid in found if is_late else found - told:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL if is_late else signal.SIGTERM)
        told |= found
        time.sleep(0.02)


def marked(mark: str) -> set[int]:
    """Process ids of everything that was started with the mark and is alive."""
    wanted, found = f"{MARK}={mark}".encode(), set()
    for path in Path("/proc").glob("[0-9]*/environ"):
        # Processes of others cannot be read, and any may end while we look.
        with contextlib.suppress(OSError):
            if wanted in path.read_bytes().split(b"\0"):
                found.add(int(path.parent.name))
    return found


if __name__ == "__main__":
    guard(sys.argv[1])
