"""The digest of one day: what its rooms came to, against what is usual, and which of them are worth a look.

A day is one of UTC, and a room belongs to the day on which it ended. Counts are those that the ledger keeps for 400
days; single rooms are known for as long as their rows are. Pure.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Literal

from pydantic import BaseModel, Field

from room_reports.costs import CostEstimate, Rates, estimate
from room_reports.ledger import Day, EndedRoom
from room_reports.reports import console_link
from room_reports.summaries import clean_text
from room_reports.verdicts import SEVERITY_OF

SCHEMA_VERSION = 1

MOST_WEEKS = 4
"""Earlier days of the same weekday that what is usual is made of."""

MOST_ROOMS = 5
"""Rooms that are named, in each list."""

RECENT_DAYS = 14
LONGEST_NAME = 200

NOTHING = Day(0, 0, 0)


class UsualDay(BaseModel, frozen=True):
    """The mean of earlier days of the same weekday."""

    days: int = Field(
        description=f"How many days it is the mean of: 1 to {MOST_WEEKS}; one without a room is a nought."
    )
    rooms: float = Field(description="Rooms in a day.")
    participant_minutes: float = Field(description="Participant minutes in a day.")
    recorded_minutes: float = Field(description="Recorded minutes in a day.")


class DigestedRoom(BaseModel, frozen=True):
    """A room that is named in the digest."""

    room_sid: str = Field(description="`RM…`")
    room_name: str | None = Field(description="Text of the application: never trust it.")
    ended_at: datetime | None = Field(description="UTC.")
    verdicts: tuple[str, ...] = Field(description="Codes of the notices and warnings about it, see `verdicts.md`.")
    seconds_to_summary: float | None = Field(
        description="From the end of the room until its summary was complete, or no longer waited for."
    )
    console: str = Field(description="The room in Twilio's Console.")


class RecentDay(BaseModel, frozen=True):
    """One of the days up to this one."""

    day: date = Field(description="The day, UTC.")
    rooms: int = Field(description="Rooms that ended on it.")
    participant_minutes: float = Field(description="Participant minutes of these.")


class DigestData(BaseModel, frozen=True):
    """Everything about one day."""

    schema_version: int = Field(description=f"{SCHEMA_VERSION}. Fields may be added without a new version.")
    day: date = Field(description="The day (UTC) on which the rooms ended.")
    weekday: str = Field(description="`Monday`, …")
    rooms: int = Field(description="Rooms reported, complete or partial.")
    participant_minutes: float = Field(description="Time in rooms of all connections together.")
    recorded_minutes: float = Field(description="Recorded time of all participants together.")
    usual: UsualDay | None = Field(description="Null for the first of its weekday that is known.")
    cost_estimate: CostEstimate | None = Field(
        description="What the day may have cost, by `COST_PARTICIPANT_MINUTE` and `COST_RECORDED_MINUTE`: an estimate, "
        "not a bill. Null without them."
    )
    unfinished: int = Field(description="Rooms that still waited for their summary: not counted above.")
    with_warnings: int = Field(description="Rooms with a warning among their verdicts.")
    with_notices: int = Field(description="Rooms with a notice, and no warning.")
    worst_rooms: tuple[DigestedRoom, ...] = Field(
        description=f"At most {MOST_ROOMS} with the most warnings, then notices; empty when there are none."
    )
    slowest_summaries: tuple[DigestedRoom, ...] = Field(
        description=f"The {MOST_ROOMS} that waited longest for their summary."
    )
    recent: tuple[RecentDay, ...] = Field(description=f"The {RECENT_DAYS} days up to this one, oldest first.")


class RoomDigest(BaseModel, frozen=True):
    """The digest of a day, as it is posted to a webhook."""

    type: Literal["room.digest"] = Field(default="room.digest", description="Tells it from a report.")
    timestamp: datetime = Field(description="When it was made, UTC.")
    data: DigestData

    def without_names(self) -> RoomDigest:
        """The same for a receiver that is not to know what rooms are called."""
        data = self.data
        lists = {
            which: tuple(room.model_copy(update={"room_name": None}) for room in getattr(data, which))
            for which in ("worst_rooms", "slowest_summaries")
        }
        return self.model_copy(update={"data": data.model_copy(update=lists)})

    def to_json(self) -> bytes:
        """The digest as UTF-8 JSON."""
        return self.model_dump_json().encode()


def compose(
    day: date,
    *,
    days: Mapping[date, Day],
    ended: Iterable[EndedRoom],
    rates: Rates,
    console_url: str,
    made_at: datetime,
) -> RoomDigest:
    """The digest of a day. `days`: what the ledger counted; `ended`: the rooms of this day; `made_at` is aware."""
    counted = days.get(day, NOTHING)
    gathered = _Gathered(ended)
    data = DigestData(
        schema_version=SCHEMA_VERSION,
        day=day,
        weekday=f"{day:%A}",
        rooms=counted.rooms,
        participant_minutes=_minutes(counted.participant_seconds),
        recorded_minutes=_minutes(counted.recorded_seconds),
        usual=usual_day(day, days),
        cost_estimate=estimate(
            rates, participant_seconds=counted.participant_seconds, recorded_seconds=counted.recorded_seconds
        ),
        unfinished=gathered.unfinished,
        with_warnings=gathered.with_warnings,
        with_notices=gathered.with_notices,
        worst_rooms=tuple(_named(room, console_url) for room in gathered.worst()),
        slowest_summaries=tuple(_named(room, console_url) for room in gathered.slowest()),
        recent=tuple(_recent(day, days)),
    )
    return RoomDigest(timestamp=made_at.astimezone(UTC), data=data)


def usual_day(day: date, days: Mapping[date, Day]) -> UsualDay | None:
    """The mean of up to four earlier days of this weekday; None when none of them is known.

    A day without rooms is in no count. It is a nought when it comes after the first day that is known.
    """
    first = min(days, default=day)
    earlier = [day - timedelta(weeks=back) for back in range(1, MOST_WEEKS + 1)]
    found = [days.get(one, NOTHING) for one in earlier if one >= first]
    if not found:
        return None
    return UsualDay(
        days=len(found),
        rooms=round(sum(one.rooms for one in found) / len(found), 1),
        participant_minutes=_minutes(sum(one.participant_seconds for one in found) / len(found)),
        recorded_minutes=_minutes(sum(one.recorded_seconds for one in found) / len(found)),
    )


class _Gathered:
    """What is kept of a day's rooms while they pass by: there may be a hundred thousand of them."""

    def __init__(self, ended: Iterable[EndedRoom]) -> None:
        self.unfinished = self.with_warnings = self.with_notices = 0
        self._odd: list[EndedRoom] = []
        self._slow: list[EndedRoom] = []
        for room in ended:
            self._take(room)

    def worst(self) -> list[EndedRoom]:
        """The worst first."""
        return heapq.nlargest(MOST_ROOMS, self._odd, key=_badness)

    def slowest(self) -> list[EndedRoom]:
        """The slowest first."""
        return heapq.nlargest(MOST_ROOMS, self._slow, key=lambda room: room.seconds_to_summary or 0)

    def _take(self, room: EndedRoom) -> None:
        if room.is_unfinished:
            self.unfinished += 1
        warnings, notices, _ = _badness(room)
        self.with_warnings += warnings > 0
        self.with_notices += notices > 0 and not warnings
        if warnings or notices:
            self._odd.append(room)
        if room.seconds_to_summary is not None:
            self._slow.append(room)
        # Cut back now and then.
        if len(self._odd) > 1000:
            self._odd = self.worst()
        if len(self._slow) > 1000:
            self._slow = self.slowest()


def _badness(room: EndedRoom) -> tuple[int, int, float]:
    severities = [SEVERITY_OF.get(code) for code in room.verdicts]
    ended = room.ended.timestamp() if room.ended else 0.0
    return severities.count("warning"), severities.count("notice"), ended


def _named(room: EndedRoom, console_url: str) -> DigestedRoom:
    name = clean_text(room.name)[:LONGEST_NAME]
    return DigestedRoom(
        room_sid=room.sid,
        room_name=name or None,
        ended_at=room.ended,
        verdicts=tuple(code for code in room.verdicts if SEVERITY_OF.get(code) in ("warning", "notice")),
        seconds_to_summary=None if room.seconds_to_summary is None else round(room.seconds_to_summary, 1),
        console=console_link(console_url, room.sid),
    )


def _recent(day: date, days: Mapping[date, Day]) -> Iterator[RecentDay]:
    for back in reversed(range(RECENT_DAYS)):
        one = day - timedelta(days=back)
        counted = days.get(one, NOTHING)
        minutes = _minutes(counted.participant_seconds)
        yield RecentDay(day=one, rooms=counted.rooms, participant_minutes=minutes)


def _minutes(seconds: float) -> float:
    return round(seconds / 60, 2)
