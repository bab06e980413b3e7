"""Health endpoints: what they say, and what they do not depend on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import redis

from room_reports import __version__
from room_reports.web.health import read_version
from tests.support.processes import Web
from tests.web.conftest import is_empty
from tests.web.wire import exchange


def get(web: Web, path: str) -> tuple[int, object]:
    answer = exchange(web.port, f"GET {path} HTTP/1.1\r\nHost: 10.0.0.7:8000\r\nConnection: close\r\n\r\n".encode())
    assert answer.headers["cache-control"] == "no-store"
    return answer.status, json.loads(answer.body)


@pytest.mark.parametrize("path", ["/healthz", "/__lbheartbeat__"])
def test_alive(web: Web, store: redis.Redis, path: str) -> None:
    assert get(web, path) == (200, {"status": "ok"})
    assert is_empty(store)


@pytest.mark.parametrize("path", ["/healthz/", "/twilio//rooms", "/twilio"])
def test_a_path_that_is_nearly_ours_is_not_there(web: Web, path: str) -> None:
    assert get(web, path) == (404, {"error": "not found"})


@pytest.mark.parametrize("path", ["/readyz", "/__heartbeat__"])
def test_ready(web: Web, path: str) -> None:
    checks = {"settings": {"status": "ok"}, "redis": {"status": "ok"}}
    assert get(web, path) == (200, {"status": "ok", "checks": checks})


def test_version(web: Web) -> None:
    status, body = get(web, "/__version__")
    assert status == 200
    assert isinstance(body, dict) and body["version"] == __version__
    assert {"source", "commit", "build"} <= set(body)


def test_version_tells_what_the_build_wrote(tmp_path: Path) -> None:
    path = tmp_path / "version.json"
    assert read_version(path)["commit"] is None
    path.write_text('{"commit": "abc", "version": "old"}')
    assert read_version(path) == {"source": None, "commit": "abc", "build": None, "version": __version__}


def test_b44_ready_without_a_worker(web: Web) -> None:
    assert get(web, "/readyz")[0] == 200
