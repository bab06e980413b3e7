"""Who is signed in to the page, and how often a password may be tried, over all web processes.

Sessions are kept here, so that signing out ends one wherever its cookie may be. As to tries: every client has a small
budget, and so have all of them together, or a thousand addresses would have a thousand. The common one would let
strangers keep an operator out for as long as they go on; so a browser that was signed in before is not subject to it.
"""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path

import redis

from room_reports.ledger.unavailable import guarded

OF_ONE = (60.0, 5)
OF_ALL = (5.0, 50)
"""Seconds after which another try is allowed, and how many are at once."""


class SignIns:
    """Sessions and budgets. Safe to share between threads; methods are one round trip, raising `LedgerUnavailable`."""

    def __init__(self, connection: redis.Redis, *, prefix: str) -> None:
        self._redis = connection
        self._prefix = prefix
        self._take = connection.register_script((Path(__file__).with_name("lua") / "sign_in.lua").read_text())

    def wait(self, client: str, *, is_known: bool) -> float:
        """Takes one try: 0, or the seconds after which there is one again. `is_known`: was signed in before."""
        buckets: list[tuple[object, ...]] = [(self._key(client), *OF_ONE)]
        if not is_known:
            buckets.append((f"{self._prefix}sign-ins", *OF_ALL))
        with guarded():
            return float(self._take(args=[json.dumps({"buckets": buckets})]))

    def forgive(self, client: str) -> None:
        """The password was right: the tries before it do not count."""
        with guarded():
            self._redis.delete(self._key(client))

    def begin(self, session: str, *, seconds: int) -> None:
        """Somebody is signed in for so long."""
        with guarded():
            self._redis.set(self._session(session), "1", ex=seconds)

    def is_on(self, session: str) -> bool:
        """Whether a session has neither ended nor been ended."""
        with guarded():
            return bool(self._redis.exists(self._session(session)))

    def end(self, session: str) -> None:
        """Somebody signs out."""
        with guarded():
            self._redis.delete(self._session(session))

    def _session(self, session: str) -> str:
        return f"{self._prefix}session:{session}"

    def _key(self, client: str) -> str:
        return f"{self._prefix}sign-ins:{network_of(client)}"


def network_of(client: str) -> str:
    """What counts as one client: an IPv4 address, or the network of 2^64 addresses that an IPv6 customer has."""
    try:
        address = ipaddress.ip_address(client.strip("[]"))
    except ValueError:
        return "unknown"
    if isinstance(address, ipaddress.IPv6Address):
        return str(address.ipv4_mapped or ipaddress.ip_network((address, 64), strict=False).network_address)
    return str(address)
