"""A ledger as a day's work leaves it: rooms in every state, brought there by its own methods, for the page to show."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import redis

from config.settings import Settings
from room_reports.callbacks import StatusCallback
from room_reports.lanes import make_ledger
from room_reports.ledger import Claim, Day, Ledger, Outcome
from room_reports.reports import Completeness, Provenance, build_report
from sandbox.options import ACCOUNT_SID
from sandbox.summaries import room_sid, room_summary

HOSTILE = "<script>alert(1)</script>\u202e<img src=x onerror=alert(2)> & \"quoted\" '{{7*7}}' <!channel>"
"""A room name that would like to be code, markup, a template, or to turn the text around."""

SEED = 5


def sid_of(number: int) -> str:
    """The SID of a room of this ledger."""
    return room_sid(SEED, number)


class LedgerWriter:
    """Brings rooms about. `numbers` make their SIDs, see `sid_of`."""

    def __init__(self, settings: Settings, connection: redis.Redis) -> None:
        self.ledger: Ledger = make_ledger(settings, connection)
        self._connection = connection
        self._prefix = settings.redis_prefix
        self._console_url = settings.console_url

    def open(self, number: int, name: str, *, ago: timedelta, **options: Any) -> str:
        """Opens a room that ended so long ago, as if it had been opened then."""
        sid, ended = sid_of(number), datetime.now(UTC) - ago
        callback = StatusCallback(
            account_sid=ACCOUNT_SID,
            room_sid=sid,
            room_name=name,
            room_status="completed",
            room_type="group",
            event="room-ended",
            timestamp=ended,
            timestamp_text=ended.isoformat(),
            sequence_number=7,
            room_duration=room_summary(sid, account_sid=ACCOUNT_SID, ended=ended)["duration_sec"],
        )
        self.ledger.open(
            room_sid=sid,
            account_sid=ACCOUNT_SID,
            room_name=name,
            ended=ended,
            callback=callback.to_json(),
            request_id=f"request-{number}",
            **options,
        )
        self._make_older(sid, ago)
        return sid

    def begin(self, sid: str, step: str) -> Claim:
        """Begins the attempt that is queued."""
        room = self.ledger.room(sid)
        assert room is not None
        attempt = next(found.attempt for found in room.steps if found.name == step)
        claim = self.ledger.begin(sid, step, attempt)
        assert claim is not None, f"{sid} {step} {attempt} was refused"
        return claim

    def attempt(self, sid: str, step: str, outcome: Outcome, *, took: float = 0.21) -> None:
        """Makes the attempt that is queued, with this outcome."""
        assert self.ledger.finish(self.begin(sid, step), outcome, took=took) is not None

    def summarise(self, sid: str, *, state: str = "complete", reason: str | None = None, **changes: Any) -> None:
        """Finishes the summary step and opens both deliveries; `changes` are fields of the summary."""
        room = self.ledger.room(sid)
        assert room is not None
        assert room.ended is not None
        summary = room_summary(sid, account_sid=ACCOUNT_SID, ended=room.ended) | {"room_name": room.name} | changes
        asked = room.opened
        report = build_report(
            room_sid=sid,
            account_sid=ACCOUNT_SID,
            room_name=room.name,
            callback=StatusCallback.from_json(room.callback),
            summary=summary,
            completeness=Completeness(state="complete" if state == "complete" else "partial", reason=reason),
            provenance=Provenance(source="callback", first_asked_at=asked, last_asked_at=asked, times_asked=1),
            reported_at=asked,
            console_url=self._console_url,
        )
        fields: Mapping[str, str | int | float] = {
            "summary": json.dumps(summary),
            "verdicts": json.dumps([verdict.code for verdict in report.data.verdicts]),
            "asked": room.asked + 1,
            "first_asked": repr(asked.timestamp()),
            "last_asked": repr(asked.timestamp()),
        }
        day = Day(
            rooms=1,
            participant_seconds=summary["total_participant_duration_sec"],
            recorded_seconds=summary["total_recording_duration_sec"],
        )
        self.attempt(sid, "summary", Outcome(state, reason, fields=fields, deliveries=("slack", "webhook"), day=day))

    def deliver(self, sid: str, *names: str) -> None:
        """Delivers the report."""
        for name in names or ("slack", "webhook"):
            self.attempt(sid, name, Outcome("delivered"))

    def delivered(self, number: int, name: str, *, ago: timedelta, **changes: Any) -> str:
        """A room from its end to its last delivery."""
        sid = self.open(number, name, ago=ago)
        self.summarise(sid, **changes)
        self.deliver(sid)
        return sid

    def _make_older(self, sid: str, ago: timedelta) -> None:
        """Sets back when the room was opened; the ledger itself knows no other time than now."""
        seconds = -ago.total_seconds()
        for key in self._connection.scan_iter(f"{self._prefix}rooms:*"):
            if self._connection.zscore(key, sid) is not None:
                self._connection.zincrby(key, seconds, sid)
        self._connection.hincrbyfloat(f"{self._prefix}room:{sid}", "opened", seconds)
