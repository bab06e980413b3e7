"""The environment in, frozen and checked `Settings` out, or every problem at once.

The attribute of a variable is its name in lower case. A variable that is blank counts as unset, and white space around
a value is not part of it. A secret may be kept in a file instead: `NAME_FILE` holds its path (Docker and Kubernetes
mount secrets so). No problem repeats a value: what was typed into the wrong variable may be a secret.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from typing import NoReturn

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from config.destinations import NO_PLAN, Plan, read
from config.fields import text_in
from config.settings import Settings, is_secret
from config.thresholds import Thresholds


class SettingsError(Exception):
    """The settings cannot work. `problems`: all of them, each as "NAME: what is wrong", none with a value in it."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def load_or_exit() -> Settings:
    """The settings of this process; says on stderr what is wrong and exits with 2 when they cannot work."""
    try:
        return load(os.environ)
    except SettingsError as error:
        exit_with(error.problems)


def exit_with(problems: list[str]) -> NoReturn:
    """Says on stderr what is wrong with the settings and exits with 2."""
    print("room-reports cannot start: the settings need attention", file=sys.stderr)
    for problem in problems:
        print(f"  - {problem}", file=sys.stderr)
    print("Every setting is described in docs/settings.md", file=sys.stderr)
    sys.exit(2)


def load(environ: Mapping[str, str]) -> Settings:
    """The settings that `environ` describes. Raises `SettingsError` with every problem at once."""
    values, problems = _typed(environ)
    plan, problems_with_plan = _plan(values, environ)
    problems += problems_with_plan
    try:
        settings = Settings.model_validate(values)
        settings._plan = plan
    except ValidationError as error:
        unread = {problem.partition(":")[0].removesuffix("_FILE") for problem in problems}
        found = [_problem(detail) for detail in error.errors(include_url=False, include_context=False)]
        # What could not be read is not also reported as missing.
        problems += [problem for problem in found if unread.isdisjoint(re.findall(r"[A-Z_]+", problem))]
    # Outside of the except clause: the validation error holds what was typed and must not travel as the cause.
    if problems:
        raise SettingsError(problems)
    return settings


def _typed(environ: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """The value of every field that is set, as it was typed, and what was wrong with getting at them."""
    values: dict[str, str] = {}
    problems: list[str] = []
    for name, field in Settings.model_fields.items():
        variable = name.upper()
        value = environ.get(variable, "").strip()
        if not value and name.endswith("_proxy"):
            value = environ.get(name, "").strip()  # the spelling that most tools know
        path = environ.get(f"{variable}_FILE", "").strip() if is_secret(field) else ""
        if path and value:
            problems.append(f"{variable}: set either {variable} or {variable}_FILE, not both")
        elif path:
            try:
                value = text_in(path).strip()
            except ValueError as error:
                problems.append(f"{variable}_FILE: cannot read the file it names ({error})")
                continue
            if not value:
                problems.append(f"{variable}_FILE: the file it names is empty")
        if value:
            values[name] = value
    return values, problems


def _plan(values: Mapping[str, str], environ: Mapping[str, str]) -> tuple[Plan, list[str]]:
    """What `DESTINATIONS_FILE` says, and what is wrong with it."""
    path = values.get("destinations_file")
    if path is None:
        return NO_PLAN, []
    plan, problems = read(
        path,
        environ,
        allow_private=values.get("allow_private_destinations", "").lower() in _YES,
        others=[name for name, variable in _DESTINATIONS.items() if variable in values],
        first_account=values.get("twilio_account_sid", ""),
    )
    return plan, [f"DESTINATIONS_FILE: {problem}" for problem in problems]


_YES = frozenset({"1", "on", "t", "true", "y", "yes"})
"""What pydantic takes for true. Asked for here, because the file is read even where the settings are not valid."""

_DESTINATIONS = {"slack": "slack_webhook_url", "slack_app": "slack_bot_token", "webhook": "report_webhook_url"}
"""The destinations that variables describe, by name, each with the variable that has it."""


def _problem(detail: ErrorDetails) -> str:
    message = detail["msg"]
    if detail["type"] == "conflict":
        return message
    variable = str(detail["loc"][0]).upper()
    if detail["type"] == "missing":
        return f"{variable}: not set, and there is no default"
    return f"{variable}{_place_in(detail)}: {message[0].lower()}{message[1:]}"


def _place_in(detail: ErrorDetails) -> str:
    """Which part of a setting with several."""
    if len(detail["loc"]) < 2:
        return ""
    part = detail["loc"][1]
    if isinstance(part, int):
        return f" (entry {part + 1})"
    return f" ({part})" if part in Thresholds.model_fields else ""
