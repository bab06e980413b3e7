"""A small HTTP/1.1 server over asyncio's Protocol: quick where it answers, and able to answer as badly as a peer can.

A handler is a plain function from `Request` to `Reply` (or to an awaitable one). The protocol is written here and not
taken from a library because half of the faults (drips, cut and endless bodies, resets, silence) are below what a
library lets a handler do, and because a plain answer then costs one function call and one write.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
import zlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import cast

from sandbox.answers import Manner

HEAD_LIMIT = 65_536
BODY_LIMIT = 20_000_000
PIECE = b" " * 65_536
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass(slots=True)
class Request:
    """A complete request; header names in lower case, of repeated headers the last."""

    method: str
    target: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    at: float


@dataclass(slots=True)
class Reply:
    """A response and the manner it is sent in; see `answers.Answer`."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    manner: Manner = "whole"
    pace: float = 0.0
    size: int = 0
    delay: float = 0.0


Handler = Callable[[Request], Reply | Awaitable[Reply]]


class Connection(asyncio.Protocol):
    """One kept-alive connection. Requests are answered one at a time, in order."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._buffer = bytearray()
        self._head: tuple[str, str, dict[str, str]] | None = None
        self._busy = False
        self._close_after = False
        self._task: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._task is not None:
            self._task.cancel()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._busy:
            self._advance()

    def _advance(self) -> None:
        """Answer the next request if it has arrived completely."""
        if self._transport.is_closing():
            return
        try:
            request = self._take()
        except ValueError as error:
            self._close_after = True
            self._deliver(Reply(400, {"Content-Type": "text/plain"}, str(error).encode()))
            return
        if request is None:
            return
        self._busy = True
        self._close_after = request.headers.get("connection", "").lower() == "close"
        reply = self._handler(request)
        if isinstance(reply, Reply):
            self._schedule(reply)
        else:
            self._task = asyncio.ensure_future(self._schedule_later(reply))

    def _take(self) -> Request | None:
        """The next complete request. Raises ValueError when it cannot become one."""
        if self._head is None:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                if len(self._buffer) > HEAD_LIMIT:
                    raise ValueError("head too long")
                return None
            self._head = _parse_head(self._buffer[:end].decode("latin-1"))
            del self._buffer[: end + 4]
        method, target, headers = self._head
        length = int(headers.get("content-length", "0"))
        if length > BODY_LIMIT or "transfer-encoding" in headers:
            raise ValueError("body too long, or of unknown length")
        if len(self._buffer) < length:
            return None
        body = bytes(self._buffer[:length])
        del self._buffer[:length]
        self._head = None
        path, _, query = target.partition("?")
        return Request(method, target, path, query, headers, body, time.time())

    async def _schedule_later(self, reply: Awaitable[Reply]) -> None:
        self._schedule(await reply)

    def _schedule(self, reply: Reply) -> None:
        if reply.delay:
            asyncio.get_running_loop().call_later(reply.delay, self._deliver, reply)
        else:
            self._deliver(reply)

    def _deliver(self, reply: Reply) -> None:
        if self._transport.is_closing():
            return
        if reply.manner == "whole":
            self._transport.write(_head(reply, len(reply.body)) + reply.body)
            self._finish()
        elif reply.manner == "half":
            half = reply.body[: len(reply.body) // 2]
            self._transport.write(_head(reply, len(half)) + half)
            self._finish()
        elif reply.manner == "cut":
            self._transport.write(_head(reply, len(reply.body)) + reply.body[: len(reply.body) // 2])
            self._transport.close()
        elif reply.manner == "reset":
            cast(socket.socket, self._transport.get_extra_info("socket")).setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE
            )
            self._transport.abort()
        elif reply.manner != "hang":
            self._task = asyncio.ensure_future(self._deliver_at_length(reply))

    async def _deliver_at_length(self, reply: Reply) -> None:
        if reply.manner == "drip_headers":
            await self._drip(_head(reply, len(reply.body)), reply.pace)
            self._transport.write(reply.body)
        elif reply.manner == "drip_body":
            self._transport.write(_head(reply, len(reply.body)))
            await self._drip(reply.body, reply.pace)
        elif reply.manner == "endless":
            self._transport.write(_head(reply, None, ("Transfer-Encoding", "chunked")))
            while True:
                await self._write(b"%x\r\n%s\r\n" % (len(PIECE), PIECE))
        elif reply.manner == "huge":
            self._transport.write(_head(reply, reply.size + len(reply.body)))
            for piece in _spaces(reply.size):
                await self._write(piece)
            self._transport.write(reply.body)
        elif reply.manner == "bomb":
            packed = await asyncio.to_thread(_gzip_behind_spaces, reply.size, reply.body)
            self._transport.write(_head(reply, len(packed), ("Content-Encoding", "gzip")) + packed)
        self._finish()

    async def _drip(self, data: bytes, pace: float) -> None:
        for index in range(len(data)):
            self._transport.write(data[index : index + 1])
            await asyncio.sleep(pace)

    async def _write(self, data: bytes) -> None:
        await self._writable.wait()
        self._transport.write(data)
        await asyncio.sleep(0)

    def _finish(self) -> None:
        self._busy = False
        if self._close_after:
            self._transport.close()
        elif self._buffer:
            asyncio.get_running_loop().call_soon(self._advance_if_idle)

    def _advance_if_idle(self) -> None:
        if not self._busy:
            self._advance()


def _parse_head(text: str) -> tuple[str, str, dict[str, str]]:
    lines = text.split("\r\n")
    parts = lines[0].split(" ")
    if len(parts) != 3 or parts[2] not in ("HTTP/1.1", "HTTP/1.0"):
        raise ValueError("not a request line")
    headers = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    if parts[2] == "HTTP/1.0":
        headers.setdefault("connection", "close")
    return parts[0], parts[1], headers


_STATUS_LINES = {int(status): f"HTTP/1.1 {int(status)} {status.phrase}\r\n" for status in HTTPStatus}


def _head(reply: Reply, length: int | None, *more: tuple[str, str]) -> bytes:
    lines = [_STATUS_LINES.get(reply.status, f"HTTP/1.1 {reply.status} Unknown\r\n")]
    lines += [f"{name}: {value}\r\n" for name, value in (*reply.headers.items(), *more)]
    if length is not None and reply.status != HTTPStatus.NO_CONTENT:
        lines.append(f"Content-Length: {length}\r\n")
    return ("".join(lines) + "\r\n").encode("latin-1")


def _spaces(size: int) -> Iterator[bytes]:
    for _ in range(size // len(PIECE)):
        yield PIECE
    yield PIECE[: size % len(PIECE)]


def _gzip_behind_spaces(size: int, body: bytes) -> bytes:
    packer = zlib.compressobj(level=1, wbits=31)
    return b"".join([*(packer.compress(piece) for piece in _spaces(size)), packer.compress(body), packer.flush()])
