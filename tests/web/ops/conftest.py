"""A web process with the page switched on, and somebody at a browser without scripts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
import redis
import requests

from config.loading import load
from tests.support.processes import Web, settings_for
from tests.support.rooms_in_ledger import LedgerWriter
from tests.support.secrecy import SECRECY
from tests.support.servers import RedisServer

PASSWORD = "correct horse battery"
SLACK_URL = "http://127.0.0.1:9/services/T0/B0/not-to-be-shown-anywhere"

Ops = Callable[..., Web]


def environment(doors_redis: RedisServer, **variables: str) -> dict[str, str]:
    """Both destinations, no pause between messages to Slack, and the page."""
    wanted = {"SLACK_WEBHOOK_URL": SLACK_URL, "SLACK_RATE": "0", "OPS_PASSWORD": PASSWORD, **variables}
    return settings_for(doors_redis.url, **wanted)


@pytest.fixture
def ops(doors_redis: RedisServer, store: redis.Redis, door: Ops) -> Web:
    """A web door with the page, on an empty Redis."""
    return door(SLACK_WEBHOOK_URL=SLACK_URL, SLACK_RATE="0", OPS_PASSWORD=PASSWORD)


@pytest.fixture
def writer(ops: Web, doors_redis: RedisServer, store: redis.Redis) -> LedgerWriter:
    """Brings rooms about."""
    return LedgerWriter(load(environment(doors_redis)), store)


class Visitor:
    """A browser: keeps cookies, follows links, sends the forms it is shown."""

    def __init__(self, web: Web, **headers: str) -> None:
        self.url = web.url
        self.http = requests.Session()
        self.http.headers.update(headers)
        self.http.trust_env = False
        self.http.hooks["response"].append(lambda page, **_: SECRECY.look(f"the page {page.url}", page.content))

    def get(self, path: str, *, follow: bool = True) -> requests.Response:
        """Opens a page."""
        return self.http.get(self.url + path, timeout=20, allow_redirects=follow)

    def post(self, path: str, *, follow: bool = True, **fields: str) -> requests.Response:
        """Sends a form as it is."""
        return self.http.post(self.url + path, data=fields, timeout=20, allow_redirects=follow)

    def send(self, page: requests.Response, path: str, *, follow: bool = True, **fields: str) -> requests.Response:
        """Sends a form of this page, with its token."""
        return self.post(path, follow=follow, csrf=token_in(page), **fields)

    def sign_in(self, password: str = PASSWORD, *, follow: bool = True, **fields: str) -> requests.Response:
        """Asks for the form and sends it."""
        return self.send(self.get("/login"), "/login", password=password, follow=follow, **fields)


def token_in(page: requests.Response) -> str:
    """The token of a page's forms."""
    found = re.search(r'name="csrf" value="([^"]+)"', page.text)
    assert found, page.text
    return found[1]


@pytest.fixture
def stranger(ops: Web) -> Iterator[Visitor]:
    """Somebody who is not signed in."""
    visitor = Visitor(ops)
    with visitor.http:
        yield visitor


@pytest.fixture
def operator(stranger: Visitor) -> Visitor:
    """Somebody who is."""
    assert stranger.sign_in().status_code == 200
    return stranger
