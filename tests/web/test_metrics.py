"""`/metrics`: who may read it, in which formats, and that what it tells is so, from whichever process."""

from __future__ import annotations

import inspect
import re
import socket
import time
from collections.abc import Iterator

import psutil
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from room_reports.ledger import Ledger
from room_reports.metrics import CALLBACK_RESULTS, FAMILIES, PREFIX
from room_reports.web import receiving, resting, verifying
from room_reports.web.tally_writer import by_metric
from tests.conftest import StartWeb
from tests.support.metrics import fill, samples_of
from tests.support.processes import Web, settings_for, wait_until
from tests.support.servers import RedisServer, free_port
from tests.web.conftest import Door, form, post
from tests.web.wire import Answer, exchange

TOKEN = "a-token-for-scrapes-alone"
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def scrape(web: Web, *headers: str, host: str = "127.0.0.1") -> Answer:
    lines = "".join(f"{header}\r\n" for header in headers)
    request = f"GET /metrics HTTP/1.1\r\nHost: {host}\r\n{lines}Connection: close\r\n\r\n"
    return exchange(web.port, request.encode())


def samples(web: Web, *headers: str) -> dict[tuple[str, ...], float]:
    answer = scrape(web, *headers)
    assert answer.status == 200
    return samples_of(answer.body.decode())


def test_both_formats_parse(web: Web, ledger: Ledger) -> None:
    fill(ledger)
    for accept, kind, parse in (
        ("text/plain", "text/plain", parse_text),
        ("*/*", "text/plain", parse_text),
        (OPENMETRICS, "application/openmetrics-text", parse_openmetrics),
    ):
        answer = scrape(web, f"Accept: {accept}")
        assert answer.headers["content-type"].startswith(kind)
        assert answer.headers["cache-control"] == "no-store"
        names = {family.name for family in parse(answer.body.decode())}
        assert f"{PREFIX}rooms" in names


def test_everything_that_is_listed_is_told_and_nothing_else(web: Web, ledger: Ledger) -> None:
    fill(ledger)
    exchange(web.port, b"GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    said = scrape(web, f"Accept: {OPENMETRICS}").body.decode()
    told = {family.name: family for family in parse_openmetrics(said)}  # type: ignore[no-untyped-call]
    assert set(told) == {PREFIX + name.removesuffix("_total") for name in FAMILIES}
    for name, listed in FAMILIES.items():
        family = told[PREFIX + name.removesuffix("_total")]
        assert family.type == listed.kind
        assert family.samples, name
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(listed.labels)


def test_no_room_is_a_label(web: Web, ledger: Ledger) -> None:
    fill(ledger)
    said = scrape(web).body.decode()
    assert not re.search(r"RM[0-9a-f]{32}|AC[0-9a-f]{32}|a-name-of-a-room", said)


def test_what_happened_is_told(web: Web, ledger: Ledger) -> None:
    fill(ledger)
    said = samples(web)
    expected = {
        ("callbacks_total", "opened"): 4,
        ("callbacks_total", "known"): 1,
        ("rooms_opened_total", "callback"): 4,
        ("rooms", "open"): 2,
        ("rooms", "delivered"): 1,
        ("rooms", "dead"): 1,
        ("dead_letters",): 1,
        ("summary_attempts_total", "complete", "none"): 3,
        ("summary_attempts_total", "waiting", "not_ready"): 1,
        ("delivery_attempts_total", "webhook", "delivered", "none"): 2,
        ("delivery_attempts_total", "webhook", "dead", "rejected"): 1,
        ("delivery_attempts_total", "slack", "waiting", "gone"): 1,
        ("resends_total", "webhook"): 1,
        ("digest_attempts_total", "webhook", "sent"): 1,
        ("digest_attempts_total", "webhook", "failed"): 1,
        ("digest_attempts_total", "webhook", "refused"): 0,
        ("lane_rate", "webhook"): 0,
        ("holds_total", "slack", "held"): 1,
        ("held", "slack"): 1,
        ("held_until_resumed", "slack"): 1,
        ("held", "webhook"): 0,
        ("steps_unfinished", "slack"): 1,
        ("summary_seconds_count",): 3,
        ("delivery_seconds_count", "webhook"): 1,
        ("workers",): 2,
        ("worker_threads",): 48,
        ("worker_threads_busy",): 5,
        ("redis_up",): 1,
        ("redis_writable",): 1,
    }
    assert {name: said.get(name) for name in expected} == expected
    assert 0 < said["oldest_unfinished_age_seconds",] < 60


class TestAccess:
    def test_this_machine_may_read_it(self, web: Web) -> None:
        assert scrape(web).status == 200

    @pytest.mark.parametrize(
        "header",
        ["X-Forwarded-For: 127.0.0.1", "X-Forwarded-For: 203.0.113.9", "Forwarded: for=127.0.0.1", "Via: 1.1 x"],
    )
    def test_a_proxy_on_this_machine_speaks_for_others(self, web: Web, header: str) -> None:
        answer = scrape(web, header)
        assert (answer.status, b"redis" in answer.body) == (404, False)

    @pytest.mark.parametrize("setting", [{"TRUSTED_PROXIES": "1"}, {"PUBLIC_BASE_URL": "https://reports.example.com"}])
    def test_behind_a_proxy_nobody_is_on_this_machine(self, door: Door, setting: dict[str, str]) -> None:
        assert scrape(door(**setting)).status == 404

    def test_another_machine_may_not(self, web: Web) -> None:
        addresses = [
            address.address
            for found in psutil.net_if_addrs().values()
            for address in found
            if address.family == socket.AF_INET and not address.address.startswith("127.")
        ]
        if not addresses:
            pytest.skip("this machine has no address but loopback")
        with socket.create_connection((addresses[0], web.port)) as client:
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert client.recv(65536).startswith(b"HTTP/1.1 404 ")

    @pytest.mark.parametrize(
        "setting", [{}, {"PUBLIC_BASE_URL": "https://reports.example.com", "TRUSTED_PROXIES": "1"}]
    )
    def test_with_a_token_only_who_has_it(self, door: Door, setting: dict[str, str]) -> None:
        web = door(METRICS_TOKEN=TOKEN, **setting)
        assert scrape(web).status == 403
        for wrong in (TOKEN[:-1], TOKEN + "x", "", f"{TOKEN}\xff"):
            assert scrape(web, f"Authorization: Bearer {wrong}").status == 403
        assert scrape(web, f"Authorization: Basic {TOKEN}").status == 403
        assert scrape(web, f"Authorization: Bearer {TOKEN}").status == 200
        assert TOKEN not in web.output()


class TestCounting:
    def test_refusals_of_every_process_add_up(self, start_web: StartWeb, redis_url: str) -> None:
        web = start_web(settings_for(redis_url, WEB_CONCURRENCY="3"))
        for number in range(30):
            post(web, form(RoomSid=f"RM{number:032x}"), token="not-the-token")
        for _ in range(10):
            exchange(web.port, b"GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            exchange(web.port, b"NOT HTTP AT ALL\r\n\r\n")
        post(web, form(StatusCallbackEvent="participant-connected"))
        expected = {
            ("callbacks_total", "signature"): 30,
            ("callbacks_total", "ignored"): 1,
            ("callbacks_total", "opened"): 0,
            ("requests_refused_total", "not_found"): 10,
            ("requests_refused_total", "bad_request"): 10,
        }
        wait_until(lambda: expected.items() <= samples(web).items(), what="all of them are told")
        time.sleep(0.2)
        assert expected.items() <= samples(web).items()

    def test_a_process_that_stops_takes_nothing_along(self, start_web: StartWeb, redis_url: str) -> None:
        web = start_web(settings_for(redis_url, WEB_CONCURRENCY="2"))
        for _ in range(12):
            post(web, token="not-the-token")
        assert web.stop() == 0
        web.start()
        assert samples(web)["callbacks_total", "signature"] == 12

    def test_what_was_counted_while_redis_was_away_is_not_lost(self, start_web: StartWeb) -> None:
        with RedisServer() as server:
            web = start_web(settings_for(server.url))
            assert post(web).status == 204
            server.kill()
            assert post(web).status == 503
            post(web, token="not-the-token")
            server.start()
            said = samples(web)
        assert said["callbacks_total", "redis"] == 1
        assert said["callbacks_total", "signature"] == 1

    def test_every_reason_has_its_label(self) -> None:
        source = "".join(map(inspect.getsource, (receiving, resting, verifying)))
        reasons = set(re.findall(r'Refusal\(\s*\d+,\s*"([^"]+)"', source))
        assert {"signature", "too many parameters", "redis"} <= reasons
        for reason in reasons:
            [(kind, label)] = by_metric({reason: 1})
            assert (kind, label) == ("requests", "method_not_allowed") or label in CALLBACK_RESULTS

    def test_a_strange_kind_is_other(self) -> None:
        assert by_metric({"im a teapot": 2, "gone": 1}) == {("requests", "other"): 3}


class TestTrouble:
    @pytest.fixture
    def server(self) -> Iterator[RedisServer]:
        with RedisServer() as started:
            yield started

    def test_redis_is_away(self, start_web: StartWeb) -> None:
        web = start_web(settings_for(f"redis://127.0.0.1:{free_port()}/0"))
        said = samples(web)
        assert {name for name, *_ in said} == {"build_info", "redis_up", "redis_writable"}
        assert (said["redis_up",], said["redis_writable",]) == (0, 0)

    def test_redis_says_nothing(self, start_web: StartWeb, server: RedisServer) -> None:
        web = start_web(settings_for(server.url))
        assert samples(web)["redis_up",] == 1
        server.pause()
        try:
            assert samples(web)["redis_up",] == 0
        finally:
            server.go_on()

    def test_redis_is_full(self, start_web: StartWeb, server: RedisServer) -> None:
        web = start_web(settings_for(server.url))
        with server.client() as client:
            client.config_set("maxmemory", "1")
        said = samples(web)
        assert (said["redis_up",], said["redis_writable",]) == (1, 0)
