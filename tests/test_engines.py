"""Which servers the tests run against, said once in every test report."""

from __future__ import annotations

import pytest

from tests.support.servers import ENGINES, RedisServer, binary_of


@pytest.mark.parametrize("engine", ENGINES)
def test_engine_is_installed_and_keeps_what_it_acknowledged(engine: str) -> None:
    if binary_of(engine) is None:
        pytest.skip(f"{engine} is not installed, so nothing ran against it (Debian: apt-get install redis-server)")
    with RedisServer(engine, appendonly="yes") as server:
        with server.client() as client:
            client.set("kept", "yes")
        server.kill()
        server.start()
        with server.client() as client:
            assert client.get("kept") == b"yes"
