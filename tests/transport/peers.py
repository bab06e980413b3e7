"""The other side of a socket: servers that answer byte by byte as a test tells them, well or badly."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterable, Iterator

Handler = Callable[["Exchange"], None]


class Exchange:
    """One request that a peer has read, and the socket to answer on."""

    def __init__(self, sock: socket.socket, request: bytes, number: int, closing: threading.Event) -> None:
        self.sock = sock
        self.request = request
        self.number = number
        self._closing = closing

    def send(self, *parts: bytes) -> None:
        self.sock.sendall(b"".join(parts))

    def drip(self, parts: Iterable[bytes], *, pause: float) -> None:
        """Send one part after the other, until all are sent or the peer is closed."""
        for part in parts:
            self.sock.sendall(part)
            if self._closing.wait(pause):
                return

    def reset(self) -> None:
        """End the connection as a crashed machine does, with RST."""
        reset(self.sock)


class Peer:
    """A server on loopback with a thread per connection.

    `handler` is called for every request; a connection goes on until it ends the socket or raises `ConnectionError`.
    `requests` and `connections` are what has arrived so far.
    """

    def __init__(
        self, handler: Handler, *, tls: ssl.SSLContext | None = None, family: socket.AddressFamily = socket.AF_INET
    ) -> None:
        self._handler = handler
        self._tls = tls
        self._listener = socket.create_server(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0), family=family)
        self.port: int = self._listener.getsockname()[1]
        self.requests: list[bytes] = []
        self.connections = 0
        self._open: list[socket.socket] = []
        self._closing = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, path: str = "/", *, host: str = "127.0.0.1") -> str:
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}{path}"

    def close(self) -> None:
        self._closing.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in self._open:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self.connections += 1
                self._open.append(sock)
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.enter_context(sock)
            if self._tls is not None:
                sock = stack.enter_context(self._tls.wrap_socket(sock, server_side=True))
            for number, request in enumerate(requests_on(sock)):
                self.requests.append(request)
                self._handler(Exchange(sock, request, number, self._closing))


def reset(sock: socket.socket) -> None:
    """End a connection as a crashed machine does, with RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def requests_on(sock: socket.socket) -> Iterator[bytes]:
    """Each request as it was sent, head and body, until the connection ends."""
    buffer = b""
    while True:
        while b"\r\n\r\n" not in buffer:
            received = sock.recv(65536)
            if not received:
                return
            buffer += received
        head, _, buffer = buffer.partition(b"\r\n\r\n")
        size = next(
            (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
        )
        while len(buffer) < size:
            received = sock.recv(65536)
            if not received:
                return
            buffer += received
        yield head + b"\r\n\r\n" + buffer[:size]
        buffer = buffer[size:]


def reply(body: bytes = b"", *, status: str = "200 OK", headers: Iterable[str] = ()) -> bytes:
    """A complete reply."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def answering(*replies: bytes) -> Handler:
    """A handler that gives these replies in turn on every connection, the last one from then on."""
    return lambda exchange: exchange.send(replies[min(exchange.number, len(replies) - 1)])
