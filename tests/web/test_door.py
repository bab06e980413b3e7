"""The web door itself: importable, loud about its settings, and out of the way when told to stop."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from sandbox.options import AUTH_TOKEN
from tests.conftest import StartWeb
from tests.support.processes import ROOT, Process, answers, settings_for, wait_until
from tests.support.servers import RedisServer, free_port
from tests.web.conftest import form, jobs, post

GUNICORN = [sys.executable, "-m", "gunicorn"]


def test_importing_the_door_does_nothing() -> None:
    code = "import app, sys; print('gunicorn' in sys.modules, 'app' in vars(app)); assert not hasattr(app, 'other')"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env={}, capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stdout, result.stderr) == (0, "False False\n", "")


def test_door_loads_nothing_that_only_the_worker_needs(redis_url: str) -> None:
    code = "import app, sys; app.app; print(*sys.modules)"
    env = settings_for(redis_url)
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)
    loaded = set(result.stdout.split())
    assert {"flask", "redis", "room_reports.web.receiving"} <= loaded, result.stderr
    parts = {f"room_reports.{name}" for name in ("transport", "destinations", "insights", "jobs", "reports", "service")}
    assert loaded.isdisjoint(parts | {"requests", "urllib3", "standardwebhooks", "twilio.rest"})


def test_a84_all_problems_are_listed_and_nothing_starts(tmp_path: Path) -> None:
    env = settings_for("mysql://x", TWILIO_ACCOUNT_SID="", WORKER_THREADS="-1", PORT=str(free_port()))
    argv = [*GUNICORN, "-c", "config/gunicorn.py", "app:app"]
    with Process(argv, env=env, log=tmp_path / "log") as web:
        assert web.wait() == 2
    for name in ("TWILIO_ACCOUNT_SID", "WORKER_THREADS", "REDIS_URL"):
        assert name in web.output()
    assert "Traceback" not in web.output()
    assert AUTH_TOKEN not in web.output()


@pytest.mark.parametrize("target", ["app:app", "app:create()"])
def test_a84_gunicorn_without_our_configuration_gives_up_too(tmp_path: Path, target: str) -> None:
    argv = [*GUNICORN, "--bind", f"127.0.0.1:{free_port()}", "--no-control-socket", target]
    with Process(argv, env={}, log=tmp_path / "log") as web:
        assert web.wait() != 0
    assert web.output().count("TWILIO_ACCOUNT_SID") == 1
    assert "Traceback" not in web.output()


def test_every_line_of_the_log_is_json(start_web: StartWeb, redis_url: str) -> None:
    web = start_web(settings_for(redis_url))
    assert post(web).status == 204
    assert web.stop() == 0
    assert len(web.lines()) == len(web.output().splitlines()) > 5


def test_stop_finishes_what_was_begun(start_web: StartWeb) -> None:
    with RedisServer() as server, server.client() as client:
        web = start_web(settings_for(server.url))
        assert post(web).status == 204
        client.client_pause(timeout=60_000, all=False)
        statuses: list[int] = []
        caller = threading.Thread(target=lambda: statuses.append(post(web, form(RoomSid="RM" + "1" * 32)).status))
        caller.start()
        wait_until(lambda: any("b" in one["flags"] for one in client.client_list()), what="its thread waits for Redis")
        web.send(signal.SIGTERM)
        wait_until(lambda: "Handling signal: term" in web.output(), what="gunicorn has heard of it")
        client.client_unpause()
        caller.join()
        assert web.wait() == 0
        assert statuses == [204]


def test_worker_that_dies_is_replaced(start_web: StartWeb, redis_url: str, valkey: RedisServer) -> None:
    web = start_web(settings_for(redis_url))
    (worker,) = psutil.Process(web.pid).children()
    worker.kill()
    wait_until(lambda: answers(web.port), what="another worker answers")
    assert post(web).status == 204
    with valkey.client() as client:
        assert len(jobs(client)) == 1
