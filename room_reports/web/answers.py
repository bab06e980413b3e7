"""Answers every view shares: small JSON, a request id, and an answer for whatever goes wrong.

A `Reply` knows nothing of Flask, for the status callbacks do without it; what is served by Flask makes a `Response` of
the same.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import structlog
from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from room_reports.web.tally import Tally

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse

LONGEST_BODY = 64 * 1024
"""Bytes; a status callback has less than one thousand."""

EVENTS_PATH = "/twilio/events"
LONGEST_EVENTS = 256 * 1024
"""Bytes of what Event Streams sends at once: a room's event has two thousand, and some 200 for each issue."""

NO_CHUNKS = "send a Content-Length, not chunks"

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

log = structlog.get_logger(__name__)


Environ = Mapping[str, Any]


@dataclass(frozen=True)
class Reply:
    """An answer; without a body it says nothing of its type."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    def start(self, start_response: StartResponse, *, request_id: str) -> bytes:
        """Sends status and headers the WSGI way, and returns the body."""
        headers = [*self.headers.items(), ("X-Request-Id", request_id)]
        if self.body:
            headers.append(("Content-Length", str(len(self.body))))
        start_response(f"{self.status} {HTTPStatus(self.status).phrase}", headers)
        return self.body


def small_json(status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Reply:
    """A small JSON answer that nobody keeps."""
    ours = {"Content-Type": "application/json", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return Reply(status, json.dumps(body).encode() + b"\n", {**ours, **(headers or {})})


def answer(status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    """The same for Flask."""
    return to_flask(small_json(status, body, headers))


def to_flask(reply: Reply) -> Response:
    """A reply as Flask has it."""
    return Response(reply.body, reply.status, reply.headers)


def request_id_of(environ: Environ) -> str:
    """The id that a proxy gave the request, or a new one."""
    given = environ.get("HTTP_X_REQUEST_ID", "")
    return given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(16)


def install(app: Flask, tally: Tally) -> None:
    """Gives every request its id, and every error a small answer without a trace."""
    app.before_request(begin)
    app.after_request(end)
    app.register_error_handler(HTTPException, partial(refuse, tally))
    app.register_error_handler(Exception, give_up)
    app.url_map.merge_slashes = False  # a path is one of ours or it is not: no redirect


def begin() -> Response | None:
    """Names the request, and refuses one whose length is not told beforehand: reading it may never end."""
    g.request_id = request_id_of(request.environ)
    if "HTTP_TRANSFER_ENCODING" in request.environ:
        return answer(400, {"error": "chunked", "detail": NO_CHUNKS})
    return None


def end(response: Response) -> Response:
    """Puts the id on the answer."""
    response.headers["X-Request-Id"] = g.request_id
    return response


def refuse(tally: Tally, error: HTTPException) -> Response:
    """A path that is not there, a method that is not allowed, …"""
    reason = error.name.lower()
    if seen := tally.count(reason):
        facts = {"request_id": g.get("request_id"), "remote": request.remote_addr, "so_far": seen}
        log.info("request refused", error=reason, status=error.code, **facts)
    allowed = ", ".join(sorted(getattr(error, "valid_methods", None) or ()))
    return answer(error.code or 500, {"error": reason}, {"Allow": allowed} if allowed else {})


def give_up(error: Exception) -> Response:
    """A fault of ours, in what Flask serves."""
    return to_flask(fault(error, request_id=g.get("request_id"), path=request.path))


def fault(error: Exception, *, request_id: str | None, path: str) -> Reply:
    """A fault of ours: told in the log alone."""
    log.error("request failed unexpectedly", request_id=request_id, path=path, exc_info=error)
    return small_json(500, {"error": "internal server error"})
