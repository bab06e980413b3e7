"""Receiving: `POST` and `GET /twilio/rooms`. Verify, parse, open the room in one round trip, answer.

This is a WSGI application of its own: through Flask, which has nothing to add, a callback costs an eighth more.
Checks run from cheap to dear, and nothing of a request is read before its signature holds but what is needed to check
it. Whatever is refused is counted by its reason and logged, thinned out in a flood.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Protocol
from urllib.parse import parse_qs, urlsplit

import structlog

from config.fields import TWILIO_KEEPS
from config.settings import Settings
from room_reports.callbacks import ROOM_ENDED, MalformedCallback, StatusCallback, parse, value_of
from room_reports.ledger import Ledger, LedgerUnavailable
from room_reports.signatures import HINTS, SignedParts, diagnose, verify
from room_reports.telemetry.tracing import Traces
from room_reports.web.answers import LONGEST_BODY, NO_CHUNKS, Environ, Reply, fault, request_id_of, small_json
from room_reports.web.tally import Tally

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PATH = "/twilio/rooms"
PATHS = frozenset({PATH, f"{PATH}/"})
"""Both, because a redirect would lose the form and a 404 the room."""

METHODS = ("GET", "POST")
FORM = "application/x-www-form-urlencoded"
MOST_PARAMETERS = 1000
RETRY_AFTER = 5
REST = 0.5
"""Seconds in which Redis is not asked again after it let one callback wait in vain: the others get their 503 at once
instead of queueing up behind one timeout after the other."""

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
    """Twilio's requests, each with its `taker` by path, in front of everything else that is served (`rest`)."""

    takers: Mapping[str, Taker]
    rest: WSGIApplication

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path not in self.takers:
            return self.rest(environ, start_response)
        request_id = request_id_of(environ)
        try:
            reply = self.takers[path].take(environ, request_id)
        except Exception as error:
            reply = fault(error, request_id=request_id, path=path)
        body = reply.start(start_response, request_id=request_id)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


class Refusal(Exception):
    """A request that is not taken. `reason`: one of a closed set; `explain`: facts for the log, which may be dear.

    `detail` is told to the sender too.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        *,
        detail: str | None = None,
        headers: Mapping[str, str] | None = None,
        explain: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.detail = detail
        self.headers = headers
        self.explain = explain


@dataclass
class Receiver:
    """Takes status callbacks. `tokens`: those of each account, by its SID; `hosts`: the host names it answers to, empty
    for any."""

    ledger: Ledger
    tally: Tally
    tokens: Mapping[str, Sequence[str]] = field(repr=False)
    public_base_url: str | None
    trusted_proxies: int
    hosts: frozenset[str]
    traces: Traces
    resting_until: float = 0.0
    resting_reason: str = ""

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
            return self.refuse(refusal, environ, request_id)
        log.info(TAKEN[result], room_sid=callback.room_sid, request_id=request_id)
        return small_json(200, {"result": "too old"}) if result == "expired" else TAKEN_REPLY

    def verified(self, environ: Environ) -> tuple[dict[str, list[str]], str]:
        """The parameters that Twilio signed, and the account with whose token. Raises `Refusal`."""
        host = self.host_of(environ)
        is_form = environ["REQUEST_METHOD"] == "POST"
        params = decode(read_form(environ) if is_form else environ["QUERY_STRING"])
        signed = SignedParts(
            url=self.signed_url(environ, host),
            params=params if is_form else {},
            signature=environ.get("HTTP_X_TWILIO_SIGNATURE"),
            settings=environ.get("HTTP_X_TWILIO_WEBHOOKS_SIGNATURE_SETTINGS"),
        )
        return params, self.check_signature(signed, environ, params.get("AccountSid", ("",))[0])

    def host_of(self, environ: Environ) -> str:
        """The host that the request is for. Raises `Refusal` when that is not ours."""
        host = forwarded(environ, "HOST", self.trusted_proxies) or environ.get("HTTP_HOST", "")
        if self.hosts and host.lower() not in self.hosts:
            hint = "Host is not that of PUBLIC_BASE_URL: have the proxy pass it on"
            raise Refusal(400, "host", explain=lambda: {"hint": hint})
        return host

    def check_signature(self, signed: SignedParts, environ: Environ, account_sid: str = "") -> str:
        """The account whose token it was made with. Raises `Refusal`.

        `account_sid`: the one that it says it is from; where that is none of ours, every account's tokens are tried.
        """
        accounts = (account_sid,) if account_sid in self.tokens else self.tokens
        for sid in accounts:
            if verify(self.tokens[sid], signed).token is not None:
                return sid
        raise Refusal(403, "signature", explain=partial(self.explain, signed, environ))

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
        self.check_rest()
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
            raise self.away(error) from error

    def check_rest(self) -> None:
        """Raises `Refusal` while Redis is left alone."""
        if time.monotonic() < self.resting_until:
            raise Refusal(503, "redis", headers={"Retry-After": str(RETRY_AFTER)}, detail=self.resting_reason)

    def away(self, error: LedgerUnavailable) -> Refusal:
        """The refusal of what Redis did not take."""
        if error.reason == "timeout":
            self.resting_reason, self.resting_until = error.reason, time.monotonic() + REST
        return Refusal(503, "redis", headers={"Retry-After": str(RETRY_AFTER)}, detail=error.reason)

    def signed_url(self, environ: Environ, host: str) -> str:
        """The URL as Twilio has it: never decoded on the way, for the signature covers each escape."""
        target = environ.get("RAW_URI") or environ.get("REQUEST_URI") or environ["PATH_INFO"]
        if self.public_base_url is not None:
            return f"{self.public_base_url}{target}"
        scheme = forwarded(environ, "PROTO", self.trusted_proxies) or environ["wsgi.url_scheme"]
        return f"{scheme}://{host}{target}"

    def refuse(
        self,
        refusal: Refusal,
        environ: Environ,
        request_id: str,
        *,
        said: str = "status callback not taken",
        counted: str = "",
    ) -> Reply:
        """Counts and logs a refusal, and answers it. `counted`: what stands before its reason where it is counted."""
        body = {"error": refusal.reason}
        if refusal.detail is not None:
            body["detail"] = refusal.detail
        if seen := self.tally.count(counted + refusal.reason):
            log.warning(
                said,
                **body,
                **refusal.explain(),
                status=refusal.status,
                request_id=request_id,
                remote=environ.get("REMOTE_ADDR"),
                so_far=seen,
            )
        return small_json(refusal.status, body, refusal.headers)

    def explain(self, signed: SignedParts, environ: Environ) -> dict[str, str]:
        """Why a signature does not hold and what to do: for the log alone, and too dear for each request of a flood."""
        hosts = [environ.get(f"HTTP_{name}", "") for name in ("HOST", "X_FORWARDED_HOST")]
        tokens = [token for some in self.tokens.values() for token in some]
        cause = diagnose(tokens, signed, other_hosts=[host for host in hosts if host])
        # Of the URL only the scheme: an operator's may hold a secret, a stranger's may hold anything.
        return {"cause": cause, "hint": HINTS[cause], "scheme_seen": signed.url.partition("://")[0]}


def receiver_of(settings: Settings, ledger: Ledger, tally: Tally, traces: Traces) -> Receiver:
    """The receiver that the settings describe."""
    return Receiver(
        ledger=ledger,
        tally=tally,
        tokens={account.sid: account.tokens for account in settings.accounts.values()},
        public_base_url=settings.public_base_url,
        trusted_proxies=settings.trusted_proxies,
        hosts=hosts_of(settings.public_base_url),
        traces=traces,
    )


def hosts_of(base_url: str | None) -> frozenset[str]:
    """The Host headers that a request to this URL may have: with the port, and without where it is the usual one."""
    if base_url is None:
        return frozenset()
    url = urlsplit(base_url)
    usual = 443 if url.scheme == "https" else 80
    name = (url.hostname or "").lower()
    name = f"[{name}]" if ":" in name else name
    port = url.port or usual
    return frozenset({f"{name}:{port}", name} if port == usual else {f"{name}:{port}"})


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


def forwarded(environ: Environ, name: str, hops: int) -> str | None:
    """`X-Forwarded-…` as the farthest trusted proxy wrote it; None when it did not, or when none is trusted."""
    if not hops:
        return None
    values = environ.get(f"HTTP_X_FORWARDED_{name}", "").split(",")
    return values[-hops].strip() or None if len(values) >= hops else None


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
        facts = {"cause": "unverifiable", "hint": HINTS["unverifiable"]}
        raise Refusal(403, "signature", explain=lambda: facts) from None
