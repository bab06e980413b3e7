"""Status callbacks: what is read from Twilio's parameters, and what is refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from room_reports.callbacks import MalformedCallback, StatusCallback, parse, value_of

CAPTURED = {
    "RoomStatus": ["completed"],
    "RoomType": ["group-small"],
    "RoomSid": ["RM" + "5c1e" * 8],
    "RoomName": ["dea2"],
    "RoomDuration": ["312"],
    "SequenceNumber": ["1"],
    "StatusCallbackEvent": ["room-ended"],
    "Timestamp": ["2020-08-19T17:40:05.273Z"],
    "AccountSid": ["AC" + "88ab" * 8],
}


def changed(**changes: str | None) -> dict[str, list[str]]:
    params = CAPTURED | {name: [value] for name, value in changes.items() if value is not None}
    return {name: values for name, values in params.items() if changes.get(name, "") is not None}


def test_callback_as_twilio_sends_it() -> None:
    assert parse(CAPTURED) == StatusCallback(
        account_sid="AC" + "88ab" * 8,
        room_sid="RM" + "5c1e" * 8,
        room_name="dea2",
        room_status="completed",
        room_type="group-small",
        event="room-ended",
        timestamp=datetime(2020, 8, 19, 17, 40, 5, 273_000, tzinfo=UTC),
        timestamp_text="2020-08-19T17:40:05.273Z",
        sequence_number=1,
        room_duration=312,
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2020-08-19T17:40:05Z", datetime(2020, 8, 19, 17, 40, 5, tzinfo=UTC)),
        ("2020-08-19T17:40:05", datetime(2020, 8, 19, 17, 40, 5, tzinfo=UTC)),
        ("2020-08-19T17:40:05.2Z", datetime(2020, 8, 19, 17, 40, 5, 200_000, tzinfo=UTC)),
        ("2020-08-19T17:40:05.123456789Z", datetime(2020, 8, 19, 17, 40, 5, 123_456, tzinfo=UTC)),
        ("2020-08-19T19:40:05+02:00", datetime(2020, 8, 19, 17, 40, 5, tzinfo=UTC)),
        ("2016-12-31T23:59:60Z", datetime(2016, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("9999-12-31T23:59:59Z", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_a23_timestamps_of_every_form_are_utc(text: str, expected: datetime) -> None:
    found = parse(changed(Timestamp=text))
    assert found.timestamp == expected
    assert found.timestamp is not None and found.timestamp.utcoffset() == UTC.utcoffset(None)
    assert found.timestamp_text == text


@pytest.mark.parametrize(
    "text",
    [
        "2020-08-19",
        "20200819T174005Z",
        "2020-W34-3",
        "2020-08-19 17:40:05Z",
        "2020-02-30T00:00:00Z",
        "2020-08-19T24:00:01Z",
        "2020-08-19T17:40:05.Z",
        "2020-08-19T17:40:05Z\n",
        "\u0662\u0660\u0662\u0660-08-19T17:40:05Z",
        "0001-01-01T00:00:00+23:59",
        "1597858805",
        "x" * 100_000,
    ],
)
def test_a24_timestamp_that_is_none(text: str) -> None:
    with pytest.raises(MalformedCallback, match="Timestamp") as caught:
        parse(changed(Timestamp=text))
    assert len(caught.value.reason) < 100


@pytest.mark.parametrize("empty", [None, ""])
def test_a23_missing_or_empty_is_none(empty: str | None) -> None:
    names = ("Timestamp", "SequenceNumber", "RoomName", "RoomStatus", "RoomType", "RoomDuration")
    found = parse(changed(**dict.fromkeys(names, empty)))
    values = (found.timestamp, found.timestamp_text, found.sequence_number, found.room_name, found.room_status)
    assert {*values, found.room_type, found.room_duration} == {None}


@pytest.mark.parametrize("name", ["AccountSid", "RoomSid"])
@pytest.mark.parametrize("value", [None, "", "AC", "XX" + "0" * 32, "AC" + "0" * 32 + "\n", "RM" + "0" * 32 + "\n"])
def test_a19_sids_are_required_and_exact(name: str, value: str | None) -> None:
    with pytest.raises(MalformedCallback, match=name):
        parse(changed(**{name: value}))


@pytest.mark.parametrize("name", ["SequenceNumber", "RoomDuration"])
@pytest.mark.parametrize("value", ["-1", "1.5", "1e3", " 1", "0x1", "\u0661", "9" * 16])
def test_a24_numbers_are_plain_digits(name: str, value: str) -> None:
    with pytest.raises(MalformedCallback, match=name):
        parse(changed(**{name: value}))


@pytest.mark.parametrize("name", sorted(CAPTURED))
def test_a17_repeated_parameter_is_refused(name: str) -> None:
    with pytest.raises(MalformedCallback, match=name):
        parse(CAPTURED | {name: CAPTURED[name] * 2})


def test_value_of_a_missing_parameter_is_none() -> None:
    assert value_of({}, "RoomSid") is None
    assert value_of({"RoomSid": []}, "RoomSid") is None


@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=250), st.datetimes(timezones=st.just(UTC))
)
def test_json_keeps_everything(name: str, ended: datetime) -> None:
    text = ended.isoformat().replace("+00:00", "Z")
    found = parse(changed(RoomName=name, Timestamp=text))
    assert StatusCallback.from_json(found.to_json()) == found
    assert found.room_name == name


def test_json_of_another_version_is_read() -> None:
    values = json.loads(parse(CAPTURED).to_json())
    del values["room_type"]
    found = StatusCallback.from_json(json.dumps(values | {"brand_new": 1}))
    assert (found.room_type, found.room_name) == (None, "dea2")


@given(
    st.dictionaries(st.sampled_from(sorted(CAPTURED)) | st.text(max_size=5), st.lists(st.text(max_size=40), max_size=3))
)
def test_whatever_is_sent_is_read_or_refused(params: dict[str, list[str]]) -> None:
    try:
        parse(CAPTURED | params)
    except MalformedCallback as error:
        assert len(error.reason) < 100
