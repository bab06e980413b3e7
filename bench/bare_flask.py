"""Flask and nothing else: the most that any service under this framework and this gunicorn can accept."""

from __future__ import annotations

from flask import Flask

app = Flask(__name__)


@app.post("/twilio/rooms")
def nothing() -> tuple[str, int]:
    """Answers without looking at the request."""
    return "", 204
