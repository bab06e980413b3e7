"""Row A29: clients that are slow, silent or deaf are cut off, and nobody else notices them."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import psutil
import pytest
import redis
from gunicorn.config import Config  # type: ignore[import-untyped]  # gunicorn ships no types

from room_reports.web.server import LINGER, RECEIVE, SEND, BoundedSocket, Connection
from sandbox import callbacks
from sandbox.options import AUTH_TOKEN
from tests.support.processes import Web, wait_until
from tests.web.conftest import PATH, Door, form, is_empty, jobs, post, url_of
from tests.web.wire import Wire, exchange

IDLE = 500
DRIPPING = 60
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
KEPT = HEALTH.replace(b"Connection: close\r\n", b"")
HEAD = f"POST {PATH} HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-www-form-urlencoded\r\n".encode()

Drip = Callable[[bytes, bytes], list[Wire]]


@pytest.fixture
def slow(door: Door) -> Web:
    """A door for tests that fill it up."""
    return door(LOG_FORMAT="text")


@pytest.fixture
def drip(slow: Web) -> Iterator[Drip]:
    """`drip(first, more)` opens connections that send `first`, and from then on a byte of `more` ten times a second."""
    stopping = threading.Event()
    with ExitStack() as stack:

        def start(first: bytes, more: bytes) -> list[Wire]:
            wires = [stack.enter_context(Wire(slow.port)) for _ in range(DRIPPING)]
            for wire in wires:
                wire.send(first)

            def go_on() -> None:
                for position in range(len(more)):
                    if stopping.wait(0.1):
                        return
                    for wire in wires:
                        try:
                            wire.send(more[position : position + 1])
                        except OSError:
                            pass  # it has been cut off

            dripper = threading.Thread(target=go_on)
            dripper.start()
            stack.callback(dripper.join)
            stack.callback(stopping.set)
            return wires

        yield start


def connections_of(web: Web) -> int:
    """How many clients its workers are connected to."""
    return sum(connections_of_each(web))


def connections_of_each(web: Web) -> list[int]:
    """The same for each worker."""
    return [
        sum(connection.status == psutil.CONN_ESTABLISHED for connection in child.net_connections("tcp"))
        for child in psutil.Process(web.pid).children()
    ]


def test_a29_bad_clients_of_every_kind_are_cut_and_nobody_notices(slow: Web, drip: Drip, store: redis.Redis) -> None:
    with ExitStack() as stack:
        silent = [stack.enter_context(Wire(slow.port)) for _ in range(IDLE)]
        dripping = drip(HEAD + b"X-Drip: ", b"x" * 1000) + drip(HEAD + b"Content-Length: 1000\r\n\r\n", b"y" * 900)
        second = stack.enter_context(Wire(slow.port))
        second.send(KEPT)
        answer = second.answer()
        assert answer is not None and answer.headers["connection"] == "keep-alive"
        second.send(KEPT[:9])
        started = time.monotonic()
        for _ in range(10):
            assert exchange(slow.port, HEALTH).status == 200
            assert post(slow).status == 204
        # Had the dripping ones held up the threads, this would have taken all of their time.
        assert time.monotonic() - started < RECEIVE / 2
        assert connections_of(slow) >= IDLE + 2 * DRIPPING + 1
        for wire in [*silent[:5], *dripping, second]:
            assert wire.is_closed()
        wait_until(lambda: connections_of(slow) == 0, what="all are cut off", seconds=3 * RECEIVE)
    assert len(jobs(store)) == 1


def test_a29_request_in_small_pieces_is_whole_in_the_end(slow: Web, store: redis.Redis) -> None:
    request = callbacks.request(url_of(slow), form(), token=AUTH_TOKEN).to_bytes()
    with Wire(slow.port) as wire:
        for position in range(0, len(request), 7):
            wire.send(request[position : position + 7])
        answer = wire.answer()
    assert answer is not None and answer.status == 204
    assert len(jobs(store)) == 1


def test_a29_clients_that_never_close_hold_nobody_up(slow: Web, store: redis.Redis) -> None:
    refused = HEAD + b"Content-Length: 10000000\r\n\r\n" + b"x" * 100_000
    with ExitStack() as stack:
        wires = [stack.enter_context(Wire(slow.port)) for _ in range(DRIPPING)]
        for wire in wires:
            wire.send(refused)
        started = time.monotonic()
        assert exchange(slow.port, HEALTH).status == 200
        assert time.monotonic() - started < LINGER
        for wire in wires:
            answer = wire.answer()
            assert answer is not None and (answer.status, answer.headers["connection"]) == (413, "close")
    assert is_empty(store)


@pytest.fixture
def pair() -> Iterator[tuple[BoundedSocket, socket.socket]]:
    """The worker's end of a connection, and the client's."""
    ours, client = socket.socketpair()
    with BoundedSocket(fileno=ours.detach()) as bounded, client:
        yield bounded, client


def test_a29_thread_sees_a_client_that_takes_too_long_as_gone(pair: tuple[BoundedSocket, socket.socket]) -> None:
    bounded, _ = pair
    bounded.settimeout(0.05)
    with pytest.raises(ConnectionResetError):
        bounded.recv(1)
    with pytest.raises(ConnectionResetError):
        bounded.sendall(b"x" * 10_000_000)


def test_a29_thread_waits_for_no_client_for_ever(pair: tuple[BoundedSocket, socket.socket]) -> None:
    connection = Connection(Config(), pair[0], ("127.0.0.1", 1), ("127.0.0.1", 2))
    connection.init()
    assert pair[0].gettimeout() == SEND


def test_answered_client_that_closes_is_let_go_before_any_limit(slow: Web) -> None:
    # Once it was let go only after `SEND` seconds, and the loop stood still meanwhile.
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", slow.port), timeout=SEND / 2) as client:
            client.sendall(HEALTH)
            while client.recv(65536):
                pass


def test_idle_clients_do_not_hold_up_a_stop(door: Door) -> None:
    web = door(WEB_CONCURRENCY="2", LOG_FORMAT="text")
    with ExitStack() as stack:

        def each_has_one() -> bool:
            kept = stack.enter_context(Wire(web.port))
            kept.send(KEPT)
            assert kept.answer() is not None
            return min(connections_of_each(web)) > 0

        # Whoever has answered also hears the signal: a process that was forked just now might not.
        wait_until(each_has_one, what="each process has an idle client")
        stack.enter_context(Wire(web.port))
        assert web.stop(seconds=8) == 0
    web.start()
