"""What a destination is, and what it is told of an attempt to deliver. The kinds are in `room_reports.destinations`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Protocol, Self, runtime_checkable

from config.settings import Settings
from room_reports.digests import RoomDigest
from room_reports.reports import RoomReport

if TYPE_CHECKING:  # the page for operators shows messages and loads no transport
    from room_reports.transport import Transport


@dataclass(frozen=True)
class Delivery:
    """One attempt to deliver.

    `id` is the same for every attempt of one delivery and has no dot; `attempt` counts from 1; `attempted_at` is aware.

    For a destination that edits what it has sent. `is_provisional`: only say that the room has ended, the report
    follows; `noted`: what `send` returned when it last succeeded for this room; `since`: aware, nothing was sent before
    it; `is_certain`: nothing was sent since but what is noted; `asked`: by the monotonic clock, when this attempt was
    asked for. Another may begin when its lease is over, so what must not overlap with that ends soon after.
    """

    id: str
    attempt: int
    attempted_at: datetime
    is_provisional: bool = False
    noted: Mapping[str, str] = field(default_factory=dict)
    since: datetime | None = None
    is_certain: bool = True
    asked: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class Notice:
    """News for the operator: Twilio or a destination (`lane`) is held.

    `reason` and `detail` as in `Failure`; `heals`: it is probed and goes on by itself, else an operator resumes it.
    """

    lane: str
    reason: str
    detail: str
    heals: bool


class Destination(Protocol):
    """A place that reports go to; used from several threads at once. `rate`: messages a second, 0 without a limit."""

    name: str
    rate: float

    @classmethod
    def from_settings(cls, settings: Settings, transport: Transport) -> Self:
        """The destination that the settings ask for."""

    def send(self, report: RoomReport, delivery: Delivery) -> Mapping[str, str] | None:
        """Delivers a report. Raises `Failure` unless the other side has taken it. Returns what to note, if anything."""

    def notify(self, notice: Notice, delivery: Delivery) -> None:
        """Tells the operator of a hold. Raises `Failure` like `send`."""


@runtime_checkable
class TakesDigests(Protocol):
    """A destination that also takes the digest of a day."""

    def send_digest(self, digest: RoomDigest, delivery: Delivery) -> None:
        """Delivers a digest. Raises `Failure` unless the other side has taken it."""
