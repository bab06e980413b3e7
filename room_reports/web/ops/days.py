"""The page of a day: its digest, drawn, with links to its rooms, and what became of sending it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from markupsafe import Markup

from room_reports.digest_words import figures, remarks, waited, words_of
from room_reports.digests import DigestData, DigestedRoom, compose
from room_reports.ledger import Sending
from room_reports.web.ops import wording
from room_reports.web.ops.charts import Bar, upright
from room_reports.web.ops.desk import Desk, Patience
from room_reports.words import count_of

RESERVE = 1.0
"""Seconds of the patience that are left when no more rooms are looked at, for an answer that is slow."""


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
    ended = desk.ledger.digests.rooms_of(day, may_go_on=lambda: patience.left() > RESERVE)
    data = compose(day, days=days, ended=ended, rates=desk.rates, console_url=desk.console_url, made_at=now).data
    said = list(remarks(data))
    if patience.left() <= RESERVE:
        said.append("There was no time to look at every room; flask digest does.")
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


def _picture(data: DigestData) -> Markup:
    bars = [
        Bar(
            f"{one.day:%d %b}",
            one.participant_minutes,
            f"{one.day:%d %b}: {one.participant_minutes:,.0f} min, {count_of(one.rooms, 'room')}",
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
