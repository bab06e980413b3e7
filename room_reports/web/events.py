"""Events: `POST /twilio/events`, for a webhook sink of Twilio's Event Streams.

https://www.twilio.com/docs/events/webhook-quickstart. A sink waits 5 seconds for an answer, throws an event away that
is answered 400, and sends one again for up to 4 hours that is answered anything else but 2xx. So 400 is only for what
must never come back: signed by Twilio and nothing that can be read.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog

from room_reports.events import MalformedEvent, ParticipantEvent, RoomEvent, SinkTest, elements, read
from room_reports.ledger import Ledger, LedgerUnavailable
from room_reports.participants import EVENT_FIELD, MOST_KEPT, Identities
from room_reports.signatures import body_cause
from room_reports.telemetry.tracing import Traces
from room_reports.web.answers import EVENTS_PATH, LONGEST_EVENTS, NO_CHUNKS, Environ, Reply, small_json
from room_reports.web.receiving import is_too_old
from room_reports.web.refusals import Refusal, refuse
from room_reports.web.resting import Rest
from room_reports.web.tally import Tally
from room_reports.web.verifying import Verifier, facts_of

PATHS = frozenset({EVENTS_PATH, f"{EVENTS_PATH}/"})

TAKEN = {
    "opened": "room opened by an event",
    "expired": "event of a room that ended too long ago: noted, not reported",
    "advanced": "an event brought the summary",
    "known": "event of a room already known",
    "late": "event of a room that is reported already",
}
"""The log line for each answer of the ledger."""

COUNTED = "event "
"""What stands before a result where it is counted, to tell it from that of a status callback."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class EventReceiver:
    """Takes what a sink sends."""

    ledger: Ledger
    tally: Tally
    verifier: Verifier
    rest: Rest
    traces: Traces
    identities: Identities

    def take(self, environ: Environ, request_id: str) -> Reply:
        """The answer to one request."""
        try:
            found, account_sid = self.verified(environ)
            results = Counter(self.take_one(element, account_sid, request_id) for element in found)
            return reply_to(results)
        except Refusal as refusal:
            return refuse(refusal, environ, request_id, tally=self.tally, said="event not taken", counted=COUNTED)

    def verified(self, environ: Environ) -> tuple[list[Any], str]:
        """The events that Twilio signed, unread, and the account with whose token. Raises `Refusal`."""
        check_request(environ)
        try:
            host = self.verifier.host_of(environ)
        except Refusal as refusal:
            raise Refusal(421, refusal.reason, explain=refusal.explain) from None
        signed = self.verifier.signed_parts(environ, host, {})
        account_sid = self.verifier.check_signature(signed, environ)
        body = read_body(environ)
        if (cause := body_cause(signed.url, body)) is not None:
            raise Refusal(403, "signature", explain=partial(facts_of, cause))
        try:
            return elements(body), account_sid
        except MalformedEvent as error:
            raise Refusal(400, "malformed", detail=error.reason) from error

    def take_one(self, element: Any, account_sid: str, request_id: str) -> str:
        """What came of one event. Raises `Refusal` when Redis does not take it in time."""
        try:
            event = read(element, self.identities)
        except MalformedEvent as error:
            return self.pass_over("malformed", error.reason, request_id)
        if event is None:
            self.tally.count(f"{COUNTED}ignored")
            return "ignored"
        if not isinstance(event, SinkTest) and event.account_sid != account_sid:
            return self.pass_over("account", "the event's account is not the one whose token signed it", request_id)
        self.rest.check()
        try:
            if isinstance(event, SinkTest):
                return self.note_test(event, request_id)
            if isinstance(event, ParticipantEvent):
                return self.note_participant(event, request_id)
            return self.note_room(event, request_id)
        except LedgerUnavailable as error:
            raise self.rest.begin_for(error) from error

    def note_room(self, event: RoomEvent, request_id: str) -> str:
        """Tells the ledger of a room's event."""
        sid = event.room_sid
        with self.traces.span("event", kind="server", room_sid=sid, request_id=request_id) as span:
            result = self.ledger.note_room_event(
                room_sid=sid,
                account_sid=event.account_sid,
                room_name=event.room_name,
                ended=event.ended,
                summary="" if event.summary is None else to_json(event.summary),
                issues="" if event.issues is None else to_json(event.issues),
                request_id=request_id,
                expired=is_too_old(event.ended),
                traceparent=span.traceparent,
            )
            span.tell(result=result)
        log.info(TAKEN[result], room_sid=sid, request_id=request_id)
        return result

    def note_participant(self, event: ParticipantEvent, request_id: str) -> str:
        """Tells the ledger of a participant's event."""
        result = self.ledger.note_participant_event(
            room_sid=event.room_sid,
            name=EVENT_FIELD + event.participant.participant_sid,
            record=event.participant.to_row(),
            most=MOST_KEPT,
        )
        log.info("event of a participant", result=result, room_sid=event.room_sid, request_id=request_id)
        return result

    def note_test(self, event: SinkTest, request_id: str) -> str:
        """A test of the sink: what Twilio wants to hear of it is kept for `flask event-streams`."""
        if event.test_id is not None:
            self.ledger.note_test_event(event.test_id)
        self.tally.count(f"{COUNTED}test")
        log.info("test event of a sink", test_id=event.test_id, request_id=request_id)
        return "test"

    def pass_over(self, result: str, why: str, request_id: str) -> str:
        """Counts and logs an event that is not taken; those beside it are."""
        if seen := self.tally.count(COUNTED + result):
            log.warning("event passed over", error=result, detail=why, request_id=request_id, so_far=seen)
        return result


def check_request(environ: Environ) -> None:
    """Raises `Refusal` for what a sink with JSON does not send."""
    if environ["REQUEST_METHOD"] != "POST":
        raise Refusal(405, "method not allowed", headers={"Allow": "POST"})
    if "HTTP_TRANSFER_ENCODING" in environ:
        raise Refusal(411, "chunked", detail=NO_CHUNKS)
    media_type = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    if not (media_type == "application/json" or media_type.startswith("application/cloudevents")):
        raise Refusal(415, "media type")
    if int(environ.get("CONTENT_LENGTH") or 0) > LONGEST_EVENTS:
        raise Refusal(413, "too large")


def read_body(environ: Environ) -> bytes:
    """The whole body. Raises `Refusal`."""
    length = int(environ.get("CONTENT_LENGTH") or 0)
    body: bytes = environ["wsgi.input"].read(length)
    if len(body) < length:
        raise Refusal(408, "truncated")
    return body


def reply_to(results: Counter[str]) -> Reply:
    """2xx when anything was of use, or nothing was wrong; a refusal when there was nothing but what cannot be taken."""
    passed_over = {name: results[name] for name in ("malformed", "account") if results[name]}
    if not passed_over:
        return Reply(204)
    if results.total() > sum(passed_over.values()):
        return small_json(200, {"passed over": passed_over})
    if "account" in passed_over:
        return small_json(403, {"error": "account"})
    return small_json(400, {"error": "malformed"})


def to_json(document: object) -> str:
    """Compact JSON."""
    return json.dumps(document, separators=(",", ":"))
