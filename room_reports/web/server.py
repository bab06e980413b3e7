"""The gunicorn worker: threads that only ever see whole requests, so that slow clients cost a socket and no thread.

gunicorn 27's gthread gives every new connection to a thread, which waits for its first bytes and then, without limit,
for the rest of the request; and it waits in its one event loop for clients that are to close. A few dozen clients that
send a byte a second, or nothing, would take the service down. Here the event loop collects requests until they are
whole, each within `RECEIVE` seconds; then a thread parses and answers. TLS is expected to end before gunicorn.
"""

from __future__ import annotations

import errno
import json
import re
import selectors
import socket
import time
from concurrent.futures import Future
from typing import Any

from gunicorn import util  # type: ignore[import-untyped]  # gunicorn ships no types
from gunicorn.http import errors  # type: ignore[import-untyped]
from gunicorn.workers.gthread import TConn, ThreadWorker  # type: ignore[import-untyped]

from room_reports.web.answers import EVENTS_PATH, LONGEST_BODY, LONGEST_EVENTS
from room_reports.web.tally import Tally

RECEIVE = 10.0
"""Seconds in which a request must be whole, from its first byte, or from the connection for the first one. Twilio gives
up after 15."""

SEND = 10.0
"""Seconds a client may leave an answer untaken."""

LINGER = 2.0
"""Seconds to wait for a client that still sends what nobody will read; closing at once could destroy the answer."""

LONGEST_HEAD = 32 * 1024
"""Bytes of request line and headers; gunicorn's own limits are for each of them and apply within this."""

READ = 64 * 1024
LOOK = 0.25
"""Seconds between looks at which connections have run out of time."""

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]+)", re.IGNORECASE)
_EVENTS = f"POST {EVENTS_PATH}".encode()
_CHUNKED = re.compile(rb"\r\ntransfer-encoding[ \t]*:", re.IGNORECASE)

STATUS = {
    errors.LimitRequestLine: (414, "URI Too Long"),
    errors.LimitRequestHeaders: (431, "Request Header Fields Too Large"),
    errors.ExpectationFailed: (417, "Expectation Failed"),
}
"""What is answered to a request that is not HTTP as it should be; everything else is a plain 400."""


class BoundedSocket(socket.socket):
    """A socket whose owner, a thread, sees a client that takes too long as one that went away."""

    def recv(self, *args: Any) -> bytes:
        try:
            return super().recv(*args)
        except TimeoutError:
            raise ConnectionResetError(errno.ECONNRESET, "the client took too long") from None

    def sendall(self, *args: Any) -> None:
        try:
            super().sendall(*args)
        except TimeoutError:
            raise ConnectionResetError(errno.ECONNRESET, "the client took too long") from None


class Connection(TConn):  # type: ignore[misc]  # no types
    """A client. While no thread has it, the event loop does, until `deadline` (monotonic seconds)."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.deadline = 0.0
        self.received = bytearray()
        self.is_whole = True
        self.lingers = False

    def init(self) -> None:
        """Called by the thread that takes it."""
        super().init()
        self.sock.settimeout(SEND)

    def has_all(self) -> bool:
        """Whether what was received is a request, or so much of one that reading on is of no use."""
        end = self.received.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = bytes(self.received[: end + 4])
        found = _LENGTH.search(head)
        length = int(found[1][:9]) if found else 0
        # A body that will be refused is not collected, and the connection is not used again.
        longest = LONGEST_EVENTS if head.startswith(_EVENTS) else LONGEST_BODY
        self.is_whole = length <= longest and not _CHUNKED.search(head)
        return len(self.received) >= end + 4 + length or not self.is_whole

    def has_unread(self) -> bool:
        """Whether the client has sent more than was read."""
        # Not left to MSG_DONTWAIT: Python itself waits for a socket that has a timeout, and this is the event loop.
        self.sock.setblocking(False)
        try:
            return bool(self.sock.recv(1, socket.MSG_PEEK))
        except OSError:
            return False


class CollectingWorker(ThreadWorker):  # type: ignore[misc]  # no types
    """gunicorn's threaded worker with its own way of waiting for clients.

    Methods run in the event loop's thread, unless they say otherwise.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.waiting: set[Connection] = set()
        self.next_look = 0.0
        self.tally = Tally()

    def load_wsgi(self) -> None:
        """Counts together with the application, where that counts."""
        super().load_wsgi()
        self.tally = getattr(self.wsgi, "extensions", {}).get("tally", self.tally)

    def accept(self, listener: socket.socket) -> None:
        """A new client."""
        try:
            accepted, address = listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                time.sleep(0.01)  # out of files; some will be closed
            elif error.errno not in (errno.EAGAIN, errno.ECONNABORTED):
                raise
            return  # another process was faster, or the client has left
        sock = BoundedSocket(accepted.family, accepted.type, accepted.proto, fileno=accepted.detach())
        conn = Connection(self.cfg, sock, address, listener.getsockname())
        self.nr_conns += 1
        conn.deadline = time.monotonic() + RECEIVE
        self.wait_for(conn)
        self.read(conn)

    def wait_for(self, conn: Connection) -> None:
        """Has the event loop look after a connection."""
        conn.sock.setblocking(False)
        self.waiting.add(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, lambda _: self.read(conn))

    def read(self, conn: Connection) -> None:
        """There is something to read, perhaps."""
        try:
            data = conn.sock.recv(READ)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self.drop(conn)
        elif not conn.lingers:
            if not conn.received:
                conn.deadline = time.monotonic() + RECEIVE
            conn.received += data
            self.hand_over_if_whole(conn)

    def hand_over_if_whole(self, conn: Connection) -> None:
        """Gives a request that is whole to a thread."""
        if conn.has_all():
            self.let_go(conn)
            conn.init()
            conn.parser.unreader.unread(bytes(conn.received))
            conn.received.clear()
            conn.data_ready = True
            self.enqueue_req(conn)
        elif len(conn.received) > LONGEST_HEAD and b"\r\n\r\n" not in conn.received:
            self.handle_error(None, conn.sock, conn.client, errors.LimitRequestHeaders("head too long"))
            self.linger(conn)

    def handle_request(self, req: Any, conn: Connection) -> bool:
        """Called by a thread. A connection in which a body is left unread is not used again."""
        if not conn.is_whole:
            req.force_close()
        return bool(super().handle_request(req, conn))

    def finish_request(self, conn: Connection, future: Future[bool]) -> None:
        """A thread is done with a request: on to the next one, or close."""
        keep = not future.cancelled() and future.exception() is None and future.result()
        if keep and conn.is_whole:
            # A worker that is to stop still answers a request that may be on its way.
            conn.deadline = time.monotonic() + (self.cfg.keepalive if self.alive else LINGER)
            self.wait_for(conn)
            # What a client sent ahead is a part of the next request, or all of it.
            conn.received += conn.parser.unreader.take_buffered()
            if conn.received:
                conn.deadline = time.monotonic() + RECEIVE
                self.hand_over_if_whole(conn)
        elif conn.is_whole and not conn.has_unread():
            self.close(conn)
        else:
            self.wait_for(conn)
            self.linger(conn)

    def linger(self, conn: Connection) -> None:
        """Says that nothing more will come from us, and reads on for a moment without looking."""
        conn.lingers = True
        conn.received.clear()
        conn.deadline = time.monotonic() + LINGER
        try:
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.drop(conn)

    def murder_pending(self) -> None:
        """Called by gunicorn after every round of events: closes what has run out of time."""
        now = time.monotonic()
        if now < self.next_look:
            return
        self.next_look = now + LOOK
        for conn in [conn for conn in self.waiting if conn.deadline <= now]:
            self.drop(conn)

    def _cap_keepalive(self, deadline: float) -> None:
        """Called by gunicorn when it is to stop: clients that have not begun a request have until `deadline`."""
        for conn in self.waiting:
            if not conn.received:
                conn.deadline = min(conn.deadline, deadline)

    def drop(self, conn: Connection) -> None:
        """Closes a connection the event loop looks after."""
        if conn in self.waiting:
            self.let_go(conn)
            self.close(conn)

    def let_go(self, conn: Connection) -> None:
        """The event loop no longer looks after it."""
        self.waiting.discard(conn)
        self.poller.unregister(conn.sock)

    def close(self, conn: Connection) -> None:
        """Closes a connection."""
        self.nr_conns -= 1
        conn.close()

    def handle_error(self, req: object, client: socket.socket, addr: Any, exc: BaseException) -> None:
        """Answers what is not HTTP, small and without a trace. Called by threads too."""
        ours = (errors.InvalidResponseHeader, errors.InvalidResponseHeaderName)
        if not isinstance(exc, errors.ParseException) or isinstance(exc, ours):
            self.log.error("request failed outside of the application", exc_info=exc)
            status, reason = 500, "Internal Server Error"
        else:
            status, reason = STATUS.get(type(exc), (400, "Bad Request"))
            if self.tally.count(reason):
                self.log.warning("not a proper HTTP request: %s", type(exc).__name__)
        body = json.dumps({"error": reason.lower()}) + "\n"
        head = (
            f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        try:
            util.write_nonblock(client, (head + body).encode("latin-1"))
        except OSError:
            pass  # it has left
