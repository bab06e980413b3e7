"""What one attempt of each kind of step does, and the outcome it comes to: the one place that decides what follows.

Nothing here writes to the ledger; what an outcome brings about there is `finish.lua`.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import structlog

from config.destinations import NO_PLAN, Plan
from config.thresholds import Thresholds
from room_reports import faults
from room_reports.callbacks import StatusCallback
from room_reports.costs import NO_RATES, Rates
from room_reports.delivery import Delivery, Destination
from room_reports.errors import Configuration, Failure, Permanent, Transient
from room_reports.faults import Point
from room_reports.insights import KEPT, Fetched, InsightsClient, State, state_of
from room_reports.ledger import (
    PARTICIPANTS,
    PROVISIONAL,
    SUMMARY,
    Claim,
    Day,
    LaneNews,
    Ledger,
    Outcome,
    moment,
)
from room_reports.participants import Identities, fields_of, known_in
from room_reports.recent import RecentReports
from room_reports.report_building import build_report, origin_of_summary
from room_reports.reports import Provenance, RoomReport
from room_reports.routing import route, traits_of
from room_reports.telemetry.tracing import NO_TRACES, Traces
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
    """What the jobs work with; made once per process. `insights`: Twilio for each account, by its lane; `recent`: the
    reports with which deliveries began here."""

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
    recent: RecentReports
    rates: Rates = NO_RATES
    usual_durations: bool = False
    plan: Plan = NO_PLAN
    traces: Traces = NO_TRACES


def attempt(service: Service, claim: Claim, report: RoomReport | None) -> tuple[Outcome, RoomReport | None]:
    """Asks Twilio or delivers. Returns what that came to, and the report with which deliveries begin, if any do.

    `report` is what an attempt before has made of this room, if any. Raises `LedgerUnavailable` where the ledger is
    asked how long rooms of this name last.
    """
    try:
        fetch = FETCHING.get(claim.step)
        outcome = fetch(service, claim) if fetch else make_delivery(service, claim, report)
    except Exception:
        # A fault of ours must not lose the room: it is tried again like any other failure, and shows in the log.
        log.exception("attempt failed unexpectedly", **claim.facts)
        outcome = after_failure(service, claim, Transient("internal", "an unexpected error, see the log"))
    if outcome.opens and PARTICIPANTS not in outcome.opens:
        return with_report(service, claim, with_usual(service, claim, outcome))
    return outcome, report


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
        log.exception("report could not be made", **claim.facts)
        return outcome, None
    service.recent.keep(claim.room_sid, report)
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
        log.info("room goes to no destination", by=found.looks[-1].label, **claim.facts)
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
        if report is None and claim.series == 1:
            report = service.recent.find(claim.room_sid)
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
