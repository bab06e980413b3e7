"""compose.yaml: what it says agrees with the sandbox, and its demo shows reports, in real containers."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from config.loading import load
from local.demo import FAST
from sandbox.options import Options
from tests.deploy.containers import Engine, build, missing, python_image
from tests.support.processes import ROOT, wait_until

COMPOSE = ROOT / ".venv" / "deploy" / "bin" / "podman-compose"
# Redis' own image takes connections from elsewhere though it has no password; Debian's server does not.
REDIS_SERVER = '#!/bin/sh\nexec /usr/bin/redis-server "$@" --protected-mode no\n'
PROJECT = "room-reports-proof"

Compose = Callable[..., subprocess.CompletedProcess[str]]


def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    return found


def test_the_sandbox_service_has_the_sandbox_s_account_and_the_demo_s_haste() -> None:
    settings = services()["sandbox-web"]["environment"]
    options = Options()
    assert settings == services()["sandbox-worker"]["environment"]
    assert load(settings).accounts[""].credentials == options.api_keys[0]
    assert settings["TWILIO_ACCOUNT_SID"] == options.account_sid
    assert settings["TWILIO_AUTH_TOKEN"] == options.auth_token
    assert settings["REPORT_WEBHOOK_SECRET"] == options.webhook_secrets[0]
    sizes = ("WEB_CONCURRENCY", "WORKER_THREADS")
    assert {name: settings.get(name) for name in FAST if name not in sizes} == {
        name: value for name, value in FAST.items() if name not in sizes
    }


def test_only_the_demo_starts_without_env_and_nothing_is_open_to_other_machines() -> None:
    for name, service in services().items():
        assert ("sandbox" in service.get("profiles", [])) == (name.startswith("sandbox") or name == "demo"), name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        assert service["read_only"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert name == "redis" or service["cap_drop"] == ["ALL"], name


def test_redis_keeps_what_it_acknowledged_and_stops_last() -> None:
    redis, web, worker = (services()[name] for name in ("redis", "web", "worker"))
    assert "--appendonly yes" in " ".join(redis["command"])
    assert "--maxmemory-policy noeviction" in " ".join(redis["command"])
    for service in (web, worker):
        assert service["depends_on"] == {"redis": {"condition": "service_healthy"}}


@pytest.fixture
def compose() -> Iterator[Compose]:
    """`compose("up", …)`: podman-compose on the image built now, ended and forgotten after the test."""
    engine = Engine()
    build(engine, python_image(engine))
    engine.run("tag", "localhost/room-reports", "docker.io/library/room-reports:latest")
    image = services()["redis"]["image"]
    redis = engine.image(image, "redis-server,redis-tools", files={"usr/local/bin/redis-server": REDIS_SERVER})
    stand_ins = engine.folder / "stand-ins.yaml"
    stand_ins.write_text(yaml.safe_dump({"services": {"redis": {"image": redis}}}))

    def run(*argv: str) -> subprocess.CompletedProcess[str]:
        options = ["--podman-path", str(engine.program), "--in-pod", "false", "--project-name", PROJECT]
        options += ["--file", "compose.yaml", "--file", str(stand_ins), "--profile", "sandbox"]
        return subprocess.run([str(COMPOSE), *options, *argv], capture_output=True, text=True, timeout=100, cwd=ROOT)

    yield run
    run("down", "--timeout", "5")
    engine.run("volume", "rm", "--force", f"{PROJECT}_redis", check=False)


@pytest.mark.deploy
@pytest.mark.skipif(missing() is not None, reason=f"no containers: {missing()}")
@pytest.mark.skipif(
    not COMPOSE.exists() or shutil.which("aardvark-dns", path="/usr/lib/podman") is None, reason="tools"
)
def test_the_demo_shows_every_report(compose: Compose) -> None:
    engine = Engine()
    # podman-compose waits for healthy containers by way of systemd, which may not be here: one after the other.
    for name in ("redis", "sandbox", "sandbox-web", "sandbox-worker"):
        started = compose("up", "--detach", "--no-build", "--no-deps", name)
        assert started.returncode == 0, started.stderr
        if name != "sandbox":
            check = ("healthcheck", "run", f"{PROJECT}_{name}_1")
            wait_until(lambda check=check: engine.run(*check, check=False).returncode == 0, what=f"{name} is healthy")  # type: ignore[misc]
    shown = compose("run", "--rm", "--no-deps", "demo")
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "5 rooms ended: 5 messages in Slack, 5 reports at the webhook (5 signatures verified)" in shown.stdout
