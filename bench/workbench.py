"""What every measurement works with: the sandbox, fresh rooms, signed callbacks, a folder, and where figures go."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from bench.figures import Figures
from bench.load import Volley, fire
from bench.stacks import Stack
from sandbox import callbacks
from sandbox.client import Sandbox
from sandbox.options import ACCOUNT_SID, AUTH_TOKEN
from sandbox.summaries import room_sid

SEED = 20
LATENCY = 0.2
"""Seconds that the fetch of a summary takes, where nothing else is said."""

SPREAD = 0.2
"""The share by which fetches differ, where many run at once. Were all the same, the threads that began together would
wake together, room after room, and queue for the interpreter: no real service answers so."""


class Incomplete(Exception):
    """Not everything that was sent arrived, or more than that: the figures would be worth nothing."""


@dataclass
class Workbench:
    """Everything a measurement needs. `quick`: fewer and shorter runs, to see that it works."""

    sandbox: Sandbox
    directory: Path
    figures: Figures
    quick: bool
    _rooms: itertools.count[int] = field(default_factory=itertools.count)

    def runs(self, usual: int) -> range:
        """How often to measure."""
        return range(min(2, usual) if self.quick else usual)

    def size(self, usual: int) -> int:
        """How many rooms or requests to take."""
        return usual // 4 if self.quick else usual

    def rooms(self, count: int) -> list[str]:
        """Rooms that nobody has heard of."""
        return [room_sid(SEED, next(self._rooms)) for _ in range(count)]

    def volley(self, stack: Stack, rooms: Sequence[str], *, connections: int, keep_alive: bool) -> Volley:
        """Sends the callbacks of these rooms as fast as they go. Raises `Incomplete` unless all were accepted."""
        requests = signed(rooms, stack.url, keep_alive=keep_alive)
        volley = fire(stack.port, requests, connections=connections, keep_alive=keep_alive)
        if volley.statuses != {"204": len(rooms)}:
            raise Incomplete(f"{stack.name} answered {volley.statuses} to {len(rooms)} callbacks")
        return volley

    def quiet(self, *, latency: float, spread: float = 0.0) -> None:
        """Forgets what the sandbox has seen, and sets how long a fetch takes, give or take a share of it."""
        self.sandbox.reset()
        self.sandbox.twilio.latency(latency, spread=spread)

    def wait_for(self, rooms: int, *, timeout: float = 60.0) -> None:
        """Waits until so many reports have arrived at both destinations. Raises `Incomplete` when they do not."""
        eventually(lambda: self.delivered() >= rooms, what=f"{rooms} rooms", timeout=timeout)
        if (arrived := self._arrived()) != (rooms, rooms):
            raise Incomplete(f"{rooms} rooms came to {arrived} deliveries")

    def arrivals(self) -> dict[str, float]:
        """When each room had arrived at both destinations, seconds since 1970."""
        last: dict[str, float] = {}
        for service in (self.sandbox.slack, self.sandbox.receiver):
            for exchange in service.history():
                if exchange.accepted and exchange.room_sid:
                    last[exchange.room_sid] = max(exchange.at, last.get(exchange.room_sid, 0.0))
        return last

    def delivered(self) -> int:
        """How many reports have arrived at both destinations, or at the one that is behind."""
        return min(self._arrived())

    def _arrived(self) -> tuple[int, int]:
        counts = [service.counts()["accepted"] for service in (self.sandbox.slack, self.sandbox.receiver)]
        return counts[0], counts[1]


def signed(rooms: Sequence[str], url: str, *, keep_alive: bool) -> list[bytes]:
    """The status callback of each room, as it goes over the wire. Without `keep_alive` it says `close`, as Twilio's."""
    form = callbacks.form(rooms[0], account_sid=ACCOUNT_SID, ended=datetime.now(UTC))
    headers = {"Connection": "keep-alive" if keep_alive else "close"}
    return [
        callbacks.request(url, {**form, "RoomSid": room}, token=AUTH_TOKEN, headers=headers).to_bytes()
        for room in rooms
    ]


def eventually(holds: Callable[[], bool], *, what: str, timeout: float = 60.0) -> None:
    """Waits until something holds. Raises `Incomplete` when it does not."""
    deadline = time.monotonic() + timeout
    while not holds():
        if time.monotonic() > deadline:
            raise Incomplete(f"waited {timeout:g} s in vain for {what}")
        time.sleep(0.02)
