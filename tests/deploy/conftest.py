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
    certificate, key = self_signed(folder, "ec2-203-0-113-7.compute-1.amazonaws.com")
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


def self_signed(
    folder: Path, name: str, *, certificate: str = "certificate.pem", key: str = "key.pem"
) -> tuple[Path, Path]:
    """Makes a certificate for this name that nobody but itself vouches for. Returns it and its key."""
    paths = folder / certificate, folder / key
    options = f"-x509 -newkey rsa:2048 -nodes -days 1 -subj /CN={name}"
    argv = ["openssl", "req", *options.split(), "-out", str(paths[0]), "-keyout", str(paths[1])]
    subprocess.run(argv, check=True, capture_output=True)
    return paths
