"""Twilio's side of a run: rooms end at a steady rate whatever happens, and some unanswered callbacks are sent again.

Where events are sent too, some rooms have no callback, and some have both.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from random import Random
from typing import Any

from sandbox.client import SentCallback
from sandbox.summaries import room_sid
from tests.chaos.history import SentEvents, is_success
from tests.chaos.sink import send_events, ways_of
from tests.chaos.stage import Stage

CHUNK = 25
"""Rooms sent to one web before the next one has its turn."""

AT_ONCE = 64
RESENDS = 30
DUPLICATES, FORGED = 0.1, 0.05


def send_all(
    stage: Stage, *, rooms: int, rate: float, seed: int, with_events: bool
) -> tuple[list[SentCallback], list[SentEvents]]:
    """Ends so many rooms at `rate` a second; returns all that was sent, once nothing waits for its answer any more."""
    started = time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        calling: list[Future[list[SentCallback]]] = []
        telling: list[Future[list[SentEvents]]] = []
        for first in range(0, rooms, CHUNK):
            time.sleep(max(0.0, started + first / rate - time.monotonic()))
            called = told = [room_sid(seed, number) for number in range(first, min(first + CHUNK, rooms))]
            if with_events:
                ways = ways_of(called, seed=seed)
                called, told = ([sid for sid in ways if ways[sid] != other] for other in ("events", "callback"))
                telling += [pool.submit(send_events, stage, told, seed=seed)] if told else []
            calling += [pool.submit(send_chunk, stage, called, first=first, rate=rate, seed=seed)] if called else []
        callbacks = [callback for chunk in calling for callback in chunk.result()]
        return callbacks, [events for chunk in telling for events in chunk.result()]


def send_chunk(stage: Stage, sids: list[str], *, first: int, rate: float, seed: int) -> list[SentCallback]:
    """One chunk, whose first room has the number `first`, and again what Twilio would send again.

    A callback without a 2xx was promised nothing. Twilio sends it again when the URL says so (`#rc=`), which is half of
    them here; the other half is forgotten, as Twilio does by default.
    """
    number = first // CHUNK
    sent = end_rooms(
        stage,
        room_sids=sids,
        rate=rate,
        concurrency=CHUNK * 2,
        duplicates=DUPLICATES,
        forged=FORGED,
        seed=seed,
        first=first,
        callback_url=stage.url(number),
    )
    return [*sent, *resend(stage, sent, number=number, draw=Random(f"{seed}-{first}"))]  # noqa: S311 - seeded on purpose


def resend(stage: Stage, sent: list[SentCallback], *, number: int, draw: Random) -> Iterator[SentCallback]:
    """Sends half of the unanswered callbacks again until they are answered."""
    unanswered = [callback.room_sid for callback in sent if callback.kind == "honest" and not is_success(callback)]
    left = [sid for sid in unanswered if draw.random() < 0.5]
    for turn in range(RESENDS):
        if not left:
            return
        time.sleep(0.5)
        again = end_rooms(stage, room_sids=left, callback_url=stage.url(number + turn))
        yield from again
        left = [callback.room_sid for callback in again if not is_success(callback)]


def end_rooms(stage: Stage, **order: Any) -> list[SentCallback]:
    """`TwilioControl.end_rooms` with any part of an order, here with one web of several."""
    return [SentCallback(**answered) for answered in stage.sandbox.call("POST", "/twilio/end_rooms", order)]
