"""The embedded server keeps what it acknowledged, has its data for itself, and is reached by its socket only."""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from local.valkey import Valkey, ValkeyError, socket_path
from tests.support.processes import wait_until

ENV = {"PATH": os.environ["PATH"]}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def client(server: Valkey) -> redis.Redis:
    return redis.Redis.from_url(server.url, decode_responses=True)


def pid_of(server: Valkey) -> int:
    with client(server) as connection:
        return int(connection.info("server")["process_id"])


def test_keeps_what_it_acknowledged_when_it_is_killed(data: Path) -> None:
    with Valkey(data, env=ENV) as server:
        with client(server) as connection:
            connection.set("room", "kept")
        os.kill(pid_of(server), signal.SIGKILL)
        wait_until(lambda: server.exit_code() is not None, what="the server is dead")
        server.start()
        with client(server) as connection:
            assert connection.get("room") == "kept"


def test_keeps_its_data_over_an_orderly_stop(data: Path) -> None:
    with Valkey(data, env=ENV) as server, client(server) as connection:
        connection.set("room", "kept")
    assert server.exit_code() == 0
    with Valkey(data, env=ENV) as server, client(server) as connection:
        assert connection.get("room") == "kept"


def test_starts_fresh_when_asked(data: Path) -> None:
    with Valkey(data, env=ENV) as server, client(server) as connection:
        connection.set("room", "gone")
    (data / "service.log").write_text("of another time")
    with Valkey(data, env=ENV, fresh=True) as server, client(server) as connection:
        assert connection.get("room") is None
        assert not (data / "service.log").exists()


def test_never_evicts_and_listens_on_its_socket_only(data: Path) -> None:
    with Valkey(data, env=ENV) as server, client(server) as connection:
        assert connection.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert connection.config_get("port") == {"port": "0"}
        assert stat.S_IMODE((data / "redis.sock").stat().st_mode) == 0o700


def test_second_server_on_the_same_data_is_refused(data: Path) -> None:
    with Valkey(data, env=ENV), pytest.raises(ValkeyError, match="in use"):
        Valkey(data, env=ENV)


def test_data_stays_locked_while_the_server_lives(data: Path) -> None:
    """As after `kill -9` of whoever started it."""
    server = Valkey(data, env=ENV)
    server.start()
    os.close(server._lock)
    with pytest.raises(ValkeyError, match="in use"):
        Valkey(data, env=ENV)
    server.stop(patience=10)
    Valkey(data, env=ENV)


def test_says_why_it_cannot_start(data: Path) -> None:
    data.mkdir()
    (data / "appendonlydir").write_text("a file where the server wants a folder")
    with pytest.raises(ValkeyError, match="append-only dir"):
        Valkey(data, env=ENV).start()


@pytest.fixture(params=["with space", "with=equals", "per%20cent", "long" * 20])
def awkward(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / request.param


def test_folder_that_a_socket_cannot_be_in(awkward: Path) -> None:
    with Valkey(awkward, env=ENV) as server, client(server) as connection:
        connection.set("room", "kept")
        socket = Path(connection.connection_pool.connection_kwargs["path"])
        assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
        # RQ asks for this at the start of every worker.
        assert connection.client_info()["db"] == 0
    assert not socket.parent.exists()
    with Valkey(awkward, env=ENV) as server, client(server) as connection:
        assert connection.get("room") == "kept"


def test_socket_is_beside_the_data_where_it_can_be() -> None:
    assert socket_path(Path("/srv/room-reports/var")) == Path("/srv/room-reports/var/redis.sock")
