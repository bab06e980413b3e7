"""What will be done to whom and when, drawn from the seed before anything runs."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "worker killed",
    "worker terminated",
    "web killed",
    "web process killed",
    "web terminated",
    "redis killed",
    "redis stopped",
    "twilio off",
    "slack off",
    "webhook off",
]

DECK: tuple[Kind, ...] = (
    *("worker killed",) * 4,
    *("worker terminated",) * 2,
    "web killed",
    "web process killed",
    "web terminated",
    "redis killed",
    "redis stopped",
    "twilio off",
    "slack off",
    "webhook off",
)
"""Played to the end before it is shuffled again: a run of any length has every kind in about these shares."""

LASTS: dict[Kind, tuple[float, float]] = {
    "worker killed": (0.1, 1.5),
    "worker terminated": (0.0, 1.0),
    "web killed": (0.1, 1.0),
    "web process killed": (0.0, 0.0),
    "web terminated": (0.1, 1.0),
    "redis killed": (0.2, 1.5),
    "redis stopped": (1.0, 4.0),
    "twilio off": (1.0, 4.0),
    "slack off": (1.0, 4.0),
    "webhook off": (1.0, 4.0),
}
"""Seconds from the blow until it is undone: a process started again, a service back."""

MANNERS: dict[Kind, tuple[str, ...]] = {
    "worker terminated": ("once", "twice", "group"),
    "twilio off": ("unavailable", "reset", "hang", "credentials"),
    "slack off": ("unavailable", "reset", "hang", "gone"),
    "webhook off": ("unavailable", "reset", "hang", "gone"),
}

SETTLING = 1.5
"""Seconds a process started again has before it is struck again, so that something gets done at all."""


@dataclass(frozen=True)
class Blow:
    """One act against the service. `at`: seconds after the start; `lasts`: seconds until it is undone."""

    kind: Kind
    target: int
    at: float
    lasts: float
    manner: str = ""


@dataclass(frozen=True)
class Hit:
    """A blow as it fell: `began` and `ended` in seconds since 1970, `note` what came of it when that was not as it
    should be, `held` the attempts a killed worker had in hand: (room SID, step, attempt)."""

    blow: Blow
    began: float
    ended: float
    note: str = ""
    held: tuple[tuple[str, str, int], ...] = ()


def blows(*, seed: int, seconds: float, every: float, webs: int, workers: int) -> list[Blow]:
    """Blows for so many seconds, one each `every` seconds or so, in order of time. Pure."""
    draw = random.Random(seed)  # noqa: S311 - seeded on purpose
    counts = {"worker": workers, "web": webs}
    free_at: defaultdict[tuple[str, int], float] = defaultdict(float)
    deck = cards(draw)
    put_off: list[Kind] = []
    planned = []
    at = draw.uniform(0.5, 1.5) * every
    while at < seconds:
        # A card whose every target still settles is put off, not thrown away.
        for kind in (*put_off, next(deck)):
            side = kind.split()[0]
            free = [target for target in range(counts.get(side, 1)) if free_at[side, target] <= at]
            if free:
                break
            put_off += [] if kind in put_off else [kind]
        if free:
            put_off = [card for card in put_off if card != kind]
            target, lasts = draw.choice(free), draw.uniform(*LASTS[kind])
            planned.append(Blow(kind, target, at, lasts, draw.choice(MANNERS.get(kind, ("",)))))
            free_at[side, target] = at + lasts + SETTLING
        at += draw.uniform(0.5, 1.5) * every
    return planned


def cards(draw: random.Random) -> Iterator[Kind]:
    """The deck, shuffled anew each time it is used up."""
    while True:
        deck = list(DECK)
        draw.shuffle(deck)
        yield from deck
