"""The web door: settings → logging → the WSGI application, as `app:app`, made when it is first asked for.

The `flask` command asks for it too, only to find its commands. It gets an application that has nothing else, so that
they work, and start fast, whatever the settings are.
"""

from __future__ import annotations

import os
import sys
from functools import cache

from flask import Flask

from room_reports.cli import at_terminal, terminal_app

GUNICORN_GIVES_UP = 4
"""Exit code of a worker that ends gunicorn as a whole."""


@cache
def create() -> Flask:
    """The application that the environment describes. Ends the process with code 2 when it cannot work."""
    # Here, for the commands do without all of this.
    from config.loading import exit_with, load_or_exit
    from config.logs import configure
    from room_reports.checks.redis import log_warnings, start_problems, tls_checks
    from room_reports.connection import web_client
    from room_reports.lanes import make_ledger
    from room_reports.telemetry import start_or_exit
    from room_reports.web import create_app

    try:
        settings = load_or_exit()
        telemetry = start_or_exit(settings)
        configure(settings, on_error=telemetry.on_error)
        # A client of its own: gunicorn forks later, and no connection may be open then.
        with web_client(settings) as hasty:
            problems = start_problems(make_ledger(settings, hasty))
        if settings.has_templates:
            from room_reports.templates import template_problems

            problems += template_problems(settings)
        if problems:
            exit_with(problems)
    except SystemExit:
        # A gunicorn that was started without our configuration would start its worker again and again.
        if os.environ.get("SERVER_SOFTWARE", "").startswith("gunicorn"):
            sys.exit(GUNICORN_GIVES_UP)
        raise
    log_warnings(tls_checks(settings.redis_url.get_secret_value(), verified=settings.redis_tls_verify))
    return create_app(settings, make_ledger(settings, web_client(settings)), telemetry.traces)


def __getattr__(name: str) -> Flask:
    if name in ("app", "application"):
        return terminal_app() if at_terminal() else create()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
