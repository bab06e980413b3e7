"""A primary, its replicas and three sentinels that watch them, all real, on 127.0.0.1."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Self, cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.support.processes import wait_until
from tests.support.servers import RedisServer, binary_of, free_port

SERVICE = "rooms"
SENTINELS = 3
PASSWORD = "password-of-the-servers"
SENTINEL_PASSWORD = "password-of-the-sentinels"


class SentinelProcess:
    """One sentinel. It keeps what it knows in its configuration file, which therefore is its own."""

    def __init__(
        self, folder: Path, engine: str, primary: int, *, down_after: float, tls: Mapping[str, str] | None
    ) -> None:
        self.port = free_port()
        self._tls = tls
        self._file = folder / f"sentinel-{self.port}.conf"
        listen = {"port": "0", "tls-port": str(self.port), **tls} if tls else {"port": str(self.port)}
        lines = [
            *(f"{name} {value}" for name, value in listen.items()),
            "bind 127.0.0.1",
            f"dir {folder}",
            f"requirepass {SENTINEL_PASSWORD}",
            f"sentinel sentinel-pass {SENTINEL_PASSWORD}",
            f"sentinel monitor {SERVICE} 127.0.0.1 {primary} {SENTINELS // 2 + 1}",
            f"sentinel auth-pass {SERVICE} {PASSWORD}",
            f"sentinel down-after-milliseconds {SERVICE} {int(down_after * 1000)}",
            f"sentinel failover-timeout {SERVICE} 3000",
        ]
        self._file.write_text("\n".join(lines) + "\n")
        self._popen = subprocess.Popen(
            [cast(str, binary_of(engine)), str(self._file), "--sentinel"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )

    def client(self) -> redis.Redis:
        """A client of it."""
        tls = self._tls or {}
        return redis.Redis(
            port=self.port,
            password=SENTINEL_PASSWORD,
            socket_timeout=5,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            ssl=bool(tls),
            ssl_ca_certs=tls.get("tls-ca-cert-file"),
            ssl_certfile=tls.get("tls-cert-file"),
            ssl_keyfile=tls.get("tls-key-file"),
        )

    def ask(self, *words: str) -> object:
        """What it answers to `SENTINEL …`; None while it cannot."""
        with self.client() as client:
            try:
                return client.execute_command(" ".join(("SENTINEL", words[0])), *words[1:])
            except redis.RedisError:
                return None

    def kill(self) -> None:
        """SIGKILL."""
        self._popen.kill()
        self._popen.wait(20)


class Watched:
    """The whole group. Use as a context manager.

    `options` are those of every server; `tls` those of sentinels too, and nothing listens without TLS then.
    """

    def __init__(
        self,
        *,
        replicas: int = 1,
        engine: str = "valkey",
        down_after: float = 1.0,
        tls: Mapping[str, str] | None = None,
        **options: str,
    ) -> None:
        secured = {"requirepass": PASSWORD, "masterauth": PASSWORD, "repl-diskless-sync-delay": "0", **options}
        self.servers = [
            secure(engine, tls, secured) if tls else RedisServer(engine, **secured) for _ in range(1 + replicas)
        ]
        self._tls = tls
        self.sentinels: list[SentinelProcess] = []
        self._engine = engine
        self._down_after = down_after
        self._stack = ExitStack()

    @property
    def url(self) -> str:
        """For `REDIS_URL`."""
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis{'s' if self._tls else ''}+sentinel://:{PASSWORD}@{hosts}/{SERVICE}/0"

    @property
    def settings(self) -> dict[str, str]:
        """The variables that lead to it."""
        return {"REDIS_URL": self.url, "REDIS_SENTINEL_PASSWORD": SENTINEL_PASSWORD}

    @property
    def primary(self) -> RedisServer:
        """The server that the sentinels say is the primary."""
        found = {port for port in map(self._primary_of, self.sentinels) if port}
        assert len(found) == 1, f"the sentinels do not agree: {found}"
        return next(server for server in self.servers if server.port in found)

    def fail_over(self, *, follow: bool = True) -> None:
        """Has a sentinel make a replica the primary, as for maintenance; waits until all know it.

        With `follow` until the sentinels have told the old primary as well, which takes them ten seconds.
        """
        before = self.primary
        # Until the sentinels have seen a replica for a while, they think none is good enough.
        wait_until(lambda: self.sentinels[0].ask("FAILOVER", SERVICE), what="a failover begins")
        self.wait_for_another(before)
        if follow:
            wait_until(lambda: self._follows(before), what="the old primary follows")

    def wait_for_another(self, before: RedisServer) -> None:
        """Waits until all sentinels agree on another primary."""
        wait_until(
            lambda: (
                len(ports := {self._primary_of(each) for each in self.sentinels}) == 1
                and ports.isdisjoint({None, before.port})
            ),
            what="another primary",
            seconds=40,
        )

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            folder = Path(tempfile.mkdtemp(prefix="rr-"))
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            for server in self.servers:
                stack.enter_context(server)
            first = self.servers[0]
            for replica in self.servers[1:]:
                with replica.client() as client:
                    client.replicaof("127.0.0.1", str(first.port))
            with first.client() as client:
                wait_until(lambda: self._followers(client) == len(self.servers) - 1, what="replicas follow")
            for _ in range(SENTINELS):
                sentinel = SentinelProcess(folder, self._engine, first.port, down_after=self._down_after, tls=self._tls)
                stack.callback(sentinel.kill)
                self.sentinels.append(sentinel)
            wait_until(lambda: all(map(self._knows_all, self.sentinels)), what="the sentinels know one another")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _follows(self, server: RedisServer) -> bool:
        with server.client() as client:
            try:
                role = cast(list[bytes], client.role())
            except redis.RedisError:
                return False  # who is demoted loses its clients
        return role[0] == b"slave"

    def _followers(self, primary: redis.Redis) -> int:
        info = cast(dict[str, object], primary.info("replication"))
        return sum("state=online" in str(value) or "'online'" in str(value) for value in info.values())

    def _knows_all(self, sentinel: SentinelProcess) -> bool:
        with sentinel.client() as client:
            try:
                known = client.sentinel_masters()[SERVICE]
            except (redis.RedisError, KeyError):
                return False
        return bool(known["num-slaves"] == len(self.servers) - 1 and known["num-other-sentinels"] == SENTINELS - 1)

    def _primary_of(self, sentinel: SentinelProcess) -> int | None:
        answer = cast(list[bytes] | None, sentinel.ask("GET-MASTER-ADDR-BY-NAME", SERVICE))
        return int(answer[1]) if answer else None


def secure(engine: str, tls: Mapping[str, str], options: Mapping[str, str]) -> RedisServer:
    """A server that speaks TLS alone, to its replicas too, beside its Unix socket."""
    port = free_port()
    server = RedisServer(engine, **{"port": "0", "tls-port": str(port), **tls, **options})
    server.port = port
    return server
