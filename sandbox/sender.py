"""Sending status callbacks over real connections, one each as Twilio does, singly or at a rate."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

from sandbox.callbacks import HMAC_SHA1, Forgery, SignedRequest, form, request
from sandbox.client import SentCallback
from sandbox.options import Options
from sandbox.summaries import room_sid
from sandbox.twilio import FakeTwilio


@dataclass(frozen=True)
class Order:
    """Which rooms to end and how; see `TwilioControl.end_room` and `end_rooms`."""

    room_sids: Sequence[str] | None = None
    count: int = 1
    event: str = "room-ended"
    method: Literal["POST", "GET"] = "POST"
    algorithm: str = HMAC_SHA1
    token: str | None = None
    forge: Forgery | None = None
    summary: Mapping[str, Any] = field(default_factory=dict)
    changes: Mapping[str, str | None] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    callback_url: str | None = None
    public_url: str | None = None
    timeout: float = 15.0
    rate: float | None = None
    concurrency: int = 16
    duplicates: float = 0.0
    forged: float = 0.0
    seed: int | None = None
    first: int = 0
    copies: int = 1


@dataclass(frozen=True)
class _Planned:
    room_sid: str
    kind: Literal["honest", "duplicate", "forged"]
    forge: Forgery | None = None


async def end_rooms(order: Order, twilio: FakeTwilio, options: Options) -> list[SentCallback]:
    """End the rooms of an order; returns every callback sent, in order of sending, when all are answered.

    Raises ValueError when there is nowhere to send them.
    """
    callback_url = order.callback_url or options.callback_url
    if not callback_url:
        raise ValueError("no callback_url: give one, or configure it")
    order = replace(order, callback_url=callback_url, public_url=order.public_url or options.public_url or callback_url)
    params: dict[str, dict[str, str]] = {}
    slots = asyncio.Semaphore(order.concurrency * order.copies)
    tasks: list[asyncio.Task[SentCallback]] = []
    started = time.monotonic()
    for number, planned in enumerate(_plan(order)):
        if order.rate:
            await asyncio.sleep(started + number / order.rate - time.monotonic())
        await slots.acquire()
        if planned.room_sid not in params:
            params[planned.room_sid] = _params(planned, order, twilio, options)
        sending = _send_planned(planned, params[planned.room_sid], order, options)
        task = asyncio.create_task(sending)
        task.add_done_callback(lambda _: slots.release())
        tasks.append(task)
    return list(await asyncio.gather(*tasks))


def _plan(order: Order) -> list[_Planned]:
    """Every callback of an order in turn: the honest ones, with duplicates and forged ones mixed in from the seed."""
    draw = random.Random(order.seed)
    # Without a seed the rooms are new ones each time.
    series = secrets.randbits(64) if order.seed is None else order.seed
    sids = order.room_sids or [room_sid(series, order.first + number) for number in range(order.count)]
    kind: Literal["honest", "forged"] = "forged" if order.forge else "honest"
    planned: list[_Planned] = []
    for number, sid in enumerate(sids):
        planned.append(_Planned(sid, kind, order.forge))
        planned += [_Planned(sid, "duplicate")] * (order.copies - 1)
        if draw.random() < order.duplicates:
            planned.append(_Planned(draw.choice(sids[: number + 1]), "duplicate"))
        if draw.random() < order.forged:
            nobody = room_sid(series, -1 - order.first - number)
            planned.append(_Planned(nobody, "forged", draw.choice(get_args(Forgery))))
    return planned


def _params(planned: _Planned, order: Order, twilio: FakeTwilio, options: Options) -> dict[str, str]:
    """The parameters of a room's callback. An honestly ended room is known to the fake Twilio from here on."""
    ended, summary = datetime.now(UTC), None
    if planned.kind == "honest" and order.event == "room-ended":
        summary = twilio.add_room(planned.room_sid, order.summary, ended=ended)
    return form(
        planned.room_sid,
        account_sid=options.account_sid,
        event=order.event,
        ended=ended,
        summary=summary,
        changes=order.changes,
    )


async def _send_planned(planned: _Planned, params: Mapping[str, str], order: Order, options: Options) -> SentCallback:
    assert order.callback_url and order.public_url
    signed = request(
        order.public_url,
        params,
        token=order.token or options.auth_token,
        method=order.method,
        algorithm=order.algorithm,
        forge=planned.forge,
        post_to=order.callback_url,
        headers=order.headers,
    )
    sent_at, started = time.time(), time.monotonic()
    status, headers, body, error = await send(signed, timeout=order.timeout)
    elapsed = time.monotonic() - started
    return SentCallback(planned.room_sid, planned.kind, params, sent_at, elapsed, status, headers, body, error)


async def send(signed: SignedRequest, *, timeout: float) -> tuple[int | None, dict[str, str], str, str]:
    """Send one request on a connection of its own; returns status, headers, body and, without an answer, why."""
    parts = urlsplit(signed.url)
    writer = None
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
            writer.write(signed.to_bytes())
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:-2])}
            body = await reader.read(int(headers.get("content-length", -1)))
            return int(head[0].split(" ")[1]), headers, body.decode("utf-8", "replace"), ""
    except (OSError, EOFError, ValueError, TimeoutError) as error:
        return None, {}, "", f"{type(error).__name__}: {error}"
    finally:
        if writer is not None:
            writer.close()
