"""What stands at the top of the page: whether all is well, what is held, and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from room_reports.checks import Check
from room_reports.checks.work import due_checks, reconcile_check, workers_check
from room_reports.ledger import Hold
from room_reports.web.ops.desk import Desk, Patience


@dataclass(frozen=True)
class HeldLane:
    """A hold, and how many unfinished steps wait for its end."""

    hold: Hold
    waiting: int


@dataclass(frozen=True)
class Overview:
    """The state of the whole. `held`: with what waits; `troubles`: what else is not as it should be.

    `workers`: how many live, in words; `reconciled`: when rooms without a callback were last looked for, aware UTC.
    """

    counts: Mapping[str, int]
    held: tuple[HeldLane, ...]
    troubles: tuple[Check, ...]
    workers: str
    overdue: int
    unfinished: int
    reconciled: datetime | None
    now: datetime

    @property
    def is_well(self) -> bool:
        """Whether nobody has to do anything."""
        return not (self.held or self.troubles)


def overview(desk: Desk, patience: Patience) -> Overview:
    """Reads the overview. Raises `LedgerUnavailable`."""
    ledger, now = desk.ledger, datetime.now(UTC)
    counts = patience.ask(ledger.counts)
    holds = patience.ask(ledger.holds)
    due = patience.ask(ledger.due)
    workers = patience.ask(ledger.workers)
    reconciled = patience.ask(ledger.reconciled_at)
    held = {hold.lane for hold in holds}
    of_workers = workers_check(workers)
    checks = [
        of_workers,
        *due_checks(
            due, lanes=desk.lanes, held=held, queued=patience.ask(ledger.queued), workers=len(workers), now=now
        ),
        reconcile_check(reconciled, every=desk.reconcile_every, now=now),
    ]
    return Overview(
        counts=counts,
        held=tuple(HeldLane(hold, due[hold.lane][0]) for hold in holds),
        troubles=tuple(check for check in checks if check.level != "ok"),
        workers=of_workers.message,
        overdue=sum(overdue for lane, (_, overdue, _) in due.items() if lane not in held),
        unfinished=sum(total for total, _, _ in due.values()),
        reconciled=reconciled,
        now=now,
    )
