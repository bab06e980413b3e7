"""The ledger's Lua scripts and the connections they are run on."""

from __future__ import annotations

import hashlib
import json
import os
import string
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import redis
from redis import exceptions

from room_reports.ledger.attempts import QueueEntry
from room_reports.ledger.rows import Lane

SCHEMA = 1
"""Version of the ledger. Versions of this service that run side by side must be able to read one another's rows, so
fields and keys are added, never changed, and this stays as it is. A change that an older version would misread raises
it: the first script of the newer version notes the number in the ledger, and from then on older ones are refused."""

REPLICATION = 400
"""Milliseconds to wait for replicas. They take about one, and Twilio is to hear within two seconds if they do not."""

ATTEMPTS_KEPT = 100
FAILURES_THAT_HOLD = 5
LONGEST_PROBE_PAUSE = 300
QUEUE_BOUND = 1000
JOB_KEPT = 24 * 3600
"""Seconds that a job hash outlives a worker that died with it, for `rq info`."""

LONGEST_JOB = 3
"""How many leases a job can take: for the summary, the participants and one delivery."""

LENGTHS_KEPT = 20
"""How many rooms of one name it is remembered of how long they lasted."""
LOST_SHARE = 50
"""How many due steps of a lane are looked at although the queue is full, for those that a dead worker left."""
BUCKETS = (1, 5, 15, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 21600, 86400)
"""Upper limits, in seconds, of the buckets that durations are counted in."""

NEEDS: Mapping[str, tuple[str, ...]] = {
    "open": ("prefix", "lease", "retention", "rates", "queue", "early"),
    "note_event": ("prefix", "lease", "retention", "rates", "queue", "early"),
    "note_participant": ("prefix",),
    "take": ("prefix", "lease", "rates", "jobs"),
    "begin": ("prefix", "lease", "rates"),
    "finish": ("prefix", "lease", "retention", "rates", "queue", "jobs"),
    "dispatch": ("prefix", "lease", "rates", "queue"),
    "resend": ("prefix", "lease", "retention", "rates", "queue"),
    "resume": ("prefix",),
    "release": ("prefix",),
    "prune": ("prefix", "retention"),
    "add": ("prefix",),
    "note_digest": ("prefix",),
}
"""What each script needs to know of the configuration. All of it is made at every call, so no more than that."""


BEHIND_PRELUDE: Mapping[str, tuple[str, ...]] = {
    "take": ("begin_attempt", "take_jobs"),
    "finish": ("begin_attempt", "take_jobs"),
    "begin": ("begin_attempt",),
    "note_event": ("events",),
    "note_participant": ("events",),
}
"""What a script shares with a few others only: every function in the prelude costs each call of every script."""


class Scripts:
    """Runs the scripts. Safe to share between threads and across a fork.

    Every thread holds a connection of the pool for as long as it lives: taking one from the pool for each call and
    giving it back costs the client as much again as the call itself. A call that fails for the connection's sake is
    made again as the pool's connections are told to, so every script is safe to be run twice.
    """

    def __init__(
        self,
        pool: redis.ConnectionPool,
        *,
        prefix: str,
        lease: float,
        retention: float,
        lanes: Sequence[Lane],
        queue: QueueEntry,
    ) -> None:
        self._pool = pool
        self._held = threading.local()
        self._configuration = {
            "prefix": prefix,
            "lease": lease,
            "retention": int(retention),
            "rates": {lane.name: {"interval": 1 / lane.rate, "burst": lane.burst} for lane in lanes if lane.rate},
            "early": [lane.name for lane in lanes if lane.early],
            "queue": {
                "queues": queue.queues_key,
                "lists": queue.lists,
                "job": queue.job_prefix,
                "tag": queue.job_tag,
                "fields": queue.fields,
                "kinds": {step: vars(kind) for step, kind in queue.kinds.items()},
            },
            "jobs": {
                "prefix": queue.job_prefix,
                "lists": queue.lists,
                "started": queue.started,
                "calls": {kind.call: True for kind in queue.kinds.values()},
                "longest": lease * LONGEST_JOB,
            },
        }
        self._sources: dict[str, tuple[str, str]] = {}

    def run(self, script: str, *args: str | int, replicas: int = 0) -> Any:
        """What the script answers, once so many replicas have what it wrote. Raises redis-py's errors."""
        source, digest = self.source_of(script)
        # RQ keeps times as text in this form; the scripts take their own time from Redis.
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        arguments = (stamp, *args)
        try:
            return self._call(lambda client: client.evalsha(digest, 0, *arguments), replicas=replicas)
        except exceptions.NoScriptError:
            return self._call(lambda client: client.eval(source, 0, *arguments), replicas=replicas)

    def _call(self, call: Callable[[redis.Redis], Any], *, replicas: int) -> Any:
        if not replicas:
            return call(self._client())
        # Both on one connection, and both again when it breaks: replicas are waited for up to what was written on it.
        with redis.Redis(connection_pool=self._pool).pipeline(transaction=False) as pipeline:
            call(pipeline)
            pipeline.wait(replicas, REPLICATION)
            answer, reached = pipeline.execute()
        if reached < replicas:
            # They may follow another primary by now: no connection to this one is used again.
            self._pool.disconnect(inuse_connections=False)
            raise exceptions.ReadOnlyError(f"NOREPLICAS {reached} of {replicas} replicas have it")
        return answer

    def _client(self) -> redis.Redis:
        """This thread's own; a process that was forked makes new ones, for a connection cannot be shared."""
        if getattr(self._held, "pid", None) != os.getpid():
            # It gives its connection back to the pool when it is forgotten, which it is when its thread ends.
            self._held.client = redis.Redis(connection_pool=self._pool, single_connection_client=True)
            self._held.pid = os.getpid()
        client: redis.Redis = self._held.client
        return client

    def source_of(self, script: str) -> tuple[str, str]:
        """The text of a script behind its configuration, the constants and the prelude, and the digest by which Redis
        knows it. Written into it, a configuration costs a third of what it does as JSON in an argument."""
        found = self._sources.get(script)
        if found is None:
            cfg = lua_literal({name: self._configuration[name] for name in NEEDS[script]})
            source = f"local cfg = {cfg}\n{constants()}{text_of(script)}"
            found = self._sources[script] = source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
        return found


def text_of(script: str) -> str:
    """What stands in the files of a script, the prelude first."""
    folder = Path(__file__).with_name("lua")
    parts = ("prelude", *BEHIND_PRELUDE.get(script, ()), script)
    return "".join((folder / f"{part}.lua").read_text() for part in parts)


def constants() -> str:
    """The constants of this module that the scripts know by name."""
    known = {
        "SCHEMA": SCHEMA,
        "ATTEMPTS_KEPT": ATTEMPTS_KEPT,
        "FAILURES_THAT_HOLD": FAILURES_THAT_HOLD,
        "LONGEST_PROBE_PAUSE": LONGEST_PROBE_PAUSE,
        "QUEUE_BOUND": QUEUE_BOUND,
        "JOB_KEPT": JOB_KEPT,
        "LENGTHS_KEPT": LENGTHS_KEPT,
        "LOST_SHARE": LOST_SHARE,
        "BUCKETS": BUCKETS,
    }
    return "".join(f"local {name} = {lua_literal(value)}\n" for name, value in known.items())


def lua_literal(value: object) -> str:
    """A value as Lua writes it: mappings and sequences as tables, text byte by byte where it is not plain."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"[{lua_literal(name)}] = {lua_literal(one)}" for name, one in value.items()) + "}"
    if isinstance(value, str):
        plain = string.ascii_letters + string.digits + ":_-. "
        return '"' + "".join(chr(byte) if chr(byte) in plain else f"\\{byte:03}" for byte in value.encode()) + '"'
    if isinstance(value, Sequence):
        return "{" + ", ".join(map(lua_literal, value)) + "}"
    return json.dumps(value)
