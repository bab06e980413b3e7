"""What a command works with, made from the settings when it starts and closed when it ends."""

from __future__ import annotations

import getpass
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import TextIOWrapper
from typing import TYPE_CHECKING

import click
import structlog

from config.loading import load_or_exit
from config.logs import masker
from config.settings import Settings
from room_reports.cli.terminal import NOT_DONE
from room_reports.connection import command_client
from room_reports.errors import Failure
from room_reports.lanes import make_ledger
from room_reports.ledger import Ledger, LedgerUnavailable, Room

if TYPE_CHECKING:
    import redis


@dataclass(frozen=True)
class Desk:
    """The settings and what is made of them."""

    settings: Settings
    connection: redis.Redis
    ledger: Ledger


@contextmanager
def open_desk(settings: Settings | None = None) -> Iterator[Desk]:
    """Loads the settings (exit code 2 when they cannot work) and opens what they describe.

    A Redis, Twilio or destination that fails inside ends the command with one line and exit code 1.
    """
    settings = settings or load_or_exit()
    speak_plainly(settings)
    connection = command_client(settings)
    try:
        yield Desk(settings, connection, make_ledger(settings, connection))
    except LedgerUnavailable as error:
        raise click.ClickException(f"Redis: {error.reason}; `flask doctor` says more") from error
    except Failure as failure:
        raise click.ClickException(f"{failure.reason}: {failure.detail}; `flask doctor` says more") from failure
    finally:
        connection.close()


def found_room(desk: Desk, sid: str) -> Room:
    """The room, or the end of the command."""
    room = desk.ledger.room(sid)
    if room is None:
        click.echo(
            f"The ledger does not know {sid}. If it ended less than 7 days ago, `flask rooms reconcile` finds it.",
            err=True,
        )
        sys.exit(NOT_DONE)
    return room


def speak_plainly(settings: Settings) -> None:
    """Keeps stdout for the command's own output: log lines go to stderr, warnings and worse only, secrets masked."""
    mask = masker(settings.secrets)
    structlog.configure(
        processors=[structlog.processors.add_log_level, lambda *args: mask(_line(args[2]))],
        wrapper_class=structlog.make_filtering_bound_logger(30),  # logging.WARNING
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character must not end the command.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _line(event: structlog.typing.EventDict) -> str:
    facts = "".join(f" {name}={value!r}" for name, value in event.items() if name not in ("event", "level"))
    return f"{event['level']}: {event['event']}{facts}"


def operator() -> str:
    """Who is at the terminal, as far as the machine knows: user@host."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = f"uid-{os.getuid()}"  # a container's user need not have a name
    return f"{user}@{socket.gethostname()}"
