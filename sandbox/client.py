"""Driving a sandbox: the one interface for tests, demo, benchmarks and the chaos run.

`Sandbox` starts one in a process of its own and is a `SandboxClient`; a `SandboxClient` drives one that runs already.
Everything goes over its control API, so both are the same. Safe to use from several threads.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal
from urllib.parse import urlencode, urlsplit

from sandbox.answers import PASSING_FAULTS, Answer, unauthorized
from sandbox.callbacks import HMAC_SHA1, Forgery
from sandbox.history import Exchange
from sandbox.options import SLACK_CHANNEL, SLACK_TOKEN, Options

ROOT = Path(__file__).resolve().parents[1]


class SandboxError(Exception):
    """The sandbox did not start, or refused an instruction."""


@dataclass(frozen=True)
class SentCallback:
    """One status callback the fake Twilio sent, and what it was answered."""

    room_sid: str
    kind: Literal["honest", "duplicate", "forged"]
    params: Mapping[str, str]
    sent_at: float
    """Seconds since the epoch."""
    elapsed: float
    """Seconds until the answer was complete."""
    status: int | None
    """None when no answer came; `error` says why."""
    headers: Mapping[str, str]
    """Response headers, names in lower case."""
    body: str
    error: str


class ServiceControl:
    """What can be told to and asked of each of the three services."""

    def __init__(self, sandbox: SandboxClient, name: str) -> None:
        self._sandbox = sandbox
        self._name = name

    def script(self, *answers: Answer, key: str = "*") -> None:
        """The next answers, in this order, then normal ones; replaces the script under the same key.

        `key` is a room SID (Twilio; with `/Participants` behind it for those) or a path (`/receiver/b`); `*` goes for
        requests without a script of their own.
        No answers: back to normal.
        """
        self._sandbox.call("POST", f"/{self._name}/script", {"key": key, "answers": [a.to_json() for a in answers]})

    def always(self, answer: Answer) -> None:
        """Answer everything so until `normal`; scripts stand still meanwhile."""
        self._sandbox.call("POST", f"/{self._name}/always", {"answer": answer.to_json()})

    def normal(self) -> None:
        """End `always`."""
        self._sandbox.call("POST", f"/{self._name}/always", {"answer": None})

    def latency(self, seconds: float, *, spread: float = 0.0) -> None:
        """Hold every answer back for so long, give or take the share `spread` (0..1) of it."""
        self._sandbox.call("POST", f"/{self._name}/latency", {"seconds": seconds, "spread": spread})

    def faults(self, rate: float, *answers: Answer, seed: int = 0) -> None:
        """Answer that share (0..1) of unscripted requests with one of `answers` (default: passing faults) at random."""
        chosen = [answer.to_json() for answer in answers or PASSING_FAULTS]
        self._sandbox.call("POST", f"/{self._name}/faults", {"rate": rate, "seed": seed, "answers": chosen})

    def history(self, room_sid: str | None = None) -> list[Exchange]:
        """All exchanges, or those about one room, in order of arrival."""
        query = "?" + urlencode({"room_sid": room_sid}) if room_sid else ""
        return [Exchange.from_json(item) for item in self._sandbox.call("GET", f"/{self._name}/history{query}")]

    def accepted(self, room_sid: str | None = None) -> list[Exchange]:
        """Those of `history` that count as delivered (Twilio: that served a summary)."""
        return [exchange for exchange in self.history(room_sid) if exchange.accepted]

    def times(self, room_sid: str) -> list[float]:
        """When the room was asked for or written about, seconds since the epoch."""
        return [exchange.at for exchange in self.history(room_sid)]

    def counts(self) -> dict[str, Any]:
        """`requests`, `accepted`, `rooms` (distinct), `statuses` (by status, `"None"` for unanswered). Cheap."""
        counts: dict[str, Any] = self._sandbox.call("GET", f"/{self._name}/counts")
        return counts

    def wait_for(self, accepted: int = 1, *, room_sid: str | None = None, timeout: float = 10.0) -> list[Exchange]:
        """Wait until so many exchanges (about one room, if given) were accepted, and return them.

        Raises SandboxError with what did arrive when `timeout` seconds pass first.
        """
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self.counts()["accepted"] >= accepted and len(found := self.accepted(room_sid)) >= accepted:
                return found
            time.sleep(0.02)
        arrived = [(exchange.status, exchange.note) for exchange in self.history(room_sid)]
        raise SandboxError(f"{self._name}: {accepted} not accepted in {timeout} s; arrived (status, note): {arrived}")


class TwilioControl(ServiceControl):
    """The fake Twilio. Scripts go by room SID; `LIST` is the key of the list of rooms.

    An `Answer` to a list, of rooms or of participants, takes `fields` into `meta`, so `next_page_url` can be anything.
    """

    LIST = "list"

    def add_room(self, room_sid: str, **fields: Any) -> None:
        """Make a room known: it is listed, and `fields` replace or add to what its summary holds.

        `people=[{...}, {...}]` does the same for each of its participants, in turn.
        """
        self.add_rooms([{"room_sid": room_sid, **fields}])

    def add_rooms(self, rooms: Iterable[Mapping[str, Any]]) -> None:
        """`add_room` in bulk: each mapping has `room_sid` and any fields of its summary."""
        self._sandbox.call("POST", "/twilio/rooms", {"rooms": [dict(room) for room in rooms]})

    def summary(self, room_sid: str) -> dict[str, Any]:
        """The summary as it is served when nothing is scripted."""
        summary: dict[str, Any] = self._sandbox.call("GET", f"/twilio/summary?{urlencode({'room_sid': room_sid})}")
        return summary

    def reject_credentials(self) -> None:
        """Answer 401 to everything until `normal`, as after a revoked key."""
        self.always(unauthorized())

    def end_room(
        self,
        room_sid: str | None = None,
        *,
        event: str = "room-ended",
        method: Literal["POST", "GET"] = "POST",
        algorithm: str = HMAC_SHA1,
        token: str | None = None,
        forge: Forgery | None = None,
        summary: Mapping[str, Any] | None = None,
        changes: Mapping[str, str | None] | None = None,
        headers: Mapping[str, str] | None = None,
        callback_url: str | None = None,
        public_url: str | None = None,
        timeout: float = 15.0,
    ) -> SentCallback:
        """End a room (default: one with a fresh SID): make it known, send the status callback, return its answer.

        `summary` replaces fields of the summary, and through it of the callback; `changes` only of the callback (None
        removes a parameter). Unless told otherwise, URL and token are those of the options.
        """
        sent = self._end(
            {
                "room_sids": None if room_sid is None else [room_sid],
                "event": event,
                "method": method,
                "algorithm": algorithm,
                "token": token,
                "forge": forge,
                "summary": dict(summary or {}),
                "changes": dict(changes or {}),
                "headers": dict(headers or {}),
                "callback_url": callback_url,
                "public_url": public_url,
                "timeout": timeout,
            }
        )
        return sent[0]

    def end_rooms(
        self,
        count: int,
        *,
        rate: float | None = None,
        concurrency: int = 16,
        duplicates: float = 0.0,
        forged: float = 0.0,
        seed: int = 0,
        first: int = 0,
        room_sids: Iterable[str] | None = None,
        copies: int = 1,
        timeout: float = 15.0,
    ) -> list[SentCallback]:
        """End `count` rooms and return every callback sent, in order of sending; returns when all are answered.

        SIDs are `summaries.room_sid(seed, first + n)`, or `room_sids`. `rate` is rooms a second, None as fast as
        `concurrency` lets. `copies` of each callback go out at once. `duplicates` and `forged` are shares (0..1) of
        rooms after which a duplicate of an earlier callback, or a forged one for a room that never was, is mixed in.
        """
        return self._end(
            {
                "room_sids": None if room_sids is None else list(room_sids),
                "count": count,
                "rate": rate,
                "concurrency": concurrency,
                "duplicates": duplicates,
                "forged": forged,
                "seed": seed,
                "first": first,
                "copies": copies,
                "timeout": timeout,
            }
        )

    def _end(self, order: Mapping[str, Any]) -> list[SentCallback]:
        return [SentCallback(**item) for item in self._sandbox.call("POST", "/twilio/end_rooms", order)]


class SlackControl(ServiceControl):
    """The fake Slack. Scripts go by path."""

    def messages(self, room_sid: str | None = None) -> list[dict[str, Any]]:
        """The accepted messages, parsed. Needs a full history."""
        return [json.loads(exchange.body or "") for exchange in self.accepted(room_sid)]


class SlackApiControl(ServiceControl):
    """The fake of Slack's Web API. Scripts go by method (`chat.update`)."""

    def messages(self, room_sid: str | None = None, *, part: str = "report") -> list[dict[str, Any]]:
        """The messages that stand now, oldest first: about one room, or every one, of whatever part."""
        found: list[dict[str, Any]] = self._sandbox.call("GET", "/slack_api/messages")
        if room_sid is None:
            return found
        about = {"room_sid": room_sid, "part": part}.items()
        return [one for one in found if about <= one.get("metadata", {}).get("event_payload", {}).items()]

    def delete(self, ts: str) -> None:
        """Has somebody delete a message."""
        self._sandbox.call("POST", "/slack_api/delete", {"ts": ts})


class ReceiverControl(ServiceControl):
    """The downstream receiver. Scripts go by path."""

    def reports(self, room_sid: str | None = None) -> list[dict[str, Any]]:
        """The accepted reports, parsed. Needs a full history."""
        return [json.loads(exchange.body or "") for exchange in self.accepted(room_sid)]


class SandboxClient:
    """A running sandbox at `url` (its base URL, without a path)."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.twilio = TwilioControl(self, "twilio")
        self.slack = SlackControl(self, "slack")
        self.slack_api = SlackApiControl(self, "slack_api")
        self.receiver = ReceiverControl(self, "receiver")

    @property
    def twilio_url(self) -> str:
        """For TWILIO_INSIGHTS_URL."""
        return f"{self.url}/twilio"

    @property
    def slack_url(self) -> str:
        """For SLACK_WEBHOOK_URL. Any other `/slack/services/T…/B…/…` is a webhook too."""
        return str(self.call("GET", "")["slack_url"])

    @property
    def slack_app_environment(self) -> dict[str, str]:
        """The settings of the Slack app, beside those of `environment`."""
        return {
            "SLACK_BOT_TOKEN": SLACK_TOKEN,
            "SLACK_CHANNEL": SLACK_CHANNEL,
            "SLACK_API_URL": f"{self.url}/slack_api",
        }

    @property
    def receiver_url(self) -> str:
        """For REPORT_WEBHOOK_URL. Any path below it is an endpoint too."""
        return f"{self.url}/receiver"

    @property
    def options(self) -> Options:
        """What it runs with now."""
        return Options.from_json(self.call("GET", "/options"))

    def configure(self, **changes: Any) -> None:
        """Change options by name, e.g. `callback_url` once the service's port is known."""
        self.call("POST", "/options", replace(self.options, **changes).to_json())

    def environment(self) -> dict[str, str]:
        """The settings that point a service at this sandbox."""
        options = self.options
        key, secret = options.api_keys[0] if options.api_keys else ("", "")
        return {
            "TWILIO_ACCOUNT_SID": options.account_sid,
            "TWILIO_AUTH_TOKEN": options.auth_token,
            **({"TWILIO_API_KEY": key, "TWILIO_API_SECRET": secret} if key else {}),
            "TWILIO_INSIGHTS_URL": self.twilio_url,
            "SLACK_WEBHOOK_URL": self.slack_url,
            "REPORT_WEBHOOK_URL": self.receiver_url,
            "REPORT_WEBHOOK_SECRET": ",".join(options.webhook_secrets),
            "ALLOW_PRIVATE_DESTINATIONS": "1",
        }

    def reset(self) -> None:
        """Forget history, rooms, scripts, switches, latency and faults; options go back to those of the start."""
        self.call("POST", "/reset", {})

    def call(self, method: str, path: str, document: Mapping[str, Any] | None = None) -> Any:
        """One request to the control API. Raises SandboxError when it is refused."""
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port)
        try:
            body = None if document is None else json.dumps(document)
            connection.request(method, f"/control{path}", body=body, headers={"Connection": "close"})
            response = connection.getresponse()
            answer = json.loads(response.read())
        finally:
            connection.close()
        if response.status != 200:
            raise SandboxError(f"{method} {path}: {answer['error']}")
        return answer


class Sandbox(SandboxClient):
    """A sandbox in a process of its own, on a free loopback port; it ends with the `with` block or with its parent."""

    def __init__(self, options: Options | None = None, *, port: int = 0) -> None:
        command = [sys.executable, "-m", "sandbox", "--port", str(port), "--exit-with-stdin"]
        command += ["--options", json.dumps((options or Options()).to_json())]
        self._process = subprocess.Popen(  # noqa: S603 - this very interpreter and package
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            self.close()
            raise SandboxError(f"the sandbox did not start (exit code {code}), see its stderr")
        super().__init__(json.loads(line)["url"])

    @property
    def pid(self) -> int:
        """Its process id, for measurements."""
        return self._process.pid

    def close(self) -> None:
        """End the process. May be called twice."""
        self._process.kill()
        self._process.communicate()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
