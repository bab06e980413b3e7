"""What went wrong for single participants: by how their connections ended, and the issues Twilio detected. Pure.

Issues are the `detected_issues.details` of an event, open in what they may hold, so what does not read is passed over.
https://www.twilio.com/docs/video/troubleshooting/video-log-analyzer-api
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

MEDIA = range(53400, 53500)
"""Error codes about media. https://www.twilio.com/docs/api/errors"""

HARMLESS = frozenset({53118, 53205})
"""The room was completed; the same identity joined elsewhere. Either ends a connection as it should."""

MINOR = frozenset({"low", "medium", "minor", "info", "warning"})
"""Severities of issues that most rooms have."""

LONGEST_NAME = 40


class Connection(Protocol):
    """How a participant's connection ended: Twilio's code, None for no error, and a word of an open set."""

    @property
    def error_code(self) -> int | None: ...

    @property
    def end_reason(self) -> str | None: ...


@dataclass(frozen=True)
class Troubles:
    """How many connections there were, how many of them broke off, how many lost their media, and severe issues."""

    connections: int
    broken_off: int
    media_lost: int
    issues: tuple[tuple[str, int], ...]
    """Names in plain words (`packet loss`) and how often, the most frequent first."""


def find_troubles(
    connections: Iterable[Connection] | None, issues: Iterable[Mapping[str, Any]] | None
) -> Troubles | None:
    """The troubles of a room; None when neither is known."""
    if connections is None and issues is None:
        return None
    total = broken_off = media_lost = 0
    for connection in connections or ():
        total += 1
        lost_media = connection.error_code in MEDIA
        media_lost += lost_media
        broken_off += not lost_media and _broke_off(connection)
    names = Counter(name for issue in issues or () if (name := _severe_name(issue)))
    return Troubles(total, broken_off, media_lost, tuple(names.most_common()))


def has_trouble(connection: Connection) -> bool:
    """Whether this connection lost its media or broke off."""
    return connection.error_code in MEDIA or _broke_off(connection)


def _broke_off(connection: Connection) -> bool:
    """By the error code, which is documented; without one by the reason."""
    if connection.error_code:
        return connection.error_code not in HARMLESS
    return _BROKEN.search(connection.end_reason or "") is not None


_BROKEN = re.compile(r"error|fail|lost|timed?[_-]?out|unexpected", re.IGNORECASE)


def _severe_name(issue: Mapping[str, Any]) -> str:
    severity, name = issue.get("severity"), issue.get("issue_type")
    if not isinstance(name, str) or (isinstance(severity, str) and severity.lower() in MINOR):
        return ""
    return " ".join(re.findall(r"[a-z0-9]+", name.lower()))[:LONGEST_NAME]
