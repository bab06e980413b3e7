"""Answers every view shares: small JSON, a request id, and an answer for whatever goes wrong."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from functools import partial
from typing import Any

import structlog
from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from room_reports.web.tally import Tally

LONGEST_BODY = 64 * 1024
"""Bytes; a status callback has less than one thousand."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

log = structlog.get_logger(__name__)


class EmptyResponse(Response):
    """An answer without a body says nothing of its type."""

    default_mimetype = None


def answer(status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    """A small JSON answer that nobody keeps."""
    response = Response(json.dumps(body) + "\n", status, mimetype="application/json")
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers.update(headers or {})
    return response


def install(app: Flask, tally: Tally) -> None:
    """Gives every request its id, and every error a small answer without a trace."""
    app.before_request(begin)
    app.after_request(end)
    app.register_error_handler(HTTPException, partial(refuse, tally))
    app.register_error_handler(Exception, give_up)
    app.url_map.merge_slashes = False  # a redirect would lose the form


def begin() -> Response | None:
    """Names the request, and refuses one whose length is not told beforehand: reading it may never end."""
    given = request.environ.get("HTTP_X_REQUEST_ID", "")
    g.request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(16)
    if "HTTP_TRANSFER_ENCODING" in request.environ:
        return answer(400, {"error": "send a Content-Length, not chunks"})
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
    """A fault of ours: told in the log alone."""
    log.error("request failed unexpectedly", request_id=g.get("request_id"), path=request.path, exc_info=error)
    return answer(500, {"error": "internal server error"})
