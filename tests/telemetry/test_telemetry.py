"""What leaves by Sentry and OpenTelemetry, as whoever receives it sees it; what unset settings cost."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.trace import INVALID_SPAN

from config.loading import load
from room_reports.telemetry.otel import OtelSpan
from room_reports.telemetry.tracing import FACTS
from sandbox import answers, callbacks
from sandbox.client import Sandbox
from sandbox.options import ACCOUNT_SID, AUTH_TOKEN
from sandbox.summaries import room_sid
from tests.conftest import StartWeb, StartWorker
from tests.processes.rooms import QUICK
from tests.support.processes import ROOT, Process, Web, settings_for, wait_until
from tests.telemetry.ingest import Ingest
from tests.web.wire import exchange

SENTRY_KEY = "5e17c0dec0ffee5e17c0dec0ffee5e17"
COLLECTOR_KEY = "c011ec70r-key-that-nobody-may-see"
SID = room_sid(1, 77)
REQUEST_ID = "from-the-callback-to-the-delivery"


@pytest.fixture
def ingest() -> Iterator[Ingest]:
    with Ingest() as server:
        yield server


@pytest.fixture
def env(redis_url: str, sandbox: Sandbox) -> dict[str, str]:
    """The service between the sandbox's Twilio and destinations, quick."""
    return {**settings_for(redis_url), **sandbox.environment(), **QUICK}


def call_back(web: Web) -> int:
    """Signs and posts the callback of a room, by way of a proxy that names requests. Returns the answer's status."""
    params = callbacks.form(SID, account_sid=ACCOUNT_SID)
    request = callbacks.request(url=f"{web.url}/twilio/rooms", token=AUTH_TOKEN, params=params)
    head, _, body = request.to_bytes().partition(b"\r\n\r\n")
    named = head + f"\r\nX-Request-Id: {REQUEST_ID}\r\n\r\n".encode() + body
    return exchange(web.port, named).status


def assert_holds_no_secret(ingest: Ingest, env: dict[str, str]) -> None:
    for request in ingest.received:
        for secret in load(env).secrets:
            assert secret.encode() not in request.body, request.path


class TestTraces:
    @pytest.fixture
    def traced(self, env: dict[str, str], ingest: Ingest) -> dict[str, str]:
        return {
            **env,
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"{ingest.url}/",
            "OTEL_EXPORTER_OTLP_HEADERS": f"x-api-key={COLLECTOR_KEY}",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        }

    def test_a_room_is_one_trace_from_its_callback_to_its_deliveries(
        self, traced: dict[str, str], ingest: Ingest, sandbox: Sandbox, start_web: StartWeb, start_worker: StartWorker
    ) -> None:
        sandbox.twilio.script(answers.in_progress())
        web, worker = start_web(traced), start_worker(traced)
        assert call_back(web) == 204
        expected = ["deliver to slack", "deliver to webhook", "fetch summary", "fetch summary", "status callback"]
        wait_until(lambda: len(ingest.spans()) >= len(expected), what="every span arrived")
        assert (web.stop(), worker.stop()) == (0, 0)
        spans = {span.id: span for span in ingest.spans()}
        assert sorted(span.name for span in spans.values()) == expected
        assert {span.trace for span in spans.values()} == {SID.removeprefix("RM")}
        [root] = [span for span in spans.values() if not span.parent]
        assert (root.name, root.attributes["room_reports.result"]) == ("status callback", "opened")
        assert all(span.parent == root.id for span in spans.values() if span is not root)
        for span in spans.values():
            assert span.service == "room-reports"
            assert span.events == 0
            assert {name.removeprefix("room_reports.") for name in span.attributes} <= FACTS
            assert span.attributes["room_reports.request_id"] == REQUEST_ID
        outcomes = sorted(str(span.attributes["room_reports.outcome"]) for span in spans.values() if span is not root)
        assert outcomes == ["complete", "delivered", "delivered", "waiting"]
        assert {request.headers["x-api-key"] for request in ingest.received} == {COLLECTOR_KEY}
        assert_holds_no_secret(ingest, traced)

    def test_a_collector_that_is_away_costs_no_room(
        self, env: dict[str, str], sandbox: Sandbox, start_web: StartWeb, start_worker: StartWorker
    ) -> None:
        lost = {**env, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_BSP_SCHEDULE_DELAY": "100"}
        web, worker = start_web(lost), start_worker(lost)
        assert call_back(web) == 204
        wait_until(lambda: worker.lines("report delivered"), what="the report is delivered")

    def test_a_span_takes_no_other_fact(self) -> None:
        with pytest.raises(ValueError, match="room_name"):
            OtelSpan(INVALID_SPAN).tell(room_name="confidential")


class TestErrors:
    def test_a_dead_letter_is_told(
        self,
        env: dict[str, str],
        ingest: Ingest,
        sandbox: Sandbox,
        start_web: StartWeb,
        start_worker: StartWorker,
    ) -> None:
        told = {**env, "SENTRY_DSN": ingest.dsn(SENTRY_KEY)}
        sandbox.receiver.always(answers.status(422))
        web, worker = start_web(told), start_worker(told)
        call_back(web)
        wait_until(ingest.events, what="Sentry is told")
        [event] = ingest.events()
        assert event["logentry"]["message"] == "delivery given up on: dead letter"
        assert event["tags"] == {"step": "webhook", "reason": "rejected"}
        assert (event["extra"]["room_sid"], event["extra"]["request_id"]) == (SID, REQUEST_ID)
        assert SENTRY_KEY not in worker.output()
        assert_holds_no_secret(ingest, told)

    def test_tracebacks_are_masked_and_hold_no_variables(self, env: dict[str, str], ingest: Ingest) -> None:
        told = {**env, "SENTRY_DSN": ingest.dsn(SENTRY_KEY)}
        done = subprocess.run(
            [sys.executable, "-c", FAILING], cwd=ROOT, env=told, capture_output=True, text=True, timeout=30
        )
        kinds = [error["exception"]["values"][-1]["type"] for error in ingest.events() if "exception" in error]
        assert kinds == ["ValueError", "OSError", "RuntimeError"], done.stdout + done.stderr
        frames = [
            frame
            for error in ingest.events()
            for value in error["exception"]["values"]
            for frame in value["stacktrace"]["frames"]
        ]
        assert frames
        assert not any("vars" in frame for frame in frames)
        assert "[secret]" in json.dumps(ingest.events())
        assert AUTH_TOKEN not in done.stdout + done.stderr
        assert_holds_no_secret(ingest, told)


FAILING = """
import logging, os
import structlog
from config.logs import configure
from config.loading import load
from room_reports.telemetry import start

settings = load(os.environ)
configure(settings, on_error=start(settings).on_error)
token = settings.twilio_auth_token[0].get_secret_value()
try:
    raise ValueError(f"cannot use {token}")
except ValueError:
    url = settings.slack_webhook_url.get_secret_value()
    structlog.get_logger("ours").exception("attempt failed", detail=token, url=url)
try:
    raise OSError("in a library")
except OSError:
    logging.getLogger("library").exception("told of %s", token)
logging.getLogger("urllib3.connectionpool").error("told by what tells")
structlog.get_logger("ours").warning("not an error")
raise RuntimeError(token)
"""


class TestUnset:
    def test_nothing_is_imported(self, env: dict[str, str]) -> None:
        # redis-py looks for the library's interface by itself, where it is installed.
        ours = ("sentry_sdk", "opentelemetry.exporter", "room_reports.telemetry.otel", "room_reports.telemetry.sentry")
        code = f"""
import os, sys
import app, worker
from config.loading import load
from room_reports.telemetry import start
start(load(os.environ))
app.create()
print([name for name in sys.modules if name.startswith({ours})])
"""
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True)
        assert (done.stdout.splitlines()[-1:], done.returncode) == (["[]"], 0), done.stderr

    @pytest.mark.parametrize(
        "setting, package",
        [
            ({"SENTRY_DSN": "https://key@sentry.example/1"}, "sentry_sdk"),
            ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, "opentelemetry"),
        ],
    )
    @pytest.mark.parametrize("door", ["worker.py", "gunicorn"])
    def test_a_missing_package_is_said_at_the_start(
        self, env: dict[str, str], tmp_path: Path, setting: dict[str, str], package: str, door: str
    ) -> None:
        (tmp_path / f"{package}.py").write_text("raise ImportError('not installed')")
        argv = ["worker.py"] if door == "worker.py" else ["-m", "gunicorn", "-c", "config/gunicorn.py", "app:app"]
        missing = {**env, **setting, "PYTHONPATH": str(tmp_path), "PORT": "0"}
        with Process([sys.executable, *argv], env=missing, log=tmp_path / "log") as process:
            assert process.wait() != 0
        assert f"{next(iter(setting))}: its package is not installed" in process.output()
        assert "Traceback" not in process.output()


def test_the_request_id_goes_from_the_callback_to_the_delivery(
    env: dict[str, str], sandbox: Sandbox, start_web: StartWeb, start_worker: StartWorker
) -> None:
    sandbox.twilio.script(answers.in_progress())
    sandbox.receiver.script(answers.status(503), answers.status(410))
    web, worker = start_web(env), start_worker({**env, "LOG_LEVEL": "DEBUG"})
    assert call_back(web) == 204
    wait_until(lambda: worker.lines("held: nothing is sent there for now"), what="the webhook is held")
    wait_until(lambda: worker.lines("report delivered"), what="Slack has it")
    own = [line for line in (*web.lines(), *worker.lines()) if SID in json.dumps(line) or "lane" in line]
    events = {line["event"] for line in own}
    assert {"room opened", "attempt did not finish the step", "summary fetched", "report delivered"} <= events
    assert {line["event"]: line.get("request_id") for line in own} == dict.fromkeys(events, REQUEST_ID)
