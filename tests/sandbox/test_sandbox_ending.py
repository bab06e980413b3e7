"""Ended rooms: the callbacks the fake Twilio sends, received over real sockets and judged by the official validator."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
from twilio.request_validator import RequestValidator, get_signature_algorithm  # type: ignore[import-untyped]

from sandbox import answers
from sandbox.callbacks import HMAC_SHA1, HMAC_SHA256
from sandbox.client import Sandbox, SandboxError
from sandbox.options import ACCOUNT_SID, API_KEY, API_SECRET, AUTH_TOKEN
from sandbox.summaries import room_sid


class Listener(ThreadingHTTPServer):
    """Takes callbacks, and keeps for each: method, target, headers, body."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.received: list[tuple[str, str, dict[str, str], str]] = []

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def are_genuine(self, *, base: str | None = None, token: str = AUTH_TOKEN) -> list[bool]:
        """What the official validator says of each request received."""
        return [
            bool(
                RequestValidator(token).validate(
                    (base or self.base) + target,
                    dict(parse_qsl(body, keep_blank_values=True)),
                    headers.get("X-Twilio-Signature", ""),
                    get_signature_algorithm(headers.get("X-Twilio-Webhooks-Signature-Settings")),
                )
            )
            for _, target, headers, body in self.received
        ]


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        assert isinstance(self.server, Listener)
        self.server.received.append((self.command, self.path, dict(self.headers.items()), body))
        self.send_response(204)
        self.send_header("X-Seen", "yes")
        self.end_headers()

    do_GET = do_POST

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def listener(sandbox: Sandbox) -> Iterator[Listener]:
    """Where callbacks go: configured at the sandbox."""
    with Listener() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        sandbox.configure(callback_url=f"{server.base}/twilio/rooms?tag=a%2Cb")
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("algorithm", [HMAC_SHA1, HMAC_SHA256])
@pytest.mark.parametrize("method", ["POST", "GET"])
def test_an_ended_room_calls_back_genuinely(
    sandbox: Sandbox, listener: Listener, method: Literal["POST", "GET"], algorithm: str
) -> None:
    sent = sandbox.twilio.end_room(room_sid(1), method=method, algorithm=algorithm)
    assert (sent.status, sent.error, sent.kind, sent.headers["x-seen"]) == (204, "", "honest", "yes")
    assert listener.are_genuine() == [True] and listener.are_genuine(token="other") == [False]
    got_method, target, headers, body = listener.received[0]
    params = dict(parse_qsl(body or urlsplit(target).query))
    assert got_method == method and sent.params.items() <= params.items()
    assert params["RoomSid"] == sent.room_sid == room_sid(1) and params["AccountSid"] == ACCOUNT_SID
    assert (headers["User-Agent"], headers["Connection"]) == ("TwilioProxy/1.1", "close")


def test_callback_and_summary_agree_and_the_room_is_listed(sandbox: Sandbox, listener: Listener) -> None:
    sent = sandbox.twilio.end_room(summary={"room_name": "<!channel>", "duration_sec": 0, "room_type": "group_small"})
    auth = (API_KEY, API_SECRET)
    summary = requests.get(f"{sandbox.twilio_url}/v1/Video/Rooms/{sent.room_sid}", auth=auth, timeout=5).json()
    listed = requests.get(f"{sandbox.twilio_url}/v1/Video/Rooms", auth=auth, timeout=5).json()["rooms"]
    assert listed == [summary]
    assert (sent.params["RoomName"], sent.params["RoomDuration"]) == ("<!channel>", "0")
    assert (summary["room_name"], summary["duration_sec"]) == ("<!channel>", 0)
    assert sent.params["RoomType"] == "group-small"
    assert sent.params["Timestamp"][:19] == summary["end_time"][:19]


def test_signed_for_the_public_url_and_posted_behind_the_proxy(sandbox: Sandbox, listener: Listener) -> None:
    sandbox.configure(public_url="https://rooms.example.com/twilio/rooms?tag=a%2Cb")
    sandbox.twilio.end_room(headers={"X-Forwarded-Proto": "https"})
    assert listener.are_genuine() == [False]
    assert listener.are_genuine(base="https://rooms.example.com") == [True]
    headers = listener.received[0][2]
    assert (headers["Host"], headers["X-Forwarded-Proto"]) == ("rooms.example.com", "https")


def test_other_events_end_nothing(sandbox: Sandbox, listener: Listener) -> None:
    sent = sandbox.twilio.end_room(event="participant-connected", changes={"ParticipantIdentity": "eve"})
    assert listener.are_genuine() == [True]
    assert (sent.params["StatusCallbackEvent"], sent.params["ParticipantIdentity"]) == ("participant-connected", "eve")
    assert listed(sandbox) == set()


def test_a_forged_callback_ends_nothing(sandbox: Sandbox, listener: Listener) -> None:
    assert sandbox.twilio.end_room(forge="other_token").kind == "forged"
    assert listener.are_genuine() == [False] and listed(sandbox) == set()


def test_another_token_signs(sandbox: Sandbox, listener: Listener) -> None:
    sandbox.twilio.end_room(token="next")
    assert listener.are_genuine(token="next") == [True]


def test_rooms_without_a_sid_are_new_each_time(sandbox: Sandbox, listener: Listener) -> None:
    assert len({sandbox.twilio.end_room().room_sid for _ in range(3)}) == 3


def test_many_rooms_with_duplicates_and_forgeries_mixed_in(sandbox: Sandbox, listener: Listener) -> None:
    sent = sandbox.twilio.end_rooms(40, duplicates=0.5, forged=0.5, seed=3, first=5, rate=1000)
    kinds = Counter(callback.kind for callback in sent)
    honest = {callback.room_sid: callback.params for callback in sent if callback.kind == "honest"}
    assert list(honest) == [room_sid(3, 5 + number) for number in range(40)]
    assert kinds["honest"] == 40 and 8 < kinds["duplicate"] < 32 and 8 < kinds["forged"] < 32
    assert all(honest[callback.room_sid] == callback.params for callback in sent if callback.kind == "duplicate")
    assert not any(callback.room_sid in honest for callback in sent if callback.kind == "forged")
    assert sorted(listener.are_genuine()) == [False] * kinds["forged"] + [True] * (len(sent) - kinds["forged"])
    assert listed(sandbox) == set(honest)
    again = sandbox.twilio.end_rooms(40, duplicates=0.5, forged=0.5, seed=3, first=5)
    assert [(one.room_sid, one.kind) for one in again] == [(one.room_sid, one.kind) for one in sent]


def test_copies_of_one_callback_and_rooms_of_ones_own(sandbox: Sandbox, listener: Listener) -> None:
    sent = sandbox.twilio.end_rooms(1, room_sids=[room_sid(9)], copies=50, concurrency=1)
    assert [callback.kind for callback in sent] == ["honest"] + ["duplicate"] * 49
    assert {callback.room_sid for callback in sent} == {room_sid(9)}
    assert len({body for *_, body in listener.received}) == 1 and len(listener.received) == 50


def test_no_answer_is_reported_with_its_reason(sandbox: Sandbox) -> None:
    sandbox.receiver.script(answers.hang(), answers.reset())
    hanging = sandbox.twilio.end_room(callback_url=sandbox.receiver_url, timeout=0.2)
    reset = sandbox.twilio.end_room(callback_url=sandbox.receiver_url)
    refused = sandbox.twilio.end_room(callback_url="http://127.0.0.1:1/")
    assert [sent.status for sent in (hanging, reset, refused)] == [None, None, None]
    assert "TimeoutError" in hanging.error and "Reset" in reset.error and "Refused" in refused.error


def test_the_body_of_a_refusal_comes_back(sandbox: Sandbox) -> None:
    sent = sandbox.twilio.end_room(callback_url=sandbox.receiver_url)
    assert sent.status == 401 and "Missing required headers" in sent.body


def test_nowhere_to_send_to_is_an_error(sandbox: Sandbox) -> None:
    with pytest.raises(SandboxError, match="callback_url"):
        sandbox.twilio.end_room()


def listed(sandbox: Sandbox) -> set[str]:
    """The SIDs of the rooms the fake Twilio lists."""
    url = f"{sandbox.twilio_url}/v1/Video/Rooms?PageSize=1000"
    return {room["room_sid"] for room in requests.get(url, auth=(API_KEY, API_SECRET), timeout=5).json()["rooms"]}
