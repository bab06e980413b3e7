"""The page for operators: every room, what waits and why, and what can be done about it. Off without `OPS_PASSWORD`.

Plain HTML from templates, one stylesheet, no script at all, so the content security policy can forbid nearly
everything. Nothing of it is shown to anybody who is not signed in.
"""

from __future__ import annotations

from flask import Flask

from config.settings import Settings
from room_reports.ledger import Ledger


def install(app: Flask, settings: Settings, ledger: Ledger) -> None:
    """Adds the page to the application, if there is a password for it."""
    if settings.ops_password is not None:
        # Here, for a web process without the page does without all that it needs.
        from room_reports.web.ops.blueprint import add_to

        add_to(app, settings, ledger)
