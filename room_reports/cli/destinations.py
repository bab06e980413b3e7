"""`flask destinations`: where reports go, and by which rule."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from config.destinations import AppChannel, Conditions, Endpoint, Plan, SlackChannel
from config.loading import load_or_exit
from config.settings import Settings
from room_reports.cli.preview import report_for
from room_reports.cli.terminal import as_json, print_json, table
from room_reports.lanes import kinds, rates
from room_reports.routing import DEFAULT, Look, Route, label_of, route, traits_of, why_not
from room_reports.transport import redact_url
from room_reports.words import clean


@click.group()
def destinations() -> None:
    """See where reports go, and which rule of DESTINATIONS_FILE sends them there."""


@destinations.command("list")
@as_json
def list_destinations(as_json: bool) -> None:
    """List the destinations and the rules, in the order in which they are looked at."""
    settings = load_or_exit()
    listed = [dict(zip(COLUMNS, row, strict=True)) for row in rows_of(settings)]
    rules = list(rules_of(settings.plan))
    if as_json:
        names = ("rule", "when", "to", "then")
        print_json({"destinations": listed, "rules": [dict(zip(names, rule, strict=True)) for rule in rules]})
        return
    click.echo(table([name.upper() for name in COLUMNS], [list(row.values()) for row in listed]))
    click.echo()
    click.echo(table(("RULE", "WHEN", "TO", "THEN"), rules))


COLUMNS = ("name", "kind", "where", "a second", "described in", "besides")


BY_VARIABLES = {"slack": "SLACK_WEBHOOK_URL", "slack_app": "SLACK_API_URL", "webhook": "REPORT_WEBHOOK_URL"}


def rows_of(settings: Settings) -> Iterator[tuple[str, ...]]:
    """Each destination; of its URL the host alone, for the rest is a secret."""
    urls, all_kinds = settings.outgoing_urls, kinds(settings)
    for name, rate in rates(settings).items():
        is_described = name in settings.plan.destinations
        url = urls.get(f"destinations.{name}.url") or urls[BY_VARIABLES[all_kinds[name]]]
        source = "DESTINATIONS_FILE" if is_described else BY_VARIABLES[name]
        besides = besides_of(settings, name)
        yield name, all_kinds[name], redact_url(url), f"{rate:g}" if rate else "any", source, besides


def besides_of(settings: Settings, name: str) -> str:
    """What is particular to a destination."""
    described = settings.plan.destinations.get(name)
    if isinstance(described, Endpoint):
        return " ".join([described.format, *described.fields])
    if isinstance(described, SlackChannel):
        channel = f"{described.channel}, " if isinstance(described, AppChannel) else ""
        return f"{channel}times in {described.timezone.key}"
    return settings.report_webhook_format if name == "webhook" else "times in UTC"


def rules_of(plan: Plan) -> Iterator[tuple[str, str, str, str]]:
    """Each rule in words, the default last."""
    for number, rule in enumerate(plan.rules, start=1):
        then = "goes on" if rule.goes_on else "stops"
        yield label_of(number, rule), conditions_of(rule.when), names_of(rule.to), then
    everywhere = plan.default is None
    yield DEFAULT, "no rule matches", "every destination" if everywhere else names_of(plan.default or ()), ""


def conditions_of(when: Conditions) -> str:
    """What a rule asks of a room, in words."""
    given = when.model_dump(exclude_none=True)
    severity = given.pop("severity", None)
    said = [f"{name} {' or '.join(values)}" for name, values in given.items()]
    if severity is not None:
        said.append(f"severity {severity} or worse")
    return " and ".join(said) or "any room"


def names_of(names: tuple[str, ...]) -> str:
    """Destinations in words."""
    return ", ".join(names) or "nowhere"


@destinations.command(
    epilog="""\b
Examples:
  flask destinations check RM0123456789abcdef0123456789abcdef
  flask destinations check summary.json"""
)
@click.argument("source", metavar="SID|FILE")
@as_json
def check(source: str, as_json: bool) -> None:
    """Explain which rule sends a room where, and why others do not; sends nothing.

    Either a room in the ledger, as it stands now, or a summary in a FILE, as for `flask preview`. The rules are those
    of now; where a room was sent when it was reported, `flask rooms show` tells.
    """
    settings = load_or_exit()
    traits = traits_of(report_for(source))
    names = list(rates(settings))
    found = route(settings.plan, traits, names)
    missed = why_not(settings.plan, found, names)
    if as_json:
        print_json({"to": found.sent_by, "not_to": missed, "rules": [document_of(look) for look in found.looks]})
        return
    click.echo(table(("RULE", "MATCHES", "TO"), [row_of(look) for look in found.looks]))
    click.echo()
    click.echo("\n".join(conclusion(found, missed)))


def document_of(look: Look) -> dict[str, Any]:
    """What came of a rule, for machines."""
    return {"rule": look.label, "matches": not look.mismatch, "because": look.mismatch or None, "to": look.to}


def row_of(look: Look) -> tuple[str, str, str]:
    """The same for people."""
    return look.label, f"no: {look.mismatch}" if look.mismatch else "yes", names_of(look.to)


def conclusion(found: Route, missed: dict[str, str]) -> Iterator[str]:
    """Where the report goes and where not."""
    for name, label in found.sent_by.items():
        yield f"→ {name}, by {clean(label)}"
    if not found.to:
        yield f"→ nowhere, by {clean(found.looks[-1].label)}"
    for name, why in missed.items():
        yield f"  not to {name}: {clean(why)}"
