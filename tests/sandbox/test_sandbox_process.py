"""The process: how it starts, says where it is, forgets, and ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import Any

import pytest
import requests

from sandbox import answers
from sandbox.client import ROOT, Sandbox, SandboxClient, SandboxError
from sandbox.options import Options


def start(*arguments: str, **pipes: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "sandbox", *arguments], stdout=subprocess.PIPE, cwd=ROOT, **pipes)


def first_line(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    assert process.stdout is not None
    line: dict[str, Any] = json.loads(process.stdout.readline())
    return line


def test_says_where_it_is_and_ends_on_sigterm() -> None:
    with start("--callback-url", "http://c.example", "--slack-rate", "1", "--history", "brief") as process:
        line = first_line(process)
        client = SandboxClient(line["url"])
        assert line["pid"] == process.pid
        assert {"url", "twilio_url", "slack_url", "receiver_url"} <= set(line)
        assert (client.twilio_url, client.slack_url) == (line["twilio_url"], line["slack_url"])
        assert client.options == Options(callback_url="http://c.example", slack_rate=1.0, history="brief")
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0


def test_ends_with_its_parent_if_told_to() -> None:
    with start("--exit-with-stdin", stdin=subprocess.PIPE) as process:
        first_line(process)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(5) == 0


def test_ends_on_sigterm_though_a_peer_is_left_hanging() -> None:
    with start() as process:
        client = SandboxClient(first_line(process)["url"])
        client.receiver.always(answers.hang())
        with pytest.raises(requests.ReadTimeout):
            requests.post(client.receiver_url, timeout=0.1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0


def test_a_port_in_use_is_an_error(sandbox: Sandbox, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SandboxError, match="did not start"):
        Sandbox(port=int(sandbox.url.rpartition(":")[2]))
    assert "in use" in capfd.readouterr().err


def test_options_are_given_at_the_start_and_can_change() -> None:
    options = Options(api_keys=(), webhook_secrets=("whsec_eA==", "whsec_eQ=="), slack_rate=2.0)
    with Sandbox(options) as sandbox:
        assert sandbox.options == options
        environment = sandbox.environment()
        assert environment["REPORT_WEBHOOK_SECRET"] == "whsec_eA==,whsec_eQ==" and "TWILIO_API_KEY" not in environment
        sandbox.configure(callback_url="http://c.example")
        assert sandbox.options == Options(**{**options.__dict__, "callback_url": "http://c.example"})
        sandbox.reset()
        assert sandbox.options == options
    with pytest.raises(OSError):
        requests.get(sandbox.url, timeout=1)


def test_the_environment_points_at_it(sandbox: Sandbox) -> None:
    environment = sandbox.environment()
    for name in ("TWILIO_INSIGHTS_URL", "SLACK_WEBHOOK_URL", "REPORT_WEBHOOK_URL"):
        assert environment[name].startswith(sandbox.url)
    assert all(environment.values()) and environment["ALLOW_PRIVATE_DESTINATIONS"] == "1"


def test_reset_forgets_everything(sandbox: Sandbox) -> None:
    for service in (sandbox.twilio, sandbox.slack, sandbox.receiver):
        service.always(answers.status(500))
        service.script(answers.status(500))
        service.faults(1.0)
        service.latency(0.01)
    sandbox.twilio.add_room("RM" + "0" * 32, room_name="kept?")
    requests.post(sandbox.slack_url, timeout=5)
    sandbox.reset()
    assert sandbox.slack.history() == [] and sandbox.slack.counts()["requests"] == 0
    assert sandbox.twilio.summary("RM" + "0" * 32)["room_name"] != "kept?"
    response = requests.post(sandbox.slack_url, json={"text": "x"}, timeout=5)
    assert (response.status_code, response.text) == (200, "ok")


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("/nothing", {}),
        ("/slack/nothing", {}),
        ("/nobody/script", {}),
        ("/slack/script", {"key": "*", "answers": [{"colour": "red"}]}),
        ("/slack/latency", {"seconds": "long"}),
        ("/options", {"colour": "red"}),
        ("/twilio/end_rooms", {"colour": "red"}),
    ],
)
def test_what_it_does_not_understand_is_an_error(sandbox: Sandbox, path: str, document: dict[str, Any]) -> None:
    with pytest.raises(SandboxError, match=path):
        sandbox.call("POST", path, document)
