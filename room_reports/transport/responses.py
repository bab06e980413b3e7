"""What a complete reply means for a step."""

from __future__ import annotations

import email.utils
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from room_reports.errors import Configuration, Permanent, Transient

LONGEST_RETRY_AFTER = 3600.0


@dataclass(frozen=True)
class Response:
    """A complete reply of any status. `headers` ignores case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def raise_for_status(response: Response, *, holds: Collection[int] = (), heals: Collection[int] = ()) -> None:
    """Return for 2xx, else raise what the status means for a step.

    408, 425, 429 and 5xx are `Transient`, with what `Retry-After` asks for; a status in `holds` or `heals` means that
    the other side refuses us as a whole (`Configuration`, which heals by itself or not); the rest is `Permanent`.
    """
    status = response.status
    if 200 <= status < 300:
        return
    detail = f"answered {status}"
    if status in holds or status in heals:
        raise Configuration("unauthorized" if status in (401, 403) else "gone", detail, heals=status in heals)
    if status in _TRANSIENT or status >= 500:
        # A date is measured by the clock of the side that wrote it.
        now = _http_date(response.headers.get("Date", "")) or datetime.now(UTC)
        retry_after = parse_retry_after(response.headers.get("Retry-After"), now=now)
        raise Transient(_TRANSIENT.get(status, "server_error"), detail, retry_after=retry_after)
    raise Permanent("redirect" if 300 <= status < 400 else "rejected", detail)


_TRANSIENT = {408: "timeout", 425: "rate_limited", 429: "rate_limited"}


def parse_retry_after(value: str | None, *, now: datetime) -> float | None:
    """Seconds to stay away, 1 to 3600, from a `Retry-After` of seconds or an HTTP date; None for anything else.

    `now` is aware. Never raises, whatever a stranger sends. https://www.rfc-editor.org/rfc/rfc9110#field.retry-after
    """
    text = (value or "").strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]*)?", text):
        digits = text.partition(".")[0].lstrip("0") or "0"
        seconds = float(digits) if len(digits) < 9 else LONGEST_RETRY_AFTER
    elif (date := _http_date(text)) is not None:
        seconds = (date - now).total_seconds()
    else:
        return None
    return min(max(seconds, 1.0), LONGEST_RETRY_AFTER)


def _http_date(text: str) -> datetime | None:
    if not 8 <= len(text) <= 64:
        return None
    try:
        date = email.utils.parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return date if date.tzinfo is not None else date.replace(tzinfo=UTC)
