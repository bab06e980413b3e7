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
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, cast

import redis

from room_reports.ledger.attempts import Claim, Finished, NextJob, Outcome, QueueEntry, Taken
from room_reports.ledger.digests import Digests
from room_reports.ledger.pages import Pages
from room_reports.ledger.reader import LedgerReader
from room_reports.ledger.replies import at, row_from, text
from room_reports.ledger.rows import (
    TWILIO,
    Day,
    Lane,
    moment,
)
from room_reports.ledger.scripts import Scripts
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


class Ledger(LedgerReader):
    """All access to the ledger: what changes it, besides what `LedgerReader` reads.

    Safe to share between threads; every method is one round trip unless it says otherwise, and raises
    `LedgerUnavailable` when Redis cannot be reached, cannot write, or refuses us.
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
        super().__init__(
            connection,
            prefix=prefix,
            lanes=lanes,
            queue=queue,
            replicas=replicas,
            account_lanes=account_lanes or {},
        )
        self.pages = Pages(connection, prefix=prefix)
        self.sign_ins = SignIns(connection, prefix=prefix)
        self.scripts = Scripts(
            connection.connection_pool, prefix=prefix, lease=lease, retention=retention, lanes=lanes, queue=queue
        )
        self.digests = Digests(connection, self.scripts, prefix=prefix)

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
            change["take"] = order_of(next_job.worker, 1, done=[next_job.done], may_wait=next_job.may_wait)
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

    def note_reconciled(self, at: datetime, *, lane: str = TWILIO) -> None:
        """Remembers until when every room of an account is known to have been seen."""
        with guarded():
            self._redis.set(self._reconciled_key(lane), repr(at.timestamp()))

    def prune(self, *, limit: int = 1000) -> int:
        """Takes rooms whose rows have expired out of the indexes, and days beyond `DAYS_KEPT` out of `days`.

        Returns how many of the `limit` oldest rooms went.
        """
        oldest = datetime.now(UTC).date() - timedelta(days=DAYS_KEPT)
        return int(self._run("prune", limit, oldest.isoformat()))

    def ping_writable(self) -> None:
        """Raises `LedgerUnavailable` unless a row could be written now."""
        with guarded():
            self._redis.set(f"{self._prefix}ping", "1", ex=60)

    def add_to_tally(self, counts: Mapping[tuple[str, ...], int], *, batch: str) -> None:
        """Adds to what `tally` gives; for what is counted elsewhere and written in batches.

        `batch` names this one: given twice, as after an answer that never came, it is added once.
        """
        flat = [part for name, value in counts.items() for part in ("|".join(name), str(value))]
        self._run("add", batch, *flat)

    def _waits_of(self, claim: Claim) -> tuple[float, ...]:
        """Pauses between probes of an attempt's lane, also of a destination that is configured no more."""
        return self._waits.get(claim.lane, (60.0,))

    def _run(self, script: str, *args: str | int, replicas: int = 0) -> Any:
        with guarded():
            return self.scripts.run(script, *args, replicas=replicas)


def order_of(
    worker: str, count: int, *, done: Sequence[Taken] = (), popped: Sequence[tuple[str, int]] = (), may_wait: int = 0
) -> list[Any]:
    """What `take_jobs` is to do, with a token that no other call has."""
    return [worker, secrets.token_hex(8), count, [(job.id, job.queue) for job in done], list(popped), may_wait]


def taken_from(entry: list[Any], asked: float) -> Taken:
    """A job as `take.lua` answers it."""
    job_id, queue, data, *attempts = entry
    claim = None
    if attempts:
        sid, step, attempt, now, row = attempts[0]
        claim = Claim(text(sid), text(step), int(attempt), at(now), row_from(row), asked)
    return Taken(text(job_id), queue, data, claim)


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
