"""What is known after a run, as plain values."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from room_reports.ledger import Room
from sandbox.client import SentCallback
from sandbox.history import Exchange
from tests.chaos.plan import Hit
from tests.chaos.scrapes import Scrape


@dataclass(frozen=True)
class SentEvents:
    """A request with events, sent at so many seconds since 1970. `room_sids`: of which rooms it had the summary;
    `status`: None when no answer came."""

    room_sids: tuple[str, ...]
    kind: Literal["honest", "forged"]
    sent_at: float
    status: int | None


@dataclass(frozen=True)
class Record:
    """A run, as plain values. `deliveries` by destination; `states`: room SIDs by the index they are in; `messages`:
    the texts that stand in the channel of the Slack app at the end, by room, None where there was no such app."""

    sent: tuple[SentCallback, ...]
    asked: tuple[Exchange, ...]
    deliveries: Mapping[str, tuple[Exchange, ...]]
    rooms: Mapping[str, Room]
    states: Mapping[str, frozenset[str]]
    hits: tuple[Hit, ...]
    left: tuple[str, ...]
    leaks: tuple[str, ...]
    failures: tuple[str, ...]
    scrapes: tuple[Scrape, ...]
    messages: Mapping[str, tuple[str, ...]] | None = None
    events: tuple[SentEvents, ...] = ()

    @cached_property
    def arrivals(self) -> dict[str, dict[str, list[Exchange]]]:
        """What was accepted, in order of time, by destination and room."""
        found: dict[str, dict[str, list[Exchange]]] = {name: defaultdict(list) for name in self.deliveries}
        for name, exchanges in self.deliveries.items():
            for exchange in sorted(exchanges, key=lambda exchange: exchange.at):
                if exchange.accepted and exchange.room_sid:
                    found[name][exchange.room_sid].append(exchange)
        return found


def is_success(sent: SentCallback | SentEvents) -> bool:
    """Whether it was answered 2xx: Twilio forgets it then, and so it is a promise."""
    return sent.status is not None and 200 <= sent.status < 300
