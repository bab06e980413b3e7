"""Callbacks are what Twilio documents, and the official validator says of each signature what it should."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal, get_args
from urllib.parse import parse_qsl, urlsplit

import pytest
from twilio.request_validator import RequestValidator, get_signature_algorithm  # type: ignore[import-untyped]

from sandbox import callbacks
from sandbox.callbacks import HMAC_SHA1, HMAC_SHA256, Forgery, SignedRequest
from sandbox.summaries import room_sid, room_summary

URL = "https://hooks.example.com/twilio/video?tag=a%2Cb"
TOKEN = "12345"
ACCOUNT = "AC" + "0" * 32
PARAMS = {
    "RoomStatus": "completed",
    "RoomType": "group",
    "RoomSid": "RM" + "0123456789abcdef" * 2,
    "RoomName": "<!channel> & co",
    "RoomDuration": "312",
    "SequenceNumber": "5",
    "StatusCallbackEvent": "room-ended",
    "Timestamp": "2026-01-02T03:04:05.678Z",
    "AccountSid": ACCOUNT,
}
SDK_PARAMS = {
    "CallSid": "CA1234567890ABCDE",
    "Digits": "1234",
    "From": "+14158675309",
    "To": "+18005551212",
    "Caller": "+14158675309",
}


class Multi(dict[str, list[str]]):
    """Parsed pairs in a shape the official validator reads."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        super().__init__()
        for name, value in pairs:
            self.setdefault(name, []).append(value)

    def getall(self, name: str) -> list[str]:
        return self[name]


def is_genuine(signed: SignedRequest, *, base: str = "https://hooks.example.com", token: str = TOKEN) -> bool:
    """What the official validator says of a request as it would be received."""
    params = Multi(parse_qsl(signed.body.decode(), keep_blank_values=True))
    algorithm = get_signature_algorithm(signed.headers.get("X-Twilio-Webhooks-Signature-Settings"))
    signature = signed.headers.get("X-Twilio-Signature", "")
    return bool(RequestValidator(token).validate(base + signed.target, params, signature, algorithm))


def test_signs_the_published_vector() -> None:
    signature = callbacks.sign("https://mycompany.com/myapp.php?foo=1&bar=2", SDK_PARAMS, TOKEN)
    assert signature == "RSOYDt4T1cUTdK1PDd93/VVr8B8="


def test_signs_post_get_and_sha256_as_the_official_validator_does() -> None:
    get = callbacks.request(URL, PARAMS, token=TOKEN, method="GET")
    assert callbacks.sign(URL, PARAMS, TOKEN) == "psIjuoQvPyqYgovdhY1vzb3maNQ="
    assert callbacks.sign(URL, PARAMS, TOKEN, algorithm=HMAC_SHA256) == "GWFy+uuI8CTf9Gn2wJi/sEaWhrOnM+pulMYeYga4CbA="
    assert get.headers["X-Twilio-Signature"] == "I71iEx5QFISAXqMPbiN5tUk/7gY="


@pytest.mark.parametrize("algorithm", [HMAC_SHA1, HMAC_SHA256])
@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize(
    "params", [PARAMS, [*PARAMS.items(), ("Tag", "b"), ("Tag", "a"), ("Tag", "b"), ("Empty", "")], {"RoomName": "ü 💥"}]
)
def test_honest_requests_are_genuine(params: Any, method: Literal["POST", "GET"], algorithm: str) -> None:
    signed = callbacks.request(URL, params, token=TOKEN, method=method, algorithm=algorithm)
    assert is_genuine(signed)
    assert not is_genuine(signed, token="54321")


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("forge", get_args(Forgery))
def test_forged_requests_are_not_genuine(forge: Forgery, method: Literal["POST", "GET"]) -> None:
    assert not is_genuine(callbacks.request(URL, PARAMS, token=TOKEN, method=method, forge=forge))


def test_an_unsigned_request_has_no_signature_header() -> None:
    assert "X-Twilio-Signature" not in callbacks.request(URL, PARAMS, token=TOKEN, forge="unsigned").headers


def test_a_json_request_signs_the_hash_of_its_body() -> None:
    signed = callbacks.json_request(URL, PARAMS, token=TOKEN)
    url = "https://hooks.example.com" + signed.target
    validator = RequestValidator(TOKEN)
    assert validator.validate(url, signed.body.decode(), signed.headers["X-Twilio-Signature"])
    assert not validator.validate(url, signed.body.decode() + " ", signed.headers["X-Twilio-Signature"])


@pytest.mark.parametrize("forge", get_args(Forgery))
def test_forged_json_requests_are_not_genuine(forge: Forgery) -> None:
    signed = callbacks.json_request(URL, [PARAMS], token=TOKEN, forge=forge)
    signature = signed.headers.get("X-Twilio-Signature", "")
    url = "https://hooks.example.com" + signed.target
    assert not RequestValidator(TOKEN).validate(url, signed.body.decode(), signature)


def test_a_request_looks_like_twilios() -> None:
    signed = callbacks.request(URL + "#rc=5", PARAMS, token=TOKEN, post_to="http://127.0.0.1:8000/twilio/rooms#rc=5")
    lines = signed.to_bytes().decode().split("\r\n")
    assert lines[0] == "POST /twilio/rooms HTTP/1.1"
    assert {"Host: hooks.example.com", "User-Agent: TwilioProxy/1.1", "Connection: close"} <= set(lines)
    assert "Content-Type: application/x-www-form-urlencoded; charset=UTF-8" in lines
    assert signed.headers["I-Twilio-Idempotency-Token"]
    assert "X-Twilio-Webhooks-Signature-Settings" not in signed.headers
    assert dict(parse_qsl(lines[-1])) == PARAMS


def test_a_get_carries_everything_in_the_query() -> None:
    signed = callbacks.request("https://h.example.com/x", PARAMS, token=TOKEN, method="GET")
    assert dict(parse_qsl(urlsplit(signed.url).query)) == PARAMS
    assert (
        signed.body == b"" and "Content-Length" not in signed.headers and "Timestamp=2026-01-02T03%3A04" in signed.url
    )


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_connection_overrides_in_the_fragment_are_neither_signed_nor_sent(method: Literal["POST", "GET"]) -> None:
    signed = callbacks.request(URL + "#rc=5&rp=5xx", PARAMS, token=TOKEN, method=method)
    assert is_genuine(signed) and "#" not in signed.url


def test_headers_given_come_last() -> None:
    signed = callbacks.request(URL, PARAMS, token=TOKEN, headers={"Host": "evil.example.com"})
    assert signed.headers["Host"] == "evil.example.com"


def test_no_secret_in_a_repr() -> None:
    assert "psIju" not in repr(callbacks.request(URL, PARAMS, token=TOKEN))


EVENTS = {
    "room-created": set(),
    "room-ended": {"RoomDuration"},
    "participant-connected": {"ParticipantSid", "ParticipantIdentity", "ParticipantStatus"},
    "participant-disconnected": {"ParticipantSid", "ParticipantIdentity", "ParticipantStatus", "ParticipantDuration"},
    "track-added": {"ParticipantSid", "ParticipantIdentity", "ParticipantStatus", "TrackSid", "TrackKind"},
    "of-the-future": set(),
}
COMMON = {
    "AccountSid", "RoomName", "RoomSid", "RoomStatus", "RoomType", "StatusCallbackEvent", "Timestamp", "SequenceNumber"
}  # fmt: skip


@pytest.mark.parametrize("event", EVENTS)
def test_each_event_has_its_documented_parameters(event: str) -> None:
    assert set(callbacks.form(room_sid(1), account_sid=ACCOUNT, event=event)) == COMMON | EVENTS[event]


def test_recording_events_have_no_room_status() -> None:
    params = callbacks.form(room_sid(1), account_sid=ACCOUNT, event="recording-completed")
    assert "RoomStatus" not in params and params["RecordingSid"].startswith("RT")


def test_a_room_ended_agrees_with_its_summary() -> None:
    ended = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
    summary = room_summary(room_sid(1), account_sid=ACCOUNT, ended=ended)
    params = callbacks.form(room_sid(1), account_sid=ACCOUNT, ended=ended)
    assert params["RoomDuration"] == str(summary["duration_sec"])
    assert (params["RoomName"], params["RoomStatus"]) == (summary["room_name"], "completed")
    assert params["Timestamp"] == "2026-01-02T03:04:05.678Z" and summary["end_time"] == "2026-01-02T03:04:05Z"


def test_room_types_are_hyphenated_in_callbacks_and_a_nameless_room_has_an_empty_name() -> None:
    summary = {**room_summary(room_sid(1), account_sid=ACCOUNT, ended=datetime.now(UTC)), "room_type": "peer_to_peer"}
    params = callbacks.form(room_sid(1), account_sid=ACCOUNT, summary={**summary, "room_name": None})
    assert (params["RoomType"], params["RoomName"]) == ("peer-to-peer", "")


def test_changes_replace_add_and_remove() -> None:
    changes = {"RoomName": None, "RoomDuration": "-1", "New": "x"}
    params = callbacks.form(room_sid(1), account_sid=ACCOUNT, changes=changes)
    assert "RoomName" not in params and params["RoomDuration"] == "-1" and params["New"] == "x"
