"""`docs/operations.md` names only commands, settings and log lines that exist."""

from __future__ import annotations

import re

import click
import pytest

from config.settings import Settings
from room_reports.cli import Commands
from tests.support.processes import ROOT

PAGE = (ROOT / "docs/operations.md").read_text()
QUOTED = sorted(set(re.findall(r"`([^`]+)`", PAGE)))
SOURCE = "\n".join(path.read_text() for path in sorted((ROOT / "room_reports").rglob("*.py")))


@pytest.mark.parametrize("text", [text for text in QUOTED if text.startswith("flask ")])
def test_commands_and_their_options_exist(text: str) -> None:
    words = text.partition(" \\|")[0].split()[1:]
    command: click.Command = Commands()
    context = click.Context(command)
    while isinstance(command, click.Group) and words:
        found = command.get_command(context, words.pop(0))
        assert found is not None, text
        command = found
    options = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= options | {"--help"}


@pytest.mark.parametrize("name", [text for text in QUOTED if re.fullmatch(r"[A-Z]+_[A-Z_]+(=\d)?", text)])
def test_settings_exist(name: str) -> None:
    assert name.partition("=")[0].lower() in Settings.model_fields


@pytest.mark.parametrize("words", [words for words in QUOTED if re.fullmatch(r"[a-z]+( [a-z]+)+", words)])
def test_log_lines_exist(words: str) -> None:
    if words.split()[0] in ("flask", "heroku", "rq", "appendonly"):
        return  # something to type
    assert f'"{words}' in SOURCE, f"nothing logs: {words}"
