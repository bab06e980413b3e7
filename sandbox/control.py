"""The control API: scripts, switches and options in, histories and counts out, as JSON under `/control`.

`sandbox.client` is its only caller and its documentation.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from sandbox.answers import Answer
from sandbox.http import Reply, Request
from sandbox.options import SLACK_PATH, Options
from sandbox.receiver import FakeReceiver
from sandbox.sender import Order, end_rooms
from sandbox.service import Service
from sandbox.slack import FakeSlack
from sandbox.slack_api import FakeSlackApi
from sandbox.twilio import FakeTwilio

Document = Mapping[str, Any]


class Control:
    """The services, their common options, and the way in for whoever drives them."""

    def __init__(self, options: Options) -> None:
        self._start = self._options = options
        self.twilio = FakeTwilio(lambda: self._options)
        self.slack = FakeSlack(lambda: self._options)
        self.slack_api = FakeSlackApi(lambda: self._options)
        self.receiver = FakeReceiver(lambda: self._options)
        self._services: Mapping[str, Service] = {
            "twilio": self.twilio,
            "slack": self.slack,
            "slack_api": self.slack_api,
            "receiver": self.receiver,
        }
        self._common: Mapping[tuple[str, str], Callable[[Service, Document], Any]] = {
            ("POST", "script"): _script,
            ("POST", "always"): _always,
            ("POST", "latency"): _latency,
            ("POST", "faults"): _faults,
            ("GET", "history"): _history,
            ("GET", "counts"): lambda service, _: service.history.counts(),
        }

    def handle(self, request: Request) -> Reply | Awaitable[Reply]:
        """Any request to the sandbox, sent on to whom it is for."""
        name = request.path[1:].partition("/")[0]
        if name in self._services:
            return self._services[name].handle(request)
        if name != "control":
            return _json(404, {"error": "not a service of the sandbox"})
        try:
            document = json.loads(request.body) if request.body else dict(parse_qsl(request.query))
            if request.path == "/control/twilio/end_rooms":
                return self._end_rooms(Order(**document))
            return _json(200, self._obey(request, document))
        except (KeyError, TypeError, ValueError) as error:
            return _json(400, {"error": f"{type(error).__name__}: {error}"})

    def urls(self, host: str) -> dict[str, str]:
        """The base URLs of the services for a sandbox at `host` (`name:port`)."""
        url = f"http://{host}"
        return {
            "url": url,
            "twilio_url": f"{url}/twilio",
            "slack_url": f"{url}{SLACK_PATH}",
            "receiver_url": f"{url}/receiver",
        }

    def _obey(self, request: Request, document: Document) -> Any:
        """Raises KeyError, TypeError or ValueError for what is not understood."""
        instruction = (request.method, request.path.removeprefix("/control"))
        if instruction == ("GET", ""):
            return self.urls(request.headers["host"])
        if instruction == ("GET", "/options"):
            return self._options.to_json()
        if instruction == ("POST", "/options"):
            self._options = Options.from_json(document)
            return {}
        if instruction == ("POST", "/reset"):
            return self._reset()
        if instruction == ("POST", "/twilio/rooms"):
            return self._add_rooms(document["rooms"])
        if instruction == ("GET", "/twilio/summary"):
            return self.twilio.summary(document["room_sid"])
        if instruction == ("GET", "/slack_api/messages"):
            return self.slack_api.listed()
        if instruction == ("POST", "/slack_api/delete"):
            self.slack_api.delete(document["ts"])
            return {}
        _, name, verb = instruction[1].split("/")
        return self._common[request.method, verb](self._services[name], document)

    def _reset(self) -> Document:
        self._options = self._start
        for service in self._services.values():
            service.reset()
        return {}

    def _add_rooms(self, rooms: list[dict[str, Any]]) -> Document:
        for room in rooms:
            self.twilio.add_room(room["room_sid"], room, ended=datetime.now(UTC))
        return {}

    async def _end_rooms(self, order: Order) -> Reply:
        try:
            sent = await end_rooms(order, self.twilio, self._options)
        except (KeyError, TypeError, ValueError) as error:
            return _json(400, {"error": f"{type(error).__name__}: {error}"})
        return _json(200, [asdict(callback) for callback in sent])


def _script(service: Service, document: Document) -> Document:
    service.behaviour.script(document["key"], [Answer.from_json(item) for item in document["answers"]])
    return {}


def _always(service: Service, document: Document) -> Document:
    answer = document["answer"]
    service.behaviour.always = None if answer is None else Answer.from_json(answer)
    return {}


def _latency(service: Service, document: Document) -> Document:
    service.behaviour.latency = float(document["seconds"])
    service.behaviour.spread = float(document.get("spread", 0))
    return {}


def _faults(service: Service, document: Document) -> Document:
    answers = [Answer.from_json(item) for item in document["answers"]]
    service.behaviour.faults(float(document["rate"]), answers, int(document["seed"]))
    return {}


def _history(service: Service, document: Document) -> list[Document]:
    room_sid = document.get("room_sid")
    exchanges = service.history.of_room(room_sid) if room_sid else service.history.exchanges
    return [exchange.to_json() for exchange in exchanges]


def _json(status: int, document: Any) -> Reply:
    return Reply(status, {"Content-Type": "application/json"}, json.dumps(document).encode())
