"""Slack messages as Slack reads them: what it refuses, whom it pings, what it links, what a person sees.

Limits: https://docs.slack.dev/reference/block-kit/blocks. Text: https://docs.slack.dev/messaging/formatting-message-text.
All functions are pure and take the parsed message.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

WIDTH = 76
BOLD, DIM, PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[0m"
EMOJI = {
    "white_check_mark": "✅",
    "warning": "⚠️",
    "x": "❌",
    "hourglass": "⌛",
    "hourglass_flowing_sand": "⏳",
    "movie_camera": "🎥",
    "busts_in_silhouette": "👥",
    "clock3": "🕒",
    "red_circle": "🔴",
    "ghost": "👻",
}

_TOKEN = re.compile(r"<([^<>\n]+)>")
_URL = re.compile(r"(?:https?|mailto|tel|slack):\S+", re.ASCII)
_BARE_URL = re.compile(r"https?://[^\s<>|]+")
_BARE_MENTION = re.compile(r"(?<!\w)@(?:channel|here|everyone)\b")
_EMOJI = re.compile(r":([a-z0-9_+-]+):")
_MARKED = re.compile(r"(?<![\w*_~])([*_~])(?=[^\s*_~])([^\n]*?)(?<=[^\s])\1(?![\w*_~])")
_CONTROLS = {code: "\ufffd" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}


@dataclass(frozen=True)
class Refusal:
    """Why Slack does not take a message: the word it answers, and what a person needs to find the fault."""

    error: str
    detail: str


def refusal(message: Any) -> Refusal | None:
    """What Slack says to a message it does not take (with 400), None to one it takes."""
    if not isinstance(message, dict):
        return Refusal("invalid_payload", "not a JSON object")
    blocks = message.get("blocks", [])
    if not isinstance(message.get("text", ""), str) or not isinstance(blocks, list):
        return Refusal("invalid_payload", "text must be a string, blocks a list")
    if not message.get("text") and not blocks and not message.get("attachments"):
        return Refusal("no_text", "neither text nor blocks nor attachments")
    if len(message.get("text", "")) > 40_000:
        return Refusal("msg_too_long", "text above 40,000 characters")
    problem = next(_block_problems(blocks), None)
    return Refusal("invalid_blocks", problem) if problem else None


def mentions(message: Mapping[str, Any]) -> list[str]:
    """Everyone the message pings, as `@channel`, `@U123`, `@S123`, in blocks, attachments and fallback text."""
    found = []
    for text, kind in _texts(message):
        if kind in ("mrkdwn", "verbatim"):
            found += [name for token in _TOKEN.findall(text) if (name := _pinged(token))]
        if kind == "mrkdwn":
            if message.get("link_names") or message.get("parse") == "full":
                found += _BARE_MENTION.findall(text)
        elif kind == "ping":
            found.append(text)
    return found


def links(message: Mapping[str, Any]) -> list[str]:
    """Every URL a reader can click: `<…>` links, bare ones that Slack links by itself, buttons."""
    found = []
    for text, kind in _texts(message):
        if kind in ("mrkdwn", "verbatim"):
            targets = [token.partition("|")[0] for token in _TOKEN.findall(text)]
            found += [target for target in targets if _URL.fullmatch(target)]
        if kind == "mrkdwn":
            found += _BARE_URL.findall(_TOKEN.sub(" ", text))
        elif kind == "url":
            found.append(text)
    return found


def render(message: Mapping[str, Any], *, colour: bool = False) -> str:
    """The message as a reader sees it in the channel, for a terminal; a ping shows as `[PING @channel]`.

    Markup that is live is applied (its marks vanish), so text that should have been literal stands out. Control
    characters are replaced: a room name cannot steer the terminal.
    """
    style = _Style(colour)
    blocks = message.get("blocks") or [{"type": "section", "text": {"type": "mrkdwn", "text": message.get("text", "")}}]
    lines = [line for block in blocks for line in _render_block(block, style)]
    return "\n".join(f"┃ {line}".rstrip() for line in lines)


class _Style:
    def __init__(self, colour: bool) -> None:
        self._colour = colour

    def bold(self, text: str) -> str:
        return f"{BOLD}{text}{PLAIN}" if self._colour and text else text

    def dim(self, text: str) -> str:
        return f"{DIM}{text}{PLAIN}" if self._colour and text else text


def _block_problems(blocks: Sequence[Any]) -> Iterator[str]:
    if len(blocks) > 50:
        yield f"{len(blocks)} blocks, at most 50"
    ids = [block.get("block_id") for block in blocks if isinstance(block, dict) and block.get("block_id")]
    if len(ids) != len(set(ids)):
        yield "a block_id appears twice"
    for number, block in enumerate(blocks):
        check = _BLOCKS.get(block.get("type", "")) if isinstance(block, dict) else None
        if check is None:
            yield f"block {number}: unknown type"
        else:
            yield from (f"block {number} ({block['type']}): {problem}" for problem in _id_problems(block))
            yield from (f"block {number} ({block['type']}): {problem}" for problem in check(block))


def _id_problems(block: Mapping[str, Any]) -> Iterator[str]:
    block_id = block.get("block_id", "")
    if not isinstance(block_id, str) or len(block_id) > 255:
        yield "block_id above 255 characters"


def _section_problems(block: Mapping[str, Any]) -> Iterator[str]:
    fields = block.get("fields", [])
    if "text" not in block and not fields:
        yield "neither text nor fields"
    if "text" in block:
        yield from _text_problems(block["text"], limit=3000)
    if not isinstance(fields, list) or len(fields) > 10:
        yield "more than 10 fields"
    else:
        yield from (problem for item in fields for problem in _text_problems(item, limit=2000))
    if "accessory" in block:
        yield from _element_problems(block["accessory"])


def _header_problems(block: Mapping[str, Any]) -> Iterator[str]:
    yield from _text_problems(block.get("text"), limit=150, kinds=("plain_text",))


def _context_problems(block: Mapping[str, Any]) -> Iterator[str]:
    elements = block.get("elements")
    if not isinstance(elements, list) or not 1 <= len(elements) <= 10:
        yield "elements must be 1 to 10"
        return
    for element in elements:
        if isinstance(element, dict) and element.get("type") == "image":
            yield from _image_problems(element)
        else:
            yield from _text_problems(element, limit=3000)


def _actions_problems(block: Mapping[str, Any]) -> Iterator[str]:
    elements = block.get("elements")
    if not isinstance(elements, list) or not 1 <= len(elements) <= 25:
        yield "elements must be 1 to 25"
        return
    yield from (problem for element in elements for problem in _element_problems(element))


def _image_problems(block: Mapping[str, Any]) -> Iterator[str]:
    if not isinstance(url := block.get("image_url"), str) or not 1 <= len(url) <= 3000:
        yield "image_url must have 1 to 3000 characters"
    if not isinstance(alt := block.get("alt_text"), str) or len(alt) > 2000:
        yield "alt_text must have at most 2000 characters"


def _rich_text_problems(block: Mapping[str, Any]) -> Iterator[str]:
    if not isinstance(block.get("elements"), list):
        yield "elements must be a list"


def _markdown_problems(block: Mapping[str, Any]) -> Iterator[str]:
    if not isinstance(text := block.get("text"), str) or not 1 <= len(text) <= 12_000:
        yield "text must have 1 to 12000 characters"


def _no_problems(block: Mapping[str, Any]) -> Iterator[str]:
    return iter(())


def _element_problems(element: Any) -> Iterator[str]:
    if not isinstance(element, dict) or not isinstance(element.get("type"), str):
        yield "an element without a type"
    elif element["type"] == "button":
        yield from _text_problems(element.get("text"), limit=75, kinds=("plain_text",))
        if len(str(element.get("url", ""))) > 3000:
            yield "button url above 3000 characters"
        if len(str(element.get("action_id", ""))) > 255:
            yield "action_id above 255 characters"


def _text_problems(text: Any, *, limit: int, kinds: Sequence[str] = ("plain_text", "mrkdwn")) -> Iterator[str]:
    if not isinstance(text, dict) or text.get("type") not in kinds or not isinstance(text.get("text"), str):
        yield f"text must be a {' or '.join(kinds)} object"
    elif not 1 <= len(text["text"]) <= limit:
        yield f"text of {len(text['text'])} characters, 1 to {limit} allowed"
    elif text["type"] == "mrkdwn" and "emoji" in text:
        yield "emoji is for plain_text only"


_BLOCKS: Mapping[str, Callable[[Mapping[str, Any]], Iterator[str]]] = {
    "section": _section_problems,
    "header": _header_problems,
    "context": _context_problems,
    "actions": _actions_problems,
    "image": _image_problems,
    "rich_text": _rich_text_problems,
    "markdown": _markdown_problems,
    "divider": _no_problems,
}


def _texts(value: Any) -> Iterator[tuple[str, str]]:
    """Every text in a message with how Slack reads it: `mrkdwn`, `verbatim`, `plain`, `url` or `ping`."""
    if isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        kind, text = value.get("type"), value.get("text")
        if isinstance(text, str):
            yield text, _reading_of(value)
        if kind in ("button", "link") and value.get("url"):
            yield value["url"], "url"
        if kind in ("user", "usergroup", "broadcast"):
            yield f"@{value.get('user_id') or value.get('usergroup_id') or value.get('range')}", "ping"
        for item in value.values():
            yield from _texts(item)


def _reading_of(value: Mapping[str, Any]) -> str:
    if value.get("type") == "mrkdwn":
        return "verbatim" if value.get("verbatim") else "mrkdwn"
    # Without a type it is the message or an attachment, whose text Slack reads as mrkdwn unless told not to.
    return "mrkdwn" if value.get("type") in (None, "markdown") and value.get("mrkdwn", True) else "plain"


def _render_block(block: Mapping[str, Any], style: _Style) -> Iterator[str]:
    kind = block.get("type")
    if kind == "header":
        yield from (style.bold(line) for line in _seen(block["text"], style).split("\n"))
    elif kind == "section":
        if "text" in block:
            yield from _seen(block["text"], style).split("\n")
        yield from _columns([_seen(item, style).split("\n") for item in block.get("fields", [])])
    elif kind == "context":
        line = "  ".join(_seen(element, style) for element in block["elements"])
        yield from (style.dim(part) for part in line.split("\n"))
    elif kind == "actions":
        yield "  ".join(_seen(element, style) for element in block["elements"])
    elif kind == "divider":
        yield "─" * WIDTH
    elif kind == "rich_text":
        yield from _rich(block["elements"]).split("\n")
    elif kind == "markdown":
        yield from _safe(str(block.get("text", ""))).split("\n")
    elif kind == "image":
        yield _seen(block, style)


def _seen(item: Mapping[str, Any], style: _Style) -> str:
    """A text object or element as a reader sees it."""
    kind = item.get("type")
    if kind == "mrkdwn":
        return _mrkdwn(item["text"], style)
    if kind == "button":
        return f"[{_seen(item['text'], style)}]" + (f" {_safe(item['url'])}" if item.get("url") else "")
    if kind == "image":
        return f"[image: {_safe(item.get('alt_text', ''))}]"
    return _safe(_unescaped(str(item.get("text", ""))))


def _mrkdwn(text: str, style: _Style) -> str:
    pieces = _TOKEN.split(text)
    shown = [_token_shown(piece) if number % 2 else _marked(piece, style) for number, piece in enumerate(pieces)]
    return "".join(shown)


def _marked(text: str, style: _Style) -> str:
    plain = _EMOJI.sub(lambda found: EMOJI.get(found[1], found[0]), _safe(text))

    def shown(found: re.Match[str]) -> str:
        return style.bold(found[2]) if found[1] == "*" else found[2]

    return _unescaped(_MARKED.sub(shown, plain))


def _token_shown(token: str) -> str:
    """What `<token>` shows as."""
    target, _, label = token.partition("|")
    if name := _pinged(token):
        return f"[PING {_safe(name)}]"
    if target.startswith("!date^"):
        return _safe(_unescaped(label))
    if target.startswith("#"):
        return _safe(f"#{label or target[1:]}")
    if _URL.fullmatch(target):
        url = _safe(_unescaped(target))
        return f"{_safe(_unescaped(label))} ({url})" if label else url
    return f"<{_safe(token)}>"


def _pinged(token: str) -> str | None:
    """Whom `<token>` pings."""
    target = token.partition("|")[0]
    if target in ("!channel", "!here", "!everyone"):
        return f"@{target[1:]}"
    if target.startswith("!subteam^"):
        return f"@{target.removeprefix('!subteam^')}"
    return target if re.fullmatch(r"@[UW]\w+", target) else None


def _columns(fields: Sequence[Sequence[str]]) -> Iterator[str]:
    """Fields two by two, as Slack sets them."""
    half = WIDTH // 2
    for left, right in zip_longest(fields[::2], fields[1::2], fillvalue=()):
        for one, other in zip_longest(left, right, fillvalue=""):
            padding = max(2, half - len(re.sub(r"\x1b\[\dm", "", one)))
            yield f"{one}{' ' * padding}{other}".rstrip()


def _rich(elements: Sequence[Mapping[str, Any]]) -> str:
    return "".join(_rich_element(element) for element in elements)


def _rich_element(element: Mapping[str, Any]) -> str:
    kind = element.get("type", "")
    if kind in ("user", "usergroup", "broadcast"):
        return f"[PING {_safe(next(_texts(element))[0])}]"
    if kind == "emoji":
        return EMOJI.get(element["name"], f":{element['name']}:")
    if kind == "link":
        label = element.get("text")
        return f"{_safe(label)} ({_safe(element['url'])})" if label else _safe(element["url"])
    if "elements" in element:
        inner = [_rich_element(item) for item in element["elements"]]
        return "".join(f"• {item}\n" for item in inner) if kind == "rich_text_list" else "".join(inner) + "\n"
    return _safe(element.get("text", ""))


def _unescaped(text: str) -> str:
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _safe(text: str) -> str:
    return text.translate(_CONTROLS)
