"""What an operator must know of the Redis server that the ledger is kept on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Server:
    """A Redis server as it says it is.

    `version`: of the Redis it is or is compatible with; `append_only`: it keeps an AOF; `snapshots`: it saves RDB files
    by itself, None when it does not let us ask; `persists`: whether its last write to disk worked; `memory_limit`: in
    bytes, 0 for none; `latency`: median round trip, seconds; `skew`: how far its clock is ahead of ours, seconds;
    `replicas`: how many follow it, and how many of them are waited for; `schema`: the version of the ledger on it.
    """

    version: tuple[int, ...]
    name: str
    is_cluster: bool
    is_replica: bool
    append_only: bool
    snapshots: bool | None
    persists: bool
    eviction: str
    memory_used: int
    memory_limit: int
    latency: float
    skew: float
    replicas: int
    replicas_wanted: int
    schema: int


def server_from(
    info: Mapping[str, Any], *, save: str | None, latency: float, skew: float, replicas_wanted: int, schema: int
) -> Server:
    """The answer to INFO and the setting `save` (None when it may not be asked for), to a `Server`."""
    return Server(
        version=tuple(int(part) for part in str(info.get("redis_version", "0")).split(".") if part.isdigit()),
        name=server_name(info),
        is_cluster=info.get("redis_mode") == "cluster" or bool(info.get("cluster_enabled")),
        is_replica=info.get("role") == "slave",
        append_only=bool(info.get("aof_enabled")),
        snapshots=None if save is None else save not in ("", '""'),
        persists=all(info.get(name, "ok") == "ok" for name in ("aof_last_write_status", "rdb_last_bgsave_status")),
        eviction=str(info.get("maxmemory_policy", "unknown")),
        memory_used=int(info.get("used_memory", 0)),
        memory_limit=int(info.get("maxmemory", 0)),
        latency=latency,
        skew=skew,
        replicas=int(info.get("connected_slaves", 0)),
        replicas_wanted=replicas_wanted,
        schema=schema,
    )


def server_name(info: Mapping[str, Any]) -> str:
    """Product and version: forks name the Redis they are compatible with beside their own."""
    if "valkey_version" in info:
        return f"Valkey {info['valkey_version']}"
    return f"Redis {info.get('redis_version', 'of unknown version')}"
