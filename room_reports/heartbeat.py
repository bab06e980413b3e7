"""The worker's sign of life on its own machine: a small file that its main loop renews, and the question how old it is.

Liveness must not depend on Redis, or an outage of Redis would have every worker restarted; so this is a file and not
RQ's heartbeat. It holds a reading of the monotonic clock, which all processes of a machine share and nobody sets, so a
clock that is put right does not look like a dead worker. `python -m room_reports.heartbeat` answers within some
milliseconds, for it imports nothing else of the service; `flask worker-alive` is the same.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

LATE = 60.0
"""Seconds without a sign of life after which a worker counts as dead: several times the longest wait of its loop."""

EVERY = 1.0


class Heartbeat:
    """Renews the file, at most once a second however often it is asked to."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or default_path()
        self._next = 0.0

    def beat(self) -> None:
        """Says that the worker lives. A disk that is full or read-only is ignored: no reason to stop working."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + EVERY
        try:
            # Not through a link: the folder is often one where other users may put things.
            file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError:
            return
        try:
            os.pwrite(file, b"%020.3f\n" % now, 0)
        except OSError:
            pass
        finally:
            os.close(file)

    def forget(self) -> None:
        """Takes the file away: a worker that has stopped is not alive."""
        self._path.unlink(missing_ok=True)


def default_path() -> Path:
    """The file of this user's workers on this machine; whichever of them beat last counts."""
    return Path(tempfile.gettempdir()) / f"room-reports-worker-{os.getuid()}.alive"


def age(path: Path | None = None) -> float | None:
    """Seconds since the last sign of life; None when there is none since the machine was started."""
    try:
        beaten = float((path or default_path()).read_text())
    except (OSError, ValueError):
        return None
    seconds = time.monotonic() - beaten
    if seconds < -EVERY:
        return None  # the clock began anew since
    return max(seconds, 0.0)


def sign_of_life(*, within: float) -> tuple[bool, str]:
    """Whether a worker of this machine gave a sign of life in the last `within` seconds, and that in a sentence."""
    seconds = age()
    if seconds is None:
        return False, f"no worker runs here: there is no sign of life in {default_path()}"
    if seconds > within:
        return False, f"the worker is stuck or dead: its last sign of life is {seconds:.0f} s old"
    return True, f"a worker is alive: its last sign of life is {seconds:.0f} s old"


def main() -> int:
    """Prints that sentence. Returns 0 when a worker is alive, else 1. An argument replaces the `LATE` seconds."""
    alive, sentence = sign_of_life(within=float(sys.argv[1]) if len(sys.argv) > 1 else LATE)
    print(sentence)
    return 0 if alive else 1


if __name__ == "__main__":
    sys.exit(main())
