"""Prometheus's side of a run: scrapes one web process after the other while everything falls, and once at the end."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

from room_reports.web.tally_writer import EVERY
from tests.chaos.variables import METRICS_TOKEN
from tests.support.metrics import samples_of

PAUSE = 0.5
PATIENCE = 5.0

Samples = Mapping[tuple[str, ...], float]


@dataclass(frozen=True)
class Scrape:
    """One scrape: when it was asked for, in seconds since 1970, and what it said; nothing when no web answered."""

    at: float
    samples: Samples | None


class Scraper:
    """Scrapes from its start to its end. Use as a context manager; `hosts`: where the web processes listen now."""

    def __init__(self, hosts: Callable[[], list[str]]) -> None:
        self.found: list[Scrape] = []
        self._hosts = hosts
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="scraper", daemon=True)

    def last(self) -> None:
        """The scrape after all work, when every process has had the time to write down what it counted."""
        time.sleep(EVERY * 2)
        self.found.append(scrape(self._hosts()[0]))

    def _go_on(self) -> None:
        turn = 0
        while not self._stopping.wait(PAUSE):
            hosts = self._hosts()
            self.found.append(scrape(hosts[turn % len(hosts)]))
            turn += 1

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(PATIENCE * 2)


def scrape(host: str) -> Scrape:
    """Asks one web process."""
    at = time.time()
    connection = http.client.HTTPConnection(host, timeout=PATIENCE)
    try:
        connection.request("GET", "/metrics", headers={"Authorization": f"Bearer {METRICS_TOKEN}"})
        answer = connection.getresponse()
        text = answer.read().decode()
        return Scrape(at, samples_of(text) if answer.status == 200 else None)
    except (OSError, http.client.HTTPException):
        return Scrape(at, None)  # it was killed, or Redis was stopped
    finally:
        connection.close()
