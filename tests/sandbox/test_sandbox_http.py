"""The server is a correct HTTP/1.1 server, and bad in exactly the manner it is told to be."""

from __future__ import annotations

import gzip
import http.client
import itertools
import json
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from sandbox import answers
from sandbox.client import Sandbox
from sandbox.service import Behaviour

MESSAGE = b'{"text": "hello"}'


def connect(sandbox: Sandbox) -> socket.socket:
    parts = urlsplit(sandbox.url)
    connection = socket.create_connection((parts.hostname, parts.port))
    connection.settimeout(5)
    return connection


def post(sandbox: Sandbox, *, extra: str = "", body: bytes = MESSAGE) -> bytes:
    path = urlsplit(sandbox.slack_url).path
    return f"POST {path} HTTP/1.1\r\nHost: x\r\n{extra}Content-Length: {len(body)}\r\n\r\n".encode() + body


def read_pieces(connection: socket.socket) -> list[bytes]:
    return list(iter(lambda: connection.recv(65536), b""))


def read_all(connection: socket.socket) -> bytes:
    return b"".join(read_pieces(connection))


@contextmanager
def response_to(sandbox: Sandbox) -> Iterator[http.client.HTTPResponse]:
    """One message to the fake Slack; the response with its body yet to be read."""
    parts = urlsplit(sandbox.url)
    client = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=5)
    with closing(client):
        client.request("POST", urlsplit(sandbox.slack_url).path, MESSAGE, {"Connection": "close"})
        with client.getresponse() as response:
            yield response


def exchange(sandbox: Sandbox) -> tuple[int, str]:
    """One message to the fake Slack; status and body of the answer."""
    with response_to(sandbox) as response:
        return response.status, response.read().decode()


def test_keeps_a_connection_alive_and_answers_pipelined_requests_in_order(sandbox: Sandbox) -> None:
    sandbox.slack.script(answers.status(500, "first").after(0.05), answers.status(500, "second"))
    with connect(sandbox) as connection:
        connection.sendall(post(sandbox) + post(sandbox) + post(sandbox, extra="Connection: close\r\n"))
        received = read_all(connection)
    assert received.count(b"HTTP/1.1 ") == 3
    assert received.index(b"first") < received.index(b"second") < received.index(b"\r\n\r\nok")


def test_takes_a_request_in_any_pieces(sandbox: Sandbox) -> None:
    with connect(sandbox) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in post(sandbox, extra="Connection: close\r\n"):
            connection.send(bytes([byte]))
        assert read_all(connection).endswith(b"\r\n\r\nok")


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: abc\r\n\r\n",
        b"GET /" + b"x" * 70_000,
    ],
)
def test_refuses_what_is_no_request_and_closes(sandbox: Sandbox, request_bytes: bytes) -> None:
    with connect(sandbox) as connection:
        connection.sendall(request_bytes)
        assert read_all(connection).startswith(b"HTTP/1.1 400 ")


def test_unknown_paths_are_404(sandbox: Sandbox) -> None:
    with connect(sandbox) as connection:
        connection.sendall(b"GET /elsewhere HTTP/1.0\r\n\r\n")
        assert read_all(connection).startswith(b"HTTP/1.1 404 ")


def test_half_is_a_complete_response_with_half_a_body(sandbox: Sandbox) -> None:
    sandbox.slack.script(answers.truncated_json())
    with response_to(sandbox) as response:
        assert (response.status, response.read()) == (200, b"o")


def test_cut_promises_more_than_it_sends(sandbox: Sandbox) -> None:
    sandbox.slack.script(answers.cut())
    with response_to(sandbox) as response, pytest.raises(http.client.IncompleteRead):
        response.read()


@pytest.mark.parametrize("answer", [answers.drip_headers(pace=0.001), answers.drip_body(pace=0.02)])
def test_drips_arrive_whole_in_many_pieces(sandbox: Sandbox, answer: answers.Answer) -> None:
    sandbox.slack.script(replace(answer, status=500, body="slowly"))
    with connect(sandbox) as connection:
        connection.sendall(post(sandbox, extra="Connection: close\r\n"))
        pieces = read_pieces(connection)
    assert b"".join(pieces).endswith(b"\r\n\r\nslowly") and len(pieces) >= 3


def test_endless_goes_on_until_the_reader_leaves(sandbox: Sandbox) -> None:
    sandbox.slack.script(answers.endless())
    with response_to(sandbox) as response:
        assert len(response.read(3_000_000)) == 3_000_000
    assert exchange(sandbox) == (200, "ok")


def test_huge_is_as_long_as_said_and_still_the_proper_body(sandbox: Sandbox) -> None:
    sandbox.slack.script(answers.huge(1_000_001))
    with response_to(sandbox) as response:
        body = response.read()
    assert (len(body), body.strip()) == (1_000_003, b"ok")


def test_a_bomb_is_small_until_unpacked(sandbox: Sandbox) -> None:
    sandbox.slack.script(answers.bomb(10_000_000))
    with response_to(sandbox) as response:
        packed = response.read()
    assert response.getheader("Content-Encoding") == "gzip" and len(packed) < 100_000
    assert len(gzip.decompress(packed)) == 10_000_002


def test_reset_is_a_reset(sandbox: Sandbox) -> None:
    sandbox.slack.script(answers.reset())
    with connect(sandbox) as connection:
        connection.sendall(post(sandbox))
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    assert [(seen.status, seen.accepted, seen.note) for seen in sandbox.slack.history()] == [(None, False, "reset")]


def test_hang_never_answers_and_holds_nobody_else_up(sandbox: Sandbox) -> None:
    sandbox.slack.script(answers.hang(), answers.normal().after(60))
    with connect(sandbox) as hanging, connect(sandbox) as waiting:
        for connection in (hanging, waiting):
            connection.sendall(post(sandbox))
            connection.settimeout(0.2)
        assert exchange(sandbox) == (200, "ok")
        for connection in (hanging, waiting):
            with pytest.raises(TimeoutError):
                connection.recv(1)


def test_latency_holds_every_answer_back(sandbox: Sandbox) -> None:
    sandbox.slack.latency(60)
    with connect(sandbox) as connection:
        connection.sendall(post(sandbox))
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            connection.recv(1)
    sandbox.slack.latency(0)
    assert exchange(sandbox) == (200, "ok")


def test_latency_may_differ_from_answer_to_answer() -> None:
    behaviour = Behaviour()
    behaviour.latency, behaviour.spread = 0.2, 0.1
    waits = [behaviour.wait() for _ in range(200)]
    assert 0.18 <= min(waits) < 0.19 < 0.21 < max(waits) <= 0.22


def test_switch_before_scripts_before_faults(sandbox: Sandbox) -> None:
    path = urlsplit(sandbox.slack_url).path
    sandbox.slack.faults(1.0, answers.status(500, "fault"))
    sandbox.slack.script(answers.status(500, "common"))
    sandbox.slack.script(answers.status(500, "own").repeated(2), key=path)
    sandbox.slack.always(answers.status(500, "switch"))
    said = [exchange(sandbox)[1] for _ in range(2)]
    sandbox.slack.normal()
    said += [exchange(sandbox)[1] for _ in range(5)]
    sandbox.slack.faults(0)
    said.append(exchange(sandbox)[1])
    assert said == ["switch", "switch", "own", "own", "common", "fault", "fault", "ok"]


def test_scripts_last_as_long_as_they_say(sandbox: Sandbox) -> None:
    sandbox.slack.script(answers.status(500).lasting(0.2), answers.status(503).forever())
    seen = list(itertools.takewhile(lambda status: status == 500, (exchange(sandbox)[0] for _ in range(100_000))))
    assert seen and [exchange(sandbox)[0] for _ in range(20)] == [503] * 20


def test_faults_are_drawn_from_the_seed(sandbox: Sandbox) -> None:
    drawn = []
    for _ in range(2):
        sandbox.slack.faults(0.5, answers.status(500), answers.status(503), seed=7)
        drawn.append([exchange(sandbox)[0] for _ in range(40)])
    assert drawn[0] == drawn[1] and set(drawn[0]) == {200, 500, 503}


def test_a_brief_history_keeps_no_headers_and_bodies(sandbox: Sandbox) -> None:
    exchange(sandbox)
    sandbox.configure(history="brief")
    exchange(sandbox)
    full, brief = sandbox.slack.history()
    assert json.loads(full.body or "") == {"text": "hello"} and (full.headers or {})["connection"] == "close"
    assert (brief.body, brief.headers, brief.status, brief.accepted) == (None, None, 200, True)
    assert sandbox.slack.counts() == {"requests": 2, "accepted": 2, "rooms": 0, "statuses": {"200": 2}}
