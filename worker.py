"""The worker door: settings → logging → the jobs on their threads, the dispatcher and the chores."""

from __future__ import annotations

import gc
import sys
import threading
from functools import partial
from urllib.parse import urlsplit
from zlib import crc32

from rq.serializers import JSONSerializer

from config.cores import keep_to_one_core
from config.loading import exit_with, load_or_exit
from config.logs import configure
from config.settings import Settings
from room_reports import jobs
from room_reports.addresses import private_destination_problems
from room_reports.checks.redis import log_redis_warnings, log_warnings, start_problems, tls_checks
from room_reports.chores import run_chores
from room_reports.concurrent_worker import ConcurrentWorker
from room_reports.connection import loop_client, web_client, worker_client
from room_reports.dispatch import CALLS, queues_of, run_dispatcher
from room_reports.heartbeat import Heartbeat
from room_reports.lanes import make_ledger
from room_reports.ledger import PARTICIPANTS, SUMMARY
from room_reports.service import make_daily, make_service, make_transport
from room_reports.steps import Service
from room_reports.telemetry import start_or_exit
from room_reports.telemetry.tracing import NO_TRACES, Traces
from room_reports.templates import template_problems

COLLECT_EVERY = 20_000
"""Objects that come into being and stay, between two looks of the garbage collector; Python's own rule is 700."""


def main() -> int:
    """Runs a worker until it is told to stop. Returns its exit code: 0 when every job it took was finished."""
    settings = load_or_exit()
    telemetry = start_or_exit(settings)
    configure(settings, on_error=telemetry.on_error)
    with web_client(settings) as hasty:
        problems = [
            *private_destination_problems(settings),
            *template_problems(settings),
            *start_problems(make_ledger(settings, hasty)),
        ]
    if problems:
        exit_with(problems)
    return run(settings, telemetry.traces)


def run(settings: Settings, traces: Traces = NO_TRACES) -> int:
    """Runs a worker with these settings."""
    keep_to_one_core(f"worker-{ledger_mark(settings)}")  # before there are other threads, for they inherit it
    log_warnings(tls_checks(settings.redis_url.get_secret_value(), verified=settings.redis_tls_verify))
    service = make_service(settings, worker_client(settings), make_transport(settings), traces)
    jobs.use(service)
    stopping = threading.Event()
    start_helpers(settings, service, stopping)
    have_less_collected()
    heartbeat = Heartbeat()
    # The main loop has to hear when it is to stop, so nothing in it may be as patient with Redis as the jobs are.
    loop = loop_client(settings)
    worker = ConcurrentWorker(
        queues_of(settings.redis_prefix),
        connection=loop,
        serializer=JSONSerializer,
        threads=settings.worker_threads,
        ledger=make_ledger(settings, loop),
        work_off=jobs.work_off,
        calls={
            CALLS[SUMMARY]: jobs.fetch_summary,
            CALLS[PARTICIPANTS]: jobs.fetch_participants,
            CALLS["*"]: jobs.deliver,
        },
        grace=settings.shutdown_grace,
        hand_back=jobs.hand_back,
        on_turn=heartbeat.beat,
    )
    all_done = worker.work()
    stopping.set()
    heartbeat.forget()
    return 0 if all_done else 1


def start_helpers(settings: Settings, service: Service, stopping: threading.Event) -> None:
    """Starts what a worker does besides, each on a thread of its own that ends with the process: the dispatcher, the
    chores, and one look at how Redis is set up. They begin nothing more once `stopping` is set."""
    chores = partial(
        run_chores,
        service.ledger,
        service.insights,
        reconcile_every=settings.reconcile_every,
        stopping=stopping,
        daily=make_daily(settings, service),
        digest_at=settings.digest_at,
    )
    helpers = {
        "dispatcher": partial(run_dispatcher, service.ledger, every=settings.dispatch_every, stopping=stopping),
        "redis-warnings": partial(log_redis_warnings, service.ledger),
        "chores": chores,
    }
    for name, helper in helpers.items():
        threading.Thread(target=helper, name=name, daemon=True).start()


def have_less_collected() -> None:
    """Has the garbage collector leave alone what is there from the start, and look at the rest less often.

    What a room leaves behind is nearly all freed without it: it looked a few times a room, for nothing, and cost a
    twentieth of the worker's CPU where rooms come one at a time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_EVERY)


def ledger_mark(settings: Settings) -> str:
    """What workers of one ledger have in common: they share out the cores among themselves. Nothing secret is in it."""
    url = urlsplit(settings.redis_url.get_secret_value())
    place = f"{url.netloc.rpartition('@')[2]}{url.path} {settings.redis_prefix}"
    return f"{crc32(place.encode()):08x}"


if __name__ == "__main__":
    sys.exit(main())
