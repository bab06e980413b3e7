"""Is this installation healthy? Each check looks at one thing and says what is wrong and what to do about it.

The functions are handed what they look at and return plain results; `flask doctor` prints them, and a worker logs those
about its Redis when it starts. A message never holds a secret.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

import structlog

from room_reports.errors import Configuration, Failure, Transient
from room_reports.ledger import SCHEMA, Hold, Lane, Ledger, LedgerUnavailable, Server

if TYPE_CHECKING:
    from room_reports.insights import InsightsClient
    from room_reports.slack_api import SlackApi
    from room_reports.transport import Transport

OLDEST_REDIS = (6, 2)
SLOW_REDIS = 0.02
"""Seconds of a round trip to Redis above which callbacks and attempts are noticeably slower."""

LARGEST_SKEW = 30.0
NEARLY_FULL = 0.85
OVERDUE = 60.0
"""Seconds that a due step may wait: a dispatcher looks every second or so."""

Level = Literal["ok", "warn", "fail"]

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Check:
    """One result. `remedy`: what to do about it, empty when there is nothing to do."""

    name: str
    level: Level
    message: str
    remedy: str = ""


# Redis

_REDIS_REMEDIES = {
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
    found = redis_writable(ledger)
    if found.level == "fail":
        return [found]
    try:
        return [found, *server_checks(ledger.server())]
    except LedgerUnavailable as error:
        return [found, unavailable("redis server", error)]


def redis_writable(ledger: Ledger) -> Check:
    """Whether a row could be written now."""
    try:
        ledger.ping_writable()
    except LedgerUnavailable as error:
        return unavailable("redis", error)
    return Check("redis", "ok", "reachable and writable")


def startup_checks(ledger: Ledger) -> list[Check]:
    """What stops a release: a Redis that cannot be written, or that the ledger's scripts do not run on.

    As warnings, for not every platform lets one change it: what would lose rooms there.
    """
    found = redis_writable(ledger)
    if found.level == "fail":
        return [found]
    try:
        server = ledger.server()
    except LedgerUnavailable as error:
        return [found, unavailable("redis server", error)]
    return [
        found,
        version_check(server),
        single_check(server),
        schema_check(server),
        persistence_check(server),
        eviction_check(server),
    ]


def tls_checks(redis_url: str, *, verified: bool) -> list[Check]:
    """Whether an encrypted connection to Redis is to the server it is meant for; nothing about one without TLS."""
    if not redis_url.lower().startswith("rediss"):
        return []
    if verified:
        return [Check("redis tls", "ok", "encrypted, and its certificate is verified")]
    message = "encrypted, but its certificate is not verified: whoever is on the way can read and change everything"
    remedy = "Heroku has no other way; elsewhere REDIS_TLS_VERIFY=1, with its authority in REDIS_TLS_CA_FILE"
    return [Check("redis tls", "warn", message, remedy)]


def unavailable(name: str, error: LedgerUnavailable) -> Check:
    """A Redis that did not answer as it should."""
    return Check(name, "fail", error.reason, _REDIS_REMEDIES.get(error.reason, "look at Redis's log"))


def server_checks(server: Server) -> list[Check]:
    """What an operator should know of a Redis server that answers."""
    return [
        version_check(server),
        single_check(server),
        schema_check(server),
        replicas_check(server),
        persistence_check(server),
        eviction_check(server),
        memory_check(server),
        latency_check(server),
        clock_check(server),
    ]


def version_check(server: Server) -> Check:
    """The least version has all that the scripts use."""
    if server.version < OLDEST_REDIS:
        least = ".".join(map(str, OLDEST_REDIS))
        return Check("redis version", "fail", server.name, f"Redis {least} or later is needed: upgrade it")
    return Check("redis version", "ok", server.name)


def single_check(server: Server) -> Check:
    """One server (with replicas or not), for the scripts touch keys that a cluster would spread."""
    if server.is_cluster:
        return Check("redis mode", "fail", "a cluster", _REDIS_REMEDIES["cluster"])
    if server.is_replica:
        return Check("redis mode", "fail", "a replica", _REDIS_REMEDIES["read-only"])
    return Check("redis mode", "ok", "a single primary")


def schema_check(server: Server) -> Check:
    """Whether this version understands what is in the ledger."""
    if server.schema > SCHEMA:
        message = f"{server.schema}, and this version knows {SCHEMA}"
        return Check("redis schema", "fail", message, _REDIS_REMEDIES["newer schema"])
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
        return Check(name, "warn", "its last write to disk failed", _REDIS_REMEDIES["cannot persist"])
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
        return Check("redis memory", "warn", message, _REDIS_REMEDIES["out of memory"])
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


# The other sides


def twilio_check(insights: InsightsClient, *, account_sid: str, may_be_away: bool = False) -> Check:
    """Whether Twilio takes the credentials, and whether they are this account's. One cheap request.

    `may_be_away`: a Twilio that cannot be asked is a warning, for a release that must not depend on it.
    """
    try:
        listed = insights.some_account()
    except Configuration as failure:
        remedy = "check TWILIO_API_KEY and TWILIO_API_SECRET, or without them the first TWILIO_AUTH_TOKEN"
        if failure.reason == "private_address":
            remedy = "check TWILIO_INSIGHTS_URL and the DNS here; the sandbox needs ALLOW_PRIVATE_DESTINATIONS=1"
        return Check("twilio", "fail", str(failure), remedy)
    except Failure as failure:
        found = away("twilio", failure)
        return replace(found, level="warn") if may_be_away else found
    if listed is not None and listed.lower() != account_sid.lower():
        message = "the credentials are another account's than TWILIO_ACCOUNT_SID"
        return Check("twilio", "fail", message, "use an API key or auth token of the account whose rooms are reported")
    return Check("twilio", "ok", "the credentials work")


def destination_check(transport: Transport, variable: str, url: str) -> Check:
    """Whether a destination's host can be reached: asks for its root, whatever the answer. Sends no message."""
    from room_reports.transport import redact_url  # here, for the web door checks its Redis and loads no transport

    name = variable.removesuffix("_URL").lower().replace("_", " ")
    parts = urlsplit(url)
    try:
        transport.get(f"{parts.scheme}://{parts.netloc}/")
    except Configuration as failure:
        remedy = f"check {variable} and the DNS here; if it is meant, set ALLOW_PRIVATE_DESTINATIONS=1"
        return Check(name, "fail", str(failure), remedy)
    except Transient as failure:
        if failure.reason in ("too_large", "truncated"):
            return Check(name, "ok", f"{redact_url(url)} answers")
        return away(name, failure)
    return Check(name, "ok", f"{redact_url(url)} answers")


SCOPES_PAGE = "docs/features.md, A message when the room ends"


def slack_app_check(api: SlackApi, *, channel: str, place: str) -> Check:
    """Whether Slack takes the bot token, and shows the app the messages of its channel. Sends no message.

    `place`: where `DESTINATIONS_FILE` has them, empty for those of variables.
    """
    name = place or "slack app"
    its_token, its_channel = (f"{place}.token", f"{place}.channel") if place else ("SLACK_BOT_TOKEN", "SLACK_CHANNEL")
    try:
        who, scopes = api.test()
        api.get("conversations.history", {"channel": channel, "limit": "1", "include_all_metadata": "true"})
    except Configuration as failure:
        if failure.reason == "gone":
            remedy = f"check {its_channel}, and invite the app there: /invite @its-name"
        elif failure.reason == "private_address":
            remedy = "check SLACK_API_URL and the DNS here; the sandbox needs ALLOW_PRIVATE_DESTINATIONS=1"
        else:
            remedy = f"check {its_token} and its scopes ({SCOPES_PAGE}); reinstall the app"
        return Check(name, "fail", str(failure), remedy)
    except Failure as failure:
        return away(name, failure)
    if scopes is not None and (missing := sorted(needed_scopes() - scopes)):
        remedy = f"add it ({SCOPES_PAGE}), then reinstall the app"
        return Check(name, "fail", f"its token lacks {' and '.join(missing)}", remedy)
    return Check(name, "ok", f"{who.get('user', 'the app')} of {who.get('team', 'the workspace')} reads {channel}")


def needed_scopes() -> frozenset[str]:
    """What a Slack app must be allowed."""
    from room_reports.slack_api import SCOPES  # here, for the web door checks its Redis and loads no transport

    return SCOPES


def away(name: str, failure: Failure) -> Check:
    """Another side that cannot be reached, or does not answer as it should at the moment."""
    if failure.reason in ("dns", "connection", "tls"):
        remedy = {
            "dns": "check the host name in the settings and the DNS here",
            "connection": "check the address in the settings, firewalls, and whether HTTPS_PROXY is needed",
            "tls": "check the certificate there; for an internal authority set TLS_CA_FILE",
        }[failure.reason]
        return Check(name, "fail", str(failure), remedy)
    if isinstance(failure, Transient):
        return Check(name, "warn", str(failure), "it may pass: attempts are repeated; if it stays, ask them")
    return Check(name, "fail", str(failure), "check the URL in the settings")


def public_url_check(transport: Transport, *, public_base_url: str | None, trusted_proxies: int) -> Check:
    """Whether the URL that signatures are checked against can be the one Twilio calls."""
    name = "public url"
    if public_base_url is None:
        if trusted_proxies:
            return Check(name, "ok", f"what the request says through {trusted_proxies} trusted proxies")
        message = "what the request itself says: behind a proxy or TLS no signature will verify"
        return Check(name, "warn", message, "set PUBLIC_BASE_URL to the scheme and host that Twilio calls")
    parts = urlsplit(public_base_url)
    if parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1"):
        message = f"{public_base_url} is not https: what Twilio sends can be read on the way"
        return Check(name, "warn", message, "use https, at Twilio and in PUBLIC_BASE_URL")
    try:
        status = transport.get(f"{public_base_url}/healthz").status
    except Failure as failure:
        message = f"{public_base_url} cannot be reached from here ({failure})"
        return Check(name, "warn", message, "Twilio must reach it: check DNS, proxy, certificate; try from outside")
    if status != 200:
        message = f"{public_base_url}/healthz answers {status}, so another service may be there"
        return Check(name, "warn", message, "check PUBLIC_BASE_URL, and where the proxy leads")
    return Check(name, "ok", f"{public_base_url} leads to a healthy web process")


# The work


def workers_check(workers: Mapping[str, tuple[int, int]]) -> Check:
    """Whether workers live. `workers`: as `Ledger.workers`."""
    if not workers:
        message = "none: callbacks are kept, and nothing is fetched or delivered"
        return Check("workers", "fail", message, "start one: python worker.py (Heroku: heroku ps:scale worker=1)")
    threads = sum(threads for threads, _ in workers.values())
    busy = sum(busy for _, busy in workers.values())
    return Check("workers", "ok", f"{len(workers)} alive; {busy} of {threads} threads busy")


def due_checks(
    due: Mapping[str, tuple[int, int, datetime | None]],
    *,
    lanes: Sequence[Lane],
    held: Collection[str],
    queued: int,
    workers: int,
    now: datetime,
) -> list[Check]:
    """Whether steps are taken when they are due. `due` is as of `Ledger.due`, `queued` jobs wait, `now` is Redis's."""
    rates = {lane.name: lane.rate for lane in lanes}
    found = []
    for lane, (total, overdue, first) in due.items():
        name = f"due: {lane}"
        age = (now - first).total_seconds() if first else 0.0
        if lane not in rates and total:
            remedy = f"configure {lane} again, and they go out"
            found.append(Check(name, "warn", f"{total} deliveries wait for {lane}, which is not configured", remedy))
        elif lane in held:
            found.append(Check(name, "ok", f"{total} unfinished, held"))
        elif age <= OVERDUE:
            found.append(Check(name, "ok", f"{total} unfinished, none overdue"))
        else:
            found.append(overdue_check(name, overdue, age, rate=rates[lane], queued=queued, workers=workers))
    return found


def overdue_check(name: str, overdue: int, age: float, *, rate: float, queued: int, workers: int) -> Check:
    """Steps that nobody has taken for longer than it should take."""
    message = f"{overdue} overdue, the first for {age:.0f} s"
    if not workers:
        return Check(name, "fail", message, "start a worker")
    if rate:
        message += f"; at {rate:g} a second all take {overdue / rate / 60:.0f} min"
        return Check(name, "warn", message, "wait, or raise its rate; if they grow no fewer, look at the workers' log")
    if queued:
        message += f"; {queued} jobs are queued"
        return Check(name, "warn", message, "start more workers, or raise WORKER_THREADS")
    return Check(name, "fail", message, "workers live but dispatch nothing: look at their log and restart them")


def hold_checks(holds: Iterable[Hold]) -> list[Check]:
    """What is held: one that only an operator can lift is a failure."""
    found = [
        Check(
            f"hold: {hold.lane}",
            "fail" if hold.until is None else "warn",
            f"{hold.reason}: {hold.detail} (since {hold.since:%Y-%m-%d %H:%M}Z)",
            f"repair it, then: flask rooms resume {hold.lane}" if hold.until is None else "it is tried again by itself",
        )
        for hold in holds
    ]
    return found or [Check("holds", "ok", "none")]


def dead_letter_check(dead: int) -> Check:
    """Deliveries that were given up on."""
    if not dead:
        return Check("dead letters", "ok", "none")
    message = f"{dead} room{'' if dead == 1 else 's'} with a delivery that was given up on"
    return Check("dead letters", "warn", message, "flask rooms list --state dead; then flask rooms resend SID")


def reconcile_check(last: datetime | None, *, every: float, now: datetime) -> Check:
    """Whether rooms whose callback never came are looked for. `every` in seconds, 0 for never."""
    if not every:
        return Check("reconcile", "warn", "switched off: a callback that is lost stays lost", "set RECONCILE_EVERY")
    if last is None:
        return Check("reconcile", "warn", "never done", "it needs a worker and Twilio credentials that work")
    age = now - last
    if age > timedelta(seconds=3 * every) + timedelta(minutes=10):
        message = f"last done {age.total_seconds() / 3600:.1f} h ago"
        return Check("reconcile", "warn", message, "look for `could not reconcile` in the worker's log")
    return Check("reconcile", "ok", f"last done {age.total_seconds() / 60:.0f} min ago")
