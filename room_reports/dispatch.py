"""From due steps to RQ jobs: how a job is written for RQ, and the dispatcher that every worker process runs.

The ledger's due index is the only clock. The dispatcher asks it to queue what is due and sleeps until the next step is;
any number of dispatchers may run, because taking a step that is due is atomic.
"""

from __future__ import annotations

import re
import threading

import structlog
from redis import Redis
from rq import Queue
from rq.job import Job
from rq.registry import StartedJobRegistry
from rq.serializers import JSONSerializer

from room_reports.ledger import PARTICIPANTS, SUMMARY, JobKind, Ledger, LedgerUnavailable, QueueEntry

PREFIX = "room-reports:"
"""In front of the ledger's keys, where no setting says otherwise."""

FAILURE_TTL = 7 * 24 * 3600
CALLS = {
    SUMMARY: "room_reports.jobs.fetch_summary",
    PARTICIPANTS: "room_reports.jobs.fetch_participants",
    "*": "room_reports.jobs.deliver",
}

log = structlog.get_logger(__name__)


def queues_of(prefix: str) -> tuple[str, str]:
    """RQ's queues for the ledger with this prefix, so that installations on one Redis take no job of one another.

    The one first that workers serve first: rooms that were begun are finished before others are begun, but for as many
    deliveries as have a thread coming to them. So however many summaries wait, a report is on its way once it is known.
    """
    name = prefix.removesuffix(":")
    return f"{name}-deliveries", name


DELIVERIES, SUMMARIES = QUEUES = queues_of(PREFIX)


def job_tag(prefix: str) -> str:
    """What job ids begin with: RQ keeps the jobs of all queues together, and two installations may know one room.

    Nothing for the usual prefix. RQ takes few characters, and the ledger looks for the first `-` behind it.
    """
    if prefix == PREFIX:
        return ""
    return re.sub("[^A-Za-z0-9]", lambda found: f"_{ord(found[0]):x}", prefix.removesuffix(":")) + "_"


def queue_entry(prefix: str = PREFIX) -> QueueEntry:
    """How the ledger writes a job for RQ: a template from a job that RQ itself made, so it follows its version."""
    deliveries, summaries = queues_of(prefix)
    unconnected = Redis()  # nothing is sent
    sample = Job(id="sample", connection=unconnected, serializer=JSONSerializer)
    sample.timeout = -1  # the HTTP limits end an attempt, not a signal, which no thread but the main one would get
    sample.result_ttl = 0
    sample.failure_ttl = FAILURE_TTL
    sample._func_name, sample._args, sample._kwargs = CALLS[SUMMARY], (), {}
    fields = sample.to_dict()
    variable = ("data", "origin", "created_at", "enqueued_at", "description")
    constant = {name: value for name, value in fields.items() if name not in variable and value not in (None, "")}
    constant["status"] = "queued"
    return QueueEntry(
        lists=(list_of(deliveries), list_of(summaries)),
        started=tuple(StartedJobRegistry(name, connection=unconnected).key for name in (deliveries, summaries)),
        queues_key=Queue.redis_queues_keys,
        job_prefix=Job.redis_job_namespace_prefix,
        job_tag=job_tag(prefix),
        fields=tuple(str(part) for pair in constant.items() for part in pair),
        kinds={step: kind_of(deliveries if step == "*" else summaries, call) for step, call in CALLS.items()},
    )


def kind_of(queue: str, call: str) -> JobKind:
    """Jobs of this queue."""
    return JobKind(list=list_of(queue), origin=queue, call=call)


def list_of(queue: str) -> str:
    """The key in which the jobs of this queue wait."""
    return Queue.redis_queue_namespace_prefix + queue


def run_dispatcher(ledger: Ledger, *, every: float, stopping: threading.Event) -> None:
    """Queues what is due until `stopping`, looking again when the next step is due and every `every` seconds at least.

    A Redis that is away is waited for; it is said once when it goes and once when it is back.
    """
    available = True
    pause = every
    while not stopping.wait(pause):
        try:
            queued, wake = ledger.dispatch()
        except LedgerUnavailable as error:
            if available:
                log.warning("dispatcher waits for redis", reason=error.reason)
            available, pause = False, every
            continue
        except Exception:
            # Nothing here may end the thread: a process that no longer dispatches looks alive and is not.
            log.exception("dispatcher failed and goes on")
            pause = every
            continue
        if not available:
            log.info("dispatcher is back")
        available = True
        # A full batch means that more may be due; otherwise nothing is before the time the ledger named.
        pause = 0.01 if queued else min(every, max(wake, 0.005)) if wake is not None else every
