"""Rooms a second from callback to both deliveries, and their CPU, beside a bare loop of the same three requests."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from bench.loop import result_of, start_loop
from bench.stacks import BARE_LOOP, Stack, forty_lines, ours
from bench.workbench import LATENCY, SPREAD, Workbench
from sandbox.options import ACCOUNT_SID, AUTH_TOKEN

SECTION = "rooms"
THREADS = (16, 128)
ROOMS = 512
ROOMS_A_THREAD = 20
"""No more of them: each takes a fifth of a second."""

FORTY_LINES_ROOMS = 20
CONNECTIONS = 32


@dataclass(frozen=True)
class Worked:
    """What working off rooms took. `rate`: rooms a second, first callback to last delivery; `cpu`: s per 1,000."""

    rate: float
    cpu: float


@dataclass(frozen=True)
class Upstream:
    """How long a fetch takes: `latency` seconds, give or take the share `spread` of it."""

    latency: float
    spread: float = 0.0

    def __str__(self) -> str:
        exactly = "exactly " if self.latency and not self.spread else ""
        return f"{exactly}{self.latency * 1000:.0f} ms"


USUAL = Upstream(LATENCY, SPREAD)
EXACT = Upstream(LATENCY)


def measure(bench: Workbench) -> None:
    """Each contender at once after the other, run by run."""
    with contextlib.ExitStack() as exits:
        stacks = {n: exits.enter_context(ours(bench.sandbox, bench.directory, threads=n)) for n in THREADS}
        forty = exits.enter_context(forty_lines(bench.sandbox, bench.directory))
        for stack in (*stacks.values(), forty):
            work_off(bench, stack, 16, Upstream(0))  # so that modules are imported and scripts loaded everywhere
        for upstream in (USUAL, Upstream(0)):
            for _ in bench.runs(5):
                for threads, stack in stacks.items():
                    beside_the_loop(bench, stack, upstream, threads=threads)
                what = f"{upstream}, two stock workers"
                note(bench, what, forty.name, work_off(bench, forty, FORTY_LINES_ROOMS, upstream))
        few = THREADS[0]
        for _ in bench.runs(3):
            beside_the_loop(bench, stacks[few], EXACT, threads=few)


def beside_the_loop(bench: Workbench, stack: Stack, upstream: Upstream, *, threads: int) -> None:
    """One run of this service, and one of the bare loop."""
    what = what_of(upstream, threads)
    count = bench.size(min(ROOMS, ROOMS_A_THREAD * threads))
    note(bench, what, stack.name, work_off(bench, stack, count, upstream))
    note(bench, what, BARE_LOOP, loop(bench, count, upstream, threads=threads))


def work_off(bench: Workbench, stack: Stack, count: int, upstream: Upstream) -> Worked:
    """Ends so many rooms at once and waits for the last report."""
    bench.quiet(latency=upstream.latency, spread=upstream.spread)
    before = stack.cpu()
    volley = bench.volley(stack, bench.rooms(count), connections=CONNECTIONS, keep_alive=True)
    bench.wait_for(count)
    arrivals = bench.arrivals()
    return Worked(rate=count / (max(arrivals.values()) - volley.began), cpu=(stack.cpu() - before) / count * 1000)


def loop(bench: Workbench, count: int, upstream: Upstream, *, threads: int) -> Worked:
    """The same requests by the bare loop."""
    bench.quiet(latency=upstream.latency, spread=upstream.spread)
    done = result_of(start_loop(urls_of(bench), bench.rooms(count), threads=threads))
    bench.wait_for(count)
    return Worked(rate=count / done.seconds, cpu=done.cpu / count * 1000)


def urls_of(bench: Workbench) -> dict[str, str]:
    """Where the bare loop fetches and posts."""
    return {
        "twilio": bench.sandbox.twilio_url,
        "slack": bench.sandbox.slack_url,
        "receiver": bench.sandbox.receiver_url,
        "user": ACCOUNT_SID,
        "password": AUTH_TOKEN,
    }


def what_of(upstream: Upstream, threads: int) -> str:
    """How a run is called."""
    return f"{upstream}, one process of {threads} threads"


def note(bench: Workbench, what: str, who: str, worked: Worked) -> None:
    """Keeps the figures of one run."""
    bench.figures.add(SECTION, f"rooms a second, {what}", who, "/s", worked.rate)
    bench.figures.add(SECTION, f"CPU, {what}", who, "s / 1,000", worked.cpu)
