"""What passes between the ledger and whoever runs an attempt: the claim to it, its outcome, and what follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal


@dataclass(frozen=True)
class QueueEntry:
    """How a job is written so that RQ finds it; what it says is known to `room_reports.dispatch` alone.

    `list_key`, `queues_key`, `job_prefix`: RQ's keys; `fields`: the constant fields of a job hash, name and value in
    turn; `calls`: the job function of a step by its name, `*` for any other step.
    """

    list_key: str
    queues_key: str
    job_prefix: str
    fields: tuple[str, ...]
    calls: Mapping[str, str]


@dataclass(frozen=True)
class Claim:
    """A running attempt: the right to write its outcome, and what it needs to know. `now`: Redis's time, aware UTC."""

    room_sid: str
    step: str
    attempt: int
    now: datetime
    row: Mapping[str, str]

    @property
    def tries(self) -> int:
        """How many attempts of this series ended before this one."""
        return int(self.row.get(f"{self.step}.tries", 0))

    @property
    def series(self) -> int:
        """1, and one more for each resend."""
        return int(self.row.get(f"{self.step}.series", 1))

    @property
    def waited(self) -> float:
        """Seconds since the step was opened."""
        return self.now.timestamp() - float(self.row.get(f"{self.step}.since", self.now.timestamp()))


LaneNews = Literal["healthy", "failing", "heals", "operator", "neutral"]
"""What an attempt says of the other side: it is fine; it failed as one that is down does (a run of these holds the
lane); hold it now, until it heals or until an operator resumes it; nothing."""


@dataclass(frozen=True)
class Outcome:
    """What an attempt came to.

    `state`: `waiting` (due again after `pause` seconds) or a final state; `counts`: whether it uses up a place in the
    waits; `lane`: see `LaneNews`; `hold_for`: seconds to hold the lane, when the other side named them; `fields`: what
    to keep in the row; `deliveries`: the destinations whose deliveries start now (summary step only).
    """

    state: str
    reason: str | None = None
    detail: str = ""
    pause: float = 0
    counts: bool = True
    lane: LaneNews = "healthy"
    hold_for: float | None = None
    fields: Mapping[str, str | int | float] = field(default_factory=dict)
    deliveries: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finished:
    """What came of an outcome. `hold`: `held`, `extended`, `released` or empty; `following` goes straight on."""

    hold: str
    following: Claim | None


def claim_from(room_sid: str, step: str, attempt: int, now: bytes, flat: list[bytes]) -> Claim:
    """A claim out of what the scripts answer: the time, and the row as names and values in turn."""
    row = dict(zip((name.decode() for name in flat[::2]), (value.decode() for value in flat[1::2]), strict=True))
    return Claim(room_sid, step, int(attempt), datetime.fromtimestamp(float(now), UTC), row)
