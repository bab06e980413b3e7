"""The web door under gunicorn, one process group for each set of variables, kept over all tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import cast

import pytest
import redis

from config.loading import load
from room_reports.lanes import make_ledger
from room_reports.ledger import Ledger
from sandbox import callbacks
from sandbox.options import ACCOUNT_SID, AUTH_TOKEN, WEBHOOK_SECRET
from sandbox.summaries import room_sid
from tests.support.processes import Web, settings_for
from tests.support.servers import RedisServer
from tests.web.wire import Answer, send

PATH = "/twilio/rooms"
SID = room_sid(7)

Door = Callable[..., Web]


@pytest.fixture(scope="session")
def doors_redis() -> Iterator[RedisServer]:
    """What the doors write to, and no other test has: what they counted they write up to two seconds later."""
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="session")
def doors(doors_redis: RedisServer) -> Iterator[dict[str, Web]]:
    """Every door that was started, by its variables."""
    started: dict[str, Web] = {}
    yield started
    for web in started.values():
        web.kill()


@pytest.fixture
def door(doors: dict[str, Web], doors_redis: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """`door(NAME="value", …)`: a running web door with these settings, on an empty Redis.

    Afterwards: whatever the test sent, no door has logged an error, a traceback or a secret.
    """
    before = {name: len(web.output()) for name, web in doors.items()}
    doors_redis.clear()

    def get(**variables: str) -> Web:
        name = repr(sorted(variables.items()))
        if name not in doors:
            log = tmp_path_factory.mktemp("door") / "web.log"
            doors[name] = Web(env=settings_for(doors_redis.url, **variables), log=log)
            doors[name].start()
        return doors[name]

    yield get
    for name, web in doors.items():
        said = web.output()[before.get(name, 0) :]
        assert web.is_running()
        assert "Traceback" not in said
        assert '"level": "error"' not in said
        for secret in (AUTH_TOKEN, WEBHOOK_SECRET, WEBHOOK_SECRET.removeprefix("whsec_")):
            assert secret not in said


@pytest.fixture
def web(door: Door) -> Web:
    """The door with default settings: no proxy, no public URL."""
    return door()


@pytest.fixture
def telling(door: Door) -> Web:
    """The same, with a log of its own that no other test has filled so much that lines are left out."""
    return door(LOG_LEVEL="DEBUG")


@pytest.fixture
def store(doors_redis: RedisServer) -> Iterator[redis.Redis]:
    """A client of what the doors write to."""
    with doors_redis.client() as client:
        yield client


@pytest.fixture
def ledger(doors_redis: RedisServer, store: redis.Redis) -> Ledger:
    """The doors' ledger, with both destinations."""
    return make_ledger(load(settings_for(doors_redis.url, SLACK_WEBHOOK_URL="http://127.0.0.1:9/slack")), store)


def url_of(web: Web, path: str = PATH) -> str:
    """The URL of a door as Twilio has it when nothing lies between."""
    return web.url + path


def form(**changes: str | None) -> dict[str, str]:
    """The parameters of a `room-ended` callback of our account."""
    return callbacks.form(SID, account_sid=ACCOUNT_SID, changes=changes)


def post(web: Web, params: callbacks.Params | None = None, **options: object) -> Answer:
    """Signs and posts a callback; `options` are those of `sandbox.callbacks.request`."""
    keywords: Mapping[str, object] = {"url": url_of(web), "token": AUTH_TOKEN, "params": params or form(), **options}
    return send(web.port, callbacks.request(**keywords))  # type: ignore[arg-type]  # checked by the call itself


def is_empty(store: redis.Redis) -> bool:
    """Whether nothing was written: no row, no due entry, no job. What a door counted is, every two seconds."""
    counted = ("room-reports:counts", "room-reports:batch:")
    return all(key.decode().startswith(counted) for key in store.scan_iter())


def jobs(store: redis.Redis) -> list[bytes]:
    """The ids of the queued jobs."""
    return cast(list[bytes], store.lrange("rq:queue:room-reports", 0, -1))
