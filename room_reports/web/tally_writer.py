"""Brings what a web process counts by itself into the ledger, so that `/metrics` tells it whichever process answers.

Every two seconds and when the process ends. A batch whose answer was lost is sent again under its name and added once.
So the counts are exact, but for a process that is killed: it takes what it counted in its last two seconds along, or
since Redis went away.
"""

from __future__ import annotations

import atexit
import os
import secrets
import threading
import time
from collections import Counter

import structlog

from room_reports.ledger import Ledger, LedgerUnavailable
from room_reports.metrics import CALLBACK_RESULTS, EVENT_RESULTS, REFUSALS
from room_reports.web.tally import Tally

EVERY = 2.0

log = structlog.get_logger(__name__)

Counts = dict[tuple[str, ...], int]


class TallyWriter:
    """Writes a tally into the ledger in batches. Thread-safe; works in whatever process `wake` is called in."""

    def __init__(self, tally: Tally, ledger: Ledger) -> None:
        self._tally = tally
        self._ledger = ledger
        self._lock = threading.Lock()
        self._written: Counter[tuple[str, ...]] = Counter()
        self._batch: tuple[str, Counts] | None = None
        self._starting = threading.Lock()
        self._pid = 0

    def wake(self) -> None:
        """Sees to it that this process writes: called at each count, for the application is made before the fork."""
        if self._pid == os.getpid():
            return
        with self._starting:
            if self._pid != os.getpid():
                self._pid = os.getpid()
                threading.Thread(target=self._write_on, name="tally", daemon=True).start()
                atexit.register(self.write)

    def write(self) -> None:
        """Writes what has been counted since the last time; what Redis does not take stays for the next one."""
        with self._lock:
            try:
                if self._batch is None:
                    self._batch = self._next_batch()
                if self._batch is not None:
                    name, counts = self._batch
                    self._ledger.add_to_tally(counts, batch=name)
                    self._written.update(counts)
                    self._batch = None
            except LedgerUnavailable as error:
                log.debug("counts wait for redis", reason=error.reason)

    def _next_batch(self) -> tuple[str, Counts] | None:
        new = Counter(by_metric(self._tally.totals()))
        new.subtract(self._written)
        counts = {name: count for name, count in new.items() if count > 0}
        return (secrets.token_hex(8), counts) if counts else None

    def _write_on(self) -> None:
        while True:
            time.sleep(EVERY)
            self.write()


def by_metric(totals: dict[str, int]) -> Counts:
    """The kinds of a tally under the names of their metrics, whose labels are closed sets."""
    found: Counter[tuple[str, ...]] = Counter()
    for kind, count in totals.items():
        name = kind.lower().replace(" ", "_")
        if name.startswith("event_"):
            result = name.removeprefix("event_")
            found["events", result if result in EVENT_RESULTS else "other"] += count
        elif name in CALLBACK_RESULTS:
            found["callbacks", name] += count
        else:
            found["requests", name if name in REFUSALS else "other"] += count
    return dict(found)
