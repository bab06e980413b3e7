"""Event Streams' side of a run: what it tells of rooms, shuffled and often twice, again until it is answered 2xx."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import Any, Literal, get_args

from sandbox.callbacks import Forgery, json_request
from sandbox.events import participant_event, room_event
from sandbox.options import ACCOUNT_SID, AUTH_TOKEN
from sandbox.sender import send
from sandbox.summaries import participants, room_sid, room_summary
from tests.chaos.history import SentEvents, is_success
from tests.chaos.stage import Stage
from tests.chaos.variables import EVENTS_PATH, PUBLIC_URL

Way = Literal["callback", "both", "events"]

SHARES: Mapping[Way, float] = {"callback": 0.4, "both": 0.3, "events": 0.3}
"""Of the rooms of a run, by how they become known."""

TOLD_OF_PEOPLE, AS_TEXT, DUPLICATES, FORGED = 0.5, 0.3, 0.2, 0.05
MOST_AT_ONCE = 5
LATEST = 3.0
"""Seconds after the end of a room within which its events come, before its callback or after it."""

PATIENCE = 5.0
"""Seconds that a sink waits for an answer."""

ATTEMPTS, PAUSE = 60, 0.5


@dataclass(frozen=True)
class Parcel:
    """Events that are sent in one request. `room_sids`: of which rooms it has the summary."""

    room_sids: tuple[str, ...]
    document: Any
    forge: Forgery | None = None


def ways_of(sids: Sequence[str], *, seed: int) -> dict[str, Way]:
    """How each room becomes known. Pure."""
    draw = Random(f"{seed}-{sids[0]}")  # noqa: S311 - seeded on purpose
    return dict(zip(sids, draw.choices(list(SHARES), list(SHARES.values()), k=len(sids)), strict=True))


def send_events(stage: Stage, sids: Sequence[str], *, seed: int) -> list[SentEvents]:
    """Tells of these rooms; returns every request, once none is sent again any more."""
    draw = Random(f"{seed}-events-{sids[0]}")  # noqa: S311 - seeded on purpose
    parcels = list(parcels_of(sids, draw=draw, ended=datetime.now(UTC)))
    times = [draw.uniform(0, LATEST) for _ in parcels]

    async def send_all() -> list[list[SentEvents]]:
        return await asyncio.gather(*(deliver(stage, *each) for each in zip(parcels, times, strict=True)))

    return [sent for each in asyncio.run(send_all()) for sent in each]


def parcels_of(sids: Sequence[str], *, draw: Random, ended: datetime) -> Iterator[Parcel]:
    """All events of these rooms in disorder, a few to a request; forged ones about rooms that nobody knows. Pure."""
    events: list[tuple[str | None, Any]] = []
    for sid in sids:
        told = [
            (sid, room_event(room_summary(sid, account_sid=ACCOUNT_SID, ended=ended), as_text=is_so(draw, AS_TEXT)))
        ]
        people = participants(sid, account_sid=ACCOUNT_SID, ended=ended) if is_so(draw, TOLD_OF_PEOPLE) else []
        events += [*told, *((None, participant_event(one)) for one in people)]
        events += told if is_so(draw, DUPLICATES) else []
        if is_so(draw, FORGED):
            nobody = room_sid(draw.getrandbits(64))
            forged = room_event(room_summary(nobody, account_sid=ACCOUNT_SID, ended=ended))
            yield Parcel((nobody,), forged, draw.choice(get_args(Forgery)))
    draw.shuffle(events)
    while events:
        count = draw.randint(1, MOST_AT_ONCE)
        some, events = events[:count], events[count:]
        documents = [event for _, event in some]
        yield Parcel(tuple(sid for sid, _ in some if sid), documents if len(some) > 1 else documents[0])


def is_so(draw: Random, share: float) -> bool:
    """Yes for this share of all cases."""
    return draw.random() < share


async def deliver(stage: Stage, parcel: Parcel, at: float) -> list[SentEvents]:
    """Sends a parcel in so many seconds, and again until it is answered 2xx; a forged one once."""
    await asyncio.sleep(at)
    sent = [await send_once(stage, parcel, turn=0)]
    while not (is_success(sent[-1]) or parcel.forge) and len(sent) < ATTEMPTS:
        await asyncio.sleep(PAUSE)
        sent.append(await send_once(stage, parcel, turn=len(sent)))
    return sent


async def send_once(stage: Stage, parcel: Parcel, *, turn: int) -> SentEvents:
    """One request to one of the webs."""
    began = datetime.now(UTC).timestamp()
    request = json_request(
        PUBLIC_URL + EVENTS_PATH,
        parcel.document,
        token=AUTH_TOKEN,
        forge=parcel.forge,
        post_to=stage.url(len(parcel.room_sids) + turn, EVENTS_PATH),
    )
    status, *_ = await send(request, timeout=PATIENCE)
    return SentEvents(parcel.room_sids, "forged" if parcel.forge else "honest", began, status)
