"""The bare `requests` loop: fetch a summary, post it to Slack, post it to the receiver. No queue, no state, no promise.

The least that three requests a room cost in this language with this library: one session a thread, connections kept,
`trust_env` off (with it on, `requests` reads proxy and netrc settings anew for every request). A process of its own
that prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import requests

from bench.load import ROOT


@dataclass(frozen=True)
class Looped:
    """What a loop did. `cpu`: CPU seconds; `began`: when each room was begun, seconds since 1970."""

    seconds: float
    cpu: float
    began: dict[str, float]


def start_loop(
    urls: Mapping[str, str], rooms: Sequence[str], *, threads: int, rate: float | None = None
) -> subprocess.Popen[str]:
    """Begins to work off the rooms in a process of its own. `rate`: rooms a second, None for as fast as it goes."""
    order = {"urls": dict(urls), "rooms": list(rooms), "threads": threads, "rate": rate}
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.loop"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(order))
    process.stdin.close()
    return process


def result_of(process: subprocess.Popen[str]) -> Looped:
    """Waits for the end of a loop. Raises CalledProcessError when it failed."""
    assert process.stdout is not None
    answer = process.stdout.read()
    if process.wait():
        raise subprocess.CalledProcessError(process.returncode, process.args)
    return Looped(**json.loads(answer))


class Loop:
    """Threads that take rooms from one list until it is empty."""

    def __init__(self, urls: Mapping[str, str], rooms: Sequence[str], *, rate: float | None) -> None:
        self._urls = urls
        self._rooms: Iterator[tuple[int, str]] = iter(list(enumerate(rooms)))
        self._pause = 1 / rate if rate else 0.0
        self._lock = threading.Lock()
        self._start = time.time()
        self._began: dict[str, float] = {}

    def run(self, threads: int) -> Looped:
        """Works off all rooms."""
        cpu, start = time.process_time(), time.perf_counter()
        workers = [threading.Thread(target=self._work) for _ in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return Looped(time.perf_counter() - start, time.process_time() - cpu, self._began)

    def _work(self) -> None:
        with requests.Session() as session:
            session.trust_env = False
            while (room := self._take()) is not None:
                self._began[room] = time.time()
                self._report(session, room)

    def _take(self) -> str | None:
        """The next room, when it is time for it."""
        with self._lock:
            number, room = next(self._rooms, (0, None))
            if room is not None and self._pause:
                time.sleep(max(0.0, self._start + number * self._pause - time.time()))
            return room

    def _report(self, session: requests.Session, room_sid: str) -> None:
        credentials = (self._urls["user"], self._urls["password"])
        url = f"{self._urls['twilio']}/v1/Video/Rooms/{room_sid}"
        room = session.get(url, auth=credentials, timeout=10).json()
        text = f"{room_sid} {room['room_name']} ended after {room['duration_sec']} s"
        session.post(self._urls["slack"], json={"text": text}, timeout=10).raise_for_status()
        session.post(self._urls["receiver"], json=room, timeout=10).raise_for_status()


def main() -> None:
    """Reads the order from stdin, runs the loop, prints what it did."""
    argparse.ArgumentParser(prog="python -m bench.loop", description=__doc__).parse_args()
    order = json.load(sys.stdin)
    done = Loop(order["urls"], order["rooms"], rate=order["rate"]).run(order["threads"])
    print(json.dumps(asdict(done)))


if __name__ == "__main__":
    main()
