"""What must be reached, as ratios between rows of the same run: figures that mean something on another machine too."""

from __future__ import annotations

import os

from bench.figures import Figures, Mark
from bench.measures import delay, growth, memory, pages, receive, rooms, waiting
from bench.stacks import BARE_FLASK, BARE_LOOP, FORTY_LINES, OURS

STOCK = "two stock workers"


def marks_of(figures: Figures) -> list[Mark]:
    """Every mark whose figures were measured."""
    return [mark for mark in (*of_rooms(figures), *of_receiving(figures), *of_the_rest(figures)) if mark.values]


def of_rooms(figures: Figures) -> list[Mark]:
    """End to end: rooms a second and what they cost."""
    few, many = (rooms.what_of(rooms.USUAL, threads) for threads in rooms.THREADS)
    alike = rooms.what_of(rooms.EXACT, rooms.THREADS[0])
    stock = f"{rooms.USUAL}, {STOCK}"

    def rate(who: str, other: str, *, what: str, other_what: str) -> list[float]:
        return figures.ratios(
            rooms.SECTION, f"rooms a second, {what}", who, other, other_what=f"rooms a second, {other_what}"
        )

    def cpu(other: str, *, what: str, other_what: str) -> list[float]:
        return figures.ratios(rooms.SECTION, f"CPU, {what}", OURS, other, other_what=f"CPU, {other_what}")

    return [
        Mark(
            "rooms a second, 16 threads: bare loop", "at least", 0.95, rate(OURS, BARE_LOOP, what=few, other_what=few)
        ),
        Mark(
            "rooms a second, 16 threads, every fetch exactly as long: bare loop",
            "at least",
            0.95,
            rate(OURS, BARE_LOOP, what=alike, other_what=alike),
        ),
        Mark(
            "rooms a second, 16 threads: forty lines",
            "at least",
            10,
            rate(OURS, FORTY_LINES, what=few, other_what=stock),
        ),
        Mark("rooms a second, 128 threads: 16 threads", "at least", 2.5, rate(OURS, OURS, what=many, other_what=few)),
        Mark("CPU a room, 16 threads: bare loop", "at most", 2, cpu(BARE_LOOP, what=few, other_what=few)),
        Mark(
            "CPU a room, 16 threads, every fetch exactly as long: bare loop",
            "at most",
            2,
            cpu(BARE_LOOP, what=alike, other_what=alike),
        ),
        Mark("CPU a room, 128 threads: bare loop", "at most", 2, cpu(BARE_LOOP, what=many, other_what=many)),
        Mark("CPU a room, 16 threads: forty lines", "at most", 0.1, cpu(FORTY_LINES, what=few, other_what=stock)),
    ]


def of_receiving(figures: Figures) -> list[Mark]:
    """Callbacks accepted a second, and the slowest answers."""
    stopped, busy = (receive.what(*receive.HEADLINE, workers) for workers in ("stopped", "busy"))

    def ratios(measure: str, other: str, how: str) -> list[float]:
        return figures.ratios(receive.SECTION, f"{measure}, {how}", OURS, other)

    return [
        Mark("accepted a second: forty lines", "at least", 1.6, ratios("accepted", FORTY_LINES, stopped)),
        Mark("accepted a second: bare Flask", "at least", 0.5, ratios("accepted", BARE_FLASK, stopped)),
        Mark("p99 with busy workers: forty lines", "at most", 1, ratios("p99", FORTY_LINES, busy)),
        Mark("CPU a callback: forty lines", "at most", 1 / 1.6, ratios("CPU", FORTY_LINES, stopped)),
    ]


def of_the_rest(figures: Figures) -> list[Mark]:
    """Memory, delay, growth."""
    delays = [figures.find(delay.SECTION, f"median, {delay.RATE:g} rooms a second", who) for who in (OURS, BARE_LOOP)]
    added = [one - two for one, two in zip(*(d.values for d in delays if d), strict=True)] if all(delays) else []
    least, most = f"{growth.BACKLOGS[0]:,}", f"{growth.BACKLOGS[-1]:,}"
    marks = [
        Mark(
            "memory under load: forty lines",
            "at most",
            0.75,
            figures.ratios(memory.SECTION, "PSS, under load", OURS, FORTY_LINES),
        ),
        Mark("median delay beyond the bare loop's", "at most", 10, added, unit="ms"),
        Mark(
            f"accepted a second, {most} waiting: {least}",
            "at least",
            0.9,
            figures.ratios(growth.WAITING, "accepted", most, least),
        ),
        Mark(
            f"rooms a second, {most} waiting: {least}",
            "at least",
            0.9,
            figures.ratios(growth.WAITING, "rooms a second", most, least),
        ),
    ]
    few, many = (f"{count:,}" for count in waiting.COUNTS)
    marks.append(
        Mark(
            f"time to drain what falls due, {many} waiting: {few}",
            "at most",
            1.2,
            figures.ratios(waiting.SECTION, waiting.DRAINING, many, few),
        )
    )
    few, many = (f"{count:,}" for count in pages.COUNTS)
    marks += [
        Mark(f"{what}, {many} rooms: {few}", "at most", 1.5, figures.ratios(pages.SECTION, what, many, few))
        for what in ("newest rooms", "figures", "one room")
    ]
    if (os.cpu_count() or 1) > 1:
        two = figures.ratios(growth.WORKERS, "rooms a second", "2", "1")
        marks.append(Mark("rooms a second, two workers: one", "at least", 1.8, two))
    return marks
