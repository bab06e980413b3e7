"""How the page says it: names, counts, states, and what to do about a hold. Pure; the templates use it too."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from room_reports.ledger import TWILIO, Hold, is_twilio
from room_reports.verdicts import SEVERITY_OF
from room_reports.waiting import Waiting
from room_reports.words import clean, distance, spoken

LONGEST_NAME = 80

LANES = {TWILIO: "Twilio", "slack": "Slack", "slack_app": "the Slack app", "webhook": "the webhook"}
STATES = {
    "open": "a step is unfinished: the summary, or a delivery",
    "delivered": "the complete report is at every destination",
    "partial": "delivered, but Twilio's summary was not complete, or its participants could not be had",
    "expired": "Twilio had deleted the summary before it was fetched",
    "dead": "a delivery was given up on: resend it",
}
"""The states of a room, and what they mean."""

MARKS = {"open": "◌", "delivered": "✓", "partial": "◐", "expired": "⊘", "dead": "✕"}
"""A sign for each state, for those who see no colours."""


def name_of(room_name: str) -> str:
    """A room's name without what would turn or hide text."""
    return clean(room_name, LONGEST_NAME).strip()


def line(text: str) -> str:
    """Text that may hold strangers' words, whole and on one line, without what would turn or hide it."""
    return clean(text)


def lane(name: str) -> str:
    """Twilio, for whichever account, or a destination, within a sentence."""
    return f"Twilio for {account_of(name)}" if is_twilio(name) and name != TWILIO else LANES.get(name, name)


def account_of(name: str) -> str:
    """The name of the account that a lane of Twilio's is for; empty for the first."""
    return name.removeprefix(TWILIO).removeprefix("-")


def sentence(text: str) -> str:
    """The text with a capital letter in front."""
    return text[:1].upper() + text[1:]


def stay(seconds: int | None) -> str:
    """How long somebody stayed."""
    return "–" if seconds is None else spoken(seconds)  # noqa: RUF001


def clock(at: datetime | None, beside: datetime | None) -> str:
    """A time in UTC, with its day unless it is that of the time `beside`."""
    if at is None:
        return "–"  # noqa: RUF001
    at = at.astimezone(UTC)
    is_same_day = beside is not None and at.date() == beside.astimezone(UTC).date()
    return f"{at:%H:%M:%S}" if is_same_day else day_and_time(at)


def day_and_time(at: datetime) -> str:
    """`2026-11-23 10:00:00`, in UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def machine_time(at: datetime) -> str:
    """The same for machines."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def ago(at: datetime, now: datetime) -> str:
    """How far away it is."""
    return distance(at, now)


def waits_for(waiting: Waiting) -> str:
    """What a step waits for; the page has a button where the terminal has a command."""
    return waiting.text.partition("; flask")[0]


def odd(verdicts: Sequence[str]) -> list[str]:
    """Those of a room's verdicts that somebody should notice, in words."""
    return [code.replace("_", " ") for code in verdicts if SEVERITY_OF.get(code) != "info"]


_CREDENTIALS = "TWILIO_API_KEY and TWILIO_API_SECRET, or TWILIO_AUTH_TOKEN"


def what_is_held(hold: Hold) -> str:
    """What does not happen, in one sentence."""
    if is_twilio(hold.lane):
        return f"{lane(hold.lane)} is not asked for summaries"
    return f"Nothing is delivered to {lane(hold.lane)}"


def what_to_do(hold: Hold, kind: str | None = None) -> str:
    """What an operator does about a hold. `kind`: of a destination that is in the settings."""
    if hold.reason == "rate_limited":
        return "Nothing: it asked for a pause, and it goes on by itself."
    if is_twilio(hold.lane) and hold.reason == "unauthorized":
        name = account_of(hold.lane)
        where = f"accounts.{name} in DESTINATIONS_FILE" if name else _CREDENTIALS
        return f"Set credentials that work ({where}) and restart. It is tried again by itself."
    if hold.reason == "not_configured":
        return f"Put {lane(hold.lane)} back into the settings and restart: what waits for it goes out."
    if kind == "slack" and hold.until is None:
        url = "SLACK_WEBHOOK_URL" if hold.lane == kind else f"what destinations.{hold.lane}.url leads to"
        return f"Make a new incoming webhook in Slack, set {url}, restart, and then resume."
    if kind == "slack_app" and hold.reason in ("unauthorized", "gone"):
        channel = "SLACK_CHANNEL" if hold.lane == kind else f"the channel of destinations.{hold.lane}"
        scopes = "the scopes of docs/features.md"
        return f"Invite the app to {channel}, or give its token {scopes}. It is tried again by itself."
    if hold.until is None:
        return "Repair it there, and then resume: until then nothing goes out, and nothing is lost."
    return "Repair it if it is yours. It is tried again by itself, or at once when you resume."
