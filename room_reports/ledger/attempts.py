"""What passes between the ledger and whoever runs an attempt: the claim to it, its outcome, and what follows."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from room_reports.ledger.rows import TWILIO, Day, lane_of


@dataclass(frozen=True)
class JobKind:
    """How the jobs of one kind of step are written. `list`: the key their ids wait in; `origin`: the name of that queue
    to RQ; `call`: the name of the job function."""

    list: str
    origin: str
    call: str


@dataclass(frozen=True)
class QueueEntry:
    """How a job is written so that RQ finds it; what it says is known to `room_reports.dispatch` alone.

    `lists`: the keys in which job ids wait, in the order in which workers serve them; `started`: for each the registry
    of jobs that run; `queues_key`, `job_prefix`: RQ's keys; `job_tag`: what every job id begins with, letters, digits
    and `_`; `fields`: the constant fields of a job hash, name and value in turn; `kinds`: by the name of the step, `*`
    for any other step.
    """

    lists: tuple[str, ...]
    started: tuple[str, ...]
    queues_key: str
    job_prefix: str
    job_tag: str
    fields: tuple[str, ...]
    kinds: Mapping[str, JobKind]


@dataclass(frozen=True)
class Claim:
    """A running attempt: the right to write its outcome, and what it needs to know.

    `now`: Redis's time when it began, aware UTC; `row`: as it was then; `asked`: by this machine's monotonic clock, not
    after the beginning of its lease.
    """

    room_sid: str
    step: str
    attempt: int
    now: datetime
    row: Mapping[str, str]
    asked: float = field(default_factory=time.monotonic)

    @property
    def lane(self) -> str:
        """The lane that it is made in."""
        return lane_of(self.step, self.row.get("lane", TWILIO))

    @property
    def facts(self) -> dict[str, str | int]:
        """What every log line about it carries."""
        return {
            "room_sid": self.room_sid,
            "step": self.step,
            "attempt": self.attempt,
            "request_id": self.row.get("request_id", ""),
        }

    @property
    def tries(self) -> int:
        """How many attempts of this series ended before this one."""
        return int(self.row.get(f"{self.step}.tries", 0))

    @property
    def series(self) -> int:
        """1, and one more for each resend; 0 while only a provisional message is due."""
        return int(self.row.get(f"{self.step}.series", 1))

    @property
    def waited(self) -> float:
        """Seconds since the step was opened."""
        return self.now.timestamp() - float(self.row.get(f"{self.step}.since", self.now.timestamp()))

    def row_after(self, outcome: Outcome) -> dict[str, str]:
        """The row as this outcome leaves it, as far as other steps need it."""
        row = {**self.row, **{name: str(value) for name, value in outcome.fields.items()}}
        row[f"{self.step}.state"] = outcome.state
        row.pop(f"{self.step}.reason", None)
        if outcome.reason is not None:
            row[f"{self.step}.reason"] = outcome.reason
        return row


@dataclass(frozen=True)
class Taken:
    """A job that was taken off a queue; `queue` is its number in `QueueEntry.lists`, counted from 1.

    `claim`: its attempt, which has begun; None for a job that does not stand as the ledger wrote it. `data`: what it
    calls, as RQ keeps it.
    """

    id: str
    queue: int
    data: bytes
    claim: Claim | None = None


@dataclass(frozen=True)
class NextJob:
    """A wish for another job, of the worker that is done with this one.

    `may_wait`: while fewer jobs than this wait in the queue that is served first, it is served last.
    """

    worker: str
    done: Taken
    may_wait: int = 0


LaneNews = Literal["healthy", "failing", "heals", "operator", "neutral"]
"""What an attempt says of the other side: it is fine; it failed as one that is down does (a run of these holds the
lane); hold it now, until it heals or until an operator resumes it; nothing."""


@dataclass(frozen=True)
class Outcome:
    """What an attempt came to.

    `state`: `waiting` (due again after `pause` seconds) or a final state; `counts`: whether it uses up a place in the
    waits; `lane`: see `LaneNews`; `hold_for`: seconds to hold the lane, when the other side named them; `fields`: what
    to keep in the row; `opens`: the steps that begin now; `day`: what the room adds to the counts of its day (once,
    where the deliveries begin); `lasted`: how many seconds, to be remembered for rooms of its name.
    """

    state: str
    reason: str | None = None
    detail: str = ""
    pause: float = 0
    counts: bool = True
    lane: LaneNews = "healthy"
    hold_for: float | None = None
    fields: Mapping[str, str | int | float] = field(default_factory=dict)
    opens: tuple[str, ...] = ()
    day: Day | None = None
    lasted: int | None = None


@dataclass(frozen=True)
class Finished:
    """What came of an outcome. `hold`: `held`, `extended`, `released` or empty; `following` goes straight on in the
    same job; `taken`: the job that was taken where nothing does."""

    hold: str
    following: Claim | None
    taken: Taken | None = None
