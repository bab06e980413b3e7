"""Errors for Sentry: every line that is logged as one, with its traceback, masked as the log masks it.

None of Sentry's integrations is used: nothing of a request, no breadcrumbs, no local variables, no user. What is told
is what the log line has.
"""

from __future__ import annotations

import atexit
import sys
from collections.abc import Callable, MutableMapping
from typing import Any

import sentry_sdk
from sentry_sdk.types import Event, Hint
from sentry_sdk.utils import event_from_exception

from room_reports import __version__

PATIENCE = 2.0
"""Seconds at the end of the process to send what is left."""

TAGS = ("step", "lane", "destination", "reason", "status", "signal")
"""Facts whose values are of closed sets, so that errors can be told apart by them."""

STANDARD = frozenset({"timestamp", "level", "event", "logger", "exc_info"})
SILENT = ("sentry_sdk", "urllib3", "opentelemetry")
"""Loggers whose errors may come from telling errors: telling these would not end."""

Line = MutableMapping[str, Any]


def reporter(dsn: str, *, mask: Callable[[str], str]) -> Callable[[Line], None]:
    """A function that tells Sentry of an error line. It returns at once and never raises; a thread does the sending."""

    def before_send(event: Event, hint: Hint) -> Event:
        masked: Event = masked_whole(event, mask)
        return masked

    client = sentry_sdk.Client(
        dsn=dsn,
        release=f"room-reports@{__version__}",
        default_integrations=False,
        auto_enabling_integrations=False,
        send_default_pii=False,
        include_local_variables=False,
        max_request_body_size="never",
        before_send=before_send,
        shutdown_timeout=PATIENCE,
    )
    atexit.register(client.close)

    def tell(line: Line) -> None:
        if str(line["logger"]).startswith(SILENT):
            return
        try:
            client.capture_event(*event_of(line, client.options))
        except Exception:
            return  # the log has it; and to log this would begin again

    return tell


def event_of(line: Line, options: dict[str, Any]) -> tuple[Event, Hint]:
    """A log line as Sentry has it."""
    event: Event = {}
    hint: Hint = {}
    error = line.get("exc_info")
    if error:
        caught = sys.exc_info() if error is True else error
        if caught != (None, None, None):
            event, hint = event_from_exception(caught, options, {"type": "logging", "handled": True})
    event["level"] = "fatal" if line["level"] == "critical" else "error"
    event["logger"] = str(line["logger"])
    event["logentry"] = {"message": str(line["event"]), "params": []}
    facts = {name: value for name, value in line.items() if name not in STANDARD}
    event["tags"] = {name: str(value) for name, value in facts.items() if name in TAGS}
    event["extra"] = {name: str(value) for name, value in facts.items() if name not in TAGS}
    return event, hint


def masked_whole(value: Any, mask: Callable[[str], str]) -> Any:
    """The same with every text in it masked, names as well."""
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, dict):
        return {masked_whole(name, mask): masked_whole(inner, mask) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [masked_whole(inner, mask) for inner in value]
    return value
