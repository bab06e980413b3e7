"""A25: fifty equal callbacks at once to eight processes, again and again: one row, one report each."""

from __future__ import annotations

import os
from collections import Counter

from sandbox.client import Sandbox
from tests.conftest import StartWeb
from tests.processes.conftest import Begin
from tests.processes.rooms import Scene

ROUNDS = int(os.environ.get("EQUAL_ROUNDS", "40"))
"""200 take half a minute: `EQUAL_ROUNDS=200`."""

COPIES = 50


def test_a25_fifty_equal_callbacks_at_once_make_one_report(
    scene: Scene, sandbox: Sandbox, start_web: StartWeb, begin: Begin
) -> None:
    web = start_web({**scene.env, "WEB_CONCURRENCY": "8"})
    sandbox.configure(callback_url=f"{web.url}/twilio/rooms")
    begin()
    sent = sandbox.twilio.end_rooms(ROUNDS, copies=COPIES, concurrency=1, seed=25)
    assert Counter(callback.status for callback in sent) == {204: ROUNDS * COPIES}
    scene.wait_for_all(ROUNDS, seconds=60)
    assert scene.ledger.counts()["all"] == ROUNDS
    for service in (sandbox.twilio, sandbox.slack, sandbox.receiver):
        asked = Counter(exchange.room_sid for exchange in service.history())
        assert (len(asked), set(asked.values())) == (ROUNDS, {1})
