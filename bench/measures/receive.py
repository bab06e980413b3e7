"""Callbacks accepted a second, and how long one waits for its answer: workers stopped, and workers busy."""

from __future__ import annotations

import contextlib

from bench.stacks import Stack, bare_flask, forty_lines, ours
from bench.workbench import LATENCY, Workbench

SECTION = "receiving"
HEADLINE = (32, False)
"""What the marks go by: connections as Twilio's come."""

CELLS = ((32, True), HEADLINE)
"""Requests in flight, and whether connections are kept. Twilio keeps none."""

VOLLEY = 1600
"""Requests: a volley of less than half a second would tell more of the scheduler than of the service."""


def measure(bench: Workbench) -> None:
    """Every contender in turn, run by run, so that whatever else the machine does hits all of them alike."""
    with contextlib.ExitStack() as exits:
        bench.quiet(latency=LATENCY)
        working = [
            exits.enter_context(ours(bench.sandbox, bench.directory)),
            exits.enter_context(forty_lines(bench.sandbox, bench.directory)),
        ]
        bare = exits.enter_context(bare_flask(bench.sandbox, bench.directory))
        for stack in working:
            stack.freeze_workers()
        for cell in CELLS:
            for _ in bench.runs(5 if cell == HEADLINE else 3):
                for stack in working:
                    both(bench, stack, *cell)
                volley(bench, bare, *cell, workers="stopped")


def both(bench: Workbench, stack: Stack, connections: int, keep_alive: bool) -> None:
    """One volley with the workers stopped, and one while they work off what it brought."""
    volley(bench, stack, connections, keep_alive, workers="stopped")
    stack.thaw_workers()
    try:
        volley(bench, stack, connections, keep_alive, workers="busy")
    finally:
        stack.freeze_workers()


def volley(bench: Workbench, stack: Stack, connections: int, keep_alive: bool, *, workers: str) -> None:
    """One volley and its figures. With busy workers the CPU is theirs too, so it is not kept."""
    rooms = bench.rooms(VOLLEY)
    before = stack.cpu()
    result = bench.volley(stack, rooms, connections=connections, keep_alive=keep_alive)
    used = stack.cpu() - before
    how = what(connections, keep_alive, workers)
    add = bench.figures.add
    add(SECTION, f"accepted, {how}", stack.name, "/s", result.rate)
    add(SECTION, f"p50, {how}", stack.name, "ms", result.p50 * 1000)
    add(SECTION, f"p99, {how}", stack.name, "ms", result.p99 * 1000)
    add(SECTION, f"CPU of the load generator, {how}", stack.name, "s / 1,000", result.cpu / len(rooms) * 1000)
    if workers == "stopped":
        add(SECTION, f"CPU, {how}", stack.name, "s / 1,000", used / len(rooms) * 1000)


def what(connections: int, keep_alive: bool, workers: str) -> str:
    """How a volley is called."""
    return f"{connections} {'kept' if keep_alive else 'new'} connections, workers {workers}"
