"""Counts what came of requests, and thins out the log lines of a flood. In this process only; see `tally_writer`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

BURST = 20
WINDOW = 10.0
"""At most `BURST` lines of one kind in `WINDOW` seconds: enough to see what is going on, whatever a stranger sends."""


@dataclass
class _Kind:
    total: int = 0
    window: float = 0.0
    in_window: int = 0


class Tally:
    """Thread-safe. `on_count` is called at each count, when it is set."""

    def __init__(self, *, burst: int = BURST, window: float = WINDOW) -> None:
        self._burst = burst
        self._window = window
        self._lock = threading.Lock()
        self._kinds: dict[str, _Kind] = {}
        self.on_count: Callable[[], None] | None = None

    def count(self, kind: str) -> int:
        """Counts one. Returns how many there were so far when a log line is due, and 0 when it is not."""
        if self.on_count is not None:
            self.on_count()
        now = time.monotonic()
        with self._lock:
            found = self._kinds.setdefault(kind, _Kind(window=now))
            found.total += 1
            if now - found.window >= self._window:
                found.window, found.in_window = now, 0
            found.in_window += 1
            return found.total if found.in_window <= self._burst else 0

    def totals(self) -> dict[str, int]:
        """How many of each kind there were."""
        with self._lock:
            return {kind: found.total for kind, found in self._kinds.items()}
