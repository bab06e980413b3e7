"""The digest of a day as a Slack message. Pure; text that is not ours stands in `plain_text` objects only.

The chart is one of characters: an incoming webhook takes no files, and an image at a URL would have to be public.
"""

from __future__ import annotations

from collections.abc import Sequence

from room_reports.digest_words import bars_of, figures, how_many, remarks, title, waited, words_of
from room_reports.digests import DigestData, DigestedRoom, RoomDigest
from room_reports.slack_blocks import (
    Block,
    Message,
    context,
    header,
    mrkdwn,
    plain_text,
    posted,
    section,
    section_of,
    where,
)
from room_reports.slack_text import NAMELESS, plain

LONGEST_NAME = 80
LONGEST_VERDICTS = 200
LONGEST_LINK = 1000


def digest_message(digest: RoomDigest) -> Message:
    """The Block Kit message, ready to be posted, within Slack's limits whatever the rooms are called."""
    data = digest.data
    blocks: list[Block] = [
        header(f"📊 {title(data)}"),
        section_of(mrkdwn(f"*{label}*  {figure}") for label, figure in figures(data)),
        section(mrkdwn(f"*Last {len(data.recent)} days*  `{bars_of(data)}`  {_scale(data)}")),
    ]
    if data.worst_rooms:
        blocks.append(section(mrkdwn(f"*Worth a look*  {how_many(data)}")))
        blocks.append(_rooms(data.worst_rooms, [words_of(room) for room in data.worst_rooms]))
    if data.slowest_summaries:
        blocks.append(section(mrkdwn("*Slowest summaries*")))
        blocks.append(_rooms(data.slowest_summaries, [waited(room) for room in data.slowest_summaries]))
    if notes := list(remarks(data)):
        blocks.append(context(plain_text(" ".join(notes))))
    return posted(_text(digest), blocks)


def digest_text_message(digest: RoomDigest) -> Message:
    """The digest as plain text: for a Slack that does not take our blocks."""
    return posted(_text(digest))


def _scale(data: DigestData) -> str:
    return f"participant minutes, {max(day.participant_minutes for day in data.recent):,.0f} at most"


def _rooms(rooms: Sequence[DigestedRoom], words: Sequence[str]) -> Block:
    """Two columns: what a room is called and what there is to say, and where to look further."""
    fields = []
    for room, said in zip(rooms, words, strict=True):
        fields.append(plain_text(f"{_name(room)}\n{plain(said, LONGEST_VERDICTS)}"))
        fields.append(mrkdwn("\n".join(where(room.room_sid, room.console, longest=LONGEST_LINK))))
    return section_of(fields)


def _name(room: DigestedRoom) -> str:
    return plain(room.room_name or "", LONGEST_NAME) or NAMELESS


def _text(digest: RoomDigest) -> str:
    """What notifications show, and all there is where blocks are not taken."""
    data = digest.data
    lines = [
        f"📊 {title(data)}",
        *(f"{label}: {figure}" for label, figure in figures(data)),
        *(f"{_name(room)}: {plain(words_of(room), LONGEST_VERDICTS)}" for room in data.worst_rooms),
        *remarks(data),
    ]
    return "\n".join(lines)
