"""`make run`: kept up, stopped in order, and plain about what cannot work."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from local.run import STEADY
from tests.local.looking import pids_of
from tests.support.processes import Process, answers, settings_for, wait_until
from tests.support.servers import free_port

Run = Callable[..., Process]


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def run(tmp_path: Path, port: int) -> Iterator[Run]:
    """`run(**variables)`: what `make run` starts, with a settings file and data of its own."""
    started: list[Process] = []

    def start(**variables: str) -> Process:
        settings = settings_for("", PORT=str(port), WEB_CONCURRENCY="1") | variables
        (tmp_path / "env").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        argv = [sys.executable, "-m", "local.run", "--env", str(tmp_path / "env"), "--data", str(tmp_path / "data")]
        started.append(Process(argv, env={}, log=tmp_path / "output").start())
        return started[-1]

    yield start
    for process in started:
        process.stop(60)


def wait_until_up(process: Process, port: int) -> None:
    wait_until(lambda: answers(port, "/readyz") or not process.is_running(), what="it takes callbacks")
    assert process.is_running(), process.output()


def test_runs_and_stops_with_everything_kept(run: Run, port: int, tmp_path: Path) -> None:
    process = run()
    wait_until_up(process, port)
    url = re.findall(r"REDIS_URL='(unix://[^']+)'", process.output())[0]
    with redis.Redis.from_url(url) as client:
        client.set("kept", "yes")
    assert process.stop(60) == 0
    assert process.output().splitlines()[-1] == "Stopped. Rooms that are not finished go on at the next start."
    # The worker said goodbye while the server was still there to hear it.
    assert "worker could not say goodbye" not in process.output()
    assert "worker stopped" in process.output()
    wait_until_up(run(), port)
    with redis.Redis.from_url(url) as client:
        assert client.get("kept") == b"yes"


@pytest.mark.skipif(not Path("/proc").exists(), reason="finds processes in /proc")
def test_starts_again_what_ended_by_itself(run: Run, port: int, tmp_path: Path) -> None:
    process = run()
    wait_until_up(process, port)
    wait_until(lambda: pids_of("worker.py", tmp_path), what="the worker runs")
    (server,) = pids_of("valkey-server", tmp_path)
    before = pids_of("worker.py", tmp_path)
    wait_until(lambda: min(map(age, [server, *before])) > STEADY, what="their ends would be no mistake in the settings")
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: "worker ended with exit code" in process.output(), what="the end is noticed")
    wait_until(lambda: set(pids_of("worker.py", tmp_path)) - set(before), what="there is a new worker")
    os.kill(server, signal.SIGKILL)
    wait_until(lambda: "valkey ended with exit code -9" in process.output(), what="the end is noticed")
    wait_until_up(process, port)
    assert process.stop(60) == 0


def age(pid: int) -> float:
    """Seconds since a process started."""
    ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    return float(Path("/proc/uptime").read_text().split()[0]) - ticks / os.sysconf("SC_CLK_TCK")


def test_port_that_is_taken_ends_it_with_a_reason(run: Run, port: int) -> None:
    with socket.create_server(("", port)):
        process = run()
        assert process.wait(60) == 1
    last = process.output().splitlines()[-1]
    assert last == "Stopped, because web ended with exit code 1 right after its start; its lines above say why."


def test_settings_that_cannot_work_are_listed_and_nothing_starts(run: Run, tmp_path: Path) -> None:
    process = run(WORKER_THREADS="many", REPORT_WEBHOOK_SECRET="")
    assert process.wait(60) == 2
    assert "WORKER_THREADS" in process.output()
    assert "REPORT_WEBHOOK_SECRET" in process.output()
    assert not (tmp_path / "data" / "redis.sock").exists()


def test_redis_of_the_settings_is_used(run: Run, port: int, redis_url: str, tmp_path: Path) -> None:
    process = run(REDIS_URL=redis_url)
    wait_until_up(process, port)
    with redis.Redis.from_url(redis_url) as client:
        wait_until(lambda: client.keys("rq:worker:*"), what="a worker is registered there")
    assert not (tmp_path / "data").exists()


def test_values_are_read_as_they_are(run: Run, port: int) -> None:
    """Honcho's own reading of `.env` would end a value at the #; interpolation would eat the dollar sign."""
    process = run(TWILIO_AUTH_TOKEN="a#b$PATH", PUBLIC_BASE_URL="https://reports.example.com")
    wait_until_up(process, port)
    assert "https://reports.example.com/twilio/rooms" in process.output()


def test_without_settings_it_says_how_to_begin(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "local.run", "--env", str(tmp_path / ".env"), "--data", str(tmp_path / "data")]
    with Process(argv, env={}, log=tmp_path / "output") as process:
        assert process.wait(60) == 2
    assert process.output() == "There is no .env yet. Begin with: cp config/sample.env .env\n"
