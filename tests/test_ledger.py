"""The ledger's promises, each on a real server: atomic opening, the due index, fencing, holds, rates, retention."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from rq import Queue
from rq.job import Job
from rq.serializers import JSONSerializer

from room_reports.dispatch import CALLS, DELIVERIES, SUMMARIES, queue_entry
from room_reports.ledger import Claim, Day, Finished, Lane, Ledger, LedgerUnavailable, Outcome
from room_reports.ledger import scripts as module

ACCOUNT = "AC" + "1" * 32
LEASE = 60.0
RETENTION = 9 * 24 * 3600
ENDED = datetime.now(UTC) - timedelta(minutes=100)


def room_sid(number: int = 0) -> str:
    return f"RM{number:032x}"


def make_ledger(connection: redis.Redis, *, prefix: str = "t:", slack_rate: float = 0) -> Ledger:
    lanes = [Lane("twilio", (0.1, 0.2)), Lane("slack", (0.1, 0.4), slack_rate), Lane("webhook", (0.1,))]
    return Ledger(connection, prefix=prefix, lease=LEASE, retention=RETENTION, lanes=lanes, queue=queue_entry())


@pytest.fixture
def ledger(connection: redis.Redis) -> Ledger:
    return make_ledger(connection)


@pytest.fixture
def queue(connection: redis.Redis) -> Queue:
    """The queue of summaries."""
    return Queue(SUMMARIES, connection=connection, serializer=JSONSerializer)


@pytest.fixture
def deliveries(connection: redis.Redis) -> Queue:
    return Queue(DELIVERIES, connection=connection, serializer=JSONSerializer)


def open_room(ledger: Ledger, number: int = 0, *, expired: bool = False) -> str:
    return ledger.open(
        room_sid=room_sid(number),
        account_sid=ACCOUNT,
        room_name="daily",
        ended=ENDED,
        callback="{}",
        request_id="request-1",
        expired=expired,
    )


def begin(ledger: Ledger, step: str, attempt: int = 1, *, number: int = 0) -> Claim:
    claim = ledger.begin(room_sid(number), step, attempt)
    assert claim is not None, f"{step} attempt {attempt} was refused"
    return claim


def finish(ledger: Ledger, claim: Claim, outcome: Outcome, *, go_on: bool = False) -> Finished:
    finished = ledger.finish(claim, outcome, took=0.1, go_on=go_on)
    assert finished is not None, "the attempt had been fenced off"
    return finished


def complete(*deliveries: str) -> Outcome:
    return Outcome("complete", fields={"summary": '{"duration_sec":60}'}, opens=deliveries)


def state_of(ledger: Ledger, step: str, *, number: int = 0) -> str:
    room = ledger.room(room_sid(number))
    assert room is not None
    return {found.name: found.state for found in room.steps}[step]


def ids_in(queue: Queue) -> list[str]:
    return [str(job_id) for job_id in queue.job_ids]


def pop(queue: Queue) -> str:
    popped = queue.connection.lpop(queue.key)
    assert isinstance(popped, bytes)
    return popped.decode()


def dispatch_until(ledger: Ledger, expected: int, *, seconds: float = 5) -> int:
    """Dispatches until `expected` jobs were queued or the time is up. Returns how many were."""
    queued, end = 0, time.monotonic() + seconds
    while queued < expected and time.monotonic() < end:
        queued += ledger.dispatch()[0]
        time.sleep(0.01)
    return queued


def let_pass(connection: redis.Redis, seconds: float) -> None:
    """As if so much time had gone by: whatever the ledger measures time by lies that much earlier."""
    for key in connection.scan_iter("t:due:*"):
        for sid in cast(list[bytes], connection.zrange(key, 0, -1)):
            connection.zincrby(key, -seconds, sid)
    for pattern, times in (("t:room:*", (b".queued",)), ("t:hold:*", (b"until", b"probe_until"))):
        for key in connection.scan_iter(pattern):
            for name in cast(list[bytes], connection.hkeys(key)):
                if name.endswith(times):
                    connection.hincrbyfloat(key, name.decode(), -seconds)


class TestOpening:
    def test_row_due_entry_and_job_come_together(self, ledger: Ledger, queue: Queue) -> None:
        assert open_room(ledger) == "opened"
        room = ledger.room(room_sid())
        assert room is not None
        assert (room.state, room.name, room.account_sid, room.request_id) == ("open", "daily", ACCOUNT, "request-1")
        assert [(step.name, step.state) for step in room.steps] == [("summary", "queued")]
        assert ledger.due()["twilio"][0] == 1
        assert ids_in(queue) == [f"{room_sid()}-summary-1"]

    def test_job_is_what_rq_itself_would_write(self, ledger: Ledger, queue: Queue) -> None:
        open_room(ledger)
        job = queue.jobs[0]
        assert (job.func_name, job.args, job.kwargs) == (CALLS["summary"], [room_sid(), "summary", 1], {})
        assert (job.origin, job.get_status(), job.timeout, job.result_ttl) == (SUMMARIES, "queued", -1, 0)
        ours = set(queue.connection.hkeys(job.key))
        arguments = [room_sid(), "summary", 1]
        own = Job.create(CALLS["summary"], args=arguments, connection=queue.connection, origin=SUMMARIES)
        own.timeout, own.result_ttl, own.failure_ttl, own.enqueued_at = -1, 0, 1, job.enqueued_at
        theirs = {name.encode() for name, value in own.to_dict().items() if value not in (None, "")}
        assert ours >= theirs

    def test_known_room_is_left_alone(self, ledger: Ledger, queue: Queue, connection: redis.Redis) -> None:
        open_room(ledger)
        begin(ledger, "summary")
        before = connection.hgetall(f"t:room:{room_sid()}")
        assert open_room(ledger) == "known"
        assert connection.hgetall(f"t:room:{room_sid()}") == before
        assert len(ids_in(queue)) == 1

    def test_room_too_old_is_noted_and_nothing_is_queued(self, ledger: Ledger, queue: Queue) -> None:
        assert open_room(ledger, expired=True) == "expired"
        room = ledger.room(room_sid())
        assert room is not None and room.state == "expired"
        assert ids_in(queue) == []
        assert ledger.due()["twilio"][0] == 0

    def test_b25_equal_callbacks_at_once_open_one_room(self, connection: redis.Redis, queue: Queue) -> None:
        barrier = threading.Barrier(16)
        answers: list[str] = []

        def call() -> None:
            mine = make_ledger(connection)
            barrier.wait()
            answers.extend(open_room(mine) for _ in range(4))

        threads = [threading.Thread(target=call) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(answers) == ["known"] * 63 + ["opened"]
        assert ids_in(queue) == [f"{room_sid()}-summary-1"]

    def test_server_that_cannot_write_opens_nothing(self, ledger: Ledger, connection: redis.Redis) -> None:
        connection.config_set("maxmemory", "1")
        try:
            with pytest.raises(LedgerUnavailable) as error:
                open_room(ledger)
            assert error.value.reason == "out of memory"
        finally:
            connection.config_set("maxmemory", "0")
        assert connection.dbsize() == 0


class TestAttempts:
    def test_attempt_runs_once(self, ledger: Ledger) -> None:
        open_room(ledger)
        begin(ledger, "summary")
        assert ledger.begin(room_sid(), "summary", 1) is None

    def test_unknown_room_and_wrong_attempt_are_refused(self, ledger: Ledger) -> None:
        assert ledger.begin(room_sid(), "summary", 1) is None
        open_room(ledger)
        assert ledger.begin(room_sid(), "summary", 2) is None
        assert ledger.begin(room_sid(), "webhook", 1) is None

    def test_overtaken_attempt_writes_nothing(self, ledger: Ledger, queue: Queue, connection: redis.Redis) -> None:
        open_room(ledger)
        pop(queue)
        late = begin(ledger, "summary")
        let_pass(connection, LEASE)
        assert dispatch_until(ledger, 1) == 1
        current = begin(ledger, "summary", 2)
        assert ledger.finish(late, complete("webhook"), took=1) is None
        assert state_of(ledger, "summary") == "running"
        finish(ledger, current, complete("webhook"))
        assert state_of(ledger, "summary") == "complete"

    def test_waits_and_is_due_again(self, ledger: Ledger, queue: Queue, connection: redis.Redis) -> None:
        open_room(ledger)
        claim = begin(ledger, "summary")
        assert claim.tries == 0
        finish(ledger, claim, Outcome("waiting", "not_ready", pause=30))
        assert ledger.dispatch()[0] == 0
        let_pass(connection, 30)
        assert ledger.dispatch()[0] == 1
        assert begin(ledger, "summary", 2).tries == 1

    def test_every_attempt_is_recorded(self, ledger: Ledger) -> None:
        open_room(ledger)
        finish(ledger, begin(ledger, "summary"), Outcome("waiting", "timeout", "no answer", pause=0))
        dispatch_until(ledger, 1)
        finish(ledger, begin(ledger, "summary", 2), complete())
        room = ledger.room(room_sid())
        assert room is not None
        assert [(one["attempt"], one["outcome"], one["reason"]) for one in room.attempts] == [
            (1, "waiting", "timeout"),
            (2, "complete", None),
        ]

    def test_dispatcher_says_when_the_next_is_due(self, ledger: Ledger) -> None:
        open_room(ledger)
        finish(ledger, begin(ledger, "summary"), Outcome("waiting", "not_ready", pause=30))
        queued, wake = ledger.dispatch()
        assert queued == 0
        assert wake is not None and 29 < wake <= 30

    def test_released_attempt_is_due_at_once_and_fenced(self, ledger: Ledger) -> None:
        open_room(ledger)
        claim = begin(ledger, "summary")
        assert ledger.release(room_sid(), "summary", 1)
        assert ledger.finish(claim, complete(), took=1) is None
        assert ledger.dispatch()[0] == 1
        assert not ledger.release(room_sid(), "summary", 1)


class TestLeases:
    def test_dead_workers_attempt_runs_again_and_is_noted(
        self, ledger: Ledger, queue: Queue, connection: redis.Redis
    ) -> None:
        open_room(ledger)
        pop(queue)
        begin(ledger, "summary")
        assert ledger.dispatch()[0] == 0
        let_pass(connection, LEASE)
        assert dispatch_until(ledger, 1) == 1
        room = ledger.room(room_sid())
        assert room is not None
        assert [one["outcome"] for one in room.attempts] == ["lost"]
        assert begin(ledger, "summary", 2).tries == 0, "a killed worker must not use up the waits"

    def test_job_taken_but_never_begun_comes_back(self, ledger: Ledger, queue: Queue, connection: redis.Redis) -> None:
        open_room(ledger, 0)
        open_room(ledger, 1)
        assert pop(queue) == f"{room_sid(0)}-summary-1"
        let_pass(connection, LEASE)
        assert dispatch_until(ledger, 1) == 1
        assert ids_in(queue) == [f"{room_sid(1)}-summary-1", f"{room_sid(0)}-summary-2"]

    def test_flushed_queue_comes_back(self, ledger: Ledger, queue: Queue, connection: redis.Redis) -> None:
        open_room(ledger)
        queue.connection.delete(queue.key)
        let_pass(connection, LEASE)
        assert dispatch_until(ledger, 1) == 1

    def test_backlog_does_not_multiply(self, ledger: Ledger, queue: Queue, connection: redis.Redis) -> None:
        for number in range(50):
            open_room(ledger, number)
        for _ in range(3):
            let_pass(connection, LEASE)
            assert ledger.dispatch()[0] == 0
        assert len(ids_in(queue)) == len(set(ids_in(queue))) == 50

    def test_queue_takes_no_more_than_its_bound(self, ledger: Ledger, queue: Queue) -> None:
        for number in range(module.QUEUE_BOUND + 200):
            open_room(ledger, number)
            finish(ledger, begin(ledger, "summary", number=number), Outcome("waiting", "not_ready", pause=0))
        queue.connection.delete(queue.key)
        assert dispatch_until(ledger, module.QUEUE_BOUND + 200, seconds=0.3) <= module.QUEUE_BOUND
        assert ledger.due()["twilio"][0] == module.QUEUE_BOUND + 200

    def test_what_a_dead_worker_left_is_let_into_a_full_queue(
        self, ledger: Ledger, queue: Queue, connection: redis.Redis
    ) -> None:
        open_room(ledger, 0)
        pop(queue)
        begin(ledger, "summary")
        open_room(ledger, 1)
        finish(ledger, begin(ledger, "summary", number=1), Outcome("waiting", "not_ready", pause=0))
        connection.rpush(queue.key, *[f"waiting-its-turn-{number}" for number in range(module.QUEUE_BOUND)])
        let_pass(connection, LEASE)
        assert dispatch_until(ledger, 2, seconds=0.3) == 1
        assert ids_in(queue)[-1] == f"{room_sid(0)}-summary-2"

    def test_a_lost_delivery_is_not_taken_for_one_that_waits_behind_the_summaries(
        self, ledger: Ledger, queue: Queue, deliveries: Queue, connection: redis.Redis
    ) -> None:
        for number in range(3):
            open_room(ledger, number)
        assert pop(queue) == f"{room_sid(0)}-summary-1"
        finish(ledger, begin(ledger, "summary"), complete("slack"))
        assert pop(deliveries) == f"{room_sid(0)}-slack-1"
        let_pass(connection, LEASE)
        assert dispatch_until(ledger, 1) == 1
        assert ids_in(deliveries) == [f"{room_sid(0)}-slack-2"]
        assert ids_in(queue) == [f"{room_sid(number)}-summary-1" for number in (1, 2)]

    def test_a_full_queue_of_summaries_keeps_no_delivery_out(
        self, ledger: Ledger, queue: Queue, deliveries: Queue, connection: redis.Redis
    ) -> None:
        open_room(ledger)
        finish(ledger, begin(ledger, "summary"), complete("slack"))
        finish(ledger, begin(ledger, "slack"), Outcome("waiting", "timeout", pause=0))
        connection.delete(queue.key, deliveries.key)
        connection.rpush(queue.key, *[f"waiting-its-turn-{number}" for number in range(module.QUEUE_BOUND)])
        assert dispatch_until(ledger, 1) == 1
        assert ids_in(deliveries) == [f"{room_sid()}-slack-2"]
        assert ledger.queue_lengths() == {SUMMARIES: module.QUEUE_BOUND, DELIVERIES: 1}
        assert ledger.queued() == module.QUEUE_BOUND + 1


class TestDeliveries:
    def test_complete_summary_starts_each_delivery_once(self, ledger: Ledger, deliveries: Queue) -> None:
        open_room(ledger)
        finished = finish(ledger, begin(ledger, "summary"), complete("webhook", "slack"), go_on=True)
        assert finished.following is not None
        assert (finished.following.step, finished.following.attempt) == ("webhook", 1)
        assert ids_in(deliveries) == [f"{room_sid()}-slack-1"]
        assert ledger.begin(room_sid(), "webhook", 1) is None, "it goes on in the job that opened it"

    def test_what_goes_on_knows_what_the_row_says(self, ledger: Ledger, connection: redis.Redis) -> None:
        open_room(ledger)
        outcome = Outcome("partial", "not_ready", fields={"summary": "{}", "asked": 2}, opens=("webhook",))
        following = finish(ledger, begin(ledger, "summary"), outcome, go_on=True).following
        assert following is not None
        stored = cast(dict[bytes, bytes], connection.hgetall(f"t:room:{room_sid()}"))
        kept = {name.decode(): value.decode() for name, value in stored.items()}
        own = {name for name in kept if name.startswith("summary.")} - {"summary.state", "summary.reason"}
        own |= {"steps", "webhook.state", "webhook.attempt", "webhook.token"}  # for the ledger's own use
        assert {name: value for name, value in following.row.items() if name not in own} == {
            name: value for name, value in kept.items() if name not in own
        }
        assert (following.series, following.tries, round(following.waited)) == (1, 0, 0)

    def test_one_failing_destination_leaves_the_other_alone(self, ledger: Ledger) -> None:
        open_room(ledger)
        finish(ledger, begin(ledger, "summary"), complete("webhook", "slack"))
        finish(ledger, begin(ledger, "webhook"), Outcome("waiting", "timeout", pause=60, lane="failing"))
        finish(ledger, begin(ledger, "slack"), Outcome("delivered"))
        assert (state_of(ledger, "webhook"), state_of(ledger, "slack")) == ("waiting", "delivered")

    @pytest.mark.parametrize(
        ("summary", "webhook", "slack", "room"),
        [
            ("complete", "delivered", "delivered", "delivered"),
            ("partial", "delivered", "delivered", "partial"),
            ("complete", "delivered", "dead", "dead"),
            ("partial", "dead", "delivered", "dead"),
        ],
    )
    def test_room_ends_as_its_worst_step(
        self, ledger: Ledger, summary: str, webhook: str, slack: str, room: str
    ) -> None:
        open_room(ledger)
        finish(ledger, begin(ledger, "summary"), Outcome(summary, opens=("webhook", "slack")))
        finish(ledger, begin(ledger, "webhook"), Outcome(webhook))
        assert ledger.counts() == {"all": 1, "open": 1, "delivered": 0, "partial": 0, "expired": 0, "dead": 0}
        finish(ledger, begin(ledger, "slack"), Outcome(slack))
        assert ledger.counts()[room] == 1
        assert ledger.counts()["open"] == 0
        assert [found.sid for found in ledger.rooms(state=room)] == [room_sid()]
        assert sum(total for total, _, _ in ledger.due().values()) == 0

    def test_finished_step_is_final(self, ledger: Ledger) -> None:
        open_room(ledger)
        claim = begin(ledger, "summary")
        finish(ledger, claim, complete())
        assert ledger.finish(claim, Outcome("waiting", "timeout", pause=1), took=1) is None
        assert ledger.begin(room_sid(), "summary", 1) is None
        assert state_of(ledger, "summary") == "complete"


class TestResend:
    def deliver(self, ledger: Ledger, outcome: str) -> None:
        open_room(ledger)
        finish(ledger, begin(ledger, "summary"), complete("webhook"))
        finish(ledger, begin(ledger, "webhook"), Outcome(outcome, "rejected" if outcome == "dead" else None))

    @pytest.mark.parametrize("end", ["delivered", "dead"])
    def test_resend_is_a_new_series_and_says_who_asked(self, ledger: Ledger, end: str) -> None:
        self.deliver(ledger, end)
        assert ledger.resend(room_sid(), ["webhook"], who="operator@example") == ["webhook"]
        assert ledger.counts()["open"] == 1
        claim = begin(ledger, "webhook", 2)
        assert (claim.series, claim.tries) == (2, 0)
        finish(ledger, claim, Outcome("delivered"))
        room = ledger.room(room_sid())
        assert room is not None and room.state == "delivered"
        assert [one["detail"] for one in room.attempts if one["outcome"] == "resend"] == ["operator@example"]

    def test_unfinished_step_is_not_resent(self, ledger: Ledger) -> None:
        open_room(ledger)
        finish(ledger, begin(ledger, "summary"), complete("webhook"))
        assert ledger.resend(room_sid(), ["webhook", "pager"], who="x") == []

    def test_resent_room_does_not_expire_meanwhile(self, ledger: Ledger, connection: redis.Redis) -> None:
        self.deliver(ledger, "dead")
        assert connection.ttl(f"t:room:{room_sid()}") > 0
        ledger.resend(room_sid(), ["webhook"], who="x")
        assert connection.ttl(f"t:room:{room_sid()}") == -1


class TestHolds:
    def rooms_with_slack_queued(self, ledger: Ledger, count: int) -> None:
        for number in range(count):
            open_room(ledger, number)
            finish(ledger, begin(ledger, "summary", number=number), complete("slack"))

    def hold(self, ledger: Ledger, lane: str, *, seconds: float | None = None) -> Finished:
        outcome = Outcome("waiting", "gone", "410", counts=False, lane=lane, hold_for=seconds)  # type: ignore[arg-type]
        return finish(ledger, begin(ledger, "slack", number=0), outcome)

    def test_held_lane_sends_nothing_and_loses_nothing(self, ledger: Ledger) -> None:
        self.rooms_with_slack_queued(ledger, 3)
        assert self.hold(ledger, "operator").hold == "held"
        assert ledger.begin(room_sid(1), "slack", 1) is None
        assert ledger.dispatch() == (0, None)
        assert ledger.due()["slack"][0] == 3
        [hold] = ledger.holds()
        assert (hold.lane, hold.reason, hold.until) == ("slack", "gone", None)

    def test_operator_resumes_and_the_lane_drains(self, ledger: Ledger) -> None:
        self.rooms_with_slack_queued(ledger, 3)
        self.hold(ledger, "operator")
        ledger.begin(room_sid(1), "slack", 1)
        ledger.begin(room_sid(2), "slack", 1)
        assert ledger.resume("slack")
        assert dispatch_until(ledger, 3) == 3
        assert not ledger.resume("slack")

    def test_hold_leaves_other_lanes_alone(self, ledger: Ledger) -> None:
        self.rooms_with_slack_queued(ledger, 1)
        self.hold(ledger, "operator")
        open_room(ledger, 9)
        finish(ledger, begin(ledger, "summary", number=9), complete("slack", "webhook"))
        assert (state_of(ledger, "slack", number=9), state_of(ledger, "webhook", number=9)) == ("waiting", "queued")

    def test_hold_that_heals_probes_with_one_and_drains(self, ledger: Ledger, connection: redis.Redis) -> None:
        self.rooms_with_slack_queued(ledger, 4)
        self.hold(ledger, "heals", seconds=30)
        for number in (1, 2, 3):
            ledger.begin(room_sid(number), "slack", 1)
        assert ledger.dispatch()[0] == 0
        let_pass(connection, 30)
        assert dispatch_until(ledger, 4, seconds=0.2) == 1, "one probe at a time"
        [probing] = [number for number in range(4) if state_of(ledger, "slack", number=number) == "queued"]
        assert finish(ledger, begin(ledger, "slack", 2, number=probing), Outcome("delivered")).hold == "released"
        assert dispatch_until(ledger, 3) == 3
        assert ledger.holds() == []

    def test_failed_probe_extends_the_hold(self, ledger: Ledger, connection: redis.Redis) -> None:
        self.rooms_with_slack_queued(ledger, 1)
        self.hold(ledger, "heals", seconds=30)
        let_pass(connection, 30)
        assert ledger.dispatch()[0] == 1
        outcome = Outcome("waiting", "server_error", pause=0, lane="failing")
        assert finish(ledger, begin(ledger, "slack", 2), outcome).hold == "extended"
        assert len(ledger.holds()) == 1

    def test_many_failures_in_a_row_hold(self, ledger: Ledger) -> None:
        self.rooms_with_slack_queued(ledger, module.FAILURES_THAT_HOLD)
        down = Outcome("waiting", "connection", pause=60, lane="failing")
        events = [
            finish(ledger, begin(ledger, "slack", number=number), down).hold
            for number in range(module.FAILURES_THAT_HOLD)
        ]
        assert events == [""] * (module.FAILURES_THAT_HOLD - 1) + ["held"]

    def test_success_ends_a_run_of_failures(self, ledger: Ledger) -> None:
        self.rooms_with_slack_queued(ledger, module.FAILURES_THAT_HOLD + 1)
        down = Outcome("waiting", "connection", pause=60, lane="failing")
        for number in range(module.FAILURES_THAT_HOLD - 1):
            finish(ledger, begin(ledger, "slack", number=number), down)
        finish(ledger, begin(ledger, "slack", number=module.FAILURES_THAT_HOLD - 1), Outcome("delivered"))
        assert finish(ledger, begin(ledger, "slack", number=module.FAILURES_THAT_HOLD), down).hold == ""

    def test_held_twilio_keeps_new_rooms(self, ledger: Ledger, queue: Queue) -> None:
        open_room(ledger, 0)
        refused = Outcome("waiting", "unauthorized", counts=False, lane="heals")
        assert finish(ledger, begin(ledger, "summary"), refused).hold == "held"
        queue.connection.delete(queue.key)
        assert open_room(ledger, 1) == "opened"
        assert ids_in(queue) == []
        assert ledger.due()["twilio"][0] == 2


class TestRates:
    def test_lane_gets_no_more_than_its_rate_and_its_burst(self, connection: redis.Redis) -> None:
        ledger = make_ledger(connection, slack_rate=10)
        for number in range(12):
            open_room(ledger, number)
            finish(ledger, begin(ledger, "summary", number=number), complete("slack"))
        sent: dict[int, float] = {}
        while len(sent) < 12:
            ledger.dispatch()
            for number in range(12):
                room = ledger.room(room_sid(number))
                assert room is not None
                if number not in sent and room.steps[1].state == "queued":
                    claim = ledger.begin(room_sid(number), "slack", room.steps[1].attempt)
                    if claim is not None:
                        sent[number] = claim.now.timestamp()
                        finish(ledger, claim, Outcome("delivered"))
        times = sorted(sent.values())
        for first, later in zip(times, times[3:], strict=False):
            assert later - first > 0.09, "more than the burst within one interval"
        assert times[-1] - times[0] >= 9 * 0.1 - 0.01

    def test_lane_without_a_rate_is_not_slowed(self, ledger: Ledger, deliveries: Queue) -> None:
        for number in range(20):
            open_room(ledger, number)
        for number in range(20):
            finish(ledger, begin(ledger, "summary", number=number), complete("slack"))
        assert len(ids_in(deliveries)) == 20


class TestRetention:
    def test_only_finished_rooms_expire(self, ledger: Ledger, connection: redis.Redis) -> None:
        open_room(ledger)
        key = f"t:room:{room_sid()}"
        assert connection.ttl(key) == -1
        finish(ledger, begin(ledger, "summary"), complete("webhook"))
        assert connection.ttl(key) == -1
        finish(ledger, begin(ledger, "webhook"), Outcome("delivered"))
        assert 0 < connection.ttl(key) <= RETENTION
        assert 0 < connection.ttl(f"t:attempts:{room_sid()}") <= RETENTION

    def test_index_does_not_outlive_its_rows(self, ledger: Ledger, connection: redis.Redis) -> None:
        for number in range(3):
            open_room(ledger, number)
        finish(ledger, begin(ledger, "summary", number=0), complete())
        long_ago = time.time() - RETENTION - 60
        for number in (0, 1):
            connection.zadd("t:rooms:all", {room_sid(number): long_ago})
        connection.delete(f"t:room:{room_sid(0)}")  # as its expiry would
        assert ledger.prune() == 1
        assert ledger.counts() == {"all": 2, "open": 2, "delivered": 0, "partial": 0, "expired": 0, "dead": 0}

    def test_nothing_is_left_behind_but_the_row(self, ledger: Ledger, connection: redis.Redis, queue: Queue) -> None:
        open_room(ledger)
        pop(queue)
        following = finish(ledger, begin(ledger, "summary"), complete("webhook"), go_on=True).following
        assert following is not None
        finish(ledger, following, Outcome("delivered"))
        connection.delete(f"rq:job:{room_sid()}-summary-1")  # the worker clears away the job it took
        kept = {str(key, "utf-8") for key in connection.scan_iter()}
        rows = {f"t:room:{room_sid()}", f"t:attempts:{room_sid()}", "t:rooms:all", "t:rooms:delivered"}
        assert kept == rows | {"t:counts"}


class TestTally:
    def test_what_happened_is_counted_where_it_happens(self, ledger: Ledger) -> None:
        open_room(ledger)
        open_room(ledger)
        open_room(ledger, 1, expired=True)
        finish(ledger, begin(ledger, "summary"), Outcome("waiting", "not_ready", pause=0))
        dispatch_until(ledger, 1)
        finish(ledger, begin(ledger, "summary", 2), complete("slack"))
        claim = begin(ledger, "slack")
        finish(ledger, claim, Outcome("waiting", "gone", lane="operator"))
        assert ledger.finish(claim, Outcome("delivered"), took=1) is None
        counts = {name: value for name, value in ledger.tally().items() if name[0] != "seconds_from_end"}
        assert counts == {
            ("opens", "callback", "opened"): 1,
            ("opens", "callback", "known"): 1,
            ("opens", "callback", "expired"): 1,
            ("attempts", "summary", "waiting", "not_ready"): 1,
            ("attempts", "summary", "complete", ""): 1,
            ("attempts", "slack", "waiting", "gone"): 1,
            ("holds", "slack", "held"): 1,
        }
        ledger.resume("slack")
        ledger.resume("slack")
        assert ledger.tally()["holds", "slack", "resumed"] == 1

    def test_time_from_the_end_of_the_room_is_observed(self, ledger: Ledger) -> None:
        open_room(ledger)
        finish(ledger, begin(ledger, "summary"), complete())
        tally = ledger.tally().items()
        observed = {name[2]: value for name, value in tally if name[:2] == ("seconds_from_end", "summary")}
        since = time.time() - ENDED.timestamp()
        assert abs(observed.pop("sum") - since) < 5
        [(bucket, number)] = observed.items()
        assert number == 1
        assert bucket == "+Inf" or since <= float(bucket)

    def test_a_resend_says_nothing_of_the_time_from_the_end(self, ledger: Ledger) -> None:
        open_room(ledger)
        finish(ledger, begin(ledger, "summary"), complete("slack"))
        finish(ledger, begin(ledger, "slack"), Outcome("delivered"))
        before = ledger.tally()["seconds_from_end", "slack", "sum"]
        ledger.resend(room_sid(), ["slack"], who="operator")
        finish(ledger, begin(ledger, "slack", 2), Outcome("delivered"))
        tally = ledger.tally()
        assert tally["attempts", "slack", "delivered", ""] == 2
        assert tally["seconds_from_end", "slack", "sum"] == before

    def test_days_are_counted_once_and_by_the_end_of_the_room(self, ledger: Ledger, connection: redis.Redis) -> None:
        day = Day(rooms=1, participant_seconds=90, recorded_seconds=30)
        for number, state in enumerate(("complete", "partial")):
            open_room(ledger, number)
            claim = begin(ledger, "summary", number=number)
            finish(ledger, claim, Outcome(state, opens=("slack",), day=day))
            assert ledger.finish(claim, Outcome(state, day=day), took=0) is None
        assert ledger.days() == {ENDED.date(): Day(rooms=2, participant_seconds=180, recorded_seconds=60)}
        assert not any(name[0] == "day" for name in ledger.tally())
        connection.hset("t:days", "2020-01-01|rooms", 5)
        ledger.prune()
        assert list(ledger.days()) == [ENDED.date()]

    def test_the_time_until_the_summary_is_read(self, ledger: Ledger) -> None:
        assert ledger.until_summary().count == 0
        for number in range(3):
            open_room(ledger, number)
            finish(ledger, begin(ledger, "summary", number=number), complete())
        since = time.time() - ENDED.timestamp()
        found = ledger.until_summary()
        assert found.count == 3
        assert abs(found.total - 3 * since) < 15
        assert found.within(0.5) == min(limit for limit in (*module.BUCKETS, float("inf")) if since <= limit)

    def test_batches_are_added_once_each(self, ledger: Ledger) -> None:
        ledger.add_to_tally({("callbacks", "rejected"): 3, ("callbacks", "other"): 1}, batch="a")
        ledger.add_to_tally({("callbacks", "rejected"): 2}, batch="b")
        ledger.add_to_tally({("callbacks", "rejected"): 2}, batch="b")
        assert ledger.tally() == {("callbacks", "rejected"): 5, ("callbacks", "other"): 1}

    def test_the_oldest_unfinished_room_is_told_by_redis_clock(self, ledger: Ledger, connection: redis.Redis) -> None:
        assert ledger.oldest_open() == 0
        open_room(ledger)
        connection.zincrby("t:rooms:open", -100, room_sid())
        assert 100 <= ledger.oldest_open() < 130


class TestUnavailable:
    @pytest.fixture
    def nowhere(self) -> Iterator[Ledger]:
        yield make_ledger(redis.Redis(port=1, socket_connect_timeout=0.2, retry=Retry(NoBackoff(), 0)))

    def test_unreachable_server_is_named(self, nowhere: Ledger) -> None:
        with pytest.raises(LedgerUnavailable) as error:
            open_room(nowhere)
        assert error.value.reason == "unreachable"

    def test_reading_and_writing_are_both_guarded(self, nowhere: Ledger) -> None:
        for call in (nowhere.counts, nowhere.holds, nowhere.due, nowhere.ping_writable, nowhere.dispatch):
            with pytest.raises(LedgerUnavailable):
                call()
