"""The ledger and the whole service on each version of Redis and Valkey that can be had here."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.redis.conftest import Serve
from tests.redis.versions import VERSIONS, CannotBeHad, Version, server_of
from tests.support.processes import ROOT
from tests.support.servers import RedisServer

pytestmark = pytest.mark.deploy


@pytest.fixture(params=VERSIONS, ids=str)
def version(request: pytest.FixtureRequest) -> Version:
    found: Version = request.param
    try:
        server_of(found)
    except CannotBeHad as error:
        pytest.skip(str(error))
    return found


def test_ledger(version: Version) -> None:
    tests = ("tests/test_ledger.py", "tests/test_connection.py")
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
    env = {**os.environ, "ENGINES": str(server_of(version))}
    ran = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stdout[-3000:]


def test_a_room_from_callback_to_report(version: Version, serve: Serve) -> None:
    with RedisServer(str(server_of(version)), appendonly="yes") as server:
        with server.client() as client:
            info = client.info("server")
        told = str(info.get("valkey_version", info.get("redict_version", info["redis_version"])))
        assert version.name.endswith(re.sub(r"\.\d+$", "", told)), info
        serve({"REDIS_URL": server.tcp_url})


def test_readme_lists_what_is_tried() -> None:
    page = (ROOT / "docs/redis.md").read_text()
    listed = re.search("<!-- versions -->(.*?)<!-- /versions -->", page, re.DOTALL)
    assert listed is not None
    assert re.findall(r"\d+\.\d+(?=\.\d+)", listed[1].replace("(made from Redis 7.2.4)", "")) == [
        version.name.split()[1] for version in VERSIONS
    ]
