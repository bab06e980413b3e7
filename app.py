"""The web door: settings → logging → the WSGI application, as `app:app`, made when it is first asked for."""

from __future__ import annotations

from functools import cache

from flask import Flask

from config.logs import configure
from config.settings import load_or_exit
from room_reports.connection import web_client
from room_reports.service import make_ledger
from room_reports.web import create_app


@cache
def create() -> Flask:
    """The application that the environment describes. Ends the process with code 2 when the settings cannot work."""
    settings = load_or_exit()
    configure(settings)
    return create_app(settings, make_ledger(settings, web_client(settings)))


def __getattr__(name: str) -> Flask:
    if name in ("app", "application"):
        return create()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
