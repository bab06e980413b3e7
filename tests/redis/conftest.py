"""The whole service on a Redis of any kind: one room from its callback to its reports, and what `doctor` says."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from sandbox.client import Sandbox
from sandbox.summaries import room_sid
from tests.conftest import StartWeb, StartWorker
from tests.processes.rooms import QUICK
from tests.support.processes import ROOT, Process, settings_for, wait_until
from tests.web.conftest import form, post

Serve = Callable[..., dict[str, str]]
FLASK = str(Path(sys.executable).with_name("flask"))


@pytest.fixture
def serve(start_web: StartWeb, start_worker: StartWorker, sandbox: Sandbox, tmp_path: Path) -> Serve:
    """`serve({"REDIS_URL": …})` sees a room through on it with every process of the service. Returns their settings."""

    def through(variables: Mapping[str, str], *, number: int = 1) -> dict[str, str]:
        env = {**settings_for(""), **sandbox.environment(), **QUICK, "FLASK_SKIP_DOTENV": "1", **variables}
        sid = room_sid(1, number)
        web, worker = start_web(env), start_worker(env)
        assert post(web, form(RoomSid=sid)).status == 204, web.output()
        wait_until(
            lambda: sandbox.slack.accepted(sid) and sandbox.receiver.accepted(sid),
            what=f"{sid} is reported:\n{worker.output()}",
        )
        said = command(env, tmp_path, "doctor", "--startup")
        assert said.returncode == 0, said.stdout
        shown = command(env, tmp_path, "rooms", "show", sid)
        assert shown.returncode == 0, shown.stdout + shown.stderr
        assert worker.stop() == 0
        for process in (web, worker):
            assert "Traceback" not in process.output()
        return env

    return through


def command(env: Mapping[str, str], folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A real `flask` command with these settings."""
    environ = Process([], env=env, log=folder / "flask.log").env
    return subprocess.run(
        [FLASK, *arguments], env=environ, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
