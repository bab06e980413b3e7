"""`flask event-streams`: commands that are right, that have everything known filled in, and no secret."""

from __future__ import annotations

import json
import shlex
from urllib.parse import parse_qs, urlencode

from click.testing import Result

from room_reports.ledger import Ledger
from sandbox import events
from tests.cli.conftest import Run

SINK = "DG" + "0123456789abcdef" * 2


def commands(result: Result) -> list[tuple[str, dict[str, list[str]]]]:
    """What would be posted: path and form of each command."""
    assert result.exit_code == 0, result.output
    found = []
    for line in result.output.replace("\\\n", " ").splitlines():
        if line.startswith("   curl "):
            words = shlex.split(line)
            [url] = [word for word in words if word.startswith("https://events")]
            pairs = [words[at + 1].partition("=")[::2] for at, word in enumerate(words) if word == "--data-urlencode"]
            found.append((url.partition("/v1/")[2], parse_qs(urlencode(pairs))))
    return found


def test_commands_set_a_sink_up(run: Run, ledger: Ledger) -> None:
    ledger.note_test_event("1234-abc")
    result = run("event-streams", "--sink", SINK, PUBLIC_BASE_URL="https://hooks.example.com/prefix")
    (make, form), (test, _), (validate, proof), (subscribe, subscription) = commands(result)
    assert (make, test, validate) == ("Sinks", f"Sinks/{SINK}/Test", f"Sinks/{SINK}/Validate")
    destination = {"destination": "https://hooks.example.com/prefix/twilio/events", "method": "POST"}
    assert json.loads(form["SinkConfiguration"][0]) == destination
    assert proof == {"TestId": ["1234-abc"]}
    assert (subscribe, subscription["SinkSid"]) == ("Subscriptions", [SINK])
    kinds = [json.loads(one)["type"] for one in subscription["Types"]]
    assert kinds == [events.ROOM_SUMMARY, events.PARTICIPANT_SUMMARY]


def test_what_is_not_known_yet_is_said(run: Run) -> None:
    result = run("event-streams")
    assert "set PUBLIC_BASE_URL" in result.output
    assert "no test has arrived here" in result.output
    assert commands(result)[2] == ("Sinks/DG_OF_STEP_1/Validate", {"TestId": ["ID_OF_THE_TEST"]})


def test_credentials_are_named_and_not_printed(run: Run, env: dict[str, str]) -> None:
    for changes in ({}, {"TWILIO_API_KEY": "", "TWILIO_API_SECRET": ""}):
        output = run("event-streams", **changes).output
        for name in ("TWILIO_AUTH_TOKEN", "TWILIO_API_KEY", "TWILIO_API_SECRET", "REPORT_WEBHOOK_SECRET"):
            assert env[name] not in output
        assert ("$TWILIO_API_KEY" in output) != ("${TWILIO_AUTH_TOKEN" in output)


def test_sink_that_is_none_is_refused_and_redis_that_is_away_is_no_obstacle(run: Run) -> None:
    assert run("event-streams", "--sink", "DG; rm -rf /").exit_code == 2
    result = run("event-streams", REDIS_URL="redis://127.0.0.1:1/0")
    assert result.exit_code == 0
    assert "unreachable" in result.stderr
