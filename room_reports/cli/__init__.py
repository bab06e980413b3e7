"""The commands of `flask`, for operators at a terminal; found from the project's root without any setting.

Each group of commands is a module of its own that is imported when it is asked for, so that `flask worker-alive` stays
fast enough for a probe and `flask doctor` works when hardly anything else does.
"""

from __future__ import annotations

from importlib import import_module

import click
from flask import Flask
from flask.cli import AppGroup, ScriptInfo

COMMANDS = {
    "digest": "room_reports.cli.digest:digest",
    "destinations": "room_reports.cli.destinations:destinations",
    "doctor": "room_reports.cli.doctor:doctor",
    "event-streams": "room_reports.cli.event_streams:event_streams",
    "preview": "room_reports.cli.preview:preview",
    "rooms": "room_reports.cli.rooms:rooms",
    "signature": "room_reports.cli.signature:signature",
    "simulate": "room_reports.cli.simulate:simulate",
    "version": "room_reports.cli.version:version",
    "worker-alive": "room_reports.cli.alive:worker_alive",
}


class Commands(AppGroup):
    """The commands by name, each imported only when it is used or listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[name].partition(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command


def at_terminal() -> bool:
    """Whether `flask` is looking for its commands, rather than about to serve (`flask run`) or show the service."""
    context = click.get_current_context(silent=True)
    return context is not None and context.parent is None and isinstance(context.obj, ScriptInfo)


def terminal_app() -> Flask:
    """An application that has the commands and nothing else: settings that cannot work do not stop `flask doctor`."""
    app = Flask("room_reports", static_folder=None)
    app.cli = Commands()
    return app
