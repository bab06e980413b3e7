"""`flask doctor`: is this installation healthy, and if not, what is to be done?"""

from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta

import click
from pydantic import SecretStr

from config.loading import SettingsError, load
from config.settings import Settings
from room_reports import destinations
from room_reports.addresses import private_destination_problems
from room_reports.checks import Check, Level
from room_reports.checks.outside import destination_check, public_url_check, slack_app_check, twilio_check
from room_reports.checks.redis import redis_checks, startup_checks, tls_checks, unavailable
from room_reports.checks.work import dead_letter_check, due_checks, hold_checks, reconcile_check, workers_check
from room_reports.cli.desk import Desk, open_desk, operator, speak_plainly
from room_reports.cli.terminal import print_json
from room_reports.delivery import Delivery
from room_reports.errors import Failure
from room_reports.lanes import accounts_of, lanes_of
from room_reports.ledger import LedgerUnavailable
from room_reports.report_building import build_report
from room_reports.reports import Provenance, RoomReport
from room_reports.service import make_insights, make_transport
from room_reports.slack_api import SlackApi
from room_reports.templates import template_problems
from room_reports.transport import Transport
from room_reports.words import clean

SAMPLE_ROOM = "RM" + "0" * 32
"""The room of a test message: no real one has this SID."""

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command(
    epilog="""\b
Examples:
  flask doctor                everything; sends nothing
  flask doctor --send-test    and a sample report to every destination
  flask doctor --startup      what must be right before a release goes live; sends nothing
Exit codes: 0 nothing failed (there may be warnings), 1 something failed."""
)
@click.option("--send-test", is_flag=True, help="Send the report of an invented room everywhere.")
@click.option("--startup", is_flag=True, help="Only what can stop a release: settings, Redis, Twilio's credentials.")
@click.option("--json", "as_json", is_flag=True, help="JSON for machines instead of lines for people.")
def doctor(send_test: bool, startup: bool, as_json: bool) -> None:
    """Check everything and say what is wrong and what to do about it.

    Looks at the settings, Redis, Twilio's credentials, the destinations, the public URL, the workers and what is
    overdue or held. Asks Twilio once, connects to the destinations, and sends no message unless told to.
    """
    found = []
    for check in examine(send_test=send_test, startup=startup):
        found.append(check)
        if not as_json:
            print_check(check)
    failed = any(check.level == "fail" for check in found)
    if as_json:
        print_json({"ok": not failed, "checks": [asdict(check) for check in found]})
    sys.exit(1 if failed else 0)


def examine(*, send_test: bool, startup: bool) -> Iterator[Check]:
    """Every check in turn, as it is made; what cannot be looked at without settings or Redis is left out."""
    try:
        settings = load(os.environ)
    except SettingsError as error:
        for problem in error.problems:
            yield Check("settings", "fail", problem, "docs/settings.md describes every setting")
        return
    yield Check("settings", "ok", "complete and consistent")
    speak_plainly(settings)
    yield from private_destinations(settings)
    yield from templates(settings)
    yield from tls_checks(settings.redis_url.get_secret_value(), verified=settings.redis_tls_verify)
    with open_desk(settings) as desk:
        if startup:
            yield from startup_checks(desk.ledger)
            yield from credentials(settings, make_transport(settings), may_be_away=True)
            return
        of_redis = redis_checks(desk.ledger)
        yield from of_redis
        yield from outside(settings, send_test=send_test)
        if of_redis[0].level == "ok":
            yield from work(desk)


def private_destinations(settings: Settings) -> Iterator[Check]:
    """Whether a URL leads into a private network without leave."""
    for problem in private_destination_problems(settings):
        yield Check("settings", "fail", problem, "if it is not meant, look at the URL and at the DNS here")


def templates(settings: Settings) -> Iterator[Check]:
    """Whether every message template works with every kind of report."""
    for problem in template_problems(settings):
        yield Check("settings", "fail", problem, "docs/destinations.md#templates says what a template may have")


def outside(settings: Settings, *, send_test: bool) -> Iterator[Check]:
    """Twilio, the destinations and the way in."""
    transport = make_transport(settings)
    yield from credentials(settings, transport)
    for variable, url in settings.outgoing_urls.items():
        if variable == "SLACK_API_URL":
            yield from slack_apps(settings, transport)
        elif variable != "TWILIO_INSIGHTS_URL":
            yield destination_check(transport, variable, url)
    if send_test:
        yield from test_messages(settings, transport)
    yield public_url_check(
        transport, public_base_url=settings.public_base_url, trusted_proxies=settings.trusted_proxies
    )


def credentials(settings: Settings, transport: Transport, *, may_be_away: bool = False) -> Iterator[Check]:
    """Whether Twilio takes the credentials of each account."""
    insights = make_insights(settings, transport)
    for lane, account in accounts_of(settings).items():
        check = twilio_check(insights[lane], account_sid=account.sid, may_be_away=may_be_away)
        yield replace(check, name=lane)


def slack_apps(settings: Settings, transport: Transport) -> Iterator[Check]:
    """Whether Slack takes each token, and shows the app its channel."""
    if settings.slack_bot_token is not None and settings.slack_channel is not None:
        yield slack_app(settings, transport, settings.slack_bot_token, settings.slack_channel)
    for name, app in settings.plan.slack_apps.items():
        yield slack_app(settings, transport, app.token, app.channel, place=f"destinations.{name}")


def slack_app(settings: Settings, transport: Transport, token: SecretStr, channel: str, *, place: str = "") -> Check:
    """The same for one. `place`: where `DESTINATIONS_FILE` describes it, empty for that of variables."""
    end = time.monotonic() + settings.http_total_timeout
    api = SlackApi(transport, url=settings.slack_api_url, token=token.get_secret_value(), end=end)
    return slack_app_check(api, channel=channel, place=place)


def test_messages(settings: Settings, transport: Transport) -> Iterator[Check]:
    """Delivers one sample report to every destination and says what came of it."""
    now = datetime.now(UTC)
    report = sample_report(settings, now)
    for name, destination in destinations.build(settings, transport).items():
        # Another id each time, or a receiver that drops repeats would drop the second test.
        delivery = Delivery(f"msg_test_{name}_{secrets.token_hex(8)}", 1, now)
        try:
            destination.send(report, delivery)
        except Failure as failure:
            remedy = f"check the settings of {name}, and with whoever runs it"
            yield Check(f"test: {name}", "fail", str(failure), remedy)
        else:
            yield Check(f"test: {name}", "ok", "a sample report was sent and accepted")


def sample_report(settings: Settings, now: datetime) -> RoomReport:
    """A report that nobody can take for a real one."""
    return build_report(
        room_sid=SAMPLE_ROOM,
        account_sid=settings.twilio_account_sid,
        room_name=f"Test message: flask doctor, {operator()}",
        callback=None,
        summary={
            "room_status": "completed",
            "create_time": (now - timedelta(minutes=30)).isoformat(),
            "end_time": now.isoformat(),
            "duration_sec": 1800,
            "unique_participants": 2,
            "unique_participant_identities": 2,
            "total_participant_duration_sec": 3600,
            "processing_state": "complete",
        },
        is_complete=True,
        provenance=Provenance(source="doctor", first_asked_at=None, last_asked_at=None, times_asked=0),
        reported_at=now,
        console_url=settings.console_url,
    )


def work(desk: Desk) -> Iterator[Check]:
    """Whether the work is done: workers, what is due, what is held, what was given up on."""
    ledger, settings = desk.ledger, desk.settings
    try:
        skew = timedelta(seconds=ledger.server().skew)
        now = datetime.now(UTC) + skew
        workers = ledger.workers()
        holds = ledger.holds()
        due, queued, dead = ledger.due(), ledger.queued(), ledger.counts()["dead"]
        reconciled = ledger.reconciled_at()
    except LedgerUnavailable as error:
        yield unavailable("ledger", error)
        return
    yield workers_check(workers)
    held = {hold.lane for hold in holds}
    yield from due_checks(due, lanes=lanes_of(settings), held=held, queued=queued, workers=len(workers), now=now)
    yield from hold_checks(holds)
    yield dead_letter_check(dead)
    yield reconcile_check(reconciled, every=settings.reconcile_every, now=now)


def print_check(check: Check) -> None:
    """One result as a line, and what to do below it."""
    level: Level = check.level
    mark = click.style(f"{level.upper():<4}", fg=_COLOURS[level], bold=level != "ok")
    click.echo(f"{mark}  {check.name:<18} {clean(check.message)}")
    if check.remedy:
        click.echo(f"      {'':<18} → {clean(check.remedy)}")
