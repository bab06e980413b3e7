"""The demo, as a newcomer runs it: real processes, and an exit code that tells the truth."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import redis

from local.demo import FAST, SCENES, compact, without_settings
from local.valkey import Valkey
from sandbox.client import Sandbox
from tests.conftest import StartWeb, StartWorker
from tests.local.looking import pids_of
from tests.support.processes import Process, wait_until


def demo(tmp_path: Path, *options: str, **variables: str) -> Process:
    argv = [sys.executable, "-m", "local.demo", "--folder", str(tmp_path / "demo"), *options]
    return Process(argv, env=variables, log=tmp_path / "output")


def test_demo_shows_every_report(tmp_path: Path) -> None:
    # Settings of the developer, of which nothing may reach the demo.
    with demo(
        tmp_path, HTTPS_PROXY="http://127.0.0.1:9", WORKER_THREADS="none", TWILIO_AUTH_TOKEN_FILE="/nowhere"
    ) as it:
        assert it.wait(60) == 0, it.output()
    output = it.output()
    assert output.count("In Slack:\n   ┃") == len(SCENES)
    assert output.count("signature verified, webhook-id msg_RM") == len(SCENES)
    assert "5 rooms ended: 5 messages in Slack, 5 reports at the webhook (5 signatures verified), 1 partial" in output
    assert "[PING" not in output
    assert "<!channel> & *co*" in output
    assert "room opened" in (tmp_path / "demo" / "service.log").read_text()


def test_demo_says_what_did_not_arrive(tmp_path: Path) -> None:
    with demo(tmp_path, "--timeout", "0.5") as it:
        assert it.wait(60) == 1, it.output()
    assert "standup-42: no message in Slack" in it.output()
    assert "standup-42: no report at the webhook" in it.output()
    assert it.output().splitlines()[-1].startswith("Not everything arrived as it should")


def test_demo_plays_with_what_runs_already_and_again(
    tmp_path: Path, start_web: StartWeb, start_worker: StartWorker, sandbox: Sandbox, redis_url: str
) -> None:
    settings = {**sandbox.environment(), **FAST, "REDIS_URL": redis_url}
    web = start_web(settings)
    start_worker(settings)
    sandbox.configure(callback_url=f"{web.url}/twilio/rooms")
    for _ in range(2):
        with demo(tmp_path, "--sandbox", sandbox.url) as it:
            assert it.wait(60) == 0, it.output()
        assert "5 rooms ended: 5 messages in Slack, 5 reports at the webhook (5 signatures verified)" in it.output()


def test_demo_says_why_it_cannot_run_and_disturbs_nobody(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    folder.mkdir()
    (folder / "lock").touch()  # of one that has ended
    with Valkey(folder, env={"PATH": os.environ["PATH"]}) as running, redis.Redis.from_url(running.url) as connection:
        connection.set("room", "kept")
        with demo(tmp_path) as it:
            assert it.wait(60) == 1
        assert "The demo could not run: another one is running" in it.output()
        assert connection.get("room") == b"kept"


@pytest.mark.skipif(not Path("/proc").exists(), reason="needs /proc: the tether holds on Linux only")
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_of_a_demo_that_is_ended(tmp_path: Path, signum: signal.Signals) -> None:
    with demo(tmp_path) as it:
        wait_until(lambda: "5 rooms have ended" in it.output(), what="all processes are up")
        for command in ("valkey-server", "gunicorn", "worker.py", "honcho"):
            assert pids_of(command, tmp_path), f"{command} is not to be seen"
        it.send(signum)
        code = it.wait(60)
        wait_until(lambda: not pids_of("", tmp_path), what="nothing is left")
    assert code == (-signal.SIGKILL if signum == signal.SIGKILL else 130)
    assert "Traceback" not in it.output()


def test_settings_of_the_developer_stay_out() -> None:
    environ = {"PATH": "/bin", "TWILIO_AUTH_TOKEN": "t", "SLACK_WEBHOOK_URL_FILE": "f", "https_proxy": "p", "LANG": "C"}
    assert without_settings(environ) == {"PATH": "/bin", "LANG": "C"}


@pytest.mark.parametrize(
    "value",
    [
        {},
        [],
        None,
        "ü",
        {"a": 1},
        {"a": {"b": "x" * 90, "c": [1, 2]}, "d": None},
        {"l": [{"k": "v" * 60}] * 3, "m": []},
    ],
)
def test_compact_json_is_the_same_json(value: Any) -> None:
    assert json.loads(compact(value)) == value


def test_compact_json_fits_the_page() -> None:
    value = {f"field_{number}": {"inner": number, "list": list(range(number))} for number in range(30)}
    assert max(len(line) for line in compact(value).splitlines()) <= 96
