"""A worker dies between what it sends to Slack's channel and its note of it: there is one message all the same.

The way of a room with the Slack app alone, on one thread, is always the same, so a worker can be killed at the n-th
point it reaches. All deaths happen at once, each on a database of its own.
"""

from __future__ import annotations

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
from tests.support.processes import wait_until
from tests.support.servers import RedisServer
from tests.test_fault_points import PATIENT, faulty_worker

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

DESCRIBED = ("variables", "file")
"""How the service is told of the app."""

Walk = tuple[str, int]

WALKS: list[Walk] = [(described, number) for described in DESCRIBED for number in DEATHS]

ALONE = {"SLACK_WEBHOOK_URL": "", "REPORT_WEBHOOK_URL": ""}
APP = '[destinations.operations]\nkind = "slack_app"\ntoken = "env:APP_TOKEN"\nchannel = "{}"\n'


@dataclass(frozen=True)
class End:
    """How it ended: the points that the first worker reached, and what there was after the second."""

    reached: tuple[str, ...]
    room: Room
    messages: list[dict[str, Any]]
    replies: list[dict[str, Any]]


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> dict[Walk, End]:
    """The end of each way, by how the app is described and the number of the point at which the worker died."""
    folder = tmp_path_factory.mktemp("provisional")
    with RedisServer() as server, Sandbox() as sandbox, ThreadPoolExecutor(len(WALKS)) as pool:
        found = pool.map(lambda place: walk(server, sandbox, place, folder), range(len(WALKS)))
        return dict(zip(WALKS, found, strict=True))


def walk(server: RedisServer, sandbox: Sandbox, place: int, folder: Path) -> End:
    """One room to which nobody came, a worker that dies at one of its points, and one that does not."""
    described, number = WALKS[place]
    app = variables_of(sandbox, described, folder / f"{place}.toml")
    scene = Scene(server, sandbox, db=place, WORKER_THREADS="1", **PATIENT, **ALONE, **app)
    sandbox.twilio.add_room(room_sid(1, place), unique_participants=0, unique_participant_identities=0)
    sid = scene.open(place)
    trace = folder / f"{place}.trace"
    with faulty_worker(scene, number, trace) as first:
        if number:
            assert first.wait(60) == -9
        else:
            scene.wait_for_all(1, seconds=60)
            first.stop()
    with scene.worker(folder / f"{place}-second.log") as second:
        scene.wait_for_all(1, seconds=60)
        wait_until(second.is_running, what="the second worker lives")
        second.stop()
    messages, replies = (sandbox.slack_api.messages(sid, part=part) for part in ("report", "details"))
    return End(tuple(trace.read_text().splitlines()), scene.room(sid), messages, replies)


def variables_of(sandbox: Sandbox, described: str, file: Path) -> dict[str, str]:
    """The settings that describe the app: variables alone, or a file and those it names."""
    app = sandbox.slack_app_environment
    if described == "variables":
        return app
    file.write_text(APP.format(app["SLACK_CHANNEL"]))
    named = {"APP_TOKEN": app["SLACK_BOT_TOKEN"], "SLACK_API_URL": app["SLACK_API_URL"]}
    return {**named, "DESTINATIONS_FILE": str(file)}


@pytest.mark.parametrize("described", DESCRIBED)
def test_the_way_is_as_it_is_told_here(ends: dict[Walk, End], described: str) -> None:
    assert ends[described, 0].reached == WAY


@pytest.mark.parametrize("described", DESCRIBED)
@pytest.mark.parametrize("number", DEATHS, ids=[WAY[number - 1] if number else "nowhere" for number in DEATHS])
def test_death_leaves_one_message_in_its_final_form(ends: dict[Walk, End], described: str, number: int) -> None:
    end = ends[described, number]
    assert end.reached == (WAY[:number] if number else WAY)
    (message,), (reply,) = end.messages, end.replies
    assert "details follow" not in message["text"] and "Nobody came." in reply["text"]
    assert reply["thread_ts"] == message["ts"]
    assert end.room.state == "delivered"
