"""What went wrong for single participants: read from their records, and from the issues that Twilio detected. Pure.

Records are Twilio's participant resources, issues are the `detected_issues.details` of an event; both are open in what
they may hold, so what does not read is passed over. Identities are not looked at.
https://www.twilio.com/docs/video/troubleshooting/video-log-analyzer-api
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

MEDIA = range(53400, 53500)
"""Error codes about media. https://www.twilio.com/docs/api/errors"""

HARMLESS = frozenset({53118, 53205})
"""The room was completed; the same identity joined elsewhere. Either ends a connection as it should."""

MINOR = frozenset({"low", "medium", "minor", "info", "warning"})
"""Severities of issues that most rooms have."""

LONGEST_NAME = 40


@dataclass(frozen=True)
class Troubles:
    """How many connections there were, how many of them broke off, how many lost their media, and severe issues."""

    connections: int
    broken_off: int
    media_lost: int
    issues: tuple[tuple[str, int], ...]
    """Names in plain words (`packet loss`) and how often, the most frequent first."""


def find_troubles(
    participants: Iterable[Mapping[str, Any]] | None, issues: Iterable[Mapping[str, Any]] | None
) -> Troubles | None:
    """The troubles of a room; None when neither is known."""
    if participants is None and issues is None:
        return None
    connections = broken_off = media_lost = 0
    for participant in participants or ():
        connections += 1
        code = _code_of(participant)
        media_lost += code in MEDIA
        broken_off += code not in MEDIA and _broke_off(code, participant.get("end_reason"))
    names = Counter(name for issue in issues or () if (name := _severe_name(issue)))
    return Troubles(connections, broken_off, media_lost, tuple(names.most_common()))


def has_trouble(participant: Mapping[str, Any]) -> bool:
    """Whether this connection lost its media or broke off."""
    code = _code_of(participant)
    return code in MEDIA or _broke_off(code, participant.get("end_reason"))


def _code_of(participant: Mapping[str, Any]) -> int:
    code = participant.get("error_code")
    if isinstance(code, str) and re.fullmatch(r"[0-9]{1,9}", code):
        return int(code)
    return code if isinstance(code, int) and not isinstance(code, bool) else 0


def _broke_off(code: int, end_reason: object) -> bool:
    """By the error code, which is documented; without one by the reason, which is an open set of words."""
    if code:
        return code not in HARMLESS
    return isinstance(end_reason, str) and _BROKEN.search(end_reason) is not None


_BROKEN = re.compile(r"error|fail|lost|timed?[_-]?out|unexpected", re.IGNORECASE)


def _severe_name(issue: Mapping[str, Any]) -> str:
    severity, name = issue.get("severity"), issue.get("issue_type")
    if not isinstance(name, str) or (isinstance(severity, str) and severity.lower() in MINOR):
        return ""
    return " ".join(re.findall(r"[a-z0-9]+", name.lower()))[:LONGEST_NAME]
