"""The units for a virtual machine: well formed, tight, and their commands run as systemd would run them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from config.loading import load
from config.settings import Settings, is_secret
from sandbox import callbacks
from sandbox.client import Sandbox
from sandbox.options import ACCOUNT_SID, AUTH_TOKEN
from sandbox.summaries import room_sid
from tests.support.processes import ROOT, Process, wait_until
from tests.support.servers import free_port
from tests.web.wire import send

FOLDER = ROOT / "deploy" / "systemd"
UNITS = ("room-reports-web.service", "room-reports-worker@.service")
HOME = "/opt/room-reports"
MOST_EXPOSED = 15
"""Of 100, as `systemd-analyze security` counts."""

analyzer = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")


def directives(unit: str) -> dict[str, list[str]]:
    """Every directive of a unit, with all of its values."""
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^([A-Za-z]+)=(.*)$", (FOLDER / unit).read_text(), re.MULTILINE):
        found.setdefault(name, []).append(value)
    return found


def command_of(unit: str) -> list[str]:
    """What a unit starts, with the place of this checkout."""
    [line] = directives(unit)["ExecStart"]
    return line.replace(HOME, str(ROOT)).split()


@pytest.fixture
def etc(tmp_path: Path, sandbox: Sandbox, redis_url: str) -> Path:
    """/etc/room-reports as docs/deploy/vm.md makes it, and the copies of its secrets that systemd makes."""
    etc = tmp_path / "etc"
    (etc / "secrets").mkdir(parents=True)
    (etc / "credentials").mkdir()
    variables = {**sandbox.environment(), "REDIS_URL": redis_url, "SUMMARY_WAITS": "0.2", "DISPATCH_EVERY": "0.1"}
    variables |= {"PORT": str(free_port()), "WEB_CONCURRENCY": "1", "RECONCILE_EVERY": "0"}
    lines = []
    for name, value in variables.items():
        if is_secret(Settings.model_fields[name.lower()]):
            (etc / "secrets" / name).write_text(value + "\n")
            (etc / "credentials" / f"secrets_{name}").write_text(value + "\n")
        else:
            lines.append(f"{name}={value}\n")
    (etc / "settings").write_text("".join(lines))
    return etc


def settings_in(etc: Path) -> dict[str, str]:
    """EnvironmentFile= as systemd reads it."""
    return dict(line.split("=", 1) for line in (etc / "settings").read_text().splitlines())


def as_systemd_starts(unit: str, etc: Path, log: Path) -> Process:
    """A unit's command with the environment that its directives give it."""
    return Process(
        command_of(unit), env={**settings_in(etc), "CREDENTIALS_DIRECTORY": str(etc / "credentials")}, log=log
    )


def here(unit: str, folder: Path) -> str:
    """A copy of a unit that names this checkout, for the analyzer looks whether commands are there."""
    copy = folder / unit
    copy.write_text((FOLDER / unit).read_text().replace(HOME, str(ROOT)))
    return str(copy)


@analyzer
def test_units_are_well_formed(tmp_path: Path) -> None:
    argv = ["systemd-analyze", "verify", "--man=no", *(here(unit, tmp_path) for unit in UNITS)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@analyzer
@pytest.mark.parametrize("unit", UNITS)
def test_units_are_tight(unit: str) -> None:
    argv = ["systemd-analyze", "security", "--offline=true", f"--threshold={MOST_EXPOSED}", str(FOLDER / unit)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_web_and_worker_report_a_room_and_stop_in_time(etc: Path, tmp_path: Path, sandbox: Sandbox) -> None:
    port, sid = int(settings_in(etc)["PORT"]), room_sid(8)
    with (
        as_systemd_starts(UNITS[0], etc, tmp_path / "web.log") as web,
        as_systemd_starts(UNITS[1], etc, tmp_path / "worker.log") as worker,
    ):
        wait_until(lambda: "Listening at" in web.output(), what="the web process listens")
        form = callbacks.form(sid, account_sid=ACCOUNT_SID)
        request = callbacks.request(f"http://127.0.0.1:{port}/twilio/rooms", form, token=AUTH_TOKEN)
        assert send(port, request).status == 204
        wait_until(lambda: sandbox.slack.accepted(sid) and sandbox.receiver.accepted(sid), what="the report")
        for process, unit in ((web, UNITS[0]), (worker, UNITS[1])):
            assert process.stop(float(directives(unit)["TimeoutStopSec"][0])) == 0


@pytest.mark.parametrize("unit", UNITS)
def test_what_cannot_work_ends_with_the_code_that_is_not_tried_again(unit: str, etc: Path, tmp_path: Path) -> None:
    (etc / "credentials" / "secrets_TWILIO_AUTH_TOKEN").unlink()
    with as_systemd_starts(unit, etc, tmp_path / "log") as process:
        assert str(process.wait()) in directives(unit)["RestartPreventExitStatus"]
    assert "TWILIO_AUTH_TOKEN: not set" in process.output()


def test_operator_gets_the_same_settings(etc: Path, tmp_path: Path) -> None:
    argv = [str(FOLDER / "run"), "flask", "doctor", "--startup"]
    with Process(argv, env={"ROOM_REPORTS_ETC": str(etc)}, log=tmp_path / "log") as doctor:
        assert doctor.wait() == 0, doctor.output()
    assert "OK    twilio" in doctor.output()


def test_service_stops_before_systemd_kills() -> None:
    grace = float(Settings.model_fields["shutdown_grace"].default)
    assert float(directives(UNITS[1])["TimeoutStopSec"][0]) > grace + 5


def test_settings_that_are_handed_out_exist() -> None:
    shown = re.findall(r"^([A-Z_]+)=", (FOLDER / "settings").read_text(), re.MULTILINE)
    assert shown
    assert set(shown) <= {name.upper() for name in Settings.model_fields}
    example = dict(re.findall(r"^([A-Z_]+)=(.+)$", (FOLDER / "settings").read_text(), re.MULTILINE))
    secrets = {"TWILIO_AUTH_TOKEN": "t", "SLACK_WEBHOOK_URL": "https://hooks.slack.com/services/T0/B0/x"}
    assert load({**example, **secrets, "TWILIO_ACCOUNT_SID": ACCOUNT_SID}).public_base_url
