"""How long the page for operators takes with few and with many rooms in the ledger, over HTTP, as a browser asks."""

from __future__ import annotations

import contextlib
import re
import time

import requests

from bench import backlog
from bench.stacks import Stack, ours
from bench.workbench import Incomplete, Workbench, eventually
from config.loading import load
from room_reports.dispatch import queue_entry
from room_reports.lanes import make_ledger

SECTION = "pages"
COUNTS = (1_000, 100_000)
RUNS = 9
PASSWORD = "for the benchmark"  # noqa: S105 - it guards nothing
PAGES = {
    "newest rooms": "/",
    "a state": "/?state=delivered",
    "a name that is frequent": "/?q=done",
    "a verdict that no room has": "/?verdict=at_capacity",
    "a name that no room has": "/?q=no+such+room",
    "a delivery that no room has": "/?delivery=webhook:dead",
    "figures": "/figures",
    "one room": "/rooms/{sid}",
}


def measure(bench: Workbench) -> None:
    """Each page on a ledger of finished rooms, few and many, run by run; and from the middle of the many."""
    with contextlib.ExitStack() as exits:
        visits = {}
        for count in COUNTS:
            extra = {"OPS_PASSWORD": PASSWORD}
            stack = exits.enter_context(ours(bench.sandbox, bench.directory, workers=0, extra=extra))
            visits[count] = Visit(stack, fill(bench, stack, count))
        for _ in bench.runs(RUNS):
            for count, visit in visits.items():
                for what, path in PAGES.items():
                    bench.figures.add(SECTION, what, f"{count:,}", "ms", visit.time(path))


def fill(bench: Workbench, stack: Stack, count: int) -> str:
    """Finished rooms. Returns the oldest of them."""
    connection = stack.redis_connection
    ledger = make_ledger(load(stack.environment), connection)
    first, *others = bench.rooms(count)
    backlog.take_through(ledger, first)
    connection.delete(*queue_entry().lists)
    backlog.copies(connection, first, others)
    eventually(lambda: not connection.info("persistence")["aof_rewrite_in_progress"], what="the end of the rewrite")
    return first


class Visit:
    """Somebody who is signed in."""

    def __init__(self, stack: Stack, sid: str) -> None:
        self._url = f"http://127.0.0.1:{stack.port}"
        self._sid = sid
        self._http = requests.Session()
        self._http.trust_env = False
        form = self._http.get(f"{self._url}/login", timeout=20).text
        token = re.search(r'name="csrf" value="([^"]+)"', form)
        if token is None:
            raise Incomplete("there is no page to sign in to")
        self._http.post(f"{self._url}/login", data={"csrf": token[1], "password": PASSWORD}, timeout=20)
        for path in PAGES.values():
            self.time(path)  # templates are compiled and scripts loaded everywhere

    def time(self, path: str) -> float:
        """Milliseconds from the request to the last byte. Raises `Incomplete` unless it is that page."""
        start = time.perf_counter()
        answer = self._http.get(self._url + path.format(sid=self._sid), timeout=20)
        took = (time.perf_counter() - start) * 1000
        if answer.status_code != 200 or "Sign out" not in answer.text:
            raise Incomplete(f"{path} was answered {answer.status_code}")
        return took
