"""The judgement over a run: pure, on plain values, so that it can itself be tested.

Promised: every room of a callback or event that was answered 2xx has one final state in the ledger and at least one
delivery at each destination.
The metrics add up to the rows (`sums`).
A report may arrive twice only when its sender never heard that it had arrived: because the answer was lost, or because
the worker or Redis died between the send and its record.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from room_reports.ledger import FINAL, PARTICIPANTS, SUMMARY
from tests.chaos.history import Record, is_success
from tests.chaos.plan import Hit
from tests.chaos.sums import Sums, compare
from tests.chaos.variables import VARIABLES

BEFORE, AFTER = 0.5, 2.5
"""Seconds around an arrival in which a death may have kept it from being recorded: a blur of clocks before it, the
longest request and the round trip to Redis after it."""

UNHEARD = frozenset({"timeout", "connection", "truncated"})
"""Reasons of attempts whose report may have arrived although they never heard so."""

REDIS = frozenset({"redis killed", "redis stopped"})
DEADLY = REDIS | {"worker killed"}

HELD = 2.0
"""Seconds that a hold may outlast what it was for: the longest pause between probes, and the probe."""

LEASE = float(VARIABLES["STEP_LEASE"])
LONGEST_NOTICE = 120.0
"""Seconds within which a lost attempt is noticed, with holds and a full queue in between."""

PROVISIONAL_WORDS = "details follow"
"""What the first form of a message of the Slack app says, and its last form does not."""

Cause = Literal["unheard", "inside", "outside"]
"""Why a report arrived again: its sender never heard, it died inside the send window, or for no good reason."""


@dataclass(frozen=True)
class Verdict:
    """What came of a run. `problems` is empty when every promise was kept; `recovered` in seconds."""

    problems: tuple[str, ...]
    promised: int
    not_promised: int
    forged: int
    lost: int
    unheard: int
    inside: int
    outside: int
    recovered: tuple[float, ...]
    sums: Sums

    @property
    def recovery(self) -> str:
        """Median and maximum of the recovery times, for people."""
        if not self.recovered:
            return "none measured"
        median, longest = statistics.median(self.recovered), max(self.recovered)
        return f"median {median:.1f} s, maximum {longest:.1f} s ({len(self.recovered)} steps)"


def judge(record: Record) -> Verdict:
    """Judges a run that has come to its end."""
    spoken_of = [(is_success(callback), callback.room_sid) for callback in record.sent if callback.kind != "forged"]
    told_of = [(is_success(one), sid) for one in record.events if one.kind != "forged" for sid in one.room_sids]
    promised = {sid for is_promise, sid in (*spoken_of, *told_of) if is_promise}
    honest = {sid for _, sid in (*spoken_of, *told_of)}
    missing = {sid: list(what_is_missing(record, sid)) for sid in sorted(promised)}
    again = list(repeats(record))
    sums = compare(record)
    causes = Counter(cause for cause, _ in again)
    problems = [
        *(problem for found in missing.values() for problem in found),
        *(problem for cause, problem in again if cause == "outside"),
        *wrong_ids(record),
        *wrong_messages(record, honest),
        *forgeries(record, honest),
        *unfinished(record),
        *surprises(record),
        *(f"secret in {place}" for place in record.leaks),
        *(f"left behind: {thing}" for thing in record.left),
        *(f"{hit.blow.kind}: {hit.note}" for hit in record.hits if hit.note and not overlaps_redis(record, hit)),
        *record.failures,
        *sums.problems,
    ]
    return Verdict(
        problems=tuple(problems),
        promised=len(promised),
        not_promised=len(honest - promised),
        forged=sum(callback.kind == "forged" for callback in record.sent)
        + sum(events.kind == "forged" for events in record.events),
        lost=sum(bool(found) for found in missing.values()),
        unheard=causes["unheard"],
        inside=causes["inside"],
        outside=causes["outside"],
        recovered=tuple(recovery_times(record)),
        sums=sums,
    )


def what_is_missing(record: Record, sid: str) -> Iterator[str]:
    """What was promised of a room and is not so."""
    room = record.rooms.get(sid)
    if room is None:
        yield f"{sid}: answered 2xx and not in the ledger"
        return
    indexes = sorted(state for state, sids in record.states.items() if sid in sids)
    if indexes != [room.state]:
        yield f"{sid}: {room.state} in its row, in the indexes {indexes}"
    for name, arrived in record.arrivals.items():
        if not arrived.get(sid):
            yield f"{sid}: never arrived at {name}"


def repeats(record: Record) -> Iterator[tuple[Cause, str]]:
    """Every arrival of a report after its first one, with its cause and a line for people.

    The arrival before it is explained by the record of an attempt that never heard the answer, or by one that was lost
    together with a death at that time; each such attempt explains one arrival.
    """
    for name, arrived in record.arrivals.items():
        for sid, exchanges in arrived.items():
            attempts = attempts_of(record, sid, name)
            unheard = sum(attempt.get("reason") in UNHEARD for attempt in attempts)
            for before, again in pairwise(exchanges):
                if before.status is None or (unheard and spans(attempts, before.at)):
                    unheard -= 1
                    yield "unheard", ""
                elif any(is_deadly_for(hit, before.at) for hit in record.hits):
                    yield "inside", ""
                else:
                    what = f"{sid}: arrived again at {name}, {again.at - before.at:.1f} s later"
                    yield "outside", f"{what}; attempts: {[brief(attempt) for attempt in attempts]}"


def attempts_of(record: Record, sid: str, step: str) -> list[dict[str, Any]]:
    """The attempt records of one step."""
    room = record.rooms.get(sid)
    return [attempt for attempt in (room.attempts if room else ()) if attempt.get("step") == step]


def spans(attempts: Iterable[dict[str, Any]], moment: float) -> bool:
    """Whether an attempt that never heard an answer ran at that time."""
    unheard = [attempt for attempt in attempts if attempt.get("reason") in UNHEARD]
    return any(found["at"] - BEFORE <= moment <= found["at"] + found["took"] + BEFORE for found in unheard)


def is_deadly_for(hit: Hit, arrival: float) -> bool:
    """Whether what arrived then may not have been recorded because of this."""
    if hit.blow.kind not in DEADLY:
        return False
    end = hit.ended if hit.blow.kind in REDIS else hit.began
    return hit.began <= arrival + AFTER and end >= arrival - BEFORE


def brief(attempt: dict[str, Any]) -> str:
    """An attempt record for people."""
    return f"{attempt.get('attempt')} {attempt['outcome']} {attempt.get('reason') or ''} at {attempt['at']:.2f}"


def wrong_ids(record: Record) -> Iterator[str]:
    """Receivers drop repeats by the `webhook-id`: one for all attempts of a report, and of no other report."""
    owners: dict[str, str] = {}
    for exchange in record.deliveries.get("webhook", ()):
        if exchange.room_sid is None:
            continue
        if exchange.verified is False:
            yield f"{exchange.room_sid}: the signature of the report did not verify"
        owner = owners.setdefault(exchange.message_id or "", exchange.room_sid)
        if owner != exchange.room_sid:
            yield f"{exchange.room_sid}: has the webhook-id of {owner}"
    ids: dict[str, set[str | None]] = {}
    for exchange in record.deliveries.get("webhook", ()):
        if exchange.room_sid:
            ids.setdefault(exchange.room_sid, set()).add(exchange.message_id)
    for sid, found in ids.items():
        if len(found) > 1:
            yield f"{sid}: came with the webhook-ids {sorted(map(str, found))}"


def wrong_messages(record: Record, honest: set[str]) -> Iterator[str]:
    """Every room in the ledger has one message of the Slack app, in its final form; no other room has any."""
    if record.messages is None:
        return
    for sid in record.rooms:
        texts = record.messages.get(sid, ())
        if len(texts) != 1:
            yield f"{sid}: {len(texts)} messages in the app's channel"
        elif PROVISIONAL_WORDS in texts[0]:
            yield f"{sid}: its message was never edited"
    yield from (f"{sid}: a message, and nobody spoke of this room" for sid in sorted(set(record.messages) - honest))


def forgeries(record: Record, honest: set[str]) -> Iterator[str]:
    """Anything done because of a request that was not Twilio's, or for a room that nobody spoke of."""
    for callback in record.sent:
        if callback.kind == "forged" and callback.status not in (None, 403):
            yield f"{callback.room_sid}: a forged callback was answered {callback.status}"
    for events in record.events:
        if events.kind == "forged" and events.status not in (None, 403):
            yield f"{events.room_sids}: a forged event was answered {events.status}"
    seen = {exchange.room_sid for exchange in record.asked if exchange.room_sid}
    for arrived in record.arrivals.values():
        seen |= set(arrived)
    yield from (f"{sid}: nobody spoke of this room" for sid in sorted((seen | set(record.rooms)) - honest))


def unfinished(record: Record) -> Iterator[str]:
    """Rooms that did not come to their end, promised or not."""
    for room in record.rooms.values():
        states = {step.name: step.state for step in room.steps}
        if room.state != "delivered" or any(state not in FINAL for state in states.values()):
            yield f"{room.sid}: {room.state}, its steps {states}"


def surprises(record: Record) -> Iterator[str]:
    """Attempts that failed for a fault of ours, and attempts that were lost although nothing had died."""
    for room in record.rooms.values():
        for attempt in room.attempts:
            if attempt.get("reason") == "internal":
                yield f"{room.sid}: internal error in attempt {brief(attempt)}"
            if attempt["outcome"] == "lost" and not any(may_have_lost(hit, attempt) for hit in record.hits):
                yield f"{room.sid}: lost {attempt['step']} attempt {brief(attempt)}, and nothing had died"


def may_have_lost(hit: Hit, attempt: dict[str, Any]) -> bool:
    """Whether an attempt was lost by this: it fell while the attempt had its lease.

    A worker of an older commit does not say when the lease ran out, only when that was noticed.
    """
    lease_ended = attempt.get("due", attempt["at"])
    longest = LEASE if "due" in attempt else LONGEST_NOTICE
    end = hit.ended if hit.blow.kind in REDIS else hit.began
    return hit.blow.kind in DEADLY and hit.began <= lease_ended and end >= lease_ended - longest - BEFORE


def overlaps_redis(record: Record, hit: Hit) -> bool:
    """Whether Redis was away during a blow, or shortly before: what is not handed back then is no fault."""
    return any(
        other.blow.kind in REDIS and other.began <= hit.ended and other.ended >= hit.began - 5 for other in record.hits
    )


def recovery_times(record: Record) -> Iterator[float]:
    """Seconds from the death of a worker to the next sign of each attempt it had in hand.

    Left out: what an outage of Redis or of the other side kept from running meanwhile.
    """
    for hit in record.hits:
        for sid, step, attempt in hit.held:
            signs = [
                found["at"]
                for found in attempts_of(record, sid, step)
                if found.get("attempt", 0) > attempt or (found.get("attempt") == attempt and found["outcome"] == "lost")
            ]
            later = [at for at in signs if at >= hit.began]
            if later and not any(disturbs(other, hit.began, min(later), step) for other in record.hits):
                yield min(later) - hit.began


def disturbs(hit: Hit, start: float, end: float, step: str) -> bool:
    """Whether a blow kept a step from running between two times."""
    own = "twilio off" if step in (SUMMARY, PARTICIPANTS) else f"{step.removesuffix('_app')} off"
    return hit.blow.kind in (*REDIS, own) and hit.began <= end and hit.ended + HELD >= start
