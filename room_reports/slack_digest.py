"""The digest of a day as a Slack message. Pure; text that is not ours stands in `plain_text` objects only.

The chart is one of characters: an incoming webhook takes no files, and an image at a URL would have to be public.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from room_reports.costs import shown
from room_reports.digests import DigestData, DigestedRoom, RoomDigest
from room_reports.durations import spoken
from room_reports.slack_text import plain

BARS = "▁▂▃▄▅▆▇█"
NO_BAR = "·"

LONGEST_NAME = 80
LONGEST_VERDICTS = 200
LONGEST_LINK = 1000

Block = dict[str, Any]


def digest_message(digest: RoomDigest) -> dict[str, Any]:
    """The Block Kit message, ready to be posted, within Slack's limits whatever the rooms are called."""
    data = digest.data
    blocks: list[Block] = [
        {"type": "header", "text": _plain(f"📊 {title(data)}")},
        {"type": "section", "fields": [_mrkdwn(f"*{label}*  {figure}") for label, figure in figures(data)]},
        _section(f"*Last {len(data.recent)} days*  `{bars_of(data)}`  {_scale(data)}"),
    ]
    if data.worst_rooms:
        blocks.append(_section(f"*Worth a look*  {_how_many(data)}"))
        blocks.append(_rooms(data.worst_rooms, [words_of(room) for room in data.worst_rooms]))
    if data.slowest_summaries:
        blocks.append(_section("*Slowest summaries*"))
        blocks.append(_rooms(data.slowest_summaries, [waited(room) for room in data.slowest_summaries]))
    if notes := list(remarks(data)):
        blocks.append({"type": "context", "elements": [_plain(" ".join(notes))]})
    return {**_text(digest), "blocks": blocks}


def digest_text_message(digest: RoomDigest) -> dict[str, Any]:
    """The digest as plain text: for a Slack that does not take our blocks."""
    return _text(digest)


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
        of = f"the {data.usual.days} {data.weekday}s before" if data.usual.days > 1 else f"the {data.weekday} before"
        yield f"Usual: the mean of {of}." if data.usual.days > 1 else f"Usual: {of}."
    if data.unfinished:
        some = "1 room still waits" if data.unfinished == 1 else f"{data.unfinished:,} rooms still wait"
        yield f"{some} for a summary and {'is' if data.unfinished == 1 else 'are'} not counted yet."
    yield "Days are those of UTC."


def _beside(value: float, usual: float | None) -> str:
    return f"{value:,.0f}" if usual is None else f"{value:,.0f} (usually {usual:,.0f})"


def _bar(value: float, most: float) -> str:
    return BARS[min(int(value / most * len(BARS)), len(BARS) - 1)] if value > 0 else NO_BAR


def _scale(data: DigestData) -> str:
    return f"participant minutes, {max(day.participant_minutes for day in data.recent):,.0f} at most"


def _how_many(data: DigestData) -> str:
    counted = ((data.with_warnings, "warning"), (data.with_notices, "notice"))
    return ", ".join(
        f"1 room with a {word}" if count == 1 else f"{count:,} rooms with {word}s" for count, word in counted if count
    )


def words_of(room: DigestedRoom) -> str:
    """Its verdicts, in words."""
    return ", ".join(code.replace("_", " ") for code in room.verdicts)


def _rooms(rooms: Sequence[DigestedRoom], words: Sequence[str]) -> Block:
    """Two columns: what a room is called and what there is to say, and where to look further."""
    fields = []
    for room, said in zip(rooms, words, strict=True):
        fields.append(_plain(f"{_name(room)}\n{plain(said, LONGEST_VERDICTS)}"))
        fields.append(_mrkdwn(_where(room)))
    return {"type": "section", "fields": fields}


def _name(room: DigestedRoom) -> str:
    return plain(room.room_name or "", LONGEST_NAME) or "(room without a name)"


def _where(room: DigestedRoom) -> str:
    """The SID, ready to be copied, and the link; both are values of ours that were checked."""
    sid = f"`{plain(room.room_sid, 40).replace('`', '')}`"
    link = plain(room.console.replace("|", "%7C"), LONGEST_LINK)
    return sid if " " in link or link.endswith("…") else f"{sid}\n<{link}|Open in Twilio Console>"


def _text(digest: RoomDigest) -> dict[str, Any]:
    """What notifications show, and all there is where blocks are not taken: read as plain text."""
    data = digest.data
    lines = [
        f"📊 {title(data)}",
        *(f"{label}: {figure}" for label, figure in figures(data)),
        *(f"{_name(room)}: {plain(words_of(room), LONGEST_VERDICTS)}" for room in data.worst_rooms),
        *remarks(data),
    ]
    return {"text": "\n".join(lines), "mrkdwn": False, "parse": "none", "unfurl_links": False, "unfurl_media": False}


def _section(text: str) -> Block:
    return {"type": "section", "text": _mrkdwn(text)}


def _plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text, "emoji": False}


def _mrkdwn(text: str) -> dict[str, Any]:
    # Verbatim: what looks like a URL or a channel stays text.
    return {"type": "mrkdwn", "text": text, "verbatim": True}
