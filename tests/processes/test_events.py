"""Callbacks, events, both, in any order and as often as may be: one report for each room, and the same one."""

from __future__ import annotations

import http.client
import itertools
import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sandbox import answers, callbacks, events
from sandbox.callbacks import SignedRequest
from sandbox.client import Sandbox
from sandbox.options import ACCOUNT_SID, AUTH_TOKEN
from sandbox.summaries import room_sid, room_summary
from tests.processes.rooms import Scene
from tests.support.processes import Web
from tests.support.servers import RedisServer

COUNT = 200
ENDED = datetime.now(UTC).replace(microsecond=0)
SUMMARIES = {
    sid: room_summary(sid, account_sid=ACCOUNT_SID, ended=ENDED) for sid in (room_sid(77, n) for n in range(COUNT))
}
NOT_COMPARED = {"reported_at", "provenance", "callback", "completeness", "detected_issues", "left_out"}
"""What must differ, or what only one of the ways in tells."""


class Stage:
    """A web process and a worker on a ledger of their own, a sandbox that knows the rooms."""

    def __init__(self, server: RedisServer, sandbox: Sandbox, logs: Path) -> None:
        self.sandbox = sandbox
        self.scene = Scene(server, sandbox, SLACK_WEBHOOK_URL="", SUMMARY_WAITS="600")
        self.scene.redis.flushall()
        self.web = Web(env=self.scene.env, log=logs / "web.log")
        self.worker = self.scene.worker(logs / "worker.log")

    def callback(self, sid: str) -> SignedRequest:
        params = callbacks.form(sid, account_sid=ACCOUNT_SID, ended=ENDED, summary=SUMMARIES[sid])
        return callbacks.request(f"{self.web.url}/twilio/rooms", params, token=AUTH_TOKEN)

    def event(self, sid: str) -> SignedRequest:
        document = events.room_event(SUMMARIES[sid])
        return callbacks.json_request(f"{self.web.url}/twilio/events", document, token=AUTH_TOKEN)

    def send(self, requests: Sequence[SignedRequest]) -> None:
        """Sends them on eight connections; every one must be taken."""
        with ThreadPoolExecutor(8) as pool:
            statuses = list(itertools.chain(*pool.map(self._send_in_turn, [requests[n::8] for n in range(8)])))
        assert statuses == [204] * len(requests)

    def clear(self) -> None:
        """Forgets every room that was sent; the fake Twilio knows them still."""
        self.scene.redis.flushall()
        self.sandbox.reset()
        self.tell_twilio()

    def tell_twilio(self) -> None:
        self.sandbox.twilio.add_rooms(
            {"room_sid": sid, "end_time": summary["end_time"]} for sid, summary in SUMMARIES.items()
        )

    def reports(self) -> dict[str, Any]:
        """What arrived, by room, when every room is done. Nothing came twice."""
        self.scene.wait_for_all(COUNT)
        reports = self.sandbox.receiver.reports()
        found = {report["data"]["room_sid"]: report for report in reports}
        assert len(reports) == len(found) == COUNT
        return found

    def _send_in_turn(self, requests: Sequence[SignedRequest]) -> list[int]:
        connection = http.client.HTTPConnection("127.0.0.1", self.web.port, timeout=20)
        statuses = []
        for request in requests:
            headers = {name: value for name, value in request.headers.items() if name != "Connection"}
            connection.request(request.method, request.target, body=request.body, headers=headers)
            response = connection.getresponse()
            response.read()
            statuses.append(response.status)
        connection.close()
        return statuses


@pytest.fixture
def stage(valkey: RedisServer, sandbox: Sandbox, tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(valkey, sandbox, tmp_path)
    stage.tell_twilio()
    with stage.web, stage.worker:
        yield stage


def comparable(report: dict[str, Any]) -> dict[str, Any]:
    """What every way in tells of a room: events have times with milliseconds, and fewer fields of the summary."""
    data = {name: value for name, value in report["data"].items() if name not in NOT_COMPARED}
    data["summary"] = {
        name: value.replace(".000Z", "Z") if isinstance(value, str) else value
        for name, value in data["summary"].items()
        if name not in events.NOT_IN_EVENTS | {"room_status"}
    }
    data["derived"] = {
        name: value for name, value in data["derived"].items() if name not in ("peak", "seconds_to_report")
    }
    return {"timestamp": report["timestamp"], **data}


def ways_in(reports: dict[str, Any]) -> set[tuple[str, str]]:
    """How rooms came to us, and where their summaries came from."""
    return {
        (report["data"]["provenance"]["source"], report["data"]["provenance"]["summary_from"])
        for report in reports.values()
    }


def test_every_way_in_makes_the_same_200_reports(stage: Stage) -> None:
    sids, twilio = list(SUMMARIES), stage.sandbox.twilio

    stage.send([stage.callback(sid) for sid in sids])
    by_callback = stage.reports()
    assert ways_in(by_callback) == {("callback", "api")}

    stage.clear()
    stage.send([stage.event(sid) for sid in sids])
    by_event = stage.reports()
    assert ways_in(by_event) == {("events", "event")}
    assert not twilio.history()

    stage.clear()
    twilio.always(answers.status(404))  # so that the event comes before the summary can be had
    stage.send([stage.callback(sid) for sid in sids])
    stage.send([stage.event(sid) for sid in sids])
    by_both = stage.reports()
    assert ways_in(by_both) == {("callback", "event")}

    stage.clear()
    twilio.normal()
    requests = [make(sid) for sid in sids for make in (stage.event, stage.event, stage.callback, stage.callback)]
    random.Random(7).shuffle(requests)  # noqa: S311 - not a secret
    stage.send(requests)
    by_any = stage.reports()
    assert {source for source, _ in ways_in(by_any)} == {"events", "callback"}

    for sid in sids:
        first, *others = (comparable(reports[sid]) for reports in (by_callback, by_event, by_both, by_any))
        assert all(other == first for other in others)
