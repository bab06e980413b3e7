"""The real `flask` command in a process of its own: found without settings, fast where it must be, kind to pipes."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from room_reports.cli import COMMANDS
from room_reports.ledger import Ledger
from sandbox.client import Sandbox
from tests.cli.conftest import RunFlask
from tests.cli.rooms import delivered_room, open_room, sid_of
from tests.conftest import StartWeb, StartWorker
from tests.support.processes import ROOT, wait_until

FLASK = str(Path(sys.executable).with_name("flask"))


def environment(env: dict[str, str], home: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(home), "FLASK_SKIP_DOTENV": "1", **env}


def test_help_lists_every_command_without_any_setting(run_flask: RunFlask) -> None:
    result = run_flask("--help", settings={})
    assert result.returncode == 0
    for name in COMMANDS:
        assert f"\n  {name} " in result.stdout
    assert result.stderr == ""


@pytest.mark.parametrize(
    "arguments",
    [(name,) for name in COMMANDS if name != "rooms"]
    + [("rooms", name) for name in ("list", "show", "resend", "resume", "holds", "export", "reconcile")],
)
def test_every_command_explains_itself(run_flask: RunFlask, arguments: tuple[str, ...]) -> None:
    result = run_flask(*arguments, "--help", settings={})
    assert result.returncode == 0
    assert result.stdout.startswith(f"Usage: flask {' '.join(arguments)}")


def test_settings_that_cannot_work_are_told_by_doctor_and_stop_the_rest(run_flask: RunFlask) -> None:
    doctor = run_flask("doctor", "--startup", settings={})
    assert doctor.returncode == 1
    assert "FAIL  settings           TWILIO_AUTH_TOKEN: not set" in doctor.stdout
    rooms = run_flask("rooms", "list", settings={})
    assert (rooms.returncode, rooms.stdout) == (2, "")
    assert "TWILIO_AUTH_TOKEN: not set" in rooms.stderr


def test_the_service_itself_is_still_what_flask_routes_shows(run_flask: RunFlask) -> None:
    assert "/readyz" in run_flask("routes").stdout


def test_worker_alive_imports_nothing_of_the_service(env: dict[str, str], tmp_path: Path) -> None:
    argv = [sys.executable, "-X", "importtime", FLASK, "worker-alive"]
    result = subprocess.run(
        argv, env=environment(env, tmp_path), cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    imported = {line.rpartition("|")[2].strip() for line in result.stderr.splitlines() if "|" in line}
    assert "room_reports.heartbeat" in imported
    assert imported.isdisjoint({"redis", "rq", "requests", "pydantic", "structlog", "twilio", "config.settings"})


def test_worker_says_that_it_lives_and_that_it_has_stopped(
    run_flask: RunFlask, env: dict[str, str], start_worker: StartWorker, tmp_path: Path
) -> None:
    here = {"TMPDIR": str(tmp_path)}
    assert run_flask("worker-alive", **here).returncode == 1
    worker = start_worker({**env, **here})
    wait_until(lambda: run_flask("worker-alive", **here).returncode == 0, what="the worker's sign of life")
    worker.stop()
    assert run_flask("worker-alive", **here).returncode == 1


def test_whole_installation_is_healthy_and_a_simulated_room_is_reported(
    run_flask: RunFlask, env: dict[str, str], start_web: StartWeb, start_worker: StartWorker, sandbox: Sandbox
) -> None:
    web = start_web(env)
    start_worker(env)
    here = {"PORT": str(web.port), "PUBLIC_BASE_URL": ""}
    sent = run_flask("simulate", "--room", sid_of(7), **here)
    assert sent.returncode == 0, sent.stderr
    sandbox.slack.wait_for(1, room_sid=sid_of(7))
    wait_until(
        lambda: json.loads(run_flask("rooms", "show", sid_of(7), "--json").stdout)["state"] == "delivered",
        what="the room is delivered",
    )
    resent = run_flask("rooms", "resend", sid_of(7), "--destination", "slack", "--yes")
    assert resent.returncode == 0, resent.stderr
    sandbox.slack.wait_for(2, room_sid=sid_of(7))
    wait_until(lambda: run_flask("doctor", **here).returncode == 0, what="the doctor finds nothing that fails")


def test_reader_that_has_seen_enough_of_an_export_is_no_fault(
    env: dict[str, str], ledger: Ledger, tmp_path: Path
) -> None:
    for number in range(500):
        open_room(ledger, number)
    process = subprocess.Popen(
        [FLASK, "rooms", "export"],
        env=environment(env, tmp_path),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert json.loads(process.stdout.readline())["sid"] == sid_of(0)
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    process.wait(60)
    assert errors == ""


def test_progress_is_shown_on_a_terminal_beside_clean_output(
    env: dict[str, str], ledger: Ledger, tmp_path: Path
) -> None:
    for number in range(3):
        delivered_room(ledger, number)
    terminal, its_end = pty.openpty()
    os.set_blocking(terminal, False)  # what is not there is not waited for
    try:
        result = subprocess.run(
            [FLASK, "rooms", "export"],
            env=environment(env, tmp_path),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=its_end,
            text=True,
            timeout=60,
            check=True,
        )
        shown = os.read(terminal, 10_000).decode()
    finally:
        os.close(terminal)
        os.close(its_end)
    assert [json.loads(line)["sid"] for line in result.stdout.splitlines()] == [sid_of(number) for number in range(3)]
    assert "exporting" in shown
    assert "100%" in shown


def test_name_that_the_terminal_cannot_show_does_not_end_the_command(run_flask: RunFlask, ledger: Ledger) -> None:
    sid = delivered_room(ledger, name="会議")
    result = run_flask("rooms", "show", sid, PYTHONIOENCODING="latin-1")
    assert result.returncode == 0
    assert "\\u4f1a\\u8b70" in result.stdout
