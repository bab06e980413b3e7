"""A Redis as Heroku's add-on is, and dynos that are ended after each test."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from sandbox.client import Sandbox
from tests.deploy.heroku import Dyno, SecureRedis, config_vars
from tests.support.servers import binary_of

StartDyno = Callable[..., Dyno]


@pytest.fixture(scope="session")
def secure_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureRedis]:
    """The add-on: a server with TLS, its certificate made here."""
    if binary_of("redis-server") is None:
        pytest.skip("no redis-server here, and the embedded Valkey has no TLS")
    folder = tmp_path_factory.mktemp("certificate")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    options = "-x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=ec2-203-0-113-7.compute-1.amazonaws.com"
    argv = ["openssl", "req", *options.split(), "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(argv, check=True, capture_output=True)
    with SecureRedis(certificate, key) as server:
        yield server


@pytest.fixture
def app(secure_redis: SecureRedis, sandbox: Sandbox) -> dict[str, str]:
    """The config vars of an app that the button set up, on an empty Redis, reporting from and to the sandbox."""
    with secure_redis.client() as client:
        client.flushall()
    quick = {
        "SUMMARY_WAITS": "0.3",
        "DELIVERY_WAITS": "0.3",
        "DISPATCH_EVERY": "0.1",
        "SLACK_RATE": "0",
        "RECONCILE_EVERY": "0",
    }
    return {**config_vars(), **sandbox.environment(), **quick, "REDIS_URL": secure_redis.tls_url}


@pytest.fixture
def start_dyno(tmp_path: Path) -> Iterator[StartDyno]:
    """`start_dyno("web.1", variables)`: a running dyno."""
    with ExitStack() as stack:
        yield lambda name, variables: stack.enter_context(dyno(name, variables, tmp_path))


def dyno(name: str, variables: Mapping[str, str], folder: Path) -> Dyno:
    """One that is not started yet, with a log of its own."""
    number = len(list(folder.iterdir()))
    return Dyno(name, variables, log=folder / f"{name}-{number}.log")
