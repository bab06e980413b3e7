"""The page of a day: its digest, drawn, with links to its rooms, and what became of sending it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from markupsafe import Markup

from room_reports.digest_words import figures, remarks, waited, words_of
from room_reports.digests import DigestData, DigestedRoom, compose
from room_reports.ledger import EndedRoom, Sending
from room_reports.web.ops import wording
from room_reports.web.ops.charts import Bar, upright
from room_reports.web.ops.desk import Desk, Patience

RESERVE = 1.0
"""Seconds that are left for the rest when single rooms are no longer looked at."""


@dataclass(frozen=True)
class NamedRoom:
    """A room in a list: what is said of it."""

    sid: str
    name: str
    text: str


@dataclass(frozen=True)
class DayPage:
    """What the page shows. `earlier`, `later`: the days beside it, None where there is nothing to see."""

    day: date
    data: DigestData
    facts: list[tuple[str, str]]
    remarks: list[str]
    picture: Markup
    worst: list[NamedRoom]
    slowest: list[NamedRoom]
    sent: list[tuple[str, str]]
    earlier: date | None
    later: date | None


def day_page(desk: Desk, patience: Patience, day: date) -> DayPage:
    """Reads and draws a day. Raises `LedgerUnavailable`."""
    now = datetime.now(UTC)
    days = patience.ask(desk.ledger.days)
    sendings = patience.ask(lambda: desk.ledger.digests.sendings(day))
    looked_at = _LookedAt(desk.ledger.digests.rooms_of(day), patience)
    data = compose(day, days=days, ended=looked_at, rates=desk.rates, console_url=desk.console_url, made_at=now).data
    said = list(remarks(data))
    if looked_at.is_cut:
        said.append(f"Only the first {looked_at.count:,} rooms were looked at: flask digest looks at all of them.")
    return DayPage(
        day=day,
        data=data,
        facts=list(figures(data)),
        remarks=said,
        picture=_picture(data),
        worst=[_named(room, words_of(room)) for room in data.worst_rooms],
        slowest=[_named(room, waited(room)) for room in data.slowest_summaries],
        sent=list(_sent(sendings)),
        earlier=day - timedelta(days=1) if days and day > min(days) else None,
        later=day + timedelta(days=1) if day < now.date() else None,
    )


class _LookedAt:
    """The rooms of a day, as many of them as there is time for."""

    def __init__(self, rooms: Iterator[EndedRoom], patience: Patience) -> None:
        self._rooms = rooms
        self._patience = patience
        self.count = 0
        self.is_cut = False

    def __iter__(self) -> Iterator[EndedRoom]:
        for room in self._rooms:
            self.count += 1
            yield room
            if self._patience.left() < RESERVE:
                self.is_cut = True
                return


def _picture(data: DigestData) -> Markup:
    bars = [
        Bar(
            f"{one.day:%d %b}",
            one.participant_minutes,
            f"{one.day:%d %b}: {one.participant_minutes:,.0f} min, {wording.count(one.rooms, 'room')}",
        )
        for one in data.recent
    ]
    return upright(bars, title="Participant minutes, by day", every=4)


def _named(room: DigestedRoom, text: str) -> NamedRoom:
    return NamedRoom(room.room_sid, wording.name_of(room.room_name or ""), text)


def _sent(sendings: Mapping[str, Sending]) -> Iterator[tuple[str, str]]:
    for name, sending in sendings.items():
        at = datetime.fromtimestamp(sending.at, UTC)
        what = "sent" if sending.state == "sent" else f"{sending.state}, {sending.reason}"
        yield name, f"{what}, {wording.day_and_time(at)} UTC"
