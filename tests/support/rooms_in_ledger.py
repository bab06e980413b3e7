"""A ledger as a day's work leaves it: rooms in every state, brought there by its own methods, for the page to show."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, cast

import redis

from config.settings import Settings
from room_reports.callbacks import StatusCallback
from room_reports.lanes import make_ledger
from room_reports.ledger import Claim, Day, Ledger, Outcome
from room_reports.report_building import build_report
from room_reports.reports import Provenance
from sandbox.options import ACCOUNT_SID
from sandbox.summaries import room_sid, room_summary
from tests.support.reports import callback_with

HOSTILE = "<script>alert(1)</script>\u202e<img src=x onerror=alert(2)> & \"quoted\" '{{7*7}}' <!channel>"
"""A room name that would like to be code, markup, a template, or to turn the text around."""

SEED = 5
TIMES = ("opened", "ended", "finished", "since", "first_asked", "last_asked")


def sid_of(number: int) -> str:
    """The SID of a room of this ledger."""
    return room_sid(SEED, number)


class LedgerWriter:
    """Brings rooms about. `numbers` make their SIDs, see `sid_of`.

    The ledger knows no other time than Redis's, so a room first happens now, and is then set back as a whole.
    """

    def __init__(self, settings: Settings, connection: redis.Redis) -> None:
        self.ledger: Ledger = make_ledger(settings, connection)
        self._connection = connection
        self._prefix = settings.redis_prefix
        self._console_url = settings.console_url
        self._ended: dict[str, datetime] = {}

    def open(self, number: int, name: str, *, ago: timedelta, after: float = 1, **options: Any) -> str:
        """Opens a room that ended so long ago; `after` so many seconds its callback, or its summary, comes."""
        sid, ended = sid_of(number), datetime.now(UTC) - ago
        self._ended[sid] = ended
        callback = callback_with(
            account_sid=ACCOUNT_SID,
            room_sid=sid,
            room_name=name,
            timestamp=ended,
            timestamp_text=ended.isoformat(),
            room_duration=room_summary(sid, account_sid=ACCOUNT_SID, ended=ended)["duration_sec"],
        )
        self.ledger.open(
            room_sid=sid,
            account_sid=ACCOUNT_SID,
            room_name=name,
            ended=datetime.now(UTC) - timedelta(seconds=after),
            callback=callback.to_json(),
            request_id=f"request-{number}",
            **options,
        )
        return sid

    def attempt(self, sid: str, step: str, outcome: Outcome, *, took: float = 0.21) -> None:
        """Makes the attempt that is queued, with this outcome."""
        assert self.ledger.finish(self._begin(sid, step), outcome, took=took) is not None

    def summarise(
        self,
        sid: str,
        *,
        state: str = "complete",
        reason: str | None = None,
        opens: Sequence[str] = ("slack", "webhook"),
        **changes: Any,
    ) -> None:
        """Finishes the summary step and opens these deliveries; `changes` are fields of the summary."""
        room = self.ledger.room(sid)
        assert room is not None
        summary = (
            room_summary(sid, account_sid=ACCOUNT_SID, ended=self._ended[sid]) | {"room_name": room.name} | changes
        )
        report = build_report(
            room_sid=sid,
            account_sid=ACCOUNT_SID,
            room_name=room.name,
            callback=StatusCallback.from_json(room.callback),
            summary=summary,
            is_complete=state == "complete",
            reason=reason,
            provenance=Provenance(source="callback", first_asked_at=None, last_asked_at=None, times_asked=1),
            reported_at=datetime.now(UTC),
            console_url=self._console_url,
        )
        asked = repr(datetime.now(UTC).timestamp())
        fields: Mapping[str, str | int | float] = {
            "summary": json.dumps(summary),
            "verdicts": json.dumps([verdict.code for verdict in report.data.verdicts]),
            "asked": room.asked + 1,
            "first_asked": asked,
            "last_asked": asked,
        }
        day = Day(
            rooms=1,
            participant_seconds=summary["total_participant_duration_sec"],
            recorded_seconds=summary["total_recording_duration_sec"],
        )
        self.attempt(sid, "summary", Outcome(state, reason, fields=fields, opens=tuple(opens), day=day))

    def deliver(self, sid: str, *names: str) -> None:
        """Delivers the report."""
        for name in names or ("slack", "webhook"):
            self.attempt(sid, name, Outcome("delivered"), took=0.14)

    def delivered(self, number: int, name: str, *, ago: timedelta, after: float = 200, **changes: Any) -> str:
        """A room from its end to its last delivery, `after` so many seconds."""
        sid = self.open(number, name, ago=ago, after=after)
        self.summarise(sid, **changes)
        self.deliver(sid)
        self.set_back(sid, after=after)
        return sid

    def set_back(self, sid: str, *, after: float = 1) -> None:
        """Makes all that happened to a room happen when it should have: its attempts `after` its end."""
        row = cast(dict[bytes, bytes], self._connection.hgetall(self._row(sid)))
        seconds = float(row[b"ended"]) - self._ended[sid].timestamp()
        for name, value in row.items():
            if name.decode().rpartition(".")[2] in TIMES and value:
                # The callback came at once, whenever its summary did.
                earlier = seconds + (after - 1 if name == b"opened" else 0)
                self._connection.hset(self._row(sid), name.decode(), repr(float(value) - earlier))
        opened = float(cast(bytes, self._connection.hget(self._row(sid), "opened")))
        for key in self._connection.scan_iter(f"{self._prefix}rooms:*"):
            self._connection.zadd(key, {sid: opened}, xx=True)
        records = cast(list[bytes], self._connection.lrange(self._attempts(sid), 0, -1))
        for place, record in enumerate(map(json.loads, records)):
            self._connection.lset(self._attempts(sid), place, json.dumps(record | {"at": record["at"] - seconds}))

    def add_days(self, count: int, *, before: date) -> None:
        """What the days before came to."""
        for back in range(1, count):
            day = before - timedelta(days=back)
            share = 0.15 if day.weekday() >= 5 else 1
            for what, value in (
                ("rooms", 40),
                ("participant_seconds", 1_500_000 + 9_000 * back),
                ("recorded_seconds", 9e4),
            ):
                self._connection.hincrby(f"{self._prefix}days", f"{day:%Y-%m-%d}|{what}", int(value * share))

    def _begin(self, sid: str, step: str) -> Claim:
        room = self.ledger.room(sid)
        assert room is not None
        attempt = next(found.attempt for found in room.steps if found.name == step)
        claim = self.ledger.begin(sid, step, attempt)
        assert claim is not None, f"{sid} {step} {attempt} was refused"
        return claim

    def _row(self, sid: str) -> str:
        return f"{self._prefix}room:{sid}"

    def _attempts(self, sid: str) -> str:
        return f"{self._prefix}attempts:{sid}"
