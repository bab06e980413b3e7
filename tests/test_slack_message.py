"""The Slack message: readable for a person, within Slack's limits, and deaf to whatever a name tries."""

from __future__ import annotations

import html
import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slack_sdk.errors import SlackObjectFormationError

from room_reports import slack_report
from room_reports.delivery import Notice
from room_reports.reports import RoomReport
from room_reports.slack_report import text_message
from room_reports.slack_text import one_line, plain
from room_reports.summaries import FIELDS
from room_reports.verdicts import Verdict
from room_reports.words import spoken
from sandbox.messages import links, mentions, refusal, render
from tests.support.block_kit import checked
from tests.support.reports import CONSOLE_URL, ORDINARY, ROOM_SID, callback_with, make_report, summary_with

CONSOLE = CONSOLE_URL.format(room_sid=ROOM_SID)

HOSTILE = {
    "channel": "<!channel>",
    "here, escaped": "&lt;!here&gt;",
    "bare here": "@here @channel @everyone",
    "user": "<@U1>",
    "group": "<!subteam^S1|team>",
    "link": "<http://x|y>",
    "bare link": "http://evil.example/x evil.example",
    "date": "<!date^0^{date}|x>",
    "markup": "*bold* _italic_ ~gone~ `code` ```block```",
    "quote": ">>> said",
    "emoji": ":rotating_light: :tada:",
    "entities": "&amp;&#60;&",
    "template": "{room_sid} %s ${jndi:ldap://x}",
}

NAMES = (
    "Élodie & Søren",
    "会議室",
    "اتاق‌ها",  # noqa: RUF001 - Persian, with a joiner
    "👩\u200d💻 pairing",
    "नमस्ते",
    "e\u0301tude",
)

texts = st.text(st.characters(exclude_categories=()), max_size=300) | st.sampled_from([*HOSTILE.values(), "<&>" * 200])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
)
summaries = st.dictionaries(st.sampled_from(FIELDS), values | st.sampled_from([*ORDINARY.values()]), max_size=30)


def message(report: RoomReport) -> dict[str, Any]:
    """The message for a report; none in these tests goes past slack_sdk's own validation."""
    return checked(slack_report.message(report))


def notice_message(notice: Notice) -> dict[str, Any]:
    return checked(slack_report.notice_message(notice))


def strings(value: Any) -> list[str]:
    """Every text object's text, and the fallback."""
    if isinstance(value, dict):
        own = [value["text"]] if isinstance(value.get("text"), str) else []
        return own + [text for part in value.values() for text in strings(part)]
    return [text for part in value for text in strings(part)] if isinstance(value, list) else []


def header(payload: dict[str, Any]) -> str:
    return str(payload["blocks"][0]["text"]["text"])


def test_ordinary_room_at_a_glance() -> None:
    assert render(message(make_report())).split("\n") == [
        "┃ ✅ weekly-planning",
        "┃ 42 min · 5 people",
        "┃ Time  2026-11-23 13:23–14:05 UTC      Peak  4 at once, 20 allowed",  # noqa: RUF001
        "┃ Participant time  2 h 30 min          Average stay  25 min",
        "┃ Recorded  41 min                      Rejoins  1",
        "┃ group · de1 · frankfurt · created by API · closed by API · VP8, opus",
        f"┃ `{ROOM_SID}` · Open in Twilio Console ({CONSOLE})",
    ]


def test_partial_report_says_so_first() -> None:
    payload = message(make_report(None, state="partial", reason="not_ready"))
    lines = render(payload).split("\n")
    assert lines[0] == "┃ ⌛ weekly-planning"
    assert lines[1] == "┃ partial report · 42 min · people unknown"
    assert lines[2].startswith("┃ ⌛ Incomplete data: Twilio had not completed the summary in time")
    assert payload["text"].startswith("⌛ weekly-planning: partial report, 42 min, people unknown\n⌛ Incomplete data")


def test_warnings_stand_below_the_glance_and_mark_the_header() -> None:
    report = make_report(summary_with(concurrent_participants=20, end_reason="timeout"))
    lines = render(message(report)).split("\n")
    assert lines[0] == "┃ ⚠️ weekly-planning"
    assert lines[2] == "┃ ⚠️ The room was full: 20 at once, 20 allowed."
    assert "Nobody closed" not in "\n".join(lines), "most rooms end by timeout: that is no news"


def test_notice_marks_the_header_unless_there_is_a_warning() -> None:
    alone = {"unique_participants": 1, "unique_participant_identities": 1}
    assert header(message(make_report(summary_with(**alone)))).startswith("🔎 ")
    assert header(message(make_report(summary_with(**alone, total_recording_duration_sec=0)))).startswith("⚠️ ")


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"recording_enabled": False, "total_recording_duration_sec": 0}, "Recorded  off"),
        ({"recording_enabled": False, "total_recording_duration_sec": 60}, "Recorded  1 min"),
        ({"total_recording_duration_sec": 0}, "Recorded  nothing"),
        ({"create_time": "2026-11-22T23:50:00Z"}, "Time  2026-11-22 23:50 – 2026-11-23 14:05 UTC"),  # noqa: RUF001
        ({"create_time": None}, "Time  until 2026-11-23 14:05 UTC"),
        ({"max_participants": None}, "Peak  4 at once"),
        ({"room_type": "holodeck"}, "holodeck · de1"),
        ({"created_method": "by_magic", "end_reason": "boredom"}, "created: by_magic · ended: boredom"),
        ({"unique_participants": 0, "unique_participant_identities": 0}, "42 min · nobody"),
    ],
)
def test_what_is_said(changes: dict[str, Any], line: str) -> None:
    assert line in render(message(make_report(summary_with(**changes))))


def test_what_is_unknown_is_not_shown() -> None:
    unknown = dict.fromkeys(FIELDS)
    lines = render(message(make_report(unknown, callback=None))).split("\n")
    assert lines == [
        "┃ ✅ weekly-planning",
        "┃ duration unknown · people unknown",
        f"┃ `{ROOM_SID}` · Open in Twilio Console ({CONSOLE})",
    ]


def test_room_that_nobody_came_to_is_short() -> None:
    empty = {"unique_participants": 0, "unique_participant_identities": 0, "concurrent_participants": 0}
    lines = render(message(make_report(summary_with(**empty)))).split("\n")
    assert lines[:4] == [
        "┃ 🔎 weekly-planning",
        "┃ 42 min · nobody",
        "┃ 🔎 Nobody came.",
        "┃ Time  2026-11-23 13:23–14:05 UTC",  # noqa: RUF001
    ]
    assert len(lines) == 6


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (3569, "59 min"),
        (3570, "1 h"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
        (86399, "1 d"),
        (90000, "1 d 1 h"),
    ],
)
def test_durations_as_people_say_them(seconds: int, words: str) -> None:
    assert spoken(seconds) == words


# Names


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_d67_hostile_name_is_literal_text(name: str) -> None:
    report = make_report(summary_with(room_name=name), callback_with(room_name=name), room_name=name)
    for payload in (message(report), text_message(report)):
        assert mentions(payload) == []
        assert set(links(payload)) <= {CONSOLE}
        assert refusal(payload) is None
        assert html.unescape(payload["text"].split("\n")[0]).startswith(f"✅ {name}: 42 min")
        # Not only escaped: nothing in `text` is markup, and nothing is looked for in it.
        assert (payload["mrkdwn"], payload["parse"], payload["unfurl_links"]) == (False, "none", False)
    block = message(report)["blocks"][0]
    assert block["text"] == {"type": "plain_text", "emoji": False, "text": f"✅ {html.escape(name, quote=False)}"}
    assert render(message(report)).split("\n")[0] == f"┃ ✅ {name}"


@pytest.mark.parametrize(
    "name",
    [
        "a\nPeak: 99",
        "a\r\nb",
        "a\u2028b\u2029c",
        "a\x0bb\x0cc\x85d",
        "a\x00b\x1bc[31m",
        "\u202egnp.exe\u202c",
        "\u2066x\u2069\u200e\u200f\u061c",
        "a\ufeffb\u200bc\u00add",
        "\t\t a  \u00a0 b",
    ],
    ids=ascii,
)
def test_d67_name_cannot_forge_a_line_or_turn_the_text_round(name: str) -> None:
    report = make_report(room_name=name)
    shown = header(message(report))
    assert shown.isprintable()
    assert not re.search(r"[\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]", shown)
    lines = text_message(report)["text"].split("\n")
    assert lines[1] == "Time: 2026-11-23 13:23–14:05 UTC"  # noqa: RUF001
    assert len(render(message(report)).split("\n")) == 7


@pytest.mark.parametrize("name", [None, "", "  ", "\n", "\u200b\u202e", "\u3164\u2800", "\ufeff"], ids=ascii)
def test_room_without_a_visible_name_is_called_so(name: str | None) -> None:
    report = make_report(summary_with(room_name=name), callback_with(room_name=name), room_name=name)
    assert header(message(report)) == "✅ (room without a name)"


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_names_of_all_scripts_stay_as_they_are(name: str) -> None:
    assert one_line(name) == name


def test_marks_do_not_pile_up_over_other_lines() -> None:
    assert len(one_line("z" + "\u0301" * 500)) == 5


@pytest.mark.parametrize("char", ["&", "<", ">", "\U0001f600", "x"])
@pytest.mark.parametrize("limit", range(20, 30))
def test_text_is_escaped_before_it_is_cut_and_no_entity_is_cut(char: str, limit: int) -> None:
    cut = plain(char * 100, limit)
    assert re.fullmatch(r"(&amp;|&lt;|&gt;|[^&<>])+…", cut)
    assert limit - 5 < len(cut.encode("utf-16-le")) // 2 <= limit


def test_text_that_fits_is_not_cut() -> None:
    assert plain("a<b", 6) == "a&lt;b"
    assert plain("a<b", 5) == "a…"


@settings(max_examples=400, deadline=None)
@given(
    summary=summaries | st.none(),
    name=texts | st.none(),
    with_callback=st.booleans(),
    partial=st.booleans(),
    sid=st.just(ROOM_SID) | st.text(max_size=300),
)
def test_every_message_is_within_slacks_limits_and_does_nothing(
    summary: dict[str, Any] | None, name: str | None, with_callback: bool, partial: bool, sid: str
) -> None:
    report = make_report(
        summary,
        callback_with(room_name=None) if with_callback else None,
        room_name=name,
        room_sid=sid,
        state="partial" if partial else "complete",
        reason="not_ready" if partial else None,
    )
    payload = message(report)
    details = slack_report.details_message(report)
    first = checked(slack_report.provisional_message(report))
    for other in (first, *([checked(details)] if details else [])):
        assert refusal(other) is None
        assert mentions(other) == []
        assert all(link.startswith("https://console.example.com/") for link in links(other))
    assert refusal(payload) is None
    assert mentions(payload) == []
    assert all(link.startswith("https://console.example.com/") for link in links(payload))
    assert len(header(payload).encode("utf-16-le")) <= 300
    for text in strings(payload):
        # Escaped means: the only brackets are those of the link to the Console.
        assert not re.search(
            r"[<>]", re.sub(r"<https://console\.example\.com/[^<>|]*\|Open in Twilio Console>", "", text)
        )
        assert not re.search(r"&(?!amp;|lt;|gt;)", text)
    json.dumps(payload).encode()
    plain_payload = text_message(report)
    assert refusal(plain_payload) is None
    assert "blocks" not in plain_payload
    assert mentions(plain_payload) == []
    assert ("⌛" in payload["text"] and "⌛" in header(payload)) == partial or "⌛" in str(name)


@pytest.mark.parametrize(
    "block",
    [
        {"type": "header", "text": {"type": "plain_text", "text": "x" * 151, "emoji": False}},
        {"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3001, "verbatim": True}},
        {"type": "section", "fields": [{"type": "mrkdwn", "text": "x", "verbatim": True}] * 11},
        {"type": "section"},
        {"type": "context", "elements": [{"type": "mrkdwn", "text": "x", "verbatim": True}] * 11},
        {"type": "context", "elements": [{"type": "mrkdwn", "text": "", "verbatim": True}]},
        {"type": "context", "elements": [{"type": "mrkdwn", "text": "x", "emoji": False}]},
        {"type": "headline", "text": {"type": "plain_text", "text": "x"}},
    ],
)
def test_slacks_models_refuse_what_is_beyond_its_limits(block: dict[str, Any]) -> None:
    with pytest.raises((SlackObjectFormationError, AssertionError, TypeError)):
        checked({"blocks": [block]})


@pytest.mark.parametrize("char", ["x", "<", "\U0001f600"])
def test_header_and_headline_are_filled_and_no_longer(char: str) -> None:
    for changes in ({}, {"total_recording_duration_sec": 0}):
        payload = message(make_report(summary_with(**changes), room_name=char * 500))
        assert 140 < len(header(payload).encode("utf-16-le")) // 2 <= slack_report.LONGEST_HEADER
        title = payload["text"].partition(":")[0]
        assert 190 < len(title.encode("utf-16-le")) // 2 <= slack_report.LONGEST_NAME


@pytest.mark.parametrize("field", ["room_type", "media_region", "edge_location"])
def test_word_that_cannot_be_seen_is_left_out(field: str) -> None:
    payload = message(make_report(summary_with(**{field: "\u200b\u202e"})))
    assert refusal(payload) is None
    assert " ·  · " not in str(payload)


def test_only_words_that_cannot_be_seen_make_no_block() -> None:
    unseen = {**dict.fromkeys(FIELDS), "room_type": "\u200b", "codecs": ["\u2800"]}
    assert len(message(make_report(unseen, callback=None))["blocks"]) == 3


def test_every_possible_verdict_at_once_fits() -> None:
    everything = summary_with(
        room_name="other",
        room_status="failed",
        room_type="x",
        duration_sec=-(2**62),
        create_time="9999-12-31T23:59:59Z",
        concurrent_participants=2**62,
        total_recording_duration_sec=0,
        codecs=7,
        links=7,
        media_region=7,
    )
    payload = message(make_report(everything))
    assert refusal(payload) is None
    assert render(payload).count("⚠️") == 6


def test_more_verdicts_than_fit_are_not_shown() -> None:
    report = make_report()
    verdicts = tuple(Verdict(code=f"rule_{n}", severity="warning", text=f"{n} " + "<" * 500) for n in range(40))
    payload = message(report.model_copy(update={"data": report.data.model_copy(update={"verdicts": verdicts})}))
    assert refusal(payload) is None
    assert render(payload).count("⚠️") == 11


@pytest.mark.parametrize(
    ("path", "linked"),
    [
        ("{room_sid}|x>", ROOM_SID + "%7Cx&gt;"),
        ("{room_sid}?a=1&b", ROOM_SID + "?a=1&amp;b"),
        ("<!here>", "&lt;!here&gt;"),
    ],
)
def test_console_link_cannot_break_out(path: str, linked: str) -> None:
    payload = message(make_report(console_url=f"https://c.example/{path}"))
    assert mentions(payload) == []
    (element,) = payload["blocks"][-1]["elements"]
    assert element["text"] == f"`{ROOM_SID}` · <https://c.example/{linked}|Open in Twilio Console>"


def test_console_link_that_slack_would_refuse_is_left_out() -> None:
    payload = message(make_report(console_url="https://c.example/" + "&" * 1000 + "{room_sid}"))
    assert refusal(payload) is None
    assert links(payload) == []


# News of a hold


def test_notice_of_a_hold_says_what_to_do() -> None:
    payload = notice_message(Notice("webhook", "gone", "answered 410", heals=False))
    assert refusal(payload) is None
    assert render(payload).split("\n") == [
        "┃ 🛑 Nothing is delivered to webhook for now: answered 410.",
        "┃ Nothing is lost. To go on: flask rooms resume webhook",
    ]


def test_notice_of_a_hold_that_heals() -> None:
    text = notice_message(Notice("twilio", "unauthorized", "", heals=True))["text"]
    assert text.startswith("🛑 Twilio is not asked for summaries for now: unauthorized.")
    assert "by itself" in text


def test_notice_is_as_deaf_as_a_report() -> None:
    payload = notice_message(Notice("<!here>", "gone", "<!channel>\n" * 500, heals=True))
    assert mentions(payload) == []
    assert refusal(payload) is None
