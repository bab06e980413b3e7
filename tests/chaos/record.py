"""Reads all there is to know after a run: what was sent and received, the ledger, and what lies about."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import redis
from rq import Queue
from rq.registry import FailedJobRegistry, StartedJobRegistry
from rq.serializers import JSONSerializer

from room_reports.dispatch import QUEUES
from room_reports.ledger import ROOM_STATES
from sandbox.client import SentCallback
from tests.chaos.history import Record, SentEvents
from tests.chaos.plan import Hit
from tests.chaos.scrapes import Scrape
from tests.chaos.stage import Stage
from tests.chaos.variables import METRICS_TOKEN

PAGES = ("/", "/healthz", "/readyz", "/metrics", "/rooms")
ALWAYS_THERE = ("room:", "attempts:", "rooms:", "chore:", "lanes", "ping", "reconciled", "counts", "days", "workers")


def record_of(
    stage: Stage,
    *,
    sent: Iterable[SentCallback],
    events: Iterable[SentEvents],
    hits: Iterable[Hit],
    pages: Iterable[bytes],
    scrapes: Iterable[Scrape],
) -> Record:
    """Reads everything. The service has been stopped."""
    with stage.client() as client:
        ledger = stage.ledger()
        prefix = stage.settings.redis_prefix
        states = {state: frozenset(members(client, f"{prefix}rooms:{state}")) for state in ROOM_STATES}
        every = members(client, f"{prefix}rooms:all")
        rooms = (ledger.room(sid) for sid in every)
        return Record(
            sent=tuple(sent),
            asked=tuple(stage.sandbox.twilio.history()),
            deliveries={
                "slack": tuple(stage.sandbox.slack.history()),
                "webhook": tuple(stage.sandbox.receiver.history()),
            },
            messages=messages_of(stage) if stage.slack_app else None,
            rooms={room.sid: room for room in rooms if room is not None},
            states=states,
            hits=tuple(hits),
            left=tuple(left_over(client, prefix=prefix)),
            leaks=tuple(leaks(stage, client, pages=pages)),
            failures=tuple(failures(stage.folder)),
            scrapes=tuple(scrapes),
            events=tuple(events),
        )


def messages_of(stage: Stage) -> dict[str, tuple[str, ...]]:
    """The texts of the messages about each room in the channel of the Slack app, in order of time."""
    found: dict[str, tuple[str, ...]] = {}
    for message in stage.sandbox.slack_api.messages():
        about = message.get("metadata", {}).get("event_payload", {})
        if about.get("part") == "report":
            found[about["room_sid"]] = (*found.get(about["room_sid"], ()), message["text"])
    return found


def members(client: redis.Redis, index: str) -> list[str]:
    """The room SIDs of an index, in order of time."""
    return [sid.decode() for sid in cast(list[bytes], client.zrange(index, 0, -1))]


def left_over(client: redis.Redis, *, prefix: str) -> Iterator[str]:
    """What is in Redis after everything was finished and stopped, and should not be."""
    for name in QUEUES:
        queue = Queue(name, connection=client, serializer=JSONSerializer)
        for what, count in (
            ("jobs in the queue", queue.count),
            ("jobs in RQ's registry of started jobs of", client.zcard(StartedJobRegistry(queue=queue).key)),
            ("jobs in RQ's registry of failed jobs of", client.zcard(FailedJobRegistry(queue=queue).key)),
        ):
            if count:
                yield f"{count} {what} {name}"
    for lane in ("twilio", "slack", "slack_app", "webhook"):
        if waiting := client.zcard(f"{prefix}due:{lane}"):
            yield f"{waiting} steps due in lane {lane}"
        if client.exists(f"{prefix}hold:{lane}"):
            yield f"a hold of lane {lane}"
    for key in client.scan_iter(count=1000):
        name = cast(bytes, key).decode()
        own = name.removeprefix(prefix)
        lives_for_ever = client.ttl(key) == -1
        if name.startswith(prefix) and not own.startswith(ALWAYS_THERE) and lives_for_ever:
            yield f"key {name}"
        if own.startswith(("room:", "attempts:")) and lives_for_ever:
            yield f"{own} never expires"
        if name.startswith("rq:job:") and lives_for_ever:
            yield f"job {name}"


def leaks(stage: Stage, client: redis.Redis, *, pages: Iterable[bytes]) -> Iterator[str]:
    """Where a secret shows: logs, pages, every key and value of Redis, and its append-only file."""
    secrets = [secret.encode() for secret in stage.settings.secrets]
    directory = Path(str(client.config_get("dir")["dir"]))
    files = [path for folder in (stage.folder, directory) for path in sorted(folder.rglob("*")) if is_scanned(path)]
    places: list[tuple[str, bytes]] = [(path.name, path.read_bytes()) for path in files]
    places += [("a page", page) for page in pages]
    places += [(f"key {key!r}", content_of(client, key)) for key in client.scan_iter(count=1000)]
    for place, content in places:
        if any(secret in content for secret in secrets):
            yield place


def is_scanned(path: Path) -> bool:
    """Logs and the server's own files; not a checked-out worktree, which holds no secret but the sandbox's."""
    return path.is_file() and ("aof" in path.name or path.suffix in (".log", ".rdb"))


def content_of(client: redis.Redis, key: bytes | str) -> bytes:
    """A key and all it holds, as bytes to search in."""
    readers: dict[object, Callable[[], object]] = {
        b"string": lambda: client.get(key),
        b"hash": lambda: client.hgetall(key),
        b"set": lambda: client.smembers(key),
        b"list": lambda: client.lrange(key, 0, -1),
        b"zset": lambda: client.zrange(key, 0, -1),
        b"none": lambda: None,  # it has expired since
    }
    return repr((key, readers[client.type(key)]())).encode()


def failures(folder: Path) -> Iterator[str]:
    """Log lines that say that something happened which nobody had thought of."""
    for path in sorted(folder.glob("*.log")):
        for line in path.read_text(errors="replace").splitlines():
            if line.startswith("{"):
                said: dict[str, Any] = json.loads(line)
                if said["level"] in ("critical",) or "unexpected" in said["event"]:
                    yield f"{path.stem}: {said['event']}"
            elif line.startswith("Traceback"):
                yield f"{path.stem}: a traceback outside the log"


def pages_of(url: str) -> Iterator[bytes]:
    """What the web shows to anyone who asks."""
    host = url.removeprefix("http://").partition("/")[0]
    for page in PAGES:
        connection = http.client.HTTPConnection(host, timeout=10)
        connection.request("GET", page, headers={"Authorization": f"Bearer {METRICS_TOKEN}"})
        yield connection.getresponse().read()
        connection.close()
