"""Keeping a process with many threads to one core.

Python runs one thread of a process at a time. Where there are more cores, each hand-over from one thread to another
wakes a second core for nothing: it made an attempt's share of CPU nearly twice as dear and halved the rooms a second
(docs/decisions/0002-threads.md). The cores are shared out among the processes of a machine, or of a container.
"""

from __future__ import annotations

import os
import socket
import sys
from contextlib import suppress

_claims: list[socket.socket] = []
"""Held until the process ends: what says to others that a core is taken."""


def keep_to_one_core(kind: str) -> int | None:
    """Keeps this thread, and those it starts from now on, to a core that no other process of this `kind` has.

    Returns its number, None where there is one core only, all are taken, or the system cannot do it (Linux can).
    """
    if sys.platform != "linux":
        return None
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) == 1:
        return None
    first = os.getpid() % len(cores)  # containers do not see one another's claims
    for core in (*cores[first:], *cores[:first]):
        with suppress(OSError):  # taken, or forbidden by whoever confines this process
            claim = _claimed(f"room-reports-{kind}-core-{core}")
            os.sched_setaffinity(0, {core})
            _claims.append(claim)
            return core
    return None


def _claimed(name: str) -> socket.socket:
    """Holds a name that one process of the machine can have, and that is free when it dies. Raises `OSError`."""
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        claim.bind(f"\0{name}")  # abstract, so there is no file: https://man7.org/linux/man-pages/man7/unix.7.html
    except OSError:
        claim.close()
        raise
    return claim
