"""Rooms for workers to work on: opened as the web opens them, and watched until they are done."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import redis

from config.loading import load
from room_reports.lanes import make_ledger
from room_reports.ledger import Ledger, Room
from sandbox.client import Sandbox
from sandbox.options import ACCOUNT_SID
from sandbox.summaries import room_sid
from tests.support.processes import Worker, settings_for, wait_until
from tests.support.servers import RedisServer

LEASE = 4.0
TICK = 0.1

QUICK = {
    "HTTP_CONNECT_TIMEOUT": "1",
    "HTTP_READ_TIMEOUT": "1",
    "HTTP_TOTAL_TIMEOUT": "1",
    "STEP_LEASE": f"{LEASE:g}",
    "DISPATCH_EVERY": f"{TICK:g}",
    "SHUTDOWN_GRACE": "2",
    "SUMMARY_WAITS": "0.2",
    "DELIVERY_WAITS": "0.2",
    "WORKER_THREADS": "4",
    "SLACK_RATE": "0",
    "RECONCILE_EVERY": "0",
}
"""Short times, so that a lease is soon over, which outlasts two requests; what is slow on purpose takes half of one."""


class Scene:
    """A server, a sandbox and the settings of the workers on them. `variables` are added to the settings and win."""

    def __init__(self, server: RedisServer, sandbox: Sandbox, *, db: int = 0, **variables: str) -> None:
        url = server.url.replace("db=0", f"db={db}")
        self.server = server
        self.sandbox = sandbox
        self.env = {**settings_for(url), **sandbox.environment(), **QUICK, **variables}
        self.settings = load(self.env)
        self.redis = redis.Redis(unix_socket_path=str(server.socket), db=db, socket_timeout=5)
        self.ledger: Ledger = make_ledger(self.settings, self.redis)

    def open(self, number: int = 0) -> str:
        """Opens a room and returns its SID."""
        sid = room_sid(1, number)
        self.ledger.open(
            room_sid=sid,
            account_sid=ACCOUNT_SID,
            room_name=f"room {number}",
            ended=datetime.now(UTC),
            callback="",
            request_id="",
        )
        return sid

    def room(self, sid: str) -> Room:
        """A room as it stands."""
        room = self.ledger.room(sid)
        assert room is not None, f"the ledger has no {sid}"
        return room

    def state(self, sid: str, step: str) -> str | None:
        """The state of one step, None while there is no such step."""
        return next((found.state for found in self.room(sid).steps if found.name == step), None)

    def wait_for_all(self, count: int, *, seconds: float = 20) -> None:
        """Waits until so many rooms are delivered and nothing is unfinished."""
        wait_until(
            lambda: self.ledger.counts()["delivered"] == count and not self.unfinished(),
            what=f"{count} rooms delivered",
            seconds=seconds,
        )

    def unfinished(self) -> int:
        """How many steps are in the due index."""
        return sum(total for total, _, _ in self.ledger.due().values())

    def outcomes(self, sid: str) -> list[tuple[str, str]]:
        """Step and outcome of every attempt of a room, sorted: deliveries end in any order."""
        return sorted((attempt["step"], attempt["outcome"]) for attempt in self.room(sid).attempts)

    def arrivals(self, sid: str) -> tuple[int, int]:
        """How often a room's report arrived at Slack and at the webhook."""
        return len(self.sandbox.slack.accepted(sid)), len(self.sandbox.receiver.accepted(sid))

    def worker(self, log: Path) -> Worker:
        """A worker with these settings, not yet started."""
        return Worker(env=self.env, log=log)
