"""B48: a worker whose clock is five minutes off keeps every wait and lease, and signs right: Redis has the clock."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest

from sandbox import answers
from sandbox.client import Sandbox
from tests.processes.rooms import LEASE, Scene
from tests.support.processes import PATIENCE, wait_until
from tests.support.servers import RedisServer


def libfaketime() -> str | None:
    """Debian's library that shifts the clock of a process; `LIBFAKETIME` names it when it lies elsewhere."""
    places = [Path(os.environ.get("LIBFAKETIME", "")), *Path("/usr/lib").glob("*/faketime/libfaketime.so.1")]
    return next((str(place) for place in places if place.is_file()), None)


pytestmark = pytest.mark.skipif(libfaketime() is None, reason="libfaketime is not installed (Debian: libfaketime)")


@pytest.fixture(params=["+300s", "-300s"])
def shifted(request: pytest.FixtureRequest, durable: RedisServer, sandbox: Sandbox) -> Iterator[Scene]:
    """A scene whose workers have a wrong clock."""
    # The monotonic clock stays right, as it does on a machine whose time was set wrong.
    wrong = {"LD_PRELOAD": str(libfaketime()), "FAKETIME": request.param, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    scene = Scene(durable, sandbox)
    scene.redis.flushall()
    scene.env.update(wrong)
    yield scene


def test_b48_waits_are_kept_and_signatures_verify(shifted: Scene, tmp_path: Path) -> None:
    sid = shifted.open()
    shifted.sandbox.twilio.script(answers.not_found().repeated(2), key=sid)
    with shifted.worker(tmp_path / "worker.log") as worker:
        shifted.wait_for_all(1)
        logged = datetime.fromisoformat(worker.lines()[0]["timestamp"])
        assert abs(logged.timestamp() - worker.log.stat().st_mtime) > 200, "the clock was not shifted"
    assert shifted.arrivals(sid) == (1, 1)
    asked = shifted.sandbox.twilio.times(sid)
    assert len(asked) == 3
    assert all(later - earlier >= 0.2 for earlier, later in pairwise(asked))
    assert [attempt["at"] for attempt in shifted.room(sid).attempts][:3] == pytest.approx(asked, abs=1)


def test_b48_a_lease_lasts_as_long_as_ever(shifted: Scene, tmp_path: Path) -> None:
    shifted.sandbox.twilio.latency(0.4)
    sid = shifted.open()
    with shifted.worker(tmp_path / "first.log") as first:
        wait_until(lambda: shifted.sandbox.twilio.history(sid), what="the fetch is on its way")
        first.kill()
    with shifted.worker(tmp_path / "second.log"):
        shifted.wait_for_all(1)
    began, again = shifted.sandbox.twilio.times(sid)
    assert LEASE - 0.1 <= again - began < LEASE + PATIENCE < 300
