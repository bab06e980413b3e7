"""HTTP over raw sockets: what no client library would send, and answers as they came."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Self

from sandbox.callbacks import SignedRequest
from tests.support.secrecy import SECRECY

SECONDS = 25.0


@dataclass(frozen=True)
class Answer:
    """An HTTP answer; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class Wire:
    """One connection. Use as a context manager."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._rest = b""

    def send(self, data: bytes) -> None:
        """Sends bytes as they are."""
        self._socket.sendall(data)

    def end(self) -> None:
        """Says that nothing more will be sent."""
        self._socket.shutdown(socket.SHUT_WR)

    def answer(self, *, has_body: bool = True) -> Answer | None:
        """The next answer; None when the other side closes without one."""
        data = self._rest
        while b"\r\n\r\n" not in data:
            received = self._receive()
            if not received:
                return None
            data += received
        head, _, rest = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", 0)) if has_body else 0
        while len(rest) < length:
            rest += self._socket.recv(65536)
        self._rest = rest[length:]
        SECRECY.look("an answer", head + rest[:length])
        return Answer(int(first.split()[1]), headers, rest[:length])

    def is_closed(self) -> bool:
        """Waits until the other side closes; false when it sends something instead."""
        return self._receive() == b""

    def close(self) -> None:
        """Closes it."""
        self._socket.close()

    def _receive(self) -> bytes:
        try:
            return self._socket.recv(65536)
        except ConnectionError:
            return b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def exchange(port: int, data: bytes, *, has_body: bool = True) -> Answer:
    """Sends a request on a connection of its own and returns the answer."""
    with Wire(port) as wire:
        wire.send(data)
        answer = wire.answer(has_body=has_body)
        assert answer is not None, "closed without an answer"
        return answer


def send(port: int, request: SignedRequest) -> Answer:
    """The same for a signed request."""
    return exchange(port, request.to_bytes(), has_body=request.method != "HEAD")
