"""The verdicts: each rule where it speaks, where it just does not, and that it is silent without its figures."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.thresholds import Thresholds
from room_reports.reports import RoomReport
from room_reports.summaries import FIELDS, KNOWN_VALUES
from room_reports.troubles import Troubles, find_troubles
from room_reports.verdicts import RULES
from tests.support.reports import callback_with, make_report, participant, summary_with

MINUTE = 60


def codes(report: RoomReport) -> list[str]:
    """The verdicts, but for the one that says that the test's room has undocumented values."""
    return [verdict.code for verdict in report.data.verdicts if verdict.code != "unfamiliar_data"]


def text_of(report: RoomReport, code: str) -> str:
    """The sentence of a verdict, or nothing."""
    return next((verdict.text for verdict in report.data.verdicts if verdict.code == code), "")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"unique_participants": 0, "unique_participant_identities": 0}, ["nobody_came"]),
        ({"unique_participants": 3, "unique_participant_identities": 1}, ["single_participant"]),
        ({"unique_participants": 1, "unique_participant_identities": None}, ["single_participant"]),
        ({"unique_participants": None, "unique_participant_identities": None}, []),
        ({"concurrent_participants": 20}, ["at_capacity"]),
        ({"concurrent_participants": 19}, []),
        ({"concurrent_participants": None}, []),
        ({"max_participants": None}, []),
        ({"concurrent_participants": 0, "max_participants": 0}, []),
        ({"total_recording_duration_sec": 0}, ["nothing_recorded"]),
        ({"total_recording_duration_sec": None}, []),
        ({"total_recording_duration_sec": 0, "recording_enabled": False}, []),
        (
            {"total_recording_duration_sec": 0, "unique_participants": 0, "unique_participant_identities": 0},
            ["nobody_came"],
        ),
        ({"end_reason": "timeout"}, ["ended_by_timeout"]),
        ({"room_name": "other"}, ["sources_disagree"]),
        ({"room_status": "in_progress"}, ["sources_disagree"]),
        ({"room_type": "go"}, ["sources_disagree"]),
        ({"duration_sec": 2515}, []),
        ({"duration_sec": 2514}, ["sources_disagree"]),
        ({"end_time": "2026-11-23T14:04:06Z"}, []),
        ({"end_time": "2026-11-23T14:04:05Z"}, ["sources_disagree"]),
        ({"room_name": None, "room_status": None, "room_type": None, "duration_sec": None}, []),
        ({"create_time": "2026-11-23T14:05:06Z"}, ["end_before_start"]),
        ({"create_time": "2026-11-23T14:05:05Z"}, []),
        ({"duration_sec": -2520}, ["sources_disagree", "end_before_start"]),
        ({"duration_sec": 0}, ["sources_disagree", "no_duration"]),
    ],
)
def test_verdicts(changes: dict[str, Any], expected: list[str]) -> None:
    assert codes(make_report(summary_with(**changes))) == expected


def test_spellings_of_callback_and_summary_agree() -> None:
    report = make_report(summary_with(room_type="group_small"), callback_with(room_type="group-small"))
    assert codes(report) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"unique_participants": 0, "unique_participant_identities": 0},
        {"unique_participants": 1, "unique_participant_identities": 1},
        {"total_recording_duration_sec": 0},
    ],
)
def test_unfinished_summary_is_not_judged_by_what_it_lacks(changes: dict[str, Any]) -> None:
    report = make_report(summary_with(**changes), state="partial", reason="not_ready")
    assert codes(report) == ["data_incomplete"]


def test_c62_undocumented_values_and_fields_are_flagged_and_kept() -> None:
    changes = {"room_type": "holodeck", "codecs": ["VP8", "AV2"], "brand_new": {"deep": [1]}}
    report = make_report(summary_with(**changes), callback=None)
    assert json.loads(report.to_json())["data"]["summary"] == summary_with(**changes)
    (verdict,) = report.data.verdicts
    assert (verdict.code, verdict.severity) == ("unfamiliar_data", "info")
    assert verdict.text.endswith("room_type, codecs, brand_new.")


@pytest.mark.parametrize(
    ("field", "value"), [(field, one) for field in KNOWN_VALUES for one in sorted(KNOWN_VALUES[field])]
)
def test_documented_values_are_not_flagged(field: str, value: str) -> None:
    for spelling in (value, value.replace("_", "-")):
        changed = summary_with(**{field: [spelling] if field == "codecs" else spelling})
        assert "unfamiliar_data" not in [verdict.code for verdict in make_report(changed).data.verdicts]


# Participants, issues, and what is usual


def left(code: object = None, reason: object = None) -> dict[str, Any]:
    """A participant's record."""
    return {"error_code": code, "end_reason": reason}


def issue(kind: object, severity: object = "high") -> dict[str, Any]:
    """An issue that Twilio detected."""
    return {"issue_type": kind, "severity": severity, "properties": {"participant_identity": "ann"}}


FINE = left(None, "disconnected_via_api")


@pytest.mark.parametrize(
    ("record", "broken_off", "media_lost"),
    [
        (FINE, 0, 0),
        (left(0, ""), 0, 0),
        (left(53001), 1, 0),
        (left("53001"), 1, 0),
        (left(53405), 0, 1),
        (left(53405, "media_connection_error"), 0, 1),
        (left(53399), 1, 0),
        (left(53400), 0, 1),
        (left(53499), 0, 1),
        (left(53500), 1, 0),
        (left(53118, "room_ended_error"), 0, 0),
        (left(53205), 0, 0),
        (left(None, "signaling_connection_timed_out"), 1, 0),
        (left(None, "SIGNALING_CONNECTION_ERROR"), 1, 0),
        (left(None, "timeout"), 1, 0),
        (left(None, "room_ended"), 0, 0),
        (left([], {}), 0, 0),
        (left(True, 7), 0, 0),
        ({}, 0, 0),
    ],
)
def test_how_a_connection_ended(record: dict[str, Any], broken_off: int, media_lost: int) -> None:
    assert find_troubles([participant(record)], None) == Troubles(1, broken_off, media_lost, ())


def test_severe_issues_are_counted_in_plain_words() -> None:
    issues = [issue("packet_loss"), issue("jitter"), issue("packet-LOSS", None), issue("latency", "Low"), issue(None)]
    found = find_troubles(None, [*issues, issue("<!here>\n" * 90)])
    assert found is not None
    assert found.issues[:2] == (("packet loss", 2), ("jitter", 1))
    assert found.issues[2][0] == ("here " * 8)
    assert found.connections == 0


@pytest.mark.parametrize(
    ("participants", "text"),
    [
        (None, ""),
        ([], ""),
        ([FINE] * 4, ""),
        ([left(53001)], "The only connection broke off."),
        ([left(53001)] + [FINE] * 3, "1 of 4 connections broke off."),
        ([left(53001)] + [FINE] * 4, ""),
        ([left(53001)] * 2 + [FINE] * 6, "2 of 8 connections broke off."),
    ],
)
def test_abnormal_disconnects(participants: list[dict[str, Any]] | None, text: str) -> None:
    summary = summary_with(unique_participants=len(participants or ()))
    assert text_of(make_report(summary, participants=participants), "abnormal_disconnects") == text


def test_connections_that_are_not_known_one_by_one_are_counted_too() -> None:
    report = make_report(summary_with(unique_participants=8), participants=[left(53001)] * 2)
    assert text_of(report, "abnormal_disconnects") == "2 of 8 connections broke off."


@pytest.mark.parametrize(
    ("participants", "issues", "text"),
    [
        (None, None, ""),
        ([FINE], [], ""),
        ([left(53405), FINE, left(53405)], None, "Media trouble: 2 lost their media connection."),
        (None, [issue("packet_loss")] * 3, "Media trouble: packet loss (3)."),
        (
            [left(53405)],
            [issue(kind) for kind in ("a", "b", "c", "d", "e")],
            "Media trouble: 1 lost their media connection, a (1), b (1), c (1), 2 more kinds.",
        ),
        ([FINE], [issue("packet_loss", "medium")], ""),
    ],
)
def test_media_errors(participants: list[Any] | None, issues: list[Any] | None, text: str) -> None:
    assert text_of(make_report(participants=participants, issues=issues), "media_errors") == text


def test_troubles_are_told_of_an_unfinished_summary_too() -> None:
    report = make_report(None, state="partial", reason="not_ready", participants=[left(53001), left(53405)])
    assert codes(report) == ["data_incomplete", "abnormal_disconnects", "media_errors"]


@pytest.mark.parametrize(
    ("connections", "identities", "text"),
    [
        (10, 5, "Many rejoins: 5 people connected 10 times."),
        (9, 5, ""),
        (6, 1, "Many rejoins: 1 person connected 6 times."),
        (30, 20, "Many rejoins: 20 people connected 30 times."),
        (29, 20, ""),
        (10, None, ""),
        (None, 5, ""),
        (10, 0, ""),
        (0, 10, ""),
    ],
)
def test_many_rejoins(connections: int | None, identities: int | None, text: str) -> None:
    summary = summary_with(unique_participants=connections, unique_participant_identities=identities)
    assert text_of(make_report(summary), "many_rejoins") == text
    assert text_of(make_report(summary, state="partial", reason="not_ready"), "many_rejoins") == ""


@pytest.mark.parametrize(
    ("minutes", "usual", "expected"),
    [
        (10, 40, ["shorter_than_usual"]),
        (10, 39, []),
        (10, None, []),
        (120, 40, ["longer_than_usual"]),
        (119, 40, []),
        (1, 5, []),
        (1, 6, ["shorter_than_usual"]),
        (5, 1, []),
        (6, 1, ["longer_than_usual"]),
        (6, 0, ["longer_than_usual"]),
        (40, 40, []),
    ],
)
def test_much_shorter_or_longer_than_usual(minutes: int, usual: int | None, expected: list[str]) -> None:
    summary = summary_with(duration_sec=minutes * MINUTE)
    report = make_report(summary, callback=None, usual_duration=None if usual is None else float(usual * MINUTE))
    assert codes(report) == expected


def test_unusual_length_is_told_with_both_durations() -> None:
    report = make_report(None, callback_with(room_duration=3 * 3600), usual_duration=42 * 60.0)
    assert text_of(report, "longer_than_usual") == "It lasted 3 h; rooms of this name usually last 42 min."
    assert text_of(make_report(None, None, usual_duration=2520.0), "shorter_than_usual") == ""


# Thresholds

NEARLY_FULL = summary_with(concurrent_participants=18)
REJOINS = summary_with(unique_participants=8, unique_participant_identities=5)


@pytest.mark.parametrize(
    ("code", "thresholds", "speaks", "report"),
    [
        ("at_capacity", {"at_capacity_share": 0.9}, True, {"summary": NEARLY_FULL}),
        ("at_capacity", {"at_capacity_share": 0.91}, False, {"summary": NEARLY_FULL}),
        ("many_rejoins", {"many_rejoins": 3}, True, {"summary": REJOINS}),
        ("many_rejoins", {"many_rejoins": 3, "many_rejoins_share": 0.7}, False, {"summary": REJOINS}),
        ("abnormal_disconnects", {"abnormal_disconnects": 2}, False, {"participants": [left(53001)]}),
        (
            "abnormal_disconnects",
            {"abnormal_disconnects_share": 0.5},
            False,
            {"participants": [left(53001), FINE, FINE]},
        ),
        ("media_errors", {"media_errors": 2}, False, {"participants": [left(53405)]}),
        ("media_errors", {"media_errors": 2}, True, {"participants": [left(53405)], "issues": [issue("x")]}),
        ("shorter_than_usual", {"shorter_than_usual_share": 0.5}, True, {"usual_duration": 5040.0}),
        ("shorter_than_usual", {"shorter_than_usual_share": 0.5}, False, {"usual_duration": 5039.0}),
        ("longer_than_usual", {"longer_than_usual_times": 1.5}, True, {"usual_duration": 1680.0}),
        ("longer_than_usual", {"unusual_seconds": 2500, "longer_than_usual_times": 1}, False, {"usual_duration": 60.0}),
        ("longer_than_usual", {"unusual_seconds": 0, "longer_than_usual_times": 1}, False, {"usual_duration": 2520.0}),
        ("sources_disagree", {"sources_disagree_seconds": 10}, False, {"summary": summary_with(duration_sec=2510)}),
        (
            "sources_disagree",
            {"sources_disagree_end_seconds": 10},
            True,
            {"summary": summary_with(end_time="2026-11-23T14:04:35Z")},
        ),
    ],
)
def test_thresholds(code: str, thresholds: dict[str, float], speaks: bool, report: dict[str, Any]) -> None:
    made = make_report(**report, thresholds=Thresholds(**thresholds))
    assert (text_of(made, code) != "") == speaks


def test_nearly_full_is_not_called_full() -> None:
    report = make_report(NEARLY_FULL, thresholds=Thresholds(at_capacity_share=0.9))
    assert text_of(report, "at_capacity") == "The room was nearly full: 18 at once, 20 allowed."


def test_every_threshold_belongs_to_a_rule() -> None:
    assert {name for rule in RULES for name in rule.thresholds} == set(Thresholds.model_fields)


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)
records = st.lists(
    st.dictionaries(st.sampled_from(["error_code", "end_reason", "issue_type", "severity", "x"]), junk, max_size=5)
)


@settings(max_examples=100, deadline=None)
@given(participants=records, issues=records, usual=st.none() | st.floats(min_value=0, max_value=1e9), seed=junk)
def test_whatever_the_records_hold_there_are_verdicts_of_one_printable_line(
    participants: list[dict[str, Any]], issues: list[dict[str, Any]], usual: float | None, seed: Any
) -> None:
    summary = dict.fromkeys(FIELDS, seed)
    report = make_report(summary, participants=participants, issues=issues, usual_duration=usual)
    assert all(verdict.text.isprintable() and len(verdict.text) < 500 for verdict in report.data.verdicts)
