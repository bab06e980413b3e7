"""What follows from the callback and the summary of a room. Pure."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field

from room_reports.callbacks import StatusCallback
from room_reports.costs import NO_RATES, CostEstimate, Rates, estimate
from room_reports.summaries import RoomSummary
from room_reports.verdicts import people


class Peak(BaseModel, frozen=True):
    """How full the room was."""

    concurrent: int | None = Field(description="`concurrent_participants`: the most at once, by Twilio's account.")
    limit: int | None = Field(description="`max_participants`: how many the room allows.")
    share: float | None = Field(description="`concurrent` / `limit`.")
    max_concurrent: int | None = Field(
        description="`max_concurrent_participants`. Twilio describes it as a limit in one place and as the peak in "
        "another, so nothing is concluded from it."
    )


class Derived(BaseModel, frozen=True):
    """What follows from callback and summary. A value is null when what it is made of is missing."""

    started_at: datetime | None = Field(description="Start of the room, UTC.")
    ended_at: datetime | None = Field(description="End of the room by the summary, else by the callback, UTC.")
    duration_seconds: int | None = Field(description="By the summary, else by the callback, else end less start.")
    people: int | None = Field(description="Identities, or connections where Twilio does not tell identities apart.")
    rejoins: int | None = Field(description="Connections beyond one for each identity.")
    participant_minutes: float | None = Field(description="Time in the room of all connections together.")
    average_stay_seconds: float | None = Field(description="Participant time by connections.")
    peak: Peak
    recorded_minutes: float | None = Field(description="Recorded time of all participants together.")
    seconds_to_report: float | None = Field(description="From the end of the room to the making of this report.")
    cost_estimate: CostEstimate | None = Field(
        default=None,
        description="What the room may have cost, by `COST_PARTICIPANT_MINUTE` and `COST_RECORDED_MINUTE`: an "
        "estimate, not a bill. Null without them.",
    )


def derive(
    callback: StatusCallback | None, summary: RoomSummary, reported_at: datetime, rates: Rates = NO_RATES
) -> Derived:
    """The figures that follow from callback and summary. A negative amount is no amount."""
    ended_at = summary.end_time or (callback.timestamp if callback else None)
    connections, identities = _amount(summary.unique_participants), _amount(summary.unique_participant_identities)
    stayed, recorded = _amount(summary.total_participant_duration_sec), _amount(summary.total_recording_duration_sec)
    return Derived(
        started_at=summary.create_time,
        ended_at=ended_at,
        duration_seconds=_duration(callback, summary, ended_at),
        people=_amount(people(summary)),
        rejoins=None if connections is None or identities is None else _amount(connections - identities),
        participant_minutes=_minutes(stayed),
        average_stay_seconds=round(stayed / connections, 1) if stayed is not None and connections else None,
        peak=_peak(summary),
        recorded_minutes=_minutes(recorded),
        seconds_to_report=max((reported_at - ended_at).total_seconds(), 0.0) if ended_at else None,
        cost_estimate=estimate(
            rates,
            participant_seconds=stayed,
            recorded_seconds=0 if recorded is None and summary.recording_enabled is False else recorded,
        ),
    )


def _amount(value: int | None) -> int | None:
    return value if value is not None and value >= 0 else None


def _minutes(seconds: int | None) -> float | None:
    return None if seconds is None else round(seconds / 60, 2)


def _duration(callback: StatusCallback | None, summary: RoomSummary, ended_at: datetime | None) -> int | None:
    for duration in (summary.duration_sec, callback.room_duration if callback else None):
        if _amount(duration) is not None:
            return duration
    if summary.create_time is None or ended_at is None:
        return None
    return _amount(round((ended_at - summary.create_time).total_seconds()))


def _peak(summary: RoomSummary) -> Peak:
    concurrent, limit = _amount(summary.concurrent_participants), _amount(summary.max_participants)
    return Peak(
        concurrent=concurrent,
        limit=limit,
        share=round(concurrent / limit, 3) if concurrent is not None and limit else None,
        max_concurrent=_amount(summary.max_concurrent_participants),
    )
