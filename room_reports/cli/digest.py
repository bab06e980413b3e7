"""`flask digest`: what the rooms of a day came to, and whether its digest was sent."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import click

from room_reports.cli.desk import open_desk
from room_reports.cli.terminal import LONGEST_NAME, NOT_DONE, print_json, table
from room_reports.daily import Daily
from room_reports.digest_words import bars_of, figures, remarks, title, waited, words_of
from room_reports.digests import DigestData, DigestedRoom, RoomDigest
from room_reports.ledger import Sending
from room_reports.service import make_daily, make_service, make_transport
from room_reports.words import clean, moment


@click.command(
    epilog="""\b
Examples:
  flask digest                                 yesterday
  flask digest --day 2026-11-22 --json
  flask digest --send                          to every destination that has not got it""",
)
@click.option(
    "--day", type=click.DateTime(["%Y-%m-%d"]), metavar="YYYY-MM-DD", help="The day, in UTC. Default: yesterday."
)
@click.option("--json", "as_json", is_flag=True, help="The body that the webhook gets, and what became of sending it.")
@click.option("--send", is_flag=True, help="Send it to each destination that takes digests.")
@click.option("--yes", is_flag=True, help="With --send: do not ask, even when it was sent already.")
def digest(day: datetime | None, as_json: bool, send: bool, yes: bool) -> None:
    """Show what the rooms of a day came to, beside what is usual for its weekday.

    Counts are kept for 400 days, single rooms for as long as they are remembered. DIGEST_AT has a worker send the
    digest of the day before, every day.

    \b
    Exit codes: 0 done, 1 not sent everywhere, 2 wrong usage or settings.
    """
    now = datetime.now(UTC)
    chosen = day.date() if day else now.date() - timedelta(days=1)
    if chosen > now.date():
        raise click.BadParameter("this day has not come yet", param_hint="--day")
    with open_desk() as desk:
        service = make_service(desk.settings, desk.connection, make_transport(desk.settings))
        daily = make_daily(desk.settings, service)
        made = daily.digest_of(chosen, now=now)
        is_everywhere = send_to_all(daily, made, yes=yes, now=now) if send else True
        sendings = desk.ledger.digests.sendings(chosen)
    if as_json:
        became = {
            name: {**asdict(one), "at": time_of(one.at), "next": time_of(one.next) if one.next else None}
            for name, one in sendings.items()
        }
        print_json({"digest": made.model_dump(mode="json"), "sent": became})
    else:
        click.echo("\n\n".join([*paragraphs(made.data), sent_table(list(daily.takers), sendings)]))
    sys.exit(0 if is_everywhere else NOT_DONE)


def send_to_all(daily: Daily, made: RoomDigest, *, yes: bool, now: datetime) -> bool:
    """Sends it, asking first where it was sent before. Returns whether every destination has it now."""
    sendings = daily.ledger.digests.sendings(made.data.day)
    is_everywhere = True
    for name in daily.takers:
        before = sendings.get(name)
        if before is not None and before.state == "sent" and not yes:
            question = f"It was sent to {name} at {moment(time_of(before.at))}. Send it again?"
            if not click.confirm(question, err=True):
                continue
        sending = daily.send(name, made, now=now, again=before is not None)
        if sending is None:
            click.echo(f"{name}: a worker sends it just now.", err=True)
        is_everywhere = is_everywhere and sending is not None and sending.state == "sent"
    return is_everywhere


def paragraphs(data: DigestData) -> Iterator[str]:
    """The digest for a terminal."""
    facts = "\n".join(f"  {label:<20} {figure}" for label, figure in figures(data))
    yield f"{click.style(title(data), bold=True)}\n{facts}\n  {f'last {len(data.recent)} days':<20} {bars_of(data)}"
    if data.worst_rooms:
        rows = [(*row, words_of(room)) for row, room in _rows(data.worst_rooms)]
        yield table(("WORST ROOMS", "ENDED", "NAME", "VERDICTS"), rows)
    if data.slowest_summaries:
        rows = [(*row, waited(room)) for row, room in _rows(data.slowest_summaries)]
        yield table(("SLOWEST SUMMARIES", "ENDED", "NAME", "THERE"), rows)
    yield "\n".join(remarks(data))


def _rows(rooms: Sequence[DigestedRoom]) -> Iterator[tuple[tuple[str, str, str], DigestedRoom]]:
    for room in rooms:
        yield (room.room_sid, moment(room.ended_at), clean(room.room_name or "", LONGEST_NAME) or "-"), room


def sent_table(names: Sequence[str], sendings: Mapping[str, Sending]) -> str:
    """What became of sending it, by destination; also of one that is configured no more."""
    rows = [(name, *_became(sendings.get(name))) for name in dict.fromkeys([*names, *sendings])]
    return table(("DESTINATION", "DIGEST", "LAST TRIED", "WHAT HAPPENED"), rows)


def _became(sending: Sending | None) -> tuple[str, str, str]:
    if sending is None:
        return "not sent", "-", ""
    if sending.state == "sent":
        again = f", {sending.times_sent} times" if sending.times_sent > 1 else ""
        return f"sent{again}", moment(time_of(sending.at)), ""
    tried = f"{sending.state}, tried once" if sending.tries == 1 else f"{sending.state}, tried {sending.tries} times"
    return tried, moment(time_of(sending.at)), f"{sending.reason}: {sending.detail}"


def time_of(seconds: float) -> datetime:
    """Seconds since 1970, to aware UTC."""
    return datetime.fromtimestamp(seconds, UTC)
