"""The load generator: requests in on stdin, one JSON object of figures out. A process of its own, stdlib only.

A closed loop: each connection sends its next request when the one before is answered, so the rate is what the server
takes at that many requests in flight. Requests are built and signed beforehand; here they are only written, and answers
read no further than they must be. What it can do at best is measured in the same run (`bench.responder`).
"""

from __future__ import annotations

import argparse
import json
import selectors
import socket
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[1]
FRAME = struct.Struct("!I")
TIMEOUT = 30.0
"""Seconds without any answer after which the rest counts as unanswered."""


@dataclass(frozen=True)
class Volley:
    """What came of one volley of requests.

    `rate`: answers with 2xx a second; `p50` and `p99`: seconds from connecting (or sending, on a kept connection) to
    the end of the answer; `statuses`: answers by status, `0` for none; `began`: seconds since 1970; `cpu`: CPU seconds
    of the generator itself.
    """

    rate: float
    seconds: float
    p50: float
    p99: float
    statuses: dict[str, int]
    began: float
    cpu: float


def fire(port: int, requests: Sequence[bytes], *, connections: int, keep_alive: bool) -> Volley:
    """Sends all requests to a port of this machine from a process of its own."""
    command = [sys.executable, "-S", "-m", "bench.load", "--port", str(port), "--connections", str(connections)]
    frames = b"".join(FRAME.pack(len(request)) + request for request in requests)
    done = subprocess.run(
        [*command, "--keep-alive"] if keep_alive else command,
        input=frames,
        stdout=subprocess.PIPE,
        check=True,
        cwd=ROOT,
    )
    return Volley(**json.loads(done.stdout))


def main() -> None:
    """Reads the requests, fires them, prints the figures."""
    parser = argparse.ArgumentParser(prog="python -m bench.load", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--keep-alive", action="store_true", help="default: a new connection for every request")
    options = parser.parse_args()
    requests = list(read_frames(sys.stdin.buffer))
    gun = Gun(("127.0.0.1", options.port), requests, keep_alive=options.keep_alive)
    print(json.dumps(asdict(gun.fire(options.connections))))


def read_frames(stream: IO[bytes]) -> Iterator[bytes]:
    """The requests, each behind its length."""
    while head := stream.read(FRAME.size):
        yield stream.read(FRAME.unpack(head)[0])


@dataclass(slots=True, eq=False)
class Slot:
    """One request in flight."""

    connection: socket.socket
    sent: float
    answer: bytes


class Gun:
    """Fires a list of requests over a fixed number of connections."""

    def __init__(self, address: tuple[str, int], requests: Sequence[bytes], *, keep_alive: bool) -> None:
        self._address = address
        self._requests = iter(requests)
        self._keep_alive = keep_alive
        self._selector = selectors.DefaultSelector()
        self._latencies: list[float] = []
        self._statuses: Counter[str] = Counter()

    def fire(self, connections: int) -> Volley:
        """Sends everything; returns when all is answered, or nothing is for `TIMEOUT` seconds."""
        cpu, began, start = time.process_time(), time.time(), time.perf_counter()
        for _ in range(connections):
            self._next(None)
        while self._selector.get_map():
            ready = self._selector.select(TIMEOUT)
            if not ready:
                self._statuses["0"] += len(self._selector.get_map())
                break
            for key, _ in ready:
                self._read(key.data)
        seconds = time.perf_counter() - start
        accepted = sum(count for status, count in self._statuses.items() if status.startswith("2"))
        self._latencies.sort()
        return Volley(
            rate=accepted / seconds,
            seconds=seconds,
            p50=percentile(self._latencies, 50),
            p99=percentile(self._latencies, 99),
            statuses=dict(self._statuses),
            began=began,
            cpu=time.process_time() - cpu,
        )

    def _next(self, connection: socket.socket | None) -> None:
        """Sends the next request, if there is one, on this connection or on a new one."""
        request = next(self._requests, None)
        if request is None:
            if connection is not None:
                self._forget(connection)
            return
        sent = time.perf_counter()
        if connection is None:
            connection = socket.create_connection(self._address, timeout=TIMEOUT)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setblocking(False)
            self._selector.register(connection, selectors.EVENT_READ, Slot(connection, sent, b""))
        else:
            slot = self._selector.get_key(connection).data
            slot.sent, slot.answer = sent, b""
        try:
            connection.send(request)  # a small request into an empty socket buffer: it goes whole
        except OSError:
            self._lost(connection)

    def _read(self, slot: Slot) -> None:
        try:
            data = slot.connection.recv(65_536)
        except OSError:
            data = b""
        if not data:
            self._lost(slot.connection)
            return
        slot.answer += data
        end = end_of_answer(slot.answer)
        if end is None:
            return
        self._latencies.append(time.perf_counter() - slot.sent)
        self._statuses[slot.answer[9:12].decode()] += 1
        if self._keep_alive and not says_close(slot.answer):
            self._next(slot.connection)
        else:
            self._forget(slot.connection)
            self._next(None)

    def _lost(self, connection: socket.socket) -> None:
        self._statuses["0"] += 1
        self._forget(connection)
        self._next(None)

    def _forget(self, connection: socket.socket) -> None:
        self._selector.unregister(connection)
        connection.close()


def end_of_answer(answer: bytes) -> int | None:
    """Where a response ends in what has arrived of it; None when it has not ended."""
    head = answer.find(b"\r\n\r\n")
    if head < 0:
        return None
    if answer[9:12] == b"204":
        return head + 4
    fields = answer[:head].lower()
    at = fields.find(b"\r\ncontent-length:")
    length = int(fields[at + 17 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
    return head + 4 + length if len(answer) >= head + 4 + length else None


def says_close(answer: bytes) -> bool:
    """Whether the server is about to close the connection."""
    return b"\r\nconnection: close" in answer.lower()


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The value that this share of the ascending values does not exceed; 0 when there are none."""
    if not ordered:
        return 0.0
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


if __name__ == "__main__":
    main()
