"""From callback to both deliveries at a modest rate, when nothing waits for anything else."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping

from bench.load import percentile
from bench.loop import result_of, start_loop
from bench.measures.rooms import urls_of
from bench.stacks import BARE_LOOP, Stack, forty_lines, ours
from bench.workbench import LATENCY, Workbench

SECTION = "delay"
RATE = 4.0
ROOMS = 20
WARM_UP = 4


def measure(bench: Workbench) -> None:
    """Ours and the bare loop at the same time, half a pause apart; the forty lines, which need half a core, alone."""
    with ours(bench.sandbox, bench.directory) as stack:
        for _ in bench.runs(3):
            bench.quiet(latency=LATENCY)
            rooms = bench.rooms(WARM_UP + ROOMS)
            looping = start_loop(urls_of(bench), rooms, threads=4, rate=RATE)
            sent = send_paced(bench, stack)
            done = result_of(looping)
            bench.wait_for(2 * (WARM_UP + ROOMS))
            note(bench, stack.name, sent)
            note(bench, BARE_LOOP, done.began)
    with forty_lines(bench.sandbox, bench.directory) as stack:
        for _ in bench.runs(1):
            bench.quiet(latency=LATENCY)
            sent = send_paced(bench, stack)
            bench.wait_for(WARM_UP + ROOMS)
            note(bench, stack.name, sent)


def send_paced(bench: Workbench, stack: Stack) -> dict[str, float]:
    """Lets the fake Twilio end rooms at the rate. Returns when each callback was sent, seconds since 1970."""
    bench.sandbox.configure(callback_url=stack.url)
    sent = bench.sandbox.twilio.end_rooms(WARM_UP + ROOMS, rate=RATE, seed=time.time_ns())
    return {callback.room_sid: callback.sent_at for callback in sent}


def note(bench: Workbench, who: str, begun: Mapping[str, float]) -> None:
    """Keeps median and p99 of what one contender's rooms took; the first few only warm it up."""
    arrivals = bench.arrivals()
    counted = sorted(begun.items(), key=lambda item: item[1])[WARM_UP:]
    delays = sorted((arrivals[room] - at) * 1000 for room, at in counted)
    what = f"{RATE:g} rooms a second"
    bench.figures.add(SECTION, f"median, {what}", who, "ms", statistics.median(delays))
    bench.figures.add(SECTION, f"p99, {what}", who, "ms", percentile(delays, 99))
