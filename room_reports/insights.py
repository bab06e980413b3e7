"""Twilio's Video Log Analyzer: one room's summary, or why it is not there yet.

`GET /v1/Video/Rooms/{RoomSid}` on insights.twilio.com. A summary appears within 10 minutes of the end of most rooms and
within 30 of nearly all, and is deleted after 7 days
(https://www.twilio.com/docs/video/troubleshooting/video-log-analyzer-api).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from urllib.parse import quote, urlencode, urlsplit

from room_reports.callbacks import ROOM_SID
from room_reports.errors import Permanent, Transient
from room_reports.participants import Identities, Known, Participant, keep, read_participant
from room_reports.summaries import spelling
from room_reports.transport import Response, Transport, raise_for_status

KEPT = timedelta(days=7)
"""How long Twilio keeps a summary."""

PAGE_SIZE = 500
"""A room takes some 1.2 kB of a list, and a reply is read up to 1 MB."""

PAGES_FOLLOWED = 400
"""A bound on one listing: 200,000 rooms. A list that never ends is a fault, not a busy week."""

PARTICIPANT_PAGES = 2
"""Requests for the participants of one room, so that an attempt ends within its lease: 1000 participants."""

State = Literal["complete", "timeout", "in_progress", "not_started", "not_found"]


@dataclass(frozen=True)
class Fetched:
    """What Twilio knows of a room now. `raw` is the resource as sent, None when there is none yet.

    `complete`: nothing will be added; `timeout`: Twilio stopped before it was complete and adds nothing either; the
    other states mean that it is worth asking again later.
    """

    state: State
    raw: dict[str, Any] | None

    @property
    def settled(self) -> bool:
        """Whether Twilio will add nothing more."""
        return self.state in ("complete", "timeout")


@dataclass(frozen=True)
class ListedRoom:
    """One completed room of a listing. `end_time` as Twilio sent it, which is unread."""

    room_sid: str
    account_sid: str
    room_name: str
    end_time: object


class InsightsClient:
    """Reads the Video Log Analyzer with one account's credentials (API key or account SID, and its secret)."""

    def __init__(self, transport: Transport, *, base_url: str, credentials: tuple[str, str]) -> None:
        self._transport = transport
        self._rooms = base_url.rstrip("/") + "/v1/Video/Rooms"
        self._host = "{0.scheme}://{0.netloc}/".format(urlsplit(base_url))
        self._credentials = credentials

    def fetch(self, room_sid: str, *, account_sid: str) -> Fetched:
        """Asks once for a room's summary.

        Raises `Transient` (`bad_body` when the answer is no JSON object, `wrong_room` when it is about another room or
        account, and what the transport raises), `Permanent`, or `Configuration` when the credentials are refused.
        """
        response = self._transport.get(f"{self._rooms}/{quote(room_sid, safe='')}", auth=self._credentials)
        if response.status == 404:
            return Fetched("not_found", None)
        raw = document_of(response)
        refuse_other_rooms(raw, room_sid=room_sid, account_sid=account_sid)
        return Fetched(state_of(raw.get("processing_state")), raw)

    def participants(self, room_sid: str, *, account_sid: str, identities: Identities) -> Known:
        """The participants of a room, as far as they are kept; nobody where Twilio knows of none.

        Asks once for each page. Raises what `fetch` raises, and `Permanent` when a page points to another host.
        """
        found: list[Participant] = []
        url: str | None = f"{self._rooms}/{quote(room_sid, safe='')}/Participants?PageSize={PAGE_SIZE}"
        for _ in range(PARTICIPANT_PAGES):
            if url is None:
                break
            response = self._transport.get(url, auth=self._credentials)
            if response.status == 404 and not found:
                break
            page = document_of(response)
            for raw in records_of(page, "participants"):
                refuse_other_rooms(raw, room_sid=room_sid, account_sid=account_sid)
                if participant := read_participant(raw, identities):
                    found.append(participant)
            url = self._same_host(next_page(page))
        return keep(found)

    def completed_rooms(self, *, created_after: datetime, created_before: datetime) -> Iterator[list[ListedRoom]]:
        """Every completed room that was created in the window (aware UTC), a page at a time.

        The filter is on creation, because the API has none on the end. Raises what `fetch` raises, and `Permanent`
        when a page points to another host.
        """
        window = {"CreatedAfter": created_after, "CreatedBefore": created_before}
        query = urlencode({name: at.strftime("%Y-%m-%dT%H:%M:%SZ") for name, at in window.items()})
        url: str | None = f"{self._rooms}?{query}&PageSize={PAGE_SIZE}"
        for _ in range(PAGES_FOLLOWED):
            if url is None:
                return
            page = document_of(self._transport.get(url, auth=self._credentials))
            yield list(completed(page))
            url = self._same_host(next_page(page))
        raise Permanent("rejected", f"the list of rooms did not end after {PAGES_FOLLOWED} pages")

    def some_account(self) -> str | None:
        """The account of any one room, None when there is none: one cheap request that tries the credentials.

        Raises what `fetch` raises.
        """
        page = document_of(self._transport.get(f"{self._rooms}?PageSize=1", auth=self._credentials))
        named = (room.get("account_sid") for room in records_of(page, "rooms"))
        return next((str(account_sid) for account_sid in named if account_sid), None)

    def _same_host(self, url: str | None) -> str | None:
        """Credentials go to the host they are for and nowhere else, whatever a page says."""
        if url is not None and not url.startswith(self._host):
            raise Permanent("redirect", "the next page of the list is on another host")
        return url


def document_of(response: Response) -> dict[str, Any]:
    """The JSON object of a successful answer; refuses every other answer by raising."""
    raise_for_status(response, heals=(401, 403))
    try:
        document = json.loads(response.body)
    except (ValueError, RecursionError):
        raise Transient("bad_body", "Twilio answered 200 with something that is not JSON") from None
    if not isinstance(document, dict):
        raise Transient("bad_body", "Twilio answered 200 with JSON that is not an object")
    return document


def records_of(page: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """The records of a page of a list. Raises `Transient` when it has none, which is not an empty list."""
    records = page.get(name)
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise Transient("bad_body", f"Twilio answered 200 without a list of {name}")
    return records


def next_page(page: Mapping[str, Any]) -> str | None:
    """Where the list goes on; None at its end."""
    meta = page.get("meta")
    url = meta.get("next_page_url") if isinstance(meta, dict) else None
    return url if isinstance(url, str) else None


def refuse_other_rooms(raw: Mapping[str, Any], *, room_sid: str, account_sid: str) -> None:
    """Raises `Transient` when a record is about another room or account than was asked for."""
    for name, expected in (("room_sid", room_sid), ("account_sid", account_sid)):
        if raw.get(name) is not None and str(raw[name]).lower() != expected.lower():
            raise Transient("wrong_room", f"Twilio answered about another {name.removesuffix('_sid')}")


def state_of(value: object) -> State:
    """Twilio's processing state in one spelling (`in-progress` and `in_progress` both occur).

    A state that we do not know is taken for unfinished: it is asked for again until the deadline, and then reported as
    it stands.
    """
    word = spelling(str(value))
    if word == "complete":
        return "complete"
    if word == "timeout":
        return "timeout"
    return "not_started" if word == "not_started" else "in_progress"


def completed(page: Mapping[str, Any]) -> Iterator[ListedRoom]:
    """The rooms of a page that have ended; what has no room SID is none."""
    for room in records_of(page, "rooms"):
        sid = str(room.get("room_sid"))
        if ROOM_SID.fullmatch(sid) and room.get("room_status") == "completed":
            account_sid, name = str(room.get("account_sid") or ""), str(room.get("room_name") or "")
            yield ListedRoom(sid, account_sid, name, room.get("end_time"))
