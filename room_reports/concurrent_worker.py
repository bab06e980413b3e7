"""An RQ worker that runs jobs on threads: one process, as many rooms at once as it has threads.

RQ's own workers run one job at a time, fork for it and spend some twenty Redis round trips on it. Here a job is nearly
all waiting for HTTP, so threads carry it. A thread writes the end of a job, clears it away, takes the next one, marks
it started and begins its attempt in one script; the main loop waits for jobs on behalf of threads that found none. What
people look at stays true: `rq info` and dashboards see the worker with its state and counts, the queues, the jobs that
run, and the ones that failed.

It builds on `BaseWorker` as RQ's other workers do and uses of it: registering birth and death, heartbeats, the pubsub
channel, suspension, and the state. Nothing else of RQ is asked to remember anything: a job that is lost with its worker
comes back from the ledger's due index.
"""

from __future__ import annotations

import json
import math
import os
import signal
import socket
import threading
import time
import traceback
import zlib
from collections.abc import Callable, Mapping, Sequence
from queue import SimpleQueue
from types import FrameType
from typing import Any
from uuid import uuid4

import redis
import structlog
from rq import worker_registration
from rq.job import Job, JobStatus
from rq.registry import FailedJobRegistry, StartedJobRegistry
from rq.utils import as_text
from rq.worker import BaseWorker, WorkerStatus

from room_reports import faults
from room_reports.faults import Point
from room_reports.ledger import Claim, Ledger, LedgerUnavailable, NextJob, Taken

BLOCK = 1
"""Seconds to wait for a job when there is none; the longest a stop, a heartbeat or a clearing away can be late."""

HEARTBEAT = 5.0
WORKER_TTL = 30
FAILURE_KEPT = 7 * 24 * 3600
log = structlog.get_logger(__name__)


class ConcurrentWorker(BaseWorker):
    """Runs the jobs of its queues on `threads` threads, those of the first queue first, but for a few that may wait.

    `ledger`: for the main loop, so no more patient with Redis than one that has to hear when it is to stop; `work_off`:
    makes an attempt that has begun, and takes the next job with the end of it; `calls`: the only functions that a job
    may name which does not stand as the ledger wrote it, so that a planted one runs nothing; `hand_back`: called with
    room SID, step and attempt of each job that is still running when the grace time ends; `on_turn`: called on every
    turn of the main loop, also while Redis is away and while the worker stops.
    """

    def __init__(
        self,
        queues: Sequence[str],
        *,
        threads: int,
        ledger: Ledger,
        work_off: Callable[[Claim, Callable[[], NextJob | None]], Taken | None],
        calls: Mapping[str, Callable[..., object]],
        grace: float,
        hand_back: Callable[..., object],
        on_turn: Callable[[], None],
        **options: Any,
    ) -> None:
        # Unprepared, for RQ's preparation asks Redis, and a worker must be able to start before it.
        super().__init__(
            list(queues), worker_ttl=WORKER_TTL, log_job_description=False, prepare_for_work=False, **options
        )
        self.hostname, self.pid = socket.gethostname(), os.getpid()
        self._threads = threads
        self._ledger = ledger
        self._work_off = work_off
        self._calls = calls
        self._grace = grace
        self._hand_back = hand_back
        self._on_turn = on_turn
        self._keys = [queue.key for queue in self.queues]
        self._started_keys = [StartedJobRegistry(queue=queue).key for queue in self.queues]
        self._failed_keys = [FailedJobRegistry(queue=queue).key for queue in self.queues]
        self._free = threading.Semaphore(threads)
        """Counts the threads that found no job and wait to be given one."""
        self._given: SimpleQueue[Taken] = SimpleQueue()
        self._running: dict[str, Sequence[Any]] = {}
        """What runs: the arguments of each job by its id, none for one of which they are not known."""
        self._done: SimpleQueue[Taken] = SimpleQueue()
        """What has ended and is still to be cleared away."""
        self._suspended = False
        self._next_heartbeat = 0.0
        self._grace_ends = math.inf

    @property
    def connection_timeout(self) -> int:
        """Seconds that RQ insists a command may take: longer than we wait for a job."""
        return BLOCK + 4

    @property
    def busy(self) -> int:
        """How many threads run a job now."""
        return len(self._running)

    def work(self, *args: Any, **kwargs: Any) -> bool:
        """Takes and runs jobs until SIGTERM or SIGINT. Returns whether every job taken was finished within the grace.

        Redis may come and go meanwhile.
        """
        self._install_signal_handlers()
        for number in range(self._threads):
            threading.Thread(target=self._run_jobs, name=f"job-{number}", daemon=True).start()
        registered = away = False
        while not self._stop_requested:
            self._on_turn()
            try:
                if not registered:
                    self.name = uuid4().hex  # a birth that Redis cut short blocks its name
                    self.bootstrap(logging_level=None)
                    registered = True
                self._take_some()
                away = False
            except (redis.RedisError, LedgerUnavailable) as error:
                log.warning("worker waits for redis", error=type(error).__name__)
                away = True
                time.sleep(1)
        return self._stop(says_goodbye=registered and not away)

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        """Signal handler: stop taking jobs. Asked twice it is the same: the jobs that run have the grace time."""
        self._stop_requested = True
        self._grace_ends = min(self._grace_ends, time.monotonic() + self._grace)

    def _install_signal_handlers(self) -> None:
        signal.signal(signal.SIGINT, self.request_stop)
        signal.signal(signal.SIGTERM, self.request_stop)

    def _take_some(self) -> None:
        """Takes as many jobs as there are threads without one; waits for a job when there is none."""
        self._beat()
        slots = self._free_slots()
        if slots == 0:
            return
        taken: list[Taken] = []
        try:
            taken = self._take(slots)
            if not taken and not self._stop_requested:
                popped = self.connection.blpop(self._keys, timeout=BLOCK)
                if popped:
                    faults.reach(Point.JOB_POPPED)
                    number = self._keys.index(as_text(popped[0])) + 1
                    taken = self._take(slots, (as_text(popped[1]), number))
        finally:
            for _ in range(slots - len(taken)):
                self._free.release()
        for job in taken:
            self._running[job.id] = arguments_of(job)
            self._given.put(job)

    def _free_slots(self) -> int:
        """Claims every thread without a job, waiting a moment for the first."""
        if not self._free.acquire(timeout=BLOCK):
            return 0
        slots = 1
        while slots < self._threads and self._free.acquire(blocking=False):
            slots += 1
        return slots

    def _take(self, count: int, *popped: tuple[str, int]) -> list[Taken]:
        """One round trip: clears away what is done, takes up to `count` jobs and begins their attempts.

        `popped` were taken from the queue of this number already.
        """
        done = []
        while not self._done.empty():
            done.append(self._done.get())
        try:
            return self._ledger.take(self.name, count, done=done, popped=popped)
        except LedgerUnavailable:
            for job in done:
                self._done.put(job)
            raise

    def _run_jobs(self) -> None:
        """What each thread does: one job after another, the first one and any after a pause given by the main loop."""
        while True:
            job: Taken | None = self._given.get()
            while job is not None:
                following = self._perform(job)
                if following is not None:
                    self._running[following.id] = arguments_of(following)
                self._running.pop(job.id, None)
                job = following
            self._free.release()

    def _perform(self, job: Taken) -> Taken | None:
        """Runs a job and sees to its end in RQ: cleared away, or kept with its traceback for people to look at.

        Returns the next one where it was taken in the same round trip in which the end of this one was written.
        """
        following = None
        try:
            if job.claim is not None:
                following = self._work_off(job.claim, lambda: self._next_job(job))
            else:
                self._call(job)
        except LedgerUnavailable as error:
            # No failure of the job: its step stays due and runs again when Redis is back.
            log.warning("job ended without redis", job_id=job.id, reason=error.reason)
        except Exception as error:
            log.error("job failed", job_id=job.id, error=type(error).__name__)
            self._record_failure(job, traceback.format_exc())
            return None
        else:
            self.successful_job_count += 1
        if following is None:
            self._done.put(job)
        return following

    def _next_job(self, job: Taken) -> NextJob | None:
        """The wish of a thread that is done with this one; none when it is not the time to take any.

        A thread whose job was of the queue that is served first takes of another one next, as long as what waits there
        is no more than the other threads will come to. Else threads that began together would stay together: whoever
        is early would help the others out, and all of them would begin to wait for Twilio at one time.
        """
        if self._stop_requested or self._suspended:
            return None
        return NextJob(self.name, job, may_wait=self._threads if job.queue == 1 else 0)

    def _call(self, job: Taken) -> None:
        """Calls what a job names that the ledger did not write, or not as it stands. Raises where that is not ours."""
        name, arguments = call_of(job.data)
        if name not in self._calls:
            raise PermissionError("this worker runs no such function")
        self._running[job.id] = arguments
        self._calls[name](*arguments)

    def _record_failure(self, job: Taken, trace: str) -> None:
        """Puts a job among RQ's failed ones. Written by hand, for a job that RQ cannot read it cannot save either."""
        self.failed_job_count += 1
        key = Job.redis_job_namespace_prefix + job.id
        try:
            with self.connection.pipeline() as pipeline:
                pipeline.hset(
                    key, mapping={"status": JobStatus.FAILED.value, "exc_info": zlib.compress(trace.encode())}
                )
                pipeline.expire(key, FAILURE_KEPT)
                pipeline.zadd(self._failed_keys[job.queue - 1], {job.id: int(time.time()) + FAILURE_KEPT})
                pipeline.zrem(self._started_keys[job.queue - 1], f"{job.id}:{self.name}")
                pipeline.execute()
        except redis.RedisError as error:
            log.error("failed job could not be recorded", job_id=job.id, error=type(error).__name__)

    def _beat(self) -> None:
        """Every few seconds: says that the worker lives, whether it is busy, and what it has done."""
        now = time.monotonic()
        if now < self._next_heartbeat:
            return
        self._next_heartbeat = now + HEARTBEAT
        state = WorkerStatus.BUSY if self._running else WorkerStatus.IDLE
        with self.connection.pipeline(transaction=False) as pipeline:
            # All of it every time, so that `rq info` sees the worker again after a Redis that forgot everything.
            worker_registration.register(self, pipeline)
            pipeline.hset(self.key, mapping=self.serialize())
            self.set_state(state, pipeline=pipeline)
            self.heartbeat(pipeline=pipeline)
            pipeline.hset(
                self.key,
                mapping={
                    "successful_job_count": self.successful_job_count,
                    "failed_job_count": self.failed_job_count,
                },
            )
            for key in self._started_keys:
                pipeline.zremrangebyscore(key, "-inf", int(time.time()))  # left by workers that died
            pipeline.execute()
        self._ledger.note_worker(self.name, threads=self._threads, busy=self.busy)
        self._suspended = True  # or the threads would go on taking jobs while this waits for `rq resume`
        self.check_for_suspension(burst=False)
        self._suspended = False

    def _stop(self, *, says_goodbye: bool) -> bool:
        """Waits for the jobs that run, hands back the ones that outlast the grace time, and says goodbye.

        Without Redis there is nobody to say it to, and no time to wait for it: the leases heal what is left.
        """
        log.info("worker stops", running=self.busy)
        while self._running and time.monotonic() < self._grace_ends:
            self._on_turn()
            time.sleep(0.05)
        late = {job_id: arguments for job_id, arguments in self._running.items() if arguments}
        try:
            if says_goodbye:
                self.connection.ping()  # it may have gone meanwhile, and the ledger would wait for it
                for job_id, arguments in late.items():
                    log.warning("job handed back", job_id=job_id)
                    self._hand_back(*arguments)
                self._take(0)
                self.teardown()  # type: ignore[no-untyped-call]
        except (redis.RedisError, LedgerUnavailable) as error:
            log.warning("worker could not say goodbye", error=type(error).__name__)
        log.info("worker stopped", unfinished=len(late))
        return not late


def arguments_of(job: Taken) -> Sequence[Any]:
    """What the job is called with, as far as that is known without running it."""
    claim = job.claim
    return (claim.room_sid, claim.step, claim.attempt) if claim is not None else ()


def call_of(data: bytes) -> tuple[str, list[Any]]:
    """The name of the function that a job calls, and its arguments. Nothing is unpickled, imported or looked up.

    RQ keeps a call as `[function, instance, arguments, named arguments]` and compresses what it writes itself, as when
    an operator requeues a failed job. Raises an exception for anything else.
    """
    name, instance, arguments, named = json.loads(data if data.startswith(b"[") else zlib.decompress(data))
    if instance is not None or named != {} or not isinstance(arguments, list):
        raise ValueError("not a call of a function with a list of arguments")
    return name, arguments
