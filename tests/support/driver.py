"""The jobs of one service, run one after another in the thread of the test: real HTTP, a real ledger, no worker."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import redis

from config.loading import load
from room_reports import jobs
from room_reports.dispatch import queue_entry
from room_reports.events import ParticipantEvent, RoomEvent, read
from room_reports.ledger import Room
from room_reports.participants import EVENT_FIELD, MOST_KEPT
from room_reports.service import make_service, make_transport
from sandbox import events
from sandbox.options import ACCOUNT_SID
from sandbox.summaries import room_sid, room_summary

SID = room_sid(1, 1)
WAITS = {
    "SUMMARY_WAITS": "0.05,0.1",
    "DELIVERY_WAITS": "0.05,0.1",
    "DISPATCH_EVERY": "0.05",
    "SLACK_RATE": "0",
    "HTTP_CONNECT_TIMEOUT": "0.5",
    "HTTP_READ_TIMEOUT": "0.8",
    "HTTP_TOTAL_TIMEOUT": "1.5",
    "SHUTDOWN_GRACE": "1.5",
    "STEP_LEASE": "5",
}
"""Short waits, and limits that a sandbox which answers keeps well within."""


class Driver:
    """Runs the jobs of one service in this thread, in the order in which they are queued."""

    def __init__(self, environment: dict[str, str]) -> None:
        settings = load(environment)
        self.connection = redis.Redis.from_url(settings.redis_url.get_secret_value())
        self.transport = make_transport(settings)
        self.service = make_service(settings, self.connection, self.transport)
        self.ledger = self.service.ledger
        jobs.use(self.service)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.transport.close()
        self.connection.close()

    def open(
        self,
        sid: str = SID,
        *,
        ended_ago: timedelta = timedelta(0),
        name: str = "daily",
        account_sid: str = ACCOUNT_SID,
    ) -> None:
        """Opens a room as a callback does."""
        ended = datetime.now(UTC) - ended_ago
        self.ledger.open(
            room_sid=sid, account_sid=account_sid, room_name=name, ended=ended, callback="", request_id="request-1"
        )

    def event(self, sid: str = SID, **changes: Any) -> str:
        """Tells the ledger of an event as the web does; `changes` are those of `sandbox.events.room_event`."""
        summary = room_summary(sid, account_sid=ACCOUNT_SID, ended=datetime.now(UTC))
        found = read(events.room_event(summary, **changes), self.service.identities)
        assert isinstance(found, RoomEvent)
        return self.ledger.note_room_event(
            room_sid=sid,
            account_sid=found.account_sid,
            room_name=found.room_name,
            ended=found.ended,
            summary="" if found.summary is None else json.dumps(found.summary),
            issues=json.dumps(found.issues),
            request_id="request-2",
        )

    def participant(self, record: Mapping[str, Any]) -> str:
        """The same of an event of a participant."""
        found = read(events.participant_event(record), self.service.identities)
        assert isinstance(found, ParticipantEvent)
        name, row = EVENT_FIELD + found.participant.participant_sid, found.participant.to_row()
        return self.ledger.note_participant_event(room_sid=found.room_sid, name=name, record=row, most=MOST_KEPT)

    def run_queued(self) -> int:
        """Runs what is queued now. Returns how many jobs that were."""
        ran = 0
        while popped := pop_first(self.connection):
            sid, step, attempt = popped.decode().rsplit("-", 2)
            jobs.run(sid, step, int(attempt))
            ran += 1
        return ran

    def drive(self, until: Callable[[], object], *, seconds: float = 10) -> None:
        """Dispatches and runs until `until` answers truly."""
        end = time.monotonic() + seconds
        while not until():
            assert time.monotonic() < end, f"not within {seconds} s: {self.room()}"
            self.ledger.dispatch()
            if not self.run_queued():
                time.sleep(0.01)

    def room(self, sid: str = SID) -> Room:
        """A room as it stands."""
        room = self.ledger.room(sid)
        assert room is not None
        return room

    def finish(self, sid: str = SID) -> Room:
        """Drives until the room is finished."""
        self.drive(lambda: self.room(sid).state != "open")
        return self.room(sid)

    def outcomes(self, step: str, sid: str = SID) -> list[tuple[str, str | None]]:
        """Outcome and reason of every attempt of a step."""
        return [(one["outcome"], one.get("reason")) for one in self.room(sid).attempts if one["step"] == step]


def pop_first(connection: redis.Redis) -> bytes | None:
    """The id of the job that a worker would take next."""
    for key in queue_entry().lists:
        if popped := connection.lpop(key):
            assert isinstance(popped, bytes)
            return popped
    return None
