"""Slack's limits, and what of a message pings, links and shows."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.messages import links, mentions, refusal, render


def mrkdwn(text: str, **more: Any) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": text, **more}


def plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text}


def section(text: str) -> dict[str, Any]:
    return {"blocks": [{"type": "section", "text": mrkdwn(text)}]}


def button(**changes: Any) -> dict[str, Any]:
    return {"type": "button", "text": plain("x" * 75), "url": "u" * 3000, "action_id": "a" * 255, **changes}


AT_THE_LIMIT: list[dict[str, Any]] = [
    {"type": "header", "text": plain("x" * 150), "block_id": "b" * 255},
    {"type": "section", "text": mrkdwn("x" * 3000)},
    {"type": "section", "fields": [mrkdwn("x" * 2000)] * 10, "accessory": button()},
    {"type": "context", "elements": [plain("x")] * 9 + [{"type": "image", "image_url": "u", "alt_text": ""}]},
    {"type": "actions", "elements": [button()] * 25},
    {"type": "image", "image_url": "u" * 3000, "alt_text": "x" * 2000},
    {"type": "rich_text", "elements": []},
    {"type": "markdown", "text": "x" * 12_000},
    {"type": "divider"},
]
BEYOND: list[object] = [
    {"type": "header", "text": plain("x" * 151)},
    {"type": "header", "text": plain("")},
    {"type": "header", "text": mrkdwn("x")},
    {"type": "header"},
    {"type": "divider", "block_id": "b" * 256},
    {"type": "section"},
    {"type": "section", "text": mrkdwn("x" * 3001)},
    {"type": "section", "text": mrkdwn("")},
    {"type": "section", "text": mrkdwn("x", emoji=True)},
    {"type": "section", "text": "x"},
    {"type": "section", "fields": [mrkdwn("x")] * 11},
    {"type": "section", "fields": [mrkdwn("x" * 2001)]},
    {"type": "section", "text": mrkdwn("x"), "accessory": button(text=plain("x" * 76))},
    {"type": "context", "elements": []},
    {"type": "context", "elements": [plain("x")] * 11},
    {"type": "context", "elements": [{"type": "image", "image_url": "", "alt_text": ""}]},
    {"type": "actions", "elements": [button()] * 26},
    {"type": "actions", "elements": [button(url="u" * 3001)]},
    {"type": "actions", "elements": [button(action_id="a" * 256)]},
    {"type": "actions", "elements": [button(text=mrkdwn("x"))]},
    {"type": "image", "image_url": "u", "alt_text": "x" * 2001},
    {"type": "image", "image_url": "u" * 3001, "alt_text": ""},
    {"type": "rich_text"},
    {"type": "markdown", "text": "x" * 12_001},
    {"type": "hologram"},
    {},
    "divider",
]


@pytest.mark.parametrize("block", AT_THE_LIMIT, ids=lambda block: block["type"])
def test_takes_blocks_at_the_limit(block: dict[str, Any]) -> None:
    assert refusal({"blocks": [block]}) is None


@pytest.mark.parametrize("block", BEYOND, ids=lambda block: str(block)[:60])
def test_refuses_blocks_beyond_it(block: object) -> None:
    refused = refusal({"text": "fallback", "blocks": [block]})
    assert refused is not None and refused.error == "invalid_blocks" and refused.detail.startswith("block 0")


def test_takes_fifty_blocks_and_no_more() -> None:
    assert refusal({"blocks": [{"type": "divider"}] * 50}) is None
    assert refusal({"blocks": [{"type": "divider"}] * 51}) is not None


def test_refuses_a_block_id_twice_and_too_long_a_text() -> None:
    assert refusal({"blocks": [{"type": "divider", "block_id": "b"}] * 2}) is not None
    refused = refusal({"text": "x" * 40_001})
    assert refused is not None and refused.error == "msg_too_long"


def test_takes_text_alone_and_attachments_alone() -> None:
    assert refusal({"text": "x"}) is None and refusal({"attachments": [{"text": "x"}]}) is None


@pytest.mark.parametrize(
    ("text", "pinged"),
    [
        ("<!channel>", ["@channel"]),
        ("a <!here> b <!everyone|x>", ["@here", "@everyone"]),
        ("<@U1>, <@W2|bob>", ["@U1", "@W2"]),
        ("<!subteam^S1|@team>", ["@S1"]),
        ("&lt;!channel&gt; @channel <!date^1^{date}|x> <#C1> <http://x|y>", []),
    ],
)
def test_finds_who_is_pinged_wherever_markup_is_live(text: str, pinged: list[str]) -> None:
    assert mentions(section(text)) == mentions({"text": text}) == pinged
    assert mentions({"attachments": [{"text": text}]}) == pinged
    assert mentions({"blocks": [{"type": "context", "elements": [mrkdwn(text)]}]}) == pinged
    assert mentions({"blocks": [{"type": "section", "fields": [mrkdwn(text)]}]}) == pinged
    assert mentions({"blocks": [{"type": "header", "text": plain(text)}]}) == []


def test_bare_names_ping_only_when_asked_to() -> None:
    assert mentions({"text": "hey @here"}) == []
    assert mentions({"text": "hey @here", "link_names": 1}) == ["@here"]


def rich(*elements: dict[str, Any]) -> dict[str, Any]:
    return {"blocks": [{"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": list(elements)}]}]}


def test_rich_text_pings_and_links_by_element_only() -> None:
    message = rich(
        {"type": "text", "text": "<!here> http://text.example"},
        {"type": "user", "user_id": "U1"},
        {"type": "broadcast", "range": "channel"},
        {"type": "link", "url": "http://link.example", "text": "label"},
    )
    assert mentions(message) == ["@U1", "@channel"] and links(message) == ["http://link.example"]
    assert render(message) == "┃ <!here> http://text.example[PING @U1][PING @channel]label (http://link.example)\n┃"


def test_finds_what_can_be_clicked() -> None:
    assert links(section("<http://a.example|A> <mailto:x@y.z> see https://b.example/x")) == [
        "http://a.example", "mailto:x@y.z", "https://b.example/x"
    ]  # fmt: skip
    assert links({"blocks": [{"type": "section", "text": mrkdwn("http://a.example", verbatim=True)}]}) == []
    assert links({"blocks": [{"type": "header", "text": plain("http://a.example")}]}) == []
    assert links({"blocks": [{"type": "actions", "elements": [button(url="http://b.example")]}]}) == [
        "http://b.example"
    ]
    assert links(section("&lt;http://x|y&gt;")) == ["http://x"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("*bold* _italic_ ~struck~ a*b*c 2 * 3 * 4", "bold italic struck a*b*c 2 * 3 * 4"),
        ("&lt;!channel&gt; &amp; co &amp;lt;", "<!channel> & co &lt;"),
        ("<!channel> <@U1>", "[PING @channel] [PING @U1]"),
        ("<https://x.example/?a=1&amp;b=2|Console &amp; co>", "Console & co (https://x.example/?a=1&b=2)"),
        ("<https://x.example>", "https://x.example"),
        ("<#C1|general> <!date^1^{date}|today> <nothing>", "#general today <nothing>"),
        (":warning: :no_such_emoji:", "⚠️ :no_such_emoji:"),
        ("\x1b[31mred\x07", "\ufffd[31mred\ufffd"),
    ],
)
def test_shows_text_as_a_reader_sees_it(text: str, shown: str) -> None:
    assert render(section(text)) == render({"text": text}) == f"┃ {shown}"


def test_shows_plain_text_literally() -> None:
    message = {"blocks": [{"type": "header", "text": plain("*a* <!channel> :warning: &lt; \x1b[2J")}]}
    assert render(message) == "┃ *a* <!channel> :warning: < \ufffd[2J"


def test_lays_blocks_out_line_by_line_with_fields_two_by_two() -> None:
    blocks = [
        {"type": "header", "text": plain("Room ended")},
        {"type": "section", "text": mrkdwn("two\nlines"), "fields": [mrkdwn(f"*{name}*\n{name}") for name in "abc"]},
        {"type": "divider"},
        {"type": "actions", "elements": [{"type": "button", "text": plain("Open"), "url": "https://x.example"}]},
        {"type": "image", "image_url": "u", "alt_text": "a plot"},
        {"type": "markdown", "text": "# as is"},
        {"type": "context", "elements": [mrkdwn("RM1"), plain("now")]},
    ]
    assert render({"text": "fallback", "blocks": blocks}).split("\n") == [
        "┃ Room ended",
        "┃ two",
        "┃ lines",
        "┃ a" + " " * 37 + "b",
        "┃ a" + " " * 37 + "b",
        "┃ c",
        "┃ c",
        "┃ " + "─" * 76,
        "┃ [Open] https://x.example",
        "┃ [image: a plot]",
        "┃ # as is",
        "┃ RM1  now",
    ]


def test_colours_on_request_without_moving_columns() -> None:
    blocks = [{"type": "section", "fields": [mrkdwn("*a*"), mrkdwn("b")]}]
    assert render({"blocks": blocks}, colour=True) == "┃ \x1b[1ma\x1b[0m" + " " * 37 + "b"
