"""A worker door for tests: `python -m tests.processes.faulty_worker NUMBER TRACE` is a worker that kills itself.

It writes every fault point it reaches to the file TRACE, one a line, and dies of SIGKILL at the NUMBER-th (0: never).
"""

from __future__ import annotations

import os
import signal
import sys
from itertools import count

import worker
from config.loading import load_or_exit
from config.logs import configure
from room_reports import faults
from room_reports.faults import Point


def main() -> int:
    """Runs the worker with the hook in place."""
    fatal = int(sys.argv[1])
    trace = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    numbers = count(1)

    def hook(point: Point) -> None:
        os.write(trace, f"{point}\n".encode())
        if next(numbers) == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    faults.hook = hook
    settings = load_or_exit()
    configure(settings)
    return worker.run(settings)


if __name__ == "__main__":
    sys.exit(main())
