"""A fake of Twilio's Video Log Analyzer: rooms, their list, their participants, and Twilio's way of saying no.

https://www.twilio.com/docs/video/troubleshooting/video-log-analyzer-api
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlencode

from sandbox.answers import Answer
from sandbox.http import Request
from sandbox.options import Options
from sandbox.service import Outcome, Service
from sandbox.summaries import participants, room_summary

JSON = "application/json"
LIST = "list"
PARTICIPANTS = "/Participants"
ROOMS = "/twilio/v1/Video/Rooms"
ROOM = re.compile(ROOMS + r"/(RM[0-9a-fA-F]{32})(/Participants(?:/(PA[0-9a-fA-F]{32}))?)?")
ERRORS = {
    400: (20001, "Bad request"),
    401: (20003, "Authenticate"),
    403: (20003, "Permission Denied"),
    405: (20004, "Method not allowed"),
    429: (20429, "Too Many Requests"),
    500: (20500, "Internal Server Error"),
    503: (20503, "Service Unavailable"),
}


@dataclass(frozen=True, slots=True)
class KnownRoom:
    """A room that is listed. `fields` replace or add to what its summary holds, `people` to what each of its
    participants does."""

    ended: datetime
    created: str
    fields: Mapping[str, Any]
    people: Sequence[Mapping[str, Any]] = ()


class FakeTwilio(Service):
    """Serves a complete summary for every well-formed room SID, unless a script says otherwise."""

    def __init__(self, options: Callable[[], Options]) -> None:
        super().__init__(options)
        self._rooms: dict[str, KnownRoom] = {}
        self._asked: dict[str, datetime] = {}

    def reset(self) -> None:
        super().reset()
        self._rooms, self._asked = {}, {}

    def add_room(self, room_sid: str, fields: Mapping[str, Any], *, ended: datetime) -> dict[str, Any]:
        """Make a room known and return its summary. `fields["end_time"]` says when it ended, else `ended`.

        `fields["people"]` is no field of the summary: what to replace in or add to each participant, in turn.
        """
        fields = dict(fields)
        people = fields.pop("people", ())
        if isinstance(given := fields.get("end_time"), str):
            ended = _parse_time(given)
        base = room_summary(room_sid, account_sid=self._options().account_sid, ended=ended)
        created = fields.get("create_time") or base["create_time"]
        self._rooms[room_sid] = KnownRoom(ended, created, fields, people)
        return {**base, **fields}

    def summary(self, room_sid: str) -> dict[str, Any]:
        """The summary as served when nothing is scripted."""
        room = self._rooms.get(room_sid)
        base = room_summary(room_sid, account_sid=self._options().account_sid, ended=self._ended(room_sid))
        return {**base, **room.fields} if room else base

    def admits(self, request: Request) -> bool:
        return request.headers.get("authorization") in _authorizations(self._options())

    def key(self, request: Request) -> str:
        if request.path == ROOMS:
            return LIST
        found = ROOM.fullmatch(request.path)
        if not found:
            return request.path
        return found[1] + PARTICIPANTS if found[2] else found[1]

    def respond(self, request: Request, answer: Answer) -> Outcome:
        found = ROOM.fullmatch(request.path)
        outcome = self._outcome(request, answer, found)
        outcome.room_sid = found[1] if found else None
        return outcome

    def headers(self, request: Request) -> Mapping[str, str]:
        digest = hashlib.blake2b(f"{request.at}{request.target}".encode(), digest_size=16).hexdigest()
        return {"Twilio-Request-Id": f"RQ{digest}"}

    def body_for(self, status: int, request: Request) -> tuple[bytes, str]:
        if 200 <= status < 400:
            return b"", JSON
        code, message = ERRORS.get(status, (20000 + status, "Error"))
        if status == 404:
            code, message = 20404, f"The requested resource {request.path.removeprefix('/twilio')} was not found"
        error = {
            "code": code,
            "message": message,
            "more_info": f"https://www.twilio.com/docs/errors/{code}",
            "status": status,
        }
        return json.dumps(error).encode(), JSON

    def _outcome(self, request: Request, answer: Answer, found: re.Match[str] | None) -> Outcome:
        if not self.admits(request):
            refused = self._refused(401, request, "wrong credentials")
            refused.headers = {"WWW-Authenticate": 'Basic realm="Twilio API"'}
            return refused
        if request.method != "GET":
            return self._refused(405, request, "not a GET")
        if request.path == ROOMS:
            return self._list(request, answer)
        if not found:
            return self._refused(404, request, "no such resource")
        if found[2]:
            return self._participants(request, answer, found[1], found[3])
        return _served({**self.summary(found[1]), **answer.fields})

    def _ended(self, room_sid: str) -> datetime:
        """When a room ended: one that nobody made known, when it was first asked for."""
        room = self._rooms.get(room_sid)
        return room.ended if room else self._asked.setdefault(room_sid, datetime.now(UTC))

    def _list(self, request: Request, answer: Answer) -> Outcome:
        query = parse_qs(request.query)
        try:
            chosen = self._filtered(query)
            page = _page(request, "rooms", [sid for sid, _ in chosen], query)
        except ValueError as error:
            return self._refused(400, request, str(error))
        page["meta"].update(answer.fields)
        page["rooms"] = [self.summary(sid) for sid in page["rooms"]]
        return _served(page)

    def _filtered(self, query: Mapping[str, list[str]]) -> list[tuple[str, KnownRoom]]:
        """The listed rooms a query asks for, latest first: without a window, those that ended in the last 24 hours."""
        rooms = list(self._rooms.items())
        after, before = query.get("CreatedAfter"), query.get("CreatedBefore")
        if after:
            rooms = [(sid, room) for sid, room in rooms if _parse_time(room.created) >= _parse_time(after[0])]
        if before:
            rooms = [(sid, room) for sid, room in rooms if _parse_time(room.created) < _parse_time(before[0])]
        if not after and not before:
            day_ago = datetime.now(UTC) - timedelta(hours=24)
            rooms = [(sid, room) for sid, room in rooms if room.ended >= day_ago]
        if types := query.get("RoomType"):
            rooms = [(sid, room) for sid, room in rooms if self.summary(sid)["room_type"] in types]
        if names := query.get("RoomName"):
            rooms = [(sid, room) for sid, room in rooms if self.summary(sid)["room_name"] == names[0]]
        if codecs := query.get("Codec"):
            rooms = [(sid, room) for sid, room in rooms if set(codecs) & set(self.summary(sid)["codecs"] or ())]
        return sorted(rooms, key=lambda item: (item[1].created, item[0]), reverse=True)

    def _participants(self, request: Request, answer: Answer, room_sid: str, participant_sid: str | None) -> Outcome:
        count = self.summary(room_sid)["unique_participants"]
        account_sid = self._options().account_sid
        found = participants(room_sid, account_sid=account_sid, ended=self._ended(room_sid), people=count)
        room = self._rooms.get(room_sid)
        for person, fields in zip(found, room.people if room else (), strict=False):
            person.update(fields)
        people = {person["participant_sid"]: person for person in found}
        if participant_sid:
            known = people.get(participant_sid)
            return _served(known) if known else self._refused(404, request, "no such participant")
        try:
            page = _page(request, "participants", list(people), parse_qs(request.query))
        except ValueError as error:
            return self._refused(400, request, str(error))
        page["meta"].update(answer.fields)
        page["participants"] = [people[sid] for sid in page["participants"]]
        return _served(page)

    def _refused(self, status: int, request: Request, note: str) -> Outcome:
        body, content_type = self.body_for(status, request)
        return Outcome(status, body, content_type, note=note)


@functools.cache
def _authorizations(options: Options) -> frozenset[str]:
    """The `Authorization` headers that are let in."""
    pairs = [(options.account_sid, options.auth_token), *options.api_keys]
    return frozenset("Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode() for name, secret in pairs)


def _served(document: Any) -> Outcome:
    return Outcome(200, json.dumps(document).encode(), JSON, accepted=True)


def _page(request: Request, key: str, sids: Sequence[str], query: Mapping[str, list[str]]) -> dict[str, Any]:
    """One page of a list, with `sids` in place of the resources. A page token is the last SID of the page before.

    Raises ValueError for a page size or token that Twilio would refuse.
    """
    size, number = int(query.get("PageSize", ["50"])[0]), int(query.get("Page", ["0"])[0])
    if not 1 <= size <= 1000 or number < 0:
        raise ValueError("PageSize must be 1 to 1000, Page at least 0")
    token = query.get("PageToken", [""])[0]
    start = sids.index(token) + 1 if token else number * size
    chosen = list(sids[start : start + size])
    more = start + size < len(sids)
    filters = [(name, value) for name, values in query.items() if not name.startswith("Page") for value in values]
    base = f"http://{request.headers.get('host', '')}{request.path}?"

    def url(page: int, *token: tuple[str, str]) -> str:
        return base + urlencode([*filters, ("PageSize", str(size)), ("Page", str(page)), *token])

    meta = {
        "page": number,
        "page_size": size,
        "first_page_url": url(0),
        "previous_page_url": url(number - 1) if number else None,
        "url": url(number, *([("PageToken", token)] if token else [])),
        "next_page_url": url(number + 1, ("PageToken", chosen[-1])) if more else None,
        "key": key,
    }
    return {"meta": meta, key: chosen}


def _parse_time(text: str) -> datetime:
    """An ISO 8601 time as an aware one, UTC where it says nothing. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
