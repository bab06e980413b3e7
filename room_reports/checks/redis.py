"""Checks of Redis: whether the ledger can be written, and what is wrong with the server it is on."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import structlog

from room_reports.checks import Check
from room_reports.ledger import SCHEMA, Ledger, LedgerUnavailable, Server

OLDEST_REDIS = (6, 2)
SLOW_REDIS = 0.02
"""Seconds of a round trip to Redis above which callbacks and attempts are noticeably slower."""

LARGEST_SKEW = 30.0
"""Seconds between our clock and that of Redis."""

NEARLY_FULL = 0.85
"""The share of its memory."""

log = structlog.get_logger(__name__)

_REMEDIES = {
    "unreachable": "start Redis, or set REDIS_URL to where it is (rediss:// if it wants TLS)",
    "certificate": "its certificate is not trusted: name who signed it in REDIS_TLS_CA_FILE; where that cannot be had "
    "(Heroku), set REDIS_TLS_VERIFY=0",
    "timeout": "something answers too late or not at all: check the network between here and Redis, and its load",
    "authentication": "check user and password in REDIS_URL",
    "permission": "its user may not run what the service needs: allow all commands on the keys of REDIS_PREFIX and rq:",
    "read-only": "REDIS_URL leads to a replica: use the address of the primary",
    "out of memory": "Redis is full: give it more memory, or lower RETENTION",
    "cannot persist": "Redis cannot write to its disk: look at the disk and at Redis's log",
    "loading": "Redis is starting and loads its data: wait",
    "too few replicas": "Redis misses replicas that it, or REDIS_REPLICAS, says it must have: repair them",
    "no master": "the sentinels in REDIS_URL know no live master by its service name, cannot be reached, or want "
    "REDIS_SENTINEL_PASSWORD: ask one with SENTINEL MASTERS; during a failover, wait",
    "cluster": "use a single Redis, or Sentinel: Redis Cluster is not supported",
    "newer schema": "a newer version of this service has worked on this Redis: run that one, or give this one another "
    "REDIS_PREFIX",
}


def redis_checks(ledger: Ledger) -> list[Check]:
    """Whether the ledger can be written, and what is wrong with the server it is on."""
    return _look(ledger, server_checks)


def startup_checks(ledger: Ledger) -> list[Check]:
    """What stops a release: a Redis that cannot be written, or that the ledger's scripts do not run on.

    As warnings, for not every platform lets one change it: what would lose rooms there.
    """
    return _look(ledger, _of_startup)


def _look(ledger: Ledger, checks: Callable[[Server], list[Check]]) -> list[Check]:
    found = redis_writable(ledger)
    if found.level == "fail":
        return [found]
    try:
        return [found, *checks(ledger.server())]
    except LedgerUnavailable as error:
        return [found, unavailable("redis server", error)]


def _of_startup(server: Server) -> list[Check]:
    looks = (version_check, single_check, schema_check, persistence_check, eviction_check)
    return [check(server) for check in looks]


def redis_writable(ledger: Ledger) -> Check:
    """Whether a row could be written now."""
    try:
        ledger.ping_writable()
    except LedgerUnavailable as error:
        return unavailable("redis", error)
    return Check("redis", "ok", "reachable and writable")


def unavailable(name: str, error: LedgerUnavailable) -> Check:
    """A Redis that did not answer as it should."""
    return Check(name, "fail", error.reason, _REMEDIES.get(error.reason, "look at Redis's log"))


def server_checks(server: Server) -> list[Check]:
    """What an operator should know of a Redis server that answers."""
    looks = (version_check, single_check, schema_check, replicas_check, persistence_check, eviction_check)
    return [check(server) for check in (*looks, memory_check, latency_check, clock_check)]


def version_check(server: Server) -> Check:
    """The least version has all that the scripts use."""
    if server.version < OLDEST_REDIS:
        least = ".".join(map(str, OLDEST_REDIS))
        return Check("redis version", "fail", server.name, f"Redis {least} or later is needed: upgrade it")
    return Check("redis version", "ok", server.name)


def single_check(server: Server) -> Check:
    """One server (with replicas or not), for the scripts touch keys that a cluster would spread."""
    if server.is_cluster:
        return Check("redis mode", "fail", "a cluster", _REMEDIES["cluster"])
    if server.is_replica:
        return Check("redis mode", "fail", "a replica", _REMEDIES["read-only"])
    return Check("redis mode", "ok", "a single primary")


def schema_check(server: Server) -> Check:
    """Whether this version understands what is in the ledger."""
    if server.schema > SCHEMA:
        message = f"{server.schema}, and this version knows {SCHEMA}"
        return Check("redis schema", "fail", message, _REMEDIES["newer schema"])
    return Check("redis schema", "ok", str(server.schema))


def replicas_check(server: Server) -> Check:
    """Whether a room is on as many replicas as it is to be before its callback is answered."""
    name, wanted = "redis replicas", server.replicas_wanted
    if server.replicas < wanted:
        remedy = "callbacks get 503 until they follow: repair them, or lower REDIS_REPLICAS"
        return Check(name, "fail", f"{server.replicas} of {wanted} follow", remedy)
    if server.replicas > wanted:
        message = f"{server.replicas} follow, {wanted} are waited for: a failover may lose what was written last"
        return Check(name, "warn", message, "docs/redis.md, Failover: what REDIS_REPLICAS promises")
    return Check(name, "ok", f"{wanted} follow and are waited for" if wanted else "none")


def persistence_check(server: Server) -> Check:
    """Whether rows survive a restart of Redis."""
    name = "redis persistence"
    if not server.persists:
        return Check(name, "warn", "its last write to disk failed", _REMEDIES["cannot persist"])
    if server.append_only:
        return Check(name, "ok", "append-only file")
    advice = "turn on its append-only file (appendonly yes)"
    if server.snapshots:
        return Check(name, "warn", "snapshots only: a crash loses the rooms since the last one", advice)
    if server.snapshots is None:
        message = "no append-only file, and it does not say whether it takes snapshots"
        return Check(name, "warn", message, f"{advice}, or ask whoever runs it what a restart loses")
    message = "none: a restart loses every room"
    return Check(name, "warn", message, f"{advice}; after a loss `flask rooms reconcile` finds the last 7 days again")


def eviction_check(server: Server) -> Check:
    """Whether Redis would rather refuse a write than throw rows away."""
    if server.eviction == "noeviction":
        return Check("redis eviction", "ok", "noeviction")
    message = f"{server.eviction}: a full Redis would throw away rows and jobs"
    return Check("redis eviction", "warn", message, "set maxmemory-policy to noeviction")


def memory_check(server: Server) -> Check:
    """Whether there is room left."""
    used = f"{server.memory_used / 1e6:.0f} MB used"
    if not server.memory_limit:
        return Check("redis memory", "ok", f"{used}, no limit")
    share = server.memory_used / server.memory_limit
    message = f"{used} of {server.memory_limit / 1e6:.0f} MB ({share:.0%})"
    if share > NEARLY_FULL:
        return Check("redis memory", "warn", message, _REMEDIES["out of memory"])
    return Check("redis memory", "ok", message)


def latency_check(server: Server) -> Check:
    """Whether Redis is near."""
    message = f"{server.latency * 1000:.1f} ms a round trip"
    if server.latency > SLOW_REDIS:
        return Check("redis latency", "warn", message, "run the service in the region and network of its Redis")
    return Check("redis latency", "ok", message)


def clock_check(server: Server) -> Check:
    """Whether this machine and Redis agree on the time: signatures of reports carry ours, the ledger keeps Redis's."""
    message = f"{abs(server.skew):.1f} s {'behind' if server.skew > 0 else 'ahead of'} Redis's"
    if abs(server.skew) > LARGEST_SKEW:
        remedy = "set both clocks by NTP: receivers refuse reports whose time is minutes off"
        return Check("clock", "warn", message, remedy)
    return Check("clock", "ok", message)


def tls_checks(redis_url: str, *, verified: bool) -> list[Check]:
    """Whether an encrypted connection to Redis is to the server it is meant for; nothing about one without TLS."""
    if not redis_url.startswith("rediss"):
        return []
    if verified:
        return [Check("redis tls", "ok", "encrypted, and its certificate is verified")]
    message = "encrypted, but its certificate is not verified: whoever is on the way can read and change everything"
    remedy = "Heroku has no other way; elsewhere REDIS_TLS_VERIFY=1, with its authority in REDIS_TLS_CA_FILE"
    return [Check("redis tls", "warn", message, remedy)]


def start_problems(ledger: Ledger) -> list[str]:
    """Why no process can work on this Redis, each with what to do. One that is away, or refuses now, may yet be fit."""
    try:
        server = ledger.server()
    except LedgerUnavailable as error:
        found = [unavailable("redis mode", error)] if error.reason == "cluster" else []
    else:
        found = [version_check(server), schema_check(server), *([single_check(server)] if server.is_cluster else [])]
    return [f"REDIS_URL: {check.name}: {check.message}: {check.remedy}" for check in found if check.level == "fail"]


def log_redis_warnings(ledger: Ledger) -> None:
    """Logs what is wrong with the Redis server, for a worker when it starts. A Redis that is away is not waited for."""
    log_warnings(redis_checks(ledger))


def log_warnings(found: Iterable[Check]) -> None:
    """Logs what is not as it should be with Redis."""
    for check in found:
        if check.level != "ok":
            log.warning("redis needs attention", check=check.name, problem=check.message, remedy=check.remedy)
