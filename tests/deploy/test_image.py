"""The image: the Dockerfile's own commands, and containers of it as compose.yaml and Kubernetes start them."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.client import Sandbox
from tests.deploy.containers import IMAGE, Container, Engine, build, missing, python_image
from tests.support.processes import ROOT, wait_until
from tests.support.servers import RedisServer, free_port

pytestmark = [
    pytest.mark.deploy,
    pytest.mark.skipif(missing() is not None, reason=f"no containers: {missing()}"),
]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
SHELLS = ("/usr/bin/dash", "/usr/bin/bash")
WORKER = ("python", "worker.py")


@pytest.fixture(scope="module")
def engine() -> Engine:
    """With the image, built now."""
    engine = Engine()
    build(engine, python_image(engine), COMMIT=COMMIT, VERSION="1.2.3", SOURCE="https://example.com/room-reports")
    return engine


@pytest.fixture
def options(tmp_path: Path, sandbox: Sandbox, valkey: RedisServer, redis_url: str) -> list[str]:
    """Of a container on this machine's network, for the sandbox and the embedded Valkey, in which no shell can run."""
    assert redis_url == valkey.url  # empty now
    nothing = tmp_path / "nothing"
    nothing.touch(mode=0o444)
    settings = {
        **sandbox.environment(),
        "REDIS_URL": valkey.tcp_url,
        "SUMMARY_WAITS": "0.2",
        "DELIVERY_WAITS": "0.2",
        "DISPATCH_EVERY": "0.1",
        "SLACK_RATE": "0",
        "RECONCILE_EVERY": "0",
    }
    masked = [option for shell in SHELLS for option in ("--volume", f"{nothing}:{shell}:ro")]
    variables = [option for name, value in settings.items() for option in ("--env", f"{name}={value}")]
    return ["--network", "host", *masked, *variables]


@pytest.fixture
def web(engine: Engine, options: list[str]) -> Iterator[tuple[Container, str]]:
    """A web container that is healthy, and its URL."""
    port = free_port()
    with Container(engine, *options, "--env", f"PORT={port}") as container:
        wait_until(container.is_healthy, what="the HEALTHCHECK of web passes")
        yield container, f"http://127.0.0.1:{port}"


@pytest.fixture
def worker(engine: Engine, options: list[str]) -> Iterator[Container]:
    """A worker container that is healthy."""
    with Container(engine, *options, command=WORKER) as container:
        wait_until(container.is_healthy, what="the HEALTHCHECK of a worker passes")
        yield container


def facts(container: Container) -> dict[str, str]:
    """Of its first process."""
    lines = container.python("print(open('/proc/1/status').read())").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310 - a container of ours
        return str(response.read().decode())


def test_the_image_says_what_it_is(engine: Engine) -> None:
    image = engine.inspect(IMAGE)
    config, labels = image["Config"], image["Labels"]
    assert config["User"] == "10001:10001"
    assert config["StopSignal"] == "SIGTERM"
    assert config["ExposedPorts"] == {"8000/tcp": {}}
    assert image["Healthcheck"]["Test"] == ["CMD", "python", "healthcheck.py"]
    assert labels["org.opencontainers.image.title"] == "Room Reports"
    assert labels["org.opencontainers.image.version"] == "1.2.3"
    assert labels["org.opencontainers.image.revision"] == COMMIT
    assert labels["org.opencontainers.image.source"] == "https://example.com/room-reports"


def test_only_what_runs_is_in_it(engine: Engine) -> None:
    code = "import pathlib, sys; print(sorted(p.name for p in pathlib.Path('/app').iterdir()))"
    found = engine.run("run", "--rm", "--network", "none", IMAGE, "python", "-c", code).stdout
    assert found.strip() == str(
        sorted(["__pycache__", "app.py", "config", "healthcheck.py", "room_reports", "version.json", "worker.py"])
    )
    pip = engine.run("run", "--rm", "--network", "none", IMAGE, "python", "-m", "pip", check=False)
    assert "No module named pip" in pip.stderr


def test_web_needs_no_rights_no_shell_and_no_writable_root(web: tuple[Container, str], engine: Engine) -> None:
    container, url = web
    assert set(facts(container)["Uid"].split()) == {"10001"}
    assert int(facts(container)["CapBnd"], 16) == 0
    assert facts(container)["NoNewPrivs"] == "1"
    assert "Read-only file system" in container.python(
        "try: open('/app/x', 'w')\nexcept OSError as error: print(error.strerror)"
    )
    assert engine.run("exec", container.name, "sh", "-c", "true", check=False).returncode != 0
    assert json.loads(fetch(f"{url}/readyz"))["status"] == "ok"
    assert json.loads(fetch(f"{url}/__version__"))["commit"] == COMMIT
    assert container.stop() == 0
    assert "Shutting down: Master" in container.output()


def test_a_room_goes_through_both_containers(web: tuple[Container, str], worker: Container, sandbox: Sandbox) -> None:
    assert set(facts(worker)["Uid"].split()) == {"10001"}
    sent = sandbox.twilio.end_room(callback_url=f"{web[1]}/twilio/rooms")
    assert sent.status == 204, sent
    sandbox.slack.wait_for(room_sid=sent.room_sid)
    [report] = sandbox.receiver.wait_for(room_sid=sent.room_sid)
    assert report.verified


def test_sigterm_reaches_the_worker_which_finishes_what_it_does(
    web: tuple[Container, str], worker: Container, sandbox: Sandbox
) -> None:
    sandbox.slack.latency(3)
    sent = sandbox.twilio.end_room(callback_url=f"{web[1]}/twilio/rooms")
    sandbox.receiver.wait_for(room_sid=sent.room_sid)
    assert worker.stop() == 0
    assert len(sandbox.slack.accepted(sent.room_sid)) == 1
    assert "worker stopped" in worker.output()


def test_an_ill_container_is_told(engine: Engine, options: list[str]) -> None:
    with Container(engine, *options, "--env", "PORT=1", command=("python", "-c", "import time; time.sleep(60)")) as one:
        assert not one.is_healthy()


def test_settings_that_cannot_work_end_it_with_2(engine: Engine) -> None:
    for command in ((), WORKER):
        with Container(engine, "--network", "none", command=command) as container:
            assert container.wait() == 2
            assert "TWILIO_AUTH_TOKEN: not set" in container.output()


def test_commands_run_in_it(engine: Engine, options: list[str]) -> None:
    with Container(engine, *options, command=("flask", "rooms", "list")) as container:
        assert container.wait() == 0, container.output()


@pytest.mark.skipif(shutil.which("hadolint", path=str(ROOT / ".venv/deploy/bin")) is None, reason="no hadolint")
def test_the_dockerfile_is_clean() -> None:
    argv = [str(ROOT / ".venv/deploy/bin/hadolint"), "--failure-threshold", "style", str(ROOT / "Dockerfile")]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
