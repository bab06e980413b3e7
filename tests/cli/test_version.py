"""The version stands in one place, and every answer is that one."""

from __future__ import annotations

import http.client
import json
import re
import tomllib

from room_reports import __version__
from tests.cli.conftest import RunFlask
from tests.conftest import StartWeb
from tests.support.processes import ROOT


def test_terminal_and_web_give_the_same_answer(run_flask: RunFlask, start_web: StartWeb, env: dict[str, str]) -> None:
    assert run_flask("version", settings={}).stdout.split()[:2] == ["room-reports", __version__]
    connection = http.client.HTTPConnection("127.0.0.1", start_web(env).port, timeout=10)
    connection.request("GET", "/__version__")
    assert json.load(connection.getresponse()) == json.loads(run_flask("version", "--json", settings={}).stdout)
    connection.close()


def test_it_is_written_down_once() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "version" in project["project"]["dynamic"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "room_reports.__version__"}


def test_changelog_begins_with_it() -> None:
    [first, *_] = re.findall(r"^## (\S+),", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert first == __version__
