"""Section A of the fault list: what strangers, proxies and Twilio send to the web door, each row by its number."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import psutil
import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sandbox import callbacks
from sandbox.options import ACCOUNT_SID, AUTH_TOKEN
from tests.support.processes import ROOT, Web, wait_until
from tests.web.conftest import PATH, SID, Door, form, is_empty, jobs, post, url_of
from tests.web.wire import Answer, Wire, exchange, send

PUBLIC = "https://hooks.example.com"
LIMIT = 64 * 1024


def error_of(answer: Answer) -> str:
    """The reason in a refusal: small, and JSON."""
    assert len(answer.body) < 200
    found = json.loads(answer.body)["error"]
    assert isinstance(found, str)
    return found


def said_last(web: Web, event: str = "status callback not taken") -> dict[str, Any]:
    wait_until(lambda: web.lines(event), what=f"a log line: {event}")
    return web.lines(event)[-1]


def raw(web: Web, head: str, body: bytes = b"", *, has_body: bool = True) -> Answer:
    """Sends a request as it is written here; `HOST` stands for the door's."""
    lines = head.strip().replace("HOST", f"127.0.0.1:{web.port}").replace("\n", "\r\n")
    return exchange(web.port, lines.encode("latin-1") + b"\r\n\r\n" + body, has_body=has_body)


def test_callback_of_an_ended_room_opens_it_once(telling: Web, store: redis.Redis) -> None:
    answer = post(telling, headers={"X-Request-Id": "from-the-router-1"})
    assert (answer.status, answer.body) == (204, b"")
    assert "content-type" not in answer.headers
    assert jobs(store) == [f"{SID}-summary-1".encode()]
    row = store.hgetall(f"room-reports:room:{SID}")
    assert row[b"request_id"] == b"from-the-router-1"
    assert answer.headers["x-request-id"] == "from-the-router-1"
    assert json.loads(row[b"callback"])["room_sid"] == SID
    assert said_last(telling, "room opened")["request_id"] == "from-the-router-1"


@pytest.mark.parametrize("given_id", ["", "x" * 65, "a b", 'a"b', "ä"])
def test_strange_request_id_is_replaced(web: Web, given_id: str) -> None:
    answer = raw(web, f"GET /healthz HTTP/1.1\nHost: HOST\nX-Request-Id: {given_id}")
    assert len(answer.headers["x-request-id"]) == 32


def test_a01_no_signature(telling: Web, store: redis.Redis) -> None:
    answer = post(telling, forge="unsigned")
    assert (answer.status, error_of(answer)) == (403, "signature")
    assert is_empty(store)
    assert said_last(telling)["cause"] == "missing"


@pytest.mark.parametrize(
    "signature",
    ["", "x", "=", "rOsYDt4T1cUTdK1PDd93/VVr8B8=", "\xe9\xff" * 14, "ä" * 28, "A" * 8000, "sha1=" + "0" * 40, "{}"],
)
def test_a02_forged_signature(web: Web, store: redis.Redis, signature: str) -> None:
    answer = post(web, headers={"X-Twilio-Signature": signature})
    assert (answer.status, error_of(answer)) == (403, "signature")
    assert is_empty(store)


def test_a02_truncated_signature(web: Web, store: redis.Redis) -> None:
    assert post(web, forge="truncated").status == 403
    assert is_empty(store)


def test_a02_signature_of_100_kb_does_not_fit_into_a_header(web: Web, store: redis.Redis) -> None:
    answer = post(web, headers={"X-Twilio-Signature": "A" * 100_000})
    assert answer.status == 431
    assert error_of(answer)
    assert is_empty(store)


@pytest.mark.parametrize("change", [{"RoomSid": "RM" + "0" * 32}, {"Extra": "1"}, {"RoomDuration": None}])
@pytest.mark.parametrize("method", ["POST", "GET"])
def test_a04_parameter_changed_added_removed(
    web: Web, store: redis.Redis, change: dict[str, str | None], method: Any
) -> None:
    honest = callbacks.request(url_of(web), form(), token=AUTH_TOKEN, method=method)
    changed = callbacks.request(
        url_of(web),
        form(**change),
        token="other",
        method=method,
        headers={"X-Twilio-Signature": honest.headers["X-Twilio-Signature"]},
    )
    assert send(web.port, changed).status == 403
    assert is_empty(store)


def test_a05_signature_of_another_token(web: Web, store: redis.Redis) -> None:
    assert post(web, forge="other_token").status == 403
    assert is_empty(store)


@pytest.mark.parametrize("account", ["AC" + "0" * 32, ACCOUNT_SID.upper(), ACCOUNT_SID + "0", "", None])
def test_a05_other_account_signed_with_our_token(web: Web, store: redis.Redis, account: str | None) -> None:
    answer = post(web, form(AccountSid=account))
    assert (answer.status, error_of(answer)) == (403, "account")
    assert is_empty(store)


class TestA06SignedForHttpsSeenAsHttp:
    def test_public_base_url_says_what_was_signed(self, door: Door, store: redis.Redis) -> None:
        web = door(PUBLIC_BASE_URL=PUBLIC)
        assert post(web, url=PUBLIC + PATH, post_to=url_of(web)).status == 204
        assert len(jobs(store)) == 1

    def test_public_base_url_with_a_path_and_a_port(self, door: Door, store: redis.Redis) -> None:
        web = door(PUBLIC_BASE_URL="https://hooks.example.com:8443/prefix")
        assert post(web, url="https://hooks.example.com:8443/prefix" + PATH, post_to=url_of(web)).status == 204

    def test_trusted_proxy_says_what_was_signed(self, door: Door, store: redis.Redis) -> None:
        web = door(TRUSTED_PROXIES="1")
        headers = {"X-Forwarded-Proto": "https"}  # as Heroku's router: Host is the public one
        assert post(web, url=PUBLIC + PATH, post_to=url_of(web), headers=headers).status == 204
        assert len(jobs(store)) == 1

    def test_trusted_proxies_that_change_the_host_say_so(self, door: Door, store: redis.Redis) -> None:
        web = door(TRUSTED_PROXIES="1")
        headers = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "hooks.example.com", "Host": "web.internal:8000"}
        assert post(web, url=PUBLIC + PATH, post_to=url_of(web), headers=headers).status == 204

    def test_log_says_what_to_do(self, telling: Web, store: redis.Redis) -> None:
        assert post(telling, url=PUBLIC + PATH, post_to=url_of(telling)).status == 403
        line = said_last(telling)
        assert line["cause"] == "wrong_scheme"
        assert "PUBLIC_BASE_URL" in line["hint"]
        assert is_empty(store)


@pytest.mark.parametrize("signed", [PUBLIC + PATH, "https://127.0.0.1" + PATH])
def test_a08_forwarded_headers_of_strangers_are_ignored(web: Web, store: redis.Redis, signed: str) -> None:
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "hooks.example.com", "X-Forwarded-Ssl": "on"}
    headers |= {"X-Forwarded-Protocol": "ssl", "Host": f"127.0.0.1:{web.port}", "SCRIPT_NAME": "/x"}
    assert post(web, url=signed, post_to=url_of(web), headers=headers).status == 403
    assert is_empty(store)


def test_a08_only_the_trusted_hop_counts(door: Door, store: redis.Redis) -> None:
    web = door(TRUSTED_PROXIES="1")
    headers = {"X-Forwarded-Proto": "https, http", "X-Forwarded-Host": f"hooks.example.com, 127.0.0.1:{web.port}"}
    assert post(web, url=PUBLIC + PATH, post_to=url_of(web), headers=headers).status == 403
    assert is_empty(store)
    assert post(web, headers=headers).status == 204


def test_a08_fewer_hops_than_trusted_are_not_believed(door: Door, store: redis.Redis) -> None:
    web = door(TRUSTED_PROXIES="2")
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "hooks.example.com", "Host": f"127.0.0.1:{web.port}"}
    assert post(web, url=PUBLIC + PATH, post_to=url_of(web), headers=headers).status == 403
    assert is_empty(store)


@pytest.mark.parametrize("host", ["evil.example", "hooks.example.com.evil.example", "hooks.example.com:81", "", "["])
def test_a09_host_of_another_site(door: Door, store: redis.Redis, host: str) -> None:
    web = door(PUBLIC_BASE_URL=PUBLIC)
    answer = post(web, url=PUBLIC + PATH, post_to=url_of(web), headers={"Host": host})
    assert (answer.status, error_of(answer)) == (400, "host")
    assert is_empty(store)


@pytest.mark.parametrize("host", ["hooks.example.com", "HOOKS.Example.com", "hooks.example.com:443"])
def test_a09_our_host_in_any_spelling(door: Door, store: redis.Redis, host: str) -> None:
    web = door(PUBLIC_BASE_URL=PUBLIC)
    assert post(web, url=PUBLIC + PATH, post_to=url_of(web), headers={"Host": host}).status == 204


@pytest.mark.parametrize(("token", "status"), [(AUTH_TOKEN, 204), ("b" * 32, 204), ("c" * 32, 403)])
def test_a10_both_tokens_during_rotation(door: Door, store: redis.Redis, token: str, status: int) -> None:
    web = door(TWILIO_AUTH_TOKEN=f"{AUTH_TOKEN},{'b' * 32}")
    assert post(web, token=token).status == status
    assert len(jobs(store)) == (status == 204)


@pytest.mark.parametrize("algorithm", [callbacks.HMAC_SHA1, callbacks.HMAC_SHA256])
@pytest.mark.parametrize("method", ["POST", "GET"])
def test_a11_algorithm_that_the_request_names(web: Web, store: redis.Redis, algorithm: str, method: str) -> None:
    assert post(web, algorithm=algorithm, method=method).status == 204
    assert len(jobs(store)) == 1


@pytest.mark.parametrize("named", ["HMAC_MD5", "none", "HMAC_SHA256", "x" * 500])
def test_a11_algorithm_it_was_not_signed_with(web: Web, store: redis.Redis, named: str) -> None:
    headers = {"X-Twilio-Webhooks-Signature-Settings": f"key=webhooks_sharedkey_1,algorithm={named}"}
    assert post(web, headers=headers).status == 403
    assert is_empty(store)


@pytest.mark.parametrize(
    "media_type",
    ["application/json", "text/plain", "multipart/form-data; boundary=x", "", "application/x-www-form", "\xff"],
)
def test_a12_other_media_type(web: Web, store: redis.Redis, media_type: str) -> None:
    answer = post(web, headers={"Content-Type": media_type})
    assert (answer.status, error_of(answer)) == (415, "media type")
    assert is_empty(store)


def test_a12_no_media_type(web: Web, store: redis.Redis) -> None:
    assert raw(web, f"POST {PATH} HTTP/1.1\nHost: HOST\nContent-Length: 3", b"a=b").status == 415


def test_a12_json_is_refused_even_when_its_hash_is_signed(web: Web, store: redis.Redis) -> None:
    assert send(web.port, callbacks.json_request(url_of(web), form(), token=AUTH_TOKEN)).status == 415
    assert is_empty(store)


def test_a12_signed_url_with_a_body_hash_does_not_cover_a_form(web: Web, store: redis.Redis) -> None:
    signed = callbacks.json_request(url_of(web), form(), token=AUTH_TOKEN)
    for params in ({}, form()):
        replayed = callbacks.request(
            signed.url,
            params,
            token="other",
            headers=dict(
                signed.headers,
                **{
                    "Content-Type": "application/x-www-form-urlencoded",
                    "Content-Length": str(len(callbacks.request(signed.url, params, token="other").body)),
                },
            ),
        )
        assert send(web.port, replayed).status == 403
    assert is_empty(store)


def test_a12_media_type_in_any_spelling(web: Web, store: redis.Redis) -> None:
    assert post(web, headers={"Content-Type": "Application/X-WWW-Form-URLencoded ; charset=UTF-8"}).status == 204


def sized(size: int) -> dict[str, str]:
    """A callback whose body has exactly this many bytes."""
    short = len(callbacks.request("http://h/", form(Padding=""), token="").body)
    return form(Padding="x" * (size - short))


@pytest.mark.parametrize(("size", "status"), [(LIMIT, 204), (LIMIT + 1, 413), (100_000, 413)])
def test_a13_body_at_and_over_the_limit(web: Web, store: redis.Redis, size: int, status: int) -> None:
    assert post(web, sized(size)).status == status
    assert len(jobs(store)) == (status == 204)


def test_a13_body_of_10_mb_costs_no_memory(web: Web, store: redis.Redis) -> None:
    assert post(web).status == 204
    (worker,) = psutil.Process(web.pid).children()
    before = worker.memory_info().rss
    for _ in range(10):
        answer = post(web, form(Padding="x" * 10_000_000))
        assert (answer.status, answer.headers["connection"]) == (413, "close")
    assert worker.memory_info().rss - before < 10_000_000


FORM_HEAD = f"POST {PATH} HTTP/1.1\nHost: HOST\nContent-Type: application/x-www-form-urlencoded\n"


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ("Transfer-Encoding: chunked", b"3\r\na=b\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked", b"3\r\na="),
        ("Transfer-Encoding: chunked", b"-1\r\n"),
        ("Transfer-Encoding: chunked\nContent-Length: 3", b"a=b"),
        ("Transfer-Encoding: gzip, chunked", b"3\r\na=b\r\n0\r\n\r\n"),
        ("Transfer-Encoding: xchunked", b"3\r\na=b\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked\nTransfer-Encoding: chunked", b"0\r\n\r\n"),
        ("Content-Length: 3\nContent-Length: 3", b"a=b"),
        ("Content-Length: 3\nContent-Length: 30", b"a=b"),
        ("Content-Length: -3", b"a=b"),
        ("Content-Length: +3", b"a=b"),
        ("Content-Length: 3, 3", b"a=b"),
        ("Content-Length: \xb2", b"a=b"),
        ("Content-Length: " + "9" * 5000, b"a=b"),
    ],
)
def test_a14_length_that_is_not_clear(web: Web, store: redis.Redis, headers: str, body: bytes) -> None:
    answer = raw(web, FORM_HEAD + headers, body)
    assert answer.status == 400
    assert answer.headers["connection"] == "close"
    assert error_of(answer)
    assert is_empty(store)


def test_a14_body_shorter_than_its_length(web: Web, store: redis.Redis) -> None:
    request = callbacks.request(url_of(web), form(), token=AUTH_TOKEN).to_bytes()
    with Wire(web.port) as wire:
        wire.send(request[:-1])
        wire.end()
        answer = wire.answer()
    assert answer is None or answer.status == 400
    assert is_empty(store)


def test_a14_nothing_is_smuggled_behind_a_request(web: Web, store: redis.Redis) -> None:
    inner = callbacks.request(url_of(web), form(), token=AUTH_TOKEN).to_bytes()
    outer = (
        FORM_HEAD.replace("\n", "\r\n").encode() + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"
    )
    with Wire(web.port) as wire:
        wire.send(outer + inner)
        first = wire.answer()
        assert first is not None and first.status == 400
        assert wire.is_closed()
    assert is_empty(store)


def test_a14_requests_sent_ahead_are_answered_in_turn(web: Web, store: redis.Redis) -> None:
    health = b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"
    ahead = callbacks.request(url_of(web), form(), token=AUTH_TOKEN, headers={"Connection": "keep-alive"}).to_bytes()
    with Wire(web.port) as wire:
        wire.send(health + ahead + health[:20])
        assert [answer.status for answer in (wire.answer(), wire.answer()) if answer] == [200, 204]
        wire.send(health[20:])
        last = wire.answer()
        assert last is not None and last.status == 200


@pytest.mark.parametrize("count", [1000, 3000])
def test_a15_thousands_of_parameters(web: Web, store: redis.Redis, count: int) -> None:
    answer = post(web, form(**{f"P{number}": "" for number in range(count)}))
    assert (answer.status, error_of(answer)) == (413, "too many parameters")
    assert is_empty(store)


def test_a15_name_of_100_kb(web: Web, store: redis.Redis) -> None:
    assert post(web, form(RoomName="n" * 100_000)).status == 413
    assert is_empty(store)


@pytest.mark.parametrize(("name", "status"), [("n" * 1024, 204), ("n" * 1025, 400), ("ä" * 512, 204), ("ä" * 513, 400)])
def test_a15_room_name_over_a_kilobyte(web: Web, store: redis.Redis, name: str, status: int) -> None:
    assert post(web, form(RoomName=name)).status == status
    assert len(jobs(store)) == (status == 204)


@pytest.mark.parametrize(
    "name", ["\x00", "\x1b[31m\r\nX: y", "\ud7ff\uffff", "🎥" * 250, "<!channel>", '"}{\\', "*/ or 1=1 --", "‮evil"]
)
def test_a16_hostile_room_name_is_kept_as_it_is(web: Web, store: redis.Redis, name: str) -> None:
    assert post(web, form(RoomName=name)).status == 204
    row = store.hgetall(f"room-reports:room:{SID}")
    assert row[b"name"] == name.encode()
    assert json.loads(row[b"callback"])["room_name"] == name


@pytest.mark.parametrize("field", ["AccountSid", "RoomSid", "StatusCallbackEvent", "Timestamp", "RoomName"])
def test_a17_repeated_parameter_that_we_use(web: Web, store: redis.Redis, field: str) -> None:
    params = [*form().items(), (field, "again")]
    answer = post(web, params)
    assert (answer.status, error_of(answer)) == (400, "malformed")
    assert is_empty(store)


def test_a17_repeated_parameters_that_we_do_not_use(web: Web, store: redis.Redis) -> None:
    params = [*form().items(), ("Extra", "2"), ("Extra", "1"), ("Extra", "2"), ("Empty", ""), ("", "nameless")]
    assert post(web, params).status == 204


@pytest.mark.parametrize("body", [b"RoomName=%ff", b"RoomName=%ed%a0%80", b"RoomName=\xc3\xa4", b"%C3=1"])
def test_a18_bytes_that_are_no_text(telling: Web, store: redis.Redis, body: bytes) -> None:
    head = f"{FORM_HEAD}X-Twilio-Signature: {'A' * 27}=\nContent-Length: {len(body)}"
    answer = raw(telling, head, body)
    assert (answer.status, error_of(answer)) == (403, "signature")
    assert said_last(telling)["cause"] == "unverifiable"
    assert is_empty(store)


@pytest.mark.parametrize(
    "sid",
    [
        "../Rooms",
        "RM" + "0" * 29 + "%2f",
        "RM%2f..",
        "RM" + "0" * 31,
        "RM" + "0" * 33,
        "PA" + "0" * 32,
        "rm" + "0" * 32,
        "RM" + "g" * 32,
        "RM" + "0" * 32 + "\n",
        "\nRM" + "0" * 32,
        "RM" + "0" * 31 + "\u0660",
        "",
        None,
    ],
)
def test_a19_room_sid_that_is_none(web: Web, store: redis.Redis, sid: str | None) -> None:
    answer = post(web, form(RoomSid=sid))
    assert (answer.status, error_of(answer)) == (400, "malformed")
    assert "RoomSid" in json.loads(answer.body)["detail"]
    assert is_empty(store)


@pytest.mark.parametrize("digits", ["a" * 32, "A" * 32, "0123456789abcdefABCDEF0123456789"])
def test_a19_room_sid_in_either_case(web: Web, store: redis.Redis, digits: str) -> None:
    assert post(web, form(RoomSid=f"RM{digits}")).status == 204
    assert jobs(store) == [f"RM{digits}-summary-1".encode()]


def test_a20_get(web: Web, store: redis.Redis) -> None:
    assert post(web, method="GET").status == 204
    assert jobs(store) == [f"{SID}-summary-1".encode()]


def test_a20_get_on_a_url_with_a_query_of_its_own(web: Web, store: redis.Redis) -> None:
    url = url_of(web) + "?tenant=a%2Cb&u=https%3A%2F%2Fe.com%5B%7E"
    assert post(web, url=url, method="GET").status == 204
    assert post(web, form(RoomSid="RM" + "1" * 32), url=url).status == 204
    assert len(jobs(store)) == 2


def test_a20_form_of_a_get_and_query_of_a_post_are_not_read(web: Web, store: redis.Redis) -> None:
    query = callbacks.request(url_of(web), form(), token=AUTH_TOKEN, method="GET")
    body = callbacks.request(query.url, {}, token=AUTH_TOKEN)
    answer = send(web.port, body)
    assert (answer.status, error_of(answer)) == (403, "account")
    assert is_empty(store)


@pytest.mark.parametrize("method", ["HEAD", "PUT", "TRACE", "OPTIONS", "DELETE", "PATCH", "BREW"])
def test_a21_other_method(web: Web, store: redis.Redis, method: Any) -> None:
    get = callbacks.request(url_of(web), form(), token=AUTH_TOKEN, method="GET")
    head = "\n".join(f"{name}: {value}" for name, value in get.headers.items())
    answer = raw(web, f"{method} {get.target} HTTP/1.1\n{head}", has_body=method != "HEAD")
    assert answer.status == 405
    assert answer.headers["allow"] == "GET, POST"
    assert is_empty(store)


@pytest.mark.parametrize(
    "path",
    ["/", "/twilio", "/twilio/rooms/x", "/twilio//rooms", "/twilio/rooms;x", "/twilio/../x"],
)
def test_a21_unknown_path(web: Web, store: redis.Redis, path: str) -> None:
    answer = raw(web, f"POST {path} HTTP/1.1\nHost: HOST\nContent-Length: 0")
    assert answer.status == 404
    assert is_empty(store)


@pytest.mark.parametrize("path", [f"{PATH}/", "/twilio/%72ooms", f"{PATH}/?x=/"])
def test_a21_spellings_of_our_path_are_one(web: Web, store: redis.Redis, path: str) -> None:
    assert post(web, url=url_of(web, path)).status == 204
    assert len(jobs(store)) == 1


@pytest.mark.parametrize(
    "event", ["participant-connected", "recording-completed", "room-created", "room-exploded", "", None, "Room-Ended"]
)
def test_a22_other_event(web: Web, store: redis.Redis, event: str | None) -> None:
    answer = post(web, form(StatusCallbackEvent=event, RoomSid="not looked at"))
    assert (answer.status, answer.body) == (204, b"")
    assert is_empty(store)


def test_a23_what_may_be_missing(web: Web, store: redis.Redis) -> None:
    assert post(web, form(Timestamp=None, SequenceNumber=None, RoomName=None, RoomDuration=None)).status == 204
    found = json.loads(store.hget(f"room-reports:room:{SID}", "callback") or b"")
    assert (found["timestamp_text"], found["sequence_number"], found["room_name"]) == (None, None, None)
    assert len(jobs(store)) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"Timestamp": "yesterday"},
        {"Timestamp": "2026-13-01T00:00:00Z"},
        {"Timestamp": "0001-01-01T00:00:00+14:00"},
        {"SequenceNumber": "-1"},
        {"SequenceNumber": "9" * 5000},
        {"RoomDuration": "1e9"},
        {"RoomDuration": "\u0661"},
        {"RoomStatus": "x" * 101},
    ],
)
def test_a24_malformed_field(web: Web, store: redis.Redis, change: dict[str, str]) -> None:
    answer = post(web, form(**change))
    assert (answer.status, error_of(answer)) == (400, "malformed")
    (name, value), *_ = change.items()
    assert name in json.loads(answer.body)["detail"]
    assert value not in answer.body.decode()
    assert is_empty(store)


def test_a25_replay_changes_nothing(web: Web, store: redis.Redis) -> None:
    request = callbacks.request(url_of(web), form(), token=AUTH_TOKEN)
    assert send(web.port, request).status == 204
    before = store.hgetall(f"room-reports:room:{SID}")
    assert [send(web.port, request).status for _ in range(3)] == [204] * 3
    assert store.hgetall(f"room-reports:room:{SID}") == before
    assert len(jobs(store)) == 1


CALLER = """
import socket, sys
port, count, data = int(sys.argv[1]), int(sys.argv[2]), bytes.fromhex(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
wires = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
for wire in wires: wire.sendall(data)
for wire in wires: print(wire.recv(4096).split()[1].decode())
"""


def test_a25_fifty_at_once_from_eight_processes_open_one_room(door: Door, store: redis.Redis) -> None:
    web = door(WEB_CONCURRENCY="2")
    data = callbacks.request(url_of(web), form(), token=AUTH_TOKEN).to_bytes().hex()
    shares = [7, 7, 6, 6, 6, 6, 6, 6]
    callers = [
        subprocess.Popen(
            [sys.executable, "-c", CALLER, str(web.port), str(share), data],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            text=True,
        )
        for share in shares
    ]
    for caller in callers:
        assert caller.stdout is not None and caller.stdout.readline() == "ready\n"
    for caller in callers:
        assert caller.stdin is not None
        caller.stdin.write("\n")
        caller.stdin.flush()
    answers = [status for caller in callers for status in caller.communicate(timeout=30)[0].split()]
    assert answers == ["204"] * sum(shares)
    assert jobs(store) == [f"{SID}-summary-1".encode()]
    assert store.zcard("room-reports:rooms:all") == 1


def test_a27_replay_of_a_callback_older_than_twilios_data(web: Web, store: redis.Redis) -> None:
    old = callbacks.form(SID, account_sid=ACCOUNT_SID, ended=datetime.now(UTC) - timedelta(days=8))
    answer = post(web, old)
    assert (answer.status, json.loads(answer.body)) == (200, {"result": "too old"})
    assert store.hget(f"room-reports:room:{SID}", "state") == b"expired"
    assert jobs(store) == []


def test_a27_callback_of_six_days_ago_still_counts(web: Web, store: redis.Redis) -> None:
    late = callbacks.form(SID, account_sid=ACCOUNT_SID, ended=datetime.now(UTC) - timedelta(days=6, hours=23))
    assert post(web, late).status == 204
    assert len(jobs(store)) == 1


def test_a30_flood_of_forgeries_is_refused_and_logged_thinly(door: Door, store: redis.Redis) -> None:
    web = door(LOG_LEVEL="WARNING")
    forged = callbacks.request(
        url_of(web), form(), token=AUTH_TOKEN, forge="tampered", headers={"Connection": "keep-alive"}
    ).to_bytes()
    count = 2000
    with Wire(web.port) as wire:
        for _ in range(count):
            wire.send(forged)
            answer = wire.answer()
            assert answer is not None and answer.status == 403
    lines = web.lines("status callback not taken")
    assert 20 <= len(lines) < count / 10
    assert is_empty(store)


@pytest.mark.parametrize(
    "request_text",
    [
        "GET / HTTP/9.9",
        "GET / HTTP/1.1\nHost: a\nHost: b",
        "GET /\x01 HTTP/1.1\nHost: HOST",
        "get / HTTP/1.1",
        "GET / HTTP/1.1\nno colon",
        "GET / HTTP/1.1\nHost: HOST\n folded: x",
        "GET / HTTP/1.1\nHost: HOST\nX: a\x00b",
        "\x16\x03\x01\x02\x00\x01\x00",
        f"GET {PATH} HTTP/1.1\nHost: HOST\nX-Twilio-Signature: a\nX-Twilio-Signature: b",
        f"GET {PATH}?{'x' * 9000} HTTP/1.1\nHost: HOST",
        f"GET {PATH} HTTP/1.1\nHost: HOST\n" + "\n".join(f"X-{number}: y" for number in range(65)),
        f"GET {PATH} HTTP/1.1\nHost: HOST\nExpect: the-unexpected",
        f"GET {PATH} HTTP/1.0",
        f"GET {PATH} HTTP/1.1",
        f"GET http://evil.example{PATH} HTTP/1.1\nHost: HOST",
        "CONNECT 169.254.169.254:80 HTTP/1.1\nHost: HOST",
        f"GET {PATH} HTTP/1.1\nHost: HOST:99999\nX-Twilio-Signature: abc",
        f"GET {PATH} HTTP/1.1\nHost: [::\nX-Twilio-Signature: abc",
        f"GET {PATH}?a=%00%ff%zz HTTP/1.1\nHost: HOST\nX-Twilio-Signature: abc",
    ],
)
def test_nothing_a_stranger_sends_is_our_fault(web: Web, store: redis.Redis, request_text: str) -> None:
    answer = raw(web, request_text)
    assert 400 <= answer.status < 500
    assert error_of(answer)
    assert is_empty(store)


PIECES = [
    *(b"GET ", b"POST ", b"/twilio/rooms", b"?", b"%", b"%2", b" HTTP/1.1", b" HTTP/1.0", b"\r\n", b"\n", b"\r\n\r\n"),
    *(b"Host: h", b"Content-Length: ", b"Content-Length: 7", b"Transfer-Encoding: chunked", b"X-Twilio-Signature: "),
    *(b"/twilio/events", b"Content-Type: application/json", b"bodySHA256=", b"[", b"{"),
    *(b"Content-Type: application/x-www-form-urlencoded", b"RoomSid=", b"&", b"=", b"\x00", b"\xff\xfe", b": ", b"-1"),
]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=20), max_size=30).map(b"".join))
def test_noise_is_never_our_fault(web: Web, data: bytes) -> None:
    with Wire(web.port) as wire:
        wire.send(data)
        wire.end()
        answer = wire.answer()
    assert answer is None or answer.status < 500
