"""The three job functions, and the one place that decides what follows from an attempt.

A job begins an attempt in the ledger (which refuses it when it is not the current one), talks to Twilio or to one
destination, and writes the outcome. Whatever happens in between, the step stays due: a job that dies is run again when
its lease ends.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import structlog
from structlog.contextvars import bound_contextvars

from config.destinations import NO_PLAN, Plan
from config.thresholds import Thresholds
from room_reports import faults
from room_reports.callbacks import StatusCallback
from room_reports.costs import NO_RATES, Rates
from room_reports.destinations import Delivery, Destination, Notice
from room_reports.errors import Configuration, Failure, Permanent, Transient
from room_reports.faults import Point
from room_reports.insights import KEPT, Fetched, InsightsClient, State, state_of
from room_reports.ledger import (
    PARTICIPANTS,
    PROVISIONAL,
    SUMMARY,
    Claim,
    Day,
    Finished,
    LaneNews,
    Ledger,
    NextJob,
    Outcome,
    Taken,
    moment,
)
from room_reports.participants import Identities, fields_of, known_in
from room_reports.report_building import build_report, origin_of_summary
from room_reports.reports import Provenance, RoomReport
from room_reports.routing import route, traits_of
from room_reports.telemetry.tracing import NO_TRACES, Span, Traces
from room_reports.verdicts import usual_of

JITTER = 0.1
"""Pauses are lengthened by up to a tenth, so that rooms that ended together do not come back together."""

DOWN = frozenset({"timeout", "connection", "dns", "tls", "server_error"})
"""Failures that, many in a row, mean that the other side is down."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Patience:
    """How long one kind of step is tried, in seconds: pauses after each attempt, and when it is given up."""

    waits: Sequence[float]
    deadline: float

    def pause(self, *, tries: int, waited: float) -> float:
        """Seconds until the next attempt after `tries` earlier ones; the last attempt comes at the deadline."""
        pause = self.waits[min(tries, len(self.waits) - 1)] * random.uniform(1, 1 + JITTER)  # noqa: S311 - not a secret
        return max(min(pause, self.deadline - waited), 0.01)

    def is_over(self, waited: float) -> bool:
        """Whether the deadline has passed."""
        return waited >= self.deadline


@dataclass(frozen=True)
class Service:
    """What the jobs work with; made once per process. `insights`: Twilio for each account, by its lane."""

    ledger: Ledger
    insights: Mapping[str, InsightsClient]
    destinations: Mapping[str, Destination]
    summary_patience: Patience
    participants_patience: Patience
    delivery_patience: Patience
    with_participants: bool
    identities: Identities
    console_url: str
    thresholds: Thresholds
    rates: Rates = NO_RATES
    usual_durations: bool = False
    plan: Plan = NO_PLAN
    traces: Traces = NO_TRACES


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
    try:
        fetch = FETCHING.get(claim.step)
        outcome = fetch(service, claim) if fetch else make_delivery(service, claim, report)
    except Exception:
        # A fault of ours must not lose the room: it is tried again like any other failure, and shows in the log.
        log.exception("attempt failed unexpectedly", **facts_of(claim))
        outcome = after_failure(service, claim, Transient("internal", "an unexpected error, see the log"))
    if outcome.opens and PARTICIPANTS not in outcome.opens:
        outcome, report = with_report(service, claim, with_usual(service, claim, outcome))
    span.tell(outcome=outcome.state, reason=outcome.reason or "")
    took = time.monotonic() - started
    finished = service.ledger.finish(claim, outcome, took=took, go_on=bool(outcome.opens), next_job=next_job())
    faults.reach(Point.OUTCOME_WRITTEN)
    if finished is None:
        log.info("attempt was overtaken", **facts_of(claim))
    else:
        tell(service, claim, outcome, finished, took=took)
    return finished, report


def with_usual(service: Service, claim: Claim, outcome: Outcome) -> Outcome:
    """Has the row say how long rooms of this name usually last, where that is wanted and known."""
    usual = usual_of(service.ledger.lengths(claim)) if service.usual_durations else None
    return outcome if usual is None else replace(outcome, fields={**outcome.fields, "usual": usual})


def with_report(service: Service, claim: Claim, outcome: Outcome) -> tuple[Outcome, RoomReport | None]:
    """Makes the report with which the deliveries begin, and has the ledger keep what it says of the room."""
    try:
        report = report_of(service, claim, claim.row_after(outcome))
    except Exception:
        # The deliveries are tried like any other attempt, and are what is given up on in the end.
        log.exception("report could not be made", **facts_of(claim))
        return outcome, None
    derived = report.data.derived
    day = Day(
        rooms=1,
        participant_seconds=round((derived.participant_minutes or 0) * 60),
        recorded_seconds=round((derived.recorded_minutes or 0) * 60),
    )
    verdicts = json.dumps([verdict.code for verdict in report.data.verdicts])
    lasted = derived.duration_seconds if service.usual_durations else None
    if outcome.state == "expired":
        return replace(outcome, fields={**outcome.fields, "verdicts": verdicts}), report  # it counts for nothing
    outcome = replace(outcome, fields={**outcome.fields, "verdicts": verdicts}, day=day, lasted=lasted)
    return with_route(service, claim, outcome, report) if service.plan.routes else outcome, report


def with_route(service: Service, claim: Claim, outcome: Outcome, report: RoomReport) -> Outcome:
    """Has only those deliveries begin that the rules want, and the row say which rule wanted each."""
    found = route(service.plan, traits_of(report), outcome.opens)
    if not found.to:
        log.info("room goes to no destination", by=found.looks[-1].label, **facts_of(claim))
    # A message that says that the report follows is not left alone.
    begun = {name: "begun when the room ended" for name in outcome.opens if f"{name}.series" in claim.row}
    sent_by = {**begun, **found.sent_by}
    opens = tuple(name for name in outcome.opens if name in sent_by)
    return replace(outcome, opens=opens, fields={**outcome.fields, "routes": json.dumps(sent_by)})


def ask_for_summary(service: Service, claim: Claim) -> Outcome:
    """One attempt of the summary step: Twilio is asked, unless an event has brought the summary already."""
    if claim.row.get("summary.source") == "event":
        state = state_of(json.loads(claim.row["summary"]).get("processing_state") or "complete")
        return with_settled(service, state, fields={}, lane="neutral")
    try:
        fetched = insights_for(service, claim).fetch(claim.room_sid, account_sid=claim.row["account"])
    except Failure as failure:
        return after_failure(service, claim, failure)
    faults.reach(Point.SUMMARY_FETCHED)
    asked = fields_of_asking(claim, fetched)
    if fetched.state == "not_found" and is_past_keeping(claim):
        begun = tuple(name for name in service.destinations if f"{name}.series" in claim.row)
        return Outcome("expired", "gone", "Twilio keeps a summary for 7 days", fields=asked, opens=begun)
    if fetched.settled:
        return with_settled(service, fetched.state, fields=asked, lane="healthy")
    detail = f"Twilio says {fetched.state}"
    if service.summary_patience.is_over(claim.waited):
        return Outcome("partial", "not_ready", detail, fields=asked, opens=after_summary(service))
    pause = service.summary_patience.pause(tries=claim.tries, waited=claim.waited)
    return Outcome("waiting", "not_ready", detail, pause=pause, fields=asked)


def insights_for(service: Service, claim: Claim) -> InsightsClient:
    """Twilio for the account of this room. Raises `Configuration` when it is in the settings no more."""
    found = service.insights.get(claim.lane)
    if found is None:
        raise Configuration("not_configured", "the account of this room is not in the settings", heals=True)
    return found


def with_settled(service: Service, state: State, *, fields: Mapping[str, str | int | float], lane: LaneNews) -> Outcome:
    """What a summary leads to that Twilio will add nothing to, wherever it came from."""
    opens = after_summary(service)
    if state == "complete":
        return Outcome("complete", lane=lane, fields=fields, opens=opens)
    detail = "Twilio stopped before the summary was complete"
    return Outcome("partial", "not_ready", detail, lane=lane, fields=fields, opens=opens)


def after_summary(service: Service) -> tuple[str, ...]:
    """What begins when a summary is finished."""
    return (PARTICIPANTS,) if service.with_participants else tuple(service.destinations)


def ask_for_participants(service: Service, claim: Claim) -> Outcome:
    """One attempt of the participants step: Twilio is asked, unless events have told of every one."""
    deliveries = tuple(service.destinations)
    if is_told_of_all(claim.row):
        return Outcome("complete", lane="neutral", opens=deliveries)
    try:
        known = insights_for(service, claim).participants(
            claim.room_sid, account_sid=claim.row["account"], identities=service.identities
        )
    except Failure as failure:
        return after_failure(service, claim, failure)
    faults.reach(Point.PARTICIPANTS_FETCHED)
    return Outcome("complete", fields=fields_of(known), opens=deliveries)


def is_told_of_all(row: Mapping[str, str]) -> bool:
    """Whether events have told of as many participants as the summary counts."""
    known = known_in(row)
    counted = json.loads(row.get("summary") or "{}").get("unique_participants")
    return known is not None and isinstance(counted, int) and len(known.participants) + known.left_out >= counted


FETCHING: Mapping[str, Callable[[Service, Claim], Outcome]] = {
    SUMMARY: ask_for_summary,
    PARTICIPANTS: ask_for_participants,
}
"""The steps that ask Twilio."""


def make_delivery(service: Service, claim: Claim, report: RoomReport | None) -> Outcome:
    """One attempt of the delivery to one destination."""
    try:
        destination = service.destinations.get(claim.step)
        if destination is None:
            raise Configuration("not_configured", f"no destination {claim.step} in the settings", heals=True)
        report = report or report_of(service, claim, claim.row)
        faults.reach(Point.REPORT_BUILT)
        noted = destination.send(report, delivery_of(claim))
    except Failure as failure:
        return after_failure(service, claim, failure)
    faults.reach(Point.REPORT_SENT)
    # With the number of the attempt, so that a later one knows whether another came between.
    fields = {f"{claim.step}.noted": json.dumps({**noted, "attempt": str(claim.attempt)})} if noted else {}
    return Outcome(PROVISIONAL if is_provisional(claim) else "delivered", fields=fields)


def delivery_of(claim: Claim) -> Delivery:
    """What a destination is told of this attempt."""
    noted: dict[str, str] = json.loads(claim.row.get(f"{claim.step}.noted", "{}"))
    last = int(noted.pop("attempt", 0))
    return Delivery(
        delivery_id(claim),
        claim.attempt,
        claim.now,
        is_provisional=is_provisional(claim),
        noted=noted,
        since=moment(claim.row.get("opened")),
        is_certain=claim.attempt == last + 1,
        asked=claim.asked,
    )


def is_provisional(claim: Claim) -> bool:
    """Whether a delivery is at its first part, which says that the room has ended: its report has not been made."""
    return claim.series == 0 and "verdicts" not in claim.row


def delivery_id(claim: Claim) -> str:
    """The same for every attempt of one delivery, another for a resend; receivers drop repeats by it."""
    return f"msg_{claim.room_sid}_{claim.step}_{claim.series}"


def report_of(service: Service, claim: Claim, row: Mapping[str, str]) -> RoomReport:
    """The report as it stands in this row."""
    summary: dict[str, Any] | None = json.loads(row["summary"]) if row.get("summary") else None
    return build_report(
        room_sid=claim.room_sid,
        account_sid=row["account"],
        room_name=row.get("name") or None,
        callback=StatusCallback.from_json(row["callback"]) if row.get("callback") else None,
        summary=summary,
        is_complete=row["summary.state"] == "complete",
        reason=row.get("summary.reason"),
        provenance=Provenance(
            source=row["source"],
            first_asked_at=moment(row.get("first_asked")),
            last_asked_at=moment(row.get("last_asked")),
            times_asked=int(row.get("asked", 0)),
            summary_from=origin_of_summary(row.get("summary.source"), summary),
        ),
        reported_at=claim.now,
        console_url=service.console_url,
        thresholds=service.thresholds,
        rates=service.rates,
        usual_duration=float(row["usual"]) if row.get("usual") else None,
        participants=known_in(row),
        participants_missing=row.get("participants.state", "complete") != "complete",
        issues=json.loads(row["issues"]) if row.get("issues") else None,
    )


def fields_of_asking(claim: Claim, fetched: Fetched | None) -> dict[str, str | int | float]:
    """What to keep in the row of having asked Twilio, and of what it said."""
    fields: dict[str, str | int | float] = {
        "asked": int(claim.row.get("asked", 0)) + 1,
        "last_asked": repr(claim.now.timestamp()),
    }
    if "first_asked" not in claim.row:
        fields["first_asked"] = fields["last_asked"]
    if fetched is not None and fetched.raw is not None:
        fields["summary"] = json.dumps(fetched.raw, separators=(",", ":"))
    return fields


def is_past_keeping(claim: Claim) -> bool:
    """Whether the room ended so long ago that Twilio has deleted its summary."""
    ended = moment(claim.row.get("ended"))
    return ended is not None and claim.now - ended > KEPT


def after_failure(service: Service, claim: Claim, failure: Failure) -> Outcome:
    """What a failed attempt leads to. The one place where retries are decided.

    A refusal of us as a whole holds the lane and costs the room nothing. Anything transient is tried again until the
    deadline. Then, and after a permanent failure, a delivery becomes a dead letter, and what Twilio did not give is
    done without: the report goes out with what is known.
    """
    patience = {SUMMARY: service.summary_patience, PARTICIPANTS: service.participants_patience}.get(
        claim.step, service.delivery_patience
    )
    fields = fields_of_asking(claim, None) if claim.step == SUMMARY else {}
    outcome = partial(Outcome, reason=failure.reason, detail=failure.detail, lane=news_of(failure), fields=fields)
    if isinstance(failure, Configuration):
        return outcome("waiting", counts=False)
    if isinstance(failure, Transient) and not patience.is_over(claim.waited):
        pause = max(patience.pause(tries=claim.tries, waited=claim.waited), failure.retry_after or 0)
        return outcome("waiting", pause=pause, hold_for=failure.retry_after)
    if claim.step == SUMMARY:
        return outcome("partial", opens=after_summary(service))
    if claim.step == PARTICIPANTS:
        return outcome("partial", opens=tuple(service.destinations))
    return outcome(PROVISIONAL if is_provisional(claim) else "dead")


def news_of(failure: Failure) -> LaneNews:
    """What a failure says of the other side as a whole."""
    if isinstance(failure, Configuration):
        return "heals" if failure.heals else "operator"
    if isinstance(failure, Transient) and failure.retry_after is not None:
        return "heals"
    if failure.reason in DOWN:
        return "failing"
    return "healthy" if isinstance(failure, Permanent) else "neutral"


def tell(service: Service, claim: Claim, outcome: Outcome, finished: Finished, *, took: float) -> None:
    """One log line for the outcome, and one for a hold that begins or ends; a hold is also told elsewhere."""
    facts = facts_of(claim) | {"took": round(took, 3)}
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


def facts_of(claim: Claim) -> dict[str, Any]:
    """What every log line about an attempt carries."""
    return {
        "room_sid": claim.room_sid,
        "step": claim.step,
        "attempt": claim.attempt,
        "request_id": claim.row.get("request_id", ""),
    }
