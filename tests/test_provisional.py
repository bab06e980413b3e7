"""A delivery in two parts: a message when the room ends, edited into the report; one message whatever comes between."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from room_reports import jobs, steps
from room_reports.ledger import PROVISIONAL, Claim, Outcome, Room
from sandbox import answers
from sandbox.client import Sandbox
from sandbox.options import OTHER_SLACK_CHANNEL, SLACK_CHANNEL
from tests.conftest import Drive
from tests.support.driver import SID, Driver

DELIVERED = "delivered"


@pytest.fixture
def environment(environment: dict[str, str], sandbox: Sandbox) -> dict[str, str]:
    return environment | sandbox.slack_app_environment


def state(driver: Driver) -> str:
    return next(step.state for step in driver.room().steps if step.name == "slack_app")


def only_message(sandbox: Sandbox) -> dict[str, Any]:
    (found,) = sandbox.slack_api.messages(SID)
    return found


def is_final(message: dict[str, Any]) -> bool:
    return "details follow" not in message["text"]


def await_provisional(driver: Driver, sandbox: Sandbox) -> None:
    """A room whose summary takes its time."""
    sandbox.twilio.script(answers.not_found().forever(), key=SID)
    driver.open()
    driver.drive(lambda: state(driver) == PROVISIONAL)


def complete(driver: Driver, sandbox: Sandbox) -> Room:
    sandbox.twilio.script(key=SID)
    return driver.finish()


def begin_first_part(driver: Driver) -> Claim:
    """The attempt to send the provisional message, which this test makes itself."""
    driver.connection.delete("rq:queue:room-reports-deliveries")
    claim = driver.ledger.begin(SID, "slack_app", 1)
    assert claim is not None and claim.series == 0
    return claim


def send_first_part(driver: Driver, claim: Claim) -> Outcome:
    return steps.make_delivery(driver.service, claim, None)


def test_message_is_there_before_the_summary_and_is_edited_into_the_report(driver: Driver, sandbox: Sandbox) -> None:
    await_provisional(driver, sandbox)
    posted = only_message(sandbox)
    assert not is_final(posted)
    assert (driver.room().state, sandbox.receiver.accepted(), driver.ledger.due()["slack_app"][0]) == ("open", [], 0)
    room = complete(driver, sandbox)
    edited = only_message(sandbox)
    assert (edited["ts"], edited["edits"], is_final(edited)) == (posted["ts"], 1, True)
    assert room.state == DELIVERED
    assert [step.name for step in room.steps] == ["summary", "slack_app", "slack", "webhook"]
    assert [(step.state, step.series) for step in room.steps if step.name == "slack_app"] == [(DELIVERED, 1)]
    assert driver.outcomes("slack_app") == [(PROVISIONAL, None), (DELIVERED, None)]
    assert {len(sandbox.slack.accepted()), len(sandbox.receiver.accepted())} == {1}
    assert driver.ledger.tally()["seconds_from_end", "slack_app", "sum"] >= 0
    assert sum(driver.ledger.tally()["attempts", "slack_app", outcome, ""] for outcome in (PROVISIONAL, DELIVERED)) == 2


def test_without_the_setting_a_room_is_opened_as_ever(drive: Drive, sandbox: Sandbox) -> None:
    driver = drive(**dict.fromkeys(sandbox.slack_app_environment, ""))
    driver.open()
    assert [step.name for step in driver.room().steps] == ["summary"]
    assert [step.name for step in driver.finish().steps] == ["summary", "slack", "webhook"]
    assert sandbox.slack_api.history() == []


def test_summary_that_is_there_first_makes_the_report_the_first_message(driver: Driver, sandbox: Sandbox) -> None:
    driver.event()
    assert [step.name for step in driver.room().steps] == ["summary"]
    assert driver.finish().state == DELIVERED
    assert (only_message(sandbox)["edits"], is_final(only_message(sandbox))) == (0, True)


def test_event_without_a_summary_begins_with_the_message_too(driver: Driver, sandbox: Sandbox) -> None:
    sandbox.twilio.script(answers.not_found().forever(), key=SID)
    driver.event(processing_state="in_progress")
    driver.drive(lambda: state(driver) == PROVISIONAL)
    driver.event()
    assert driver.finish().state == DELIVERED
    assert (only_message(sandbox)["edits"], is_final(only_message(sandbox))) == (1, True)


def test_first_part_that_waits_is_superseded(driver: Driver, sandbox: Sandbox) -> None:
    sandbox.slack_api.always(answers.status(503))
    sandbox.twilio.script(answers.not_found(), key=SID)
    driver.open()
    driver.drive(lambda: driver.outcomes("slack_app"))
    driver.drive(lambda: any(step.name == "webhook" for step in driver.room().steps))
    sandbox.slack_api.normal()
    assert driver.finish().state == DELIVERED
    assert (only_message(sandbox)["edits"], is_final(only_message(sandbox))) == (0, True)
    assert [outcome for outcome, _ in driver.outcomes("slack_app")][-1] == DELIVERED


def test_report_waits_for_a_first_part_that_is_being_sent(driver: Driver, sandbox: Sandbox) -> None:
    driver.open()
    claim = begin_first_part(driver)
    driver.drive(lambda: sandbox.receiver.accepted())
    assert (state(driver), sandbox.slack_api.messages()) == ("running", []), "nothing overtakes it"
    finished = driver.ledger.finish(claim, send_first_part(driver, claim), took=0.1)
    assert finished is not None
    assert state(driver) == "queued", "and the report is due at once"
    driver.finish()
    assert (only_message(sandbox)["edits"], is_final(only_message(sandbox))) == (1, True)
    assert driver.outcomes("slack_app") == [(PROVISIONAL, None), (DELIVERED, None)]
    assert "conversations.history" not in {one.path.rpartition("/")[2] for one in sandbox.slack_api.history()}


def test_first_part_that_fails_while_the_report_waits_for_it(driver: Driver, sandbox: Sandbox) -> None:
    driver.open()
    claim = begin_first_part(driver)
    driver.drive(lambda: sandbox.receiver.accepted())
    sandbox.slack_api.script(answers.too_many(1))
    driver.ledger.finish(claim, send_first_part(driver, claim), took=0.1)
    step = next(step for step in driver.room().steps if step.name == "slack_app")
    assert (step.state, step.series, step.tries, step.reason) == ("waiting", 1, 0, None), (
        "held, and not held against it"
    )
    assert driver.finish().state == DELIVERED
    assert is_final(only_message(sandbox))


def test_worker_that_dies_with_the_first_part_sent(driver: Driver, sandbox: Sandbox) -> None:
    driver.open()
    claim = begin_first_part(driver)
    send_first_part(driver, claim)
    driver.drive(lambda: sandbox.receiver.accepted())
    assert driver.ledger.release(SID, "slack_app", 1), "as the end of its lease would"
    assert driver.finish().state == DELIVERED
    assert (only_message(sandbox)["edits"], is_final(only_message(sandbox))) == (1, True)


def test_first_part_that_slack_refuses_for_good_is_not_a_dead_letter(driver: Driver, sandbox: Sandbox) -> None:
    refusal = answers.Answer(status=200, body='{"ok": false, "error": "invalid_blocks"}', accepted=False)
    sandbox.slack_api.script(refusal)
    await_provisional(driver, sandbox)
    assert driver.outcomes("slack_app") == [(PROVISIONAL, "invalid_payload")]
    room = complete(driver, sandbox)
    assert (room.state, is_final(only_message(sandbox))) == (DELIVERED, True)
    assert next(step.reason for step in room.steps if step.name == "slack_app") is None


def test_message_is_finished_when_the_summary_has_expired(driver: Driver, sandbox: Sandbox) -> None:
    sandbox.twilio.script(answers.not_found().forever(), key=SID)
    driver.open(ended_ago=timedelta(days=7, seconds=-1))
    driver.drive(lambda: state(driver) == PROVISIONAL)
    room = driver.finish()
    assert room.state == "expired"
    assert "Twilio no longer has the summary" in only_message(sandbox)["text"]
    assert (sandbox.receiver.accepted(), sandbox.slack.accepted(), driver.ledger.days()) == ([], [], {})


def test_resend_edits_the_message(driver: Driver, sandbox: Sandbox) -> None:
    await_provisional(driver, sandbox)
    assert driver.ledger.resend(SID, ["slack_app"], who="a test") == [], "there is no report yet"
    complete(driver, sandbox)
    assert driver.ledger.resend(SID, ["slack_app"], who="a test") == ["slack_app"]
    assert driver.finish().state == DELIVERED
    assert (only_message(sandbox)["edits"], is_final(only_message(sandbox))) == (2, True)


def test_resend_of_a_message_that_was_deleted_posts_it_anew(driver: Driver, sandbox: Sandbox) -> None:
    await_provisional(driver, sandbox)
    complete(driver, sandbox)
    sandbox.slack_api.delete(only_message(sandbox)["ts"])
    driver.ledger.resend(SID, ["slack_app"], who="a test")
    driver.finish()
    assert is_final(only_message(sandbox))


def test_participants_step_comes_between(drive: Drive, sandbox: Sandbox) -> None:
    driver = drive(PARTICIPANTS="1")
    await_provisional(driver, sandbox)
    room = complete(driver, sandbox)
    assert [step.name for step in room.steps] == ["summary", "slack_app", "participants", "slack", "webhook"]
    assert (room.state, only_message(sandbox)["edits"]) == (DELIVERED, 1)


def test_first_part_that_comes_after_the_report_is_the_report(driver: Driver, sandbox: Sandbox) -> None:
    """The setting was taken back while it waited, and set again after the room was reported."""
    driver.open()
    driver.connection.delete("rq:queue:room-reports-deliveries")
    without = {name: value for name, value in driver.service.destinations.items() if name != "slack_app"}
    configured = dict(driver.service.destinations)
    destinations: Any = driver.service.destinations
    destinations.clear()
    destinations.update(without)
    driver.drive(lambda: sandbox.receiver.accepted() and sandbox.slack.accepted())
    assert driver.room().state == "open", "a step of it is unfinished"
    destinations.update(configured)
    jobs.run(SID, "slack_app", 1)
    assert is_final(only_message(sandbox))
    assert driver.room().state == DELIVERED


def test_rules_do_not_leave_a_message_alone_that_says_that_more_follows(
    drive: Drive, sandbox: Sandbox, tmp_path: Path
) -> None:
    rules = tmp_path / "destinations.toml"
    rules.write_text('default = ["webhook"]\n')
    await_provisional(drive(), sandbox)
    # The file came while the room waited for its summary.
    room = complete(drive(DESTINATIONS_FILE=str(rules)), sandbox)
    assert [step.name for step in room.steps] == ["summary", "slack_app", "webhook"]
    assert is_final(only_message(sandbox))


def test_each_channel_of_the_file_has_a_message_of_its_own(drive: Drive, sandbox: Sandbox, tmp_path: Path) -> None:
    described = f'kind = "slack_app"\ntoken = "env:SLACK_BOT_TOKEN"\nchannel = "{OTHER_SLACK_CHANNEL}"\n'
    file = tmp_path / "destinations.toml"
    file.write_text(f'[destinations.berlin]\n{described}template = "Guten Tag"\n[destinations.nightly]\n{described}')
    driver = drive(DESTINATIONS_FILE=str(file))
    sandbox.twilio.script(answers.not_found().forever(), key=SID)
    driver.open()
    apps = ("slack_app", "berlin", "nightly")
    driver.drive(lambda: all(driver.outcomes(name) for name in apps))
    begun = {one["ts"]: one for one in sandbox.slack_api.messages(SID)}
    assert (len(begun), any(map(is_final, begun.values()))) == (3, False)
    assert [step.name for step in driver.room().steps] == ["summary", *apps]
    assert complete(driver, sandbox).state == DELIVERED
    ended = sandbox.slack_api.messages(SID)
    assert {one["ts"] for one in ended} == set(begun) and all(map(is_final, ended))
    assert [one["edits"] for one in ended] == [1, 1, 1]
    about = {one["metadata"]["event_payload"].get("destination", "slack_app"): one for one in ended}
    assert {name: one["channel"] for name, one in about.items()} == {
        "slack_app": SLACK_CHANNEL,
        "berlin": OTHER_SLACK_CHANNEL,
        "nightly": OTHER_SLACK_CHANNEL,
    }
    assert [name for name, one in about.items() if "Guten Tag" in str(one["blocks"])] == ["berlin"]
    for name in apps:
        assert driver.outcomes(name) == [(PROVISIONAL, None), (DELIVERED, None)]


def test_where_rules_decide_nothing_is_said_before_they_have(drive: Drive, sandbox: Sandbox, tmp_path: Path) -> None:
    rules = tmp_path / "destinations.toml"
    rules.write_text('default = ["webhook"]\n')
    driver = drive(DESTINATIONS_FILE=str(rules))
    driver.open()
    room = driver.finish()
    assert [step.name for step in room.steps] == ["summary", "webhook"]
    assert not sandbox.slack_api.messages(SID)


def test_what_is_noted_is_where_the_message_stands(driver: Driver, sandbox: Sandbox) -> None:
    await_provisional(driver, sandbox)
    row = driver.connection.hget(f"room-reports:room:{SID}", "slack_app.noted")
    assert isinstance(row, bytes)
    message = only_message(sandbox)
    assert json.loads(row) == {"channel": message["channel"], "ts": message["ts"], "attempt": "1"}


def test_summary_that_began_before_the_message_was_noted_has_it_edited(drive: Drive, sandbox: Sandbox) -> None:
    driver = drive(SLACK_WEBHOOK_URL="", REPORT_WEBHOOK_URL="")
    driver.open()
    claim = driver.ledger.begin(SID, "summary", 1)
    assert claim is not None
    driver.run_queued()
    assert not is_final(only_message(sandbox))
    jobs.work_off(claim)
    assert not is_final(only_message(sandbox)), "what this attempt knows of the room is older than the message"
    assert driver.finish().state == DELIVERED
    assert (only_message(sandbox)["edits"], is_final(only_message(sandbox))) == (1, True)
    assert "conversations.history" not in {one.path.rpartition("/")[2] for one in sandbox.slack_api.history()}
