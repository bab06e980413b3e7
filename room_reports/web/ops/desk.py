"""What the views work with, made once from the settings."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from config.settings import Settings
from config.thresholds import Thresholds
from room_reports.costs import Rates
from room_reports.lanes import kinds, lanes_of
from room_reports.ledger import Lane, Ledger, LedgerUnavailable
from room_reports.templates import Maker, makers_of
from room_reports.web.ops.sessions import KnownBrowsers
from room_reports.web.tally import Tally

PATIENCE = 3.0
"""Seconds that a page may wait for Redis in all; then it says so instead."""

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Desk:
    """The ledger, and what of the settings the page shows or needs. `password` is the one that is asked for.

    `kinds`: of every destination, by name; `slack`: what makes the messages of those in Slack.
    """

    ledger: Ledger
    lanes: tuple[Lane, ...]
    kinds: Mapping[str, str]
    slack: Mapping[str, Maker]
    console_url: str
    thresholds: Thresholds
    rates: Rates
    reconcile_every: float
    trusted_proxies: int
    password: str = field(repr=False)
    known: KnownBrowsers
    tally: Tally

    @classmethod
    def of(cls, settings: Settings, ledger: Ledger, known: KnownBrowsers) -> Desk:
        """The desk that the settings describe."""
        assert settings.ops_password is not None
        return cls(
            ledger=ledger,
            lanes=tuple(lanes_of(settings)),
            kinds=kinds(settings),
            slack=makers_of(settings),
            console_url=settings.console_url,
            thresholds=settings.verdict_thresholds,
            rates=Rates.of(settings),
            reconcile_every=settings.reconcile_every,
            trusted_proxies=settings.trusted_proxies,
            password=settings.ops_password.get_secret_value(),
            known=known,
            tally=Tally(),
        )

    @property
    def destinations(self) -> tuple[str, ...]:
        """The names of the destinations in the settings."""
        return tuple(self.kinds)


class Patience:
    """Asks the ledger one thing after the other, and no further when it takes too long in all."""

    def __init__(self, seconds: float = PATIENCE) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds that are left."""
        return max(self._end - time.monotonic(), 0.0)

    def ask(self, question: Callable[[], Answer]) -> Answer:
        """The answer. Raises `LedgerUnavailable` when there is no time left, or as the question does."""
        if not self.left():
            raise LedgerUnavailable("timeout")
        return question()
