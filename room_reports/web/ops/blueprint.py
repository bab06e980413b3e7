"""The page as a part of the Flask application, with the headers that all of its answers carry."""

from __future__ import annotations

from flask import Blueprint, Flask, Response, request

from config.settings import Settings
from room_reports.ledger import Ledger
from room_reports.web.ops import views
from room_reports.web.ops.desk import Desk
from room_reports.web.ops.sessions import KnownBrowsers, Sessions, session_key

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def add_to(app: Flask, settings: Settings, ledger: Ledger) -> None:
    """Adds the routes, and makes the application's sessions ours."""
    key = session_key(settings)
    sessions = Sessions(public_base_url=settings.public_base_url)
    app.secret_key = key
    app.session_interface = sessions
    blueprint = Blueprint("ops", __name__, template_folder="templates", static_folder="static", static_url_path="/ops")
    blueprint.after_request(guard)
    views.add_to(blueprint, Desk.of(settings, ledger, KnownBrowsers(key, sessions)))
    app.register_blueprint(blueprint)


def guard(response: Response) -> Response:
    """What a browser may do with an answer: show it, and nothing else."""
    response.headers.update(HEADERS)
    if request.endpoint != "ops.static":
        response.headers["Cache-Control"] = "no-store"
    return response
