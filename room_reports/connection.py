"""Clients of Redis, made in one place: how long each process waits for it, and how often it tries again.

`redis://`, `rediss://` (TLS), `unix://` and Sentinel URLs; making a client connects to nothing.

A connection never outlives its server's being the primary: it closes itself when it is told that it leads to a replica.
Whoever keeps one need not care, for a connection that is closed connects by itself when something is sent on it, and
that asks DNS or the sentinels anew where the primary is.
"""

from __future__ import annotations

from typing import Any

import redis
from redis import exceptions
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.connection import Connection, ConnectionPool, SSLConnection, UnixDomainSocketConnection
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool, SentinelManagedConnection, SentinelManagedSSLConnection

from config.sentinel import SentinelUrl, is_sentinel_url, parse_sentinel_url
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

READ_SIZE = 16_384
"""Bytes that every connection keeps for reading. A row fits; redis-py itself keeps four times that, for each thread."""

SENTINEL_ANSWER = 0.25
"""Seconds for each sentinel that is asked where the master is. Short, for the next one knows it as well, and a callback
may have to wait until the last one is reached; the one that answered is asked first the next time."""


_NOT_THE_PRIMARY = ("READONLY", "NOREPLICAS")
"""What a server says that was demoted, and one that lost its replicas to another and will be."""


class _SeeksThePrimary:
    """A connection that closes itself when its server refuses writes, so that the next thing sent finds the primary.

    A server that was demoted keeps its clients, and would refuse every write of theirs for as long as it lives.
    """

    def read_response(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().read_response(*args, **kwargs)  # type: ignore[misc]  # of the connection it is mixed into
        except exceptions.ResponseError as error:
            # Not by its class alone: Redis 6.2 wraps the answer when a script gets it.
            refused = isinstance(error, exceptions.ReadOnlyError) or any(
                mark in str(error) for mark in _NOT_THE_PRIMARY
            )
            if not refused:
                raise
            self.disconnect()  # type: ignore[attr-defined]
            raise exceptions.ReadOnlyError(str(error)) from None


class _Connection(_SeeksThePrimary, Connection):
    pass


class _SSLConnection(_SeeksThePrimary, SSLConnection):
    pass


class _UnixConnection(_SeeksThePrimary, UnixDomainSocketConnection):
    pass


class _AsksSentinels:
    """A connection that asks the sentinels each time it connects.

    redis-py's own does so when the pool connects it, but goes back to the same host when something is sent on one that
    was closed: whoever keeps a connection would never leave a primary that was demoted.
    """

    def connect_check_health(self, check_health: bool = True, retry_socket_connect: bool = True) -> None:
        if retry_socket_connect and not self._sock:  # type: ignore[attr-defined]  # else redis-py has asked
            self.host, self.port = self.connection_pool.get_master_address()  # type: ignore[attr-defined]
        super().connect_check_health(check_health, retry_socket_connect)  # type: ignore[misc]  # see above


class _SentinelConnection(_SeeksThePrimary, _AsksSentinels, SentinelManagedConnection):
    pass


class _SentinelSSLConnection(_SeeksThePrimary, _AsksSentinels, SentinelManagedSSLConnection):
    pass


_KINDS: dict[type, type] = {
    Connection: _Connection,
    SSLConnection: _SSLConnection,
    UnixDomainSocketConnection: _UnixConnection,
}


def web_client(settings: Settings) -> redis.Redis:
    """For the web process: fails fast, and tries again once, as a connection may have been closed while idle, or its
    server is not the primary any more."""
    lost = (exceptions.ConnectionError, exceptions.TimeoutError, exceptions.ReadOnlyError)
    return _client(
        settings,
        socket_connect_timeout=WEB_CONNECT,
        socket_timeout=WEB_ANSWER,
        retry=Retry(NoBackoff(), 1, supported_errors=lost),
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
    options["socket_read_size"] = READ_SIZE
    url = settings.redis_url.get_secret_value()
    if is_sentinel_url(url):
        return _sentinel_client(settings, parse_sentinel_url(url), options)
    scheme = url.partition("://")[0]
    if scheme != "unix":
        options["socket_keepalive"] = True  # a Unix socket takes no such option
    if scheme == "rediss":
        options |= _tls(settings)
    pool = ConnectionPool.from_url(url, **options)
    pool.connection_class = _KINDS[pool.connection_class]
    return redis.Redis.from_pool(pool)


def _sentinel_client(settings: Settings, url: SentinelUrl, options: dict[str, Any]) -> redis.Redis:
    tls = _tls(settings) if url.tls else {}
    password = settings.redis_sentinel_password
    sentinel = Sentinel(  # type: ignore[no-untyped-call]
        url.hosts,
        sentinel_kwargs={
            "username": settings.redis_sentinel_username,
            "password": password.get_secret_value() if password else None,
            "socket_connect_timeout": SENTINEL_ANSWER,
            "socket_timeout": SENTINEL_ANSWER,
            "retry": Retry(NoBackoff(), 0),
            **({"ssl": True} if url.tls else {}),
            **tls,
        },
    )
    pool = SentinelConnectionPool(  # type: ignore[no-untyped-call]
        url.service,
        sentinel,
        connection_class=_SentinelSSLConnection if url.tls else _SentinelConnection,
        db=url.database,
        username=url.username,
        password=url.password,
        socket_keepalive=True,
        **options,
        **tls,
    )
    return redis.Redis.from_pool(pool)


def _tls(settings: Settings) -> dict[str, Any]:
    """What redis-py is told of TLS. The name in the certificate is checked when the certificate is."""
    return {
        "ssl_cert_reqs": "required" if settings.redis_tls_verify else "none",
        "ssl_check_hostname": settings.redis_tls_verify,
        "ssl_ca_certs": settings.redis_tls_ca_file,
        "ssl_certfile": settings.redis_tls_cert_file,
        "ssl_keyfile": settings.redis_tls_key_file,
    }
