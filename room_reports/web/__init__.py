"""The web door's application: receives callbacks and events, and says how it is. The only part that knows Flask."""

from __future__ import annotations

from flask import Flask

from config.settings import Settings
from room_reports.ledger import Ledger
from room_reports.participants import Identities
from room_reports.telemetry.tracing import NO_TRACES, Traces
from room_reports.web import answers, events, ops
from room_reports.web.events import EventReceiver
from room_reports.web.health import health
from room_reports.web.metrics import metrics
from room_reports.web.receiving import PATHS, Receiver, Receiving, Taker
from room_reports.web.resting import Rest
from room_reports.web.tally import Tally
from room_reports.web.tally_writer import TallyWriter
from room_reports.web.verifying import verifier_of


def create_app(settings: Settings, ledger: Ledger, traces: Traces = NO_TRACES) -> Flask:
    """The WSGI application. Connects to nothing before the first request."""
    app = Flask("room_reports", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = answers.LONGEST_BODY
    tally = Tally()
    writer = TallyWriter(tally, ledger)
    tally.on_count = writer.wake
    answers.install(app, tally)
    app.register_blueprint(health(ledger))
    ops.install(app, settings, ledger)
    app.register_blueprint(metrics(settings, ledger, writer))
    app.extensions["tally"] = tally
    shared = (ledger, tally, verifier_of(settings), Rest(), traces)
    takers: dict[str, Taker] = {
        **dict.fromkeys(PATHS, Receiver(*shared)),
        **dict.fromkeys(events.PATHS, EventReceiver(*shared, Identities.from_settings(settings))),
    }
    app.wsgi_app = Receiving(takers, others=app.wsgi_app)  # type: ignore[method-assign]
    return app
