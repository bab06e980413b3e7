"""`flask digest`: what a day came to, and whether it was sent."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta

import pytest

from room_reports.ledger import Day, Ledger, Outcome, Sending
from sandbox import answers
from sandbox.client import Sandbox
from sandbox.options import ACCOUNT_SID
from sandbox.summaries import room_sid
from tests.cli.conftest import Run

HOSTILE = "\x1b[2J\u202eevil\n\x07<!channel>"


def reported(ledger: Ledger, day: date, *, name: str = "weekly") -> str:
    """A room that ended at the beginning of a day, full, with ten minutes of participants."""
    sid = room_sid(4, 1)
    ended = datetime.combine(day, datetime.min.time(), UTC)
    ledger.open(room_sid=sid, account_sid=ACCOUNT_SID, room_name=name, ended=ended, callback="", request_id="request")
    claim = ledger.begin(sid, "summary", 1)
    assert claim is not None
    fields = {"verdicts": '["at_capacity"]'}
    outcome = Outcome("complete", fields=fields, opens=("webhook",), day=Day(1, 600, 60))
    assert ledger.finish(claim, outcome, took=0.1) is not None
    return sid


def test_a_day_is_shown_with_its_rooms_and_that_it_was_not_sent(run: Run, ledger: Ledger, today: date) -> None:
    sid = reported(ledger, today)
    result = run("digest", "--day", str(today), COST_PARTICIPANT_MINUTE="0.25")
    assert result.exit_code == 0
    shown = result.output
    assert f"{today:%A}, {today.day} {today:%B %Y}: 1 room\n" in shown
    assert "Participant minutes  10\n" in shown
    assert "about 2.50 USD (estimate)" in shown
    assert "usually" not in shown
    worst = next(line for line in shown.splitlines() if line.startswith(sid))
    assert worst.endswith("weekly  at capacity")
    assert [line.split()[1:3] for line in shown.splitlines() if line.startswith(("slack", "webhook"))] == [
        ["not", "sent"],
        ["not", "sent"],
    ]


def test_yesterday_is_the_default(run: Run, today: date) -> None:
    day = today - timedelta(days=1)
    assert run("digest").output.startswith(f"{day:%A}, {day.day} {day:%B %Y}: no room\n")


def test_hostile_name_cannot_reach_the_terminal(run: Run, ledger: Ledger, today: date) -> None:
    reported(ledger, today, name=HOSTILE + "x" * 300)
    output = run("digest", "--day", str(today)).output
    assert "evil" in output
    assert "x" * 41 not in output
    assert not set("\x1b\x07\u202e") & set(output)


def test_json_is_what_the_webhook_gets(run: Run, ledger: Ledger, sandbox: Sandbox, today: date) -> None:
    reported(ledger, today)
    ledger.digests.note(today, "slack", Sending("failed", 2, 0, 1795428000.5, "timeout", "no answer", 1795428060.5))
    document = json.loads(run("digest", "--day", str(today), "--json").output)
    assert document["sent"]["slack"] == {
        "state": "failed",
        "tries": 2,
        "times_sent": 0,
        "at": "2026-11-23T10:00:00.500000Z",
        "reason": "timeout",
        "detail": "no answer",
        "next": "2026-11-23T10:01:00.500000Z",
    }
    assert run("digest", "--day", str(today), "--send").exit_code == 0
    [posted] = sandbox.receiver.reports()
    assert posted["data"] == document["digest"]["data"]
    assert posted["type"] == document["digest"]["type"] == "room.digest"


@pytest.mark.usefixtures("today")
class TestSend:
    def test_it_goes_everywhere_and_is_shown_as_sent(self, run: Run, sandbox: Sandbox) -> None:
        result = run("digest", "--send")
        assert result.exit_code == 0
        assert (len(sandbox.slack.messages()), len(sandbox.receiver.reports())) == (1, 1)
        for line in run("digest").output.splitlines()[-2:]:
            assert line.split()[1] == "sent"

    @pytest.mark.parametrize(("answer", "count"), [("y\ny\n", 2), ("n\nn\n", 1), ("", 1)])
    def test_a_second_time_only_who_insists(self, run: Run, sandbox: Sandbox, answer: str, count: int) -> None:
        run("digest", "--send")
        result = run("digest", "--send", input=answer)
        assert "It was sent to slack at" in result.output
        assert len(sandbox.slack.messages()) == len(sandbox.receiver.reports()) == count
        ids = [exchange.message_id or "" for exchange in sandbox.receiver.accepted()]
        assert [one[-2:] for one in ids] == ["_1", "_2"][:count]

    def test_yes_does_not_ask(self, run: Run, sandbox: Sandbox) -> None:
        run("digest", "--send")
        assert run("digest", "--send", "--yes").exit_code == 0
        assert len(sandbox.slack.messages()) == 2
        assert "sent, 2 times" in run("digest").output

    def test_a_failure_is_said_and_can_be_made_good_at_once(self, run: Run, sandbox: Sandbox) -> None:
        sandbox.receiver.script(answers.status(503))
        failed = run("digest", "--send")
        assert failed.exit_code == 1
        assert "failed, tried once" in failed.output
        assert "server_error: answered 503" in failed.output
        assert run("digest", "--send", input="n\n").exit_code == 0
        assert (len(sandbox.slack.messages()), len(sandbox.receiver.reports())) == (1, 1)

    def test_while_a_worker_sends_it_nothing_is_sent_twice(
        self, run: Run, ledger: Ledger, sandbox: Sandbox, today: date
    ) -> None:
        day = today - timedelta(days=1)
        assert ledger.take_chore(f"digest:{day}:slack", seconds=60)
        result = run("digest", "--send")
        assert result.exit_code == 1
        assert "slack: a worker sends it just now." in result.output
        assert (len(sandbox.slack.messages()), len(sandbox.receiver.reports())) == (0, 1)


@pytest.mark.parametrize("day", ["2026-13-01", "yesterday", "9999-01-01"])
def test_wrong_usage_is_exit_code_2(run: Run, day: str) -> None:
    assert run("digest", "--day", day).exit_code == 2
