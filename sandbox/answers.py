"""How a fake service answers, as plain values: the vocabulary of scripts, switches and random faults.

The same `Answer` goes for all three services. With `status=None` the service answers what it would by itself (Twilio a
summary, Slack `ok` or its refusal, the receiver 204 or 401), in the given manner; with a status it answers that, with
the body the vendor would send unless one is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, Literal

Manner = Literal[
    "whole",
    "half",  # the first half of the body as a complete response: truncated JSON
    "cut",  # Content-Length promises all, the connection closes after half
    "drip_headers",  # status line and headers byte by byte, `pace` seconds each
    "drip_body",  # body byte by byte, `pace` seconds each
    "endless",  # chunks for ever, as fast as they are read
    "huge",  # `size` bytes of white space before the body
    "bomb",  # the same, gzipped to almost nothing
    "reset",  # the request is read, then TCP RST
    "hang",  # the request is read, nothing is ever answered
]


@dataclass(frozen=True)
class Answer:
    """One answer of a script, given `times` times (None: for ever) or for `seconds` from its first use.

    `fields` replace or add to what the fake Twilio says; `accepted=False` keeps a message from counting as arrived.
    """

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    manner: Manner = "whole"
    pace: float = 0.05
    size: int = 100_000_000
    delay: float = 0.0
    accepted: bool = True
    times: int | None = 1
    seconds: float | None = None

    def repeated(self, times: int) -> Answer:
        """The same answer, `times` times in a row."""
        return replace(self, times=times)

    def forever(self) -> Answer:
        """The same answer until the script is replaced."""
        return replace(self, times=None)

    def lasting(self, seconds: float) -> Answer:
        """The same answer for `seconds` from its first use, however often it is asked for."""
        return replace(self, times=None, seconds=seconds)

    def after(self, seconds: float) -> Answer:
        """The same answer, held back for `seconds`."""
        return replace(self, delay=seconds)

    def to_json(self) -> dict[str, Any]:
        """A JSON object for the control API."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Answer:
        """The inverse of `to_json`. Raises TypeError for unknown keys."""
        return cls(**value)


def normal() -> Answer:
    """What the service answers when nothing is scripted."""
    return Answer()


def complete(**fields: Any) -> Answer:
    """A complete summary; `fields` replace or add to what it holds."""
    return Answer(fields={"processing_state": "complete", **fields})


def in_progress(spelling: str = "in_progress", **fields: Any) -> Answer:
    """A summary Twilio still works on; `spelling` is `in_progress` (API) or `in-progress` (its prose)."""
    return Answer(fields={"processing_state": spelling, **fields})


def not_started(**fields: Any) -> Answer:
    """A summary Twilio has not begun."""
    return Answer(fields={"processing_state": "not_started", **fields})


def timed_out(**fields: Any) -> Answer:
    """A summary Twilio gave up completing (processing state `timeout`)."""
    return Answer(fields={"processing_state": "timeout", **fields})


def wrong_room(room_sid: str = "RM" + "e" * 32) -> Answer:
    """The summary of another room."""
    return Answer(fields={"room_sid": room_sid})


def wrong_account(account_sid: str = "AC" + "e" * 32) -> Answer:
    """The summary of a room of another account."""
    return Answer(fields={"account_sid": account_sid})


def status(code: int, body: str | None = None, *, headers: Mapping[str, str] | None = None) -> Answer:
    """Any status, with the vendor's own body for it unless one is given."""
    return Answer(status=code, body=body, headers=headers or {}, accepted=200 <= code < 300)


def not_found() -> Answer:
    """404: Twilio 20404, Slack `no_service`."""
    return status(404)


def unauthorized() -> Answer:
    """401: Twilio 20003."""
    return status(401)


def forbidden() -> Answer:
    """403: Twilio 20003, Slack `action_prohibited`."""
    return status(403)


def too_many(retry_after: str | int | None = None) -> Answer:
    """429 with `Retry-After` exactly as given: seconds, a date from `http_date`, rubbish, or none."""
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return status(429, headers=headers)


def http_date(seconds: float) -> str:
    """An HTTP date that many seconds from now (negative: in the past), for `too_many`."""
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


RETRY_AFTERS: Mapping[str, str | None] = {
    "seconds": "2",
    "none": None,
    "negative": "-5",
    "word": "abc",
    "digits": "9" * 5000,
    "fraction": "1.5",
    "empty": "",
}
"""Forms of `Retry-After` that do not depend on the time; the two that do are made with `http_date`."""


def html(code: int = 502) -> Answer:
    """A page of a proxy where JSON was expected, with any status."""
    page = "<html><head><title>Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>"
    return Answer(status=code, body=page, headers={"Content-Type": "text/html; charset=utf-8"}, accepted=False)


def wrong_content(body: str = '["not", "what", "was", "promised"]', content_type: str = "application/json") -> Answer:
    """200 with a body that is not what was promised; at Slack, anything but `ok`."""
    return Answer(status=200, body=body, headers={"Content-Type": content_type}, accepted=False)


def redirect(location: str, code: int = 302) -> Answer:
    """A redirect to any URL."""
    return Answer(status=code, body="", headers={"Location": location}, accepted=False)


def truncated_json() -> Answer:
    """A complete response whose JSON stops half-way."""
    return Answer(manner="half", accepted=False)


def cut() -> Answer:
    """A response whose connection closes half-way through the promised length."""
    return Answer(manner="cut", accepted=False)


def drip_headers(pace: float = 0.05) -> Answer:
    """Status line and headers one byte every `pace` seconds, then the body."""
    return Answer(manner="drip_headers", pace=pace)


def drip_body(pace: float = 0.05) -> Answer:
    """The body one byte every `pace` seconds."""
    return Answer(manner="drip_body", pace=pace)


def endless() -> Answer:
    """A body that never ends."""
    return Answer(manner="endless", accepted=False)


def huge(size: int = 100_000_000) -> Answer:
    """The proper body behind `size` bytes of white space (still valid JSON)."""
    return Answer(manner="huge", size=size)


def bomb(size: int = 100_000_000) -> Answer:
    """`huge`, gzipped: small on the wire, `size` bytes once unpacked."""
    return Answer(manner="bomb", size=size)


def reset() -> Answer:
    """The connection is reset, nothing was accepted."""
    return Answer(manner="reset", accepted=False)


def hang() -> Answer:
    """Nothing is ever answered, nothing was accepted."""
    return Answer(manner="hang", accepted=False)


def accept_and_reset() -> Answer:
    """The message counts as arrived, but its sender sees a reset connection instead of the answer."""
    return Answer(manner="reset")


def accept_and_hang() -> Answer:
    """The message counts as arrived, but its sender never hears so."""
    return Answer(manner="hang")


PASSING_FAULTS: tuple[Answer, ...] = (status(500), status(502), status(503), too_many(1), reset())
"""What random faults are drawn from by default: none of them accepts, all of them pass."""
