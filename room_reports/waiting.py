"""What an unfinished step waits for and until when, in words for an operator. Pure, so that all who tell it agree."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from room_reports.ledger import FINAL, SUMMARY, Hold, Room, Step, lane_of

Cause = Literal["held", "running", "queued", "turn", "summary", "retry"]
"""Why a step waits: nothing goes to its lane now; its attempt is being made; its job is queued; it is due and waits for
its turn; Twilio's summary is not ready; its last attempt failed."""


@dataclass(frozen=True)
class Waiting:
    """One unfinished step. `text`: what it waits for, in a few words; `until`: aware UTC, None when nobody can say."""

    step: str
    cause: Cause
    text: str
    until: datetime | None


def waits_of(room: Room, holds: Iterable[Hold], *, now: datetime) -> list[Waiting]:
    """What each unfinished step of a room waits for, in the order of its steps. `now` is aware."""
    held = {hold.lane: hold for hold in holds}
    return [
        waiting_of(step, held.get(lane_of(step.name, room.account_lane)), now=now)
        for step in room.steps
        if step.state not in FINAL
    ]


def waiting_of(step: Step, hold: Hold | None, *, now: datetime) -> Waiting:
    """What one unfinished step waits for; `hold` is the one of its lane, if it is held."""
    if step.state == "running":
        return Waiting(step.name, "running", "its attempt to end (else another begins)", step.due)
    if hold is not None:
        return held(step, hold)
    if step.state == "queued":
        return Waiting(step.name, "queued", "a worker to take its job (else another is made)", step.due)
    if step.due is None or step.due <= now:
        return Waiting(step.name, "turn", "its turn: it is due", step.due)
    if step.name == SUMMARY and step.reason == "not_ready":
        return Waiting(step.name, "summary", "Twilio to complete the summary (asked again)", step.due)
    failed = f" after {step.reason}" if step.reason else ""
    return Waiting(step.name, "retry", f"the next attempt{failed}", step.due)


def held(step: Step, hold: Hold) -> Waiting:
    """What a step of a held lane waits for."""
    why = f"{hold.lane} is held ({hold.reason})"
    if hold.until is None:
        return Waiting(step.name, "held", f"an operator: {why}; flask rooms resume {hold.lane}", None)
    until = hold.until if step.due is None else max(hold.until, step.due)
    return Waiting(step.name, "held", f"the hold to end: {why}", until)
