"""Clients of Redis, made in one place: how long each process waits for it, and how often it tries again.

`redis://`, `rediss://` (TLS) and `unix://` URLs; making a client connects to nothing.
"""

from __future__ import annotations

from typing import Any

import redis
from redis import exceptions
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.retry import Retry

from config.settings import Settings

WEB_CONNECT = 0.5
WEB_ANSWER = 0.8
"""Seconds for the web process. Twilio must hear within two that a callback was not taken, and a connection that died
unnoticed costs one of these before a new one is tried."""

WORKER_ANSWER = 5.0
WORKER_RETRIES = 30
"""With pauses of up to two seconds: an outcome waits for Redis for most of a minute, which is about a lease."""

OTHER_CONNECTIONS = 16
"""Beside those of the job threads: the main loop, the dispatcher, the chores, RQ's channel."""

LOOP_RETRIES = 0


def web_client(settings: Settings) -> redis.Redis:
    """For the web process: fails fast, and tries again once, for a connection that was closed while it was idle."""
    return _client(
        settings,
        socket_connect_timeout=WEB_CONNECT,
        socket_timeout=WEB_ANSWER,
        retry=Retry(NoBackoff(), 1, supported_errors=(exceptions.ConnectionError, exceptions.TimeoutError)),
    )


def worker_client(settings: Settings) -> redis.Redis:
    """For the jobs of a worker: patient, for what they have done must be written down."""
    return _worker_client(settings, retries=WORKER_RETRIES)


def loop_client(settings: Settings) -> redis.Redis:
    """For the main loop of a worker and for RQ: it comes round again by itself, and must hear when it is to stop."""
    return _worker_client(settings, retries=LOOP_RETRIES)


def _worker_client(settings: Settings, *, retries: int) -> redis.Redis:
    lost = (
        exceptions.ConnectionError,
        exceptions.TimeoutError,
        exceptions.BusyLoadingError,
        exceptions.ReadOnlyError,
    )
    return _client(
        settings,
        # redis-py stops at 100, and every thread may be talking to Redis at once.
        max_connections=settings.worker_threads + OTHER_CONNECTIONS,
        socket_connect_timeout=5,
        socket_timeout=WORKER_ANSWER,
        retry=Retry(ExponentialBackoff(cap=2, base=0.1), retries, supported_errors=lost),
        health_check_interval=30,
    )


def command_client(settings: Settings) -> redis.Redis:
    """For a command at a terminal: somebody waits for it, but a page of an export may take a while."""
    return _client(
        settings,
        socket_connect_timeout=2,
        socket_timeout=5,
        retry=Retry(NoBackoff(), 1, supported_errors=(exceptions.ConnectionError,)),
    )


def _client(settings: Settings, **options: Any) -> redis.Redis:
    url = settings.redis_url.get_secret_value()
    if not url.lower().startswith("unix:"):
        options["socket_keepalive"] = True  # a Unix socket takes no such option
    if url.lower().startswith("rediss:") and not settings.redis_tls_verify:
        options["ssl_cert_reqs"] = "none"
    return redis.Redis.from_url(url, **options)
