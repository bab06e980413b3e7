"""Several Twilio accounts: each with its own tokens and credentials, and none in the way of another."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from config.destinations import NO_PLAN
from config.loading import SettingsError, load
from config.settings import Settings
from room_reports.chores import reconcile_once
from room_reports.lanes import accounts_of, lanes_of
from room_reports.ledger import Hold
from room_reports.routing import route, traits_of
from room_reports.web.ops import wording
from sandbox.client import Sandbox
from sandbox.options import ACCOUNT_SID, API_KEY, API_SECRET
from sandbox.summaries import room_sid
from tests.conftest import Drive
from tests.support.driver import Driver
from tests.support.reports import make_report

CLINIC = "AC" + "c1" * 16
CLINIC_TOKEN = "clinic-token-of-32-characters-00"
CLINIC_KEY = "SK" + "c1" * 16
CLINIC_SECRET = "clinic-api-secret"
VARIABLES = {"CLINIC_TOKEN": CLINIC_TOKEN, "CLINIC_SECRET": CLINIC_SECRET}
ACCOUNT = f'[accounts.clinic]\nsid = "{CLINIC}"\nauth_token = "env:CLINIC_TOKEN"\n'
WITH_KEY = f'{ACCOUNT}api_key = "{CLINIC_KEY}"\napi_secret = "env:CLINIC_SECRET"\n'
OURS, THEIRS = room_sid(1, 1), room_sid(1, 2)
THEIR_ROOM = {"room_sid": THEIRS, "account_sid": CLINIC, "people": [{"account_sid": CLINIC}] * 20}


def basic(key: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{key}:{secret}".encode()).decode()


@pytest.fixture
def environment(environment: dict[str, str], sandbox: Sandbox, tmp_path: Path) -> dict[str, str]:
    path = tmp_path / "destinations.toml"
    path.write_text(WITH_KEY, encoding="utf-8")
    let_in(sandbox, clinic=True)
    sandbox.twilio.add_rooms([{"room_sid": OURS}, THEIR_ROOM])
    return environment | VARIABLES | {"DESTINATIONS_FILE": str(path)}


def let_in(sandbox: Sandbox, *, clinic: bool) -> None:
    """Has Twilio take the credentials of the clinic or not, and always ours."""
    sandbox.configure(api_keys=((API_KEY, API_SECRET), *(((CLINIC_KEY, CLINIC_SECRET),) if clinic else ())))


def open_both(driver: Driver) -> None:
    driver.open(OURS)
    driver.open(THEIRS, account_sid=CLINIC)


def counted(driver: Driver) -> dict[str, tuple[int, int]]:
    """Unfinished and overdue steps of each lane that has any."""
    return {lane: (total, overdue) for lane, (total, overdue, _) in driver.ledger.due().items() if total}


def settings_with(environment: dict[str, str], text: str) -> Settings:
    Path(environment["DESTINATIONS_FILE"]).write_text(text, encoding="utf-8")
    return load(environment)


class TestSteps:
    def test_each_is_asked_with_its_own_credentials(self, driver: Driver, sandbox: Sandbox) -> None:
        open_both(driver)
        assert {driver.finish(sid).state for sid in (OURS, THEIRS)} == {"delivered"}
        for sid, credentials in ((OURS, (API_KEY, API_SECRET)), (THEIRS, (CLINIC_KEY, CLINIC_SECRET))):
            asked = [exchange for exchange in sandbox.twilio.history(sid) if exchange.room_sid == sid]
            assert [(exchange.headers or {})["authorization"] for exchange in asked] == [basic(*credentials)]
            [report] = sandbox.receiver.reports(sid)
            assert report["data"]["account_sid"] == (ACCOUNT_SID if sid == OURS else CLINIC)

    def test_wrong_credentials_hold_one_account_and_heal(self, driver: Driver, sandbox: Sandbox) -> None:
        let_in(sandbox, clinic=False)
        open_both(driver)
        assert driver.finish(OURS).state == "delivered"
        driver.drive(lambda: [hold.lane for hold in driver.ledger.holds()] == ["twilio-clinic"])
        assert driver.room(THEIRS).state == "open"
        due = driver.ledger.due()
        assert (due["twilio"][0], due["twilio-clinic"][0]) == (0, 1)
        let_in(sandbox, clinic=True)
        assert driver.finish(THEIRS).state == "delivered"
        assert driver.ledger.holds() == []

    def test_a_lost_attempt_comes_back_in_its_own_lane(self, driver: Driver) -> None:
        open_both(driver)
        assert driver.ledger.begin(THEIRS, "summary", 1) is not None
        assert driver.ledger.release(THEIRS, "summary", 1)
        [step] = driver.room(THEIRS).steps
        assert step.due is not None
        assert counted(driver) == {"twilio": (1, 0), "twilio-clinic": (1, 1)}
        driver.ledger.dispatch()
        assert counted(driver) == {"twilio": (1, 0), "twilio-clinic": (1, 0)}
        assert driver.finish(THEIRS).state == "delivered"

    def test_participants_are_asked_for_in_the_same_lane(self, drive: Drive, sandbox: Sandbox) -> None:
        driver = drive(PARTICIPANTS="1")
        open_both(driver)
        assert {driver.finish(sid).state for sid in (OURS, THEIRS)} == {"delivered"}
        used = {(exchange.headers or {})["authorization"] for exchange in sandbox.twilio.history(THEIRS)}
        assert used == {basic(CLINIC_KEY, CLINIC_SECRET)}

    def test_room_of_an_account_that_is_gone_from_the_file_waits(
        self, environment: dict[str, str], driver: Driver, drive: Drive
    ) -> None:
        open_both(driver)
        driver.ledger.dispatch()
        Path(environment["DESTINATIONS_FILE"]).write_text("", encoding="utf-8")
        without = drive()
        assert without.finish(OURS).state == "delivered"
        held = [("twilio-clinic", "not_configured")]
        without.drive(lambda: [(hold.lane, hold.reason) for hold in without.ledger.holds()] == held)
        assert without.room(THEIRS).state == "open"

    def test_an_event_opens_the_room_in_the_lane_of_its_account(self, driver: Driver, sandbox: Sandbox) -> None:
        driver.ledger.note_room_event(
            room_sid=THEIRS,
            account_sid=CLINIC,
            room_name="daily",
            ended=datetime.now(UTC),
            summary="",
            issues="",
            request_id="request-1",
        )
        assert driver.room(THEIRS).account_lane == "twilio-clinic"
        assert driver.ledger.due()["twilio-clinic"][0] == 1
        assert driver.finish(THEIRS).state == "delivered"


class TestReconciling:
    def test_each_account_is_reconciled_by_itself(self, driver: Driver, sandbox: Sandbox) -> None:
        let_in(sandbox, clinic=False)
        for lane, insights in driver.service.insights.items():
            reconcile_once(driver.ledger, insights, lane=lane, every=3600)
        assert driver.ledger.reconciled_at(lane="twilio") is not None
        assert driver.ledger.reconciled_at(lane="twilio-clinic") is None
        assert driver.ledger.reconciled_at() is None
        # Twilio's own list would hold one account's rooms; the sandbox has one for all.
        assert driver.room(THEIRS).account_lane == "twilio-clinic"
        assert driver.room(OURS).account_lane == "twilio"
        let_in(sandbox, clinic=True)
        reconcile_once(driver.ledger, driver.service.insights["twilio-clinic"], lane="twilio-clinic", every=3600)
        last = driver.ledger.reconciled_at()
        assert last is not None
        assert last == driver.ledger.reconciled_at(lane="twilio")
        assert datetime.now(UTC) - last < timedelta(minutes=1)


class TestSettings:
    def test_each_account_has_a_lane(self, environment: dict[str, str]) -> None:
        settings = load(environment)
        assert {lane: account.sid for lane, account in accounts_of(settings).items()} == {
            "twilio": ACCOUNT_SID,
            "twilio-clinic": CLINIC,
        }
        assert [lane.name for lane in lanes_of(settings)] == ["twilio", "twilio-clinic", "slack", "webhook"]
        assert settings.accounts["clinic"].credentials == (CLINIC_KEY, CLINIC_SECRET)
        assert settings_with(environment, ACCOUNT).accounts["clinic"].credentials == (CLINIC, CLINIC_TOKEN)

    def test_its_secrets_are_masked(self, environment: dict[str, str]) -> None:
        settings = load(environment)
        for secret in (CLINIC_TOKEN, CLINIC_SECRET, basic(CLINIC_KEY, CLINIC_SECRET).removeprefix("Basic ")):
            assert secret in settings.secrets
            assert secret not in repr(settings.accounts)

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            (ACCOUNT.replace(CLINIC, ACCOUNT_SID), "accounts.clinic.sid: this account is there already"),
            (ACCOUNT + ACCOUNT.replace(".clinic", ".other"), "accounts.other.sid: this account is there already"),
            (f'{ACCOUNT}api_key = "{CLINIC_KEY}"\n', "accounts.clinic: set both api_key and api_secret, or neither"),
            (ACCOUNT.replace("env:CLINIC_TOKEN", CLINIC_TOKEN), "accounts.clinic.auth_token: must be env:NAME"),
            (ACCOUNT.replace(".clinic", ".Clinic"), "accounts.…: a name is a small letter and then"),
            (
                f'{ACCOUNT}[[rules]]\nto = []\nwhen = {{account = "other"}}\n',
                "rules.1.when.account: neither",
            ),
        ],
    )
    def test_problems(self, environment: dict[str, str], text: str, problem: str) -> None:
        with pytest.raises(SettingsError) as caught:
            settings_with(environment, text)
        [found] = caught.value.problems
        assert found.startswith(f"DESTINATIONS_FILE: {problem}")
        assert CLINIC_TOKEN not in found

    def test_rules_may_name_an_account(self, environment: dict[str, str]) -> None:
        rules = '\n[[rules]]\nto = "slack"\nwhen = {account = "clinic"}\n[[rules]]\nto = "webhook"\n'
        plan = settings_with(environment, ACCOUNT + rules).plan
        report = make_report()
        theirs = report.model_copy(update={"data": report.data.model_copy(update={"account_sid": CLINIC})})
        assert route(plan, traits_of(theirs), ("slack", "webhook")).to == ("slack",)
        assert route(plan, traits_of(report), ("slack", "webhook")).to == ("webhook",)
        assert route(NO_PLAN, traits_of(theirs), ("slack", "webhook")).to == ("slack", "webhook")

    def test_operators_are_told_whose_credentials_they_are(self) -> None:
        hold = Hold("twilio-clinic", "unauthorized", "answered 401", datetime.now(UTC), datetime.now(UTC))
        assert wording.what_is_held(hold) == "Twilio for clinic is not asked for summaries"
        assert "accounts.clinic in DESTINATIONS_FILE" in wording.what_to_do(hold)
        assert "TWILIO_API_KEY" in wording.what_to_do(replace(hold, lane="twilio"))
