"""Clients of Redis: the kinds of URL, enough connections, and the trap of a socket path with a space."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import pytest
import redis

from config.loading import load
from config.settings import Settings
from room_reports.connection import loop_client, web_client, worker_client
from tests.conftest import StartWorker
from tests.support.processes import settings_for, wait_until
from tests.support.servers import ENGINES, RedisServer, binary_of, free_port


def settings(url: str, **variables: str) -> Settings:
    return load(settings_for(url, **variables))


def test_making_a_client_connects_to_nothing() -> None:
    for make in (web_client, worker_client):
        make(settings("redis://192.0.2.1:1/0")).close()


def test_unix_and_tcp(valkey: RedisServer) -> None:
    for url in (valkey.url, valkey.tcp_url):
        for make in (web_client, worker_client):
            with make(settings(url)) as client:
                assert client.ping()


def test_worker_runs_on_a_socket_whose_path_has_a_space(start_worker: StartWorker) -> None:
    with tempfile.TemporaryDirectory(prefix="a b ") as directory:
        path = Path(directory) / "s"
        with RedisServer(unixsocket=str(path)) as server, server.client() as client:
            worker = start_worker(settings_for(f"unix://{quote(str(path))}?db=0"))
            wait_until(lambda: client.scard("rq:workers"), what="the worker to register")
            assert worker.stop() == 0


def test_every_thread_of_a_worker_has_a_connection(redis_url: str) -> None:
    threads = 128
    with worker_client(settings(redis_url, WORKER_THREADS=str(threads))) as client:
        with ThreadPoolExecutor(threads) as pool:
            answers = list(pool.map(lambda _: client.blpop(["nothing"], timeout=0.5), range(threads)))
    assert answers == [None] * threads


@pytest.mark.parametrize("engine", [engine for engine in ENGINES if binary_of(engine)])
@pytest.mark.parametrize("make", [web_client, loop_client])
def test_connection_to_a_server_that_was_demoted_is_given_up(
    engine: str, make: Callable[[Settings], redis.Redis]
) -> None:
    """Where DNS says which server is the primary, it is looked up anew only by a new connection."""
    with RedisServer(engine) as server, server.client() as admin, make(settings(server.tcp_url)) as client:
        writes: tuple[Callable[[], object], ...] = (
            lambda: client.set("a", "b"),
            lambda: client.eval("return redis.call('SET', 'a', 'b')", 0),
        )
        for write in writes:
            known = client.client_id()
            admin.replicaof("127.0.0.1", str(free_port()))
            with pytest.raises(redis.ReadOnlyError):
                write()
            admin.replicaof("NO", "ONE")
            assert client.client_id() != known


@pytest.mark.parametrize(("verify", "expected"), [("1", "required"), ("0", "none")])
def test_tls_is_verified_unless_told_otherwise(verify: str, expected: str) -> None:
    client = web_client(settings("rediss://127.0.0.1:1/0", REDIS_TLS_VERIFY=verify))
    assert isinstance(client.connection_pool.make_connection(), redis.SSLConnection)
    assert str(client.connection_pool.connection_kwargs.get("ssl_cert_reqs", "required")) == expected
