"""Looks for every secret used in a test session in all that the service leaves behind, and fails the session over one.

Secrets become known by being given to a process or a command. Looked at are: each process's log when it ends, what is
in each Redis (rows, jobs, failed jobs, counts) before it is emptied or ended, every answer and page, the output of
commands, and what pytest itself has caught. `SECRECY` is the session's own; `tests/conftest.py` asks it at the end.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import cast

import redis

from config.loading import SettingsError, load

SHORTEST = 8
FEWEST = 4
"""Shorter ones are words that may be anywhere; those of fewer different characters, such as zeros, stand for none."""


class Secrecy:
    """The secrets that are known, and the places one was found in. Never says which secret it was."""

    def __init__(self) -> None:
        self.findings: list[str] = []
        self.looks = 0
        self._secrets: set[bytes] = set()
        self._known: set[frozenset[tuple[str, str]]] = set()

    def know(self, environ: Mapping[str, str]) -> None:
        """Takes the secrets of these settings; settings that cannot work have none that matter."""
        key = frozenset(environ.items())
        if key in self._known:
            return
        self._known.add(key)
        try:
            secrets = load(environ).secrets
        except SettingsError:
            return
        telling = (secret for secret in secrets if len(secret) >= SHORTEST and len(set(secret)) >= FEWEST)
        self._secrets.update(secret.encode() for secret in telling)

    def look(self, place: str, content: bytes) -> None:
        """Notes the place if a known secret is in its content."""
        self.looks += 1
        if any(secret in content for secret in self._secrets):
            self.findings.append(f"{place}, in {os.environ.get('PYTEST_CURRENT_TEST', 'the session')}")

    def look_into(self, place: str, client_of: Callable[[int], redis.Redis]) -> None:
        """The same for all that a Redis holds; `client_of` gives a client of a database by its number."""
        try:
            with client_of(0) as client:
                databases = [int(name[2:]) for name in client.info("keyspace")]
            for number in databases:
                with client_of(number) as client:
                    for key, content in contents(client):
                        self.look(f"{place}: {key!r}", content)
        except redis.RedisError:
            return  # a server that was broken on purpose


SECRECY = Secrecy()


def contents(client: redis.Redis) -> Iterator[tuple[bytes, bytes]]:
    """Every key, and it and all it holds as bytes to search in. A few round trips in all."""
    keys = list(cast(Iterator[bytes], client.scan_iter(count=10_000)))
    with client.pipeline(transaction=False) as pipeline:
        for key in keys:
            pipeline.type(key)
        kinds = pipeline.execute()
        readers: dict[bytes, Callable[[bytes], object]] = {
            b"string": pipeline.get,
            b"hash": pipeline.hgetall,
            b"set": pipeline.smembers,
            b"list": partial(pipeline.lrange, start=0, end=-1),
            b"zset": partial(pipeline.zrange, start=0, end=-1),
        }
        read = [(key, readers[kind](key)) for key, kind in zip(keys, kinds, strict=True) if kind in readers]
        values = pipeline.execute(raise_on_error=False)
    for (key, _), value in zip(read, values, strict=True):
        yield key, b"\n".join([key, *flat(value)])


def flat(value: object) -> Iterator[bytes]:
    """All bytes in what redis-py gives; what RQ compressed is decompressed."""
    if isinstance(value, bytes):
        yield value
        if value.startswith(b"\x78\x9c"):
            try:
                yield zlib.decompress(value)
            except zlib.error:
                pass
    elif isinstance(value, dict):
        for pair in value.items():
            yield from (part for inner in pair for part in flat(inner))
    elif isinstance(value, list | set | tuple):
        for inner in value:
            yield from flat(inner)
