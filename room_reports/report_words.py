"""The figures of a report in words, for Slack and the page. Pure; there is no text of the application among them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo

from room_reports.derived import Derived
from room_reports.summaries import RoomSummary
from room_reports.words import spoken


def use_of(derived: Derived, summary: RoomSummary) -> Iterator[tuple[str, str]]:
    """How much the room was used, as far as that is known, with labels."""
    if (peak := derived.peak).concurrent is not None:
        yield "Peak", f"{peak.concurrent} at once" + (f", {peak.limit} allowed" if peak.limit is not None else "")
    if derived.participant_minutes is not None:
        yield "Participant time", spoken(round(derived.participant_minutes * 60))
    if derived.average_stay_seconds is not None:
        yield "Average stay", spoken(round(derived.average_stay_seconds))
    if summary.recording_enabled is False and not derived.recorded_minutes:
        yield "Recorded", "off"
    elif derived.recorded_minutes is not None:
        yield "Recorded", spoken(round(derived.recorded_minutes * 60)) if derived.recorded_minutes else "nothing"


def from_to(start: datetime | None, end: datetime, zone: tzinfo = UTC) -> str:
    """From when to when, in this zone; the date and the zone once where that is enough."""
    end = end.astimezone(zone)
    if start is None:
        return f"until {end:%Y-%m-%d %H:%M %Z}"
    start = start.astimezone(zone)
    if start.utcoffset() != end.utcoffset():
        return f"{start:%Y-%m-%d %H:%M %Z} – {end:%Y-%m-%d %H:%M %Z}"  # noqa: RUF001 - a dash between two times
    if start.date() == end.date():
        return f"{end:%Y-%m-%d} {start:%H:%M}–{end:%H:%M %Z}"  # noqa: RUF001
    return f"{start:%Y-%m-%d %H:%M} – {end:%Y-%m-%d %H:%M %Z}"  # noqa: RUF001
