"""Events of Event Streams, read: every field under its name in the Video Log Analyzer, and nothing that raises."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from room_reports.events import MalformedEvent, ParticipantEvent, RoomEvent, SinkTest, elements, read
from room_reports.participants import Identities, read_participant
from room_reports.summaries import FIELDS
from sandbox import events
from sandbox.summaries import participants
from tests.support.reports import ACCOUNT_SID, END, ORDINARY, ROOM_SID

SUMMARY = dict(ORDINARY)
HASHED = Identities("hashed", b"key")
FULL = Identities("full", b"key")
PARTICIPANT = "PA" + "0" * 32
PACKET_LOSS = events.issue("high-packet-loss", PARTICIPANT, directions=["inbound"])


def room(element: Any) -> RoomEvent:
    found = read(element, HASHED)
    assert isinstance(found, RoomEvent)
    return found


@pytest.mark.parametrize("as_text", [False, True])
def test_every_field_gets_its_name_in_the_video_log_analyzer(as_text: bool) -> None:
    found = room(events.room_event(SUMMARY, as_text=as_text))
    # What Twilio says of the status of a room that ended is no use; times have milliseconds here.
    left_out = events.NOT_IN_EVENTS | {"room_status"}
    expected = {name: SUMMARY[name] for name in FIELDS if name not in left_out}
    expected |= {"create_time": "2026-11-23T13:23:05.000Z", "end_time": "2026-11-23T14:05:05.000Z"}
    assert found.summary == expected
    assert (found.account_sid, found.room_sid, found.room_name) == (ACCOUNT_SID, ROOM_SID, "weekly-planning")
    assert found.ended == END


def test_words_are_spelt_as_in_the_video_log_analyzer_and_names_are_left_alone() -> None:
    spelt: dict[str, Any] = {"room_type": "group-small", "status": "completed", "created_method": "ad-hoc"}
    spelt["room_name"] = "in-progress"
    summary = room(events.room_event(SUMMARY, **spelt)).summary
    assert summary is not None
    assert (summary["room_type"], summary["room_status"], summary["created_method"]) == (
        "group_small",
        "completed",
        "ad_hoc",
    )
    assert summary["room_name"] == "in-progress"


@pytest.mark.parametrize("state", ["complete", "timeout", None])
def test_settled_summary_is_taken(state: str | None) -> None:
    assert room(events.room_event(SUMMARY, processing_state=state)).summary is not None


@pytest.mark.parametrize("state", ["in-progress", "in_progress", "not_started", "new-word"])
def test_unfinished_summary_is_not(state: str) -> None:
    assert room(events.room_event(SUMMARY, processing_state=state)).summary is None


def test_issues_are_kept_without_identities() -> None:
    listed: list[Any] = [PACKET_LOSS, {"severity": "high"}, "x", None]
    found = room(events.room_event(SUMMARY, issues=listed))
    assert found.issues == [
        {
            "issue_type": "high-packet-loss",
            "severity": "high",
            "participant_sid": PARTICIPANT,
            "directions": ["inbound"],
        }
    ]
    assert "ada" not in repr(found)


def test_issues_are_capped() -> None:
    found = room(events.room_event(SUMMARY, issues=[PACKET_LOSS] * 500))
    assert found.issues is not None
    assert len(found.issues) == 200


def test_no_issues_and_none_said_differ() -> None:
    silent = events.room_event(SUMMARY)
    del silent["data"]["detected_issues"]
    assert room(events.room_event(SUMMARY)).issues == []
    assert room(silent).issues is None


def test_unknown_keys_are_ignored() -> None:
    element = {**events.room_event(SUMMARY, location={"city": "x"}, secret="y"), "extension": 1}
    summary = room(element).summary
    assert summary is not None
    assert not {"location", "secret"} & set(summary)


def test_end_that_is_missing_is_when_the_event_was_made() -> None:
    assert room({**events.room_event(SUMMARY, end_time=None), "time": "2026-11-23T14:05:05.000Z"}).ended == END


@pytest.mark.parametrize(
    "kind", ["com.twilio.video.insights.track-summary.complete", "x", "", events.ROOM_SUMMARY + "d"]
)
def test_other_types_are_none_of_ours(kind: str) -> None:
    assert read(events.event(kind, {}), HASHED) is None


@pytest.mark.parametrize(("mode", "shown"), [("full", "ada"), ("none", None)])
def test_participant_is_read_with_so_much_of_the_identity_as_may_be_told(mode: Any, shown: str | None) -> None:
    [record, *_] = participants(ROOM_SID, account_sid=ACCOUNT_SID, ended=END)
    found = read(events.participant_event(record, identity="ada"), Identities(mode, b"key"))
    assert isinstance(found, ParticipantEvent)
    assert (found.room_sid, found.participant.participant_sid) == (ROOM_SID, record["participant_sid"])
    assert found.participant == read_participant({**record, "edge_location": None, "participant_identity": shown}, FULL)
    assert "Springfield" not in found.participant.to_row()


@pytest.mark.parametrize(("test_id", "kept"), [("a-1_B", "a-1_B"), ("x" * 101, None), ("$(rm)", None), (5, None)])
def test_sink_test_has_an_id_that_is_safe_to_show(test_id: Any, kept: str | None) -> None:
    assert read(events.sink_test(test_id, account_sid=ACCOUNT_SID), HASHED) == SinkTest(kept)


@pytest.mark.parametrize(
    "element",
    [
        *([], 5, None, "x", {}, {"type": 5}, {"type": None}),
        {"type": events.ROOM_SUMMARY},
        {"type": events.ROOM_SUMMARY, "data": "{"},
        {"type": events.ROOM_SUMMARY, "data": "[]"},
        {"type": events.ROOM_SUMMARY, "data": "[" * 100_000},
        events.room_event(SUMMARY, room_sid=None),
        events.room_event(SUMMARY, room_sid=ROOM_SID + "\n"),
        events.room_event(SUMMARY, room_sid="../Rooms"),
        events.room_event(SUMMARY, account_sid=5),
        events.event(events.PARTICIPANT_SUMMARY, {"room_sid": ROOM_SID, "account_sid": ACCOUNT_SID}),
    ],
)
def test_what_is_no_event_is_malformed(element: Any) -> None:
    with pytest.raises(MalformedEvent):
        read(element, HASHED)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b'{"a": 1}}'])
def test_body_that_is_no_json_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedEvent):
        elements(body)


def test_one_event_is_an_array_of_one() -> None:
    assert elements(b'{"a": 1}') == elements(b'[{"a": 1}]') == [{"a": 1}]


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)


@given(changes=st.dictionaries(st.sampled_from([*SUMMARY, "status", "participants", "detected_issues"]), ANY_JSON))
def test_nothing_in_the_data_makes_it_fail(changes: dict[str, Any]) -> None:
    changes = {name: value for name, value in changes.items() if name not in ("room_sid", "account_sid")}
    found = room(events.event(events.ROOM_SUMMARY, {**SUMMARY, **changes}))
    json.dumps([found.summary, found.issues])
    found.room_name.encode()
