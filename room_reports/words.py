"""Words for people, wherever they read: strangers' text made safe to show, times, lengths of time, numbers. Pure."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime


def clean(text: str, width: int | None = None) -> str:
    """Text of strangers without what a terminal would act on, on one line, cut to `width` columns.

    Control characters, and those that turn, hide or join text (bidirectional marks, zero-width ones), go; white space
    of any kind becomes a space.
    """
    spaced = "".join(" " if character.isspace() else character for character in text)
    # C: control, format, surrogate, private use, unassigned.
    shown = "".join(character for character in spaced if unicodedata.category(character)[0] != "C")
    return shown if width is None else cut(shown, width)


def columns(text: str) -> int:
    """How many columns of a terminal the text takes."""
    return sum(map(_columns_of, text))


def _columns_of(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def cut(text: str, width: int) -> str:
    """The text, shortened to `width` columns if it takes more."""
    # Marks take no column, so there may be any number of them: a bound on the characters as well.
    if columns(text) <= width and len(text) <= 4 * width:
        return text
    kept, used = "", 0
    for character in text[: 4 * width]:
        used += _columns_of(character)
        if used > width - 1:
            break
        kept += character
    return kept + "…"


def moment(at: datetime | None) -> str:
    """A time in UTC to the second, or a dash."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ") if at else "-"


def roughly(seconds: float) -> str:
    """A length of time in its largest fitting unit, rounded: `45 s`, `12 min`, `3 h`, `5 days`."""
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def spoken(seconds: int) -> str:
    """A duration in its two largest units: `45 s`, `1 h 12 min`, `3 d 4 h`."""
    if seconds < 60:
        return f"{seconds} s"
    minutes = round(seconds / 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h" if hours else f"{days} d"
    if hours:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{minutes} min"


def from_now(at: datetime, now: datetime) -> str:
    """A time with how far away it is: `2026-11-23 10:00:00Z (in 12 min)`."""
    return f"{moment(at)} ({distance(at, now)})"


def distance(at: datetime, now: datetime) -> str:
    """How far away a time is: `in 12 min`, `3 h ago`."""
    seconds = (at - now).total_seconds()
    return f"in {roughly(seconds)}" if seconds >= 0 else f"{roughly(-seconds)} ago"


def count_of(number: int, noun: str) -> str:
    """`1 room`, `1,234 rooms`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
