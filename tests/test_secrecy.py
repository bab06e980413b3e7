"""The look for secrets in what tests leave behind: that it sees them wherever they are, and fails the session."""

from __future__ import annotations

import os
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from tests.support.processes import ROOT, settings_for
from tests.support.secrecy import Secrecy
from tests.support.servers import RedisServer

ENV = settings_for("redis://:a-password-of-redis@127.0.0.1/0", METRICS_TOKEN="a-token-of-metrics")
TOKEN = ENV["TWILIO_AUTH_TOKEN"].encode()


@pytest.fixture
def own() -> Secrecy:
    """A look of the test's own, so that what is planted here does not fail this session."""
    found = Secrecy()
    found.know(ENV)
    return found


@pytest.mark.parametrize("secret", [TOKEN, b"a-password-of-redis", b"a-token-of-metrics"], ids=range(3))
def test_every_secret_of_the_settings_is_seen_and_not_repeated(own: Secrecy, secret: bytes) -> None:
    own.look("a page", b"<p>nothing here</p>")
    assert own.findings == []
    own.look("a page", b"<p>" + secret + b"</p>")
    [finding] = own.findings
    assert finding.startswith("a page, in tests/test_secrecy.py")
    assert secret.decode() not in finding


def test_settings_that_cannot_work_have_no_secrets() -> None:
    own = Secrecy()
    own.know({"TWILIO_AUTH_TOKEN": "a-token"})
    own.look("a page", b"a-token")
    assert own.findings == []


@pytest.mark.parametrize(
    "kind", ["string", "hash", "field", "set", "list", "zset", "key", "compressed", "other database"]
)
def test_every_corner_of_a_redis_is_looked_into(own: Secrecy, kind: str) -> None:
    text = TOKEN.decode()
    with RedisServer() as server:
        store = redis.Redis(unix_socket_path=str(server.socket), db=3 if kind == "other database" else 0)
        store.set("nothing", "here")
        plant: dict[str, Callable[[], object]] = {
            "string": lambda: store.set("k", f"x{text}"),
            "hash": lambda: store.hset("k", "f", f"x{text}"),
            "field": lambda: store.hset("k", text, "x"),
            "set": lambda: store.sadd("k", text),
            "list": lambda: store.rpush("k", "a", f"x{text}"),
            "zset": lambda: store.zadd("k", {text: 1}),
            "key": lambda: store.set(f"k{text}", "x"),
            "compressed": lambda: store.hset("rq:job:1", "exc_info", zlib.compress(b"x" * 99 + TOKEN)),
            "other database": lambda: store.set("k", text),
        }
        client_of = lambda number: redis.Redis(unix_socket_path=str(server.socket), db=number)  # noqa: E731
        own.look_into("Redis", client_of)
        assert own.findings == []
        plant[kind]()
        own.look_into("Redis", client_of)
        assert len(own.findings) == 1
        store.flushall()
        store.close()


LEAKING = """
import http.server, sys, threading
from tests.support.processes import Process, settings_for
from tests.support.servers import free_port
from tests.web.wire import exchange

ENV = settings_for("redis://localhost/0")
TOKEN = ENV["TWILIO_AUTH_TOKEN"]

def test_log(tmp_path):
    with Process([sys.executable, "-c", f"print('{TOKEN}')"], env=ENV, log=tmp_path / "log") as process:
        process.wait()

def test_row(valkey, redis_url):
    Process([], env=ENV, log=None or __import__("pathlib").Path("/nowhere"))
    with valkey.client() as client:
        client.hset("room-reports:room:RM", "detail", TOKEN)

def test_caught():
    Process([], env=ENV, log=__import__("pathlib").Path("/nowhere"))
    print(TOKEN)

def test_nothing(redis_url):
    Process([], env=ENV, log=__import__("pathlib").Path("/nowhere"))
    print("all is well")
"""


@pytest.mark.parametrize("test", ["log", "row", "caught", "nothing"])
def test_a_leak_fails_the_session(tmp_path: Path, test: str) -> None:
    (tmp_path / "test_leaking.py").write_text(LEAKING)
    options = ["-q", "-p", "no:cacheprovider", "-p", "tests.conftest", "--rootdir", str(tmp_path), "-k", f"test_{test}"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(tmp_path)],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == (0 if test == "nothing" else 1), done.stdout
    assert ("a secret of this session is in" in done.stdout) == (test != "nothing")
