"""`DESTINATIONS_FILE`: what may stand in it, all problems at once, and no secret in any of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from config.destinations import PARTS, VERDICTS, Endpoint, SlackChannel
from config.loading import SettingsError, load
from config.settings import Settings
from room_reports.lanes import lanes_of, rates
from room_reports.reports import ReportData
from room_reports.verdicts import RULES
from sandbox.options import ACCOUNT_SID, AUTH_TOKEN, WEBHOOK_SECRET

ROOT = Path(__file__).parent.parent
CANARY = "s3cr3t-canary"
SLACK = f"https://hooks.slack.com/services/T0/B0/{CANARY}"
ENDPOINT = f"https://reports.example.com/{CANARY}-path"
VARIABLES = {
    "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
    "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
    "SLACK_OPERATIONS_URL": SLACK,
    "SLACK_BERLIN_URL": f"{SLACK}-berlin",
    "APP_TOKEN": f"xoxb-{CANARY}",
    "SLACK_SUPPORT_TOKEN": f"xoxb-{CANARY}",
    "ARCHIVE_URL": ENDPOINT,
    "ARCHIVE_SECRET": WEBHOOK_SECRET,
    "BILLING_URL": f"{ENDPOINT}-billing",
    "BILLING_SECRET": WEBHOOK_SECRET,
}
OPERATIONS = '[destinations.operations]\nkind = "slack"\nurl = "env:SLACK_OPERATIONS_URL"\n'
APP = '[destinations.app]\nkind = "slack_app"\ntoken = "env:APP_TOKEN"\nchannel = "C0123456789"\n'
ARCHIVE = '[destinations.archive]\nkind = "webhook"\nurl = "env:ARCHIVE_URL"\nsecret = "env:ARCHIVE_SECRET"\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "destinations.toml"


def load_with(path: Path, text: str, variables: Mapping[str, str] = VARIABLES) -> Settings:
    path.write_text(text, encoding="utf-8")
    return load({**variables, "DESTINATIONS_FILE": str(path)})


def problems_with(path: Path, text: str, **variables: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load_with(path, text, VARIABLES | variables)
    assert CANARY not in str(caught.value)
    assert caught.value.__cause__ is None and caught.value.__context__ is None
    return caught.value.problems


class TestWhole:
    def test_the_sample_loads_and_the_documentation_shows_it(self) -> None:
        sample = ROOT / "config/destinations.sample.toml"
        plan = load({**VARIABLES, "DESTINATIONS_FILE": str(sample)}).plan
        assert list(plan.destinations) == ["operations", "berlin", "support", "archive", "billing"]
        assert [rule.name for rule in plan.rules] == [
            "test rooms",
            "everything is billed",
            "trouble",
            "clinic",
            "nobody there",
        ]
        berlin, billing = plan.destinations["berlin"], plan.destinations["billing"]
        assert isinstance(berlin, SlackChannel) and isinstance(billing, Endpoint)
        assert (berlin.timezone.key, berlin.rate) == ("Europe/Berlin", 0.5)
        assert (billing.format, billing.fields[1]) == ("cloudevents", "summary.duration_sec")
        shown = (ROOT / "docs/destinations.md").read_text(encoding="utf-8")
        assert f"```toml\n{sample.read_text(encoding='utf-8')}```" in shown

    def test_every_destination_is_a_lane_with_its_rate(self, path: Path) -> None:
        settings = load_with(path, f"{OPERATIONS}rate = 0.5\n{ARCHIVE}", VARIABLES | {"SLACK_WEBHOOK_URL": SLACK})
        assert rates(settings) == {"slack": 1.0, "operations": 0.5, "archive": 0.0}
        assert [lane.name for lane in lanes_of(settings)] == ["twilio", "slack", "operations", "archive"]

    def test_without_it_nothing_is_decided_by_rules(self) -> None:
        settings = load(VARIABLES | {"SLACK_WEBHOOK_URL": SLACK})
        assert not settings.plan.routes
        assert list(rates(settings)) == ["slack"]

    def test_slack_app_has_lane_and_rate_of_its_own(self, path: Path) -> None:
        settings = load_with(path, f'{APP}rate = 0.5\ntimezone = "Europe/Berlin"\n')
        [lane] = [lane for lane in lanes_of(settings) if lane.name == "app"]
        assert (lane.rate, lane.early) == (0.5, True)
        assert settings.outgoing_urls["SLACK_API_URL"] == "https://slack.com/api"
        assert "SLACK_API_URL" not in load_with(path, OPERATIONS).outgoing_urls

    def test_slack_app_waits_for_the_rules(self, path: Path) -> None:
        app = VARIABLES | {"SLACK_BOT_TOKEN": "xoxb-1-2", "SLACK_CHANNEL": "C0123456789"}
        for text, early in ((OPERATIONS + APP, ["slack_app", "app"]), (f'default = "slack_app"\n{APP}', [])):
            assert [lane.name for lane in lanes_of(load_with(path, text, app)) if lane.early] == early

    def test_secrets_may_be_in_files(self, path: Path, tmp_path: Path) -> None:
        secret = tmp_path / "secret"
        secret.write_text(f"{WEBHOOK_SECRET},{WEBHOOK_SECRET}\n", encoding="utf-8")
        archive = load_with(path, ARCHIVE.replace("env:ARCHIVE_SECRET", f"file:{secret}")).plan.destinations["archive"]
        assert isinstance(archive, Endpoint)
        assert [one.get_secret_value() for one in archive.secret] == [WEBHOOK_SECRET] * 2

    def test_its_secrets_are_masked_and_shown_by_nothing(self, path: Path) -> None:
        settings = load_with(path, OPERATIONS + APP + ARCHIVE)
        for secret in (SLACK, f"xoxb-{CANARY}", ENDPOINT, WEBHOOK_SECRET, f"/services/T0/B0/{CANARY}"):
            assert secret in settings.secrets
        for shown in (repr(settings), repr(settings.plan), str(settings.plan), settings.plan.model_dump_json()):
            assert CANARY not in shown
        assert settings.outgoing_urls["destinations.archive.url"] == ENDPOINT

    def test_what_can_be_named_is_what_there_is(self) -> None:
        assert set(PARTS) == set(ReportData.model_fields)
        assert set(VERDICTS) == {rule.code for rule in RULES}


class TestProblems:
    def test_all_come_at_once_with_those_of_the_variables(self, path: Path) -> None:
        text = (
            f'default = "nobody"\noperators = ["archive"]\n{OPERATIONS}rate = -1\n'
            '[[rules]]\nto = ["operations", "archiv"]\nwhen = {severity = "fatal", verdict = "nobody"}\n'
        )
        assert problems_with(path, text, PORT="many") == [
            "DESTINATIONS_FILE: destinations.operations.rate: input should be greater than or equal to 0",
            "DESTINATIONS_FILE: rules.1.when.verdict.1: is the code of no verdict: docs/verdicts.md lists them",
            "DESTINATIONS_FILE: rules.1.when.severity: input should be 'info', 'notice' or 'warning'",
            "DESTINATIONS_FILE: default: there is no destination nobody",
            "DESTINATIONS_FILE: operators: there is no destination archive",
            "DESTINATIONS_FILE: rules.1.to: there is no destination archiv",
            "PORT: input should be a valid integer, unable to parse string as an integer",
        ]

    @pytest.mark.parametrize(
        ("line", "problem"),
        [
            (f'url = "{SLACK}"', "url: must be env:NAME or file:PATH"),
            ('url = "env:NOT_SET"', "url: the variable that it names is not set"),
            (f'url = "file:/nowhere/{CANARY}"', "url: the file that it names cannot be read"),
            ('url = "env:HTTP"', "url: must begin with https://"),
            ('url = "env:OTHER_HOST"', "url: the host must be hooks.slack"),
            ('url = "env:ARCHIVE_SECRET"', "url: must be a URL with https"),
            ("url = 5", "url: must be env:NAME or file:PATH"),
            (f'url = "env:SLACK_OPERATIONS_URL"\ntimezone = "{CANARY}"', "timezone: must be a time zone"),
            ('url = "env:SLACK_OPERATIONS_URL"\ntimezone = "../etc/passwd"', "timezone: must be a time zone"),
            (f'url = "env:SLACK_OPERATIONS_URL"\n"{CANARY}" = 1', "…: there is no such key"),
            ('url = "env:SLACK_OPERATIONS_URL"\nsecret = "env:ARCHIVE_SECRET"', "secret: there is no such key"),
        ],
    )
    def test_slack(self, path: Path, line: str, problem: str) -> None:
        variables = {"HTTP": f"http://hooks.slack.com/{CANARY}", "OTHER_HOST": f"https://example.com/{CANARY}"}
        [found] = problems_with(path, f'[destinations.operations]\nkind = "slack"\n{line}\n', **variables)
        assert found.startswith(f"DESTINATIONS_FILE: destinations.operations.{problem}")

    @pytest.mark.parametrize(
        ("line", "problem"),
        [
            (f'token = "xoxb-{CANARY}"', "token: must be env:NAME or file:PATH"),
            ('token = "env:SLACK_OPERATIONS_URL"', "token: a bot token begins with xoxb-"),
            ('token = "env:TWO_WORDS"', "token: holds an empty entry, white space"),
            ("", "token: not set, and there is no default"),
            (f'token = "env:APP_TOKEN"\nurl = "{SLACK}"', "url: there is no such key"),
            (f'token = "env:APP_TOKEN"\ntemplate = "file:{CANARY}"', "template: the file that it names"),
        ],
    )
    def test_slack_app(self, path: Path, line: str, problem: str) -> None:
        text = f'[destinations.app]\nkind = "slack_app"\nchannel = "C0123456789"\n{line}\n'
        [found] = problems_with(path, text, TWO_WORDS=f"xoxb- {CANARY}")
        assert found.startswith(f"DESTINATIONS_FILE: destinations.app.{problem}")

    @pytest.mark.parametrize("channel", [f'"#{CANARY}"', '""', "5"])
    def test_channel_of_a_slack_app(self, path: Path, channel: str) -> None:
        [found] = problems_with(path, APP.replace('"C0123456789"', channel))
        assert found.startswith("DESTINATIONS_FILE: destinations.app.channel: ")

    @pytest.mark.parametrize(
        ("line", "problem"),
        [
            ("", "secret: not set, and there is no default"),
            (f'secret = "{WEBHOOK_SECRET}"', "secret: must be env:NAME or file:PATH"),
            ('secret = "env:ARCHIVE_URL"', "secret.1: each secret is whsec_"),
            ('secret = "env:ARCHIVE_SECRET"\nformat = "xml"', "format: input should be 'standard' or 'cloudevents'"),
            (f'secret = "env:ARCHIVE_SECRET"\nfields = ["{CANARY}"]', "fields.1: must begin with a part"),
        ],
    )
    def test_webhook(self, path: Path, line: str, problem: str) -> None:
        [found] = problems_with(path, f'[destinations.archive]\nkind = "webhook"\nurl = "env:ARCHIVE_URL"\n{line}\n')
        assert found.startswith(f"DESTINATIONS_FILE: destinations.archive.{problem}")

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("", "destinations: none"),
            ("= 1", "it is not TOML (line 1, column 1)"),
            (OPERATIONS.replace("slack", "teams"), "destinations.operations.kind: must be slack, slack_app or webhook"),
            (
                OPERATIONS.replace('kind = "slack"', ""),
                "destinations.operations.kind: must be slack, slack_app or webhook",
            ),
            (OPERATIONS.replace(".operations", ".slack"), "destinations.slack: this name means something else"),
            (OPERATIONS.replace(".operations", ".twilio_eu"), "destinations.twilio_eu: this name means something else"),
            (OPERATIONS.replace(".operations", f".{CANARY}"), "destinations.…: a name is a small letter and then"),
            (OPERATIONS + "[[rules]]\n", "rules.1.to: not set"),
            (OPERATIONS + '[[rules]]\nto = "slack"\n', "rules.1.to: there is no destination slack"),
            (OPERATIONS + '[[rules]]\nto = ["operations", "operations"]\n', "rules.1.to: names a destination twice"),
            (OPERATIONS + '[[rules]]\nto = []\nwhen = {room = "x"}\n', "rules.1.when.room: there is no such key"),
            (OPERATIONS + "[[rules]]\nto = []\nwhen = {room_name = []}\n", "rules.1.when.room_name: value should have"),
            (
                OPERATIONS + '[[rules]]\nto = []\nwhen = {account = "AC1"}\n',
                "rules.1.when.account: neither an account",
            ),
        ],
    )
    def test_file(self, path: Path, text: str, problem: str) -> None:
        [found] = problems_with(path, text)
        assert found.startswith(f"DESTINATIONS_FILE: {problem}")

    def test_it_may_not_be_there(self, tmp_path: Path) -> None:
        for path, reason in ((tmp_path / CANARY, "No such file or directory"), (tmp_path, "Is a directory")):
            with pytest.raises(SettingsError) as caught:
                load({**VARIABLES, "DESTINATIONS_FILE": str(path)})
            assert caught.value.problems == [f"DESTINATIONS_FILE: cannot be read ({reason})"]

    def test_the_sandbox_needs_leave(self, path: Path) -> None:
        variables: dict[str, Any] = {"SLACK_OPERATIONS_URL": "http://10.1.2.3:9/slack/services/T0/B0/x"}
        [found] = problems_with(path, OPERATIONS, **variables)
        assert "must begin with https://" in found
        for yes in ("1", "On", "t", "TRUE", "y", "yes"):
            load_with(path, OPERATIONS, VARIABLES | variables | {"ALLOW_PRIVATE_DESTINATIONS": yes})
