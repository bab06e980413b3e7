"""The participants of rooms: read, fetched page by page, reported, and told of no further than the settings allow."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.loading import load
from room_reports import slack_report
from room_reports.ledger import Outcome
from room_reports.participants import (
    MOST_KEPT,
    Identities,
    Known,
    Participant,
    fields_of,
    keep,
    known_in,
    read_participant,
)
from room_reports.reports import FEWEST_PARTICIPANTS, LARGEST, RoomReport
from sandbox import answers
from sandbox.answers import Answer
from sandbox.client import Sandbox
from sandbox.options import ACCOUNT_SID, AUTH_TOKEN
from sandbox.summaries import participants, room_sid
from tests.conftest import Drive
from tests.support.driver import Driver
from tests.support.processes import settings_for
from tests.support.reports import IDENTITIES, make_report, participant, summary_with
from tests.test_reports import VALIDATOR

SID = room_sid(1, 1)
LIST = f"{SID}/Participants"
IDENTITY = "Ada.Lovelace@example.com"
CODE = 53405

RAW = {
    "participant_sid": "PA" + "0" * 32,
    "participant_identity": IDENTITY,
    "join_time": "2026-11-23T13:00:00.250Z",
    "leave_time": "2026-11-23T13:10:00Z",
    "duration_sec": 600,
    "account_sid": ACCOUNT_SID,
    "room_sid": SID,
    "status": "completed",
    "codecs": ["VP8"],
    "end_reason": "signaling_connection_error",
    "error_code": 53001,
    "error_code_url": "https://evil.example.com/53001",
    "media_region": "us1",
    "edge_location": "ashburn",
    "properties": {"ip": "192.0.2.1"},
    "publisher_info": {"name": "twilio-video.js", "sdk_version": "2.34.0", "user_agent": IDENTITY},
    "location": {"city": "London"},
    "url": "https://insights.twilio.com/",
}


class TestReading:
    def test_a_record_is_read_and_nothing_else_of_the_person_is_kept(self) -> None:
        assert read_participant(RAW, Identities("full", b"")) == Participant(
            participant_sid="PA" + "0" * 32,
            identity=IDENTITY,
            join_time=datetime(2026, 11, 23, 13, 0, 0, 250000, UTC),
            leave_time=datetime(2026, 11, 23, 13, 10, tzinfo=UTC),
            duration_sec=600,
            end_reason="signaling_connection_error",
            error_code=53001,
            error_url="https://www.twilio.com/docs/api/errors/53001",
            media_region="us1",
            edge_location="ashburn",
            sdk="twilio-video.js 2.34.0",
        )

    @pytest.mark.parametrize(
        ("value", "code"),
        [(0, None), (None, None), ("53000", 53000), (True, None), (-1, None), ("0", None), ("x", None)],
    )
    def test_an_error_code_in_any_spelling(self, value: Any, code: int | None) -> None:
        assert participant({"error_code": value}).error_code == code

    @pytest.mark.parametrize("raw", [None, [], "PA", {}, {"participant_sid": None}, {"participant_sid": "PA12"}])
    def test_what_names_no_participant_is_none(self, raw: Any) -> None:
        assert read_participant(raw, IDENTITIES) is None

    @given(
        st.dictionaries(
            st.sampled_from(sorted(RAW)),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
                lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
                max_leaves=4,
            ),
        )
    )
    def test_whatever_a_record_holds_it_is_read_and_kept(self, record: dict[str, Any]) -> None:
        known = keep([participant(record)])
        assert known_in({name: str(value) for name, value in fields_of(known).items()}) == known

    def test_those_with_trouble_come_first_and_the_rest_is_counted(self) -> None:
        found = [participant({"error_code": CODE if number > 140 else 0}, number) for number in range(150)]
        known = keep([*found, found[0]])
        assert [one.has_trouble for one in known.participants] == [True] * 9 + [False] * (MOST_KEPT - 9)
        assert known.left_out == 50

    def test_what_was_listed_wins_over_what_events_told(self) -> None:
        listed = participant({"end_reason": "left"}, 1)
        told = participant({"end_reason": "timed_out", "media_region": "us1"}, 1)
        other = participant({}, 2)
        row = {
            **{name: str(value) for name, value in fields_of(keep([listed])).items()},
            f"participant.{told.participant_sid}": told.to_row(),
            f"participant.{other.participant_sid}": other.to_row(),
            "participants.state": "complete",
        }
        known = known_in(row)
        assert known is not None
        first = listed.model_copy(update={"media_region": "us1"})
        assert known.participants == (first, other)

    def test_a_row_without_participants_knows_none(self) -> None:
        assert known_in({"participants.state": "partial", "summary": "{}"}) is None
        told = {f"participant.PA{number:032x}": "" for number in range(3)}
        assert known_in(told) == Known((), left_out=3)


class TestIdentities:
    def test_a_hash_is_the_same_for_the_same_identity_and_key_alone(self) -> None:
        assert IDENTITIES.shown("ada") == IDENTITIES.shown("ada")
        labels = {IDENTITIES.shown("ada"), IDENTITIES.shown("Ada"), Identities("hashed", b"another key").shown("ada")}
        assert len(labels) == 3
        assert all(label and len(label) == len("person-") + 12 for label in labels)

    @pytest.mark.parametrize("mode", ["hashed", "none"])
    @pytest.mark.parametrize("nobody", [None, "", 7, ["ada"]])
    def test_no_identity_has_no_hash(self, mode: Any, nobody: Any) -> None:
        assert Identities(mode, b"key").shown(nobody) is None

    def test_none_tells_nothing(self) -> None:
        assert Identities("none", b"key").shown("ada") is None

    def test_without_a_key_the_hashes_change_with_the_first_token(self, redis_url: str) -> None:
        def shown(**variables: str) -> str | None:
            return Identities.from_settings(load(settings_for(redis_url, **variables))).shown("ada")

        assert shown() == shown(TWILIO_AUTH_TOKEN=f"{AUTH_TOKEN},another") != shown(TWILIO_AUTH_TOKEN="another")
        key = "a key of our own"
        assert shown(IDENTITY_KEY=key) == shown(IDENTITY_KEY=key, TWILIO_AUTH_TOKEN="another") != shown()

    def test_the_key_is_in_no_representation(self) -> None:
        assert "a key" not in repr(IDENTITIES)


class TestReport:
    def test_participants_are_in_the_report(self) -> None:
        data = json.loads(make_report(summary_with(unique_participants=1), participants=[RAW]).to_json())["data"]
        VALIDATOR.validate(json.loads(make_report(participants=[RAW]).to_json()))
        [one] = data["participants"]
        assert (one["identity"], one["error_code"]) == (IDENTITIES.shown(IDENTITY), 53001)
        assert data["completeness"]["missing"] == []

    def test_nothing_was_asked_and_nothing_is_missing(self) -> None:
        data = make_report().data
        assert (data.participants, data.completeness.missing) == (None, ())

    def test_participants_that_twilio_did_not_give_are_missing(self) -> None:
        assert make_report(participants_missing=True).data.completeness.missing == ("participants",)
        assert make_report(summary_with(unique_participants=2), participants=[RAW]).data.completeness.missing == (
            "participants",
        )

    @pytest.mark.parametrize("identity", ["x" * 256, "\U0001f600" * 256], ids=["ascii", "wide"])
    @pytest.mark.parametrize("note", ["x" * 2500, "x" * 60_000], ids=["ordinary", "long summary"])
    def test_a_report_that_is_too_long_leaves_out_those_without_trouble(self, identity: str, note: str) -> None:
        report = full_report(identity, note=note)
        body = report.to_json()
        assert len(body) <= LARGEST
        VALIDATOR.validate(json.loads(body))
        data = json.loads(body)["data"]
        left_out = {(entry["path"], entry["kind"]): entry["count"] for entry in data["left_out"]}
        assert len(data["participants"]) + left_out["participants", "items"] == 130
        assert [one["error_code"] for one in data["participants"]][:3] == [CODE] * 3
        if len(note) == 2500:
            assert len(data["participants"]) >= FEWEST_PARTICIPANTS
            assert set(left_out) == {("participants", "items")}, "nothing else is shortened for their sake"

    def test_as_many_stay_as_there_is_room_for(self) -> None:
        body = full_report("x" * 256).to_json()
        assert len(body) > LARGEST - 1000

    def test_slack_shows_the_first_three_problems_with_their_errors(self) -> None:
        found = [{**RAW, "error_code": 53000 + number} for number in range(1, 5)]
        report = make_report(summary_with(unique_participants=4), participants=found)
        blocks = slack_report.message(report)["blocks"]
        shown = [block["elements"] for block in blocks if len(block.get("elements", ())) == 2]
        who = IDENTITIES.shown(IDENTITY)
        assert [text["text"] for text, _ in shown] == [
            f"{who} · left after 10 min · signaling connection error · us1"
        ] * 3
        links = [link["text"] for _, link in shown]
        assert links == [
            f"<https://www.twilio.com/docs/api/errors/{code}|error {code}>" for code in (53001, 53002, 53003)
        ]
        assert slack_report.text_message(report)["text"].count(f"{who} · ") == 3

    def test_an_identity_that_is_shown_is_text_and_nothing_else(self) -> None:
        one = participant({**RAW, "participant_identity": "<!channel> *x*"}, identities=Identities("full", b""))
        report = make_report(participants=[])
        report = report.model_copy(update={"data": report.data.model_copy(update={"participants": (one,)})})
        [texts] = [
            block["elements"] for block in slack_report.message(report)["blocks"] if len(block.get("elements", ())) == 2
        ]
        assert texts[0]["type"] == "plain_text"
        assert texts[0]["text"].startswith("&lt;!channel&gt; *x* · ")

    def test_slack_says_that_they_are_missing(self) -> None:
        assert "The participants are missing." in slack_report.message(make_report(participants_missing=True))["text"]
        assert "missing" not in slack_report.message(make_report())["text"]
        some = make_report(summary_with(unique_participants=2), participants=[RAW])
        assert "missing" not in slack_report.message(some)["text"], "events alone told of them"


def full_report(identity: str, *, note: str = "") -> RoomReport:
    """A report of 130 participants with identities of this length, of whom three had trouble."""
    found = [
        participant({**RAW, "error_code": CODE if number in (5, 90, 129) else 0, "end_reason": ""}, number)
        for number in range(130)
    ]
    known = keep(one.model_copy(update={"identity": identity}) for one in found)
    report = make_report(summary_with(unique_participants=130, note=note), participants=[])
    left_out = [{"path": "participants", "kind": "items", "count": known.left_out}]
    data = report.data.model_validate({**vars(report.data), "participants": known.participants, "left_out": left_out})
    return report.model_copy(update={"data": data})


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    return environment | {"PARTICIPANTS": "1"}


def paths(sandbox: Sandbox) -> list[str]:
    """What Twilio was asked, behind the SID."""
    return [exchange.path.partition(SID)[2] for exchange in sandbox.twilio.history()]


def report_in(sandbox: Sandbox) -> dict[str, Any]:
    """What the only report says."""
    [report] = [found for found in sandbox.receiver.reports() if found["type"] == "room.report"]
    VALIDATOR.validate(report)
    data: dict[str, Any] = report["data"]
    return data


class TestStep:
    def test_participants_are_fetched_between_the_summary_and_the_deliveries(
        self, driver: Driver, sandbox: Sandbox
    ) -> None:
        sandbox.twilio.add_room(SID, unique_participants=4, people=[{}, {"error_code": CODE}])
        driver.open()
        room = driver.finish()
        assert (room.state, [step.name for step in room.steps]) == (
            "delivered",
            ["summary", "participants", "slack", "webhook"],
        )
        assert paths(sandbox) == ["", "/Participants"]
        data = report_in(sandbox)
        served = {
            one["participant_sid"]: one
            for one in participants(SID, account_sid=ACCOUNT_SID, ended=datetime.now(UTC), people=4)
        }
        assert {one["participant_sid"] for one in data["participants"]} == set(served)
        assert data["participants"][0]["error_url"].endswith(f"/{CODE}")
        assert data["completeness"] == {"state": "complete", "reason": None, "missing": ["callback"], "unreadable": []}
        assert "media_errors" in room.verdicts
        assert sum(day.rooms for day in driver.ledger.days().values()) == 1
        [message] = sandbox.slack.messages()
        assert f"error {CODE}" in json.dumps(message)

    def test_one_job_fetches_both_and_makes_a_delivery(self, driver: Driver, sandbox: Sandbox) -> None:
        driver.open()
        assert driver.run_queued() == 2
        assert driver.room().state == "delivered"

    def test_without_the_setting_nobody_asks_and_the_row_has_no_word_of_it(
        self, drive: Drive, sandbox: Sandbox
    ) -> None:
        driver = drive(PARTICIPANTS="0")
        driver.open()
        driver.finish()
        assert paths(sandbox) == [""]
        row = driver.connection.hgetall(f"room-reports:room:{SID}")
        assert not [name for name in row if b"articipant" in name]
        assert report_in(sandbox)["participants"] is None

    def test_every_page_is_read_up_to_a_bound_and_the_rest_is_counted(self, driver: Driver, sandbox: Sandbox) -> None:
        sandbox.twilio.add_room(SID, unique_participants=700, people=[{}] * 699 + [{"error_code": CODE}])
        driver.open()
        driver.finish()
        assert paths(sandbox) == ["", "/Participants", "/Participants"]
        data = report_in(sandbox)
        left_out = sum(entry["count"] for entry in data["left_out"] if entry["path"] == "participants")
        assert len(data["participants"]) + left_out == 700
        assert data["participants"][0]["error_code"], "the one on the second page"
        assert "participants" not in data["completeness"]["missing"]

    def test_pages_that_are_not_read_are_missing(self, driver: Driver, sandbox: Sandbox) -> None:
        sandbox.twilio.add_room(SID, unique_participants=1100)
        driver.open()
        driver.finish()
        assert len(paths(sandbox)) == 3
        assert "participants" in report_in(sandbox)["completeness"]["missing"]

    def test_a_page_elsewhere_is_not_followed(self, driver: Driver, sandbox: Sandbox) -> None:
        sandbox.twilio.script(Answer(fields={"next_page_url": sandbox.url + ":1/twilio"}), key=LIST)
        driver.open()
        room = driver.finish()
        assert driver.outcomes("participants") == [("partial", "redirect")]
        assert (room.state, len(paths(sandbox))) == ("partial", 2)
        data = report_in(sandbox)
        assert (data["participants"], data["completeness"]["state"]) == (None, "complete")
        assert data["completeness"]["missing"] == ["callback", "participants"]

    def test_a_room_of_which_twilio_knows_no_participants_has_none(self, driver: Driver, sandbox: Sandbox) -> None:
        sandbox.twilio.add_room(SID, unique_participants=0)
        sandbox.twilio.script(answers.not_found(), key=LIST)
        driver.open()
        assert driver.finish().state == "delivered"
        data = report_in(sandbox)
        assert (data["participants"], data["completeness"]["missing"]) == ([], ["callback"])

    @pytest.mark.parametrize(
        ("answer", "reason"),
        [
            (answers.status(503), "server_error"),
            (answers.too_many("1"), "rate_limited"),
            (answers.status(200, "[]"), "bad_body"),
            (answers.status(200, '{"participants": {}, "meta": {}}'), "bad_body"),
            (answers.status(200, '{"participants": [1]}'), "bad_body"),
            (answers.status(200, '{"participants": [{"room_sid": "RM1"}]}'), "wrong_room"),
            (answers.status(200, '{"participants": [{"account_sid": "AC1"}]}'), "wrong_room"),
            (Answer(manner="cut"), "truncated"),
        ],
    )
    def test_a_failure_that_passes_is_tried_again(
        self, driver: Driver, sandbox: Sandbox, answer: Answer, reason: str
    ) -> None:
        sandbox.twilio.script(answer, key=LIST)
        driver.open()
        assert driver.finish().state == "delivered"
        assert driver.outcomes("participants") == [("waiting", reason), ("complete", None)]
        assert len(driver.outcomes("summary")) == 1
        assert report_in(sandbox)["participants"]

    def test_refused_credentials_hold_twilio_and_heal(self, driver: Driver, sandbox: Sandbox) -> None:
        sandbox.twilio.script(answers.unauthorized(), key=LIST)
        other = room_sid(1, 2)
        driver.open()
        driver.run_queued()
        [hold] = driver.ledger.holds()
        assert (hold.lane, hold.reason) == ("twilio", "unauthorized")
        driver.open(other)
        driver.run_queued()
        assert len(paths(sandbox)) == 2, "another room does not ask either"
        assert driver.finish().state == driver.finish(other).state == "delivered"
        assert driver.ledger.holds() == []

    def test_after_the_deadline_the_report_goes_out_without_them(self, drive: Drive, sandbox: Sandbox) -> None:
        driver = drive(PARTICIPANTS_DEADLINE="0.3")
        sandbox.twilio.script(answers.status(500).forever(), key=LIST)
        driver.open()
        assert driver.finish().state == "partial"
        assert driver.outcomes("participants")[-1] == ("partial", "server_error")
        assert report_in(sandbox)["completeness"]["missing"] == ["callback", "participants"]
        assert any("participants are missing" in message["text"] for message in sandbox.slack.messages())

    def test_a_partial_summary_is_followed_by_participants_too(self, driver: Driver, sandbox: Sandbox) -> None:
        sandbox.twilio.script(answers.timed_out(), key=SID)
        driver.open()
        assert driver.finish().state == "partial"
        assert report_in(sandbox)["participants"]

    def test_a_step_that_was_begun_is_finished_without_the_setting(
        self, driver: Driver, drive: Drive, sandbox: Sandbox
    ) -> None:
        sandbox.twilio.script(answers.status(500), key=LIST)
        driver.open()
        driver.run_queued()
        assert [step.state for step in driver.room().steps] == ["complete", "waiting"]
        assert drive(PARTICIPANTS="0").finish().state == "delivered"

    def test_a_worker_that_dies_is_followed_by_another_attempt(self, driver: Driver) -> None:
        driver.open()
        claim = driver.ledger.begin(SID, "summary", 1)
        assert claim is not None
        done = Outcome("complete", fields={"summary": "{}"}, opens=("participants",))
        finished = driver.ledger.finish(claim, done, took=0, go_on=True)
        assert finished is not None and finished.following is not None
        assert finished.following.step == "participants"
        assert driver.ledger.release(SID, "participants", 1)
        assert driver.finish().state == "delivered"

    def test_events_that_told_of_everybody_save_the_request(self, driver: Driver, sandbox: Sandbox) -> None:
        people = participants(SID, account_sid=ACCOUNT_SID, ended=datetime.now(UTC))
        driver.open()
        for raw in people:
            found = read_participant(raw, driver.service.identities)
            assert found is not None
            driver.connection.hset(f"room-reports:room:{SID}", f"participant.{found.participant_sid}", found.to_row())
        driver.finish()
        assert paths(sandbox) == [""]
        assert len(report_in(sandbox)["participants"]) == len(people)

    def test_a_resend_repeats_no_request(self, driver: Driver, sandbox: Sandbox) -> None:
        driver.open()
        driver.finish()
        assert driver.ledger.resend(SID, ["webhook"], who="test") == ["webhook"]
        driver.finish()
        assert len(paths(sandbox)) == 2
        first, second = sandbox.receiver.reports()
        assert first["data"]["participants"] == second["data"]["participants"]


@pytest.mark.parametrize("mode", ["hashed", "none", "full"])
def test_identities_go_no_further_than_the_setting_says(
    drive: Drive, sandbox: Sandbox, mode: str, capfd: pytest.CaptureFixture[str]
) -> None:
    driver = drive(IDENTITIES=mode, LOG_LEVEL="DEBUG")
    people = [{"participant_identity": IDENTITY, "error_code": CODE, "publisher_info": {"name": "js", "for": IDENTITY}}]
    sandbox.twilio.add_room(SID, unique_participants=2, people=people)
    sandbox.twilio.script(answers.status(500), key=LIST)
    driver.open()
    driver.finish()
    told = "".join(
        exchange.body or "" for service in (sandbox.slack, sandbox.receiver) for exchange in service.history()
    )
    assert (IDENTITY in told) == (mode == "full")
    assert (IDENTITY in kept(driver.connection)) == (mode == "full")
    assert IDENTITY not in "".join(capfd.readouterr())
    [first, *_] = report_in(sandbox)["participants"]
    assert first["identity"] == driver.service.identities.shown(IDENTITY)
    assert (first["identity"] is None) == (mode == "none")


def kept(connection: Any) -> str:
    """Everything in Redis, readable."""
    readers: dict[bytes, Callable[[bytes], object]] = {
        b"hash": connection.hgetall,
        b"set": connection.smembers,
        b"string": connection.get,
        b"list": lambda key: connection.lrange(key, 0, -1),
        b"zset": lambda key: connection.zrange(key, 0, -1),
    }
    return "".join(str(readers[connection.type(key)](key)) for key in connection.scan_iter())
