"""Sends the digest of the day before, once to each destination that takes digests, whichever worker does it.

What became of it is noted in the ledger for each day and destination. Like a report it may come again when a worker
dies between sending and noting; the webhook's receiver then sees the same `webhook-id`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import structlog

from room_reports.costs import Rates
from room_reports.delivery import Delivery, Destination, TakesDigests
from room_reports.digests import RoomDigest, compose
from room_reports.errors import Failure, Permanent, Transient
from room_reports.ledger import Ledger, Sending

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Daily:
    """What digests are made of and where they go.

    `waits`: seconds between attempts, the last repeats; `lease`: seconds in which an attempt is over, or its worker
    dead.
    """

    ledger: Ledger
    destinations: Mapping[str, Destination]
    rates: Rates
    console_url: str
    waits: Sequence[float]
    lease: float

    @property
    def takers(self) -> dict[str, TakesDigests]:
        """The destinations that take digests, by name."""
        return {name: one for name, one in self.destinations.items() if isinstance(one, TakesDigests)}

    def digest_of(self, day: date, *, now: datetime) -> RoomDigest:
        """The digest of a day, as the ledger knows it now."""
        return compose(
            day,
            days=self.ledger.days(),
            ended=self.ledger.digests.rooms_of(day),
            rates=self.rates,
            console_url=self.console_url,
            made_at=now,
        )

    def send_due(self, *, at: time, now: datetime) -> None:
        """Sends the digest that is due at `now` wherever it has not arrived and nobody sends it. `at` is UTC.

        It is tried until the next one is due. A destination that is held is left alone.
        """
        day = due_day(now, at)
        if not (left := list(self._left(day, now=now))):
            return
        held = {hold.lane for hold in self.ledger.holds()}
        if wanted := [name for name in left if name not in held]:
            digest = self.digest_of(day, now=now)
            for name in wanted:
                self.send(name, digest, now=now)

    def send(self, name: str, digest: RoomDigest, *, now: datetime, again: bool = False) -> Sending | None:
        """One attempt to send a digest, and the note of it. None when somebody else has sent it, or does so now.

        With `again` it is sent although it was sent or refused before, under another id if it was sent.
        """
        day = digest.data.day
        turn = f"digest:{day}:{name}"
        if not self.ledger.take_chore(turn, seconds=self.lease):
            return None
        before = self.ledger.digests.sendings(day).get(name)
        sending = None
        if before is None or before.state == "failed" or again:
            sending = self._attempt(name, digest, before, now=now)
            self.ledger.digests.note(day, name, sending)
        self.ledger.put_back_chore(turn, seconds=0)
        return sending

    def _left(self, day: date, *, now: datetime) -> Iterator[str]:
        """The destinations that have not got it, and may be tried now."""
        sendings = self.ledger.digests.sendings(day)
        for name in self.takers:
            before = sendings.get(name)
            if before is None or (before.state == "failed" and before.next <= now.timestamp()):
                yield name

    def _attempt(self, name: str, digest: RoomDigest, before: Sending | None, *, now: datetime) -> Sending:
        day = digest.data.day
        tries = before.tries + 1 if before is not None and before.state == "failed" else 1
        sent_before = before.times_sent if before is not None else 0
        facts = {"day": str(day), "destination": name, "tries": tries}
        try:
            delivery = Delivery(f"msg_digest_{day}_{name}_{sent_before + 1}", tries, self.ledger.now())
            self.takers[name].send_digest(digest, delivery)
        except Permanent as failure:
            log.error("digest was refused", reason=failure.reason, detail=failure.detail, **facts)
            return Sending("refused", tries, sent_before, now.timestamp(), failure.reason, failure.detail)
        except Failure as failure:
            pause = self.waits[min(tries, len(self.waits)) - 1]
            if isinstance(failure, Transient):
                pause = max(pause, failure.retry_after or 0)
            log.warning("digest could not be sent", reason=failure.reason, detail=failure.detail, **facts)
            at = now.timestamp()
            return Sending("failed", tries, sent_before, at, failure.reason, failure.detail, next=at + pause)
        log.info("digest sent", **facts)
        return Sending("sent", tries, sent_before + 1, now.timestamp())


def due_day(now: datetime, at: time) -> date:
    """The day whose digest was due last: at `at` (UTC) the day before is. `now` is aware."""
    return (now.astimezone(UTC) - timedelta(hours=at.hour, minutes=at.minute)).date() - timedelta(days=1)
