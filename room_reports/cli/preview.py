"""`flask preview`: what a room's report looks like at every destination, without sending it."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from config.loading import load_or_exit
from config.settings import Settings
from room_reports import slack_report
from room_reports.cli.desk import found_room, open_desk
from room_reports.cli.terminal import ROOM_SID, print_json
from room_reports.costs import Rates
from room_reports.insights import state_of
from room_reports.report_building import build_report
from room_reports.reports import Provenance, RoomReport
from room_reports.slack_blocks import Message
from room_reports.story import report_of
from room_reports.templates import Made, makers_of
from room_reports.words import clean


@click.command(
    epilog="""\b
Examples:
  flask preview RM0123456789abcdef0123456789abcdef
  flask preview summary.json --as slack | jq .blocks   for Slack's Block Kit Builder
  curl … | flask preview -"""
)
@click.argument("source", metavar="SID|FILE")
@click.option(
    "--as", "form", type=click.Choice(["text", "slack", "slack_app", "webhook"]), help="Only this, without headings."
)
@click.option("--json", "as_json", is_flag=True, help="The Slack payload and the webhook body in one JSON document.")
def preview(source: str, form: str | None, as_json: bool) -> None:
    """Show a report as Slack and the webhook would get it, without sending anything.

    Either of a room in the ledger, as it stands now, or of a summary in a FILE: the JSON that Twilio's Video Log
    Analyzer answers for one room. - is standard input.
    """
    if form and as_json:
        raise click.UsageError("--as and --json exclude each other")
    report = report_for(source)
    own = {name: make(report) for name, make in makers_of(load_or_exit()).items()}
    for name, made in own.items():
        if made.fault:
            click.echo(f"{name} gets the built-in message, for its template fails: {made.fault}", err=True)
    built_in, body = Made(slack_report.message(report)), report.to_json()
    payload = own.pop("slack", built_in).message
    text = slack_report.text_message(report)["text"]
    forms: dict[str, Any] = {
        "provisional": slack_report.provisional_message(report),
        "report": own.pop("slack_app", built_in).message,
        "thread": slack_report.details_message(report),
    }
    named = {name: made.message for name, made in own.items()}
    if as_json:
        print_json({"slack": payload, "slack_app": forms, "webhook": json.loads(body), **named})
    elif form == "text":
        click.echo(readable(text))
    elif form == "slack":
        print_json(payload)
    elif form == "slack_app":
        print_json(forms)
    elif form == "webhook":
        click.echo(body)
    else:
        others = {name: message for name, message in named.items() if message != built_in.message}
        show_all(text, payload, others, forms, body)


def show_all(text: str, payload: Message, others: Mapping[str, Message], forms: Mapping[str, Any], body: bytes) -> None:
    """Prints everything under headings; `others`: what destinations by name get that is not the built-in message."""
    click.echo(f"{heading('Slack, as text')}\n{readable(text)}\n\n{heading('Slack, the payload')}")
    print_json(payload)
    for name, other in others.items():
        click.echo(f"\n{heading(f'{name}, by its template and time zone')}")
        print_json(other)
    first = forms["provisional"]["text"]
    click.echo(f"\n{heading('Slack app, until the report is there')}\n{readable(first)}")
    if forms["thread"]:
        click.echo(f"\n{heading('Slack app, in the thread below')}\n{readable(forms['thread']['text'])}")
    click.echo(f"\n{heading(f'Webhook, the body ({len(body)} bytes)')}")
    print_json(json.loads(body))


def report_for(source: str) -> RoomReport:
    """The report of a room in the ledger, or of a summary in a file."""
    if source != "-" and not Path(source).exists():
        sid = ROOM_SID.convert(source, None, None)
        with open_desk() as desk:
            return report_of(
                found_room(desk, sid),
                console_url=desk.settings.console_url,
                thresholds=desk.settings.verdict_thresholds,
                rates=Rates.of(desk.settings),
                at=datetime.now(UTC),
            )
    return report_from(summary_in(source), load_or_exit())


def summary_in(source: str) -> dict[str, Any]:
    """The summary in a file, or on standard input for `-`."""
    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text()
        summary = json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not JSON in UTF-8"
        raise click.BadParameter(f"cannot read {clean(source, 60)!r}: {reason}", param_hint="FILE") from None
    if not isinstance(summary, dict):
        raise click.BadParameter("a summary is one JSON object", param_hint="FILE")
    return summary


def report_from(summary: dict[str, Any], settings: Settings) -> RoomReport:
    """The report of a summary alone, as if reconciling had found the room just now."""
    now = datetime.now(UTC)
    return build_report(
        room_sid=str(summary.get("room_sid") or "RM" + "0" * 32),
        account_sid=str(summary.get("account_sid") or settings.twilio_account_sid),
        room_name=None,
        callback=None,
        summary=summary,
        is_complete=state_of(summary.get("processing_state")) == "complete",
        reason="not_ready",
        provenance=Provenance(source="reconcile", first_asked_at=now, last_asked_at=now, times_asked=1),
        reported_at=now,
        console_url=settings.console_url,
        thresholds=settings.verdict_thresholds,
        rates=Rates.of(settings),
    )


def readable(text: str) -> str:
    """Slack's text as a person reads it, safe for a terminal line by line."""
    plain = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    return "\n".join(clean(line) for line in plain.splitlines())


def heading(text: str) -> str:
    """A heading between the parts."""
    return click.style(f"── {text} ──", bold=True)
