"""The receiver believes what `standardwebhooks` believes, and nothing else."""

from __future__ import annotations

import base64
import json
import secrets
from datetime import UTC, datetime, timedelta

import pytest
import requests
from standardwebhooks.webhooks import Webhook

from sandbox import answers
from sandbox.answers import Answer
from sandbox.client import Sandbox
from sandbox.options import WEBHOOK_SECRET
from sandbox.summaries import room_sid

SID = room_sid(1)
BODY = json.dumps({"type": "room.report", "data": {"room_sid": SID}})
OTHER = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def signed(*keys: str, message_id: str = "msg_1", at: datetime | None = None) -> dict[str, str]:
    moment = at or datetime.now(UTC)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": " ".join(Webhook(key).sign(message_id, moment, BODY) for key in keys),
    }


def post(
    sandbox: Sandbox, headers: dict[str, str] | None = None, *, path: str = "", body: str = BODY
) -> requests.Response:
    headers = signed(WEBHOOK_SECRET) if headers is None else headers
    return requests.post(sandbox.receiver_url + path, data=body, headers=headers, timeout=5, allow_redirects=False)


def test_takes_what_verifies_and_keeps_it(sandbox: Sandbox) -> None:
    assert post(sandbox, path="/a/b").status_code == 204
    seen = sandbox.receiver.history(SID)[0]
    assert (seen.path, seen.verified, seen.accepted, seen.message_id) == ("/receiver/a/b", True, True, "msg_1")
    assert seen.body == BODY and (seen.headers or {})["webhook-id"] == "msg_1"
    assert sandbox.receiver.reports(SID) == [json.loads(BODY)]


@pytest.mark.parametrize("keys", [(WEBHOOK_SECRET,), (OTHER,), (OTHER, WEBHOOK_SECRET)])
def test_any_of_several_secrets_verifies(sandbox: Sandbox, keys: tuple[str, ...]) -> None:
    sandbox.configure(webhook_secrets=(WEBHOOK_SECRET, OTHER))
    assert post(sandbox, signed(*keys)).status_code == 204


@pytest.mark.parametrize(
    "headers",
    [
        {},
        signed(OTHER),
        {**signed(WEBHOOK_SECRET), "webhook-id": "msg_2"},
        {**signed(WEBHOOK_SECRET), "webhook-signature": "nonsense"},
        {**signed(WEBHOOK_SECRET), "webhook-timestamp": "soon"},
        signed(WEBHOOK_SECRET, at=datetime.now(UTC) - timedelta(hours=1)),
        signed(WEBHOOK_SECRET, at=datetime.now(UTC) + timedelta(hours=1)),
    ],
)
def test_refuses_what_does_not_verify(sandbox: Sandbox, headers: dict[str, str]) -> None:
    assert post(sandbox, headers).status_code == 401
    seen = sandbox.receiver.history()[0]
    assert (seen.verified, seen.accepted) == (False, False) and seen.note


def test_refuses_a_changed_body_and_one_that_is_no_text(sandbox: Sandbox) -> None:
    assert post(sandbox, body=BODY + " ").status_code == 401
    headers = signed(WEBHOOK_SECRET)
    assert requests.post(sandbox.receiver_url, data=b"\xff", headers=headers, timeout=5).status_code == 401


def test_a_scripted_2xx_does_not_make_a_forged_message_accepted(sandbox: Sandbox) -> None:
    sandbox.receiver.script(answers.status(200))
    assert post(sandbox, {}).status_code == 200
    assert not sandbox.receiver.accepted()


def test_without_secrets_nothing_is_verified(sandbox: Sandbox) -> None:
    sandbox.configure(webhook_secrets=())
    assert post(sandbox, {}).status_code == 204
    assert sandbox.receiver.accepted()[0].verified is None


def test_takes_posts_only(sandbox: Sandbox) -> None:
    assert requests.get(sandbox.receiver_url, timeout=5).status_code == 405


@pytest.mark.parametrize(
    ("answer", "status", "accepted"),
    [
        (answers.status(200), 200, True),
        (answers.status(201), 201, True),
        (answers.status(204), 204, True),
        (answers.status(299, "x" * 10_000), 299, True),
        (answers.redirect("http://169.254.169.254/"), 302, False),
        (answers.status(400), 400, False),
        (answers.status(410), 410, False),
        (answers.too_many(7), 429, False),
        (answers.status(500), 500, False),
    ],
)
def test_answers_as_scripted(sandbox: Sandbox, answer: Answer, status: int, accepted: bool) -> None:
    sandbox.receiver.script(answer)
    response = post(sandbox)
    assert (response.status_code, response.headers.get("Retry-After")) == (status, answer.headers.get("Retry-After"))
    assert bool(sandbox.receiver.accepted(SID)) is accepted


def test_an_accepted_report_whose_sender_is_not_told_counts_as_arrived(sandbox: Sandbox) -> None:
    sandbox.receiver.script(answers.accept_and_reset(), answers.accept_and_hang())
    with pytest.raises(requests.ConnectionError):
        post(sandbox)
    with pytest.raises(requests.ReadTimeout):
        requests.post(sandbox.receiver_url, data=BODY, headers=signed(WEBHOOK_SECRET), timeout=0.2)
    seen = sandbox.receiver.history()
    assert [(one.status, one.accepted, one.note) for one in seen] == [(None, True, "reset"), (None, True, "hang")]


def test_endpoints_can_be_scripted_apart(sandbox: Sandbox) -> None:
    sandbox.receiver.script(answers.status(503).forever(), key="/receiver/down")
    assert [post(sandbox, path=path).status_code for path in ("/down", "/up", "/down")] == [503, 204, 503]
