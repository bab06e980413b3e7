"""When Redis does not take or answer what the ledger asks of it."""

from __future__ import annotations

import redis
from redis import exceptions
from redis.sentinel import MasterNotFoundError


class LedgerUnavailable(Exception):
    """Redis did not take or answer what was asked. `reason` is one word from a closed set, safe to show."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the ledger is unavailable: {reason}")
        self.reason = reason


class guarded:
    """Turns every Redis error inside into `LedgerUnavailable` with a reason that is safe to show."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, redis.RedisError):
            raise LedgerUnavailable(reason_of(error)) from error


def reason_of(error: redis.RedisError) -> str:
    """One word or two for an operator; Redis's own message may quote what we sent, so it is not shown."""
    message = str(error)
    # Not by their class alone: what a server refuses within a script, older ones wrap.
    for mark, reason in _TELLING:
        if mark in message:
            return reason
    for kind, reason in _KINDS:
        if isinstance(error, kind):
            return reason
    for mark, reason in _MARKS:
        if mark in message:
            return reason
    return "refused"


_TELLING = (
    ("CERTIFICATE_VERIFY_FAILED", "certificate"),
    ("NOREPLICAS", "too few replicas"),
    ("NEWERSCHEMA", "newer schema"),
)
"""What says more than the class of the error does."""

_KINDS = (
    (exceptions.BusyLoadingError, "loading"),
    (exceptions.AuthenticationError, "authentication"),
    (exceptions.NoPermissionError, "permission"),
    (exceptions.TimeoutError, "timeout"),
    (exceptions.ReadOnlyError, "read-only"),
    (exceptions.OutOfMemoryError, "out of memory"),
    (exceptions.MovedError, "cluster"),
    (exceptions.AskError, "cluster"),
    (exceptions.ClusterDownError, "cluster"),
    (exceptions.ClusterCrossSlotError, "cluster"),
    (MasterNotFoundError, "no master"),
    (exceptions.ConnectionError, "unreachable"),
)

_MARKS = (
    ("READONLY", "read-only"),
    ("OOM", "out of memory"),
    ("MISCONF", "cannot persist"),
    ("NOAUTH", "authentication"),
    ("WRONGPASS", "authentication"),
    ("NOPERM", "permission"),
    ("LOADING", "loading"),
    ("CROSSSLOT", "cluster"),
    ("CLUSTERDOWN", "cluster"),
    ("non local key", "cluster"),
    ("cluster is down", "cluster"),
    ("same slot", "cluster"),
)
