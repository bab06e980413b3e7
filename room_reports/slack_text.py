"""Foreign text in Slack messages, such as room names: it shows as what it is and does nothing. Pure.

Slack reads `&`, `<` and `>` as markup in every text, so they are escaped everywhere. Its other markup (`*_~`,
backticks, `:emoji:`, bare URLs) cannot be escaped; it is only dead in `plain_text` objects with `emoji` off, and in a
message's `text` with `mrkdwn` off. https://docs.slack.dev/messaging/formatting-message-text
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

LONGEST_READ = 4000
"""Characters of a text that are looked at; no place in a message shows more."""

NAMELESS = "(room without a name)"

MOST_MARKS = 4
"""Marks on one letter: more pile up over the lines around it, and no script needs them."""


def plain(text: str, limit: int) -> str:
    """The text on one line, escaped and then cut to `limit` characters (of UTF-16, as the strictest would count)."""
    line = one_line(text)
    whole = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return whole if _length(whole) <= limit else _cut(line, limit - 1) + "…"


def _cut(line: str, room: int) -> str:
    """As many characters of a line, escaped, as there is room for: an entity goes in whole or not at all."""
    kept = []
    for char in line:
        piece = _ENTITIES.get(char, char)
        room -= _length(piece)
        if room < 0:
            break
        kept.append(piece)
    return "".join(kept)


def one_line(text: str) -> str:
    """The text without anything that breaks its line, changes its direction or cannot be seen; maybe empty."""
    text = text[:LONGEST_READ]
    if not (text.isascii() and text.isprintable()):
        text = "".join(_visible(text))
    return " ".join(text.split())


def _visible(text: str) -> Iterator[str]:
    marks = 0
    for char in text:
        category = unicodedata.category(char)
        marks = marks + 1 if category in ("Mn", "Me") else 0
        if category == "Cc" or char in _BLANK:
            yield " "
        elif marks <= MOST_MARKS and (category not in ("Cf", "Cs") or char in _JOINERS):
            yield char


_BLANK = "\u115f\u1160\u2800\u3164\uffa0"
# They stand between letters of Persian and Indic scripts, and between the parts of an emoji.
_JOINERS = "\u200c\u200d"
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def _length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2
