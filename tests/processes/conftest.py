"""A scene for each test: a server that may be killed, and the sandbox."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from sandbox.client import Sandbox
from tests.processes.rooms import Scene
from tests.support.processes import Worker
from tests.support.servers import RedisServer

Begin = Callable[[], Worker]


@pytest.fixture(scope="module")
def durable() -> Iterator[RedisServer]:
    """A server that keeps what it answered through a SIGKILL."""
    with RedisServer(appendonly="yes", appendfsync="always") as server:
        yield server


@pytest.fixture
def scene(durable: RedisServer, sandbox: Sandbox) -> Scene:
    """An empty ledger and the sandbox; the server is put right, whatever the test before left."""
    durable.kill()
    durable.start()
    durable.clear()
    return Scene(durable, sandbox)


@pytest.fixture
def begin(scene: Scene, tmp_path: Path) -> Iterator[Begin]:
    """Starts a worker on the scene, as often as it is called; all are ended after the test."""
    with ExitStack() as stack:
        logs = (tmp_path / f"worker-{number}.log" for number in range(100))
        yield lambda: stack.enter_context(scene.worker(next(logs)))
