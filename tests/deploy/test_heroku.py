"""The Procfile's commands, run as Heroku runs them: its environment, router, Redis, and its way of ending dynos."""

from __future__ import annotations

import re
import shutil
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from config.loading import load
from config.settings import Settings
from sandbox.client import Sandbox
from sandbox.options import ACCOUNT_SID, AUTH_TOKEN
from sandbox.summaries import room_sid
from tests.deploy.conftest import StartDyno
from tests.deploy.heroku import DYNO_MEMORY, Dyno, SecureRedis, app_json, call_back, config_vars, procfile
from tests.support.processes import ROOT, wait_until
from tests.support.servers import free_port

App = dict[str, str]
SUPPORTED = ("3.11", "3.12", "3.13", "3.14")


def sids(count: int, series: int = 1) -> list[str]:
    return [room_sid(series, number) for number in range(count)]


def is_up(web: Dyno) -> bool:
    assert web.is_running(), web.output()
    return "Listening at" in web.output()


def reported(sandbox: Sandbox, sid: str) -> tuple[int, int]:
    return len(sandbox.slack.accepted(sid)), len(sandbox.receiver.accepted(sid))


def wait_for_reports(sandbox: Sandbox, expected: list[str]) -> None:
    """Waits until every one of these rooms was reported everywhere."""
    wait_until(lambda: all(min(reported(sandbox, sid)) for sid in expected), what="all are reported", seconds=40)


def pressure(port: int, expected: list[str], *, clients: int = 32) -> list[int]:
    """Many callbacks at once. Returns the status of each answer, 0 where the connection broke."""

    def one(sid: str) -> int:
        try:
            return call_back(port, sid).status
        except (OSError, AssertionError):
            return 0

    with ThreadPoolExecutor(clients) as pool:
        return list(pool.map(one, expected))


class TestRelease:
    def run(self, app: App, tmp_path: Path, **changes: str) -> tuple[int, str]:
        with Dyno("release.1", {**app, **changes}, log=tmp_path / "release.log") as release:
            code = release.wait(60)
        return code, release.output()

    def test_a_configuration_that_works_goes_live(self, app: App, tmp_path: Path) -> None:
        code, said = self.run(app, tmp_path)
        assert code == 0, said
        assert "WARN  redis tls" in said
        assert "OK    twilio" in said
        assert not [secret for secret in load(app).secrets if secret in said]

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"SLACK_WEBHOOK_URL": "", "REPORT_WEBHOOK_URL": ""}, "no destination"),
            ({"REDIS_TLS_VERIFY": "1"}, "REDIS_TLS_VERIFY=0"),
            ({"REDIS_URL": "rediss://127.0.0.1:1"}, "unreachable"),
            ({"TWILIO_API_SECRET": "not-this-one"}, "TWILIO_API_KEY"),
        ],
        ids=["settings", "certificate", "redis", "credentials"],
    )
    def test_one_that_cannot_work_stops_the_release(self, app: App, tmp_path: Path, changes: App, said: str) -> None:
        code, output = self.run(app, tmp_path, **changes)
        assert code == 1, output
        assert said in output


class TestDynos:
    def test_from_a_callback_through_the_router_to_its_report(
        self, app: App, start_dyno: StartDyno, sandbox: Sandbox
    ) -> None:
        web, worker = start_dyno("web.1", app), start_dyno("worker.1", app)
        wait_until(lambda: is_up(web), what="the web dyno listens")
        [sid] = sids(1)
        assert call_back(web.port, sid).status == 204
        wait_for_reports(sandbox, [sid])
        assert reported(sandbox, sid) == (1, 1)
        assert sandbox.receiver.accepted(sid)[0].verified
        assert call_back(web.port, room_sid(2), proto="http").status == 403
        assert call_back(web.port, room_sid(3), token="another").status == 403
        for dyno in (web, worker):
            [warning] = [line for line in dyno.lines("redis needs attention") if line["check"] == "redis tls"]
            assert "not verified" in warning["problem"]
            assert not [secret for secret in load(app).secrets if secret in dyno.output()]
        assert "TwilioProxy" not in web.output(), "the buildpack's access log is one line too many for each request"

    def test_all_processes_are_told_to_stop_at_once_and_nothing_is_lost(
        self, app: App, start_dyno: StartDyno, sandbox: Sandbox
    ) -> None:
        web, worker = start_dyno("web.1", app), start_dyno("worker.1", app)
        wait_until(lambda: is_up(web), what="the web dyno listens")
        sandbox.twilio.latency(0.5)
        sandbox.receiver.latency(0.5)
        expected = sids(120, series=4)
        answers: list[int] = []
        callers = threading.Thread(target=lambda: answers.extend(pressure(web.port, expected, clients=8)))
        callers.start()
        wait_until(lambda: len(sandbox.receiver.history()) >= 3, what="reports are on their way")
        web.tell()
        worker.tell()
        codes = web.await_end(), worker.await_end()
        callers.join()
        assert codes == (0, 0), web.output() + worker.output()
        taken = [sid for sid, status in zip(expected, answers, strict=True) if status == 204]
        assert taken
        assert set(answers) <= {204, 503, 0}
        sandbox.twilio.latency(0)
        sandbox.receiver.latency(0)
        start_dyno("worker.2", app)
        wait_for_reports(sandbox, taken)
        assert {reported(sandbox, sid) for sid in taken} == {(1, 1)}

    @pytest.mark.deploy
    def test_what_does_not_stop_is_killed_and_nothing_is_lost(
        self, app: App, start_dyno: StartDyno, sandbox: Sandbox
    ) -> None:
        app = {**app, "STEP_LEASE": "42"}
        web, worker = start_dyno("web.1", app), start_dyno("worker.1", app)
        wait_until(lambda: is_up(web), what="the web dyno listens")
        sandbox.receiver.latency(60)
        expected = sids(20, series=5)
        assert set(pressure(web.port, expected)) == {204}
        wait_until(lambda: len(sandbox.receiver.history()) >= 3, what="reports are on their way")
        for process in worker.processes():
            process.suspend()
        started = time.monotonic()
        assert worker.cycle() == -9
        assert time.monotonic() - started >= 30
        assert web.cycle() == 0
        sandbox.receiver.latency(0)
        start_dyno("worker.2", app)
        wait_until(lambda: all(min(reported(sandbox, sid)) for sid in expected), what="all", seconds=90)
        assert {reported(sandbox, sid)[0] for sid in expected} == {1}


@pytest.mark.deploy
class TestSize:
    def test_the_smallest_dynos_and_the_smallest_plan_carry_a_burst(
        self, app: App, start_dyno: StartDyno, sandbox: Sandbox, secure_redis: SecureRedis
    ) -> None:
        web, worker = start_dyno("web.1", app), start_dyno("worker.1", app)
        wait_until(lambda: is_up(web), what="the web dyno listens")
        sandbox.receiver.latency(0.1)
        most = {"connections": 0.0, "web": 0.0, "worker": 0.0}
        done = threading.Event()

        def watch() -> None:
            with secure_redis.client() as client:
                while not done.wait(0.05):
                    sizes = (client.info("clients")["connected_clients"], web.memory(), worker.memory())
                    most.update({name: max(most[name], now) for name, now in zip(most, sizes, strict=True)})

        watcher = threading.Thread(target=watch)
        watcher.start()
        expected = sids(300, series=6)
        assert set(pressure(web.port, expected, clients=64)) == {204}
        wait_for_reports(sandbox, expected)
        done.set()
        watcher.join()
        with secure_redis.client() as client:
            assert client.info("stats")["rejected_connections"] == 0
        print(", ".join(f"{name}: {value / (1 if name == 'connections' else 1e6):.0f}" for name, value in most.items()))
        assert max(most["web"], most["worker"]) < DYNO_MEMORY / 2


class TestFiles:
    def test_every_command_of_the_procfile_is_there(self) -> None:
        assert set(procfile()) == {"release", "web", "worker"}
        for command in procfile().values():
            assert shutil.which(command.split()[0], path=str(Path(sys.executable).parent)), command

    def test_python_is_one_that_heroku_and_the_lock_have(self) -> None:
        assert (ROOT / ".python-version").read_text().strip() in SUPPORTED

    def test_button_describes_settings_that_exist(self) -> None:
        about = app_json()["env"]
        assert set(about) <= {name.upper() for name in Settings.model_fields}
        for name, entry in about.items():
            assert len(entry["description"]) > 20, name
            assert {"required", "generator", "value"} & set(entry), name

    def test_button_asks_for_what_nothing_works_without(self) -> None:
        needed = {name.upper() for name, field in Settings.model_fields.items() if field.is_required()}
        assert needed == {name for name, entry in app_json()["env"].items() if entry.get("required")}

    def test_what_the_button_sets_is_valid_with_one_destination(self) -> None:
        settings = load(
            {
                **config_vars(),
                "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
                "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
                "SLACK_WEBHOOK_URL": "https://hooks.slack.com/services/T0/B0/x",
                "REDIS_URL": f"rediss://:p@127.0.0.1:{free_port()}",
            }
        )
        assert (settings.trusted_proxies, settings.redis_tls_verify) == (1, False)

    def test_button_starts_what_the_procfile_has(self) -> None:
        assert set(app_json()["formation"]) == set(procfile()) - {"release"}
        assert re.fullmatch(r"heroku-redis:premium-\d+", app_json()["addons"][0]["plan"]), "mini keeps nothing"
