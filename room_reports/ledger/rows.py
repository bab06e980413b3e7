"""What the ledger gives to read: rooms, their steps and attempts, and the holds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

SUMMARY = "summary"
"""The step that fetches the summary."""

PARTICIPANTS = "participants"
"""The step that fetches the participants, between the summary and the deliveries, where they are wanted; every other
step is one destination's delivery and has its name."""

TWILIO = "twilio"
"""The lane of the steps that ask Twilio: what is held when Twilio is held. A room has one of them at a time. Each
further account has a lane of its own, `twilio-` and its name, which the rows of its rooms say."""

PROVISIONAL = "provisional"
"""The state of a delivery whose first part is over: a message that says that the report follows. It is finished until
the report is there."""

FINAL = frozenset({"complete", "partial", "expired", "delivered", "dead", PROVISIONAL})
"""The states in which a step is finished."""

ROOM_STATES = ("open", "delivered", "partial", "expired", "dead")
"""The states of a room: `open` while a step is unfinished, else the worst end of its steps."""


def lane_of(step: str, account_lane: str = TWILIO) -> str:
    """The lane a step waits in: what can be held or slowed as one. `account_lane`: that of the room's account."""
    return account_lane if step in (SUMMARY, PARTICIPANTS) else step


def is_twilio(lane: str) -> bool:
    """Whether a lane is Twilio's, for whichever account."""
    return lane == TWILIO or lane.startswith(f"{TWILIO}-")


@dataclass(frozen=True)
class Lane:
    """Twilio or one destination. `rate`: messages a second, 0 for no limit; `waits`: pauses between probes, seconds;
    `early`: deliveries there begin with a provisional message, as soon as a room is opened."""

    name: str
    waits: tuple[float, ...]
    rate: float = 0
    burst: int = 3
    early: bool = False


@dataclass(frozen=True)
class Step:
    """One step of a room. Times are aware UTC.

    `state`: waiting, queued, running, or one of `FINAL`; `attempt`: the number that fences; `tries`: how many attempts
    of this series ended without finishing the step; `series`: 1, one more for each resend, 0 before the report is due.
    """

    name: str
    state: str
    attempt: int
    tries: int
    series: int
    since: datetime | None
    due: datetime | None
    reason: str | None
    finished: datetime | None


@dataclass(frozen=True)
class Room:
    """One row of the ledger. Times are aware UTC; `attempts` holds every attempt's record, oldest first; `routes`: the
    rule that sent it to each of its destinations, empty when it was sent nowhere, None when no rules were asked.

    `summary_source`: `event` when one brought the summary; `issues`: what Twilio detected, None when no event told;
    `participants`: the fields of the row about them, as `room_reports.participants` reads them; `usual`: how many
    seconds rooms of its name usually lasted when it was reported, None where that is not known.
    """

    sid: str
    state: str
    account_sid: str
    name: str
    source: str
    request_id: str
    opened: datetime
    ended: datetime | None
    finished: datetime | None
    callback: str
    summary: dict[str, Any] | None
    verdicts: tuple[str, ...]
    first_asked: datetime | None
    last_asked: datetime | None
    asked: int
    steps: tuple[Step, ...]
    attempts: tuple[dict[str, Any], ...] = field(default=())
    summary_source: str | None = None
    issues: list[dict[str, Any]] | None = None
    routes: Mapping[str, str] | None = None
    account_lane: str = TWILIO
    usual: float | None = None
    participants: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Hold:
    """A lane to which nothing is sent. `until` is None when only an operator can resume it."""

    lane: str
    reason: str
    detail: str
    since: datetime
    until: datetime | None


@dataclass(frozen=True)
class Day:
    """What the rooms that ended on one day (UTC) came to, complete or partial. Times in whole seconds, of all
    participants together."""

    rooms: int
    participant_seconds: int
    recorded_seconds: int


@dataclass(frozen=True)
class Durations:
    """How long something took, counted. `buckets`: how many took up to so many seconds and longer than the bucket
    before, the last of them without a limit; `total`: all of it in seconds."""

    buckets: Mapping[float, int]
    total: float

    @property
    def count(self) -> int:
        """How many were counted."""
        return sum(self.buckets.values())

    def within(self, share: float) -> float:
        """The seconds within which this share of them was done, rounded up to the limit of a bucket; 0 for none."""
        wanted, seen = share * self.count, 0
        for limit in sorted(self.buckets):
            seen += self.buckets[limit]
            if seen >= wanted and seen:
                return limit
        return 0.0


def moment(text: str | None) -> datetime | None:
    """Seconds since 1970 as the scripts write them, to aware UTC."""
    return datetime.fromtimestamp(float(text), UTC) if text else None


def room_from(sid: str, row: Mapping[str, str], dues: Mapping[str, float | None], attempts: list[str]) -> Room:
    """A row as stored, the due times of its steps and its attempt records, to a `Room`."""
    summary = row.get("summary")
    return Room(
        sid=sid,
        state=row["state"],
        account_sid=row.get("account", ""),
        name=row.get("name", ""),
        source=row.get("source", ""),
        request_id=row.get("request_id", ""),
        opened=datetime.fromtimestamp(float(row["opened"]), UTC),
        ended=moment(row.get("ended")),
        finished=moment(row.get("finished")),
        callback=row.get("callback", ""),
        summary=json.loads(summary) if summary else None,
        summary_source=row.get("summary.source"),
        issues=json.loads(row["issues"]) if row.get("issues") else None,
        routes=json.loads(row["routes"]) if row.get("routes") else None,
        account_lane=row.get("lane", TWILIO),
        usual=float(row["usual"]) if row.get("usual") else None,
        participants={name: value for name, value in row.items() if name.startswith("participant")},
        verdicts=tuple(json.loads(row.get("verdicts", "[]"))),
        first_asked=moment(row.get("first_asked")),
        last_asked=moment(row.get("last_asked")),
        asked=int(row.get("asked", 0)),
        steps=tuple(step_from(name, row, dues.get(name)) for name in json.loads(row.get("steps", "[]"))),
        attempts=tuple(json.loads(record) for record in attempts),
    )


def step_from(name: str, row: Mapping[str, str], due: float | None) -> Step:
    """One step out of its room's row."""
    return Step(
        name=name,
        state=row[f"{name}.state"],
        attempt=int(row.get(f"{name}.attempt", 0)),
        tries=int(row.get(f"{name}.tries", 0)),
        series=int(row.get(f"{name}.series", 0)),
        since=moment(row.get(f"{name}.since")),
        due=datetime.fromtimestamp(due, UTC) if due is not None else None,
        reason=row.get(f"{name}.reason"),
        finished=moment(row.get(f"{name}.finished")),
    )
