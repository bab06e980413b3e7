"""Requests by any thread, each a complete response or a failure; see the package for what is promised."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator, Mapping
from http.client import HTTPException, HTTPMessage, HTTPResponse, IncompleteRead
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

import requests
import urllib3
from urllib3.util import Timeout

from room_reports import __version__
from room_reports.errors import Failure, Transient
from room_reports.transport.connections import Adapter, Limits, Reply, Stale, current, tls_context
from room_reports.transport.failures import classify
from room_reports.transport.proxies import Proxies
from room_reports.transport.responses import Response

if TYPE_CHECKING:
    from requests.structures import CaseInsensitiveDict

_SHORT_BODY = 65_536

_HEADERS = {
    "User-Agent": f"room-reports/{__version__}",
    "Accept": "*/*",
    # Reports and summaries fit a few packets; unpacking them would cost more than it saves.
    "Accept-Encoding": "identity",
}


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
        self._proxies = Proxies(proxies or {})
        self._adapter = Adapter(tls_context(ca_file), pool_size)

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
        except Stale:
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
        current.limits = Limits(deadline, self._connect_timeout, self._keep_alive, self._allow_private)
        try:
            reply = self._adapter.exchange(request, self._timeout, self._proxies.of(url))
            return self._read(reply) if keep_body else _status_alone(reply)
        except Failure:
            raise
        except (requests.RequestException, urllib3.exceptions.HTTPError, HTTPException, OSError, ValueError) as error:
            failure = classify(error, urlsplit(url).hostname or "the host")
        # Outside of the except clause: the error's own text holds the URL and must not travel as the cause.
        raise failure

    def _read(self, reply: Reply) -> Response:
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


def _status_alone(reply: Reply) -> Response:
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


def redact_url(url: str) -> str:
    """Scheme and host of a URL: what may be shown of one whose path or query is a secret."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port is not None else ""
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    except ValueError:
        return "…"
    return f"{parts.scheme}://{host}{port}/…" if parts.scheme and host else "…"
