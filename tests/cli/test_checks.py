"""The checks that need a state of things which is hard to bring about: judged from plain values."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from room_reports.checks import Check
from room_reports.checks.redis import clock_check, log_redis_warnings, server_checks
from room_reports.checks.work import due_checks, reconcile_check
from room_reports.ledger import SCHEMA, Ledger, Server
from room_reports.ledger.rows import Lane
from room_reports.ledger.server import server_from

NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
LANES = [Lane("twilio", (1,)), Lane("slack", (1,), 1.0), Lane("webhook", (1,))]
GOOD = Server(
    version=(7, 2, 4),
    name="Redis 7.2.4",
    is_cluster=False,
    is_replica=False,
    append_only=True,
    snapshots=True,
    persists=True,
    eviction="noeviction",
    memory_used=10_000_000,
    memory_limit=100_000_000,
    latency=0.0005,
    skew=0.1,
    replicas=0,
    replicas_wanted=0,
    schema=1,
)


def test_good_server_has_nothing_to_do() -> None:
    assert {check.level for check in server_checks(GOOD)} == {"ok"}
    assert not [check for check in server_checks(GOOD) if check.remedy]


@pytest.mark.parametrize(
    ("changes", "name", "level"),
    [
        ({"version": (6, 0, 16)}, "redis version", "fail"),
        ({"version": (6, 2, 0)}, "redis version", "ok"),
        ({"is_cluster": True}, "redis mode", "fail"),
        ({"is_replica": True}, "redis mode", "fail"),
        ({"schema": SCHEMA + 1}, "redis schema", "fail"),
        ({"replicas": 1}, "redis replicas", "warn"),
        ({"replicas": 1, "replicas_wanted": 1}, "redis replicas", "ok"),
        ({"replicas": 1, "replicas_wanted": 2}, "redis replicas", "fail"),
        ({"persists": False}, "redis persistence", "warn"),
        ({"append_only": False}, "redis persistence", "warn"),
        ({"append_only": False, "snapshots": None}, "redis persistence", "warn"),
        ({"eviction": "volatile-lru"}, "redis eviction", "warn"),
        ({"memory_used": 86_000_000}, "redis memory", "warn"),
        ({"memory_used": 86_000_000, "memory_limit": 0}, "redis memory", "ok"),
        ({"latency": 0.05}, "redis latency", "warn"),
        ({"skew": 31.0}, "clock", "warn"),
        ({"skew": -300.0}, "clock", "warn"),
        ({"skew": 29.0}, "clock", "ok"),
    ],
)
def test_server_that_is_not_as_it_should_be(changes: dict[str, object], name: str, level: str) -> None:
    found = {check.name: check for check in server_checks(replace(GOOD, **changes))}  # type: ignore[arg-type]
    assert found[name].level == level
    assert bool(found[name].remedy) == (level != "ok")


def test_clock_says_which_way_it_is_wrong() -> None:
    assert "300.0 s ahead of Redis's" in clock_check(replace(GOOD, skew=-300.0)).message
    assert "300.0 s behind Redis's" in clock_check(replace(GOOD, skew=300.0)).message


def test_answer_of_an_unknown_server_is_read_all_the_same() -> None:
    server = server_from({}, save=None, latency=0.001, skew=0, replicas_wanted=0, schema=1)
    assert (server.version, server.name, server.eviction) == ((0,), "Redis of unknown version", "unknown")
    assert {check.name for check in server_checks(server) if check.level == "fail"} == {"redis version"}


class TestDue:
    def check(self, lane: str, *, overdue: int, age: float, queued: int = 0, workers: int = 1) -> Check:
        due = {lane: (overdue + 5, overdue, NOW - timedelta(seconds=age))}
        [found] = due_checks(due, lanes=LANES, held=(), queued=queued, workers=workers, now=NOW)
        return found

    def test_what_has_just_become_due_is_fine(self) -> None:
        assert self.check("twilio", overdue=3, age=10).level == "ok"

    def test_nobody_takes_it(self) -> None:
        assert self.check("twilio", overdue=3, age=100).level == "fail"
        assert self.check("twilio", overdue=3, age=100, workers=0).remedy == "start a worker"

    def test_workers_that_are_too_few_are_a_warning(self) -> None:
        found = self.check("webhook", overdue=3000, age=100, queued=1000)
        assert (found.level, "more workers" in found.remedy) == ("warn", True)

    def test_backlog_of_a_slow_lane_says_how_long_it_takes(self) -> None:
        found = self.check("slack", overdue=600, age=100)
        assert (found.level, "10 min" in found.message) == ("warn", True)

    def test_nothing_is_due(self) -> None:
        [found] = due_checks({"slack": (0, 0, None)}, lanes=LANES, held=(), queued=0, workers=0, now=NOW)
        assert found.level == "ok"


class TestReconcile:
    @pytest.mark.parametrize(
        ("ago", "every", "level"),
        [(None, 3600, "warn"), (60, 3600, "ok"), (3 * 3600, 3600, "ok"), (4 * 3600, 3600, "warn"), (60, 0, "warn")],
    )
    def test_is_late_after_three_turns(self, ago: float | None, every: float, level: str) -> None:
        last = None if ago is None else NOW - timedelta(seconds=ago)
        assert reconcile_check(last, every=every, now=NOW).level == level


def test_b35_worker_logs_what_is_wrong_with_its_redis(ledger: Ledger) -> None:
    with capture_logs() as lines:
        log_redis_warnings(ledger)
    assert [(line["log_level"], line["check"]) for line in lines] == [("warning", "redis persistence")]
    assert "appendonly yes" in lines[0]["remedy"]
