"""The ledger: every room, its steps and when each is due, in Redis. The only module that knows our Redis keys.

Each change is one Lua script, so it happens whole or not at all, whatever dies; the scripts stand beside this module in
`lua/` and share `prelude.lua`. What is kept (`{p}` is the prefix):

    {p}room:SID        hash    the row: callback, summary, and `STEP.state`, `STEP.attempt`, … for each step
    {p}attempts:SID    list    one JSON record for every attempt, the last 100
    {p}due:LANE        zset    the due index: room SIDs by the time (seconds since 1970) their step is due
    {p}lanes           set     every lane that was ever used
    {p}hold:LANE       hash    why and until when nothing goes to this lane
    {p}failures:LANE   string  failures in a row
    {p}rate:…:LANE     string  the leaky buckets of a lane with a rate
    {p}rooms:STATE     zset    room SIDs by the time they were opened; `all` holds every one
    {p}workers         set     names of workers
    {p}worker:NAME     string  a worker's threads and how many are busy; gone half a minute after it last said so
    {p}counts          hash    what has happened, counted: names joined by `|`
    {p}days            hash    what the rooms of each day came to: `YYYY-MM-DD|rooms`, …
    {p}lengths:NAME    string  how long the last rooms of a name lasted, newest first; NAME: account and name, hashed
    {p}batch:ID        string  a batch of counts that was added already; gone after an hour
    {p}aside:SID       hash    what events told of participants of a room that is not known yet; gone after two days
    {p}event-test      string  the `test_id` of the last test of an Event Streams sink; gone after a day
    {p}chore:NAME      string  a periodic chore taken by some worker
    {p}digest:DAY      hash    what became of the digest of a day, by destination
    {p}session:ID      string  somebody who is signed in to the page
    {p}sign-ins…       string  leaky buckets of tries to sign in: one for all, one for each client
    {p}reconciled      string  when the last reconciliation began; `{p}reconciled:LANE` for a further account
    {p}schema          string  the version of the ledger, where it is not 1
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal, cast

import redis

from room_reports.ledger.attempts import Claim, Finished, NextJob, Outcome, QueueEntry, Taken
from room_reports.ledger.digests import Digests
from room_reports.ledger.pages import Pages
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
from room_reports.ledger.scripts import Scripts
from room_reports.ledger.server import Server, server_from
from room_reports.ledger.sign_ins import SignIns
from room_reports.ledger.unavailable import guarded

WORKER_GONE = 30
DAYS_KEPT = 400
TEST_KEPT = 24 * 3600
ASIDE_KEPT = 2 * 24 * 3600
"""Seconds that what is known of participants waits for their room: one lasts a day at most."""
LONGEST_ROOM = 366 * 24 * 3600
"""Seconds. What Twilio sends may be any number."""
MOST = 10**12
"""Seconds that a room adds to its day, lest the sums become more than Redis can count to."""

HOLDING = frozenset({"failing", "heals", "operator"})
"""What an attempt may say of its lane that can hold it."""


class Ledger:
    """All access to the ledger. Safe to share between threads; every method is one round trip unless it says otherwise.

    Every method raises `LedgerUnavailable` when Redis cannot be reached, cannot write, or refuses us.
    """

    def __init__(
        self,
        connection: redis.Redis,
        *,
        prefix: str,
        lease: float,
        retention: float,
        lanes: Sequence[Lane],
        queue: QueueEntry,
        replicas: int = 0,
        account_lanes: Mapping[str, str] | None = None,
    ) -> None:
        self._account_lanes = account_lanes or {}
        self._redis = connection
        self._prefix = prefix
        self._replicas = replicas
        self.pages = Pages(connection, prefix=prefix)
        self.sign_ins = SignIns(connection, prefix=prefix)
        self._lists = {kind.origin: kind.list for kind in queue.kinds.values()}
        self._waits = {lane.name: lane.waits for lane in lanes}
        self.rates = {lane.name: lane.rate for lane in lanes}
        self._scripts = Scripts(
            connection.connection_pool, prefix=prefix, lease=lease, retention=retention, lanes=lanes, queue=queue
        )
        self.digests = Digests(connection, self._scripts, prefix=prefix)

    # Receiving

    def open(
        self,
        *,
        room_sid: str,
        account_sid: str,
        room_name: str,
        ended: datetime | None,
        callback: str,
        request_id: str,
        source: str = "callback",
        expired: bool = False,
        traceparent: str = "",
    ) -> Literal["opened", "known", "expired"]:
        """Opens a room and queues its summary step, atomically. A known room is left exactly as it is.

        Where the ledger was made for `replicas`, returns when so many of them have the room; `LedgerUnavailable` when
        they do not have it in time, and then it is here and may be lost.

        `ended` is aware UTC; `callback` is kept as it is; `expired` opens the room in its final state, because Twilio
        has deleted what there was to fetch; `traceparent`: the trace that its attempts belong to, empty for none.
        """
        room = {
            "sid": room_sid,
            "account": account_sid,
            "lane": self._account_lanes.get(account_sid, ""),
            "name": room_name,
            "ended": repr(ended.timestamp()) if ended else "",
            "callback": callback,
            "request_id": request_id,
            "source": source,
            "expired": expired,
            "traceparent": traceparent,
        }
        answer = self._run("open", json.dumps(room), replicas=self._replicas).decode()
        return cast(Literal["opened", "known", "expired"], answer)

    def note_room_event(
        self,
        *,
        room_sid: str,
        account_sid: str,
        room_name: str,
        ended: datetime | None,
        summary: str,
        issues: str,
        request_id: str,
        expired: bool = False,
        traceparent: str = "",
    ) -> Literal["opened", "expired", "advanced", "known", "late"]:
        """Takes what an event says of a room, atomically; the same event again changes nothing.

        `opened`, `expired`: the room was not known, as `open`; `advanced`: its summary step, not finished until now,
        goes on at once with this summary, even where Twilio's lane is held, and an attempt that runs is fenced off;
        `known`: nothing is new but perhaps the issues; `late`: the summary step was finished without an event.

        `summary`, `issues`: JSON, empty for none; a room without a summary waits for it like any other. The rest is as
        for `open`.
        """
        event = {
            "sid": room_sid,
            "account": account_sid,
            "lane": self._account_lanes.get(account_sid, ""),
            "name": room_name,
            "ended": repr(ended.timestamp()) if ended else "",
            "summary": summary,
            "issues": issues,
            "request_id": request_id,
            "expired": expired,
            "traceparent": traceparent,
        }
        answer = self._run("note_event", json.dumps(event), replicas=self._replicas).decode()
        return cast(Literal["opened", "expired", "advanced", "known", "late"], answer)

    def note_participant_event(
        self, *, room_sid: str, name: str, record: str, most: int
    ) -> Literal["joined", "early", "known", "late"]:
        """Takes what an event says of one participant; the same one again changes nothing.

        `joined`: it is in the field `name` of the room's row, empty when there were `most` of them before it; `early`:
        the room is not known, and it waits for it for two days; `late`: the report is out.
        """
        event = {"sid": room_sid, "field": name, "record": record, "most": most, "kept": ASIDE_KEPT}
        answer = self._run("note_participant", json.dumps(event), replicas=self._replicas).decode()
        return cast(Literal["joined", "early", "known", "late"], answer)

    def note_test_event(self, test_id: str) -> None:
        """Remembers the last test of a sink, whose id Twilio wants back."""
        with guarded():
            self._redis.set(f"{self._prefix}event-test", test_id, ex=TEST_KEPT)

    def test_event(self) -> str | None:
        """The id of the last test of a sink, None when there was none within a day."""
        with guarded():
            found = self._redis.get(f"{self._prefix}event-test")
        return text(found) if found else None

    # Running

    def dispatch(self) -> tuple[int, float | None]:
        """Queues a job for every step that is due. Returns how many, and the seconds until the next one is due."""
        queued, wake = self._run("dispatch", json.dumps(list(self._waits)))
        return int(queued), float(wake) if wake else None

    def take(
        self, worker: str, count: int, *, done: Sequence[Taken] = (), popped: Sequence[tuple[str, int]] = ()
    ) -> list[Taken]:
        """Clears away jobs that are `done`, takes up to `count` others and begins their attempts.

        A job whose attempt may not begin (see `begin`) is cleared away and not among them. `popped`: jobs, by id and
        number of their queue, that were taken off a queue before; they count.
        """
        asked = time.monotonic()
        answer = self._run("take", json.dumps(order_of(worker, count, done=done, popped=popped)))
        return [taken_from(entry, asked) for entry in answer]

    def begin(self, room_sid: str, step: str, attempt: int) -> Claim | None:
        """Starts an attempt. None when it is not the step's current one, is already running, or its lane must wait."""
        asked = time.monotonic()
        begun = self._run("begin", room_sid, step, attempt, secrets.token_hex(8))
        return Claim(room_sid, step, attempt, at(begun[0]), row_from(begun[1]), asked) if begun else None

    def finish(
        self,
        claim: Claim,
        outcome: Outcome,
        *,
        took: float,
        go_on: bool = False,
        next_job: NextJob | None = None,
    ) -> Finished | None:
        """Writes an attempt's outcome and all that follows from it. None when the attempt has been fenced off.

        `took` is in seconds. With `go_on`, one of `outcome.opens` is begun for the caller to carry on with. Where none
        is, `next_job` is taken as by `take`.
        """
        change = change_of(claim, outcome, took=took) | {"go_on": go_on}
        if outcome.lane in HOLDING:
            change["waits"] = self._waits_of(claim)
        if next_job is not None:
            change["take"] = order_of(next_job.worker, 1, done=[next_job.done])
        asked = time.monotonic()
        answer = self._run("finish", json.dumps(change))
        if answer[0] == b"stale":
            return None
        _, hold, begun, taken = answer
        following = following_from(claim, outcome, begun, asked) if begun else None
        return Finished(text(hold), following, taken_from(taken[0], asked) if taken else None)

    def lengths(self, claim: Claim) -> tuple[int, ...]:
        """How many seconds the last rooms of this one's name lasted, newest first; none for a room without a name."""
        name = digest_of_name(claim)
        with guarded():
            found = self._redis.get(self._key("lengths", name)) if name else None
        return tuple(int(seconds) for seconds in text(found).split(",")) if found else ()

    def release(self, room_sid: str, step: str, attempt: int) -> bool:
        """Hands back an attempt that will not be finished here: due at once. False when it is not current any more."""
        return bool(self._run("release", room_sid, step, attempt))

    def note_worker(self, name: str, *, threads: int, busy: int) -> None:
        """A worker says that it is there and how many of its threads are busy."""
        with guarded(), self._redis.pipeline() as pipeline:
            pipeline.sadd(f"{self._prefix}workers", name)
            pipeline.set(self._key("worker", name), f"{threads} {busy}", ex=WORKER_GONE)
            pipeline.execute()

    # Operating

    def resend(self, room_sid: str, steps: Sequence[str], *, who: str) -> list[str]:
        """Starts a new series of finished steps and says who asked. Returns the steps that were started."""
        record = {"step": ",".join(steps), "at": datetime.now(UTC).timestamp(), "outcome": "resend", "detail": who}
        wish = {"sid": room_sid, "steps": list(steps), "record": json.dumps(record)}
        return [step.decode() for step in self._run("resend", json.dumps(wish))]

    def resume(self, lane: str) -> bool:
        """Lifts a hold: the lane drains from now on. False when there was none."""
        return bool(self._run("resume", lane))

    def take_chore(self, name: str, *, seconds: float) -> bool:
        """Takes a periodic chore for one process: True when nobody has taken it in the last `seconds`."""
        with guarded():
            return bool(self._redis.set(self._key("chore", name), "taken", nx=True, px=max(1, int(seconds * 1000))))

    def put_back_chore(self, name: str, *, seconds: float) -> None:
        """Makes a chore free again after `seconds`, which may be 0."""
        with guarded():
            self._redis.pexpire(self._key("chore", name), int(seconds * 1000))

    def now(self) -> datetime:
        """Redis's time, aware UTC: clocks of workers do not matter."""
        with guarded():
            seconds, micros = self._redis.time()
        return datetime.fromtimestamp(seconds + micros / 1e6, UTC)

    def note_reconciled(self, at: datetime, *, lane: str = TWILIO) -> None:
        """Remembers until when every room of an account is known to have been seen."""
        with guarded():
            self._redis.set(self._reconciled_key(lane), repr(at.timestamp()))

    def reconciled_at(self, *, lane: str | None = None) -> datetime | None:
        """When the last reconciliation of an account that succeeded began, aware UTC; None when there was none.

        Without a `lane`: since when that holds for every account.
        """
        lanes = [TWILIO, *self._account_lanes.values()] if lane is None else [lane]
        with guarded():
            found = self._redis.mget([self._reconciled_key(lane) for lane in lanes])
        times = [float(at) for at in found if at]
        return datetime.fromtimestamp(min(times), UTC) if len(times) == len(lanes) else None

    def _reconciled_key(self, lane: str) -> str:
        return f"{self._prefix}reconciled" if lane == TWILIO else self._key("reconciled", lane)

    def prune(self, *, limit: int = 1000) -> int:
        """Takes rooms whose rows have expired out of the indexes, and days beyond `DAYS_KEPT` out of `days`.

        Returns how many of the `limit` oldest rooms went.
        """
        oldest = datetime.now(UTC).date() - timedelta(days=DAYS_KEPT)
        return int(self._run("prune", limit, oldest.isoformat()))

    # Reading

    def ping_writable(self) -> None:
        """Raises `LedgerUnavailable` unless a row could be written now."""
        with guarded():
            self._redis.set(f"{self._prefix}ping", "1", ex=60)

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

    def add_to_tally(self, counts: Mapping[tuple[str, ...], int], *, batch: str) -> None:
        """Adds to what `tally` gives; for what is counted elsewhere and written in batches.

        `batch` names this one: given twice, as after an answer that never came, it is added once.
        """
        flat = [part for name, value in counts.items() for part in ("|".join(name), str(value))]
        self._run("add", batch, *flat)

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

    def _key(self, kind: str, name: str) -> str:
        return f"{self._prefix}{kind}:{name}"

    def _waits_of(self, claim: Claim) -> tuple[float, ...]:
        """Pauses between probes of an attempt's lane, also of a destination that is configured no more."""
        return self._waits.get(claim.lane, (60.0,))

    def _run(self, script: str, *args: str | int, replicas: int = 0) -> Any:
        with guarded():
            return self._scripts.run(script, *args, replicas=replicas)


def order_of(
    worker: str, count: int, *, done: Sequence[Taken] = (), popped: Sequence[tuple[str, int]] = ()
) -> list[Any]:
    """What `take_jobs` is to do, with a token that no other call has."""
    return [worker, secrets.token_hex(8), count, [(job.id, job.queue) for job in done], list(popped)]


def taken_from(entry: list[Any], asked: float) -> Taken:
    """A job as `take.lua` answers it."""
    job_id, queue, data, *attempts = entry
    claim = None
    if attempts:
        sid, step, attempt, now, row = attempts[0]
        claim = Claim(text(sid), text(step), int(attempt), at(now), row_from(row), asked)
    return Taken(text(job_id), queue, data, claim)


def row_from(flat: list[bytes]) -> dict[str, str]:
    """A row as the scripts answer it: name and value in turn."""
    return {text(name): text(value) for name, value in zip(flat[::2], flat[1::2], strict=True)}


def change_of(claim: Claim, outcome: Outcome, *, took: float) -> dict[str, Any]:
    """What `finish.lua` is to write, with a token that no other call has."""
    record = {
        "step": claim.step,
        "attempt": claim.attempt,
        "series": claim.series,
        "at": claim.now.timestamp(),
        "took": round(took, 3),
        "outcome": outcome.state,
        "reason": outcome.reason,
        "detail": outcome.detail,
    }
    if outcome.state == "waiting":
        record["pause"] = round(outcome.pause, 3)
    change = {
        "sid": claim.room_sid,
        "step": claim.step,
        "attempt": claim.attempt,
        "series": claim.series,
        "token": secrets.token_hex(8),
        "state": outcome.state,
        "reason": outcome.reason,
        "detail": outcome.detail,
        "pause": outcome.pause,
        "counts": outcome.counts,
        "lane": outcome.lane,
        "hold_for": outcome.hold_for,
        "fields": [part for pair in outcome.fields.items() for part in pair],
        "day": day_of(claim, outcome.day) if outcome.day else None,
        "lasted": lasted_of(claim, outcome.lasted),
        "opens": outcome.opens,
        "record": json.dumps(record),
    }
    return {name: value for name, value in change.items() if value is not None}


def following_from(claim: Claim, outcome: Outcome, begun: list[Any], asked: float) -> Claim:
    """The attempt that goes on where another ended. Its row is what that one knows: nobody has to read it again."""
    name, attempt, now, series = begun
    step = text(name)
    row = claim.row_after(outcome) | {
        f"{step}.series": str(int(series)),
        f"{step}.since": text(now),
        f"{step}.tries": "0",
    }
    return Claim(claim.room_sid, step, int(attempt), at(now), row, asked)


def day_of(claim: Claim, day: Day) -> dict[str, Any]:
    """The day (UTC) on which the room ended, or was opened where its end is not known, and what it adds to it."""
    ended = moment(claim.row.get("ended")) or moment(claim.row.get("opened")) or claim.now
    return {"on": ended.date().isoformat(), "counts": [(what, min(count, MOST)) for what, count in vars(day).items()]}


def lasted_of(claim: Claim, seconds: int | None) -> dict[str, Any] | None:
    """What is to be remembered of how long a room lasted, if it has a name."""
    if seconds is None or not (name := digest_of_name(claim)):
        return None
    return {"name": name, "seconds": str(min(seconds, LONGEST_ROOM))}


def digest_of_name(claim: Claim) -> str:
    """What rooms of one name have in common, of one size whatever the name; empty for a room without one."""
    name = claim.row.get("name")
    if not name or name == claim.room_sid:
        return ""  # Twilio names a room that was given no name by its SID
    whole = f"{claim.row.get('account', '')}|{name}".encode()
    return hashlib.sha1(whole, usedforsecurity=False).hexdigest()


def at(seconds: bytes) -> datetime:
    """Seconds since 1970 as the scripts answer them, to aware UTC."""
    return datetime.fromtimestamp(float(seconds), UTC)


def text(value: bytes | str) -> str:
    """What redis-py may give as bytes, as text."""
    return value.decode() if isinstance(value, bytes) else value


def texts(row: Mapping[Any, Any]) -> dict[str, str]:
    """A hash as redis-py gives it, as text."""
    return {text(name): text(value) for name, value in row.items()}
