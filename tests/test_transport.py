"""The transport against real sockets; rows of the list of faults are named by their number."""

from __future__ import annotations

import gzip
import socket
import ssl
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
import trustme

from room_reports.errors import Configuration, Failure, Permanent, Transient
from room_reports.transport import Response, Transport, parse_retry_after, raise_for_status, redact_url
from tests.transport.peers import Exchange, Peer, answering, reply, requests_on, reset

PATH = "/services/T0/B0/s3cr3t-path"
NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """Every peer and every call has ended when the test has, so that none breaks another one."""
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
        assert not thread.is_alive(), f"left behind: {thread.name}"


@pytest.fixture
def transports() -> Iterator[Callable[..., Transport]]:
    """Makes transports that are closed when the test ends."""
    made: list[Transport] = []

    def make(**options: Any) -> Transport:
        defaults: dict[str, Any] = {
            "allow_private": True,
            "pool_size": 4,
            "connect_timeout": 2,
            "read_timeout": 2,
            "total_timeout": 5,
        }
        made.append(Transport(**defaults | options))
        return made[-1]

    yield make
    for transport in made:
        transport.close()


@pytest.fixture
def transport(transports: Callable[..., Transport]) -> Transport:
    return transports()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return str(path)


def tls_for(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def failure_of(call: Callable[[], object]) -> Failure:
    """The failure that a call ends with, after a look at everything that travels with it."""
    with pytest.raises(Failure) as caught:
        call()
    told = "".join(traceback.format_exception(caught.value))
    error: BaseException | None = caught.value
    while error is not None:
        told += repr(error) + repr(error.args)
        error = error.__cause__ or error.__context__
    assert "s3cr3t" not in told
    return caught.value


def test_get_brings_status_headers_and_body(transport: Transport) -> None:
    with Peer(answering(reply(b'{"a": 1}', headers=["Twilio-Request-Id: RQ1"]))) as peer:
        response = transport.get(peer.url(PATH), auth=("ACuser", "pass:word"), headers={"Accept": "application/json"})
    assert (response.status, response.body) == (200, b'{"a": 1}')
    assert response.headers["twilio-request-id"] == "RQ1"
    lines = peer.requests[0].decode().split("\r\n")
    assert lines[0] == f"GET {PATH} HTTP/1.1"
    assert "Authorization: Basic QUN1c2VyOnBhc3M6d29yZA==" in lines
    assert "Accept: application/json" in lines
    assert "Accept-Encoding: identity" in lines
    assert f"Host: 127.0.0.1:{peer.port}" in lines
    assert sum(line.startswith("User-Agent: room-reports/") for line in lines) == 1


def test_post_sends_the_body_as_it_is(transport: Transport) -> None:
    with Peer(answering(reply(b"ok"))) as peer:
        response = transport.post(peer.url(PATH), b'{"text": "\xc3\xa9"}', headers={"Content-Type": "application/json"})
        transport.post(peer.url(), b"", headers={})
    assert response.body == b"ok"
    head, _, body = peer.requests[0].partition(b"\r\n\r\n")
    assert body == b'{"text": "\xc3\xa9"}'
    assert b"Content-Length: 14" in head
    assert b"Content-Type: application/json" in head
    assert b"chunked" not in head
    assert b"Content-Length: 0" in peer.requests[1]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a socket does not tell")
def test_head_and_body_of_a_post_arrive_in_one_packet(transport: Transport) -> None:
    packets: list[int] = []

    def count(exchange: Exchange) -> None:
        told = exchange.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 160)
        packets.append(int.from_bytes(told[152:156], sys.byteorder))  # tcpi_data_segs_in of <linux/tcp.h>
        exchange.send(reply(b"ok"))

    with Peer(count) as peer:
        for _ in range(2):
            transport.post(peer.url(), b"x" * 2000, headers={})
    assert packets == [1, 2]


def test_any_status_is_a_response(transport: Transport) -> None:
    with Peer(answering(reply(b"no_service", status="404 Not Found"))) as peer:
        response = transport.post(peer.url(), b"x", headers={})
    assert (response.status, response.body) == (404, b"no_service")


def test_connections_are_kept_and_cookies_are_not(transport: Transport) -> None:
    with Peer(answering(reply(b"x", headers=["Set-Cookie: id=1; Path=/"]))) as peer:
        for _ in range(3):
            transport.get(peer.url())
    assert peer.connections == 1
    assert len(peer.requests) == 3
    assert b"cookie" not in peer.requests[2].lower()


def test_a_connection_that_was_idle_too_long_is_not_used_again(transports: Callable[..., Transport]) -> None:
    transport = transports(keep_alive=0)
    with Peer(answering(reply(b"x"))) as peer:
        transport.get(peer.url())
        transport.get(peer.url())
    assert peer.connections == 2


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("/a/b?c=d&e=%2f#fragment", "/a/b?c=d&e=%2f"),
        ("?q=1", "/?q=1"),
        ("", "/"),
        ("//a//b", "/a//b"),
        ("/a b|c", "/a%20b%7Cc"),
        ("/caf\u00e9", "/caf%C3%A9"),
        ("/a@b:c", "/a@b:c"),
    ],
)
def test_target_of_a_request_is_the_url_without_its_host(transport: Transport, written: str, sent: str) -> None:
    with Peer(answering(reply(b"x"))) as peer:
        transport.get(peer.url(written))
    assert peer.requests[0].split(b"\r\n")[0] == f"GET {sent} HTTP/1.1".encode()


def test_more_hosts_than_pools_are_kept_for(transport: Transport) -> None:
    with ExitStack() as stack:
        peers = [stack.enter_context(Peer(answering(reply(b"x")))) for _ in range(12)]
        for _ in range(3):
            for peer in peers:
                assert transport.get(peer.url()).body == b"x"
        assert [len(peer.requests) for peer in peers] == [3] * 12


def test_a_peer_that_answers_without_reading_on_is_heard(transport: Transport) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse_early() -> None:
            sock, _ = listener.accept()
            sock.recv(1000)
            sock.sendall(reply(b"too long", status="413 Content Too Large", headers=["Connection: close"]))
            sock.shutdown(socket.SHUT_WR)
            time.sleep(0.2)
            reset(sock)

        threading.Thread(target=refuse_early, daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}{PATH}"
        assert transport.post(url, b"x" * 50_000_000, headers={}).status == 413


def test_headers_are_a_mapping_that_ignores_case(transport: Transport) -> None:
    with Peer(answering(reply(headers=["X-One: a", "x-one: b", "X-Two: c"]))) as peer:
        headers = transport.get(peer.url()).headers
    assert dict(headers) == {"content-length": "0", "x-one": "a, b", "x-two": "c"}
    assert len(headers) == 3
    assert ("X-ONE" in headers, headers.get("x-three")) == (True, None)


def test_the_environment_is_not_read(transport: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with Peer(answering(reply(b"x"))) as peer:
        assert transport.get(peer.url()).status == 200


def test_many_threads_share_one_transport(transports: Callable[..., Transport]) -> None:
    def echo(exchange: Exchange) -> None:
        exchange.send(reply(exchange.request.split()[1]))

    transport = transports(pool_size=8)
    with Peer(echo) as peer, ThreadPoolExecutor(8) as pool:
        bodies = list(pool.map(lambda n: transport.get(peer.url(f"/{n}")).body, range(200)))
    assert bodies == [f"/{n}".encode() for n in range(200)]
    assert peer.connections <= 8


def test_close_closes_the_kept_connections(transport: Transport) -> None:
    ended = threading.Event()

    def handler(exchange: Exchange) -> None:
        exchange.send(reply(b"x"))
        if exchange.sock.recv(1) == b"":
            ended.set()

    with Peer(handler) as peer:
        transport.get(peer.url())
        transport.close()
        assert ended.wait(5)


def close_without_answering_a_second_request(exchange: Exchange) -> None:
    if exchange.number == 0:
        exchange.send(reply(b"x"))
    else:
        exchange.sock.shutdown(socket.SHUT_RDWR)


def test_a_get_is_repeated_when_a_kept_connection_turns_out_to_be_closed(transport: Transport) -> None:
    with Peer(close_without_answering_a_second_request) as peer:
        transport.get(peer.url("/1"))
        assert transport.get(peer.url("/2")).status == 200
    assert [request.split()[1] for request in peer.requests] == [b"/1", b"/2", b"/2"]
    assert peer.connections == 2


def test_a_post_is_not_repeated_for_it_may_have_been_acted_on(transport: Transport) -> None:
    with Peer(close_without_answering_a_second_request) as peer:
        transport.post(peer.url("/1"), b"x", headers={})
        failure = failure_of(lambda: transport.post(peer.url(PATH), b"x", headers={}))
    assert isinstance(failure, Transient)
    assert failure.reason == "connection"
    assert len(peer.requests) == 2


def test_a_get_is_not_repeated_on_a_new_connection(transport: Transport) -> None:
    with Peer(lambda exchange: exchange.sock.shutdown(socket.SHUT_RDWR)) as peer:
        assert failure_of(lambda: transport.get(peer.url(PATH))).reason == "connection"
    assert len(peer.requests) == 1


def test_a_connection_that_the_peer_has_closed_is_noticed_before_a_post(transport: Transport) -> None:
    closed = threading.Event()

    def handler(exchange: Exchange) -> None:
        exchange.send(reply(b"x"))
        exchange.sock.shutdown(socket.SHUT_RDWR)
        closed.set()

    with Peer(handler) as peer:
        transport.post(peer.url(), b"1", headers={})
        assert closed.wait(5)
        assert transport.post(peer.url(), b"2", headers={}).status == 200


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("120", 120.0),
        ("0", 1.0),
        ("1.5", 1.0),
        ("99999", 3600.0),
        (" 7 ", 7.0),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90.0),
        (format_datetime(NOW + timedelta(days=9), usegmt=True), 3600.0),
        (format_datetime(NOW - timedelta(days=9), usegmt=True), 1.0),
        ("Mon, 23 Nov 2026 12:01:00", 60.0),
        ("9" * 5000, 3600.0),
        ("0" * 5000 + "9", 9.0),
        (None, None),
        ("", None),
        ("-5", None),
        ("abc", None),
        ("1e3", None),
        ("١٢", None),
        ("Mon, 99 Nov 2026 12:01:00 GMT", None),
        ("Mon, 23 Nov 99999999999 12:01:00 GMT", None),
        ("Mon, 23 Nov 2026 12:01:00 +99999999", None),
        (", " * 30, None),
        ("x" * 60000, None),
    ],
)
def test_c55_retry_after_in_every_form(value: str | None, expected: float | None) -> None:
    assert parse_retry_after(value, now=NOW) == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (["Retry-After: 30"], 30.0),
        (["Date: Mon, 23 Nov 2020 12:00:00 GMT", "Retry-After: Mon, 23 Nov 2020 12:01:30 GMT"], 90.0),
        (["Retry-After: Mon, 23 Nov 2020 12:01:30 GMT"], 1.0),
        ([], None),
        (["Retry-After: -5"], None),
        (["Retry-After: abc"], None),
        (["Retry-After: " + "9" * 5000], 3600.0),
        (["Retry-After: 30", "Retry-After: 60"], None),
    ],
    ids=["seconds", "date", "past", "none", "negative", "letters", "5000 digits", "twice"],
)
def test_c55_429_is_transient_with_what_it_asks_for(
    transport: Transport, headers: list[str], expected: float | None
) -> None:
    with Peer(answering(reply(status="429 Too Many Requests", headers=headers))) as peer:
        failure = failure_of(lambda: raise_for_status(transport.get(peer.url())))
    assert isinstance(failure, Transient)
    assert (failure.reason, failure.retry_after) == ("rate_limited", expected)


@pytest.mark.parametrize("status", [500, 502, 503, 504, 599])
def test_c56_server_errors_are_transient(transport: Transport, status: int) -> None:
    with Peer(answering(reply(status=f"{status} Oops", headers=["Retry-After: 2"]))) as peer:
        failure = failure_of(lambda: raise_for_status(transport.get(peer.url())))
    assert isinstance(failure, Transient)
    assert (failure.reason, failure.retry_after) == ("server_error", 2.0)


def test_c56_connection_reset(transport: Transport) -> None:
    with Peer(lambda exchange: exchange.reset()) as peer:
        assert failure_of(lambda: transport.get(peer.url(PATH))).reason == "connection"


def test_c56_connection_reset_in_the_body(transport: Transport) -> None:
    def handler(exchange: Exchange) -> None:
        exchange.drip([reply(b"x" * 1000)[:-500]], pause=0.1)
        exchange.reset()

    with Peer(handler) as peer:
        assert failure_of(lambda: transport.get(peer.url(PATH))).reason == "connection"


def test_c56_connection_refused(transport: Transport) -> None:
    with Peer(answering(reply())) as peer:
        url = peer.url(PATH)
    failure = failure_of(lambda: transport.get(url))
    assert (failure.reason, failure.detail) == ("connection", "127.0.0.1: Connection refused")


def test_c56_an_answer_that_is_not_http(transport: Transport) -> None:
    with Peer(lambda exchange: exchange.send(b"220 mail.example ESMTP\r\n\r\n")) as peer:
        assert failure_of(lambda: transport.get(peer.url(PATH))).reason == "connection"


def test_c56_read_timeout(transports: Callable[..., Transport]) -> None:
    with Peer(lambda exchange: exchange.drip([b"", reply(b"late")], pause=1)) as peer:
        failure = failure_of(lambda: transports(read_timeout=0.2).get(peer.url(PATH)))
    assert isinstance(failure, Transient)
    assert (failure.reason, failure.detail) == ("timeout", "127.0.0.1 did not answer in time")


def test_c56_dns_failure(transport: Transport) -> None:
    failure = failure_of(lambda: transport.get(f"http://nowhere.invalid{PATH}"))
    assert isinstance(failure, Transient)
    assert (failure.reason, failure.detail) == ("dns", "cannot resolve nowhere.invalid")
    assert failure_of(lambda: transport.get(f"http://{'a' * 64}.example{PATH}")).reason == "dns"


@contextmanager
def black_hole(address: tuple[str, int]) -> Iterator[int]:
    """A port that takes no more connections and refuses none: its queue is full. Yields the port."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(address, backlog=0))
        for _ in range(3):
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
        yield int(listener.getsockname()[1])


def test_c56_connect_timeout(transports: Callable[..., Transport]) -> None:
    with black_hole(("127.0.0.1", 0)) as port:
        failure = failure_of(lambda: transports(connect_timeout=0.2).get(f"http://127.0.0.1:{port}{PATH}"))
    assert failure.reason == "timeout"


def test_c57_a_trusted_certificate_is_accepted(
    transports: Callable[..., Transport], authority: trustme.CA, ca_file: str
) -> None:
    with Peer(answering(reply(b"x" * 40000)), tls=tls_for(authority.issue_cert("localhost"))) as peer:
        transport = transports(ca_file=ca_file)
        assert transport.get(peer.url(host="localhost")).body == b"x" * 40000
        assert transport.post(peer.url(host="localhost"), b"y" * 100_000, headers={}).status == 200
    assert peer.connections == 1


@pytest.mark.parametrize(
    ("names", "expired", "trusted", "detail"),
    [
        (["localhost"], True, True, "the certificate of localhost is refused: certificate has expired"),
        (["other.example"], False, True, "the certificate of localhost is refused: Hostname mismatch"),
        (["localhost"], False, False, "the certificate of localhost is refused: unable to get local issuer"),
    ],
    ids=["expired", "wrong host", "unknown authority"],
)
def test_c57_a_bad_certificate_is_refused_by_name(
    transports: Callable[..., Transport],
    authority: trustme.CA,
    ca_file: str,
    names: list[str],
    expired: bool,
    trusted: bool,
    detail: str,
) -> None:
    certificate = authority.issue_cert(*names, not_after=datetime(2020, 1, 1, tzinfo=UTC) if expired else None)
    transport = transports(ca_file=ca_file if trusted else None)
    with Peer(answering(reply()), tls=tls_for(certificate)) as peer:
        failure = failure_of(lambda: transport.get(peer.url(PATH, host="localhost"), auth=("user", "password")))
    assert isinstance(failure, Transient)
    assert failure.reason == "tls"
    assert failure.detail.startswith(detail)
    assert peer.requests == []


def test_c57_a_self_signed_certificate_is_refused(transport: Transport, authority: trustme.CA) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with authority.cert_pem.tempfile() as certificate, authority.private_key_pem.tempfile() as key:
        context.load_cert_chain(certificate, key)
    with Peer(answering(reply()), tls=context) as peer:
        failure = failure_of(lambda: transport.get(peer.url(PATH, host="localhost")))
    assert failure.reason == "tls"
    assert "self-signed" in failure.detail
    assert peer.requests == []


def test_c57_no_tls_where_it_is_promised(transport: Transport) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer_in_plain_text() -> None:
            sock, _ = listener.accept()
            with sock:
                sock.recv(65536)
                sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=answer_in_plain_text, daemon=True).start()
        failure = failure_of(lambda: transport.get(f"https://127.0.0.1:{listener.getsockname()[1]}{PATH}"))
    assert failure.reason == "tls"


def test_c57_a_handshake_that_takes_too_long(transports: Callable[..., Transport]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:

        def say_nothing() -> None:
            sock, _ = silent.accept()
            with sock:
                while sock.recv(65536):
                    pass

        threading.Thread(target=say_nothing, daemon=True).start()
        url = f"https://127.0.0.1:{silent.getsockname()[1]}{PATH}"
        assert failure_of(lambda: transports(connect_timeout=0.2).get(url)).reason == "timeout"


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
def test_c58_a_redirect_is_not_followed_and_gets_no_credentials(transport: Transport, status: str) -> None:
    with Peer(answering(reply(b"x"))) as other:
        for location in (other.url("/credentials"), "http://169.254.169.254/latest/meta-data/"):
            with Peer(answering(reply(status=status, headers=[f"Location: {location}"]))) as peer:
                fetched = transport.get(peer.url(), auth=("user", "password"))
                posted = transport.post(peer.url(), b"x", headers={})
            for response in (fetched, posted):
                with pytest.raises(Permanent, match="redirect"):
                    raise_for_status(response)
    assert other.connections == 0


def test_c60_a_body_of_100_mb_is_not_read(transport: Transport) -> None:
    sent = 0

    def handler(exchange: Exchange) -> None:
        nonlocal sent
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        for _ in range(1000):
            exchange.send(b"x" * 100_000)
            sent += 100_000

    with Peer(handler) as peer:
        failure = failure_of(lambda: transport.get(peer.url(PATH)))
    assert isinstance(failure, Transient)
    assert failure.reason == "too_large"
    assert sent < 100_000_000


@pytest.mark.parametrize(
    "head", [b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n"], ids=["chunked", "close"]
)
def test_c60_a_body_without_end_is_cut_at_the_limit(transport: Transport, head: bytes) -> None:
    def handler(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\n", head, b"\r\n")
        while True:
            exchange.send(b"8000\r\n" + b"x" * 0x8000 + b"\r\n")

    with Peer(handler) as peer:
        assert failure_of(lambda: transport.get(peer.url(PATH))).reason == "too_large"


@pytest.mark.parametrize("chunked", [False, True])
def test_c60_the_limit_is_exact(transports: Callable[..., Transport], chunked: bool) -> None:
    def handler(exchange: Exchange) -> None:
        body = b"x" * int(exchange.request.split()[1][1:])
        if chunked:
            parts = [b"%x\r\n%b\r\n" % (len(body[at : at + 7]), body[at : at + 7]) for at in range(0, len(body), 7)]
            exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", *parts, b"0\r\n\r\n")
        else:
            exchange.send(reply(body))

    transport = transports(max_bytes=1000)
    with Peer(handler) as peer:
        assert transport.get(peer.url("/1000")).body == b"x" * 1000
        assert failure_of(lambda: transport.get(peer.url("/1001"))).reason == "too_large"


def test_c60_a_compressed_bomb_is_cut_at_the_limit(transport: Transport) -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    with Peer(answering(reply(bomb, headers=["Content-Encoding: gzip"]))) as peer:
        assert failure_of(lambda: transport.get(peer.url(PATH))).reason == "too_large"


def test_a_compressed_body_is_unpacked(transport: Transport) -> None:
    body = b"report " * 10_000
    with Peer(answering(reply(gzip.compress(body), headers=["Content-Encoding: gzip"]))) as peer:
        assert transport.get(peer.url()).body == body


# Each of these drips for three seconds and would then be a good reply; the limit on the whole is half a second, the
# limit on a silence never reached.
DRIPS: dict[str, tuple[bytes, bytes]] = {
    "status line": (b"", b"HTTP/1.1 200 OK".ljust(30) + b"\r\nContent-Length: 0\r\n\r\n"),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"Content-Length: 0\r\n" + b"A: b\r\n" * 5 + b"\r\n"),
    "body": (b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n", b"x" * 30),
    "body till close": (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", b"x" * 30),
    "chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 5 + b"0\r\n\r\n"),
}


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("kind", DRIPS)
def test_c60_a_reply_that_drips_ends_with_the_total_limit(
    transports: Callable[..., Transport], authority: trustme.CA, ca_file: str, kind: str, secure: bool
) -> None:
    def handler(exchange: Exchange) -> None:
        at_once, slowly = DRIPS[kind]
        exchange.send(at_once)
        exchange.drip((bytes([byte]) for byte in slowly), pause=3 / len(slowly))
        exchange.sock.shutdown(socket.SHUT_RDWR)

    tls = tls_for(authority.issue_cert("localhost")) if secure else None
    transport = transports(read_timeout=2, total_timeout=0.5, connect_timeout=0.5, ca_file=ca_file)
    with Peer(handler, tls=tls) as peer:
        failure = failure_of(lambda: transport.get(peer.url(PATH, host="localhost")))
    assert isinstance(failure, Transient)
    assert failure.reason == "timeout"


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_a_peer_that_reads_slowly_ends_with_the_total_limit(
    transports: Callable[..., Transport], authority: trustme.CA, ca_file: str, secure: bool
) -> None:
    context = tls_for(authority.issue_cert("localhost")) if secure else None
    received = 0
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def read_slowly() -> None:
            nonlocal received
            sock, _ = listener.accept()
            with suppress(OSError), context.wrap_socket(sock, server_side=True) if context else sock as accepted:
                accepted.recv(65536)
                accepted.sendall(reply(b"x"))
                while chunk := accepted.recv(65536):
                    received += len(chunk)
                    time.sleep(0.005)

        reader = threading.Thread(target=read_slowly)
        reader.start()
        transport = transports(total_timeout=0.5, connect_timeout=5, read_timeout=5, ca_file=ca_file)
        url = f"{'https' if secure else 'http'}://localhost:{listener.getsockname()[1]}{PATH}"
        transport.get(url)
        failure = failure_of(lambda: transport.post(url, b"x" * 30_000_000, headers={}))
        reader.join()
    assert failure.reason == "timeout"
    assert received < 30_000_000


def test_the_total_limit_holds_on_a_kept_connection_too(transports: Callable[..., Transport]) -> None:
    def handler(exchange: Exchange) -> None:
        if exchange.number == 0:
            exchange.send(reply(b"x"))
        else:
            exchange.drip((bytes([byte]) for byte in reply(b"x")), pause=0.08)

    transport = transports(read_timeout=2, total_timeout=0.5)
    with Peer(handler) as peer:
        assert transport.get(peer.url()).status == 200
        assert failure_of(lambda: transport.get(peer.url(PATH))).reason == "timeout"


@pytest.mark.parametrize(
    "cut",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b"x" * 50,
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nxx",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nxx\r\n",
        reply(b"no gzip at all", headers=["Content-Encoding: gzip"]),
    ],
    ids=["half", "no body", "half a chunk", "no chunk size", "damaged"],
)
def test_c60_a_body_that_is_cut_off_is_no_reply(transport: Transport, cut: bytes) -> None:
    def handler(exchange: Exchange) -> None:
        exchange.send(cut)
        exchange.sock.shutdown(socket.SHUT_RDWR)

    with Peer(handler) as peer:
        failure = failure_of(lambda: transport.get(peer.url(PATH)))
    assert isinstance(failure, Transient)
    assert failure.reason == "truncated"


def test_a_connection_with_a_broken_reply_is_not_used_again(transports: Callable[..., Transport]) -> None:
    transport = transports(max_bytes=10)
    with Peer(answering(reply(b"x" * 11), reply(b"y"))) as peer:
        failure_of(lambda: transport.get(peer.url()))
        failure_of(lambda: transport.get(peer.url()))
    assert peer.connections == 2


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "127.1", "2130706433", "0.0.0.0"],  # noqa: S104  # connected to
)
def test_a_private_address_is_refused_before_a_byte_is_sent(
    transports: Callable[..., Transport], host: str, scheme: str
) -> None:
    with Peer(answering(reply(b"x"))) as peer:
        url = peer.url(PATH, host=host)
        assert transports().get(url).status == 200
        guarded = transports(allow_private=False)
        failure = failure_of(lambda: guarded.get(url.replace("http", scheme, 1)))
    assert isinstance(failure, Configuration)
    assert (failure.reason, failure.heals) == ("private_address", True)
    assert peer.connections == 1


def test_the_ipv6_loopback_is_refused(transports: Callable[..., Transport]) -> None:
    try:
        peer = Peer(answering(reply(b"x")), family=socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 here")
    with peer:
        assert transports().get(peer.url(host="[::1]")).status == 200
        assert (
            failure_of(lambda: transports(allow_private=False).get(peer.url(host="[::1]"))).reason == "private_address"
        )
    assert peer.connections == 1


Found = list[tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[str, int]]]


def resolving_to(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Have the C library's resolver give these answers in turn; returns the names it was asked for."""
    asked: list[str] = []

    def getaddrinfo(host: str, port: int, *_: object, **__: object) -> Found:
        asked.append(host)
        addresses = answers[min(len(asked), len(answers)) - 1]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


def test_one_private_address_among_public_ones_is_enough_to_refuse(
    transports: Callable[..., Transport], monkeypatch: pytest.MonkeyPatch
) -> None:
    resolving_to(monkeypatch, ["192.88.99.1", "127.0.0.1"])
    with Peer(answering(reply(b"x"))) as peer:
        failure = failure_of(lambda: transports(allow_private=False).get(peer.url(host="rebind.example")))
    assert failure.reason == "private_address"
    assert peer.connections == 0


def test_a_name_that_changes_its_address_after_the_check_gains_nothing(
    transports: Callable[..., Transport], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = resolving_to(monkeypatch, ["192.88.99.1"], ["127.0.0.1"])  # an address of a retired service: nobody there
    transport = transports(allow_private=False, connect_timeout=0.2)
    with Peer(answering(reply(b"x"))) as peer:
        assert failure_of(lambda: transport.get(peer.url(host="rebind.example"))).reason in ("timeout", "connection")
    assert asked == ["rebind.example"]
    assert peer.connections == 0


def test_every_address_of_a_host_is_tried(transport: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    resolving_to(monkeypatch, ["127.0.0.2", "127.0.0.1"])
    with Peer(answering(reply(b"x"))) as peer:
        assert transport.get(peer.url(host="two.example")).status == 200


def test_an_address_that_is_a_black_hole_leaves_time_for_the_next(
    transports: Callable[..., Transport], monkeypatch: pytest.MonkeyPatch
) -> None:
    resolving_to(monkeypatch, ["127.0.0.2", "127.0.0.1"])
    with Peer(answering(reply(b"x"))) as peer, black_hole(("127.0.0.2", peer.port)):
        assert transports(connect_timeout=1).get(peer.url(host="two.example")).status == 200


def test_an_http_url_goes_through_its_proxy(transports: Callable[..., Transport]) -> None:
    with Peer(answering(reply(b"from the proxy"))) as proxy:
        address = proxy.url("", host="user:pw@127.0.0.1")
        transport = transports(allow_private=False, proxies={"http": address})
        assert transport.get("http://destination.invalid/a?b").body == b"from the proxy"
    lines = proxy.requests[0].decode().split("\r\n")
    assert lines[0] == "GET http://destination.invalid/a?b HTTP/1.1"
    assert "Proxy-Authorization: Basic dXNlcjpwdw==" in lines


def test_an_https_url_goes_through_a_tunnel(
    transports: Callable[..., Transport], authority: trustme.CA, ca_file: str
) -> None:
    tls = tls_for(authority.issue_cert("destination.invalid"))
    inside: list[bytes] = []

    def tunnel(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with tls.wrap_socket(exchange.sock, server_side=True) as sock:
            for request in requests_on(sock):
                inside.append(request)
                sock.sendall(reply(b"through"))

    with Peer(tunnel) as proxy:
        transport = transports(allow_private=False, proxies={"https": proxy.url("")}, ca_file=ca_file)
        for _ in range(2):
            assert transport.get(f"https://destination.invalid{PATH}", auth=("u", "p")).body == b"through"
    assert proxy.requests[0].startswith(b"CONNECT destination.invalid:443 ")
    assert b"Authorization" not in proxy.requests[0]
    assert len(inside) == 2
    assert inside[0].startswith(f"GET {PATH} HTTP/1.1\r\n".encode())


def test_a_proxy_that_refuses_is_named(transports: Callable[..., Transport]) -> None:
    with Peer(answering(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")) as proxy:
        transport = transports(proxies={"https": proxy.url("")})
        failure = failure_of(lambda: transport.get(f"https://destination.invalid{PATH}"))
    assert (failure.reason, failure.detail) == (
        "connection",
        "the proxy refuses to connect to destination.invalid (407)",
    )


def test_the_total_limit_holds_through_a_proxy(transports: Callable[..., Transport]) -> None:
    with Peer(lambda exchange: exchange.drip((bytes([byte]) for byte in reply(b"x")), pause=0.08)) as proxy:
        transport = transports(proxies={"http": proxy.url("")}, read_timeout=2, total_timeout=0.5)
        assert failure_of(lambda: transport.get(f"http://destination.invalid{PATH}")).reason == "timeout"


@pytest.mark.parametrize(
    ("url_host", "no_proxy", "direct"),
    [
        ("127.0.0.1", "", True),
        ("localhost", "", True),
        ("direct.invalid", "", False),
        ("direct.invalid", "other.invalid, direct.invalid", True),
        ("a.direct.invalid", "direct.invalid", True),
        ("a.direct.invalid", ".direct.invalid", True),
        ("a.direct.invalid", "*.direct.invalid", True),
        ("notdirect.invalid", "direct.invalid", False),
        ("DIRECT.invalid", "direct.INVALID", True),
        ("direct.invalid", "*", True),
        ("192.88.99.1", "192.88.99.0/24", True),
        ("192.88.99.1", "192.88.99.1", True),
        ("192.88.99.1", "192.88.98.0/24,nonsense", False),
    ],
)
def test_no_proxy_names_what_is_reached_directly(
    transports: Callable[..., Transport], url_host: str, no_proxy: str, direct: bool
) -> None:
    with Peer(answering(reply(b"from the proxy"))) as proxy, Peer(answering(reply(b"direct"))) as peer:
        transport = transports(proxies={"http": proxy.url(""), "no_proxy": no_proxy}, connect_timeout=0.2)
        try:
            came_from_proxy = transport.get(peer.url(host=url_host)).body == b"from the proxy"
        except Transient:
            came_from_proxy = False  # a name that only the proxy could resolve, an address where nobody is
    assert came_from_proxy is not direct


@pytest.mark.parametrize(
    ("status", "kind", "reason"),
    [
        (301, Permanent, "redirect"),
        (304, Permanent, "redirect"),
        (400, Permanent, "rejected"),
        (401, Permanent, "rejected"),
        (404, Permanent, "rejected"),
        (408, Transient, "timeout"),
        (422, Permanent, "rejected"),
        (425, Transient, "rate_limited"),
        (429, Transient, "rate_limited"),
        (500, Transient, "server_error"),
    ],
)
def test_what_a_status_means(status: int, kind: type[Failure], reason: str) -> None:
    failure = failure_of(lambda: raise_for_status(Response(status, {}, PATH.encode())))
    assert type(failure) is kind
    assert (failure.reason, failure.detail) == (reason, f"answered {status}")


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_2xx_is_success(status: int) -> None:
    raise_for_status(Response(status, {}, b""))


@pytest.mark.parametrize(
    ("status", "reason"), [(401, "unauthorized"), (403, "unauthorized"), (404, "gone"), (410, "gone")]
)
def test_a_status_that_holds_the_other_side(status: int, reason: str) -> None:
    response = Response(status, {}, b"")
    held = failure_of(lambda: raise_for_status(response, holds={status}))
    heals = failure_of(lambda: raise_for_status(response, heals={status}))
    assert isinstance(held, Configuration)
    assert isinstance(heals, Configuration)
    assert (held.reason, held.heals, heals.reason, heals.heals) == (reason, False, reason, True)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://hooks.slack.com/services/T0/B0/x", "https://hooks.slack.com/…"),
        ("http://user:pw@receiver.example:8080/a?key=x#y", "http://receiver.example:8080/…"),
        ("https://[::1]:9/x", "https://[::1]:9/…"),
        ("https://host:port/x", "…"),
        ("https://[/x", "…"),
        ("no url", "…"),
        ("", "…"),
    ],
)
def test_redact_url_keeps_scheme_and_host(url: str, expected: str) -> None:
    assert redact_url(url) == expected
