"""A worker dies between what it sends to Slack's channel and its note of it: there is one message all the same.

The way of a room with the Slack app alone, on one thread, is always the same, so a worker can be killed at the n-th
point it reaches. All deaths happen at once, each on a database of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from room_reports.faults import Point
from room_reports.ledger import Room
from sandbox.client import Sandbox
from sandbox.summaries import room_sid
from tests.processes.rooms import Scene
from tests.support.processes import Process, wait_until
from tests.support.servers import RedisServer
from tests.test_fault_points import PATIENT

WAY = (
    Point.ATTEMPT_BEGUN,  # the provisional message
    Point.REPORT_BUILT,
    Point.REPORT_SENT,
    Point.OUTCOME_WRITTEN,
    Point.ATTEMPT_BEGUN,  # the summary
    Point.SUMMARY_FETCHED,
    Point.OUTCOME_WRITTEN,
    Point.ATTEMPT_BEGUN,  # the report
    Point.REPORT_BUILT,
    Point.MESSAGE_SENT,
    Point.REPORT_SENT,
    Point.OUTCOME_WRITTEN,
)
DEATHS = (0, 2, 3, 4, 7, 10, 11)
"""Where the worker dies: nowhere, and around everything that Slack is told."""

ALONE = {"SLACK_WEBHOOK_URL": "", "REPORT_WEBHOOK_URL": ""}
APP = '[destinations.operations]\nkind = "slack_app"\ntoken = "env:APP_TOKEN"\nchannel = "{}"\n'


@dataclass(frozen=True)
class End:
    """How it ended: the points that the first worker reached, and what there was after the second."""

    reached: tuple[str, ...]
    room: Room
    messages: list[dict[str, Any]]
    replies: list[dict[str, Any]]


@pytest.fixture(scope="module", params=["variables", "file"])
def ends(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, End]]:
    """The end of each way, by the number of the point at which the worker died; the app is described by variables, or
    by a file."""
    folder = tmp_path_factory.mktemp("provisional")
    with RedisServer() as server, Sandbox() as sandbox, ThreadPoolExecutor(len(DEATHS)) as pool:
        app = sandbox.slack_app_environment
        if request.param == "file":
            file = folder / "destinations.toml"
            file.write_text(APP.format(app["SLACK_CHANNEL"]))
            app = {"APP_TOKEN": app["SLACK_BOT_TOKEN"], "SLACK_API_URL": app["SLACK_API_URL"]}
            app["DESTINATIONS_FILE"] = str(file)
        variables = {"WORKER_THREADS": "1", **PATIENT, **ALONE, **app}
        found = pool.map(lambda number: walk(server, sandbox, number, folder, variables), DEATHS)
        yield dict(zip(DEATHS, found, strict=True))


def walk(server: RedisServer, sandbox: Sandbox, number: int, folder: Path, variables: dict[str, str]) -> End:
    """One room to which nobody came, a worker that dies at its `number`-th point, and one that does not."""
    scene = Scene(server, sandbox, db=number, **variables)
    sandbox.twilio.add_room(room_sid(1, number), unique_participants=0, unique_participant_identities=0)
    sid = scene.open(number)
    trace = folder / f"{number}.trace"
    argv = [sys.executable, "-m", "tests.processes.faulty_worker", str(number), str(trace)]
    with Process(argv, env=scene.env, log=trace.with_suffix(".log")) as first:
        if number:
            assert first.wait(60) == -9
        else:
            scene.wait_for_all(1, seconds=60)
            first.stop()
    with scene.worker(folder / f"{number}-second.log") as second:
        scene.wait_for_all(1, seconds=60)
        wait_until(second.is_running, what="the second worker lives")
        second.stop()
    messages, replies = (sandbox.slack_api.messages(sid, part=part) for part in ("report", "details"))
    return End(tuple(trace.read_text().splitlines()), scene.room(sid), messages, replies)


def test_the_way_is_as_it_is_told_here(ends: dict[int, End]) -> None:
    assert ends[0].reached == WAY


@pytest.mark.parametrize("number", DEATHS, ids=[WAY[number - 1] if number else "nowhere" for number in DEATHS])
def test_death_leaves_one_message_in_its_final_form(ends: dict[int, End], number: int) -> None:
    end = ends[number]
    assert end.reached == (WAY[:number] if number else WAY)
    (message,), (reply,) = end.messages, end.replies
    assert "details follow" not in message["text"] and "Nobody came." in reply["text"]
    assert reply["thread_ts"] == message["ts"]
    assert end.room.state == "delivered"
