"""URLs of a Redis that Sentinel watches, which redis-py has no form for.

    redis+sentinel://[user:password@]host:port,host:port,…/service[/database]

`rediss+sentinel://` speaks TLS to the sentinels and to the servers. User and password are those of the servers; what
the sentinels themselves ask for are settings of their own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

SCHEMES = ("redis+sentinel", "rediss+sentinel")
PORT = 26379
"""Where a sentinel listens unless told otherwise."""

_HOST = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9._-]+))(?::(?P<port>[0-9]{1,5}))?")


@dataclass(frozen=True)
class SentinelUrl:
    """`hosts`: host and port of each sentinel; `service`: the name under which they know the master."""

    hosts: tuple[tuple[str, int], ...]
    service: str
    database: int
    tls: bool
    username: str | None
    password: str | None = field(repr=False)


def is_sentinel_url(text: str) -> bool:
    """Whether a URL has the scheme of one."""
    return text.partition("://")[0] in SCHEMES


def parse_sentinel_url(text: str) -> SentinelUrl:
    """Takes it apart. Raises ValueError with a message that repeats nothing of it."""
    url = urlsplit(text)
    if url.query or url.fragment:
        raise ValueError("a Sentinel URL has no query and no fragment")
    path = re.fullmatch(r"/(?P<service>[^/]+)(?:/(?P<database>[0-9]{0,5}))?", url.path)
    if path is None:
        raise ValueError("after the sentinels comes /service or /service/database")
    return SentinelUrl(
        hosts=tuple(_host(part) for part in url.netloc.rpartition("@")[2].split(",")),
        service=unquote(path["service"]),
        database=int(path["database"] or 0),
        tls=url.scheme == "rediss+sentinel",
        username=unquote(url.username) if url.username else None,
        password=unquote(url.password) if url.password else None,
    )


def _host(text: str) -> tuple[str, int]:
    found = _HOST.fullmatch(text)
    port = int(found["port"] or PORT) if found else 0
    if found is None or not 0 < port < 65536:
        raise ValueError("the sentinels are host:port, separated by commas")
    return found["v6"] or found["name"], port
