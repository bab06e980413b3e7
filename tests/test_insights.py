"""The list of rooms, page by page, as reconciling and the doctor read it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from room_reports.errors import Permanent, Transient
from room_reports.insights import PAGES_FOLLOWED, InsightsClient
from room_reports.transport import Transport
from sandbox import answers
from sandbox.answers import Answer
from sandbox.client import Sandbox
from sandbox.options import ACCOUNT_SID, API_KEY, API_SECRET
from sandbox.summaries import room_sid

LIST = "list"


@pytest.fixture
def insights(sandbox: Sandbox) -> Iterator[InsightsClient]:
    transport = Transport(allow_private=True, pool_size=1, connect_timeout=2, read_timeout=2, total_timeout=4)
    yield InsightsClient(transport, base_url=sandbox.twilio_url, credentials=(API_KEY, API_SECRET))
    transport.close()


def listed(insights: InsightsClient) -> list[str]:
    now = datetime.now(UTC)
    pages = insights.completed_rooms(created_after=now - timedelta(days=8), created_before=now + timedelta(minutes=1))
    return [room.room_sid for page in pages for room in page]


def test_every_page_is_read_and_rooms_that_go_on_are_left_out(insights: InsightsClient, sandbox: Sandbox) -> None:
    sids = [room_sid(1, number) for number in range(501)]
    sandbox.twilio.add_rooms([{"room_sid": sid} for sid in sids])
    sandbox.twilio.add_room(room_sid(2), room_status="in_progress")
    assert sorted(listed(insights)) == sorted(sids)
    assert sandbox.twilio.counts()["requests"] == 2


@pytest.mark.parametrize(
    "elsewhere",
    [
        lambda url: "http://evil.example.com/v1/Video/Rooms",
        lambda url: url.replace("http:", "https:"),
        lambda url: url.replace("127.0.0.1", "127.0.0.1.evil.example.com"),
        lambda url: url.replace("127.0.0.1", "127.0.0.1@evil.example.com"),
        lambda url: "http://[",
    ],
)
def test_credentials_are_sent_to_no_other_host(
    insights: InsightsClient, sandbox: Sandbox, elsewhere: Callable[[str], str]
) -> None:
    url = elsewhere(f"{sandbox.twilio_url}/v1/Video/Rooms")
    assert url != sandbox.twilio_url
    sandbox.twilio.script(Answer(fields={"next_page_url": url}), key=LIST)
    with pytest.raises(Permanent) as caught:
        listed(insights)
    assert caught.value.reason == "redirect"
    assert sandbox.twilio.counts()["requests"] == 1


def test_a_list_that_never_ends_is_a_fault(insights: InsightsClient, sandbox: Sandbox) -> None:
    again = {"next_page_url": f"{sandbox.twilio_url}/v1/Video/Rooms"}
    sandbox.twilio.script(Answer(fields=again).forever(), key=LIST)
    with pytest.raises(Permanent, match="did not end"):
        listed(insights)
    assert sandbox.twilio.counts()["requests"] == PAGES_FOLLOWED


@pytest.mark.parametrize("body", ["{}", '{"rooms": null}', '{"rooms": {}}', '{"rooms": ["RM1"]}', "[]", "<html>"])
@pytest.mark.parametrize("ask", [listed, InsightsClient.some_account], ids=["list", "account"])
def test_an_answer_without_a_list_is_not_an_empty_list(
    insights: InsightsClient, sandbox: Sandbox, ask: Callable[[InsightsClient], Any], body: str
) -> None:
    sandbox.twilio.script(answers.status(200, body), key=LIST)
    with pytest.raises(Transient) as caught:
        ask(insights)
    assert caught.value.reason == "bad_body"


def test_an_account_is_told_by_any_of_its_rooms(insights: InsightsClient, sandbox: Sandbox) -> None:
    assert insights.some_account() is None
    sandbox.twilio.add_room(room_sid(1))
    assert insights.some_account() == ACCOUNT_SID
    sandbox.twilio.script(answers.status(200, '{"rooms": [{"account_sid": null}]}'), key=LIST)
    assert insights.some_account() is None


@pytest.mark.parametrize("sid", [None, 7, "", "RM1", "AC" + "0" * 32, "RM" + "0" * 32 + "\n"])
def test_what_has_no_room_sid_is_no_room(insights: InsightsClient, sandbox: Sandbox, sid: object) -> None:
    ended = {"room_status": "completed"}
    document = {"rooms": [{"room_sid": sid, **ended}, {"room_sid": room_sid(1), **ended}]}
    sandbox.twilio.script(answers.status(200, json.dumps(document)), key=LIST)
    assert listed(insights) == [room_sid(1)]
