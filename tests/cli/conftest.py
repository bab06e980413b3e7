"""Commands under test: run in this process with click's runner, or as a real `flask` in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
import structlog
from click.testing import CliRunner, Result

from config.loading import load
from config.settings import Settings
from room_reports.cli import Commands
from room_reports.lanes import make_ledger
from room_reports.ledger import Ledger
from sandbox.client import Sandbox
from tests.support.processes import ROOT, settings_for
from tests.support.secrecy import SECRECY

Run = Callable[..., Result]
RunFlask = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def env(redis_url: str, sandbox: Sandbox) -> dict[str, str]:
    """The settings of a service that reports from and to the sandbox."""
    return {**settings_for(redis_url), **sandbox.environment()}


@pytest.fixture
def settings(env: dict[str, str]) -> Settings:
    """The same, loaded."""
    return load(env)


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    """The ledger that the commands see."""
    with redis.Redis.from_url(settings.redis_url.get_secret_value()) as client:
        yield make_ledger(settings, client)


@pytest.fixture
def run(env: dict[str, str]) -> Iterator[Run]:
    """`run("rooms", "list", input="y", CHANGED="setting")` runs a command with these settings and no others."""

    def call(*args: str, input: str | None = None, **changes: str) -> Result:
        unset = {name.upper(): None for name in Settings.model_fields}
        SECRECY.know({**env, **changes})
        result = CliRunner().invoke(Commands(), list(args), input=input, env={**unset, **env, **changes})
        SECRECY.look(f"the output of flask {args}", result.output.encode())
        return result

    yield call
    structlog.reset_defaults()  # a command sends log lines to its own stderr


@pytest.fixture
def run_flask(env: dict[str, str], tmp_path: Path) -> RunFlask:
    """`run_flask("doctor")` runs the real command in the project's root, with these settings and no others."""

    def call(*args: str, settings: dict[str, str] = env, **options: str) -> subprocess.CompletedProcess[str]:
        SECRECY.know({**settings, **options})
        result = subprocess.run(
            [str(Path(sys.executable).with_name("flask")), *args],
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "FLASK_SKIP_DOTENV": "1", **settings, **options},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        SECRECY.look(f"the output of flask {args}", (result.stdout + result.stderr).encode())
        return result

    return call
