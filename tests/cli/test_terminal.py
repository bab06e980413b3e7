"""What stands between strangers' text and the terminal, and what people type."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click
import pytest

from room_reports.cli.terminal import ROOM_SID, Duration, table
from room_reports.words import clean, columns, from_now, roughly


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "[31mred[0m"),
        ("\x1b]0;title\x07x", "]0;titlex"),
        ("a\x9b2Jb", "a2Jb"),
        ("one\r\ntwo\tthree", "one  two three"),
        ("a\u2028b\u2029c\x85d", "a b c d"),
        ("pay\u202egnp.exe", "paygnp.exe"),
        ("\u2066a\u2069\u200bb\ufeff", "ab"),
        ("half \ud800 pair", "half  pair"),
        ("\x00\x08\x7f", ""),
        ("Zoë 会議 🎉", "Zoë 会議 🎉"),
    ],
)
def test_clean_leaves_nothing_that_a_terminal_acts_on(hostile: str, shown: str) -> None:
    assert clean(hostile) == shown


def test_clean_cuts_by_columns_not_by_characters() -> None:
    assert clean("会" * 30, 10) == "会会会会…"
    assert columns(clean("会" * 30, 10)) <= 10
    assert len(clean("a" + "\u0301" * 5000, 10)) <= 41
    assert clean("exactly 10", 10) == "exactly 10"


def test_table_lines_up_whatever_is_in_it() -> None:
    lines = table(("NAME", "STATE"), [("会議", "open"), ("a\nb", "dead"), ("", "x")]).splitlines()
    starts = [columns(line[: line.index(state)]) for line, state in zip(lines[1:], ("open", "dead", "x"), strict=True)]
    assert starts == [6, 6, 6]


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("90m", timedelta(minutes=90)),
        ("36h", timedelta(hours=36)),
        ("7d", timedelta(days=7)),
        ("45 S", timedelta(seconds=45)),
        ("1.5h", timedelta(minutes=90)),
        ("2w", timedelta(days=14)),
    ],
)
def test_durations_that_are_understood(text: str, length: timedelta) -> None:
    assert Duration().convert(text, None, None) == length


@pytest.mark.parametrize("text", ["", "7", "d", "-1d", "0h", "1y", "7dd", "1e9d", "999999w", "7d\x1b[0m", "\u0667d"])
def test_durations_that_are_refused(text: str) -> None:
    with pytest.raises(click.BadParameter) as error:
        Duration().convert(text, None, None)
    assert "\x1b[" not in error.value.message


@pytest.mark.parametrize(
    "text", ["", "RM", "../Rooms", "RM" + "0" * 31, "RM" + "0" * 33, "PA" + "0" * 32, "RM" + "g" * 32]
)
def test_room_sids_that_are_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        ROOM_SID.convert(text, None, None)


def test_room_sid_may_have_white_space_around_it_from_copying() -> None:
    assert ROOM_SID.convert(f" RM{'aB' * 16}\n", None, None) == "RM" + "aB" * 16


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "120 min"), (7200, "2 h"), (172800, "2 days"), (0.4, "0 s")],
)
def test_span_is_in_its_largest_fitting_unit(seconds: float, text: str) -> None:
    assert roughly(seconds) == text


def test_times_say_how_far_away_they_are() -> None:
    now = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
    assert from_now(now + timedelta(minutes=12), now) == "2026-11-23 10:12:00Z (in 12 min)"
    assert from_now(now - timedelta(hours=5), now) == "2026-11-23 05:00:00Z (5 h ago)"
