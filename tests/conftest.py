"""Fixtures for all tests: a Redis-protocol server, the sandbox, and the processes of the service."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
import redis
from hypothesis import HealthCheck, settings

from sandbox.client import Sandbox
from tests.support.driver import WAITS, Driver
from tests.support.processes import Web, Worker, settings_for
from tests.support.secrecy import SECRECY, Secrecy
from tests.support.servers import ENGINES, RedisServer, binary_of

Drive = Callable[..., Driver]
StartWeb = Callable[..., Web]
StartWorker = Callable[..., Worker]

LONGEST_AGO, LONGEST_TEST = timedelta(seconds=5), timedelta(seconds=40)
"""What is said to have happened just now, and how long those tests take to which the day matters."""


# How fast examples are made says nothing on a machine that does other things besides.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

# A shell that puts the tests in the background has them ignore SIGINT, and so would all that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def secrecy() -> Iterator[Secrecy]:
    """No secret was found anywhere. The first of all fixtures, so it ends when every process and server has ended."""
    yield SECRECY
    assert not SECRECY.findings, "a secret of this session is in: " + "; ".join(sorted(set(SECRECY.findings)))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """What pytest caught of a test: its output and log lines."""
    caught = "".join(text for name, text in report.sections if name.startswith("Captured"))
    SECRECY.look("what pytest caught", caught.encode())


@pytest.fixture(scope="session")
def valkey() -> Iterator[RedisServer]:
    """The embedded Valkey, one for all tests."""
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="session", params=[engine for engine in ENGINES if binary_of(engine)])
def engine(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """Every installed engine in turn: a test that uses this runs once on each."""
    if request.param == "valkey":
        yield request.getfixturevalue("valkey")
        return
    with RedisServer(request.param) as server:
        yield server


@pytest.fixture
def connection(engine: RedisServer) -> Iterator[redis.Redis]:
    """A client of every engine in turn, with nothing in it."""
    engine.clear()
    with engine.client() as client:
        yield client


@pytest.fixture
def redis_url(valkey: RedisServer) -> str:
    """`REDIS_URL` of the embedded Valkey, with nothing in it."""
    valkey.clear()
    return valkey.url


@pytest.fixture(scope="session")
def sandbox_process() -> Iterator[Sandbox]:
    """A sandbox in a process of its own, one for all tests."""
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(sandbox_process: Sandbox) -> Sandbox:
    """The sandbox, with nothing left of the test before."""
    sandbox_process.reset()
    return sandbox_process


@pytest.fixture
def environment(redis_url: str, sandbox: Sandbox) -> dict[str, str]:
    """The settings of the service whose jobs `drive` runs: it reports from and to the sandbox, and waits for little."""
    return settings_for(redis_url) | sandbox.environment() | WAITS


@pytest.fixture
def drive(environment: dict[str, str]) -> Iterator[Drive]:
    """`drive(NAME="value", …)` is a driver of a service with these settings besides; all are closed after the test."""
    with ExitStack() as stack:
        yield lambda **variables: stack.enter_context(Driver(environment | variables))


@pytest.fixture
def driver(drive: Drive) -> Driver:
    """The driver of a service with the settings of `environment`."""
    return drive()


@pytest.fixture
def today() -> date:
    """The day it is (UTC), has been for some seconds and is until the test is over. That is waited for."""
    while True:
        now = datetime.now(UTC)
        if (now - LONGEST_AGO).date() == (now + LONGEST_TEST).date():
            return now.date()
        time.sleep(0.1)


@pytest.fixture
def start_web(tmp_path: Path) -> Iterator[StartWeb]:
    """`start_web(env, *gunicorn_options)` starts gunicorn and waits until it listens; all are ended after the test."""
    with ExitStack() as stack:
        started = 0

        def start(env: dict[str, str], *options: str) -> Web:
            nonlocal started
            started += 1
            return stack.enter_context(Web(env=env, log=tmp_path / f"web-{started}.log", options=options))

        yield start


@pytest.fixture
def start_worker(tmp_path: Path) -> Iterator[StartWorker]:
    """`start_worker(env)` starts a worker process; all are ended after the test."""
    with ExitStack() as stack:
        started = 0

        def start(env: dict[str, str]) -> Worker:
            nonlocal started
            started += 1
            return stack.enter_context(Worker(env=env, log=tmp_path / f"worker-{started}.log"))

        yield start
