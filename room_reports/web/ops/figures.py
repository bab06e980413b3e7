"""The figures: what pictures are drawn from, each with the table behind it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial

from markupsafe import Markup

from room_reports.ledger import PARTICIPANTS, SUMMARY, Day, Durations, Hold, Step, is_twilio
from room_reports.ledger.pages import Unfinished
from room_reports.waiting import Cause, waiting_of
from room_reports.web.ops import wording
from room_reports.web.ops.charts import Bar, lying, upright
from room_reports.web.ops.desk import Desk, Patience
from room_reports.words import count_of, roughly

HOURS = 48
DAYS = 30

CAUSES: dict[Cause, str] = {
    "held": "held: {}",
    "running": "being tried now",
    "queued": "a worker to take it",
    "turn": "its turn: it is due",
    "summary": "Twilio's summary",
    "retry": "the next attempt",
}
"""What steps wait for, in the few words that stand at a bar."""

OUTCOMES = {"delivered": "good", "provisional": "good", "waiting": "warn", "lost": "warn", "dead": "bad"}
OUTCOME_WORDS = {
    "delivered": "delivered",
    "provisional": "room ended",
    "waiting": "to be repeated",
    "lost": "lost a worker",
    "dead": "given up",
}


@dataclass(frozen=True)
class Figure:
    """Bars and the table behind them. `note`: what they say in one line; `is_empty`: there is nothing to draw yet."""

    key: str
    title: str
    note: str
    bars: list[Bar]
    headings: tuple[str, ...]
    rows: list[tuple[str, ...]]
    is_empty: bool
    draw: Callable[..., Markup] = upright

    @property
    def picture(self) -> Markup:
        """The bars, drawn."""
        return self.draw(self.bars, title=self.title)


def figures(desk: Desk, patience: Patience) -> list[Figure]:
    """Reads and draws all of them. Raises `LedgerUnavailable`."""
    ledger, now = desk.ledger, datetime.now(UTC)
    by_hour = patience.ask(lambda: ledger.pages.opened_by_hour(hours=HOURS, now=now))
    until_summary = patience.ask(ledger.until_summary)
    tally = patience.ask(ledger.tally)
    days = patience.ask(ledger.days)
    due = patience.ask(ledger.due)
    holds = patience.ask(ledger.holds)
    lanes = {lane: total for lane, (total, _, _) in due.items()}
    unfinished, not_looked_at = patience.ask(lambda: ledger.pages.unfinished(lanes))
    return [
        rooms_by_hour(by_hour),
        what_waits(unfinished, not_looked_at, holds, now=now),
        summary_times(until_summary),
        delivery_attempts(tally),
        minutes_by_day(days, today=now.date()),
    ]


def rooms_by_hour(counted: Sequence[tuple[datetime, int]]) -> Figure:
    """How many rooms ended in each hour, by when they were heard of, which is at once but for reconciled ones."""
    total = sum(count for _, count in counted)
    bars = [Bar(_hour_label(begin), count, f"{begin:%d %b %H:00}: {count:,}") for begin, count in counted]
    return Figure(
        "hours",
        "Rooms ended, by hour",
        f"{count_of(total, 'room')} in {HOURS} hours, UTC",
        bars,
        ("Hour (UTC)", "Rooms"),
        [(f"{begin:%Y-%m-%d %H:00}", f"{count:,}") for begin, count in reversed(counted)],
        not total,
    )


def _hour_label(begin: datetime) -> str:
    """At every sixth hour; at midnight the day."""
    if begin.hour % 6:
        return ""
    return f"{begin:%H}" if begin.hour else f"{begin:%d %b}"


def what_waits(unfinished: Sequence[Unfinished], not_looked_at: int, holds: Sequence[Hold], *, now: datetime) -> Figure:
    """Unfinished steps by what they wait for."""
    held = {hold.lane: hold for hold in holds}
    counts: Counter[str] = Counter()
    for found in unfinished:
        due = now if found.is_due else now + timedelta(seconds=1)
        name = SUMMARY if is_twilio(found.lane) else found.lane
        step = Step(name, found.state, 0, 0, 1, None, due, found.reason, None)
        cause = waiting_of(step, held.get(found.lane), now=now).cause
        counts[CAUSES[cause].format(wording.lane(found.lane))] += found.count
    if not_looked_at:
        counts["due later"] = not_looked_at
    bars = [
        Bar(cause, count, f"{cause}: {count:,}", "bad" if cause.startswith("held") else "")
        for cause, count in counts.most_common()
    ]
    return Figure(
        "waiting",
        "What waits, by cause",
        f"{count_of(counts.total(), 'unfinished step')} now",
        bars,
        ("Waits for", "Steps"),
        [(bar.label, f"{bar.value:,}") for bar in bars],
        not bars,
        lying,
    )


def summary_times(times: Durations) -> Figure:
    """How long Twilio took to complete summaries."""
    limits = sorted(times.buckets)
    bars = [
        Bar(_up_to(limit), times.buckets[limit], f"{_range(limits, place)}: {times.buckets[limit]:,}")
        for place, limit in enumerate(limits)
    ]
    usual = ", ".join(f"{share:.0%} {_within(times.within(share), limits)}" for share in (0.5, 0.95))
    return Figure(
        "summaries",
        "From the end of a room to its summary",
        f"{count_of(times.count, 'room')}: {usual}",
        bars,
        ("Took", "Rooms"),
        [(_range(limits, place), f"{times.buckets[limit]:,}") for place, limit in enumerate(limits)],
        not times.count,
    )


def _up_to(limit: float) -> str:
    if limit == float("inf"):
        return "more"
    return roughly(limit).replace("days", "d").replace(" min", "m").replace(" ", "")


def _within(limit: float, limits: Sequence[float]) -> str:
    return f"within {roughly(limit)}" if limit != float("inf") else _range(limits, len(limits) - 1)


def _range(limits: Sequence[float], place: int) -> str:
    if limits[place] == float("inf"):
        return f"more than {roughly(limits[place - 1])}" if place else "any time"
    return f"up to {roughly(limits[place])}"


def delivery_attempts(tally: dict[tuple[str, ...], float]) -> Figure:
    """Attempts to deliver, by destination and outcome."""
    counts: Counter[tuple[str, str]] = Counter()
    rows: Counter[tuple[str, str, str]] = Counter()
    for name, number in tally.items():
        if name[0] == "attempts" and name[1] not in (SUMMARY, PARTICIPANTS):
            counts[name[1], name[2]] += int(number)
            rows[name[1], OUTCOME_WORDS.get(name[2], name[2]), name[3]] += int(number)
    bars = [
        Bar(
            f"{step}: {OUTCOME_WORDS.get(outcome, outcome)}",
            counts[step, outcome],
            f"{step}: {OUTCOME_WORDS.get(outcome, outcome)}: {counts[step, outcome]:,}",
            OUTCOMES.get(outcome, ""),
        )
        for step, outcome in sorted(counts, key=lambda pair: (pair[0], list(OUTCOMES).index(pair[1])))
    ]
    return Figure(
        "deliveries",
        "Delivery attempts, by outcome",
        f"{count_of(counts.total(), 'attempt')} since the beginning",
        bars,
        ("Destination", "Outcome", "Reason", "Attempts"),
        [(step, outcome, reason or "-", f"{count:,}") for (step, outcome, reason), count in sorted(rows.items())],
        not bars,
        lying,
    )


def minutes_by_day(days: dict[date, Day], *, today: date) -> Figure:
    """The time that people spent in rooms, by the day on which these ended."""
    shown = [today - timedelta(days=back) for back in reversed(range(DAYS))]
    found = [(day, days.get(day, Day(0, 0, 0))) for day in shown]
    bars = [
        Bar(f"{day:%d %b}", of.participant_seconds / 60, f"{day:%d %b}: {of.participant_seconds / 60:,.0f} min")
        for day, of in found
    ]
    total = sum(of.participant_seconds for _, of in found) / 60
    return Figure(
        "minutes",
        "Participant minutes, by day",
        f"{total:,.0f} minutes in {DAYS} days, UTC",
        bars,
        ("Day (UTC)", "Rooms", "Participant minutes", "Recorded minutes"),
        [
            (f"{day}", f"{of.rooms:,}", f"{of.participant_seconds / 60:,.0f}", f"{of.recorded_seconds / 60:,.0f}")
            for day, of in reversed(found)
        ],
        not any(of.rooms for _, of in found),
        partial(upright, every=7),
    )
