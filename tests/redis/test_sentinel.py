"""Sentinel: three of them, a primary and a replica, and the primary goes away while callbacks arrive."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from config.loading import load
from room_reports.connection import web_client, worker_client
from room_reports.lanes import make_ledger
from room_reports.ledger import LedgerUnavailable
from sandbox.client import Sandbox
from sandbox.summaries import room_sid
from tests.conftest import StartWeb, StartWorker
from tests.processes.rooms import QUICK
from tests.redis.conftest import Serve
from tests.support.processes import Web, settings_for, wait_until
from tests.support.sentinels import SENTINEL_PASSWORD, SERVICE, Watched
from tests.support.servers import free_port
from tests.web.conftest import form, post

Blow = Callable[[Watched], None]


def test_clients_follow_the_primary() -> None:
    """Without a restart, and also on connections that were open before and that nobody closed."""
    with Watched() as watched:
        settings = load({**settings_for(watched.url), **watched.settings})
        with web_client(settings) as hasty, worker_client(settings) as patient:
            ledgers = [make_ledger(settings, client) for client in (hasty, patient)]
            for ledger in ledgers:
                ledger.ping_writable()
                assert ledger.dispatch() == (0, None)  # on the connection that its thread keeps
            before = watched.primary
            watched.fail_over(follow=False)
            with before.client() as old:
                old.replicaof("127.0.0.1", str(watched.primary.port))
            for ledger in ledgers:
                assert ledger.dispatch() == (0, None)
                ledger.ping_writable()
                assert not ledger.server().is_replica
            with watched.primary.client() as primary:
                assert primary.get("room-reports:ping") == b"1"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"REDIS_SENTINEL_PASSWORD": "wrong"}, "no master"),
        ({"REDIS_SENTINEL_PASSWORD": ""}, "no master"),
        ({"REDIS_URL": f"redis+sentinel://127.0.0.1:{free_port()}/{SERVICE}"}, "no master"),
    ],
)
def test_sentinels_that_do_not_answer_are_said(change: dict[str, str], reason: str, lone: dict[str, str]) -> None:
    settings = load({**lone, **change})
    with web_client(settings) as client, pytest.raises(LedgerUnavailable) as caught:
        make_ledger(settings, client).ping_writable()
    assert caught.value.reason == reason


@pytest.fixture(scope="module")
def lone() -> Iterator[dict[str, str]]:
    """The settings for a group that is left as it is."""
    with Watched(replicas=0) as watched:
        yield {**settings_for(watched.url), **watched.settings}


@pytest.mark.deploy
def test_service_runs_on_it(serve: Serve) -> None:
    with Watched() as watched:
        serve(watched.settings)


def kill(watched: Watched) -> None:
    """The machine of the primary dies."""
    before = watched.primary
    before.kill()
    watched.wait_for_another(before)
    before.start()  # as a supervisor would; it finds that it is a replica now


def hand_over(watched: Watched) -> None:
    """An operator has Sentinel change the primary."""
    watched.fail_over()


@pytest.mark.deploy
@pytest.mark.parametrize("blow", [kill, hand_over])
def test_failover_under_load_loses_nothing_that_was_answered_2xx(
    blow: Blow, start_web: StartWeb, start_worker: StartWorker, sandbox: Sandbox
) -> None:
    with Watched(appendonly="yes") as watched:
        env = {**settings_for(""), **sandbox.environment(), **QUICK, **watched.settings, "REDIS_REPLICAS": "1"}
        web = start_web(env)
        workers = [start_worker(env) for _ in range(2)]
        stopping = threading.Event()
        with ThreadPoolExecutor(4) as pool:
            callers = [pool.submit(call_until, stopping, web, series) for series in range(1, 5)]
            time.sleep(1.5)
            blow(watched)
            wait_until(lambda: post(web, form(RoomSid=room_sid(9, 1))).status == 204, what="2xx again", seconds=40)
            time.sleep(1.5)
            stopping.set()
            answers = {sid: status for caller in callers for sid, status in caller.result().items()}
        promised = {sid for sid, status in answers.items() if status == 204}
        assert len(promised) > 50
        assert set(answers.values()) == {204, 503}, "there was no gap, so nothing was tried"
        missing = promised

        def all_arrived() -> bool:
            nonlocal missing
            missing = {sid for sid in missing if not (sandbox.slack.accepted(sid) and sandbox.receiver.accepted(sid))}
            return not missing

        wait_until(all_arrived, what="every room that was answered 2xx is reported", seconds=40)
        print(f"{blow.__name__}: {len(promised)} answered 2xx, {len(answers) - len(promised)} refused, 0 lost")
        for process in (web, *workers):
            assert process.is_running()
            assert "Traceback" not in process.output()
            assert SENTINEL_PASSWORD not in process.output()


def call_until(stopping: threading.Event, web: Web, series: int) -> dict[str, int]:
    """Callbacks, one after the other; each room's status. A caller whose callback is refused does not try again."""
    answers: dict[str, int] = {}
    while not stopping.is_set():
        sid = room_sid(series, len(answers))
        answers[sid] = post(web, form(RoomSid=sid)).status
        time.sleep(0.03)
    return answers
