"""Which destinations the settings ask for."""

from __future__ import annotations

import pytest

from config.loading import load
from config.settings import Settings
from room_reports import destinations
from room_reports.delivery import Delivery
from room_reports.destinations import KINDS
from room_reports.lanes import RATES, rates
from room_reports.transport import Transport
from sandbox.client import Sandbox
from tests.support.reports import make_report


def settings_with(sandbox: Sandbox, *leave_out: str, **more: str) -> Settings:
    environment = {**sandbox.environment(), **more}
    return load({name: value for name, value in environment.items() if not name.startswith(leave_out)})


def test_both_kinds_are_built_from_the_settings_and_deliver(
    sandbox: Sandbox, transport: Transport, delivery: Delivery
) -> None:
    built = destinations.build(settings_with(sandbox, SLACK_RATE="2"), transport)
    assert {name: place.rate for name, place in built.items()} == {"slack": 2, "webhook": 0}
    for place in built.values():
        place.send(make_report(), delivery)
    assert len(sandbox.slack.accepted()) == len(sandbox.receiver.accepted()) == 1


@pytest.mark.parametrize(("left_out", "name"), [("SLACK_", "webhook"), ("REPORT_WEBHOOK_", "slack")])
def test_what_is_not_set_is_not_built(sandbox: Sandbox, transport: Transport, left_out: str, name: str) -> None:
    settings = settings_with(sandbox, left_out)
    assert list(rates(settings)) == [name]
    assert list(destinations.build(settings, transport)) == [name]


def test_kinds_go_by_their_own_names() -> None:
    assert {name: kind.name for name, kind in KINDS.items()} == {name: name for name in KINDS}
    assert list(RATES) == list(KINDS)


def test_a_destination_does_not_show_its_secrets(sandbox: Sandbox, transport: Transport) -> None:
    settings = settings_with(sandbox, SLACK_BOT_TOKEN="xoxb-1-not-to-be-shown", SLACK_CHANNEL="C0123456789")
    built = destinations.build(settings, transport)
    assert list(built) == ["slack", "slack_app", "webhook"]
    shown = repr(list(built.values()))
    assert settings.secrets
    assert not [secret for secret in settings.secrets if secret in shown]
