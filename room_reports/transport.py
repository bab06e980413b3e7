"""The one seam for HTTP out: whatever goes wrong beyond it arrives here as one of `room_reports.errors`.

What it promises for every request:

- **It ends.** `connect_timeout` bounds DNS, connecting and the TLS handshake each, `read_timeout` every silence,
  `total_timeout` the whole. Reading from a socket only knows silences, and a reply that drips a byte a second is never
  silent; so the sockets here cut every wait to what is left of the total, in headers and body alike.
- **It is bounded.** At most `max_bytes` of body, counted after decompression.
- **It goes where it was sent.** Redirects are not followed, certificates always verified, cookies never kept, and the
  environment is not read. A host is resolved once and the address that was checked is the one connected to, so a name
  cannot be public for the check and private for the connection. Behind a proxy it is the proxy that resolves and
  connects; there, only the check at start remains (`room_reports.addresses`).
- **It is not repeated**, but for a GET on a kept connection that the other side has just closed. The same could be done
  for a POST only if the other side were known not to have acted on it.
- **It tells nothing.** Errors name the host and never the path, which may be a secret.

Requests are handed to an adapter of requests rather than its session, and the adapter hands them to connections of
urllib3 rather than its pool's `urlopen`: three quarters of the CPU of a small exchange would go into settings, cookies,
redirects and retries that are all off here. What writes a request and reads a reply is `http.client`, as ever.
"""

from __future__ import annotations

import base64
import email.utils
import http.client
import ipaddress
import math
import re
import socket
import ssl
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPException, HTTPMessage, HTTPResponse, IncompleteRead
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util import Timeout, parse_url

from room_reports import __version__
from room_reports.addresses import is_public, resolve
from room_reports.errors import Configuration, Failure, Permanent, Transient

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer
    from requests.structures import CaseInsensitiveDict

LONGEST_RETRY_AFTER = 3600.0

_SHORT_BODY = 65_536

_HEADERS = {
    "User-Agent": f"room-reports/{__version__}",
    "Accept": "*/*",
    # Reports and summaries fit a few packets; unpacking them would cost more than it saves.
    "Accept-Encoding": "identity",
}


@dataclass(frozen=True)
class Response:
    """A complete reply of any status. `headers` ignores case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Transport:
    """HTTP requests over kept connections, from any number of threads.

    Times are in seconds. `pool_size`: connections kept per host, as many as there are threads. `proxies`: as
    `Settings.proxies`. `ca_file`: PEM file of authorities to trust beside the public ones. `keep_alive`: how long an
    idle connection is kept; network gear forgets idle connections without telling, after minutes.
    """

    def __init__(
        self,
        *,
        allow_private: bool,
        pool_size: int,
        connect_timeout: float,
        read_timeout: float,
        total_timeout: float,
        max_bytes: int = 1_000_000,
        proxies: Mapping[str, str] | None = None,
        ca_file: str | None = None,
        keep_alive: float = 60.0,
    ) -> None:
        self._allow_private = allow_private
        self._keep_alive = keep_alive
        self._total_timeout = total_timeout
        self._connect_timeout = connect_timeout
        self._timeout = Timeout(connect=connect_timeout, read=read_timeout)
        self._max_bytes = max_bytes
        self._proxies = _Proxies(proxies or {})
        self._adapter = _Adapter(_tls_context(ca_file), pool_size)

    def get(
        self, url: str, *, auth: tuple[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> Response:
        """Fetch a URL, with basic auth if given. Raises `Transient` or `Configuration`."""
        sent = {**(headers or {})}
        if auth is not None:
            sent["Authorization"] = "Basic " + base64.b64encode(":".join(auth).encode()).decode()
        deadline = time.monotonic() + self._total_timeout
        try:
            return self._exchange("GET", url, None, sent, deadline)
        except _Stale:
            return self._exchange("GET", url, None, sent, deadline)

    def post(self, url: str, body: bytes, *, headers: Mapping[str, str], keep_body: bool = True) -> Response:
        """Send a body. Raises `Transient` or `Configuration`; the other side may have acted on it all the same.

        Without `keep_body` the reply is its status: its body is empty here, and nothing in it makes an error.
        """
        sent = {**headers, "Content-Length": str(len(body))}
        return self._exchange("POST", url, body, sent, time.monotonic() + self._total_timeout, keep_body=keep_body)

    def close(self) -> None:
        """Close the kept connections; a later request would open new ones."""
        self._adapter.close()

    def _exchange(
        self,
        method: str,
        url: str,
        body: bytes | None,
        headers: dict[str, str],
        deadline: float,
        *,
        keep_body: bool = True,
    ) -> Response:
        request = requests.PreparedRequest()
        request.method, request.url, request.body = method, url, body
        # The adapter asks no more of it than that it is a mapping, and only reads it.
        request.headers = cast("CaseInsensitiveDict[str]", _HEADERS | headers)
        _current.limits = _Limits(deadline, self._connect_timeout, self._keep_alive, self._allow_private)
        try:
            reply = self._adapter.exchange(request, self._timeout, self._proxies.of(url))
            return self._read(reply) if keep_body else _status_alone(reply)
        except Failure:
            raise
        except (requests.RequestException, urllib3.exceptions.HTTPError, HTTPException, OSError, ValueError) as error:
            failure = _classify(error, urlsplit(url).hostname or "the host")
        # Outside of the except clause: the error's own text holds the URL and must not travel as the cause.
        raise failure

    def _read(self, reply: _Reply) -> Response:
        """The rest of a reply whose headers are there; its connection is kept only if it is complete."""
        response = reply.response
        source = _decoding(response) if "Content-Encoding" in response.headers else response
        body = b""
        complete = False
        try:
            while (response.length or 0) <= self._max_bytes and len(body) <= self._max_bytes:
                chunk = source.read(self._max_bytes + 1 - len(body))
                body = body + chunk if body else chunk
                if not chunk and response.length:
                    raise IncompleteRead(body, response.length)
                if not chunk or (source is response and response.length == 0):
                    complete = len(body) <= self._max_bytes
                    break
        finally:
            reply.end(complete=complete)
        if not complete:
            raise Transient("too_large", f"the reply is longer than {self._max_bytes} bytes")
        return Response(response.status, _Headers(response.headers), body)


def _decoding(response: HTTPResponse) -> urllib3.HTTPResponse:
    """What reads a reply that is compressed although nobody asked for it."""
    headers = urllib3.HTTPHeaderDict(response.getheaders())
    return urllib3.HTTPResponse(response, headers, response.status, preload_content=False)


def _status_alone(reply: _Reply) -> Response:
    """A reply whose body does not matter. A short one is read, so that the connection can be used again."""
    response = reply.response
    short = response.length is not None and response.length <= _SHORT_BODY
    try:
        if short:
            response.read()
    except (HTTPException, OSError):
        short = False
    reply.end(complete=short)
    return Response(response.status, _Headers(response.headers), b"")


class _Headers(Mapping[str, str]):
    """The headers of a reply. One that came more than once is all of its values, with commas between."""

    def __init__(self, message: HTTPMessage) -> None:
        self._message = message

    def __getitem__(self, name: str) -> str:
        values = self._message.get_all(name)
        if values is None:
            raise KeyError(name)
        return ", ".join(values)

    def __iter__(self) -> Iterator[str]:
        return iter({name.lower() for name in self._message})

    def __len__(self) -> int:
        return sum(1 for _ in self)


@dataclass(slots=True)
class _Limits:
    """What the request that a thread is making may do. `deadline`: of the monotonic clock."""

    deadline: float
    connect_timeout: float
    keep_alive: float
    allow_private: bool


class _Current(threading.local):
    # urllib3 has no way to hand values down to a connection, and a request never leaves its thread.
    limits = _Limits(deadline=math.inf, connect_timeout=0, keep_alive=0, allow_private=False)


_current = _Current()


class _Stale(Transient):
    """A connection that was kept turned out to be closed before the reply began."""


class _Adapter(HTTPAdapter):
    """requests' adapter over our connections, without its cookies and without its own loading of certificates."""

    def __init__(self, tls: ssl.SSLContext, pool_size: int) -> None:
        self._tls = tls
        self._pools: dict[tuple[str, bool], _Pool] = {}
        super().__init__(pool_maxsize=pool_size)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **pool_kwargs: Any) -> None:
        super().init_poolmanager(connections, maxsize, block, ssl_context=self._tls, **pool_kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **proxy_kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, ssl_context=self._tls, **proxy_kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager

    def exchange(self, request: requests.PreparedRequest, timeout: Timeout, proxies: dict[str, str]) -> _Reply:
        """Sends a request and reads the reply's headers. Raises errors of requests or of what is below it."""
        reply: Any = self.send(request, stream=True, timeout=cast(Any, timeout), verify=True, proxies=proxies)
        assert isinstance(reply, _Reply)
        return reply

    def get_connection_with_tls_context(
        self, request: requests.PreparedRequest, verify: Any, proxies: Any = None, cert: Any = None
    ) -> Any:
        """The pool for a request: looked for once for every origin."""
        origin = _ORIGIN.match(request.url or "")
        key = (origin[0] if origin else "", bool(proxies))
        pool = self._pools.get(key)
        if pool is None:
            found: Any = super().get_connection_with_tls_context(request, verify, proxies, cert)
            pool = self._pools[key] = found
        return pool

    def request_url(self, request: requests.PreparedRequest, proxies: Any) -> str:
        """What stands in the request line."""
        if proxies and not (absolute := super().request_url(request, proxies)).startswith("/"):
            return parse_url(absolute).url
        target = _ORIGIN.sub("", request.url or "", count=1).partition("#")[0]
        # Two slashes at the start could be taken for the start of a host.
        return target if _TARGET.fullmatch(target) else parse_url(f"http://host/{target.lstrip('/')}").request_uri

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Nothing to do: `_tls_context` verifies. The original has every connection parse the authorities anew."""

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> Any:
        """The reply as it is: without cookies, history and a guess at its encoding."""
        return resp

    def close(self) -> None:
        super().close()
        self._pools.clear()


_ORIGIN = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://[^/?#\\]+")
# What needs no encoding.
_TARGET = re.compile(r"/(?!/)[A-Za-z0-9._~!$&'()*+,;=:@/?%\-]*")


def _tls_context(ca_file: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=DEFAULT_CA_BUNDLE_PATH)
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    context.sslsocket_class = _TlsSocket
    return context


class _Socket(socket.socket):
    """A socket none of whose waits outlasts the deadline of the request.

    These two are all that `http.client` uses, and the timeout of the second is already one for the whole body.
    """

    def recv_into(self, buffer: WriteableBuffer, nbytes: int | None = None, flags: int = 0) -> int:
        self._cut_wait()
        return super().recv_into(buffer, nbytes or 0, flags)

    def sendall(self, data: ReadableBuffer, flags: int = 0) -> None:
        self._cut_wait()
        super().sendall(data, flags)

    def _cut_wait(self) -> None:
        left = _current.limits.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        timeout = self.gettimeout()
        if timeout is None or timeout > left:
            self.settimeout(left)


class _TlsSocket(_Socket, ssl.SSLSocket):
    """The same with TLS: the handshake's own limit is the timeout that the connected socket was given."""


class _Connection(HTTPConnection):
    """A connection to an address that was checked. Its proxy, if it has one, is the operator's choice."""

    _replies = 0
    _used = 0.0

    def _new_conn(self) -> socket.socket:
        limits = _current.limits
        self._replies = 0
        addresses = resolve(self._dns_host, self.port, timeout=_left(limits))
        if self.proxy is None and not limits.allow_private:
            for _, address in addresses:
                if not is_public(address[0]):
                    raise Configuration("private_address", f"{self.host} leads to a private address", heals=True)
        failure = Transient("dns", f"no address for {self.host}")
        give_up = time.monotonic() + _left(limits)
        for position, (family, address) in enumerate(addresses):
            # Each address gets its share, or a first one that is a black hole would use up the time of the others.
            share = max((give_up - time.monotonic()) / (len(addresses) - position), 0.001)
            sock = _Socket(family, socket.SOCK_STREAM)
            try:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.settimeout(share)
                sock.connect(address)
            except OSError as error:
                sock.close()
                failure = _classify(error, self.host)
            else:
                sock.settimeout(_left(limits))
                return sock
        raise failure

    def exchange(
        self, method: str, target: str, body: bytes | None, headers: Mapping[str, str], read_timeout: float | None
    ) -> HTTPResponse:
        """Sends a request and reads the reply's headers, connecting first where it has to."""
        if self.sock is None:
            self.connect()
        self.sock.settimeout(read_timeout)
        with suppress(BrokenPipeError):  # a peer that does not read on may have answered
            http.client.HTTPConnection.request(self, method, target, body, headers)
        stale = False
        try:
            response = http.client.HTTPConnection.getresponse(self)
        except ConnectionError:
            if not self._replies:
                raise
            stale = True
        if stale:
            raise _Stale("connection", f"{self.host} closed the connection")
        self._replies += 1
        self._used = time.monotonic()
        return response

    @property
    def is_connected(self) -> bool:
        return super().is_connected and time.monotonic() - self._used < _current.limits.keep_alive


def _left(limits: _Limits) -> float:
    left = limits.deadline - time.monotonic()
    if left <= 0:
        raise Transient("timeout", "no time left to connect")
    return min(limits.connect_timeout, left)


class _TlsConnection(_Connection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    """Connections to one origin. A request is one exchange: no retry, no redirect, no reading of settings."""

    ConnectionCls = _Connection

    def urlopen(  # type: ignore[override]  # of its many options the adapter sets these, and switches off the rest
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str], timeout: Timeout, **_: object
    ) -> _Reply:
        connection = self._get_conn()
        assert isinstance(connection, _Connection)
        try:
            if self.proxy is not None:
                headers = self._towards_proxy(connection, url, headers)
            response = connection.exchange(method, url, body, headers, timeout.read_timeout)
        except BaseException:
            self.take_back(connection, keep=False)
            raise
        return _Reply(response, connection, self)

    def take_back(self, connection: _Connection, *, keep: bool) -> None:
        """Ends the use of a connection."""
        if not keep:
            connection.close()
        self._put_conn(connection if keep else None)

    def _towards_proxy(self, connection: _Connection, url: str, headers: Mapping[str, str]) -> Mapping[str, str]:
        """The headers of a request by way of the proxy: a tunnel through it, or the proxy itself reads them."""
        if not url.startswith("/"):
            return {**headers, **self.proxy_headers}
        if connection.is_closed:
            self._prepare_proxy(connection)
        return headers


class _TlsPool(_Pool, HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


@dataclass(frozen=True, slots=True)
class _Reply:
    """A reply whose headers have been read, and what to do with its connection once the body has been."""

    response: HTTPResponse
    connection: _Connection
    pool: _Pool

    def end(self, *, complete: bool) -> None:
        """Keeps the connection for another request if nothing of this reply is left on it."""
        if not complete:
            self.response.close()
        self.pool.take_back(self.connection, keep=complete)


_POOLS: dict[str, type[HTTPConnectionPool]] = {"http": _Pool, "https": _TlsPool}


class _Proxies:
    """Which proxy a URL is reached by: decided once per host, where requests would decide for every request."""

    def __init__(self, proxies: Mapping[str, str]) -> None:
        self._proxies = {scheme: url for scheme, url in proxies.items() if scheme != "no_proxy"}
        self._direct = [entry.strip().lower() for entry in proxies.get("no_proxy", "").split(",") if entry.strip()]
        self._known: dict[str, dict[str, str]] = {}

    def of(self, url: str) -> dict[str, str]:
        """The proxies for a URL, by scheme."""
        if not self._proxies:
            return self._proxies
        host = urlsplit(url).hostname or ""
        if host not in self._known:
            self._known[host] = {} if self._is_direct(host) else self._proxies
        return self._known[host]

    def _is_direct(self, host: str) -> bool:
        try:
            ip = ipaddress.ip_address(host)
        except ValueError:
            # A name is covered by itself and by the domains above it, however their dots are written.
            names = {entry.removeprefix("*").removeprefix(".") for entry in self._direct}
            return host == "localhost" or "*" in self._direct or any(f".{host}".endswith(f".{name}") for name in names)
        return ip.is_loopback or "*" in self._direct or any(_covers(entry, ip) for entry in self._direct)


def _covers(entry: str, ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    try:
        return ip in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return False


def _classify(error: BaseException, host: str) -> Transient:
    """What went wrong, told from the errors inside the error: requests and urllib3 wrap them several deep."""
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Transient("tls", f"the certificate of {host} is refused: {cause.verify_message}")
        if isinstance(cause, ssl.SSLError):
            return Transient("tls", f"no TLS with {host}: {cause.reason or 'handshake failed'}")
    if any(isinstance(cause, TimeoutError | urllib3.exceptions.TimeoutError | requests.Timeout) for cause in causes):
        return Transient("timeout", f"{host} did not answer in time")
    for cause in causes:
        if isinstance(cause, _CUT_OFF):
            return Transient("truncated", f"the reply of {host} is cut off or damaged")
    for cause in causes:
        if tunnel := re.match(r"Tunnel connection failed: (\d{3})", str(cause)):
            return Transient("connection", f"the proxy refuses to connect to {host} ({tunnel[1]})")
        if isinstance(cause, OSError) and cause.strerror:
            return Transient("connection", f"{host}: {cause.strerror}")
    return Transient("connection", f"{host} broke off ({type(causes[-1]).__name__})")


_CUT_OFF = (
    IncompleteRead,
    urllib3.exceptions.IncompleteRead,
    urllib3.exceptions.InvalidChunkLength,
    urllib3.exceptions.DecodeError,
)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what it wraps, as an argument or as its `reason`, from the outside in."""
    yield error
    for inner in (*error.args, getattr(error, "reason", None)):
        if isinstance(inner, BaseException) and inner is not error:
            yield from _causes(inner)


def raise_for_status(response: Response, *, holds: Collection[int] = (), heals: Collection[int] = ()) -> None:
    """Return for 2xx, else raise what the status means for a step.

    408, 425, 429 and 5xx are `Transient`, with what `Retry-After` asks for; a status in `holds` or `heals` means that
    the other side refuses us as a whole (`Configuration`, which heals by itself or not); the rest is `Permanent`.
    """
    status = response.status
    if 200 <= status < 300:
        return
    detail = f"answered {status}"
    if status in holds or status in heals:
        raise Configuration("unauthorized" if status in (401, 403) else "gone", detail, heals=status in heals)
    if status in _TRANSIENT or status >= 500:
        # A date is measured by the clock of the side that wrote it.
        now = _http_date(response.headers.get("Date", "")) or datetime.now(UTC)
        retry_after = parse_retry_after(response.headers.get("Retry-After"), now=now)
        raise Transient(_TRANSIENT.get(status, "server_error"), detail, retry_after=retry_after)
    raise Permanent("redirect" if 300 <= status < 400 else "rejected", detail)


_TRANSIENT = {408: "timeout", 425: "rate_limited", 429: "rate_limited"}


def parse_retry_after(value: str | None, *, now: datetime) -> float | None:
    """Seconds to stay away, 1 to 3600, from a `Retry-After` of seconds or an HTTP date; None for anything else.

    `now` is aware. Never raises, whatever a stranger sends. https://www.rfc-editor.org/rfc/rfc9110#field.retry-after
    """
    text = (value or "").strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]*)?", text):
        digits = text.partition(".")[0].lstrip("0") or "0"
        seconds = float(digits) if len(digits) < 9 else LONGEST_RETRY_AFTER
    elif (date := _http_date(text)) is not None:
        seconds = (date - now).total_seconds()
    else:
        return None
    return min(max(seconds, 1.0), LONGEST_RETRY_AFTER)


def _http_date(text: str) -> datetime | None:
    if not 8 <= len(text) <= 64:
        return None
    try:
        date = email.utils.parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return date if date.tzinfo is not None else date.replace(tzinfo=UTC)


def redact_url(url: str) -> str:
    """Scheme and host of a URL: what may be shown of one whose path or query is a secret."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port is not None else ""
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    except ValueError:
        return "…"
    return f"{parts.scheme}://{host}{port}/…" if parts.scheme and host else "…"
