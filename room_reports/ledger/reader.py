"""What the ledger says: rooms, counts, holds, lanes and workers, read by whoever shows or checks them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import cast

import redis

from room_reports.ledger.attempts import QueueEntry
from room_reports.ledger.replies import text, texts
from room_reports.ledger.rows import (
    ROOM_STATES,
    SUMMARY,
    TWILIO,
    Day,
    Durations,
    Hold,
    Lane,
    Room,
    lane_of,
    moment,
    room_from,
)
from room_reports.ledger.server import Server, server_from
from room_reports.ledger.unavailable import guarded


class LedgerReader:
    """All that only reads. Safe to share between threads; every method is one round trip unless it says otherwise.

    Every method raises `LedgerUnavailable` when Redis cannot be reached, cannot answer, or refuses us.
    """

    def __init__(
        self,
        connection: redis.Redis,
        *,
        prefix: str,
        lanes: Sequence[Lane],
        queue: QueueEntry,
        replicas: int,
        account_lanes: Mapping[str, str],
    ) -> None:
        self._redis = connection
        self._prefix = prefix
        self._replicas = replicas
        self._account_lanes = account_lanes
        self._lists = {kind.origin: kind.list for kind in queue.kinds.values()}
        self._waits = {lane.name: lane.waits for lane in lanes}
        self.rates = {lane.name: lane.rate for lane in lanes}

    def unknown(self, room_sids: Iterable[str]) -> list[str]:
        """Those of the rooms that the ledger has never seen."""
        sids = list(room_sids)
        with guarded(), self._redis.pipeline(transaction=False) as pipeline:
            for sid in sids:
                pipeline.exists(self._key("room", sid))
            return [sid for sid, exists in zip(sids, pipeline.execute(), strict=True) if not exists]

    def room(self, room_sid: str) -> Room | None:
        """One room with its steps and every attempt, or None. Two round trips."""
        rooms = self._rooms([room_sid], attempts=True)
        return rooms[0] if rooms else None

    def rooms(self, *, state: str = "all", offset: int = 0, limit: int = 50) -> list[Room]:
        """Rooms of one state (see `ROOM_STATES`) or `all`, newest first, without their attempts. Three round trips."""
        with guarded():
            sids = cast(list[bytes], self._redis.zrevrange(self._key("rooms", state), offset, offset + limit - 1))
        return self._rooms([text(sid) for sid in sids], attempts=False)

    def rooms_of(self, room_sids: Iterable[str]) -> list[Room]:
        """These rooms, in this order, without their attempts; one that is not there is left out. Two round trips."""
        return self._rooms(list(room_sids), attempts=False)

    def each_room(self, *, state: str = "all", page: int = 500) -> Iterator[Room]:
        """Every room of one state or `all` with its attempts, oldest first; three round trips a `page`.

        What is added, moved or taken away meanwhile makes no other room come twice or not at all.
        """
        last, seen = "-inf", set[bytes]()
        while True:
            with guarded():
                found = cast(
                    list[tuple[bytes, float]],
                    self._redis.zrange(
                        self._key("rooms", state),
                        last,
                        "+inf",
                        byscore=True,
                        offset=0,
                        num=page + len(seen),
                        withscores=True,
                    ),
                )
            sids = [sid for sid, _ in found if sid not in seen]
            if not sids:
                return
            yield from self._rooms([text(sid) for sid in sids], attempts=True)
            newest = found[-1][1]
            # The next page begins at this time, not behind it: another room may have been opened at the very same.
            seen = {sid for sid, opened in found if opened == newest}
            last = repr(newest)

    def counts(self) -> dict[str, int]:
        """How many rooms the ledger knows, by state; `all` counts every one."""
        states = ("all", *ROOM_STATES)
        with guarded(), self._redis.pipeline(transaction=False) as pipeline:
            for state in states:
                pipeline.zcard(self._key("rooms", state))
            return dict(zip(states, pipeline.execute(), strict=True))

    def tally(self) -> dict[tuple[str, ...], float]:
        """What has happened since the beginning, counted, each name in its parts:

        `opens, SOURCE, RESULT`; `attempts, STEP, OUTCOME, REASON` (reason empty for none; outcome `lost` when a worker
        died); `holds, LANE, EVENT`; `resends, STEP`; `digests, DESTINATION, STATE`; `seconds_from_end, STEP, BUCKET`
        (from the end of the room to the end of the step, the bucket's upper limit, not cumulative) with the sum of
        seconds as BUCKET `sum`; and what `add_to_tally` was given.
        """
        with guarded():
            counts = self._redis.hgetall(f"{self._prefix}counts")
        return {tuple(text(name).split("|")): float(value) for name, value in counts.items()}

    def workers(self) -> dict[str, tuple[int, int]]:
        """The workers that were there within the last half minute: name → threads, and how many of them were busy."""
        with guarded():
            names = [text(name) for name in self._redis.smembers(f"{self._prefix}workers")]
            said = self._redis.mget([self._key("worker", name) for name in names]) if names else []
            found = {name: text(value).split() for name, value in zip(names, said, strict=True) if value}
            if gone := set(names) - set(found):
                self._redis.srem(f"{self._prefix}workers", *gone)
        return {name: (int(threads), int(busy)) for name, (threads, busy) in found.items()}

    def oldest_open(self) -> float:
        """Seconds since the oldest unfinished room was opened, by Redis's clock; 0 when there is none."""
        with guarded(), self._redis.pipeline(transaction=False) as pipeline:
            pipeline.zrange(self._key("rooms", "open"), 0, 0, withscores=True)
            pipeline.time()
            first, (seconds, micros) = pipeline.execute()
        return max(seconds + micros / 1e6 - float(first[0][1]), 0.0) if first else 0.0

    def days(self) -> dict[date, Day]:
        """What the rooms that ended on each day (UTC) came to, oldest first; a day without any is left out."""
        with guarded():
            counts = texts(self._redis.hgetall(f"{self._prefix}days"))
        found: dict[str, dict[str, int]] = {}
        for name, value in sorted(counts.items()):
            day, _, what = name.partition("|")
            found.setdefault(day, {})[what] = int(value)
        return {
            date.fromisoformat(day): Day(
                rooms=counted.get("rooms", 0),
                participant_seconds=counted.get("participant_seconds", 0),
                recorded_seconds=counted.get("recorded_seconds", 0),
            )
            for day, counted in found.items()
        }

    def until_summary(self) -> Durations:
        """How long it took from the ends of rooms until their summaries were there, complete or partial."""
        tally = self.tally()
        observed = {name[2]: value for name, value in tally.items() if name[:2] == ("seconds_from_end", SUMMARY)}
        total = observed.pop("sum", 0.0)
        return Durations({float(limit): int(number) for limit, number in observed.items()}, total)

    def queued(self) -> int:
        """How many jobs wait in RQ's queues."""
        return sum(self.queue_lengths().values())

    def queue_lengths(self) -> dict[str, int]:
        """How many jobs wait in each of RQ's queues, by its name."""
        with guarded(), self._redis.pipeline(transaction=False) as pipeline:
            for key in self._lists.values():
                pipeline.llen(key)
            return dict(zip(self._lists, pipeline.execute(), strict=True))

    def due(self) -> dict[str, tuple[int, int, datetime | None]]:
        """For each lane: unfinished steps, how many of them are overdue, and when the first is due. Two round trips."""
        with guarded():
            lanes = self._known_lanes()
            seconds, micros = self._redis.time()
            with self._redis.pipeline(transaction=False) as pipeline:
                for lane in lanes:
                    pipeline.zcard(self._key("due", lane))
                    pipeline.zcount(self._key("due", lane), "-inf", seconds + micros / 1e6)
                    pipeline.zrange(self._key("due", lane), 0, 0, withscores=True)
                found = pipeline.execute()
        return {
            lane: (total, overdue, datetime.fromtimestamp(first[0][1], UTC) if first else None)
            for lane, total, overdue, first in zip(lanes, found[::3], found[1::3], found[2::3], strict=True)
        }

    def holds(self) -> list[Hold]:
        """The lanes that are held now. Two round trips."""
        with guarded():
            lanes = self._known_lanes()
            with self._redis.pipeline(transaction=False) as pipeline:
                for lane in lanes:
                    pipeline.hgetall(self._key("hold", lane))
                found = [texts(hold) for hold in pipeline.execute()]
        return [
            Hold(
                lane=lane,
                reason=hold.get("reason", ""),
                detail=hold.get("detail", ""),
                since=datetime.fromtimestamp(float(hold["since"]), UTC),
                until=None if hold["kind"] == "operator" else moment(hold["until"]),
            )
            for lane, hold in zip(lanes, found, strict=True)
            if hold
        ]

    def server(self) -> Server:
        """What Redis says of itself. A few round trips, for people and at start only."""
        with guarded():
            times = []
            for _ in range(5):
                begun = time.perf_counter()
                self._redis.ping()
                times.append(time.perf_counter() - begun)
            before = time.time()
            seconds, micros = self._redis.time()
            skew = seconds + micros / 1e6 - (before + time.time()) / 2
            info = self._redis.info()
            try:
                save = self._redis.config_get("save").get("save")
            except redis.ResponseError:
                save = None  # managed servers do not let their settings be read
            schema = int(self._redis.get(f"{self._prefix}schema") or 1)
        latency = sorted(times)[len(times) // 2]
        return server_from(info, save=save, latency=latency, skew=skew, replicas_wanted=self._replicas, schema=schema)

    def _rooms(self, sids: list[str], *, attempts: bool) -> list[Room]:
        """Rows of these rooms, in the order given; a row that has expired is left out."""
        with guarded():
            with self._redis.pipeline(transaction=False) as pipeline:
                for sid in sids:
                    pipeline.hgetall(self._key("room", sid))
                    pipeline.lrange(self._key("attempts", sid), 0, -1 if attempts else 0)
                found = pipeline.execute()
            rows = [texts(row) for row in found[::2]]
            records = [[record.decode() for record in listed] for listed in found[1::2]]
            names = [json.loads(row.get("steps", "[]")) for row in rows]
            with self._redis.pipeline(transaction=False) as pipeline:
                for sid, row, steps in zip(sids, rows, names, strict=True):
                    for step in steps:
                        pipeline.zscore(self._key("due", lane_of(step, row.get("lane", TWILIO))), sid)
                scores = iter(pipeline.execute())
        rooms = []
        for sid, row, listed, steps in zip(sids, rows, records, names, strict=True):
            dues = {step: next(scores) for step in steps}
            if row:
                rooms.append(room_from(sid, row, dues, listed if attempts else []))
        return rooms

    def _known_lanes(self) -> list[str]:
        """Every lane that was ever used, for a destination that is no longer configured may still have steps."""
        return sorted({text(lane) for lane in self._redis.smembers(f"{self._prefix}lanes")} | set(self._waits))

    def now(self) -> datetime:
        """Redis's time, aware UTC: clocks of workers do not matter."""
        with guarded():
            seconds, micros = self._redis.time()
        return datetime.fromtimestamp(seconds + micros / 1e6, UTC)

    def reconciled_at(self, *, lane: str | None = None) -> datetime | None:
        """When the last reconciliation of an account that succeeded began, aware UTC; None when there was none.

        Without a `lane`: since when that holds for every account.
        """
        lanes = [TWILIO, *self._account_lanes.values()] if lane is None else [lane]
        with guarded():
            found = self._redis.mget([self._reconciled_key(lane) for lane in lanes])
        times = [float(at) for at in found if at]
        return datetime.fromtimestamp(min(times), UTC) if len(times) == len(lanes) else None

    def test_event(self) -> str | None:
        """The id of the last test of a sink, None when there was none within a day."""
        with guarded():
            found = self._redis.get(f"{self._prefix}event-test")
        return text(found) if found else None

    # Running

    def _reconciled_key(self, lane: str) -> str:
        return f"{self._prefix}reconciled" if lane == TWILIO else self._key("reconciled", lane)

    def _key(self, kind: str, name: str) -> str:
        return f"{self._prefix}{kind}:{name}"
