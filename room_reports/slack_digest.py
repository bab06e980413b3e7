"""The digest of a day as a Slack message. Pure; text that is not ours stands in `plain_text` objects only.

The chart is one of characters: an incoming webhook takes no files, and an image at a URL would have to be public.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from room_reports.digest_words import bars_of, figures, how_many, remarks, title, waited, words_of
from room_reports.digests import DigestData, DigestedRoom, RoomDigest
from room_reports.slack_text import plain

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
        blocks.append(_section(f"*Worth a look*  {how_many(data)}"))
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


def _scale(data: DigestData) -> str:
    return f"participant minutes, {max(day.participant_minutes for day in data.recent):,.0f} at most"


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
