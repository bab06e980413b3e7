"""The list of rooms: what was asked for, and a page of what was found."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlencode

from room_reports.callbacks import StatusCallback
from room_reports.derived import derive
from room_reports.ledger import ROOM_STATES, Hold, Room
from room_reports.ledger.pages import Place, Wanted
from room_reports.summaries import read_summary
from room_reports.verdicts import RULES
from room_reports.waiting import Waiting, waits_of
from room_reports.web.ops.desk import Desk, Patience
from room_reports.words import spoken

PAGE = 50
"""Rooms on a page."""

SEARCH = 1.5
"""Seconds that a search may take; then it offers to go on."""

LONGEST_TEXT = 128

DELIVERIES = {
    "": ("waiting", "queued", "running", "provisional", "delivered", "dead"),
    "unfinished": ("waiting", "queued", "running"),
    "delivered": ("delivered",),
    "dead": ("dead",),
}
"""What may be asked of a delivery, and the states of its step that answer it."""

VERDICTS = tuple(rule.code for rule in RULES)

_PLACE = re.compile(r"(RM[0-9a-fA-F]{32})-([0-9]{1,12}(?:\.[0-9]{1,17})?)")


@dataclass(frozen=True)
class Query:
    """What was asked for; whatever is not known is left out. `delivery`: `NAME` or `NAME:STATE`."""

    state: str
    text: str
    delivery: str
    verdict: str
    after: Place | None

    @property
    def is_narrowed(self) -> bool:
        """Whether not every room would match."""
        return bool(self.text or self.delivery or self.verdict) or self.state != "all"

    def wanted(self) -> Wanted:
        """The same for the ledger."""
        step, _, state = self.delivery.partition(":")
        return Wanted(self.state, self.text, step, DELIVERIES[state] if step else (), self.verdict)

    def url(self, *, state: str | None = None, after: Place | None = None) -> str:
        """The page that shows the same for another state, or further back."""
        wanted = {
            "q": self.text,
            "state": self.state if state is None else state,
            "delivery": self.delivery,
            "verdict": self.verdict,
            "after": f"{after.sid}-{after.opened}" if after else "",
        }
        given = {name: value for name, value in wanted.items() if value and (name, value) != ("state", "all")}
        return f"/?{urlencode(given)}" if given else "/"


def query_of(args: Mapping[str, str], destinations: Sequence[str]) -> Query:
    """What the address asks for."""
    state, verdict, delivery = args.get("state", ""), args.get("verdict", ""), args.get("delivery", "")
    name, _, of_step = delivery.partition(":")
    place = _PLACE.fullmatch(args.get("after", ""))
    return Query(
        state=state if state in ROOM_STATES else "all",
        text=args.get("q", "").strip()[:LONGEST_TEXT],
        delivery=delivery if name in destinations and of_step in DELIVERIES else "",
        verdict=verdict if verdict in VERDICTS else "",
        after=Place(place[1], place[2]) if place else None,
    )


@dataclass(frozen=True)
class Row:
    """One room on the list. `duration` and `people` are in words, empty when nobody knows yet."""

    room: Room
    duration: str
    people: str
    waits: list[Waiting]


@dataclass(frozen=True)
class Rooms:
    """A page of rooms. `older`: where it goes on; `in_time`: False when the search has not looked at all of them."""

    rows: list[Row]
    older: str | None
    in_time: bool
    looked_at: int


def rooms(desk: Desk, patience: Patience, query: Query, holds: Sequence[Hold]) -> Rooms:
    """Looks for rooms; `holds` are those that they may wait for. Raises `LedgerUnavailable`."""
    seconds = min(SEARCH, patience.left())
    found = patience.ask(
        lambda: desk.ledger.pages.search(query.wanted(), after=query.after, limit=PAGE, seconds=seconds)
    )
    listed = patience.ask(lambda: desk.ledger.rooms_of(found.sids))
    now = datetime.now(UTC)
    return Rooms(
        rows=[row_of(room, waits_of(room, holds, now=now)) for room in listed],
        older=query.url(after=found.older) if found.older else None,
        in_time=found.in_time,
        looked_at=found.looked_at,
    )


def row_of(room: Room, waits: list[Waiting]) -> Row:
    """What the list says of a room."""
    callback = StatusCallback.from_json(room.callback) if room.callback else None
    derived = derive(callback, read_summary(room.summary or {}).summary, room.opened)
    return Row(
        room=room,
        duration="" if derived.duration_seconds is None else spoken(derived.duration_seconds),
        people="" if derived.people is None else str(derived.people),
        waits=waits,
    )
