"""`flask rooms`: what became of every room, and what an operator can do about it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from room_reports.cli.desk import found_room, open_desk, operator
from room_reports.cli.terminal import (
    LONGEST_NAME,
    NOT_DONE,
    ROOM_SID,
    Duration,
    as_json,
    json_line,
    print_json,
    shows_progress,
    table,
)
from room_reports.insights import KEPT, InsightsClient, ListedRoom
from room_reports.lanes import lanes_of
from room_reports.ledger import ROOM_STATES, Hold, Room
from room_reports.reconcile import reconcile as reconcile_rooms
from room_reports.service import make_transport
from room_reports.story import can_be_resent, deliveries_of, routes_of, told
from room_reports.waiting import Waiting, waits_of
from room_reports.words import clean, count_of, from_now, moment

state_option = click.option("--state", type=click.Choice(ROOM_STATES), help="Only rooms in this state.")


@click.group()
def rooms() -> None:
    """See what became of rooms, and act on them.

    \b
    Exit codes: 0 done, 1 not found or nothing to do, 2 wrong usage or settings.
    """


@rooms.command(
    "list",
    epilog="""\b
Examples:
  flask rooms list --state open         what is unfinished, and what it waits for
  flask rooms list --state dead --json  dead letters, for a script""",
)
@state_option
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="How many at most.")
@as_json
def list_rooms(state: str | None, limit: int, as_json: bool) -> None:
    """List rooms, newest first.

    \b
    open       a step is unfinished: the summary, or a delivery
    delivered  the complete report is at every destination
    partial    delivered, but Twilio's summary was not complete, or its participants could not be had
    expired    Twilio had deleted the summary before it was fetched
    dead       a delivery was given up on: `flask rooms resend` sends it again
    """
    with open_desk() as desk:
        found = desk.ledger.rooms(state=state or "all", limit=limit)
        holds = desk.ledger.holds()
        total = desk.ledger.counts()[state or "all"]
    now = datetime.now(UTC)
    if as_json:
        print_json([document_of(room, holds, now) for room in found])
        return
    if not found:
        click.echo(f"No room is {state}." if state else "No room has ended yet.")
        return
    rows = [
        (room.sid, room.state, moment(room.ended), clean(room.name, LONGEST_NAME) or "-", summary_of(room, holds, now))
        for room in found
    ]
    click.echo(table(("ROOM", "STATE", "ENDED", "NAME", "WAITS FOR"), rows))
    if total > len(found):
        click.echo(f"{len(found)} of {total} rooms; --limit shows more, `flask rooms export` all")


def summary_of(room: Room, holds: Sequence[Hold], now: datetime) -> str:
    """What a room waits for, on one line."""
    return "; ".join(
        f"{waiting.step}: {waiting.text}" + (f", {from_now(waiting.until, now)}" if waiting.until else "")
        for waiting in waits_of(room, holds, now=now)
    )


@rooms.command(epilog="\b\nExample:\n  flask rooms show RM0123456789abcdef0123456789abcdef")
@click.argument("sid", type=ROOM_SID)
@as_json
def show(sid: str, as_json: bool) -> None:
    """Show all that is known of one room: its steps, every attempt, and what it waits for."""
    with open_desk() as desk:
        room = found_room(desk, sid)
        holds = desk.ledger.holds()
    now = datetime.now(UTC)
    if as_json:
        print_json(document_of(room, holds, now))
    else:
        click.echo("\n\n".join(story_of(room, waits_of(room, holds, now=now), now)))


def story_of(room: Room, waits: Sequence[Waiting], now: datetime) -> Iterator[str]:
    """The paragraphs about one room."""
    facts = {
        "name": clean(room.name) or "-",
        "state": room.state,
        "ended": from_now(room.ended, now) if room.ended else "-",
        "opened": f"{from_now(room.opened, now)}, by {clean(room.source)}",
        "account": clean(room.account_sid),
        "request id": clean(room.request_id) or "-",
        "verdicts": ", ".join(map(clean, room.verdicts)) or "-",
    }
    if (routes := routes_of(room)) is not None:
        facts["goes to"] = clean(routes)
    if room.asked:
        facts["asked"] = f"Twilio, {count_of(room.asked, 'time')}, last {moment(room.last_asked)}"
    yield "\n".join([click.style(room.sid, bold=True), *(f"  {name:<11} {fact}" for name, fact in facts.items())])
    steps = [
        (step.name, step.state, str(step.attempt), step.reason or "", moment(step.finished)) for step in room.steps
    ]
    yield table(("STEP", "STATE", "ATTEMPTS", "REASON", "FINISHED"), steps)
    if waits:
        yield table(
            ("WAITING", "FOR", "UNTIL"),
            [(one.step, one.text, from_now(one.until, now) if one.until else "-") for one in waits],
        )
    if room.attempts:
        yield table(("WHEN", "STEP", "ATTEMPT", "OUTCOME", "TOOK", "NEXT", "WHAT HAPPENED"), map(row_of, room.attempts))


def row_of(attempt: dict[str, Any]) -> tuple[str, ...]:
    """One attempt record, or the record of a resend, as a row."""
    story = told(attempt)
    return (
        moment(story.at),
        story.step,
        "-" if story.attempt is None else str(story.attempt),
        story.outcome,
        "-" if story.took is None else f"{story.took:.2f} s",
        story.following or "-",
        story.happened,
    )


@rooms.command(
    epilog="""\b
Examples:
  flask rooms resend RM0123456789abcdef0123456789abcdef
  flask rooms resend RM0123456789abcdef0123456789abcdef --destination slack --yes""",
)
@click.argument("sid", type=ROOM_SID)
@click.option("--destination", "names", multiple=True, metavar="NAME", help="Only there; repeatable.")
@click.option("--yes", is_flag=True, help="Do not ask, even when it was delivered already.")
def resend(sid: str, names: tuple[str, ...], yes: bool) -> None:
    """Deliver a room's report again.

    Starts a new series of attempts, under a new webhook-id, and records who asked. Asks first when a destination has
    the report already. A delivery that is still under way is left alone. The Slack app edits the message that it has.
    """
    with open_desk() as desk:
        room = found_room(desk, sid)
        deliveries = deliveries_of(room, configured={lane.name for lane in lanes_of(desk.settings)})
        for name in names:
            if name not in deliveries:
                why = "the rules say so" if room.routes == {} else "its summary is not finished or has expired"
                known = ", ".join(deliveries) or f"nothing, for {why}"
                raise click.UsageError(f"{clean(name, 40)!r} is no destination of {sid}, which went to: {known}")
        chosen = [name for name in deliveries if not names or name in names]
        finished = [name for name in chosen if can_be_resent(deliveries[name])]
        if not finished:
            click.echo("Nothing to resend: " + summary_of(room, desk.ledger.holds(), datetime.now(UTC)), err=True)
            sys.exit(NOT_DONE)
        for name in finished:
            step = deliveries[name]
            if step.state == "delivered" and not yes:
                click.confirm(f"It was delivered to {name} at {moment(step.finished)}. Deliver it again?", abort=True)
        started = desk.ledger.resend(sid, finished, who=operator())
        held = {hold.lane: hold for hold in desk.ledger.holds()}
    if not started:
        click.echo("Nothing was resent: somebody else has just done it.", err=True)
        sys.exit(NOT_DONE)
    for name in started:
        note = f", when its hold ends ({held[name].reason})" if name in held else ""
        click.echo(f"Resending to {name}{note}; `flask rooms show {sid}` tells how it goes.")


@rooms.command(epilog="\b\nExample:\n  flask rooms resume slack")
@click.argument("name")
def resume(name: str) -> None:
    """Lift the hold on a destination, or on Twilio: what waits for it goes out from now on.

    NAME is what `flask rooms holds` calls it: twilio, or a destination. Repair what it says first, or it will be held
    again.
    """
    with open_desk() as desk:
        held = [hold.lane for hold in desk.ledger.holds()]
        known = sorted({*held, *(lane.name for lane in lanes_of(desk.settings))})
        if name not in known:
            raise click.BadParameter(f"{clean(name, 40)!r} is none of {', '.join(known)}", param_hint="NAME")
        if not desk.ledger.resume(name):
            click.echo(f"{name} is not held.", err=True)
            sys.exit(NOT_DONE)
        waiting = desk.ledger.due()[name][0]
    click.echo(f"{name} is resumed; {count_of(waiting, 'unfinished step')} will go on.")


@rooms.command()
@as_json
def holds(as_json: bool) -> None:
    """List what is held: destinations, or Twilio, to which nothing is sent now."""
    with open_desk() as desk:
        found = desk.ledger.holds()
        waiting = {lane: total for lane, (total, _, _) in desk.ledger.due().items()}
    if as_json:
        print_json([{**asdict(hold), "waiting": waiting[hold.lane]} for hold in found])
        return
    if not found:
        click.echo("Nothing is held.")
        return
    now = datetime.now(UTC)
    rows = [
        (
            hold.lane,
            from_now(hold.since, now),
            from_now(hold.until, now) if hold.until else f"flask rooms resume {hold.lane}",
            str(waiting[hold.lane]),
            f"{hold.reason}: {hold.detail}",
        )
        for hold in found
    ]
    click.echo(table(("HELD", "SINCE", "UNTIL", "WAITING", "WHY"), rows))


@rooms.command(
    epilog="""\b
Examples:
  flask rooms export > rooms.jsonl
  flask rooms export --state dead | jq -r .sid""",
)
@state_option
def export(state: str | None) -> None:
    """Write every room with all its attempts, one JSON object a line, oldest first.

    Reads page by page, so the size of the ledger does not matter.
    """
    with open_desk() as desk:
        found = desk.ledger.each_room(state=state or "all")
        if shows_progress() and not sys.stdout.isatty():
            total = desk.ledger.counts()[state or "all"]
            with click.progressbar(found, length=total, label="exporting", file=sys.stderr) as bar:
                write_lines(bar)
        else:
            write_lines(found)


def write_lines(found: Iterator[Room]) -> None:
    """Rooms as lines of JSON on stdout."""
    for room in found:
        click.echo(json_line(document_of(room, (), None)))


@rooms.command(
    epilog="""\b
Examples:
  flask rooms reconcile               all that Twilio still has
  flask rooms reconcile --since 36h   after an outage of a day""",
)
@click.option(
    "--since",
    type=Duration(),
    default=KEPT,
    metavar="DURATION",
    help="Rooms that ended in this time: 90m, 36h, 7d. Default: 7d, as long as Twilio keeps them.",
)
@as_json
def reconcile(since: timedelta, as_json: bool) -> None:
    """Find the rooms whose status callback never came, and open them.

    Workers do this every hour by themselves. Rooms that Twilio has no data of any more are noted as expired.
    """
    with open_desk() as desk:
        now = datetime.now(UTC)
        transport = make_transport(desk.settings)
        each = [
            reconcile_rooms(
                desk.ledger,
                WatchedInsights(transport, base_url=desk.settings.twilio_insights_url, credentials=account.credentials),
                since=now - since,
                now=now,
            )
            for account in desk.settings.accounts.values()
        ]
    listed, opened = sum(one.listed for one in each), sum(one.opened for one in each)
    expired = sum(one.expired for one in each)
    if as_json:
        print_json({"listed": listed, "missed": opened, "expired": expired})
        return
    click.echo(f"Twilio lists {listed} completed rooms; {opened} were missed and are opened now.")
    if expired:
        click.echo(f"{expired} more ended over 7 days ago: noted as expired, nothing can be fetched.")


class WatchedInsights(InsightsClient):
    """Shows on a terminal how far the listing has come; how long it will be, nobody knows."""

    def completed_rooms(self, *, created_after: datetime, created_before: datetime) -> Iterator[list[ListedRoom]]:
        pages = super().completed_rooms(created_after=created_after, created_before=created_before)
        if not shows_progress():
            yield from pages
            return
        with click.progressbar(pages, label="pages of rooms", show_pos=True, file=sys.stderr) as bar:
            yield from bar


def document_of(room: Room, holds: Sequence[Hold], now: datetime | None) -> dict[str, Any]:
    """A room as a JSON document; with what it waits for, if `now` is given."""
    document = asdict(room)
    document["callback"] = json.loads(room.callback) if room.callback else None
    document["attempts"] = [{**attempt, "at": datetime.fromtimestamp(attempt["at"], UTC)} for attempt in room.attempts]
    if now is not None:
        document["waiting"] = [asdict(waiting) for waiting in waits_of(room, holds, now=now)]
    return document
