"""Health: is this process alive, can it take callbacks, what version is it. Never asks Twilio or a destination.

The paths with underscores are Dockerflow's: https://github.com/mozilla-services/Dockerflow.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from flask import Blueprint, Response

from room_reports import __version__
from room_reports.ledger import Ledger, LedgerUnavailable
from room_reports.web.answers import answer

VERSION_FILE = Path(__file__).parents[2] / "version.json"


def health(ledger: Ledger) -> Blueprint:
    """The routes. Liveness does not depend on Redis, or an outage of Redis would restart every web process."""
    blueprint = Blueprint("health", __name__)
    version = read_version(VERSION_FILE)

    @blueprint.get("/healthz")
    @blueprint.get("/__lbheartbeat__")
    def alive() -> Response:
        return answer(200, {"status": "ok"})

    @blueprint.get("/readyz")
    @blueprint.get("/__heartbeat__")
    def ready() -> Response:
        checks = {"settings": {"status": "ok"}, "redis": check_redis(ledger)}
        ok = all(check["status"] == "ok" for check in checks.values())
        return answer(200 if ok else 503, {"status": "ok" if ok else "error", "checks": checks})

    @blueprint.get("/__version__")
    def show_version() -> Response:
        return answer(200, version)

    return blueprint


def check_redis(ledger: Ledger) -> dict[str, str]:
    """Whether a row could be written now."""
    try:
        ledger.ping_writable()
    except LedgerUnavailable as error:
        return {"status": "error", "reason": error.reason}
    return {"status": "ok"}


def read_version(path: Path) -> dict[str, Any]:
    """What the build wrote about itself, and our version."""
    built: dict[str, Any] = {"source": None, "commit": None, "build": None}
    if path.exists():
        built.update(json.loads(path.read_text()))
    return {**built, "version": __version__}
