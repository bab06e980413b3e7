"""How often Redis is asked: once for a callback, three times for a room with two destinations. One more fails here.

Commands of clients are counted as MONITOR shows them; what a script does inside is no round trip.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import redis

from config.loading import load
from room_reports.lanes import make_ledger
from room_reports.ledger import Ledger
from room_reports.ledger.scripts import NEEDS
from sandbox.client import Sandbox
from tests.conftest import StartWeb
from tests.processes.rooms import Scene
from tests.support.processes import settings_for, wait_until
from tests.support.servers import RedisServer

ROOMS = 20
"""So many that what comes but now and then, as a heartbeat, comes less often."""

PER_CALLBACK = {"open": 1}
"""The row, its due entry and its job come into being together."""

PER_ROOM = {
    # The outcome of the summary, which begins the delivery that goes straight on; and that of each delivery, with which
    # the job is cleared away and the next one is taken and begun.
    "finish": 3,
}


def test_a_callback_costs_one_round_trip(
    valkey: RedisServer, redis_url: str, sandbox: Sandbox, start_web: StartWeb
) -> None:
    env = settings_for(redis_url)
    web = start_web(env)
    sandbox.configure(callback_url=f"{web.url}/twilio/rooms")
    with valkey.client() as client, commands(valkey, make_ledger(load(env), client)) as seen:
        answers = sandbox.twilio.end_rooms(ROOMS)
    assert {answer.status for answer in answers} == {204}
    assert_each(between(seen(), "open"), PER_CALLBACK)


def test_a_finished_room_costs_three_round_trips(valkey: RedisServer, sandbox: Sandbox, tmp_path: Path) -> None:
    scene = Scene(valkey, sandbox, WORKER_THREADS="1", DISPATCH_EVERY="5", STEP_LEASE="60")
    scene.redis.flushall()
    for number in range(ROOMS):
        scene.open(number)
    with commands(valkey, scene.ledger) as seen, scene.worker(tmp_path / "worker.log") as worker:
        wait_until(lambda: len(worker.lines("report delivered")) == 2 * ROOMS, what="every report is delivered")
    assert_each(between(seen(), "finish"), PER_ROOM)


def assert_each(seen: list[str], expected: Mapping[str, int]) -> None:
    """So many of these for each room, and nothing else that comes with every one."""
    counted = Counter(seen)
    assert {name: counted[name] / ROOMS for name in expected} == expected
    assert {name for name, number in counted.items() if number >= ROOMS} == set(expected)


def between(seen: list[str], last: str) -> list[str]:
    """What came up to the last one of these: afterwards a worker only asks whether there is more to do."""
    return seen[: len(seen) - seen[::-1].index(last)]


@contextmanager
def commands(server: RedisServer, ledger: Ledger) -> Iterator[Callable[[], list[str]]]:
    """Gives a function that names, after the block, what clients asked meanwhile: a script, or a command.

    `ledger`: one with the settings of those who ask, for its scripts hold them.
    """
    scripts = {ledger.scripts.source_of(name)[1]: name for name in NEEDS}
    end = "the end of what is watched"
    found: list[str] = []
    # The second client waits without a limit: nothing is asked while a process starts, however long that takes.
    patient = redis.Redis(unix_socket_path=str(server.socket))
    with server.client() as client, patient as watching, watching.monitor() as monitor:

        def watch() -> None:
            for one in monitor.listen():
                if end in one["command"]:
                    return
                if one["client_type"] != "lua":
                    found.append(name_of(one["command"], scripts))

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield lambda: found
        finally:
            client.echo(end)
            watcher.join()


def name_of(command: str, scripts: Mapping[str, str]) -> str:
    """The script that is run, or the command. A script that the server does not have yet is sent whole."""
    called = re.match(r"evalsha (\w+)", command, re.IGNORECASE)
    return scripts.get(called[1], called[1]) if called else command.partition(" ")[0].lower()
