"""What the commands share at the terminal: tables, progress and the types of arguments.

Room names are chosen by strangers; `words.clean` stands between them and the terminal, which would obey control
characters.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from room_reports.words import clean, columns, cut

LONGEST_NAME = 40
"""Columns of a room name in a table."""

NOT_DONE = 1
"""Exit code when there was nothing to show or to do."""

as_json = click.option("--json", "as_json", is_flag=True, help="JSON for machines instead of text for people.")

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Sid(click.ParamType[str]):
    """The SID of a `thing`, as Twilio writes it: two letters and 32 hexadecimal digits."""

    name = "sid"

    def __init__(self, thing: str, letters: str) -> None:
        self._thing = thing
        self._letters = letters

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value).strip()
        if not re.fullmatch(rf"{self._letters}[0-9a-fA-F]{{32}}", text):
            wanted = f"{self._letters} and 32 hexadecimal digits"
            self.fail(f"{clean(text, 60)!r} is not a {self._thing} SID: {wanted}", param, ctx)
        return text


ROOM_SID = Sid("room", "RM")


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


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Rows under their headers; a last column that does not fit the terminal is cut.

    What is not a terminal gets everything.
    """
    lines = [list(headers), *([clean(cell) for cell in row] for row in rows)]
    widths = [max(columns(line[place]) for line in lines) for place in range(len(headers))]
    if sys.stdout.isatty():
        left = shutil.get_terminal_size().columns - sum(widths[:-1]) - 2 * (len(widths) - 1)
        if widths[-1] > left >= 10:
            lines = [[*line[:-1], cut(line[-1], left)] for line in lines]
    padded = [
        "  ".join(cell + " " * (width - columns(cell)) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    return "\n".join([click.style(padded[0], bold=True), *padded[1:]])


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
