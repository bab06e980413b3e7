"""Redis Cluster is refused in words, by everything that starts."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.redis.conftest import command
from tests.support.processes import ROOT, Process, settings_for, wait_until
from tests.support.servers import RedisServer, free_port

WORDS = "Redis Cluster is not supported"
WEB = [sys.executable, "-m", "gunicorn", "-c", "config/gunicorn.py", "app:app"]
WORKER = [sys.executable, "worker.py"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisServer]:
    """A cluster of one node that has all slots, so everything that stays on one slot would work."""
    with RedisServer(**{"cluster-enabled": "yes", "cluster-port": str(free_port())}) as server:
        with server.client() as client:
            client.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
            wait_until(
                lambda: client.execute_command("CLUSTER INFO")["cluster_state"] == "ok", what="the cluster is up"
            )
        yield server


@pytest.mark.parametrize("argv", [WEB, WORKER], ids=["web", "worker"])
def test_process_ends_at_once_and_says_why(cluster: RedisServer, argv: list[str], tmp_path: Path) -> None:
    env = {**settings_for(cluster.tcp_url), "PORT": str(free_port())}
    process = Process(argv, env=env, log=tmp_path / "log")
    ended = subprocess.run(
        argv, env=process.env, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30, check=False
    )
    said = ended.stdout.decode()
    assert ended.returncode not in (0, 1), said
    assert WORDS in said
    assert "Traceback" not in said


def test_doctor_says_so(cluster: RedisServer, tmp_path: Path) -> None:
    said = command(settings_for(cluster.tcp_url), tmp_path, "doctor", "--startup")
    assert said.returncode == 1
    assert WORDS in said.stdout
    assert "Traceback" not in said.stdout + said.stderr
