"""How the rates change with the rooms that wait, the length of the queue, and the number of workers."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from bench import backlog
from bench.measures.rooms import CONNECTIONS
from bench.stacks import Stack, add_our_worker, ours
from bench.workbench import LATENCY, SPREAD, Workbench, eventually

WAITING, QUEUED, WORKERS = "rooms waiting", "queue depth", "worker processes"
SECTIONS = (WAITING, QUEUED, WORKERS)
BACKLOGS = (1_000, 10_000, 100_000)
DEPTHS = (0, 10_000, 100_000)
MOST_WORKERS = 4
THREADS = 128
THREADS_EACH = 16
"""In the curve of workers: so few that one process is limited by the upstream's latency and not by a core."""

ROOMS = 512
ROOMS_EACH = 320


def measure(bench: Workbench) -> None:
    """The three curves."""
    by_waiting(bench)
    by_depth(bench)
    by_workers(bench)


def by_waiting(bench: Workbench) -> None:
    """Services with few and with many rooms that wait, one after the other, run by run."""
    with contextlib.ExitStack() as exits:
        stacks = {count: exits.enter_context(with_waiting(bench, count)) for count in BACKLOGS}
        for stack in stacks.values():
            accept_then_work_off(bench, stack, 64)  # so that modules are imported and scripts loaded everywhere
        for _ in bench.runs(3):
            for count, stack in stacks.items():
                note(bench, WAITING, count, *accept_then_work_off(bench, stack, bench.size(ROOMS)))


@contextlib.contextmanager
def with_waiting(bench: Workbench, count: int) -> Iterator[Stack]:
    """A service in whose ledger so many rooms wait for their summary."""
    with ours(bench.sandbox, bench.directory, threads=THREADS, workers=0) as stack, contextlib.ExitStack() as exits:
        connection = stack.redis_connection
        first, *others = bench.rooms(count)
        backlog.open_waiting(connection, stack.environment, first)
        backlog.copies(connection, first, others)
        add_our_worker(exits, stack, bench.directory)
        yield stack


def accept_then_work_off(bench: Workbench, stack: Stack, count: int) -> tuple[float, float, float]:
    """Accepts callbacks while the workers stand still, then lets them work.

    Returns callbacks accepted a second, rooms a second, and CPU seconds per 1,000 rooms.
    """
    bench.quiet(latency=LATENCY, spread=SPREAD)
    stack.freeze_workers()
    before = stack.cpu()
    try:
        volley = bench.volley(stack, bench.rooms(count), connections=CONNECTIONS, keep_alive=True)
        start = time.time()
    finally:
        stack.thaw_workers()
    bench.wait_for(count)
    rate = count / (max(bench.arrivals().values()) - start)
    return volley.rate, rate, (stack.cpu() - before) / count * 1000


def by_depth(bench: Workbench) -> None:
    """Accepts at each depth without a worker, then starts one and sees how fast it takes from the long queue."""
    for depth in DEPTHS:
        with ours(bench.sandbox, bench.directory, threads=THREADS, workers=0) as stack, contextlib.ExitStack() as exits:
            if depth:
                first, *others = bench.rooms(depth)
                bench.volley(stack, [first], connections=1, keep_alive=False)
                backlog.copies(stack.redis_connection, first, others)
            accepted = []
            for _ in bench.runs(3):
                rooms = bench.rooms(bench.size(ROOMS * 3))
                accepted.append(bench.volley(stack, rooms, connections=CONNECTIONS, keep_alive=True).rate)
            bench.quiet(latency=LATENCY, spread=SPREAD)
            add_our_worker(exits, stack, bench.directory)
            worked = [drain(bench, stack, bench.size(ROOMS)) for _ in bench.runs(3)]
            for rate, (rooms_a_second, cpu) in zip(accepted, worked, strict=True):
                note(bench, QUEUED, depth, rate, rooms_a_second, cpu)


def drain(bench: Workbench, stack: Stack, count: int) -> tuple[float, float]:
    """Watches a worker take rooms from a queue that stays long. Returns rooms/s and CPU s / 1,000 rooms."""
    start, before, already = time.time(), stack.cpu(), bench.delivered()
    eventually(lambda: bench.delivered() - already >= count, what=f"{count} rooms from the front of a long queue")
    delivered = bench.delivered() - already
    return delivered / (time.time() - start), (stack.cpu() - before) / delivered * 1000


def by_workers(bench: Workbench) -> None:
    """One worker process, then one more, and so on."""
    with (
        ours(bench.sandbox, bench.directory, threads=THREADS_EACH, workers=0) as stack,
        contextlib.ExitStack() as exits,
    ):
        for count in range(1, MOST_WORKERS + 1):
            add_our_worker(exits, stack, bench.directory)
            accept_then_work_off(bench, stack, 32)
            for _ in bench.runs(3):
                note(bench, WORKERS, count, *accept_then_work_off(bench, stack, bench.size(ROOMS_EACH)))


def note(bench: Workbench, section: str, point: int, accepted: float, rooms: float, cpu: float) -> None:
    """Keeps the figures of one run at one point of a curve."""
    bench.figures.add(section, "accepted", f"{point:,}", "/s", accepted)
    bench.figures.add(section, "rooms a second", f"{point:,}", "/s", rooms)
    bench.figures.add(section, "CPU", f"{point:,}", "s / 1,000", cpu)
