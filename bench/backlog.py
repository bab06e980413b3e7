"""Rooms in bulk: one is brought about by the service itself, the others are copies of whatever Redis keeps of it.

The copying knows no key of the ledger: what carries the room's SID, in a key, a hash, a list or a sorted set, is made
again with another SID. So it goes on being right when the ledger changes, and 100,000 rooms take seconds.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from redis import Redis

from config.loading import load
from room_reports.lanes import make_ledger
from room_reports.ledger import SUMMARY, Ledger, Outcome
from sandbox.options import ACCOUNT_SID

FAR = 6 * 24 * 3600
BATCH = 500
DESTINATIONS = ("slack", "webhook")

COPY = """
-- ARGV: the SID to replace, {key, type, what of it carries the SID} for every key as JSON, then the SIDs of the copies.
local old, entries = ARGV[1], cjson.decode(ARGV[2])
for i = 3, #ARGV do
  local function renamed(text) return (string.gsub(text, old, ARGV[i])) end
  for _, entry in ipairs(entries) do
    local key, kind, parts = renamed(entry[1]), entry[2], entry[3]
    local copy = {}
    for n, part in ipairs(parts) do copy[n] = renamed(part) end
    if kind == 'hash' then redis.call('HSET', key, unpack(copy)) end
    if kind == 'list' then redis.call('RPUSH', key, unpack(copy)) end
    if kind == 'zset' then redis.call('ZADD', key, unpack(copy)) end
    if kind == 'set' then redis.call('SADD', key, unpack(copy)) end
  end
end
"""


def open_waiting(connection: Redis, environment: dict[str, str], room_sid: str) -> None:
    """Opens a room, asks for its summary in vain, and lets it wait for six days."""
    ledger = make_ledger(load(environment), connection)
    ledger.open(
        room_sid=room_sid,
        account_sid=ACCOUNT_SID,
        room_name="waits",
        ended=datetime.now(UTC),
        callback="",
        request_id="",
    )
    put_off(ledger, room_sid)


def put_off(ledger: Ledger, room_sid: str, *, pause: float = FAR) -> None:
    """The first attempt of a room finds its summary not ready; it is due again after `pause` seconds."""
    claim = ledger.begin(room_sid, SUMMARY, 1)
    assert claim is not None
    ledger.finish(claim, Outcome("waiting", "not_ready", "Twilio says in_progress", pause=pause), took=0.2)


def take_through(ledger: Ledger, room_sid: str) -> None:
    """Takes a room through every step at once, as jobs would, to its end at both destinations."""
    ledger.open(
        room_sid=room_sid, account_sid=ACCOUNT_SID, room_name="done", ended=None, callback="", request_id="bench"
    )
    claim = ledger.begin(room_sid, SUMMARY, 1)
    assert claim is not None
    ledger.finish(claim, Outcome("complete", fields={"summary": "{}"}, opens=DESTINATIONS), took=0.2)
    for name in DESTINATIONS:
        claim = ledger.begin(room_sid, name, 1)
        assert claim is not None
        ledger.finish(claim, Outcome("delivered"), took=0.1)


def copies(connection: Redis, room_sid: str, others: Sequence[str]) -> None:
    """Makes each of the other rooms exactly as this one is."""
    entries = json.dumps(list(kept_of(connection, room_sid)))
    script = connection.register_script(COPY)
    for start in range(0, len(others), BATCH):
        script(args=[room_sid, entries, *others[start : start + BATCH]])


def kept_of(connection: Redis, room_sid: str) -> list[tuple[str, str, list[str]]]:
    """Everything in Redis that carries the SID: key, type, and the arguments that write it there."""
    found = []
    for raw in connection.scan_iter(count=1000):
        key, kind = raw.decode(), text(connection.type(raw))
        parts = parts_of(connection, key, kind)
        if room_sid not in key:
            parts = [part for part in parts if any(room_sid in word for word in part)]
        if parts:
            found.append((key, kind, [word for part in parts for word in part]))
    return found


def parts_of(connection: Redis, key: str, kind: str) -> list[list[str]]:
    """What a key holds, as the groups of arguments that write it; nothing for the types that need no copying."""
    if kind == "hash":
        return [[text(name), text(value)] for name, value in connection.hgetall(key).items()]
    if kind == "list":
        return [[text(item)] for item in connection.lrange(key, 0, -1)]
    if kind == "zset":
        members: Any = connection.zrange(key, 0, -1, withscores=True)
        return [[repr(score), text(item)] for item, score in members]
    if kind == "set":
        return [[text(item)] for item in connection.smembers(key)]
    return []


def text(value: object) -> str:
    """What Redis answered, decoded."""
    return value.decode() if isinstance(value, bytes) else str(value)
