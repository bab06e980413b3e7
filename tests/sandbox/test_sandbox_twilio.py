"""The fake Twilio answers as the real one, read by the official SDK wherever that can."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from twilio.base.exceptions import TwilioRestException  # type: ignore[import-untyped]
from twilio.http.http_client import TwilioHttpClient  # type: ignore[import-untyped]
from twilio.rest import Client  # type: ignore[import-untyped]

from sandbox import answers
from sandbox.answers import Answer
from sandbox.client import Sandbox
from sandbox.options import ACCOUNT_SID, API_KEY, API_SECRET, AUTH_TOKEN
from sandbox.summaries import INSIGHTS_URL, ROOM_FIELDS, room_sid, room_summary

SID = room_sid(1)


class Redirected(TwilioHttpClient):  # type: ignore[misc]
    """The SDK's own client, with Twilio's host replaced by the sandbox's."""

    def __init__(self, twilio_url: str) -> None:
        super().__init__(timeout=5)
        self._twilio_url = twilio_url

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        return super().request(method, url.replace(INSIGHTS_URL, self._twilio_url), *args, **kwargs)


@pytest.fixture
def sdk(sandbox: Sandbox) -> Any:
    """The official client, talking to the fake with an API key."""
    http_client = Redirected(sandbox.twilio_url)
    yield Client(API_KEY, API_SECRET, ACCOUNT_SID, http_client=http_client).insights.v1
    http_client.session.close()


def fetch(sandbox: Sandbox, sid: str = SID, *, auth: tuple[str, str] = (API_KEY, API_SECRET)) -> requests.Response:
    url = f"{sandbox.twilio_url}/v1/Video/Rooms/{sid}"
    return requests.get(url, auth=auth, timeout=5, allow_redirects=False)


def test_the_sdk_reads_a_summary(sandbox: Sandbox, sdk: Any) -> None:
    room, served = sdk.rooms(SID).fetch(), sandbox.twilio.summary(SID)
    assert (room.room_sid, room.account_sid, room.processing_state) == (SID, ACCOUNT_SID, "complete")
    assert (room.duration_sec, room.codecs) == (served["duration_sec"], ["VP8", "opus"])
    assert room.end_time - room.create_time == timedelta(seconds=room.duration_sec)
    assert room.unique_participant_identities <= room.unique_participants
    assert room.links["participants"].endswith(f"/{SID}/Participants")


def test_a_summary_has_all_26_fields_and_is_derived_from_the_sid(sandbox: Sandbox) -> None:
    first, second = fetch(sandbox).json(), fetch(sandbox).json()
    ended = datetime.fromisoformat(first["end_time"])
    assert first == second == room_summary(SID, account_sid=ACCOUNT_SID, ended=ended)
    assert sorted(first) == sorted(ROOM_FIELDS) and len(ROOM_FIELDS) == 26 and None not in first.values()
    assert fetch(sandbox, room_sid(2)).json()["duration_sec"] != first["duration_sec"]


def test_fields_of_a_room_can_be_null_unknown_or_new(sandbox: Sandbox) -> None:
    fields: Mapping[str, Any] = {**dict.fromkeys(ROOM_FIELDS), "room_type": "holodeck", "brand_new": {"a": [1]}}
    sandbox.twilio.add_rooms([{**fields, "room_sid": SID}])
    assert fetch(sandbox).json() == {**fields, "room_sid": SID}


def test_the_sdk_reads_participants_page_by_page(sandbox: Sandbox, sdk: Any) -> None:
    people = sdk.rooms(SID).participants.list(page_size=2)
    served = sandbox.twilio.summary(SID)
    assert len(people) == served["unique_participants"]
    assert len({person.participant_identity for person in people}) == served["unique_participant_identities"]
    assert sum(person.duration_sec for person in people) == served["total_participant_duration_sec"]
    one = sdk.rooms(SID).participants(people[1].participant_sid).fetch()
    assert (one.participant_identity, one.duration_sec) == (people[1].participant_identity, people[1].duration_sec)
    with pytest.raises(TwilioRestException, match="was not found"):
        sdk.rooms(SID).participants("PA" + "0" * 32).fetch()


def test_a_room_nobody_came_to_has_no_participants(sandbox: Sandbox, sdk: Any) -> None:
    sandbox.twilio.add_room(SID, unique_participants=0, end_time=None, duration_sec=None)
    assert sdk.rooms(SID).participants.list() == []


def test_the_sdk_lists_rooms_page_by_page_latest_first(sandbox: Sandbox, sdk: Any) -> None:
    sids = [room_sid(3, number) for number in range(7)]
    sandbox.twilio.add_rooms({"room_sid": sid} for sid in sids)
    rooms = sdk.rooms.list(page_size=3)
    assert sorted(room.room_sid for room in rooms) == sorted(sids)
    assert [room.create_time for room in rooms] == sorted((room.create_time for room in rooms), reverse=True)
    assert len(sandbox.twilio.history()) == 3


def test_pages_say_where_the_next_one_is(sandbox: Sandbox) -> None:
    sandbox.twilio.add_rooms({"room_sid": room_sid(3, number)} for number in range(3))
    url: str | None = f"{sandbox.twilio_url}/v1/Video/Rooms?PageSize=2&RoomType=group"
    pages = []
    while url:
        pages.append(requests.get(url, auth=(API_KEY, API_SECRET), timeout=5).json())
        url = pages[-1]["meta"]["next_page_url"]
    assert [len(page["rooms"]) for page in pages] == [2, 1]
    assert [page["meta"]["page"] for page in pages] == [0, 1] and pages[0]["meta"]["key"] == "rooms"
    assert "RoomType=group" in pages[0]["meta"]["next_page_url"] and pages[1]["meta"]["previous_page_url"]


def test_the_list_goes_back_a_day_unless_a_window_is_given(sandbox: Sandbox, sdk: Any) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    for hours in (1, 30, 100):
        ended = (now - timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")
        sandbox.twilio.add_room(room_sid(hours), end_time=ended)
    created = {hours: sdk.rooms(room_sid(hours)).fetch().create_time for hours in (1, 30, 100)}

    def listed(**window: datetime) -> set[int]:
        found = {room.room_sid for room in sdk.rooms.list(**window)}
        return {hours for hours in created if room_sid(hours) in found}

    assert listed() == {1}
    assert listed(created_after=created[100]) == {1, 30, 100}
    assert listed(created_after=created[100] + timedelta(seconds=1)) == {1, 30}
    assert listed(created_after=created[100], created_before=created[1]) == {30, 100}


def test_lists_can_be_filtered(sandbox: Sandbox, sdk: Any) -> None:
    sandbox.twilio.add_room(room_sid(1), room_type="go", room_name="one", codecs=["VP8"])
    sandbox.twilio.add_room(room_sid(2), room_type="group", room_name="two", codecs=["H264"])
    assert [room.room_sid for room in sdk.rooms.list(room_type=["go"])] == [room_sid(1)]
    assert [room.room_sid for room in sdk.rooms.list(room_name="two")] == [room_sid(2)]
    assert [room.room_sid for room in sdk.rooms.list(codec=["H264", "VP9"])] == [room_sid(2)]


@pytest.mark.parametrize("query", ["PageSize=0", "PageSize=1001", "PageSize=x", "PageToken=nope", "CreatedAfter=x"])
def test_lists_refuse_nonsense(sandbox: Sandbox, query: str) -> None:
    sandbox.twilio.add_room(SID)
    response = requests.get(f"{sandbox.twilio_url}/v1/Video/Rooms?{query}", auth=(API_KEY, API_SECRET), timeout=5)
    assert (response.status_code, response.json()["code"]) == (400, 20001)


def test_the_list_can_point_elsewhere_or_fail(sandbox: Sandbox) -> None:
    elsewhere = Answer(fields={"next_page_url": "http://evil.example.com/"})
    sandbox.twilio.script(elsewhere, answers.status(503), key=sandbox.twilio.LIST)
    url = f"{sandbox.twilio_url}/v1/Video/Rooms"
    said = [requests.get(url, auth=(API_KEY, API_SECRET), timeout=5) for _ in range(3)]
    assert said[0].json()["meta"]["next_page_url"] == "http://evil.example.com/"
    assert [response.status_code for response in said] == [200, 503, 200]


@pytest.mark.parametrize("auth", [(API_KEY, API_SECRET), (ACCOUNT_SID, AUTH_TOKEN)])
def test_both_kinds_of_credentials_are_let_in(sandbox: Sandbox, auth: tuple[str, str]) -> None:
    assert fetch(sandbox, auth=auth).status_code == 200


def test_wrong_credentials_get_20003_and_use_up_no_script(sandbox: Sandbox) -> None:
    sandbox.twilio.script(answers.not_found(), key=SID)
    refused = fetch(sandbox, auth=(API_KEY, "wrong"))
    assert (refused.status_code, refused.json()["code"]) == (401, 20003)
    assert requests.get(f"{sandbox.twilio_url}/v1/Video/Rooms", timeout=5).status_code == 401
    assert fetch(sandbox).status_code == 404


def test_credentials_can_be_rejected_until_switched_back(sandbox: Sandbox, sdk: Any) -> None:
    sandbox.twilio.reject_credentials()
    for _ in range(2):
        with pytest.raises(TwilioRestException) as caught:
            sdk.rooms(SID).fetch()
        assert (caught.value.status, caught.value.code) == (401, 20003)
    sandbox.twilio.normal()
    assert sdk.rooms(SID).fetch().room_sid == SID


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        (answers.not_found(), 404, 20404),
        (answers.forbidden(), 403, 20003),
        (answers.too_many(), 429, 20429),
        (answers.status(500), 500, 20500),
        (answers.status(503), 503, 20503),
        (answers.html(502), 502, 502),
    ],
)
def test_the_sdk_reads_the_errors(sandbox: Sandbox, sdk: Any, answer: Answer, status: int, code: int) -> None:
    sandbox.twilio.script(answer, key=SID)
    with pytest.raises(TwilioRestException) as caught:
        sdk.rooms(SID).fetch()
    assert (caught.value.status, caught.value.code) == (status, code)


@pytest.mark.parametrize("path", ["RMx", SID + "x", SID + "/Recordings", f"../Rooms/{SID}?", "PA" + SID[2:]])
def test_what_is_no_room_is_20404(sandbox: Sandbox, path: str) -> None:
    request = requests.Request("GET", "http://x", auth=(API_KEY, API_SECRET)).prepare()
    request.url = f"{sandbox.twilio_url}/v1/Video/Rooms/{path}"
    with requests.Session() as session:
        response = session.send(request, timeout=5)
    assert (response.status_code, response.json()["code"]) == (404, 20404)


def test_a_script_is_followed_in_order_and_then_the_summary_is_complete(sandbox: Sandbox) -> None:
    script = [
        answers.not_found().repeated(2),
        answers.not_started(),
        answers.in_progress("in-progress"),
        answers.in_progress().repeated(2),
    ]
    sandbox.twilio.script(*script, key=SID)
    said = [
        response.json().get("processing_state", response.status_code) for response in (fetch(sandbox) for _ in range(7))
    ]
    assert said == [404, 404, "not_started", "in-progress", "in_progress", "in_progress", "complete"]
    assert fetch(sandbox, room_sid(2)).status_code == 200
    times = sandbox.twilio.times(SID)
    assert len(times) == 7 and times == sorted(times)
    assert [seen.accepted for seen in sandbox.twilio.history(SID)] == [False] * 2 + [True] * 5


def test_a_script_can_go_on_for_ever(sandbox: Sandbox) -> None:
    sandbox.twilio.script(answers.timed_out(duration_sec=0).forever(), key=SID)
    seen = [fetch(sandbox).json() for _ in range(3)]
    assert [(summary["processing_state"], summary["duration_sec"]) for summary in seen] == [("timeout", 0)] * 3


@pytest.mark.parametrize("form", answers.RETRY_AFTERS)
def test_429_carries_retry_after_as_given(sandbox: Sandbox, form: str) -> None:
    sandbox.twilio.script(answers.too_many(answers.RETRY_AFTERS[form]), key=SID)
    response = fetch(sandbox)
    assert (response.status_code, response.headers.get("Retry-After")) == (429, answers.RETRY_AFTERS[form])


def test_retry_after_dates_are_http_dates(sandbox: Sandbox) -> None:
    date = answers.http_date(-60)
    sandbox.twilio.script(answers.too_many(date), key=SID)
    assert fetch(sandbox).headers["Retry-After"] == date
    assert datetime.strptime(date, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC) < datetime.now(UTC)


def test_summaries_that_are_wrong_in_other_ways(sandbox: Sandbox) -> None:
    script = [
        answers.redirect("http://169.254.169.254/"),
        answers.wrong_room(),
        answers.wrong_account(),
        answers.wrong_content(),
        answers.truncated_json(),
    ]
    sandbox.twilio.script(*script, key=SID)
    redirect, room, account, content, truncated = [fetch(sandbox) for _ in script]
    assert (redirect.status_code, redirect.headers["Location"]) == (302, "http://169.254.169.254/")
    assert room.json()["room_sid"] != SID and room.json()["account_sid"] == ACCOUNT_SID
    assert account.json()["room_sid"] == SID and account.json()["account_sid"] != ACCOUNT_SID
    assert isinstance(content.json(), list)
    with pytest.raises(requests.JSONDecodeError):
        truncated.json()


def test_every_answer_has_a_request_id(sandbox: Sandbox) -> None:
    sandbox.twilio.script(answers.status(500), key=SID)
    assert all(fetch(sandbox).headers["Twilio-Request-Id"].startswith("RQ") for _ in range(2))
