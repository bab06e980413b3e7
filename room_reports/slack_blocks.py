"""What Slack messages are put together from: Block Kit's objects, and the fields that every message has. Pure.

https://docs.slack.dev/reference/block-kit/blocks
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from room_reports.slack_text import plain

LONGEST_SID = 40

Block = dict[str, Any]
Message = dict[str, Any]
TextObject = dict[str, Any]


def posted(text: str, blocks: Sequence[Block] = ()) -> Message:
    """A message: its text, for notifications, is read as plain text, and nothing is unfolded below it."""
    told = {"text": text, "mrkdwn": False, "parse": "none", "unfurl_links": False, "unfurl_media": False}
    return {**told, "blocks": list(blocks)} if blocks else told


def header(text: str) -> Block:
    """What stands at the top, in large letters."""
    return {"type": "header", "text": plain_text(text)}


def section(text: TextObject) -> Block:
    """A paragraph."""
    return {"type": "section", "text": text}


def section_of(fields: Iterable[TextObject]) -> Block:
    """At most ten short texts, side by side."""
    return {"type": "section", "fields": list(fields)}


def context(*elements: TextObject) -> Block:
    """A line in small letters."""
    return {"type": "context", "elements": list(elements)}


def plain_text(text: str) -> TextObject:
    """Text in which nothing is markup."""
    return {"type": "plain_text", "text": text, "emoji": False}


def mrkdwn(text: str) -> TextObject:
    """Text of ours, with markup. What looks like a URL or a channel stays text."""
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def where(room_sid: str, console: str, *, longest: int) -> list[str]:
    """The SID, ready to be copied, and the link of at most so many characters: mrkdwn, for both are checked values."""
    sid = f"`{plain(room_sid, LONGEST_SID).replace('`', '')}`"
    link = link_to(console, longest=longest)
    return [sid, f"<{link}|Open in Twilio Console>"] if link else [sid]


def link_to(console: str, *, longest: int) -> str:
    """The link to the Console, escaped; empty if the template makes it no URL that Slack takes."""
    link = plain(console.replace("|", "%7C"), longest)
    return "" if " " in link or link.endswith("…") else link
