"""The load generator sends everything once, and reads answers rightly however they arrive."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.load import end_of_answer, fire, percentile, says_close
from bench.processes import StartError, free_port, listens, running
from bench.workbench import signed
from sandbox.client import Sandbox
from sandbox.options import SLACK_PATH
from sandbox.summaries import room_sid


@pytest.fixture
def responder(tmp_path: Path) -> Iterator[int]:
    """The port of a server that answers 204 to everything."""
    port = free_port()
    command = [sys.executable, "-m", "bench.responder", str(port)]
    with running(command, lambda: listens(port), environment={}, log=tmp_path / "log"):
        yield port


@pytest.mark.parametrize("keep_alive", [True, False])
def test_every_request_is_answered(responder: int, keep_alive: bool) -> None:
    requests = signed([room_sid(1, n) for n in range(50)], f"http://127.0.0.1:{responder}/", keep_alive=keep_alive)
    volley = fire(responder, requests, connections=4, keep_alive=keep_alive)
    assert volley.statuses == {"204": 50}
    assert 0 < volley.p50 <= volley.p99 <= volley.seconds


def test_each_request_is_sent_once(sandbox: Sandbox) -> None:
    port = int(sandbox.url.rpartition(":")[2])
    bodies = [f'{{"text": "{room_sid(1, n)}"}}' for n in range(20)]
    requests = [f"POST {SLACK_PATH} HTTP/1.1\r\nContent-Length: {len(b)}\r\n\r\n{b}".encode() for b in bodies]
    assert fire(port, requests, connections=3, keep_alive=True).statuses == {"200": 20}
    assert sorted(exchange.body or "" for exchange in sandbox.slack.history()) == sorted(bodies)


def test_a_refusal_is_no_acceptance(sandbox: Sandbox) -> None:
    port = int(sandbox.url.rpartition(":")[2])
    volley = fire(port, [b"GET /nowhere HTTP/1.1\r\n\r\n"] * 3, connections=1, keep_alive=True)
    assert (volley.statuses, volley.rate) == ({"404": 3}, 0)


def test_a_server_that_does_not_start_shows_its_last_words(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('no such luck')"]
    with (
        pytest.raises(StartError, match="no such luck"),
        running(command, lambda: False, environment={}, log=tmp_path / "log"),
    ):
        pass


@pytest.mark.parametrize(
    ("answer", "end"),
    [
        (b"HTTP/1.1 204 No Content\r\nServer: x\r\n", None),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 27),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no", None),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", 40),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", 36),
    ],
)
def test_the_end_of_an_answer(answer: bytes, end: int | None) -> None:
    assert end_of_answer(answer) == end


def test_an_answer_that_closes_is_noticed() -> None:
    assert says_close(b"HTTP/1.1 204 No Content\r\nConnection: Close\r\n\r\n")
    assert not says_close(b"HTTP/1.1 204 No Content\r\nConnection: keep-alive\r\n\r\n")


def test_percentiles() -> None:
    values = [float(number) for number in range(1, 101)]
    assert (percentile(values, 50), percentile(values, 99), percentile([7.0], 99), percentile([], 50)) == (
        51,
        100,
        7,
        0,
    )
