"""A Slack message as HTML, as it looks in the channel: the blocks of `room_reports.slack_report`, all escaped.

Of Slack's mrkdwn only what stands within a line is live: `*bold*`, `_italic_`, `~struck~`, `` `code` `` and
`<url|label>`; anything else stays text. https://docs.slack.dev/messaging/formatting-message-text
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup, escape

_MARKUP = re.compile(
    r"<(?P<url>https?://[^|<>]+)\|(?P<label>[^<>]+)>|`(?P<code>[^`\n]+)`"
    r"|(?<!\w)(?P<mark>[*_~])(?P<marked>(?:(?!(?P=mark)).)+)(?P=mark)(?!\w)"
)
_ELEMENTS = {"*": Markup("<strong>{}</strong>"), "_": Markup("<em>{}</em>"), "~": Markup("<s>{}</s>")}
_ENTITIES = (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&"))

Block = Mapping[str, Any]


def as_html(message: Mapping[str, Any]) -> Markup:
    """The message; a kind of block that we never build is left out."""
    return Markup("\n").join(_block(block) for block in message["blocks"])


def _block(block: Block) -> Markup:
    kind = block["type"]
    if kind == "header":
        return Markup('<p class="slack-header">{}</p>').format(_text(block["text"]))
    if kind == "section" and "fields" in block:
        fields = Markup("").join(Markup("<li>{}</li>").format(_text(field)) for field in block["fields"])
        return Markup('<ul class="slack-fields">{}</ul>').format(fields)
    if kind == "section":
        return Markup("<p>{}</p>").format(_text(block["text"]))
    if kind == "context":
        elements = Markup(" ").join(_text(element) for element in block["elements"])
        return Markup('<p class="slack-context">{}</p>').format(elements)
    return Markup("")


def _text(text: Mapping[str, Any]) -> Markup:
    html = _mrkdwn(text["text"]) if text["type"] == "mrkdwn" else escape(_literal(text["text"]))
    return Markup("<br>").join(html.split("\n"))


def _mrkdwn(text: str) -> Markup:
    html, last = Markup(""), 0
    for found in _MARKUP.finditer(text):
        html += escape(_literal(text[last : found.start()])) + _live(found)
        last = found.end()
    return html + escape(_literal(text[last:]))


def _live(found: re.Match[str]) -> Markup:
    if found["url"]:
        link = Markup('<a href="{}" rel="noreferrer">{}</a>')
        return link.format(_literal(found["url"]), _literal(found["label"]))
    if found["code"]:
        return Markup("<code>{}</code>").format(_literal(found["code"]))
    return _ELEMENTS[found["mark"]].format(_literal(found["marked"]))


def _literal(text: str) -> str:
    """The text that Slack's three entities stand for."""
    for entity, character in _ENTITIES:
        text = text.replace(entity, character)
    return text
