"""Jobs are taken off RQ's queues and their attempts begun in one script; the end of one may take the next along."""

from __future__ import annotations

import json
import zlib

import pytest
import redis
from rq import Queue
from rq.job import Job, JobStatus
from rq.registry import StartedJobRegistry
from rq.serializers import JSONSerializer

from room_reports.dispatch import DELIVERIES, SUMMARIES
from room_reports.ledger import Finished, Ledger, NextJob, Outcome, Taken
from tests.test_ledger import LEASE, begin, complete, finish, ids_in, make_ledger, open_room, pop, room_sid, state_of

WORKER = "worker-1"
DELIVERED = Outcome("delivered")


@pytest.fixture
def ledger(connection: redis.Redis) -> Ledger:
    return make_ledger(connection)


@pytest.fixture
def summaries(connection: redis.Redis) -> Queue:
    return Queue(SUMMARIES, connection=connection, serializer=JSONSerializer)


@pytest.fixture
def deliveries(connection: redis.Redis) -> Queue:
    return Queue(DELIVERIES, connection=connection, serializer=JSONSerializer)


def started(queue: Queue) -> list[str]:
    return StartedJobRegistry(queue=queue).get_job_ids(cleanup=False)


def take_one(ledger: Ledger) -> Taken:
    [taken] = ledger.take(WORKER, 1)
    return taken


def finish_and_take(ledger: Ledger, job: Taken, outcome: Outcome, *, go_on: bool = False) -> Finished:
    assert job.claim is not None
    finished = ledger.finish(job.claim, outcome, took=0.1, go_on=go_on, next_job=NextJob(WORKER, job))
    assert finished is not None
    return finished


def test_a_job_that_is_taken_runs_and_rq_knows_it(ledger: Ledger, summaries: Queue) -> None:
    open_room(ledger)
    taken = take_one(ledger)
    assert taken.claim is not None
    assert (taken.claim.room_sid, taken.claim.step, taken.claim.attempt) == (room_sid(), "summary", 1)
    assert (taken.claim.row["name"], taken.claim.row["summary.state"]) == ("daily", "running")
    assert state_of(ledger, "summary") == "running"
    assert (ids_in(summaries), started(summaries)) == ([], [taken.id])
    job = Job.fetch(taken.id, connection=summaries.connection, serializer=JSONSerializer)
    assert (job.get_status(), job.worker_name) == (JobStatus.STARTED, WORKER)
    assert ledger.begin(room_sid(), "summary", 1) is None, "it is begun"


def test_no_more_are_taken_than_asked_for_and_those_that_are_done_go(ledger: Ledger, summaries: Queue) -> None:
    for number in range(3):
        open_room(ledger, number)
    first = ledger.take(WORKER, 2)
    assert [job.claim.room_sid for job in first if job.claim] == [room_sid(0), room_sid(1)]
    [third] = ledger.take(WORKER, 2, done=first)
    assert started(summaries) == [third.id]
    assert not any(summaries.connection.exists(f"rq:job:{job.id}") for job in first)
    assert ledger.take(WORKER, 0, done=[third]) == []
    assert (started(summaries), summaries.connection.keys("rq:job:*")) == ([], [])


def test_deliveries_are_served_before_summaries(ledger: Ledger, summaries: Queue) -> None:
    open_room(ledger, 0)
    finish(ledger, begin(ledger, "summary"), complete("slack"))
    open_room(ledger, 1)
    open_room(ledger, 2)
    pop(summaries)  # the job of the summary that is there
    claims = [job.claim for job in ledger.take(WORKER, 2)]
    assert [(claim.step, claim.room_sid) for claim in claims if claim] == [
        ("slack", room_sid(0)),
        ("summary", room_sid(1)),
    ]


def test_a_job_that_was_popped_counts_among_those_wanted(ledger: Ledger, summaries: Queue) -> None:
    for number in range(2):
        open_room(ledger, number)
    popped = summaries.connection.lpop(summaries.key)
    assert isinstance(popped, bytes)
    [taken] = ledger.take(WORKER, 1, popped=[(popped.decode(), 2)])
    assert taken.claim is not None
    assert taken.claim.room_sid == room_sid(0)
    assert len(ids_in(summaries)) == 1


def test_a_job_whose_attempt_is_over_is_cleared_away(ledger: Ledger, summaries: Queue) -> None:
    open_room(ledger)
    finish(ledger, begin(ledger, "summary"), complete("slack"))
    assert [job.claim.step for job in ledger.take(WORKER, 2) if job.claim] == ["slack"]
    assert (ids_in(summaries), started(summaries)) == ([], [])


def test_a_job_of_a_held_lane_waits_in_the_due_index_again(ledger: Ledger, summaries: Queue) -> None:
    for number in range(2):
        open_room(ledger, number)
    refused = Outcome("waiting", "auth", "401", counts=False, lane="operator")
    assert finish_and_take(ledger, take_one(ledger), refused).taken is None
    assert (state_of(ledger, "summary", number=1), ids_in(summaries)) == ("waiting", [])
    assert ledger.due()["twilio"][0] == 2


@pytest.mark.parametrize(
    "data",
    [b"", b"\x80\x04pickle", json.dumps(["os.system", None, [room_sid(), "summary", 1], {}]).encode()],
    ids=["nothing", "a pickle", "another function"],
)
def test_what_the_ledger_did_not_write_begins_nothing(ledger: Ledger, summaries: Queue, data: bytes) -> None:
    open_room(ledger)
    [job_id] = ids_in(summaries)
    summaries.connection.hset(f"rq:job:{job_id}", "data", data)
    taken = take_one(ledger)
    assert (taken.id, taken.data, taken.claim) == (job_id, data, None)
    assert state_of(ledger, "summary") == "queued"
    assert started(summaries) == [job_id]


def test_a_job_that_rq_wrote_again_is_given_as_it_stands(ledger: Ledger, summaries: Queue) -> None:
    open_room(ledger)
    [job_id] = ids_in(summaries)
    Job.fetch(job_id, connection=summaries.connection, serializer=JSONSerializer).save()
    taken = take_one(ledger)
    assert taken.claim is None
    assert json.loads(zlib.decompress(taken.data))[2] == [room_sid(), "summary", 1]


def test_the_end_of_a_job_takes_the_next_one(ledger: Ledger, summaries: Queue) -> None:
    for number in range(2):
        open_room(ledger, number)
    first = take_one(ledger)
    finished = finish_and_take(ledger, first, Outcome("waiting", "not_ready", pause=60))
    assert finished.taken is not None
    assert finished.taken.claim is not None
    assert finished.taken.claim.room_sid == room_sid(1)
    assert started(summaries) == [finished.taken.id], "the one before is cleared away"
    assert finish_and_take(ledger, finished.taken, Outcome("waiting", "not_ready", pause=60)).taken is None
    assert (started(summaries), summaries.connection.keys("rq:job:*")) == ([], [])


def test_a_job_that_goes_on_takes_no_other(ledger: Ledger, summaries: Queue, deliveries: Queue) -> None:
    for number in range(2):
        open_room(ledger, number)
    summary = take_one(ledger)
    finished = finish_and_take(ledger, summary, complete("slack", "webhook"), go_on=True)
    assert (finished.taken, len(ids_in(summaries)), started(summaries)) == (None, 1, [summary.id])
    assert finished.following is not None
    last = ledger.finish(finished.following, DELIVERED, took=0.1, next_job=NextJob(WORKER, summary))
    assert last is not None
    assert last.taken is not None
    assert last.taken.claim is not None
    assert (last.taken.claim.room_sid, last.taken.claim.step) == (room_sid(0), "webhook")
    assert (started(summaries), started(deliveries)) == ([], [last.taken.id])


def test_an_attempt_that_was_fenced_off_takes_none(ledger: Ledger, summaries: Queue) -> None:
    open_room(ledger)
    job = take_one(ledger)
    assert job.claim is not None
    ledger.release(room_sid(), "summary", 1)
    ledger.dispatch()
    assert ledger.finish(job.claim, DELIVERED, took=LEASE, next_job=NextJob(WORKER, job)) is None
    assert len(ids_in(summaries)) == 1


@pytest.mark.parametrize(("waiting", "step"), [(1, "summary"), (2, "webhook")])
def test_deliveries_may_wait_while_they_are_few(ledger: Ledger, waiting: int, step: str) -> None:
    for number in range(waiting + 2):
        open_room(ledger, number)
    claims = [job.claim for job in ledger.take(WORKER, waiting + 1)]
    for claim in claims:
        assert claim is not None
        assert ledger.finish(claim, complete("webhook"), took=0.1) is not None
    job = take_one(ledger)
    assert job.claim is not None
    finished = ledger.finish(job.claim, DELIVERED, took=0.1, next_job=NextJob(WORKER, job, may_wait=2))
    assert finished is not None
    assert finished.taken is not None
    assert finished.taken.claim is not None
    assert finished.taken.claim.step == step
