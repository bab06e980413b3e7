"""The three job functions, and how an attempt is run: begun, made, written down and told.

A job begins an attempt in the ledger (which refuses it when it is not the current one), makes it (see `steps`), and
writes the outcome. Whatever happens in between, the step stays due: a job that dies is run again when its lease ends.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog
from structlog.contextvars import bound_contextvars

from room_reports import faults
from room_reports.delivery import Delivery, Notice
from room_reports.errors import Failure
from room_reports.faults import Point
from room_reports.ledger import (
    PARTICIPANTS,
    PROVISIONAL,
    SUMMARY,
    Claim,
    Finished,
    NextJob,
    Outcome,
    Taken,
)
from room_reports.reports import RoomReport
from room_reports.steps import FETCHING, Service, attempt
from room_reports.telemetry.tracing import Span

log = structlog.get_logger(__name__)

_service: Service | None = None
_running: dict[str, Claim] = {}
"""The attempts that run in this process now, by room, step and number: one may overtake another."""


def use(service: Service) -> None:
    """Sets what the jobs of this process work with."""
    global _service
    _service = service


def fetch_summary(room_sid: str, step: str, attempt: int) -> None:
    """RQ job: asks Twilio for a room's summary; what follows from a complete one goes on here.

    Idempotent: a second run of the same attempt does nothing.
    """
    run(room_sid, step, attempt)


def fetch_participants(room_sid: str, step: str, attempt: int) -> None:
    """RQ job: asks Twilio for a room's participants, and goes on like `fetch_summary`."""
    run(room_sid, step, attempt)


def deliver(room_sid: str, step: str, attempt: int) -> None:
    """RQ job: delivers a room's report to one destination. Idempotent like `fetch_summary`."""
    run(room_sid, step, attempt)


def hand_back(room_sid: str, step: str, attempt: int) -> None:
    """Gives up a job that will not be finished here, and what it has gone on to: due at once for another worker."""
    if _service is None:
        return
    _service.ledger.release(room_sid, step, attempt)
    for claim in list(_running.values()):
        if claim.room_sid == room_sid:
            _service.ledger.release(room_sid, claim.step, claim.attempt)


def run(room_sid: str, step: str, attempt: int) -> None:
    """Runs an attempt, if it may begin, and all that follows from it straight away."""
    claim = service_in_use().ledger.begin(room_sid, step, attempt)
    if claim is not None:
        work_off(claim)


def work_off(claim: Claim, next_job: Callable[[], NextJob | None] = lambda: None) -> Taken | None:
    """Makes an attempt that has begun, and then the ones that follow it straight away.

    `next_job` is asked when each outcome is written. Returns the job that was taken with the last one, if any: then the
    one that this was is cleared away.
    """
    service = service_in_use()
    going_on: Claim | None = claim
    report = taken = None
    while going_on is not None:
        running = f"{going_on.room_sid} {going_on.step} {going_on.attempt}"
        _running[running] = going_on
        try:
            finished, report = run_claimed(service, going_on, report, next_job)
        finally:
            del _running[running]
        going_on, taken = (finished.following, finished.taken) if finished else (None, None)
    return taken


def service_in_use() -> Service:
    """What `use` has set. Raises `RuntimeError` before that."""
    if _service is None:
        raise RuntimeError("this process was not set up to run jobs: start it with worker.py")
    return _service


def run_claimed(
    service: Service, claim: Claim, report: RoomReport | None, next_job: Callable[[], NextJob | None]
) -> tuple[Finished | None, RoomReport | None]:
    """Makes the attempt and writes its outcome. Returns what came of that and the report that it is about.

    `report` is what an attempt before it has made of this room, if any. Every line logged meanwhile has the callback's
    request id.
    """
    request_id = claim.row.get("request_id", "")
    facts: dict[str, str | int] = {"step": claim.step, "attempt": claim.attempt, "request_id": request_id}
    name = f"fetch {claim.step}" if claim.step in FETCHING else f"deliver to {claim.step}"
    parent = claim.row.get("traceparent", "")
    with (
        bound_contextvars(request_id=request_id),
        service.traces.span(name, kind="client", room_sid=claim.room_sid, parent=parent, **facts) as span,
    ):
        return make_attempt(service, claim, report, next_job, span)


def make_attempt(
    service: Service,
    claim: Claim,
    report: RoomReport | None,
    next_job: Callable[[], NextJob | None],
    span: Span,
) -> tuple[Finished | None, RoomReport | None]:
    """The same, inside its span."""
    faults.reach(Point.ATTEMPT_BEGUN)
    started = time.monotonic()
    outcome, report = attempt(service, claim, report)
    span.tell(outcome=outcome.state, reason=outcome.reason or "")
    took = time.monotonic() - started
    finished = service.ledger.finish(claim, outcome, took=took, go_on=bool(outcome.opens), next_job=next_job())
    faults.reach(Point.OUTCOME_WRITTEN)
    if finished is None:
        log.info("attempt was overtaken", **claim.facts)
    else:
        tell(service, claim, outcome, finished, took=took)
    return finished, report


def tell(service: Service, claim: Claim, outcome: Outcome, finished: Finished, *, took: float) -> None:
    """One log line for the outcome, and one for a hold that begins or ends; a hold is also told elsewhere."""
    facts = claim.facts | {"took": round(took, 3)}
    if outcome.reason is not None:
        facts |= {"reason": outcome.reason, "detail": outcome.detail}
    if outcome.state == "waiting":
        log.info("attempt did not finish the step", next_in=round(outcome.pause, 3), **facts)
    elif outcome.state == "dead":
        log.error("delivery given up on: dead letter", **facts)
    elif outcome.state == PROVISIONAL and outcome.reason is not None:
        log.warning("no provisional message: the report will be the first", **facts)
    elif outcome.state == PROVISIONAL:
        log.info("provisional message sent", **facts)
    elif outcome.state == "expired":
        log.warning("summary expired before it was fetched", **facts)
    elif claim.step == SUMMARY:
        log.info("summary fetched", completeness=outcome.state, **facts)
    elif claim.step == PARTICIPANTS:
        log.info("participants fetched", completeness=outcome.state, **facts)
    else:
        log.info("report delivered", **facts)
    if finished.hold == "released":
        log.info("hold released", lane=claim.lane)
    elif finished.hold == "held":
        log.warning("held: nothing is sent there for now", lane=claim.lane, **facts)
        tell_elsewhere(service, claim, outcome)


def tell_elsewhere(service: Service, claim: Claim, outcome: Outcome) -> None:
    """Best effort: operators hear of a hold by each other destination, or by those that the plan calls theirs.

    The log and the ledger have it for certain.
    """
    if outcome.hold_for is not None:
        return  # asked to slow down: nobody has to act
    lane = claim.lane
    notice = Notice(lane=lane, reason=outcome.reason or "", detail=outcome.detail, heals=outcome.lane != "operator")
    for name, destination in service.destinations.items():
        if name == lane or not service.plan.is_for_operators(name):
            continue
        try:
            delivery = Delivery(f"msg_hold_{lane}_{int(claim.now.timestamp())}", 1, claim.now)
            destination.notify(notice, delivery)
        except Failure as failure:
            log.warning("could not tell of the hold", lane=lane, destination=name, reason=failure.reason)
