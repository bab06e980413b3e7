"""`GET /metrics` for Prometheus, in the format it asks for, for those who may read it.

With `METRICS_TOKEN`: whoever sends it, others get 403. Without: clients on this machine alone, and for everybody else
the page is not there (404). A client is on this machine when the socket's other end is a loopback address, no proxy
says that it speaks for somebody else, and no setting says that there is a proxy in front.

While Redis is away the answer is 200 all the same, within two seconds: `room_reports_redis_up` is 0, for an alert to
see, and what cannot be known is left out.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response, request
from prometheus_client.exposition import choose_encoder

from config.settings import Settings
from room_reports.ledger import Ledger
from room_reports.metrics import registry_of
from room_reports.web.answers import answer
from room_reports.web.tally_writer import TallyWriter

BY_PROXIES = ("HTTP_FORWARDED", "HTTP_VIA", "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_HOST", "HTTP_X_REAL_IP")
"""Headers that only a request which came through a proxy has."""


def metrics(settings: Settings, ledger: Ledger, writer: TallyWriter) -> Blueprint:
    """The route."""
    blueprint = Blueprint("metrics", __name__)
    registry = registry_of(ledger)
    token = settings.metrics_token.get_secret_value() if settings.metrics_token is not None else None
    is_proxied = settings.public_base_url is not None or settings.trusted_proxies > 0

    @blueprint.get("/metrics")
    def scrape() -> Response:
        if token is not None and not has_token(request.environ, token):
            return answer(403, {"error": "forbidden"})
        if token is None and (is_proxied or not is_local(request.environ)):
            return answer(404, {"error": "not found"})
        writer.write()
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        response = Response(encode(registry), content_type=content_type)
        response.headers["Cache-Control"] = "no-store"
        return response

    return blueprint


def has_token(environ: Mapping[str, Any], token: str) -> bool:
    """Whether a request carries the token."""
    scheme, _, given = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode("latin-1"), token.encode())


def is_local(environ: Mapping[str, Any]) -> bool:
    """Whether a request comes from this very machine."""
    try:
        peer = ipaddress.ip_address(environ.get("REMOTE_ADDR", ""))
    except ValueError:
        return False
    return peer.is_loopback and not any(name in environ for name in BY_PROXIES)
