"""The report: what it says of a room, and that nothing Twilio sends can keep it from being made."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from room_reports.report_docs import DOCS, guide, schema, verdicts
from room_reports.reports import LARGEST, RoomReport
from room_reports.summaries import FIELDS, parse_time
from tests.support.reports import (
    END,
    ORDINARY,
    ROOM_SID,
    START,
    callback_with,
    make_report,
    summary_with,
)

VALIDATOR = Draft202012Validator(json.loads(schema()), format_checker=Draft202012Validator.FORMAT_CHECKER)

texts = st.text(st.characters(exclude_categories=()), max_size=60)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4))
summaries = st.dictionaries(
    st.sampled_from(FIELDS) | texts, values | st.sampled_from([*ORDINARY.values()]), max_size=30
)


def codes(report: RoomReport) -> list[str]:
    """The verdicts, but for the one that says that the test's room has undocumented values."""
    return [verdict.code for verdict in report.data.verdicts if verdict.code != "unfamiliar_data"]


def document(report: RoomReport) -> Any:
    return json.loads(report.to_json())


# The whole


def test_schema_and_guide_in_docs_are_current() -> None:
    assert (DOCS / "report.schema.json").read_text() == schema(), "run: python -m room_reports.report_docs"
    assert (DOCS / "report.md").read_text() == guide(), "run: python -m room_reports.report_docs"
    assert (DOCS / "verdicts.md").read_text() == verdicts(), "run: python -m room_reports.report_docs"


def test_ordinary_report() -> None:
    report = document(make_report())
    VALIDATOR.validate(report)
    assert (report["type"], report["timestamp"]) == ("room.report", "2026-11-23T14:05:05Z")
    data = report["data"]
    assert data["summary"] == ORDINARY
    assert data["completeness"] == {"state": "complete", "reason": None, "missing": [], "unreadable": []}
    assert data["verdicts"] == []
    assert data["left_out"] == []
    assert data["links"] == {"console": f"https://console.example.com/rooms/{ROOM_SID}/participants/"}
    assert data["derived"] == {
        "started_at": "2026-11-23T13:23:05Z",
        "ended_at": "2026-11-23T14:05:05Z",
        "duration_seconds": 2520,
        "people": 5,
        "rejoins": 1,
        "participant_minutes": 150.0,
        "average_stay_seconds": 1500.0,
        "peak": {"concurrent": 4, "limit": 20, "share": 0.2, "max_concurrent": 20},
        "recorded_minutes": 41.0,
        "seconds_to_report": 600.0,
        "cost_estimate": None,
    }
    assert data["callback"]["timestamp"] == "2026-11-23T14:05:05.678000Z"
    assert data["provenance"]["times_asked"] == 1


@settings(max_examples=300, deadline=None)
@given(summary=summaries | st.none(), with_callback=st.booleans(), name=texts | st.none())
def test_whatever_twilio_sends_makes_a_valid_report(
    summary: dict[str, Any] | None, with_callback: bool, name: str | None
) -> None:
    callback = callback_with(room_name=None) if with_callback else None
    body = make_report(summary, callback, room_name=name).to_json()
    VALIDATOR.validate(json.loads(body.decode()))
    assert len(body) <= LARGEST


def test_dates_with_fraction_and_offset_are_read_and_forwarded_as_sent() -> None:
    sent = summary_with(create_time="2026-11-23T14:23:05+01:00", end_time="2026-11-23T14:05:05.250Z")
    report = make_report(sent)
    assert report.data.derived.started_at == START
    assert report.timestamp == END.replace(microsecond=250_000)
    assert report.data.summary == sent


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2026-11-23",
        "2026-13-01T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
        1764000000,
        None,
        "1764000000",
    ],
)
def test_what_is_no_time_reads_as_none(text: object) -> None:
    assert parse_time(text) is None


def test_time_without_zone_is_utc() -> None:
    assert parse_time("2026-11-23T13:23:05") == datetime(2026, 11, 23, 13, 23, 5, tzinfo=UTC)


# Completeness


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("duration_sec", "2520"),
        ("duration_sec", 2520.5),
        ("unique_participants", True),
        ("unique_participants", 2**63),
        ("recording_enabled", "false"),
        ("recording_enabled", 1),
        ("end_time", 1764000000),
        ("end_time", "soon"),
        ("room_type", ["group"]),
        ("codecs", "VP8"),
        ("codecs", ["VP8", 9]),
        ("links", "https://insights.twilio.com"),
    ],
)
def test_c62_wrong_type_stays_raw_and_is_named(field: str, value: object) -> None:
    data = make_report(summary_with(**{field: value})).data
    assert data.summary is not None
    assert data.summary[field] == value
    assert data.completeness.unreadable == (f"summary.{field}",)
    assert data.completeness.missing == (f"summary.{field}",)
    assert [verdict.code for verdict in data.verdicts] == ["unreadable_data"]
    assert field in data.verdicts[0].text


@pytest.mark.parametrize("field", FIELDS)
def test_null_and_absent_fields_are_missing(field: str) -> None:
    absent = {name: value for name, value in ORDINARY.items() if name != field}
    for summary in (summary_with(**{field: None}), absent):
        assert make_report(summary).data.completeness.missing == (f"summary.{field}",)


def test_partial_report_without_summary() -> None:
    report = make_report(None, state="partial", reason="not_ready")
    VALIDATOR.validate(document(report))
    data = report.data
    assert data.summary is None
    assert (data.completeness.state, data.completeness.reason) == ("partial", "not_ready")
    assert data.completeness.missing == ("summary",)
    assert codes(report) == ["data_incomplete"]
    assert data.derived.duration_seconds == 2520
    assert data.derived.ended_at == callback_with().timestamp


def test_report_of_a_room_whose_callback_never_came() -> None:
    report = make_report(callback=None, room_name=None)
    assert report.data.completeness.missing == ("callback",)
    assert report.data.callback is None
    assert report.data.room_name == "weekly-planning"
    assert codes(report) == []


def test_report_of_nothing_at_all_is_dated_by_its_making() -> None:
    report = make_report(None, None, room_name=None, state="partial", reason="rejected")
    assert report.data.completeness.missing == ("callback", "summary")
    assert report.timestamp == report.data.reported_at


# What is forwarded


@pytest.mark.parametrize(
    ("field", "sent", "forwarded"),
    [
        ("status_callback", "https://h.example/cb?token=s3cret#rc=5", "https://h.example/cb"),
        ("status_callback", "https://h.example/cb#token=s3cret?x", "https://h.example/cb"),
        ("status_callback", "https://h.example/cb#token=s3cret", "https://h.example/cb"),
        ("status_callback", "https://user:s3cret@h.example/@me", "https://h.example/@me"),
        ("status_callback", "https://user:s3c@ret@h.example", "https://h.example"),
        ("status_callback", "//user:s3cret@h.example/cb?token=s3cret", "//h.example/cb"),
        ("status_callback", " HTTPS:\\\\u:s3cret@h.example/cb?\ns3cret", " HTTPS:\\\\h.example/cb"),
        ("url", "https://h.example/r?token=s3cret", "https://h.example/r"),
        ("links", {"a": "https://h.example/?s3cret", "b": "/p?s3cret"}, {"a": "https://h.example/", "b": "/p"}),
        ("links", {"deep": {"er": ["p?s3cret"]}}, {"deep": {"er": ["p"]}}),
        ("new_field", ["see https://u:s3cret@h.example/a?s3cret and x?y"], ["see https://h.example/a and x?y"]),
        ("new_field", {"recording": "ftp://h.example/?s3cret"}, {"recording": "ftp://h.example/"}),
        ("room_name", "https://h.example/?a=1#b", "https://h.example/?a=1#b"),
        ("end_reason", "who?", "who?"),
    ],
)
def test_secrets_in_urls_are_not_forwarded(field: str, sent: object, forwarded: object) -> None:
    report = make_report(summary_with(**{field: sent}))
    assert document(report)["data"]["summary"] == summary_with(**{field: forwarded})
    assert b"s3cret" not in report.to_json()


def test_long_text_without_a_url_is_searched_in_linear_time() -> None:
    # Quadratic search would take hours here, so this test would never end.
    assert make_report(summary_with(new_field="a" * 3_000_000 + " ://")).data.summary is not None


def test_what_json_cannot_carry_is_replaced() -> None:
    sent = summary_with(media_region="\ud800x", new_field=[float("nan"), float("inf"), 1.5], **{"\udfff": 1})
    made = make_report(sent, room_name="a\udc80b")
    assert made.data.summary is not None
    assert made.data.summary["new_field"] == [None, None, 1.5]
    report = document(made)
    assert report["data"]["summary"] == summary_with(
        media_region="\ufffdx", new_field=[None, None, 1.5], **{"\ufffd": 1}
    )
    assert report["data"]["room_name"] == "a\ufffdb"


def test_deep_nesting_ends() -> None:
    deep: Any = "bottom"
    for _ in range(400):
        deep = [deep]
    assert b"bottom" not in make_report(summary_with(new_field=deep)).to_json()


# Size


def test_d81_long_report_is_shortened_with_a_count_of_what_was_left_out() -> None:
    people = [{"participant_sid": f"PA{n:032x}", "participant_identity": f"person {n}"} for n in range(200)]
    report = make_report(summary_with(participants=people, note="x" * 50_000))
    body = report.to_json()
    assert len(body) <= LARGEST
    VALIDATOR.validate(json.loads(body))
    data = json.loads(body)["data"]
    left_out = {(entry["path"], entry["kind"]): entry["count"] for entry in data["left_out"]}
    kept = data["summary"]["participants"]
    assert kept == people[: len(kept)]
    assert len(kept) + left_out["summary.participants", "items"] == 200
    assert len(data["summary"]["note"]) - 1 + left_out["summary.note", "characters"] == 50_000
    assert {name: data["summary"][name] for name in FIELDS} == ORDINARY
    assert report.data.summary is not None
    assert len(report.data.summary["participants"]) == 200


@pytest.mark.parametrize(
    "summary",
    [
        dict.fromkeys(FIELDS, "\U0001f600" * 30_000),
        dict.fromkeys(FIELDS, 10**4000),
        {f"{n}" * 40: {"a": [n]} for n in range(5000)},
        {"k" * 100_000: 1},
        {"links": {f"{n}": {f"{m}": "x" * 100 for m in range(60)} for n in range(60)}},
        {name: ['"' * 1000] * 1000 for name in FIELDS},
    ],
    ids=["astral", "digits", "fields", "name", "nested", "escapes"],
)
def test_d81_every_shape_of_too_much_fits(summary: dict[str, Any]) -> None:
    report = make_report(summary, callback_with(room_name="\u0001" * 1024), room_name="\u0001" * 100_000)
    body = report.to_json()
    assert len(body) <= LARGEST
    VALIDATOR.validate(json.loads(body))
    assert json.loads(body)["data"]["left_out"]
    assert json.loads(body)["data"]["room_sid"] == ROOM_SID


def test_d81_documented_fields_are_the_last_to_go() -> None:
    unknown = {f"field_{n}": "x" * 50 for n in range(1000)}
    data = document(make_report({**unknown, **ORDINARY}))["data"]
    assert {name: data["summary"][name] for name in FIELDS} == ORDINARY
    assert data["left_out"] == [{"path": "summary", "kind": "fields", "count": 1026 - len(data["summary"])}]


# Figures


@pytest.mark.parametrize(
    ("changes", "name", "expected"),
    [
        ({"unique_participant_identities": None}, "people", 6),
        ({"unique_participant_identities": None}, "rejoins", None),
        ({"unique_participants": 4}, "rejoins", None),
        ({"unique_participants": 0}, "average_stay_seconds", None),
        ({"unique_participants": -1}, "average_stay_seconds", None),
        ({"total_participant_duration_sec": None}, "participant_minutes", None),
        ({"total_participant_duration_sec": 0}, "participant_minutes", 0.0),
        ({"total_recording_duration_sec": -60}, "recorded_minutes", None),
        ({"total_recording_duration_sec": 2**63 - 1}, "recorded_minutes", 153722867280912940.0),
        ({"duration_sec": 0}, "duration_seconds", 0),
        ({"duration_sec": -5}, "duration_seconds", 2520),
        ({"end_time": "2027-01-01T00:00:00Z"}, "seconds_to_report", 0.0),
    ],
)
def test_figures(changes: dict[str, Any], name: str, expected: object) -> None:
    assert getattr(make_report(summary_with(**changes)).data.derived, name) == expected


def test_duration_without_a_figure_is_end_less_start() -> None:
    report = make_report(summary_with(duration_sec=None), callback=None)
    assert report.data.derived.duration_seconds == 2520


@pytest.mark.parametrize(("limit", "share"), [(0, None), (None, None), (8, 0.5)])
def test_share_of_the_limit(limit: int | None, share: float | None) -> None:
    assert make_report(summary_with(max_participants=limit)).data.derived.peak.share == share
