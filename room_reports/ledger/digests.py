"""What digests need of the ledger: the rooms that ended on a day, and to whom that day's digest was sent.

{p}digest:YYYY-MM-DD  hash  by destination, what became of the digest there, as JSON; gone after 60 days
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal, cast

import redis

from room_reports.ledger.rows import FINAL, SUMMARY, moment
from room_reports.ledger.scripts import Scripts
from room_reports.ledger.unavailable import guarded

CHUNK = 500
"""Rooms read at a time: others get their turn in between."""

BEFORE, AFTER = timedelta(hours=1), timedelta(days=1)
"""How long before a day and after it a room may be heard of that ended on it. One that is found later still, by
reconciling after an outage, is in the counts of its day alone."""

KEPT = 60 * 24 * 3600

_FIELDS = ("name", "opened", "ended", "verdicts", "summary.state", "summary.finished")


@dataclass(frozen=True)
class EndedRoom:
    """A room as a digest sees it. Times are aware UTC; `seconds_to_summary`: from its end, None without a summary."""

    sid: str
    name: str
    ended: datetime | None
    verdicts: tuple[str, ...]
    is_unfinished: bool
    seconds_to_summary: float | None


@dataclass(frozen=True)
class Sending:
    """What became of a day's digest at one destination. `state`: `refused` is for good, `failed` is tried again.

    `tries`: attempts since it was last sent; `times_sent`: 1, and one more each time that somebody asks for it again;
    `at`: the last attempt, and `next`: when the next one may be, seconds since 1970.
    """

    state: Literal["sent", "failed", "refused"]
    tries: int
    times_sent: int
    at: float
    reason: str = ""
    detail: str = ""
    next: float = 0


class Digests:
    """Safe to share between threads; every method raises `LedgerUnavailable`."""

    def __init__(self, connection: redis.Redis, scripts: Scripts, *, prefix: str) -> None:
        self._redis = connection
        self._scripts = scripts
        self._prefix = prefix

    def rooms_of(self, day: date, *, may_go_on: Callable[[], bool] = lambda: True) -> Iterator[EndedRoom]:
        """The rooms that ended on a day (UTC), or were opened on it where their end is not known.

        Two round trips for each `CHUNK` of those that were opened around it, as long as `may_go_on` says so.
        """
        begin = datetime.combine(day, time(), UTC)
        first, last = (begin - BEFORE).timestamp(), (begin + timedelta(days=1) + AFTER).timestamp()
        place = 0
        while may_go_on() and (sids := self._opened(first, last, place)):
            yield from (room for room in self._read(sids, day) if room is not None)
            place += len(sids)

    def sendings(self, day: date) -> dict[str, Sending]:
        """What became of the digest of a day, by destination."""
        with guarded():
            found = cast(dict[bytes, bytes], self._redis.hgetall(self._key(day)))
        return {name.decode(): Sending(**json.loads(value)) for name, value in found.items()}

    def note(self, day: date, name: str, sending: Sending) -> None:
        """Remembers what became of it, and counts it."""
        with guarded():
            self._scripts.run("note_digest", day.isoformat(), name, json.dumps(asdict(sending)), KEPT)

    def _opened(self, first: float, last: float, place: int) -> list[bytes]:
        # Rooms that are pruned meanwhile are older than any of these, and new ones are opened now.
        with guarded():
            return cast(
                list[bytes],
                self._redis.zrange(
                    f"{self._prefix}rooms:all", repr(first), repr(last), byscore=True, offset=place, num=CHUNK
                ),
            )

    def _read(self, sids: list[bytes], day: date) -> Iterator[EndedRoom | None]:
        with guarded(), self._redis.pipeline(transaction=False) as pipeline:
            for sid in sids:
                pipeline.hmget(f"{self._prefix}room:{sid.decode()}", _FIELDS)
            rows = pipeline.execute()
        for sid, row in zip(sids, rows, strict=True):
            texts = {name: value.decode() for name, value in zip(_FIELDS, row, strict=True) if value is not None}
            yield _ended_room(sid.decode(), texts, day)

    def _key(self, day: date) -> str:
        return f"{self._prefix}digest:{day.isoformat()}"


def _ended_room(sid: str, row: dict[str, str], day: date) -> EndedRoom | None:
    """The room, if it is one of this day; a row that has expired is none."""
    ended, opened, finished = moment(row.get("ended")), moment(row.get("opened")), moment(row.get("summary.finished"))
    when = ended or opened
    if when is None or when.date() != day:
        return None
    state = row.get(f"{SUMMARY}.state", "")
    waited = ended is not None and finished is not None and state in ("complete", "partial")
    return EndedRoom(
        sid=sid,
        name=row.get("name", ""),
        ended=ended,
        verdicts=tuple(json.loads(row.get("verdicts", "[]"))),
        is_unfinished=state not in FINAL,
        seconds_to_summary=max((finished - ended).total_seconds(), 0.0) if waited and finished and ended else None,
    )
