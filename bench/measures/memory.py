"""What web, worker and Redis together cost to start, and their memory, idle and while rooms are worked off.

Each contender runs alone.
"""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager

from bench.measures.rooms import CONNECTIONS, FORTY_LINES_ROOMS, ROOMS
from bench.stacks import Stack, forty_lines, ours
from bench.workbench import LATENCY, Workbench

SECTION = "start and memory"
EVERY = 0.25


def measure(bench: Workbench) -> None:
    """One after the other, for shared pages count in parts."""
    for _ in bench.runs(3):
        of(bench, ours(bench.sandbox, bench.directory, threads=128), ROOMS)
        of(bench, forty_lines(bench.sandbox, bench.directory), FORTY_LINES_ROOMS)


def of(bench: Workbench, starting: AbstractContextManager[Stack], rooms: int) -> None:
    """The start, idle after it, then the most that was seen while `rooms` were worked off."""
    with starting as stack:
        bench.figures.add(SECTION, "CPU until web and worker are there", stack.name, "s", stack.cpu())
        bench.figures.add(SECTION, "PSS, idle", stack.name, "MB", stack.pss())
        bench.quiet(latency=LATENCY)
        done = threading.Event()
        seen: list[float] = []
        watcher = threading.Thread(target=watch, args=(stack, done, seen))
        watcher.start()
        try:
            bench.volley(stack, bench.rooms(rooms), connections=CONNECTIONS, keep_alive=True)
            bench.wait_for(rooms)
        finally:
            done.set()
            watcher.join()
        bench.figures.add(SECTION, "PSS, under load", stack.name, "MB", max(seen))


def watch(stack: Stack, done: threading.Event, seen: list[float]) -> None:
    """Looks again and again until `done`."""
    while not done.wait(EVERY):
        seen.append(stack.pss())
