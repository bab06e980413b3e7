"""The way of a room through its steps: real HTTP to the sandbox, a real ledger, the jobs run one after another.

Names carry the number of the row of the fault list they prove, `c51` and so on.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from config.loading import load
from room_reports.ledger import Day, Outcome
from room_reports.participants import MOST_KEPT, known_in
from sandbox import answers, events
from sandbox.answers import Answer
from sandbox.client import Sandbox
from sandbox.options import ACCOUNT_SID
from sandbox.summaries import participants, room_sid
from tests.conftest import Drive
from tests.support.driver import SID, Driver, pop_first


class TestSummary:
    def test_complete_summary_is_delivered_everywhere_once(self, driver: Driver, sandbox: Sandbox) -> None:
        driver.open()
        room = driver.finish()
        assert room.state == "delivered"
        assert len(sandbox.slack.accepted()) == len(sandbox.receiver.accepted()) == 1
        assert room.asked == 1

    def test_verdicts_go_by_the_thresholds_of_the_settings(self, drive: Drive, sandbox: Sandbox) -> None:
        sandbox.twilio.add_room(SID, concurrent_participants=8, max_participants=10)
        driver = drive(VERDICT_THRESHOLDS="at_capacity_share=0.8")
        driver.open()
        assert "at_capacity" in driver.finish().verdicts

    def test_what_the_report_says_of_a_room_is_known_before_it_is_delivered(
        self, driver: Driver, sandbox: Sandbox
    ) -> None:
        sandbox.twilio.add_room(
            SID, recording_enabled=True, total_recording_duration_sec=0, total_participant_duration_sec=125
        )
        sandbox.slack.always(answers.status(503))
        sandbox.receiver.always(answers.status(503))
        driver.open()
        driver.run_queued()
        assert driver.room().state == "open"
        assert "nothing_recorded" in driver.room().verdicts
        sandbox.slack.normal()
        sandbox.receiver.normal()
        driver.finish()
        [report] = sandbox.receiver.reports(SID)
        assert [verdict["code"] for verdict in report["data"]["verdicts"]] == list(driver.room().verdicts)
        assert list(driver.ledger.days().values()) == [Day(rooms=1, participant_seconds=125, recorded_seconds=0)]

    def test_absurd_durations_do_not_stop_a_day_from_being_counted(self, driver: Driver, sandbox: Sandbox) -> None:
        for number in (1, 2):
            sid = room_sid(1, number)
            sandbox.twilio.add_room(sid, total_participant_duration_sec=2**63 - 1)
            driver.open(sid)
            assert driver.finish(sid).state == "delivered"
        [day] = driver.ledger.days().values()
        assert (day.rooms, day.participant_seconds) == (2, 2 * 10**12)

    def test_a_room_without_a_summary_counts_for_its_day(self, drive: Drive, sandbox: Sandbox) -> None:
        driver = drive(SUMMARY_DEADLINE="0.2")
        sandbox.twilio.script(answers.status(503).forever(), key=SID)
        driver.open()
        assert driver.finish().state == "partial"
        assert driver.room().verdicts != ()
        assert list(driver.ledger.days().values()) == [Day(rooms=1, participant_seconds=0, recorded_seconds=0)]

    def test_c51_404_is_waited_for(self, driver: Driver, sandbox: Sandbox) -> None:
        sandbox.twilio.script(answers.not_found().repeated(3), key=SID)
        driver.open()
        assert driver.finish().state == "delivered"
        assert driver.outcomes("summary") == [("waiting", "not_ready")] * 3 + [("complete", None)]
        assert len(sandbox.receiver.accepted()) == 1

    def test_c51_pauses_follow_the_waits(self, driver: Driver, sandbox: Sandbox) -> None:
        sandbox.twilio.script(answers.not_found().repeated(3), key=SID)
        driver.open()
        driver.finish()
        times = sandbox.twilio.times(SID)
        pauses = [later - first for first, later in pairwise(times)]
        for pause, wait in zip(pauses, (0.05, 0.1, 0.1), strict=True):
            assert pause >= wait

    @pytest.mark.parametrize(
        "answer", [answers.in_progress(), answers.in_progress("in-progress"), answers.not_started()], ids=str
    )
    def test_c53_unfinished_summary_is_waited_for(self, driver: Driver, sandbox: Sandbox, answer: Answer) -> None:
        sandbox.twilio.script(answer.repeated(2), key=SID)
        driver.open()
        assert driver.finish().state == "delivered"
        assert driver.outcomes("summary") == [("waiting", "not_ready")] * 2 + [("complete", None)]

    def test_c53_timeout_is_reported_as_partial(self, driver: Driver, sandbox: Sandbox) -> None:
        sandbox.twilio.script(answers.timed_out().forever(), key=SID)
        driver.open()
        room = driver.finish()
        assert room.state == "partial"
        [report] = sandbox.receiver.reports(SID)
        assert report["data"]["completeness"]["state"] == "partial"
        assert report["data"]["summary"]["processing_state"] == "timeout"
        assert room.asked == 1

    @pytest.mark.parametrize(("answer", "known"), [(answers.in_progress(), True), (answers.not_found(), False)])
    def test_c53_deadline_sends_what_is_known(
        self, drive: Drive, sandbox: Sandbox, answer: Answer, known: bool
    ) -> None:
        driver = drive(SUMMARY_DEADLINE="0.4")
        sandbox.twilio.script(answer.forever(), key=SID)
        driver.open()
        assert driver.finish().state == "partial"
        [report] = sandbox.receiver.reports(SID)
        assert report["data"]["completeness"]["state"] == "partial"
        assert (report["data"]["summary"] is not None) == known
        assert len(sandbox.slack.accepted()) == 1

    @pytest.mark.parametrize("refuse", [answers.unauthorized(), answers.forbidden()], ids=["401", "403"])
    def test_c54_refused_credentials_hold_twilio_and_heal(self, drive: Drive, sandbox: Sandbox, refuse: Answer) -> None:
        driver = drive(SUMMARY_WAITS="1")  # five rooms are begun before the hold lets one through
        sandbox.twilio.always(refuse)
        sids = [room_sid(1, number) for number in range(5)]
        for sid in sids:
            driver.open(sid)
        driver.run_queued()
        asked = sandbox.twilio.counts()["requests"]
        assert asked == 1, "the first refusal must keep the other rooms from asking"
        [hold] = driver.ledger.holds()
        assert (hold.lane, hold.reason) == ("twilio", "unauthorized")
        sandbox.twilio.normal()
        driver.drive(lambda: driver.ledger.counts()["delivered"] == len(sids))
        assert driver.ledger.holds() == []

    def test_c54_operators_are_told_once(self, driver: Driver, sandbox: Sandbox) -> None:
        sandbox.twilio.reject_credentials()
        for number in range(3):
            driver.open(room_sid(1, number))
        driver.drive(lambda: sandbox.twilio.counts()["requests"] >= 3)
        told = [exchange for exchange in sandbox.receiver.history() if "room.report" not in (exchange.body or "")]
        assert len(told) == 1
        assert "twilio" in (told[0].body or "")

    @pytest.mark.parametrize("value", answers.RETRY_AFTERS)
    def test_c55_too_many_requests_in_every_form(self, driver: Driver, sandbox: Sandbox, value: str | None) -> None:
        sandbox.twilio.script(answers.too_many(value), key=SID)
        driver.open()
        driver.run_queued()
        assert driver.outcomes("summary") == [("waiting", "rate_limited")]
        step = driver.room().steps[0]
        assert step.due is not None
        assert timedelta(0) < step.due - datetime.now(UTC) <= timedelta(hours=1, seconds=1)

    @pytest.mark.parametrize(
        ("answer", "reason"),
        [
            (answers.status(500), "server_error"),
            (answers.status(502), "server_error"),
            (answers.status(503), "server_error"),
            (answers.status(504), "server_error"),
            (answers.reset(), "connection"),
            (answers.hang(), "timeout"),
            (answers.html(200), "bad_body"),
            (answers.truncated_json(), "bad_body"),
            (answers.wrong_content(), "bad_body"),
            (answers.cut(), "truncated"),
            (answers.drip_headers(), "timeout"),
            (answers.drip_body(), "timeout"),
            (answers.endless(), "too_large"),
            (answers.huge(), "too_large"),
            (answers.bomb(), "too_large"),
            (answers.wrong_room(), "wrong_room"),
            (answers.wrong_account(), "wrong_room"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_c56_c60_transient_failure_is_tried_again(
        self, drive: Drive, sandbox: Sandbox, answer: Answer, reason: str
    ) -> None:
        # What is too large is to be found so before it is found slow, on a busy machine too.
        patient = {"HTTP_READ_TIMEOUT": "8", "HTTP_TOTAL_TIMEOUT": "8", "SHUTDOWN_GRACE": "8", "STEP_LEASE": "40"}
        driver = drive(**(patient if reason == "too_large" else {}))
        sandbox.twilio.script(answer, key=SID)
        driver.open()
        assert driver.finish().state == "delivered"
        assert driver.outcomes("summary") == [("waiting", reason), ("complete", None)]
        assert len(sandbox.receiver.accepted()) == 1

    def test_c58_redirect_is_not_followed(self, driver: Driver, sandbox: Sandbox) -> None:
        sandbox.twilio.script(answers.redirect("http://169.254.169.254/latest/meta-data"), key=SID)
        driver.open()
        assert driver.finish().state == "partial"
        assert driver.outcomes("summary") == [("partial", "redirect")]

    def test_c62_unknown_values_pass_through(self, driver: Driver, sandbox: Sandbox) -> None:
        sandbox.twilio.add_room(SID, room_type="hologram", brand_new_field={"deep": [1]}, duration_sec=0)
        driver.open()
        driver.finish()
        [report] = sandbox.receiver.reports(SID)
        summary = report["data"]["summary"]
        assert (summary["room_type"], summary["brand_new_field"], summary["duration_sec"]) == (
            "hologram",
            {"deep": [1]},
            0,
        )

    def test_c64_data_that_changes_later_is_not_posted_again(self, driver: Driver, sandbox: Sandbox) -> None:
        driver.open()
        driver.finish()
        sandbox.twilio.add_room(SID, unique_participants=99)
        driver.open()
        assert driver.ledger.dispatch()[0] == driver.run_queued() == 0
        assert len(sandbox.slack.accepted()) == len(sandbox.receiver.accepted()) == 1

    def test_c66_data_that_is_gone_expires_the_room(self, driver: Driver, sandbox: Sandbox) -> None:
        sandbox.twilio.script(answers.not_found().forever(), key=SID)
        driver.open(ended_ago=timedelta(days=7, minutes=1))
        assert driver.finish().state == "expired"
        assert sandbox.receiver.counts()["requests"] == sandbox.slack.counts()["requests"] == 0

    def test_twilio_down_for_long_costs_no_room_its_summary(self, driver: Driver, sandbox: Sandbox) -> None:
        sandbox.twilio.always(answers.status(503))
        sids = [room_sid(1, number) for number in range(20)]
        for sid in sids:
            driver.open(sid)
        driver.drive(lambda: driver.ledger.holds())
        sandbox.twilio.normal()
        driver.drive(lambda: driver.ledger.counts()["delivered"] == len(sids))


class TestDelivery:
    def test_d80_failing_destination_delays_and_repeats_no_other(self, driver: Driver, sandbox: Sandbox) -> None:
        sandbox.slack.script(answers.status(503).repeated(3))
        driver.open()
        assert driver.finish().state == "delivered"
        assert sandbox.receiver.counts()["requests"] == 1
        assert driver.outcomes("slack") == [("waiting", "server_error")] * 3 + [("delivered", None)]

    def test_every_destination_is_told_the_same(
        self, environment: dict[str, str], sandbox: Sandbox, tmp_path: Path
    ) -> None:
        table = (
            '[destinations.{}]\nkind = "webhook"\nurl = "env:REPORT_WEBHOOK_URL"\n'
            'secret = "env:REPORT_WEBHOOK_SECRET"\nrate = 0\n'
        )
        file = tmp_path / "destinations.toml"
        file.write_text(table.format("first") + table.format("second"))
        with Driver(environment | {"DESTINATIONS_FILE": str(file), "WORKER_THREADS": "1"}) as driver:
            sids = [room_sid(1, number) for number in range(3)]  # more rooms than reports that are kept
            for sid in sids:
                driver.open(sid)
            driver.drive(lambda: driver.ledger.counts()["delivered"] == len(sids))
            for sid in sids:
                first, *others = told(sandbox, sid)
                assert first["room_sid"] == sid
                assert others == [first] * 2, "the time at which it was made included"
            driver.ledger.resend(sids[-1], ["first"], who="test")
            driver.drive(lambda: len(told(sandbox, sids[-1])) == 4)
            assert told(sandbox, sids[-1])[-1]["reported_at"] > first["reported_at"], "a report of its own"

    def test_d69_retry_after_holds_the_whole_channel_and_nothing_else(self, driver: Driver, sandbox: Sandbox) -> None:
        sandbox.slack.script(answers.too_many("1"))
        sids = [room_sid(1, number) for number in range(4)]
        for sid in sids:
            driver.open(sid)
        driver.run_queued()
        assert sandbox.slack.counts()["requests"] == 1
        assert sandbox.receiver.counts()["accepted"] == 4
        driver.drive(lambda: driver.ledger.counts()["delivered"] == 4)
        first, second = sandbox.slack.history()[0].at, sandbox.slack.history()[1].at
        assert second - first >= 1

    @pytest.mark.parametrize("status", [403, 404, 410])
    def test_d71_gone_channel_is_held_and_told_elsewhere(self, driver: Driver, sandbox: Sandbox, status: int) -> None:
        sandbox.slack.always(answers.status(status))
        for number in range(3):
            driver.open(room_sid(1, number))
        driver.run_queued()
        assert sandbox.slack.counts()["requests"] == 1
        [hold] = driver.ledger.holds()
        assert (hold.lane, hold.until) == ("slack", None)
        assert driver.ledger.due()["slack"][0] == 3
        assert sum("room.report" not in (exchange.body or "") for exchange in sandbox.receiver.history()) == 1
        sandbox.slack.normal()
        assert driver.ledger.dispatch()[0] == 0
        driver.ledger.resume("slack")
        driver.drive(lambda: driver.ledger.counts()["delivered"] == 3)

    @pytest.mark.parametrize("status", [302, 400, 405, 422])
    def test_d73_other_refusals_are_dead_letters_at_once(self, driver: Driver, sandbox: Sandbox, status: int) -> None:
        sandbox.receiver.script(answers.status(status))
        driver.open()
        assert driver.finish().state == "dead"
        assert len(driver.outcomes("webhook")) == 1
        assert len(sandbox.slack.accepted()) == 1

    def test_d74_timeout_after_acceptance_repeats_under_the_same_id(self, driver: Driver, sandbox: Sandbox) -> None:
        sandbox.receiver.script(answers.accept_and_reset())
        driver.open()
        assert driver.finish().state == "delivered"
        ids = [exchange.message_id for exchange in sandbox.receiver.history()]
        assert len(ids) == 2 and len(set(ids)) == 1
        assert all(exchange.verified for exchange in sandbox.receiver.history())

    @pytest.mark.parametrize("status", [200, 201, 204, 299])
    def test_d75_every_2xx_of_the_webhook_is_success(self, driver: Driver, sandbox: Sandbox, status: int) -> None:
        sandbox.receiver.script(answers.status(status))
        driver.open()
        assert driver.finish().state == "delivered"
        assert sandbox.receiver.counts()["requests"] == 1

    @pytest.mark.parametrize("manner", [answers.endless(), answers.huge(), answers.cut(), answers.drip_body()], ids=str)
    def test_d75_body_of_a_2xx_does_not_matter(self, driver: Driver, sandbox: Sandbox, manner: Answer) -> None:
        sandbox.receiver.script(replace(manner, status=200, body="x" * 200))
        driver.open()
        assert driver.finish().state == "delivered"
        assert sandbox.receiver.counts()["requests"] == 1

    def test_d77_receiver_that_comes_back_gets_its_backlog(self, driver: Driver, sandbox: Sandbox) -> None:
        sandbox.receiver.always(answers.status(500))
        sids = [room_sid(1, number) for number in range(10)]
        for sid in sids:
            driver.open(sid)
        driver.drive(lambda: driver.ledger.holds() and len(sandbox.slack.accepted()) >= 10)
        sandbox.receiver.normal()
        driver.drive(lambda: driver.ledger.counts()["delivered"] == 10)
        assert {exchange.message_id for exchange in sandbox.receiver.accepted()} == {
            f"msg_{sid}_webhook_1" for sid in sids
        }

    def test_delivery_past_its_deadline_is_a_dead_letter(self, drive: Drive, sandbox: Sandbox) -> None:
        driver = drive(DELIVERY_DEADLINE="0.3")
        sandbox.receiver.always(answers.status(500))
        driver.open()
        assert driver.finish().state == "dead"
        assert driver.outcomes("webhook")[-1] == ("dead", "server_error")

    def test_resend_is_a_new_delivery_with_an_id_of_its_own(self, driver: Driver, sandbox: Sandbox) -> None:
        driver.open()
        driver.finish()
        driver.ledger.resend(SID, ["webhook"], who="operator")
        driver.finish()
        ids = [exchange.message_id for exchange in sandbox.receiver.accepted()]
        assert ids == [f"msg_{SID}_webhook_1", f"msg_{SID}_webhook_2"]
        assert sandbox.slack.counts()["requests"] == 1

    def test_destination_taken_out_of_the_settings_keeps_its_backlog(self, drive: Drive, sandbox: Sandbox) -> None:
        driver = drive()
        driver.open()
        driver.drive(lambda: len(driver.room().steps) == 3)
        assert driver.finish().state == "delivered"
        driver.ledger.resend(SID, ["slack"], who="operator")
        without = drive(SLACK_WEBHOOK_URL="")
        without.run_queued()
        assert [(hold.lane, hold.reason) for hold in without.ledger.holds()] == [("slack", "not_configured")]
        again = drive()
        again.ledger.resume("slack")
        assert again.finish().state == "delivered"
        assert len(sandbox.slack.accepted()) == 2


def test_secrets_stay_out_of_the_ledger_and_the_queue(driver: Driver, environment: dict[str, str]) -> None:
    driver.open()
    driver.finish()
    secrets = load(environment).secrets
    for key in driver.connection.scan_iter():
        dumped = driver.connection.dump(key) or b""
        for secret in secrets:
            assert secret.encode() not in dumped, key


class TestEvents:
    """What an event brings, by whichever step of its way it finds the room."""

    def test_event_alone_makes_a_report_and_twilio_is_not_asked(self, driver: Driver, sandbox: Sandbox) -> None:
        assert driver.event() == "opened"
        assert driver.finish().state == "delivered"
        [report] = sandbox.receiver.reports()
        provenance = report["data"]["provenance"]
        assert (provenance["source"], provenance["summary_from"], provenance["times_asked"]) == ("events", "event", 0)
        assert report["data"]["completeness"]["state"] == "complete"
        assert not sandbox.twilio.history()

    def test_room_that_waits_goes_on_at_once(self, drive: Drive, sandbox: Sandbox) -> None:
        sandbox.twilio.always(answers.status(404))
        driver = drive(SUMMARY_WAITS="3600")
        driver.open()
        driver.run_queued()
        assert driver.outcomes("summary") == [("waiting", "not_ready")]
        assert driver.event() == "advanced"
        driver.run_queued()
        assert driver.room().state == "delivered"
        assert [outcome for outcome, _ in driver.outcomes("summary")] == ["waiting", "event", "complete"]
        [report] = sandbox.receiver.reports()
        assert report["data"]["provenance"]["source"] == "callback"
        assert len(sandbox.twilio.history()) == 1

    def test_attempt_that_runs_is_fenced_off(self, driver: Driver, sandbox: Sandbox) -> None:
        driver.open()
        pop_first(driver.connection)
        claim = driver.ledger.begin(SID, "summary", 1)
        assert claim is not None
        assert driver.event() == "advanced"
        assert driver.ledger.finish(claim, Outcome("partial", "not_ready"), took=0.1) is None
        driver.run_queued()
        assert driver.room().state == "delivered"
        assert len(sandbox.receiver.accepted()) == 1

    def test_job_that_waits_its_turn_takes_the_summary_along(self, driver: Driver, sandbox: Sandbox) -> None:
        driver.open()
        assert driver.event() == "advanced"
        driver.run_queued()
        assert driver.room().state == "delivered"
        assert driver.outcomes("summary")[-1] == ("complete", None)
        assert not sandbox.twilio.history()

    def test_hold_of_twilio_keeps_no_event_waiting_and_is_not_lifted_by_it(
        self, driver: Driver, sandbox: Sandbox
    ) -> None:
        other = room_sid(1, 2)
        sandbox.twilio.reject_credentials()
        driver.open()
        driver.run_queued()
        assert driver.ledger.holds()
        assert driver.event() == "advanced"
        assert driver.event(other) == "opened"
        driver.run_queued()
        assert {driver.room(sid).state for sid in (SID, other)} == {"delivered"}
        assert [hold.lane for hold in driver.ledger.holds()] == ["twilio"]

    def test_the_same_event_again_changes_nothing(self, driver: Driver, sandbox: Sandbox) -> None:
        assert [driver.event(), driver.event()] == ["opened", "known"]
        driver.finish()
        assert driver.event() == "known"
        assert driver.run_queued() == 0
        assert len(sandbox.receiver.accepted()) == 1

    def test_event_after_the_report_changes_nothing(self, driver: Driver, sandbox: Sandbox) -> None:
        driver.open()
        before = driver.finish()
        assert driver.event(issues=[events.issue("high-packet-loss", "PA" + "0" * 32)]) == "late"
        assert driver.run_queued() == 0
        after = driver.room()
        assert (after.summary, after.issues, after.state) == (before.summary, None, "delivered")
        assert len(sandbox.receiver.accepted()) == 1

    def test_summary_that_twilio_gave_up_on_is_partial(self, driver: Driver, sandbox: Sandbox) -> None:
        driver.event(processing_state="timeout")
        assert driver.finish().state == "partial"
        [report] = sandbox.receiver.reports()
        assert report["data"]["completeness"]["state"] == "partial"

    def test_event_without_a_settled_summary_only_opens_the_room(self, driver: Driver, sandbox: Sandbox) -> None:
        assert driver.event(processing_state="in-progress") == "opened"
        driver.finish()
        [report] = sandbox.receiver.reports()
        provenance = report["data"]["provenance"]
        assert (provenance["source"], provenance["summary_from"]) == ("events", "api")

    def test_issues_are_in_the_report_and_its_verdicts_and_identities_nowhere(
        self, driver: Driver, sandbox: Sandbox
    ) -> None:
        identity = "somebody-by-name"
        issue = events.issue("high-packet-loss", "PA" + "0" * 32, identity=identity, directions=["inbound"])
        driver.event(issues=[issue] * 3)
        assert "media_errors" in driver.finish().verdicts
        [report] = sandbox.receiver.reports()
        assert [found["issue_type"] for found in report["data"]["detected_issues"]] == ["high-packet-loss"] * 3
        said = [exchange.body or "" for service in (sandbox.slack, sandbox.receiver) for exchange in service.accepted()]
        assert "high packet loss (3)" in said[0]
        kept = [str(driver.connection.hgetall(f"room-reports:room:{SID}"))]
        assert identity not in "".join(said + kept)

    @pytest.mark.parametrize("early", [0, 2, 99])
    @pytest.mark.parametrize("way", ["callback", "event"])
    def test_participants_join_their_room_whenever_they_come(
        self, driver: Driver, sandbox: Sandbox, early: int, way: str
    ) -> None:
        people = participants(SID, account_sid=ACCOUNT_SID, ended=datetime.now(UTC))
        first, then = people[:early], people[early:]
        assert {driver.participant(one) for one in first} <= {"early"}
        if way == "event":
            driver.event()
        else:
            driver.open()
        assert {driver.participant(one) for one in then} <= {"joined"}
        assert {driver.participant(one) for one in people} == {"known"}
        driver.finish()
        [report] = sandbox.receiver.reports()
        told = report["data"]["participants"]
        assert {one["participant_sid"] for one in told} == {one["participant_sid"] for one in people}
        assert driver.participant({**people[0], "participant_sid": "PA" + "0" * 32}) == "late"
        assert not [key for key in driver.connection.scan_iter() if b"aside" in key]

    def test_participants_beyond_the_most_are_counted(self, driver: Driver, sandbox: Sandbox) -> None:
        [person, *_] = participants(SID, account_sid=ACCOUNT_SID, ended=datetime.now(UTC))
        driver.open()
        for number in range(MOST_KEPT + 7):
            driver.participant({**person, "participant_sid": f"PA{number:032x}"})
        known = known_in(driver.finish().participants)
        assert known is not None
        assert (len(known.participants), known.left_out) == (MOST_KEPT, 7)

    def test_participants_of_whom_events_have_told_are_not_asked_for(self, drive: Drive, sandbox: Sandbox) -> None:
        driver = drive(PARTICIPANTS="1")
        for person in participants(SID, account_sid=ACCOUNT_SID, ended=datetime.now(UTC)):
            driver.participant(person)
        driver.event()
        assert driver.finish().state == "delivered"
        [report] = sandbox.receiver.reports()
        assert report["data"]["participants"]
        assert not sandbox.twilio.history()

    def test_issues_that_come_while_participants_are_waited_for_are_in_the_report(
        self, drive: Drive, sandbox: Sandbox
    ) -> None:
        driver = drive(PARTICIPANTS="1")
        driver.open()
        sandbox.twilio.script(answers.status(503), key=f"{SID}/Participants")
        driver.run_queued()
        assert [step.state for step in driver.room().steps] == ["complete", "waiting"]
        assert driver.event(issues=[events.issue("high-jitter", "PA" + "0" * 32)]) == "late"
        assert driver.finish().state == "delivered"
        [report] = sandbox.receiver.reports()
        assert [issue["issue_type"] for issue in report["data"]["detected_issues"]] == ["high-jitter"]
        assert report["data"]["provenance"]["summary_from"] == "api"


def told(sandbox: Sandbox, sid: str) -> list[dict[str, Any]]:
    """The reports of a room that arrived at webhooks."""
    return [json.loads(exchange.body or "")["data"] for exchange in sandbox.receiver.accepted(sid)]
