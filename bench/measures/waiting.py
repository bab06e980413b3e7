"""What rooms that wait cost: memory each, looking at the due index when nothing is due, and draining what falls due."""

from __future__ import annotations

import contextlib
import time

from redis import Redis

from bench import backlog
from bench.stacks import Stack, add_our_worker, ours
from bench.workbench import Workbench, eventually
from config.loading import load
from room_reports.dispatch import queue_entry
from room_reports.lanes import make_ledger
from room_reports.ledger import Ledger
from sandbox.options import ACCOUNT_SID

SECTION = "rooms that wait"
COUNTS = (1_000, 100_000)
LOOKS = 200
FALL_DUE = 1_000
FINISHED = (0, 100_000)
ROOMS_TAKEN = 300
THROUGH = "a room's way through the ledger, beside so many finished"
DRAINING = f"draining {FALL_DUE:,} that fall due"


def measure(bench: Workbench) -> None:
    """The same on a ledger with few and with many rooms that wait, run by run."""
    with contextlib.ExitStack() as exits:
        stacks: dict[int, Stack] = {}
        for count in COUNTS:
            stack = exits.enter_context(ours(bench.sandbox, bench.directory, threads=32, workers=0))
            fill(bench, stack, count)
            ledger = make_ledger(load(stack.environment), stack.redis_connection)
            for _ in bench.runs(5):
                note(bench, "CPU of a look, none due", count, "ms", look(ledger, stack.redis_connection))
            add_our_worker(exits, stack, bench.directory)
            stack.freeze_workers()
            stacks[count] = stack
        for _ in bench.runs(5):
            for count, stack in stacks.items():
                note(bench, DRAINING, count, "s", drain(bench, stack))


def beside_finished(bench: Workbench, counts: tuple[int, ...] = FINISHED) -> None:
    """One room after the other through the ledger, beside none and beside many that are finished."""
    for count in counts:
        with ours(bench.sandbox, bench.directory, threads=1, workers=0) as stack:
            connection = stack.redis_connection
            ledger = make_ledger(load(stack.environment), connection)
            first, *others = bench.rooms(count + 1)
            backlog.take_through(ledger, first)
            connection.delete(*queue_entry().lists)
            backlog.copies(connection, first, others)
            eventually(lambda: not rewrites(connection), what="the end of the rewrite")  # noqa: B023 - called at once
            for _ in bench.runs(5):
                rooms = bench.rooms(ROOMS_TAKEN)
                start = time.perf_counter()
                for sid in rooms:
                    backlog.take_through(ledger, sid)
                note(bench, THROUGH, count, "ms a room", (time.perf_counter() - start) / ROOMS_TAKEN * 1000)
                connection.delete(*queue_entry().lists)


def fill(bench: Workbench, stack: Stack, count: int) -> None:
    """Has so many rooms wait for days, and notes what each takes."""
    connection = stack.redis_connection
    before = memory_of(connection)
    first, *others = bench.rooms(count)
    backlog.open_waiting(connection, stack.environment, first)
    backlog.copies(connection, first, others)
    note(bench, "memory a room", count, "bytes", (memory_of(connection) - before) / count)
    # Written all at once they set off a rewrite of the append-only file, which is no part of waiting.
    eventually(lambda: not rewrites(connection), what="the end of the rewrite")


def look(ledger: Ledger, connection: Redis) -> float:
    """CPU milliseconds, here and in Redis, that the dispatcher takes to find that nothing is due."""
    before = cpu(connection)
    for _ in range(LOOKS):
        ledger.dispatch()
    return (cpu(connection) - before) / LOOKS * 1000


def drain(bench: Workbench, stack: Stack) -> float:
    """Seconds from the moment that rooms are due until the last of them has been delivered."""
    bench.quiet(latency=0)
    ledger = make_ledger(load(stack.environment), stack.redis_connection)
    for sid in bench.rooms(FALL_DUE):
        ledger.open(room_sid=sid, account_sid=ACCOUNT_SID, room_name="due", ended=None, callback="", request_id="bench")
        backlog.put_off(ledger, sid, pause=0)
    stack.redis_connection.delete(*queue_entry().lists)  # the jobs of the attempts that were made here
    start = time.time()
    stack.thaw_workers()
    try:
        bench.wait_for(FALL_DUE)
    finally:
        stack.freeze_workers()
    return max(bench.arrivals().values()) - start


def memory_of(connection: Redis) -> int:
    """Bytes that Redis has allocated."""
    return int(connection.info("memory")["used_memory"])


def rewrites(connection: Redis) -> bool:
    """Whether Redis writes its append-only file anew."""
    persistence = connection.info("persistence")
    return bool(persistence["aof_rewrite_in_progress"] or persistence["aof_rewrite_scheduled"])


def cpu(connection: Redis) -> float:
    """CPU seconds of Redis and of this process so far."""
    used = connection.info("cpu")
    return float(used["used_cpu_user"]) + float(used["used_cpu_sys"]) + time.process_time()


def note(bench: Workbench, what: str, count: int, unit: str, value: float) -> None:
    """Keeps one figure."""
    bench.figures.add(SECTION, what, f"{count:,}", unit, value)
