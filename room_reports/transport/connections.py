"""Connections that keep to the limits of a request: to addresses that were checked, and none waits past the deadline.

The pieces of requests and urllib3 that the transport uses, from the adapter down to the socket.
"""

from __future__ import annotations

import http.client
import math
import re
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPResponse
from typing import TYPE_CHECKING, Any, cast

import requests
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util import Timeout, parse_url

from room_reports.addresses import is_public, resolve
from room_reports.errors import Configuration, Transient
from room_reports.transport.failures import classify

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer


@dataclass(slots=True)
class Limits:
    """What the request that a thread is making may do. `deadline`: of the monotonic clock."""

    deadline: float
    connect_timeout: float
    keep_alive: float
    allow_private: bool


class _Current(threading.local):
    limits = Limits(deadline=math.inf, connect_timeout=0, keep_alive=0, allow_private=False)


current = _Current()
"""urllib3 has no way to hand values down to a connection, and a request never leaves its thread."""


class Stale(Transient):
    """A connection that was kept turned out to be closed before the reply began."""


class Adapter(HTTPAdapter):
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

    def exchange(self, request: requests.PreparedRequest, timeout: Timeout, proxies: dict[str, str]) -> Reply:
        """Sends a request and reads the reply's headers. Raises errors of requests or of what is below it."""
        reply: Any = self.send(request, stream=True, timeout=cast(Any, timeout), verify=True, proxies=proxies)
        assert isinstance(reply, Reply)
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
        """Nothing to do: `tls_context` verifies. The original has every connection parse the authorities anew."""

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> Any:
        """The reply as it is: without cookies, history and a guess at its encoding."""
        return resp

    def close(self) -> None:
        super().close()
        self._pools.clear()


_ORIGIN = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://[^/?#\\]+")
# What needs no encoding.
_TARGET = re.compile(r"/(?!/)[A-Za-z0-9._~!$&'()*+,;=:@/?%\-]*")


def tls_context(ca_file: str | None) -> ssl.SSLContext:
    """What verifies certificates: by the public authorities, and by those in a PEM file if one is given."""
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
        left = current.limits.deadline - time.monotonic()
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
    _gathered: list[bytes] | None = None

    def _new_conn(self) -> socket.socket:
        limits = current.limits
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
                failure = classify(error, self.host)
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
        gathered: list[bytes] = []
        self._gathered = gathered
        try:
            http.client.HTTPConnection.request(self, method, target, body, headers)
        finally:
            self._gathered = None
        with suppress(BrokenPipeError):  # a peer that does not read on may have answered
            self.sock.sendall(b"".join(gathered))
        stale = False
        try:
            response = http.client.HTTPConnection.getresponse(self)
        except ConnectionError:
            if not self._replies:
                raise
            stale = True
        if stale:
            raise Stale("connection", f"{self.host} closed the connection")
        self._replies += 1
        self._used = time.monotonic()
        return response

    def send(self, data: Any) -> None:
        """Sends at once but for a request: its head and its body, which come one by one, go out together."""
        if self._gathered is None:
            super().send(data)
        else:
            self._gathered.append(data)

    @property
    def is_connected(self) -> bool:
        return super().is_connected and time.monotonic() - self._used < current.limits.keep_alive


def _left(limits: Limits) -> float:
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
    ) -> Reply:
        connection = self._get_conn()
        assert isinstance(connection, _Connection)
        try:
            if self.proxy is not None:
                headers = self._towards_proxy(connection, url, headers)
            response = connection.exchange(method, url, body, headers, timeout.read_timeout)
        except BaseException:
            self.take_back(connection, keep=False)
            raise
        return Reply(response, connection, self)

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
class Reply:
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
