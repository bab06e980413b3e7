"""Callbacks and events of several accounts over the wire: each is checked with its own account's tokens."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from room_reports.ledger import Ledger
from sandbox import callbacks, events
from sandbox.options import ACCOUNT_SID, AUTH_TOKEN
from sandbox.summaries import room_summary
from tests.support.processes import Web
from tests.test_accounts import ACCOUNT, CLINIC, CLINIC_TOKEN
from tests.web.conftest import SID, Door, form, post, url_of
from tests.web.wire import Answer, send

STRANGER = "AC" + "9" * 32


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("accounts") / "destinations.toml"
    path.write_text(ACCOUNT, encoding="utf-8")
    return path


@pytest.fixture
def web(door: Door, file: Path) -> Web:
    return door(DESTINATIONS_FILE=str(file), CLINIC_TOKEN=CLINIC_TOKEN)


def post_event(web: Web, account_sid: str, token: str) -> Answer:
    summary = room_summary(SID, account_sid=account_sid, ended=datetime.now(UTC))
    request = callbacks.json_request(
        document=events.room_event(summary), url=url_of(web, "/twilio/events"), token=token
    )
    return send(web.port, request)


@pytest.mark.parametrize(("account", "token"), [(ACCOUNT_SID, AUTH_TOKEN), (CLINIC, CLINIC_TOKEN)])
def test_each_account_signs_with_its_own_token(web: Web, ledger: Ledger, account: str, token: str) -> None:
    assert post(web, form(AccountSid=account), token=token).status == 204
    room = ledger.room(SID)
    assert room is not None
    assert (room.account_sid, room.account_lane) == (account, "twilio" if account == ACCOUNT_SID else "twilio-clinic")


REFUSED = [
    (ACCOUNT_SID, CLINIC_TOKEN, "signature", "account"),
    (CLINIC, AUTH_TOKEN, "signature", "account"),
    (STRANGER, AUTH_TOKEN, "account", "account"),
    (STRANGER, CLINIC_TOKEN, "account", "account"),
    (CLINIC, "f" * 32, "signature", "signature"),
    (STRANGER, "f" * 32, "signature", "signature"),
]


@pytest.mark.parametrize(("account", "token", "callback", "event"), REFUSED)
def test_none_signs_for_another(web: Web, ledger: Ledger, account: str, token: str, callback: str, event: str) -> None:
    answers: list[tuple[Any, str]] = [
        (post(web, form(AccountSid=account), token=token), callback),
        (post_event(web, account, token), event),
    ]
    for answer, reason in answers:
        assert (answer.status, json.loads(answer.body)["error"]) == (403, reason)
    assert ledger.room(SID) is None


def test_an_event_of_each_account_is_taken(web: Web, ledger: Ledger) -> None:
    assert post_event(web, CLINIC, CLINIC_TOKEN).status == 204
    room = ledger.room(SID)
    assert room is not None
    assert room.account_lane == "twilio-clinic"
