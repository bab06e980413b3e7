"""What the page for operators reads beyond single rooms: searches, rooms by hour, what waits, by cause.

Searching needs no index of its own: a script looks along the newest-first index a few milliseconds at a time, so that
callbacks get their turn in between, and whoever asks stops when there is enough or the time is over.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import redis

from room_reports.ledger.replies import text
from room_reports.ledger.rows import SUMMARY, is_twilio
from room_reports.ledger.unavailable import guarded

CHUNK = 500
"""Rooms that one call of a script looks at: a few milliseconds in which Redis does nothing else."""

MOST_LOOKED_AT = 10_000
"""Unfinished steps of a lane that are told apart by their cause; what is due later than these is only counted."""

_SID = re.compile(r"rm[0-9a-f]{4,32}")
"""What is taken for the beginning of a SID; shorter, it may as well be a name."""


@dataclass(frozen=True)
class Wanted:
    """Which rooms are looked for.

    `state`: of the room, or `all`; `text`: the beginning of a SID or a part of the name, in any case of its letters;
    `step`, `step_states`: a step that is in one of these states; `verdict`: the code of one.
    """

    state: str = "all"
    text: str = ""
    step: str = ""
    step_states: tuple[str, ...] = ()
    verdict: str = ""

    @property
    def is_everything(self) -> bool:
        """Whether every room of the state matches, so that none has to be looked at."""
        return not (self.text or self.step or self.verdict)


@dataclass(frozen=True)
class Place:
    """A place in an index of rooms: behind this room, which was opened at `opened` (seconds since 1970, all digits)."""

    sid: str
    opened: str


@dataclass(frozen=True)
class Found:
    """What a search came to. `older`: where to go on, None at the end; `in_time`: False when time ran out."""

    sids: tuple[str, ...]
    older: Place | None
    in_time: bool
    looked_at: int


@dataclass(frozen=True)
class Unfinished:
    """So many unfinished steps of one lane and kind. `is_due`: their time has come."""

    lane: str
    state: str
    reason: str | None
    is_due: bool
    count: int


class Pages:
    """Reads for the page. Safe to share between threads; every method raises `LedgerUnavailable`."""

    def __init__(self, connection: redis.Redis, *, prefix: str) -> None:
        self._redis = connection
        self._prefix = prefix
        self._search = connection.register_script(_source_of("search"))
        self._waiting = connection.register_script(_source_of("waiting"))

    def search(self, wanted: Wanted, *, after: Place | None, limit: int, seconds: float) -> Found:
        """The newest rooms that match, behind a place if one is given; one round trip for each `CHUNK` looked at.

        Stops when it has `limit` rooms, at the end, or after so many seconds.
        """
        end = time.monotonic() + seconds
        hits: list[Place] = []
        looked_at, last, at_end = 0, after, False
        # One more than wanted, to know whether there is more.
        while not at_end and len(hits) <= limit and (looked_at == 0 or time.monotonic() < end):
            found, sid, opened, looked, is_end = self._look(wanted, last, limit + 1 - len(hits))
            hits += [_place(*one) for one in zip(found[::2], found[1::2], strict=True)]
            looked_at += looked
            at_end = bool(is_end)
            last = _place(sid, opened) if looked else last
        is_full = len(hits) > limit
        kept = hits[:limit]
        return Found(
            sids=tuple(place.sid for place in kept),
            older=kept[-1] if is_full else None if at_end else last,
            in_time=is_full or at_end,
            looked_at=looked_at,
        )

    def opened_by_hour(self, *, hours: int, now: datetime) -> list[tuple[datetime, int]]:
        """How many rooms were opened in each of the last hours (aware UTC, the one that runs last). One round trip."""
        this = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        begins = [this - timedelta(hours=back) for back in reversed(range(hours))]
        with guarded(), self._redis.pipeline(transaction=False) as pipeline:
            for begin in begins:
                since = begin.timestamp()
                pipeline.zcount(f"{self._prefix}rooms:all", repr(since), f"({since + 3600!r}")
            return list(zip(begins, pipeline.execute(), strict=True))

    def unfinished(self, lanes: Mapping[str, int]) -> tuple[list[Unfinished], int]:
        """Unfinished steps by what they are at, and how many more were not looked at.

        `lanes`: how many there are in each. One round trip for each `CHUNK` of them, `MOST_LOOKED_AT` of each at most.
        """
        counts: Counter[tuple[str, str, str, bool]] = Counter()
        left = 0
        for lane, total in lanes.items():
            looked_at = 0
            while looked_at < min(total, MOST_LOOKED_AT):
                looked, *pairs = self._look_at_due(lane, looked_at)
                if not looked:
                    break
                looked_at += looked
                for kind, count in zip(pairs[::2], pairs[1::2], strict=True):
                    state, reason, when = text(kind).split("|")
                    counts[lane, state, reason, when == "due"] += count
            left += max(total - looked_at, 0)
        found = [
            Unfinished(lane, state, reason or None, is_due, count)
            for (lane, state, reason, is_due), count in counts.most_common()
        ]
        return found, left

    def _look(self, wanted: Wanted, after: Place | None, limit: int) -> Any:
        text = wanted.text.strip()
        is_sid = _SID.fullmatch(text.lower()) is not None
        wish = {
            "prefix": self._prefix,
            "state": wanted.state,
            "chunk": limit if wanted.is_everything else CHUNK,
            "limit": limit,
            "sid": text.lower() if is_sid else "",
            "needles": [] if is_sid else needles_of(text),
            "step": wanted.step,
            "step_states": wanted.step_states,
            "verdict": wanted.verdict,
        }
        if after is not None:
            wish |= {"after": after.sid, "opened": after.opened}
        with guarded():
            return self._search(args=[json.dumps(wish)])

    def _look_at_due(self, lane: str, start: int) -> Any:
        step = SUMMARY if is_twilio(lane) else lane
        wish = {"prefix": self._prefix, "lane": lane, "step": step, "start": start, "chunk": CHUNK}
        with guarded():
            return self._waiting(args=[json.dumps(wish)])


def needles_of(text: str) -> list[str]:
    """What a name is looked through for. Lua lowers ASCII alone, so other letters are tried as people write them."""
    spellings = {text, text.lower(), text.upper(), text.title(), text.capitalize()}
    return sorted({_ascii_lower(spelling) for spelling in spellings if spelling})


def _ascii_lower(text: str) -> str:
    return "".join(character.lower() if character.isascii() else character for character in text)


def _place(sid: bytes | str, opened: bytes | str) -> Place:
    # Servers write a score in several ways, some with an exponent.
    return Place(text(sid), repr(float(opened)))


def _source_of(script: str) -> str:
    return (Path(__file__).with_name("lua") / f"{script}.lua").read_text()
