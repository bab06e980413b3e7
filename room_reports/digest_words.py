"""The digest in words, for Slack, a terminal and the page. Pure; names of rooms are not among them."""

from __future__ import annotations

from collections.abc import Iterator

from room_reports.costs import shown
from room_reports.digests import DigestData, DigestedRoom
from room_reports.words import spoken

BARS = "▁▂▃▄▅▆▇█"
NO_BAR = "·"


def title(data: DigestData) -> str:
    """The day, and how many rooms: `Sunday, 22 November 2026: 42 rooms`."""
    rooms = {0: "no room", 1: "1 room"}.get(data.rooms, f"{data.rooms:,} rooms")
    return f"{data.weekday}, {data.day.day} {data.day:%B %Y}: {rooms}"


def figures(data: DigestData) -> Iterator[tuple[str, str]]:
    """The day's figures with their labels, each beside what is usual."""
    usual = data.usual
    yield "Rooms", _beside(data.rooms, usual.rooms if usual else None)
    yield "Participant minutes", _beside(data.participant_minutes, usual.participant_minutes if usual else None)
    yield "Recorded minutes", _beside(data.recorded_minutes, usual.recorded_minutes if usual else None)
    if data.cost_estimate is not None:
        yield "Cost", shown(data.cost_estimate)


def bars_of(data: DigestData) -> str:
    """Participant minutes of the last days in characters, from nought up; a dot for none."""
    most = max((day.participant_minutes for day in data.recent), default=0)
    return "".join(_bar(day.participant_minutes, most) for day in data.recent)


def waited(room: DigestedRoom) -> str:
    """How long a room waited for its summary."""
    return f"after {spoken(round(room.seconds_to_summary or 0))}"


def remarks(data: DigestData) -> Iterator[str]:
    """What must be said of the figures."""
    if data.usual is not None:
        days, name = data.usual.days, data.weekday
        yield f"Usual: the {name} before." if days == 1 else f"Usual: the mean of the {days} {name}s before."
    if data.unfinished:
        some = "1 room still waits" if data.unfinished == 1 else f"{data.unfinished:,} rooms still wait"
        yield f"{some} for a summary and {'is' if data.unfinished == 1 else 'are'} not counted yet."
    yield "Days are those of UTC."


def words_of(room: DigestedRoom) -> str:
    """Its verdicts, in words."""
    return ", ".join(code.replace("_", " ") for code in room.verdicts)


def how_many(data: DigestData) -> str:
    """How many rooms are worth a look, empty for none."""
    counted = ((data.with_warnings, "warning"), (data.with_notices, "notice"))
    return ", ".join(
        f"1 room with a {word}" if count == 1 else f"{count:,} rooms with {word}s" for count, word in counted if count
    )


def _beside(value: float, usual: float | None) -> str:
    return f"{value:,.0f}" if usual is None else f"{value:,.0f} (usually {usual:,.0f})"


def _bar(value: float, most: float) -> str:
    return BARS[min(int(value / most * len(BARS)), len(BARS) - 1)] if value > 0 else NO_BAR
