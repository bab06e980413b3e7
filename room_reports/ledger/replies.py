"""What Redis answers, as text and times."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any


def at(seconds: bytes) -> datetime:
    """Seconds since 1970 as the scripts answer them, to aware UTC."""
    return datetime.fromtimestamp(float(seconds), UTC)


def text(value: bytes | str) -> str:
    """What redis-py may give as bytes, as text."""
    return value.decode() if isinstance(value, bytes) else value


def texts(row: Mapping[Any, Any]) -> dict[str, str]:
    """A hash as redis-py gives it, as text."""
    return {text(name): text(value) for name, value in row.items()}


def row_from(flat: list[bytes]) -> dict[str, str]:
    """A row as the scripts answer it: name and value in turn."""
    return {text(name): text(value) for name, value in zip(flat[::2], flat[1::2], strict=True)}
