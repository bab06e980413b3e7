"""`POST /twilio/events` over the wire: who is let in, what is answered, what is written."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
import redis

from room_reports.ledger import Ledger
from sandbox import callbacks, events
from sandbox.options import ACCOUNT_SID, AUTH_TOKEN
from sandbox.summaries import participants, room_sid, room_summary
from tests.conftest import StartWeb
from tests.support.metrics import samples_of
from tests.support.processes import Web, settings_for, wait_until
from tests.support.servers import RedisServer, free_port
from tests.web.conftest import SID, Door, is_empty, jobs, url_of
from tests.web.conftest import form as callback_form
from tests.web.conftest import post as post_callback
from tests.web.wire import Answer, exchange, send

PATH = "/twilio/events"
PUBLIC = "https://hooks.example.com"
LIMIT = 256 * 1024


def summary_of(sid: str = SID, **changes: Any) -> dict[str, Any]:
    return {**room_summary(sid, account_sid=ACCOUNT_SID, ended=datetime.now(UTC)), **changes}


def room_event(sid: str = SID, **changes: Any) -> dict[str, Any]:
    return events.room_event(summary_of(sid), **changes)


def post(web: Web, document: Any = None, **options: Any) -> Answer:
    """Signs and posts a document, or the event of a room; `options` are those of `sandbox.callbacks.json_request`."""
    keywords = {"url": url_of(web, PATH), "token": AUTH_TOKEN, **options}
    return send(web.port, callbacks.json_request(document=room_event() if document is None else document, **keywords))


def error_of(answer: Answer) -> Any:
    assert len(answer.body) < 200
    return json.loads(answer.body)["error"]


def said_last(web: Web, event: str = "event not taken") -> dict[str, Any]:
    wait_until(lambda: web.lines(event), what=f"a log line: {event}")
    return web.lines(event)[-1]


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A server to which no other door brings what it counted."""
    with RedisServer() as started:
        yield started


class TestTaken:
    def test_event_of_an_unknown_room_opens_it(self, telling: Web, ledger: Ledger, store: redis.Redis) -> None:
        answer = post(telling, headers={"X-Request-Id": "from-the-router-2"})
        assert (answer.status, answer.body) == (204, b"")
        room = ledger.room(SID)
        assert room is not None
        assert (room.source, room.summary_source, room.request_id) == ("events", "event", "from-the-router-2")
        assert jobs(store) == [f"{SID}-summary-1".encode()]
        assert said_last(telling, "room opened by an event")["room_sid"] == SID

    @pytest.mark.parametrize("wrap", [lambda one: one, lambda one: [one], lambda one: [one, one]])
    @pytest.mark.parametrize("as_text", [False, True])
    def test_object_or_array_data_or_text(
        self, web: Web, store: redis.Redis, wrap: Callable[[Any], Any], as_text: bool
    ) -> None:
        assert post(web, wrap(room_event(as_text=as_text))).status == 204
        assert len(jobs(store)) == 1

    def test_every_event_of_an_array(self, web: Web, ledger: Ledger) -> None:
        sids = [room_sid(8, number) for number in range(20)]
        assert post(web, [room_event(sid) for sid in sids]).status == 204
        assert not ledger.unknown(sids)

    @pytest.mark.parametrize("path", [PATH, PATH + "/"])
    @pytest.mark.parametrize("media_type", ["application/json", "application/cloudevents-batch+json; charset=utf-8"])
    def test_both_paths_and_media_types(self, web: Web, path: str, media_type: str) -> None:
        assert post(web, url=url_of(web, path), headers={"Content-Type": media_type}).status == 204

    @pytest.mark.parametrize("algorithm", [callbacks.HMAC_SHA1, callbacks.HMAC_SHA256])
    def test_either_algorithm(self, web: Web, algorithm: str) -> None:
        assert post(web, algorithm=algorithm).status == 204

    def test_public_base_url_and_trusted_proxies_say_what_was_signed(self, door: Door) -> None:
        web = door(PUBLIC_BASE_URL=PUBLIC)
        assert post(web, url=f"{PUBLIC}{PATH}?tag=a%2Cb", post_to=url_of(web, f"{PATH}?tag=a%2Cb")).status == 204
        web = door(TRUSTED_PROXIES="1")
        headers = {"X-Forwarded-Proto": "https"}
        assert post(web, url=PUBLIC + PATH, post_to=url_of(web, PATH), headers=headers).status == 204

    def test_event_after_the_callback_and_callback_after_the_event(self, web: Web, store: redis.Redis) -> None:
        assert post_callback(web).status == 204
        assert post(web).status == 204
        other = room_sid(8)
        assert post(web, room_event(other)).status == 204
        assert post_callback(web, callback_form(RoomSid=other)).status == 204
        assert sorted(jobs(store)) == sorted([f"{SID}-summary-1".encode(), f"{other}-summary-1".encode()])

    def test_sink_test_is_remembered(self, telling: Web, ledger: Ledger) -> None:
        assert post(telling, events.sink_test("1234-abc", account_sid=ACCOUNT_SID)).status == 204
        assert ledger.test_event() == "1234-abc"
        assert said_last(telling, "test event of a sink")["test_id"] == "1234-abc"

    def test_participant_joins_its_room_without_the_identity(
        self, web: Web, ledger: Ledger, store: redis.Redis
    ) -> None:
        people = participants(SID, account_sid=ACCOUNT_SID, ended=datetime.now(UTC))
        assert post(web, events.participant_event(people[0], identity="somebody")).status == 204
        assert ledger.unknown([SID])
        assert (
            post(web, [room_event(), *(events.participant_event(one, identity="somebody") for one in people)]).status
            == 204
        )
        row = cast(dict[bytes, bytes], store.hgetall(f"room-reports:room:{SID}"))
        told = {name for name in row if name.startswith(b"participant.")}
        assert told == {f"participant.{one['participant_sid']}".encode() for one in people}
        assert b"person-" in row[told.pop()]
        assert b"somebody" not in b"".join(row.values())

    @pytest.mark.parametrize("document", [[], events.event("com.twilio.video.insights.track-summary.complete", {})])
    def test_nothing_of_ours(self, web: Web, store: redis.Redis, document: Any) -> None:
        assert post(web, document).status == 204
        assert is_empty(store)

    def test_room_that_ended_long_ago_is_noted_and_not_reported(
        self, web: Web, ledger: Ledger, store: redis.Redis
    ) -> None:
        ended = datetime.now(UTC) - timedelta(days=8)
        assert post(web, room_event(end_time=ended.isoformat())).status == 204
        room = ledger.room(SID)
        assert room is not None
        assert room.state == "expired"
        assert not jobs(store)


class TestRefused:
    @pytest.mark.parametrize("forge", ["unsigned", "empty", "truncated", "other_token"])
    def test_bad_signature(self, web: Web, store: redis.Redis, forge: str) -> None:
        answer = post(web, forge=forge)
        assert (answer.status, error_of(answer)) == (403, "signature")
        assert is_empty(store)

    def test_body_that_was_not_signed(self, telling: Web, store: redis.Redis) -> None:
        answer = post(telling, forge="tampered")
        assert (answer.status, error_of(answer)) == (403, "signature")
        assert said_last(telling)["cause"] == "body_changed"
        assert is_empty(store)

    def test_signed_url_that_names_no_body(self, telling: Web, store: redis.Redis) -> None:
        url = url_of(telling, PATH)
        body = json.dumps(room_event()).encode()
        headers = {
            "Host": f"127.0.0.1:{telling.port}",
            "X-Twilio-Signature": callbacks.sign(url, (), AUTH_TOKEN),
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
        }
        assert send(telling.port, callbacks.SignedRequest("POST", url, headers, body)).status == 403
        assert said_last(telling)["cause"] == "body_unsigned"
        assert is_empty(store)

    def test_signature_for_another_url_says_what_to_do(self, telling: Web) -> None:
        assert post(telling, url=PUBLIC + PATH, post_to=url_of(telling, PATH)).status == 403
        assert said_last(telling)["cause"] == "wrong_scheme"

    def test_other_account(self, web: Web, store: redis.Redis) -> None:
        answer = post(web, room_event(account_sid="AC" + "0" * 32))
        assert (answer.status, error_of(answer)) == (403, "account")
        assert is_empty(store)

    @pytest.mark.parametrize("body", [b"", b"{", b"not json", b"\xff\xfe"])
    def test_not_json(self, web: Web, store: redis.Redis, body: bytes) -> None:
        answer = post(web, body=body)
        assert (answer.status, error_of(answer)) == (400, "malformed")
        assert is_empty(store)

    @pytest.mark.parametrize(
        "document",
        [
            5,
            [5],
            {"type": 1},
            room_event(room_sid="RM1"),
            events.event(events.PARTICIPANT_SUMMARY, {}),
            [{}, room_event(room_sid=1)],
        ],
    )
    def test_nothing_that_can_be_read(self, web: Web, store: redis.Redis, document: Any) -> None:
        answer = post(web, document)
        assert (answer.status, error_of(answer)) == (400, "malformed")
        assert is_empty(store)

    def test_one_bad_element_does_not_keep_the_others_out(self, web: Web, ledger: Ledger, store: redis.Redis) -> None:
        answer = post(
            web, [{"type": 5}, room_event(), room_event(room_sid="x"), room_event(account_sid="AC" + "0" * 32)]
        )
        assert (answer.status, json.loads(answer.body)) == (200, {"passed over": {"malformed": 2, "account": 1}})
        assert not ledger.unknown([SID])
        assert len(jobs(store)) == 1

    def test_length_at_the_limit_and_one_byte_over(self, web: Web, ledger: Ledger) -> None:
        body = json.dumps(room_event()).encode()
        assert post(web, body=body + b" " * (LIMIT - len(body))).status == 204
        assert not ledger.unknown([SID])
        answer = post(web, body=body + b" " * (LIMIT + 1 - len(body)))
        assert (answer.status, error_of(answer)) == (413, "too large")
        assert post_callback(web).status == 204

    def test_host_of_another_site_may_come_back(self, door: Door, store: redis.Redis) -> None:
        web = door(PUBLIC_BASE_URL=PUBLIC)
        answer = post(web, url=PUBLIC + PATH, post_to=url_of(web, PATH), headers={"Host": "evil.example"})
        assert (answer.status, error_of(answer)) == (421, "host")
        assert is_empty(store)

    @pytest.mark.parametrize("media_type", ["application/x-www-form-urlencoded", "text/plain", ""])
    def test_other_media_types(self, web: Web, media_type: str) -> None:
        assert post(web, headers={"Content-Type": media_type}).status == 415

    @pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
    def test_other_methods(self, web: Web, method: str) -> None:
        head = f"{method} {PATH} HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"
        answer = exchange(web.port, head.encode(), has_body=method != "HEAD")
        assert (answer.status, answer.headers["allow"]) == (405, "POST")

    def test_chunks_may_come_back_whole(self, web: Web) -> None:
        head = (
            f"POST {PATH} HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        assert exchange(web.port, head.encode() + b"0\r\n\r\n").status == 411


def test_b32_redis_that_is_away_has_it_come_back(start_web: StartWeb) -> None:
    web = start_web(settings_for(f"redis://127.0.0.1:{free_port()}/0"))
    for document in (room_event(), [room_event()], events.sink_test("1", account_sid=ACCOUNT_SID)):
        answer = post(web, document)
        assert (answer.status, error_of(answer)) == (503, "redis")
        assert int(answer.headers["retry-after"]) > 0
    assert "Traceback" not in web.output()


def test_events_are_counted_by_what_came_of_them(start_web: StartWeb, server: RedisServer) -> None:
    web = start_web(settings_for(server.url))
    for _ in range(3):
        assert post(web).status == 204
    post(web, [events.event("x", {}), 5, events.sink_test("1", account_sid=ACCOUNT_SID)])
    post(web, forge="tampered")
    said = samples_of(exchange(web.port, b"GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n").body.decode())
    counted = {name[1]: value for name, value in said.items() if name[0] == "events_total" and value}
    assert counted == {"opened": 1, "known": 2, "ignored": 1, "malformed": 1, "test": 1, "signature": 1}
    assert said["rooms_opened_total", "events"] == 1
    assert said["callbacks_total", "signature"] == 0
