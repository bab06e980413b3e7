"""Checks of the work: whether steps are taken when they are due, and what needs an operator."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from room_reports.checks import Check
from room_reports.ledger import Hold, Lane
from room_reports.words import count_of

OVERDUE = 60.0
"""Seconds that a due step may wait: a dispatcher looks every second or so."""


def workers_check(workers: Mapping[str, tuple[int, int]]) -> Check:
    """Whether workers live. `workers`: as `Ledger.workers`."""
    if not workers:
        message = "none: callbacks are kept, and nothing is fetched or delivered"
        return Check("workers", "fail", message, "start one: python worker.py (Heroku: heroku ps:scale worker=1)")
    threads = sum(threads for threads, _ in workers.values())
    busy = sum(busy for _, busy in workers.values())
    return Check("workers", "ok", f"{len(workers)} alive; {busy} of {threads} threads busy")


def due_checks(
    due: Mapping[str, tuple[int, int, datetime | None]],
    *,
    lanes: Sequence[Lane],
    held: Collection[str],
    queued: int,
    workers: int,
    now: datetime,
) -> list[Check]:
    """Whether steps are taken when they are due. `due` is as of `Ledger.due`, `queued` jobs wait, `now` is Redis's."""
    rates = {lane.name: lane.rate for lane in lanes}
    found = []
    for lane, (total, overdue, first) in due.items():
        name = f"due: {lane}"
        age = (now - first).total_seconds() if first else 0.0
        if lane not in rates and total:
            remedy = f"configure {lane} again, and they go out"
            found.append(Check(name, "warn", f"{total} deliveries wait for {lane}, which is not configured", remedy))
        elif lane in held:
            found.append(Check(name, "ok", f"{total} unfinished, held"))
        elif age <= OVERDUE:
            found.append(Check(name, "ok", f"{total} unfinished, none overdue"))
        else:
            found.append(overdue_check(name, overdue, age, rate=rates[lane], queued=queued, workers=workers))
    return found


def overdue_check(name: str, overdue: int, age: float, *, rate: float, queued: int, workers: int) -> Check:
    """Steps that nobody has taken for longer than it should take."""
    message = f"{overdue} overdue, the first for {age:.0f} s"
    if not workers:
        return Check(name, "fail", message, "start a worker")
    if rate:
        message += f"; at {rate:g} a second all take {overdue / rate / 60:.0f} min"
        return Check(name, "warn", message, "wait, or raise its rate; if they grow no fewer, look at the workers' log")
    if queued:
        message += f"; {queued} jobs are queued"
        return Check(name, "warn", message, "start more workers, or raise WORKER_THREADS")
    return Check(name, "fail", message, "workers live but dispatch nothing: look at their log and restart them")


def hold_checks(holds: Iterable[Hold]) -> list[Check]:
    """What is held: one that only an operator can lift is a failure."""
    found = [
        Check(
            f"hold: {hold.lane}",
            "fail" if hold.until is None else "warn",
            f"{hold.reason}: {hold.detail} (since {hold.since:%Y-%m-%d %H:%M}Z)",
            f"repair it, then: flask rooms resume {hold.lane}" if hold.until is None else "it is tried again by itself",
        )
        for hold in holds
    ]
    return found or [Check("holds", "ok", "none")]


def dead_letter_check(dead: int) -> Check:
    """Deliveries that were given up on."""
    if not dead:
        return Check("dead letters", "ok", "none")
    message = f"{count_of(dead, 'room')} with a delivery that was given up on"
    return Check("dead letters", "warn", message, "flask rooms list --state dead; then flask rooms resend SID")


def reconcile_check(last: datetime | None, *, every: float, now: datetime) -> Check:
    """Whether rooms whose callback never came are looked for. `every` in seconds, 0 for never."""
    if not every:
        return Check("reconcile", "warn", "switched off: a callback that is lost stays lost", "set RECONCILE_EVERY")
    if last is None:
        return Check("reconcile", "warn", "never done", "it needs a worker and Twilio credentials that work")
    age = now - last
    if age > timedelta(seconds=3 * every) + timedelta(minutes=10):
        message = f"last done {age.total_seconds() / 3600:.1f} h ago"
        return Check("reconcile", "warn", message, "look for `could not reconcile` in the worker's log")
    return Check("reconcile", "ok", f"last done {age.total_seconds() / 60:.0f} min ago")
