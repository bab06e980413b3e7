"""The service everyone writes, in forty lines: Flask, RQ, its `Retry`. Run by gunicorn and `rq worker`."""

from __future__ import annotations

import os

import requests
from flask import Flask, abort, request
from redis import Redis
from rq import Queue, Retry
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]  # twilio ships no types

app = Flask(__name__)
queue = Queue("forty-lines", connection=Redis.from_url(os.environ["REDIS_URL"]))
validator = RequestValidator(os.environ["TWILIO_AUTH_TOKEN"])
twilio = requests.Session()
twilio.auth = (os.environ["TWILIO_ACCOUNT_SID"], os.environ["TWILIO_AUTH_TOKEN"])


@app.post("/twilio/rooms")
def room_status() -> tuple[str, int]:
    """Queues a report of every room that ended."""
    if not validator.validate(request.url, request.form, request.headers.get("X-Twilio-Signature", "")):
        abort(403)
    if request.form["StatusCallbackEvent"] == "room-ended":
        queue.enqueue(report_room, request.form["RoomSid"], retry=Retry(max=5, interval=[1, 5, 30, 120, 600]))
    return "", 204


def report_room(room_sid: str) -> None:
    """Fetches the summary and sends it on; whatever fails, RQ runs all of it again."""
    answer = twilio.get(f"{os.environ['TWILIO_INSIGHTS_URL']}/v1/Video/Rooms/{room_sid}", timeout=10)
    answer.raise_for_status()
    room = answer.json()
    if room["processing_state"] != "complete":
        raise RuntimeError("the summary is not complete yet")
    text = f"{room['room_name']} ({room_sid}) ended, {room['unique_participants']} participants"
    requests.post(os.environ["SLACK_WEBHOOK_URL"], json={"text": text}, timeout=10).raise_for_status()
    requests.post(os.environ["REPORT_WEBHOOK_URL"], json=room, timeout=10).raise_for_status()
