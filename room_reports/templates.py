"""How each Slack destination has its messages: by which template, whether that works, what happens when it does not.

Jinja is only imported where there is a template.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, tzinfo
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from config.destinations import SlackChannel
from config.settings import Settings
from room_reports.reports import RoomReport
from room_reports.slack_report import Writer, message, templated_message

if TYPE_CHECKING:
    from room_reports.slack_template import SlackTemplate

VARIABLE = "SLACK_TEMPLATE_FILE"


@dataclass(frozen=True)
class Made:
    """A message of a report. `fault`: why its template failed and it is the built-in one, empty if it is as wanted."""

    message: dict[str, Any]
    fault: str = ""


Maker = Callable[[RoomReport], Made]

log = structlog.get_logger(__name__)


class TemplateFault(Exception):
    """A template that does not work. `line` counts from 1, None where it cannot be told; no value is in the words."""

    def __init__(self, problem: str, line: int | None = None) -> None:
        super().__init__(f"line {line}: {problem}" if line else problem)


def template_problems(settings: Settings) -> list[str]:
    """What is wrong with the templates: each is tried on reports of every kind. Each as "place: line N: what"."""
    problems = []
    for place, source in {place: source for _, place, source in _templates(settings)}.items():
        if source is None:
            problems.append(f"{place}: the file that it names cannot be read")
        elif problem := _problem(source, settings):
            problems.append(f"{place}: {problem}")
    return problems


def _problem(source: str, settings: Settings) -> str | None:
    from room_reports.sample_reports import sample_reports
    from room_reports.slack_template import SlackTemplate

    tried = ""
    try:
        template = SlackTemplate(source)
        for kind, report in sample_reports(settings.console_url).items():
            tried = f" (tried with {kind})"
            template.render(json.loads(report.to_json()))
    except TemplateFault as fault:
        return f"{fault}{tried}"
    return None


def writer_of(settings: Settings, name: str) -> Writer:
    """What makes the messages of this destination. A template that cannot work at all is logged and left out."""
    for named, place, source in _templates(settings):
        if named != name:
            continue
        from room_reports.slack_template import SlackTemplate

        try:
            return Templated(name, SlackTemplate(source or ""))
        except TemplateFault as fault:
            log.error("template", destination=name, place=place, problem=str(fault))
    return message


def makers_of(settings: Settings) -> dict[str, Maker]:
    """What makes the message of a report for each Slack destination as it is sent there, in its time zone."""
    zones: dict[str, tzinfo] = dict.fromkeys(_by_variables(settings), UTC)
    described = settings.plan.destinations.items()
    zones |= {name: one.timezone for name, one in described if isinstance(one, SlackChannel)}
    return {name: partial(_made, writer_of(settings, name), zone) for name, zone in zones.items()}


def _made(write: Writer, zone: tzinfo, report: RoomReport) -> Made:
    return write.make(report, zone) if isinstance(write, Templated) else Made(write(report, zone))


def _by_variables(settings: Settings) -> list[str]:
    """The Slack destinations of variables."""
    given = {"slack": settings.slack_webhook_url, "slack_app": settings.slack_bot_token}
    return [name for name, value in given.items() if value is not None]


def _templates(settings: Settings) -> Iterator[tuple[str, str, str | None]]:
    """Each destination with a template, where that is set, and its text (None: it cannot be read)."""
    if settings.slack_template_file is not None:
        source = _read(settings.slack_template_file)
        yield from ((name, VARIABLE, source) for name in _by_variables(settings))
    for name, described in settings.plan.destinations.items():
        if isinstance(described, SlackChannel) and described.template is not None:
            yield name, f"DESTINATIONS_FILE: destinations.{name}.template", described.template


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None


class Templated:
    """Makes messages by a template; the built-in one where it fails, which is logged and counted in the log."""

    def __init__(self, name: str, template: SlackTemplate) -> None:
        self._name = name
        self._template = template
        self._failures = 0

    def __call__(self, report: RoomReport, zone: tzinfo = UTC) -> dict[str, Any]:
        """The message for a report. Never raises for what is in the template or the report."""
        made = self.make(report, zone)
        if made.fault:
            self._failures += 1
            room = report.data.room_sid
            log.warning(
                "template_failed", destination=self._name, room_sid=room, problem=made.fault, failures=self._failures
            )
        return made.message

    def make(self, report: RoomReport, zone: tzinfo) -> Made:
        """The same to look at: a failure is told, and neither logged nor counted."""
        try:
            return Made(templated_message(report, self._template.render(json.loads(report.to_json()), zone)))
        except TemplateFault as fault:
            return Made(message(report, zone), str(fault))
