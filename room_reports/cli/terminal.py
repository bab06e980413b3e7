"""What the commands share at the terminal: safe text, tables, times, durations and the types of arguments.

Room names are chosen by strangers; `clean` stands between them and the terminal, which would obey control characters.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import click

LONGEST_NAME = 40
"""Columns of a room name in a table."""

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class RoomSid(click.ParamType[str]):
    """A room SID, as Twilio writes it: RM and 32 hexadecimal digits."""

    name = "sid"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value).strip()
        if not re.fullmatch(r"RM[0-9a-fA-F]{32}", text):
            self.fail(f"{clean(text, 60)!r} is not a room SID: RM and 32 hexadecimal digits", param, ctx)
        return text


class Duration(click.ParamType[timedelta]):
    """A length of time such as 90m, 36h or 7d, to a `timedelta`."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        found = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]+)?)\s*([smhdw])", str(value).strip().lower())
        length = timedelta(**{_UNITS[found[2]]: float(found[1])}) if found else timedelta()
        if not timedelta() < length <= timedelta(days=3650):
            self.fail(f"{clean(str(value), 40)!r} is not a duration such as 90m, 36h or 7d", param, ctx)
        return length


def clean(text: str, width: int | None = None) -> str:
    """Text of strangers without what a terminal would act on, on one line, cut to `width` columns.

    Control characters, and those that turn, hide or join text (bidirectional marks, zero-width ones), go; white space
    of any kind becomes a space.
    """
    spaced = "".join(" " if character.isspace() else character for character in text)
    # C: control, format, surrogate, private use, unassigned.
    shown = "".join(character for character in spaced if unicodedata.category(character)[0] != "C")
    return shown if width is None else _cut(shown, width)


def columns(text: str) -> int:
    """How many columns of a terminal the text takes."""
    return sum(map(_columns_of, text))


def _columns_of(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def _cut(text: str, width: int) -> str:
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


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Rows under their headers; a last column that does not fit the terminal is cut.

    What is not a terminal gets everything.
    """
    lines = [list(headers), *([clean(cell) for cell in row] for row in rows)]
    widths = [max(columns(line[place]) for line in lines) for place in range(len(headers))]
    if sys.stdout.isatty():
        left = shutil.get_terminal_size().columns - sum(widths[:-1]) - 2 * (len(widths) - 1)
        if widths[-1] > left >= 10:
            lines = [[*line[:-1], _cut(line[-1], left)] for line in lines]
    padded = [
        "  ".join(cell + " " * (width - columns(cell)) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    return "\n".join([click.style(padded[0], bold=True), *padded[1:]])


def moment(at: datetime | None) -> str:
    """A time in UTC to the second, or a dash."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ") if at else "-"


def span(seconds: float) -> str:
    """A length of time in its largest fitting unit, rounded: `45 s`, `12 min`, `3 h`, `5 days`."""
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def from_now(at: datetime, now: datetime) -> str:
    """A time with how far away it is: `2026-11-23 10:00:00Z (in 12 min)`."""
    seconds = (at - now).total_seconds()
    distance = f"in {span(seconds)}" if seconds >= 0 else f"{span(-seconds)} ago"
    return f"{moment(at)} ({distance})"


def print_json(document: Any) -> None:
    """A document for machines: indented JSON in ASCII, so that no terminal or pipe can garble it."""
    click.echo(json.dumps(document, indent=2, default=_plain))


def json_line(document: Any) -> str:
    """The same as one line."""
    return json.dumps(document, separators=(",", ":"), default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def shows_progress() -> bool:
    """Whether somebody is watching: progress goes to stderr, and only to a terminal."""
    return sys.stderr.isatty()
