"""`flask destinations`: what there is, and which rule sends a room where."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from room_reports.ledger import Ledger, Outcome
from sandbox.client import Sandbox
from sandbox.options import OTHER_SLACK_CHANNEL, WEBHOOK_SECRET
from tests.cli.conftest import Run
from tests.cli.rooms import begin, finish, open_room, sid_of
from tests.support.reports import summary_with

FILE = """
default = []
[destinations.berlin]
kind = "slack"
url = "env:BERLIN_URL"
timezone = "Europe/Berlin"
[destinations.billing]
kind = "webhook"
url = "env:BILLING_URL"
secret = "env:BILLING_SECRET"
format = "cloudevents"
fields = ["derived"]
[[rules]]
name = "clinic"
when = { room_name = "clinic-*", severity = "notice" }
to = ["berlin", "slack"]
[[rules]]
when = { region = ["de1", "ie1"] }
to = "billing"
"""


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    path = tmp_path / "destinations.toml"
    path.write_text(FILE, encoding="utf-8")
    return {
        "DESTINATIONS_FILE": str(path),
        "BERLIN_URL": "https://hooks.slack.com/services/T0/B0/berlin-secret",
        "BILLING_URL": "https://billing.example.com/billing-secret",
        "BILLING_SECRET": WEBHOOK_SECRET,
    }


def test_list_shows_destinations_and_rules_but_no_secret(run: Run, variables: dict[str, str]) -> None:
    result = run("destinations", "list", **variables)
    assert result.exit_code == 0
    lines = [" ".join(line.split()) for line in result.output.splitlines()]
    assert "berlin slack https://hooks.slack.com/… 1 DESTINATIONS_FILE times in Europe/Berlin" in lines
    assert "billing webhook https://billing.example.com/… any DESTINATIONS_FILE cloudevents derived" in lines
    assert "rule 1 (clinic) room_name clinic-* and severity notice or worse berlin, slack stops" in lines
    assert "default no rule matches nowhere" in lines
    assert "secret" not in result.output


@pytest.fixture
def app(tmp_path: Path, sandbox: Sandbox) -> dict[str, str]:
    """The channel of a Slack app, in a file."""
    path = tmp_path / "app.toml"
    path.write_text(
        f'[destinations.clinic]\nkind = "slack_app"\ntoken = "env:APP_TOKEN"\nchannel = "{OTHER_SLACK_CHANNEL}"\n'
        'rate = 0.5\ntimezone = "Europe/Berlin"\n',
        encoding="utf-8",
    )
    given = sandbox.slack_app_environment
    return {
        "DESTINATIONS_FILE": str(path),
        "APP_TOKEN": given["SLACK_BOT_TOKEN"],
        "SLACK_API_URL": given["SLACK_API_URL"],
    }


def test_list_shows_the_channel_of_an_app(run: Run, app: dict[str, str], sandbox: Sandbox) -> None:
    result = run("destinations", "list", **app)
    line = f"clinic slack_app {sandbox.url}/… 0.5 DESTINATIONS_FILE {OTHER_SLACK_CHANNEL}, times in Europe/Berlin"
    assert line in [" ".join(line.split()) for line in result.output.splitlines()]
    assert app["APP_TOKEN"] not in result.output


def test_doctor_looks_at_an_app_and_sends_it_a_test(run: Run, app: dict[str, str], sandbox: Sandbox) -> None:
    checks = json.loads(run("doctor", "--json", "--send-test", **app).output)["checks"]
    found = {check["name"]: (check["level"], check["message"]) for check in checks}
    assert found["destinations.clinic"] == ("ok", f"room_reports of Sandbox reads {OTHER_SLACK_CHANNEL}")
    assert found["test: clinic"][0] == "ok" and "slack app" not in found
    assert [one["channel"] for one in sandbox.slack_api.messages()] == [OTHER_SLACK_CHANNEL]


@pytest.mark.parametrize(
    ("wrong", "remedy"),
    [("APP_TOKEN", "check destinations.clinic.token"), ("channel", "check destinations.clinic.channel")],
)
def test_doctor_says_where_what_is_wrong_with_an_app_stands(
    run: Run, app: dict[str, str], wrong: str, remedy: str
) -> None:
    path = Path(app["DESTINATIONS_FILE"])
    if wrong == "channel":
        path.write_text(path.read_text(encoding="utf-8").replace(OTHER_SLACK_CHANNEL, "C0000000000"), encoding="utf-8")
    else:
        app = {**app, wrong: "xoxb-of-nobody"}
    checks = json.loads(run("doctor", "--json", **app).output)["checks"]
    [found] = [check for check in checks if check["name"] == "destinations.clinic"]
    assert found["level"] == "fail" and remedy in found["remedy"]


def test_preview_shows_what_an_app_sends(run: Run, app: dict[str, str], ledger: Ledger) -> None:
    sid = open_room(ledger, name="clinic-7")
    document = json.loads(run("preview", sid, "--json", **app).output)
    assert "CET" in str(document["clinic"]) and "CET" not in str(document["slack"])
    assert "clinic, by its template and time zone" in run("preview", sid, **app).output


def test_list_without_a_file_says_that_everything_goes_everywhere(run: Run) -> None:
    document = json.loads(run("destinations", "list", "--json").output)
    assert [one["name"] for one in document["destinations"]] == ["slack", "webhook"]
    assert document["rules"] == [{"rule": "default", "when": "no rule matches", "to": "every destination", "then": ""}]


def test_check_explains_each_rule_and_each_destination(run: Run, variables: dict[str, str], tmp_path: Path) -> None:
    summary = tmp_path / "summary.json"
    summary.write_text(json.dumps(summary_with(room_name="clinic-7")), encoding="utf-8")
    result = run("destinations", "check", str(summary), **variables)
    assert result.exit_code == 0, result.output
    lines = [" ".join(line.split()) for line in result.output.splitlines()]
    assert lines == [
        "RULE MATCHES TO",
        "rule 1 (clinic) no: severity is none, below notice berlin, slack",
        "rule 2 yes billing",
        "",
        "→ billing, by rule 2",
        "not to slack: rule 1 (clinic): severity is none, below notice",
        "not to webhook: no rule names it",
        "not to berlin: rule 1 (clinic): severity is none, below notice",
    ]


def test_check_of_a_room_in_the_ledger(run: Run, variables: dict[str, str], ledger: Ledger) -> None:
    sid = open_room(ledger, name="clinic-\x1b[31m")
    begin(ledger, sid, "summary")
    document = json.loads(run("destinations", "check", sid, "--json", **variables).output)
    assert document["to"] == {"berlin": "rule 1 (clinic)", "slack": "rule 1 (clinic)"}
    assert document["rules"] == [
        {"rule": "rule 1 (clinic)", "matches": True, "because": None, "to": ["berlin", "slack"]}
    ]
    result = run("destinations", "check", sid, **variables | {"DESTINATIONS_FILE": ""})
    assert "→ slack, by default\n→ webhook, by default" in result.output
    assert "\x1b[31m" not in result.output


def test_check_says_where_nothing_goes(run: Run, variables: dict[str, str], tmp_path: Path) -> None:
    summary = tmp_path / "summary.json"
    summary.write_text(json.dumps(summary_with(media_region="us1")), encoding="utf-8")
    assert "→ nowhere, by default" in run("destinations", "check", str(summary), **variables).output


def test_doctor_looks_at_each_and_sends_each_a_test(run: Run, variables: dict[str, str], env: dict[str, str]) -> None:
    local = {"BERLIN_URL": env["SLACK_WEBHOOK_URL"], "BILLING_URL": f"{env['REPORT_WEBHOOK_URL']}/billing"}
    checks = json.loads(run("doctor", "--json", "--send-test", **variables | local).output)["checks"]
    found = {check["name"]: check["level"] for check in checks}
    for name in ("destinations.berlin.url", "destinations.billing.url", "test: berlin", "test: billing"):
        assert found[name] == "ok"


def test_show_says_where_a_room_went_and_by_which_rule(run: Run, ledger: Ledger) -> None:
    by_rule, nowhere = open_room(ledger, 1), open_room(ledger, 2)
    finish(ledger, by_rule, "summary", Outcome("complete", fields={"routes": '{"slack": "rule 1"}'}, opens=("slack",)))
    finish(ledger, nowhere, "summary", Outcome("complete", fields={"routes": "{}"}))
    assert "goes to     slack by rule 1" in run("rooms", "show", by_rule).output
    shown = run("rooms", "show", nowhere).output
    assert "goes to     nowhere, as the rules say" in shown
    assert "state       delivered" in shown
    result = run("rooms", "resend", nowhere, "--destination", "slack", "--yes")
    assert "went to: nothing, for the rules say so" in result.output


def test_doctor_checks_the_credentials_of_each_account(
    run: Run, variables: dict[str, str], env: dict[str, str]
) -> None:
    account = f'[accounts.clinic]\nsid = "AC{"c1" * 16}"\nauth_token = "env:CLINIC_TOKEN"\n'
    Path(variables["DESTINATIONS_FILE"]).write_text(account, encoding="utf-8")
    checks = json.loads(run("doctor", "--json", "--startup", **variables, CLINIC_TOKEN="not-theirs").output)["checks"]
    found = {check["name"]: check["level"] for check in checks}
    assert (found["twilio"], found["twilio-clinic"]) == ("ok", "fail")


def test_reconcile_asks_for_each_account(
    run: Run, variables: dict[str, str], env: dict[str, str], sandbox: Sandbox
) -> None:
    key, secret = env["TWILIO_API_KEY"], env["TWILIO_API_SECRET"]
    account = f'sid = "AC{"c1" * 16}"\nauth_token = "env:SECRET"\napi_key = "{key}"\napi_secret = "env:SECRET"\n'
    Path(variables["DESTINATIONS_FILE"]).write_text(f"[accounts.clinic]\n{account}", encoding="utf-8")
    sandbox.twilio.add_room(sid_of(1))
    result = run("rooms", "reconcile", "--json", **variables, SECRET=secret)
    # The sandbox has one list for all accounts.
    assert json.loads(result.output) == {"listed": 2, "missed": 1, "expired": 0}
