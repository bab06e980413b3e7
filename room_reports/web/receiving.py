"""Receiving: `POST` and `GET /twilio/rooms`. Verify, parse, open the room in one round trip, answer.

This is a WSGI application of its own: through Flask, which has nothing to add, a callback costs an eighth more.
Checks run from cheap to dear, and nothing of a request is read before its signature holds but what is needed to check
it. Whatever is refused is counted by its reason and logged, thinned out in a flood.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Protocol
from urllib.parse import parse_qs

import structlog

from config.fields import TWILIO_KEEPS
from room_reports.callbacks import ROOM_ENDED, MalformedCallback, StatusCallback, parse, value_of
from room_reports.ledger import Ledger, LedgerUnavailable
from room_reports.telemetry.tracing import Traces
from room_reports.web.answers import LONGEST_BODY, NO_CHUNKS, Environ, Reply, fault, request_id_of, small_json
from room_reports.web.refusals import Refusal, refuse
from room_reports.web.resting import Rest
from room_reports.web.tally import Tally
from room_reports.web.verifying import Verifier, facts_of

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PATH = "/twilio/rooms"
PATHS = frozenset({PATH, f"{PATH}/"})
"""Both, because a redirect would lose the form and a 404 the room."""

METHODS = ("GET", "POST")
FORM = "application/x-www-form-urlencoded"
MOST_PARAMETERS = 1000

TAKEN = {
    "opened": "room opened",
    "known": "room already known",
    "expired": "room ended too long ago: Twilio has deleted its data",
}
"""The log line for each answer of the ledger."""

TAKEN_REPLY = Reply(204)

log = structlog.get_logger(__name__)


class Taker(Protocol):
    """Takes one kind of Twilio's requests."""

    def take(self, environ: Environ, request_id: str) -> Reply:
        """The answer to one request."""


@dataclass
class Receiving:
    """Twilio's requests, each with its `taker` by path, in front of everything else that is served (`others`)."""

    takers: Mapping[str, Taker]
    others: WSGIApplication

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path not in self.takers:
            return self.others(environ, start_response)
        request_id = request_id_of(environ)
        try:
            reply = self.takers[path].take(environ, request_id)
        except Exception as error:
            reply = fault(error, request_id=request_id, path=path)
        body = reply.start(start_response, request_id=request_id)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


@dataclass(frozen=True)
class Receiver:
    """Takes status callbacks. What takes events works with the same parts."""

    ledger: Ledger
    tally: Tally
    verifier: Verifier
    rest: Rest
    traces: Traces

    def take(self, environ: Environ, request_id: str) -> Reply:
        """The answer to one request."""
        try:
            check_method(environ)
            params, account_sid = self.verified(environ)
            callback = self.wanted(params, account_sid)
            if callback is None:
                self.tally.count("ignored")
                log.debug("status callback ignored", request_id=request_id)
                return TAKEN_REPLY
            result = self.open(callback, request_id)
        except Refusal as refusal:
            return refuse(refusal, environ, request_id, tally=self.tally, said="status callback not taken")
        log.info(TAKEN[result], room_sid=callback.room_sid, request_id=request_id)
        return small_json(200, {"result": "too old"}) if result == "expired" else TAKEN_REPLY

    def verified(self, environ: Environ) -> tuple[dict[str, list[str]], str]:
        """The parameters that Twilio signed, and the account with whose token. Raises `Refusal`."""
        host = self.verifier.host_of(environ)
        is_form = environ["REQUEST_METHOD"] == "POST"
        params = decode(read_form(environ) if is_form else environ["QUERY_STRING"])
        signed = self.verifier.signed_parts(environ, host, params if is_form else {})
        return params, self.verifier.check_signature(signed, environ, params.get("AccountSid", ("",))[0])

    def wanted(self, params: Mapping[str, Sequence[str]], account_sid: str) -> StatusCallback | None:
        """The callback of a room of this account that ended; None for every other event. Raises `Refusal`."""
        try:
            if value_of(params, "AccountSid") != account_sid:
                hint = "signed with our token, but AccountSid is not that account's"
                raise Refusal(403, "account", explain=lambda: {"hint": hint})
            if value_of(params, "StatusCallbackEvent") != ROOM_ENDED:
                return None
            return parse(params)
        except MalformedCallback as error:
            raise Refusal(400, "malformed", detail=error.reason) from error

    def open(self, callback: StatusCallback, request_id: str) -> str:
        """Opens the room: `opened`, `known` or `expired`. Raises `Refusal` when Redis does not take it in time."""
        self.rest.check()
        ended = callback.timestamp
        try:
            sid = callback.room_sid
            with self.traces.span("status callback", kind="server", room_sid=sid, request_id=request_id) as span:
                result = self.ledger.open(
                    room_sid=sid,
                    account_sid=callback.account_sid,
                    room_name=callback.room_name or "",
                    ended=ended,
                    callback=callback.to_json(),
                    request_id=request_id,
                    expired=is_too_old(ended),
                    traceparent=span.traceparent,
                )
                span.tell(result=result)
                return result
        except LedgerUnavailable as error:
            raise self.rest.begin_for(error) from error


def is_too_old(ended: datetime | None) -> bool:
    """Whether Twilio keeps nothing of a room any more that ended then (aware UTC)."""
    return ended is not None and datetime.now(UTC) - ended > timedelta(seconds=TWILIO_KEEPS)


def check_method(environ: Environ) -> None:
    """Raises `Refusal` for a request that is neither a GET nor a POST, or whose length is not told beforehand."""
    # Not HEAD either: our GET has an effect, so it is not for looking.
    if environ["REQUEST_METHOD"] not in METHODS:
        raise Refusal(405, "method not allowed", headers={"Allow": ", ".join(METHODS)})
    if "HTTP_TRANSFER_ENCODING" in environ:
        raise Refusal(400, "chunked", detail=NO_CHUNKS)


def read_form(environ: Environ) -> str:
    """The body of a form, still encoded. Raises `Refusal`."""
    if environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower() != FORM:
        raise Refusal(415, "media type")
    length = int(environ.get("CONTENT_LENGTH") or 0)
    if length > LONGEST_BODY:
        raise Refusal(413, "too large")
    body: bytes = environ["wsgi.input"].read(length)
    if len(body) < length:
        raise Refusal(400, "truncated")
    return body.decode("latin-1")


def decode(text: str) -> dict[str, list[str]]:
    """The parameters of a form or query, each with all its values. Raises `Refusal`."""
    if text.count("&") >= MOST_PARAMETERS:
        raise Refusal(413, "too many parameters")
    try:
        # The text has one character for each byte sent; Twilio escapes every byte outside of ASCII.
        text.encode("ascii")
        return parse_qs(text, keep_blank_values=True, errors="strict")
    except ValueError:
        raise Refusal(403, "signature", explain=partial(facts_of, "unverifiable")) from None
