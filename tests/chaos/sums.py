"""Whether the metrics add up to what happened: the last scrape against the rows, and no counter that ever fell.

What the ledger counts must equal the rows exactly, whatever was killed. What web processes count by themselves may lack
what a killed one had counted since it last wrote: that much and no more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from room_reports.ledger import PARTICIPANTS, SUMMARY
from room_reports.metrics import FAMILIES, NO_REASON
from room_reports.web.tally_writer import EVERY
from tests.chaos.history import Record, is_success
from tests.chaos.plan import Hit

Numbers = Mapping[tuple[str, ...], float]

WEB_DEATHS = frozenset({"web killed", "web process killed"})
REDIS = frozenset({"redis killed", "redis stopped"})
OF_KNOWN_ROOMS = ("advanced", "known", "late")
"""What comes of the event of a room that is known."""

UNWRITTEN = EVERY + 3.0
"""Seconds in which a web process may not have written what it counted: its pause, and a Redis that answers late."""

COUNTED_BY_THE_LEDGER = frozenset(
    {"rooms", "rooms_opened_total", "summary_attempts_total", "participants_attempts_total", "resends_total"}
    | {"delivery_attempts_total", "summary_seconds_count", "delivery_seconds_count", "dead_letters"}
)


@dataclass(frozen=True)
class Sums:
    """What the comparison came to. `equal`: numbers that are as the rows have them; `forged`: refusals told, sent."""

    problems: tuple[str, ...]
    scrapes: int
    equal: int
    forged: tuple[int, int]

    def __str__(self) -> str:
        told, sent = self.forged
        return (
            f"{self.equal} numbers of the last of {self.scrapes} scrapes equal the rows; "
            f"{told} of {sent} forged callbacks told"
        )


def compare(record: Record) -> Sums:
    """Compares a run that has come to its end."""
    answered = [scrape for scrape in record.scrapes if scrape.samples]
    if not answered or answered[-1] is not record.scrapes[-1]:
        return Sums(("the last scrape was not answered",), len(answered), 0, (0, 0))
    last = answered[-1].samples or {}
    expected = numbers_of(record)
    told = {name: value for name, value in last.items() if name[0] in COUNTED_BY_THE_LEDGER}
    differing = [name for name in sorted({*told, *expected}) if told.get(name, 0) != expected.get(name, 0)]
    problems = [
        *(f"{' '.join(name)}: told {told.get(name, 0):g}, rows {expected.get(name, 0):g}" for name in differing),
        *wrong_opens(record, last),
        *wrong_events(record, last),
        *wrong_holds(last),
        *wrong_refusals(record, last),
        *falling(answered[index].samples or {} for index in range(len(answered))),
    ]
    sent = sum(callback.kind == "forged" for callback in record.sent)
    return Sums(
        tuple(f"metrics: {problem}" for problem in problems),
        len(answered),
        len({*told, *expected}) - len(differing),
        (int(last.get(("callbacks_total", "signature"), 0)), sent),
    )


def numbers_of(record: Record) -> Numbers:
    """What the ledger should have counted, out of the rows and the records of attempts."""
    found: Counter[tuple[str, ...]] = Counter()
    for room in record.rooms.values():
        found["rooms", room.state] += 1
        found["dead_letters",] += room.state == "dead"
        found["rooms_opened_total", room.source] += 1
        for step in room.steps:
            if step.finished is not None and step.state != "dead" and step.name != PARTICIPANTS:
                found[
                    ("summary_seconds_count",) if step.name == SUMMARY else ("delivery_seconds_count", step.name)
                ] += 1
        for attempt in room.attempts:
            if attempt["outcome"] == "event":
                continue
            if attempt["outcome"] == "resend":
                found["resends_total", attempt["step"]] += 1
                continue
            what = attempt["outcome"], attempt.get("reason") or NO_REASON
            step_name = attempt["step"]
            found[
                (f"{step_name}_attempts_total", *what)
                if step_name in (SUMMARY, PARTICIPANTS)
                else ("delivery_attempts_total", step_name, *what)
            ] += 1
    return found


def wrong_opens(record: Record, told: Numbers) -> Iterator[str]:
    """Every callback answered 2xx was opened or known; one row was opened once."""
    opened, known, expired = (told["callbacks_total", result] for result in ("opened", "known", "expired"))
    rows = sum(room.source == "callback" for room in record.rooms.values())
    if opened + expired != rows:
        yield f"callbacks opened {opened:g} rooms, there are {rows} rows"
    answered = sum(is_success(callback) for callback in record.sent)
    if opened + known + expired < answered:
        yield f"{answered} callbacks were answered 2xx, {opened + known + expired:g} are told"


def wrong_holds(told: Numbers) -> Iterator[str]:
    """What was held is released or resumed, or still held."""
    lanes = {name[1] for name in told if name[0] == "holds_total"}
    for lane in sorted(lanes):
        began, released, resumed = (told.get(("holds_total", lane, it), 0) for it in ("held", "released", "resumed"))
        now = told["held", lane]
        if began - released - resumed != now:
            yield f"{lane}: held {began:g} times, released {released:g}, resumed {resumed:g}, held now: {now:g}"


def wrong_events(record: Record, told: Numbers) -> Iterator[str]:
    """The same for events: what is answered 2xx has come to something, once for each room in it."""
    results = {result: told.get(("events_total", result), 0) for result in ("opened", "expired", *OF_KNOWN_ROOMS)}
    rows = sum(room.source == "events" for room in record.rooms.values())
    if results["opened"] + results["expired"] != rows:
        yield f"events opened {results['opened']:g} rooms, there are {rows} rows"
    answered = sum(len(events.room_sids) for events in record.events if is_success(events))
    if sum(results.values()) < answered:
        yield f"{answered} rooms' events were answered 2xx, {sum(results.values()):g} are told"


def wrong_refusals(record: Record, told: Numbers) -> Iterator[str]:
    """Forged callbacks and events are told, but for what killed web processes took along."""
    for what, sent in (("callbacks", record.sent), ("events", record.events)):
        forged = [one for one in sent if one.kind == "forged"]
        refused = [one.sent_at for one in forged if one.status == 403]
        certain = sum(not any(may_be_lost(record, hit, at) for hit in record.hits) for at in refused)
        number = told.get((f"{what}_total", "signature"), 0)
        if not certain <= number <= len(forged):
            yield f"{len(forged)} forged {what}, {certain} refused for certain, {number:g} told"


def may_be_lost(record: Record, death: Hit, at: float) -> bool:
    """Whether what was counted at that time may not have been written when a web process died."""
    if death.blow.kind not in WEB_DEATHS or at > death.ended:
        return False
    outages = [hit for hit in record.hits if hit.blow.kind in REDIS and hit.began - UNWRITTEN <= at <= hit.ended]
    latest = max([at, *(hit.ended for hit in outages)]) + UNWRITTEN
    return death.began <= latest


def falling(scrapes: Iterator[Numbers]) -> Iterator[str]:
    """Counters that went back from one scrape to a later one, which a query would take for a restart."""
    highest: dict[tuple[str, ...], float] = {}
    for told in scrapes:
        for name, value in told.items():
            if name[0] in FAMILIES and FAMILIES[name[0]].kind != "counter":
                continue
            if value < highest.get(name, 0):
                yield f"{' '.join(name)} fell from {highest[name]:g} to {value:g}"
            highest[name] = value
