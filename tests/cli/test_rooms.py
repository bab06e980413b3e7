"""`flask rooms`: what became of every room, and what an operator can do about it."""

from __future__ import annotations

import getpass
import json
import socket
from datetime import UTC, datetime, timedelta

import pytest

from config.settings import Settings
from room_reports.ledger import Ledger, Outcome
from sandbox.client import Sandbox
from sandbox.summaries import room_sid
from tests.cli.conftest import Run
from tests.cli.rooms import begin, deliver, delivered_room, finish, hold, open_room, sid_of, summarise

HOSTILE = "\x1b[2J\u202eevil\n\x07<!channel>"


class TestList:
    def test_empty_ledger_is_said_to_be_empty(self, run: Run) -> None:
        result = run("rooms", "list")
        assert (result.exit_code, result.output) == (0, "No room has ended yet.\n")
        assert run("rooms", "list", "--state", "dead").output == "No room is dead.\n"
        assert json.loads(run("rooms", "list", "--json").output) == []

    def test_newest_first_with_state_and_what_each_waits_for(self, run: Run, ledger: Ledger) -> None:
        delivered_room(ledger, 1, name="weekly")
        waiting = open_room(ledger, 2)
        finish(ledger, waiting, "summary", Outcome("waiting", "not_ready", "Twilio says in_progress", pause=300))
        lines = run("rooms", "list").output.splitlines()
        assert lines[0].split() == ["ROOM", "STATE", "ENDED", "NAME", "WAITS", "FOR"]
        assert lines[1].split()[:2] == [sid_of(2), "open"]
        assert "Twilio to complete the summary" in lines[1]
        assert lines[2].split() == [sid_of(1), "delivered", "2026-11-23", "10:00:00Z", "weekly"]

    def test_one_state_only(self, run: Run, ledger: Ledger) -> None:
        delivered_room(ledger, 1)
        dead = open_room(ledger, 2)
        summarise(ledger, dead)
        deliver(ledger, dead, slack="dead")
        output = run("rooms", "list", "--state", "dead").output
        assert sid_of(2) in output
        assert sid_of(1) not in output

    def test_limit_says_what_it_leaves_out(self, run: Run, ledger: Ledger) -> None:
        for number in range(3):
            open_room(ledger, number)
        output = run("rooms", "list", "--limit", "2").output
        assert sid_of(0) not in output
        assert "2 of 3 rooms" in output

    def test_hostile_name_cannot_reach_the_terminal(self, run: Run, ledger: Ledger) -> None:
        sid = delivered_room(ledger, 1, name=HOSTILE)
        for arguments in (("rooms", "list"), ("rooms", "show", sid), ("preview", sid)):
            output = run(*arguments).output
            assert "evil" in output
            assert not set("\x1b\x07\u202e") & set(output), arguments
        assert len(run("rooms", "list").output.splitlines()) == 2

    def test_json_has_everything(self, run: Run, ledger: Ledger) -> None:
        sid = delivered_room(ledger, 1, name=HOSTILE)
        [room] = json.loads(run("rooms", "list", "--json").output)
        assert (room["sid"], room["state"], room["name"]) == (sid, "delivered", HOSTILE)
        assert room["callback"]["room_duration"] == 60
        assert room["waiting"] == []

    @pytest.mark.parametrize("arguments", [("--state", "unknown"), ("--limit", "0"), ("--limit", "x"), ("extra",)])
    def test_wrong_usage_is_exit_code_2(self, run: Run, arguments: tuple[str, ...]) -> None:
        assert run("rooms", "list", *arguments).exit_code == 2


class TestShow:
    def test_unknown_room(self, run: Run) -> None:
        result = run("rooms", "show", sid_of(1))
        assert result.exit_code == 1
        assert "flask rooms reconcile" in result.stderr

    def test_what_is_no_sid_is_wrong_usage(self, run: Run) -> None:
        result = run("rooms", "show", "../\x1b[2J")
        assert result.exit_code == 2
        assert "\x1b" not in result.output

    def test_every_attempt_is_told_with_what_came_of_it(self, run: Run, ledger: Ledger) -> None:
        sid = open_room(ledger)
        finish(ledger, sid, "summary", Outcome("waiting", "not_ready", "Twilio says in_progress", pause=0))
        ledger.dispatch()
        finish(ledger, sid, "summary", Outcome("complete", opens=("slack",)), attempt=2)
        finish(ledger, sid, "slack", Outcome("dead", "rejected", "answered 400"))
        lines = run("rooms", "show", sid).output.splitlines()
        attempts = [line.split() for line in lines if line.startswith("20")]
        assert [attempt[2:5] for attempt in attempts] == [
            ["summary", "1", "waiting"],
            ["summary", "2", "complete"],
            ["slack", "1", "dead"],
        ]
        assert "not_ready: Twilio says in_progress" in lines[-3]
        assert "rejected: answered 400" in lines[-1]
        assert not any(line.startswith("WAITING") for line in lines)

    def test_event_that_brought_the_summary_is_told(self, run: Run, ledger: Ledger) -> None:
        sid = open_room(ledger)
        ledger.note_room_event(
            room_sid=sid, account_sid="", room_name="", ended=None, summary="{}", issues="", request_id=""
        )
        [line] = [line for line in run("rooms", "show", sid).output.splitlines() if line.startswith("20")]
        assert line.split()[2:8] == ["summary", "-", "event", "-", "again", "at"]
        assert line.endswith("an event brought the summary")

    def test_says_what_it_waits_for_and_until_when(self, run: Run, ledger: Ledger) -> None:
        sid = open_room(ledger)
        finish(ledger, sid, "summary", Outcome("waiting", "not_ready", pause=600))
        output = run("rooms", "show", sid).output
        assert "Twilio to complete the summary" in output
        assert "(in 10 min)" in output

    def test_says_when_only_an_operator_can_help(self, run: Run, ledger: Ledger) -> None:
        sid = open_room(ledger)
        summarise(ledger, sid)
        hold(ledger, sid, needs_operator=True)
        assert "slack is held (gone); flask rooms resume slack" in run("rooms", "show", sid).output
        [waiting, _] = json.loads(run("rooms", "show", sid, "--json").output)["waiting"]
        assert (waiting["step"], waiting["cause"], waiting["until"]) == ("slack", "held", None)

    def test_running_and_queued_steps_are_told_apart(self, run: Run, ledger: Ledger) -> None:
        sid = open_room(ledger)
        causes = [json.loads(run("rooms", "show", sid, "--json").output)["waiting"][0]["cause"]]
        begin(ledger, sid, "summary")
        causes.append(json.loads(run("rooms", "show", sid, "--json").output)["waiting"][0]["cause"])
        assert causes == ["queued", "running"]


class TestResend:
    def test_asks_when_it_was_delivered_already(self, run: Run, ledger: Ledger) -> None:
        sid = delivered_room(ledger)
        result = run("rooms", "resend", sid, input="n\n")
        assert result.exit_code == 1
        assert "delivered to slack" in result.output
        assert state_of(ledger, sid) == "delivered"

    def test_without_anybody_to_answer_it_does_nothing(self, run: Run, ledger: Ledger) -> None:
        sid = delivered_room(ledger)
        assert run("rooms", "resend", sid, input="").exit_code == 1
        assert state_of(ledger, sid) == "delivered"

    def test_resends_everywhere_and_records_who_asked(self, run: Run, ledger: Ledger) -> None:
        sid = delivered_room(ledger)
        assert run("rooms", "resend", sid, input="y\ny\n").exit_code == 0
        room = ledger.room(sid)
        assert room is not None
        assert [(step.name, step.series) for step in room.steps] == [("summary", 1), ("slack", 2), ("webhook", 2)]
        assert room.attempts[-1]["detail"] == f"{getpass.getuser()}@{socket.gethostname()}"
        assert "asked for by" in run("rooms", "show", sid).output

    def test_yes_does_not_ask_and_destination_chooses(self, run: Run, ledger: Ledger) -> None:
        sid = delivered_room(ledger)
        assert run("rooms", "resend", sid, "--destination", "webhook", "--yes").exit_code == 0
        room = ledger.room(sid)
        assert room is not None
        assert [step.series for step in room.steps] == [1, 1, 2]

    def test_dead_letter_is_resent_without_asking(self, run: Run, ledger: Ledger) -> None:
        sid = open_room(ledger)
        summarise(ledger, sid)
        deliver(ledger, sid, slack="dead")
        result = run("rooms", "resend", sid, "--destination", "slack", input="")
        assert (result.exit_code, state_of(ledger, sid)) == (0, "open")

    def test_what_is_under_way_is_left_alone(self, run: Run, ledger: Ledger) -> None:
        sid = open_room(ledger)
        result = run("rooms", "resend", sid, "--yes")
        assert result.exit_code == 1
        assert "Nothing to resend: summary: a worker to take its job" in result.stderr

        summarise(ledger, sid)
        result = run("rooms", "resend", sid, "--yes")
        assert (result.exit_code, result.stderr.startswith("Nothing to resend: slack: a worker")) == (1, True)

    def test_says_when_the_destination_is_held(self, run: Run, ledger: Ledger) -> None:
        sid = delivered_room(ledger, 1)
        other = open_room(ledger, 2)
        summarise(ledger, other)
        hold(ledger, other, needs_operator=True)
        result = run("rooms", "resend", sid, "--destination", "slack", "--yes")
        assert "when its hold ends (gone)" in result.output

    def test_unknown_room_and_unknown_destination(self, run: Run, ledger: Ledger) -> None:
        sid = delivered_room(ledger)
        assert run("rooms", "resend", sid_of(9), "--yes").exit_code == 1
        result = run("rooms", "resend", sid, "--destination", "sms", "--yes")
        assert result.exit_code == 2
        assert "slack, webhook" in result.output

    def test_destination_that_is_not_configured_any_more_is_refused(self, run: Run, ledger: Ledger) -> None:
        sid = delivered_room(ledger)
        result = run("rooms", "resend", sid, "--destination", "slack", "--yes", SLACK_WEBHOOK_URL="")
        assert (result.exit_code, state_of(ledger, sid)) == (2, "delivered")


class TestResume:
    def test_lifts_a_hold_that_only_an_operator_can_lift(self, run: Run, ledger: Ledger) -> None:
        sid = open_room(ledger)
        summarise(ledger, sid)
        hold(ledger, sid, needs_operator=True)
        result = run("rooms", "resume", "slack")
        assert (result.exit_code, result.output) == (0, "slack is resumed; 1 unfinished step will go on.\n")
        assert ledger.holds() == []

    def test_what_is_not_held(self, run: Run) -> None:
        result = run("rooms", "resume", "twilio")
        assert (result.exit_code, result.stderr) == (1, "twilio is not held.\n")

    def test_unknown_name(self, run: Run) -> None:
        result = run("rooms", "resume", "sl\x1back")
        assert result.exit_code == 2
        assert "slack, twilio, webhook" in result.output
        assert "\x1b" not in result.output


class TestHolds:
    def test_none(self, run: Run) -> None:
        assert run("rooms", "holds").output == "Nothing is held.\n"
        assert json.loads(run("rooms", "holds", "--json").output) == []

    def test_says_why_and_until_when(self, run: Run, ledger: Ledger) -> None:
        sid = open_room(ledger)
        summarise(ledger, sid)
        hold(ledger, sid, "slack", needs_operator=True)
        hold(ledger, sid, "webhook", needs_operator=False)
        slack, webhook = run("rooms", "holds").output.splitlines()[1:]
        assert "flask rooms resume slack" in slack
        assert "gone: answered 410" in slack
        assert "(in " in webhook
        [held, heals] = json.loads(run("rooms", "holds", "--json").output)
        assert (held["lane"], held["until"], held["waiting"]) == ("slack", None, 1)
        assert datetime.fromisoformat(heals["until"]) > datetime.now(UTC) - timedelta(minutes=1)


class TestExport:
    def test_every_room_is_one_line_with_its_attempts(self, run: Run, ledger: Ledger) -> None:
        sids = [delivered_room(ledger, number, name=HOSTILE) for number in range(3)]
        lines = run("rooms", "export").output.splitlines()
        rooms = [json.loads(line) for line in lines]
        assert [room["sid"] for room in rooms] == sids
        assert [attempt["step"] for attempt in rooms[0]["attempts"]] == ["summary", "slack", "webhook"]
        assert all(line.isascii() for line in lines)

    def test_one_state_only(self, run: Run, ledger: Ledger) -> None:
        delivered_room(ledger, 1)
        open_room(ledger, 2)
        [line] = run("rooms", "export", "--state", "open").output.splitlines()
        assert json.loads(line)["sid"] == sid_of(2)

    def test_nothing_is_no_line(self, run: Run) -> None:
        result = run("rooms", "export")
        assert (result.exit_code, result.output) == (0, "")


class TestReconcile:
    def test_opens_what_was_missed_and_says_how_many(
        self, run: Run, ledger: Ledger, sandbox: Sandbox, settings: Settings
    ) -> None:
        for index in range(3):
            sandbox.twilio.add_room(room_sid(7, index))
        known = room_sid(7, 0)
        ledger.open(
            room_sid=known, account_sid="AC1", room_name="", ended=None, callback="", request_id="", source="callback"
        )
        result = run("rooms", "reconcile", "--since", "36h")
        assert result.exit_code == 0
        assert result.stdout == "Twilio lists 3 completed rooms; 2 were missed and are opened now.\n"
        assert json.loads(run("rooms", "reconcile", "--json").stdout) == {"listed": 3, "missed": 0, "expired": 0}
        missed = ledger.room(room_sid(7, 1))
        assert missed is not None
        assert missed.source == "reconcile"

    def test_since_is_how_far_back_it_looks(self, run: Run, sandbox: Sandbox) -> None:
        for index, days in enumerate((1, 4, 9)):
            ended = datetime.now(UTC) - timedelta(days=days)
            created = ended - timedelta(minutes=5)
            sandbox.twilio.add_room(room_sid(7, index), create_time=zulu(created), end_time=zulu(ended))
        found = [
            json.loads(run("rooms", "reconcile", "--json", "--since", since).stdout) for since in ("36h", "5d", "2w")
        ]
        assert found == [
            {"listed": 1, "missed": 1, "expired": 0},
            {"listed": 2, "missed": 1, "expired": 0},
            {"listed": 3, "missed": 0, "expired": 1},
        ]

    def test_twilio_that_refuses_ends_the_command_with_its_reason(self, run: Run, sandbox: Sandbox) -> None:
        sandbox.twilio.reject_credentials()
        result = run("rooms", "reconcile")
        assert result.exit_code == 1
        assert "unauthorized" in result.stderr
        assert "Traceback" not in result.output

    def test_bad_duration_is_wrong_usage(self, run: Run) -> None:
        assert run("rooms", "reconcile", "--since", "yesterday").exit_code == 2


class TestTrouble:
    def test_redis_that_is_away_ends_the_command_with_one_line(self, run: Run) -> None:
        result = run("rooms", "list", REDIS_URL="redis://127.0.0.1:1/0")
        assert result.exit_code == 1
        assert result.stderr == "Error: Redis: unreachable; `flask doctor` says more\n"

    def test_settings_that_cannot_work_are_all_listed(self, run: Run) -> None:
        result = run("rooms", "list", TWILIO_ACCOUNT_SID="x", SLACK_RATE="-1")
        assert result.exit_code == 2
        assert "TWILIO_ACCOUNT_SID" in result.stderr
        assert "SLACK_RATE" in result.stderr


def zulu(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def state_of(ledger: Ledger, sid: str) -> str:
    room = ledger.room(sid)
    assert room is not None
    return room.state
