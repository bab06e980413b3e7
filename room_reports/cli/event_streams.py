"""`flask event-streams`: how to have Twilio's Event Streams send to this copy."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator

import click

from config.settings import Settings
from room_reports.cli.desk import open_desk
from room_reports.cli.terminal import Sid
from room_reports.events import PARTICIPANT_SUMMARY, ROOM_SUMMARY
from room_reports.ledger import Ledger, LedgerUnavailable
from room_reports.web.answers import EVENTS_PATH

API = "https://events.twilio.com/v1"
SCHEMA_VERSION = 2
UNKNOWN_HOST = "https://YOUR-HOST"
UNKNOWN_SINK = "DG_OF_STEP_1"
UNKNOWN_TEST = "ID_OF_THE_TEST"


@click.command(
    "event-streams",
    epilog="""\b
Examples:
  flask event-streams
  flask event-streams --sink DG0123456789abcdef0123456789abcdef""",
)
@click.option("--sink", type=Sid("sink", "DG"), metavar="SID", help="The sink that step 1 made, to be filled in.")
def event_streams(sink: str | None) -> None:
    """Print the commands that have Twilio's Event Streams send the summaries of rooms to this copy.

    They read your credentials from the environment; nothing secret is printed, and nothing is sent by this command. Run
    it again with --sink after step 1, and after step 2 for the id of the test, which the copy remembers for a day.
    """
    with open_desk() as desk:
        click.echo("\n\n".join(steps(desk.settings, sink=sink, test_id=last_test(desk.ledger))))


def last_test(ledger: Ledger) -> str | None:
    """The id of the last test that arrived, None also when Redis does not say."""
    try:
        return ledger.test_event()
    except LedgerUnavailable as error:
        click.echo(f"Redis: {error.reason}; so the id of a test is not known.", err=True)
        return None


def steps(settings: Settings, *, sink: str | None, test_id: str | None) -> Iterator[str]:
    """A paragraph for each step, with its command."""
    url = (settings.public_base_url or UNKNOWN_HOST) + EVENTS_PATH
    if settings.public_base_url is None:
        yield f"Put your host in the place of {UNKNOWN_HOST}, or set PUBLIC_BASE_URL and run this again."
    configuration = json.dumps({"destination": url, "method": "POST"}, separators=(",", ":"))
    sid = sink or UNKNOWN_SINK
    who = credentials(settings)
    fields = {"Description": "Room Reports", "SinkConfiguration": configuration, "SinkType": "webhook"}
    yield "1. Make a sink. The answer has its sid, DG…\n" + command(who, "Sinks", fields)
    yield "2. Have Twilio test it. The copy must be running.\n" + command(who, f"Sinks/{sid}/Test", {})
    arrived = f"the last test that arrived here is {test_id}" if test_id else "no test has arrived here within a day"
    yield f"3. Send the id of the test back; {arrived}.\n" + command(
        who, f"Sinks/{sid}/Validate", {"TestId": test_id or UNKNOWN_TEST}
    )
    yield (
        "4. Subscribe to the summaries of rooms; leave the last line out if participants are of no interest.\n"
        + command(
            who,
            "Subscriptions",
            {"Description": "Room Reports", "SinkSid": sid},
            [subscribed(ROOM_SUMMARY), subscribed(PARTICIPANT_SUMMARY)],
        )
    )


def credentials(settings: Settings) -> str:
    """What signs in, as the shell finds it in the environment."""
    if settings.twilio_api_key is not None:
        return '"$TWILIO_API_KEY:$TWILIO_API_SECRET"'
    return '"$TWILIO_ACCOUNT_SID:${TWILIO_AUTH_TOKEN%%,*}"'


def subscribed(kind: str) -> str:
    """One type of a subscription. With its version, or Twilio may move to another one by itself."""
    return json.dumps({"type": kind, "schema_version": SCHEMA_VERSION}, separators=(",", ":"))


def command(who: str, path: str, fields: dict[str, str], types: list[str] | None = None) -> str:
    """A POST as a person would type it."""
    pairs = [*fields.items(), *(("Types", one) for one in types or ())]
    data = [f"--data-urlencode {shlex.quote(f'{name}={value}')}" for name, value in pairs]
    return "   " + " \\\n     ".join([f"curl -u {who} -X POST {API}/{path}", *data])
