"""What the service measures of itself, for Prometheus: read from the ledger at each scrape, kept nowhere else.

So it is right with any number of web and worker processes, and every web process tells the same: a query takes the
`max` over instances, never the sum. What the web processes count by themselves comes into the ledger in batches (see
`room_reports.web.tally_writer`).
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from room_reports import __version__
from room_reports.ledger import BUCKETS, PARTICIPANTS, SUMMARY, Ledger, LedgerUnavailable, is_twilio

PREFIX = "room_reports_"
NO_REASON = "none"
"""The label of an attempt that has no reason; an empty one would be the same as no label."""

NOT_TAKEN = ("signature", "account", "host", "malformed", "media_type", "too_large", "truncated", "chunked", "redis")
"""Why a status callback, or an event, is not taken."""

CALLBACK_RESULTS = ("opened", "known", "expired", "ignored", *NOT_TAKEN, "too_many_parameters")
"""Everything that can come of a status callback; the first three are counted by the ledger itself."""

EVENT_RESULTS = (
    *("opened", "expired", "advanced", "known", "late", "joined", "early"),
    *("test", "ignored", *NOT_TAKEN, "method_not_allowed", "other"),
)
"""Everything that can come of an event, or of the request that brought it; the ledger counts the first seven."""

DIGEST_OUTCOMES = ("sent", "failed", "refused")
"""Everything that can come of an attempt to send a digest."""

REFUSALS = (
    "bad_request",
    "forbidden",
    "unauthorized",
    "not_found",
    "method_not_allowed",
    "request_entity_too_large",
    "uri_too_long",
    "request_header_fields_too_large",
    "expectation_failed",
    "too_many_requests",
    "other",
)
"""Why a request that was neither a status callback nor an event was not served."""

Labels = tuple[str, ...]


@dataclass(frozen=True)
class Family:
    """One metric: its kind, what it says, and its labels, each with a closed set of values."""

    kind: Literal["counter", "gauge", "histogram"]
    says: str
    labels: Labels = ()


FAMILIES: Mapping[str, Family] = {
    "build_info": Family("gauge", "Always 1; the version that answers.", ("version",)),
    "redis_up": Family("gauge", "1 when Redis answers. At 0 nothing below is told.", ()),
    "redis_writable": Family("gauge", "1 when a callback could be written down now.", ()),
    "callbacks_total": Family(
        "counter",
        "Status callbacks by what came of them: `opened`, `known`, `expired` (exact), `ignored`, or why not taken.",
        ("result",),
    ),
    "events_total": Family(
        "counter",
        "Events of Event Streams by what came of them: `opened`, `expired`, `advanced` (brought the summary of a room "
        "that was known), `known`, `late`, `joined` and `early` (participants; all exact), `test`, `ignored`, or why "
        "not taken.",
        ("result",),
    ),
    "requests_refused_total": Family("counter", "Requests that were neither and not served.", ("reason",)),
    "rooms_opened_total": Family("counter", "Rooms written down, by who told of them.", ("source",)),
    "rooms": Family("gauge", "Rooms in the ledger.", ("state",)),
    "dead_letters": Family("gauge", "Rooms with a delivery that was given up on and not sent again.", ()),
    "oldest_unfinished_age_seconds": Family("gauge", "Since the oldest unfinished room was opened; 0 for none.", ()),
    "summary_attempts_total": Family("counter", "Ended attempts to fetch a summary.", ("outcome", "reason")),
    "participants_attempts_total": Family(
        "counter", "Ended attempts to fetch the participants of a room.", ("outcome", "reason")
    ),
    "delivery_attempts_total": Family(
        "counter",
        "Ended attempts to deliver; outcome `delivered` counts deliveries, `provisional` messages that precede one.",
        ("destination", "outcome", "reason"),
    ),
    "resends_total": Family("counter", "Deliveries that an operator asked for again.", ("destination",)),
    "digest_attempts_total": Family(
        "counter",
        "Attempts to send the digest of a day; `sent` counts those that arrived, `failed` is tried again.",
        ("destination", "outcome"),
    ),
    "summary_seconds": Family("histogram", "From the end of a room to its summary, whole or partial.", ()),
    "delivery_seconds": Family("histogram", "From the end of a room to its first delivery.", ("destination",)),
    "steps_unfinished": Family("gauge", "Steps that are waiting, queued or running.", ("lane",)),
    "steps_overdue": Family("gauge", "Those of them that should have been looked at by now.", ("lane",)),
    "steps_overdue_seconds": Family("gauge", "How late the latest of them is; 0 for none.", ("lane",)),
    "lane_rate": Family("gauge", "Messages a second that go there at most; 0 without a limit.", ("lane",)),
    "held": Family("gauge", "1 while nothing is sent there.", ("lane",)),
    "held_until_resumed": Family("gauge", "1 while only an operator can end the hold.", ("lane",)),
    "holds_total": Family("counter", "What became of holds: held, extended, released, resumed.", ("lane", "event")),
    "queue_jobs": Family("gauge", "Jobs in RQ's queues.", ("queue",)),
    "workers": Family("gauge", "Worker processes that gave a sign of life within half a minute.", ()),
    "worker_threads": Family("gauge", "Their threads.", ()),
    "worker_threads_busy": Family("gauge", "Those of them that run a job.", ()),
    "last_reconcile_timestamp_seconds": Family("gauge", "When Twilio was last asked for rooms that never called.", ()),
}
"""Every metric, without `PREFIX`, in the order in which it is told."""

Values = Mapping[str, Mapping[Labels, float]]


class LedgerCollector(Collector):
    """Reads the ledger at each scrape: a dozen round trips, none of which grows with the number of rooms."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def collect(self) -> Iterator[Metric]:
        """Every metric; when Redis does not answer, only that."""
        version: Values = {"build_info": {(__version__,): 1}}
        try:
            gauges, tally = now(self._ledger), self._ledger.tally()
            redis: Values = {"redis_up": {(): 1}, "redis_writable": {(): is_writable(self._ledger)}}
        except LedgerUnavailable:
            yield from families({**version, "redis_up": {(): 0}, "redis_writable": {(): 0}})
            return
        yield from families({**version, **redis, **gauges, **counters(tally, self._ledger.rates)})
        yield histogram("summary_seconds", {(): durations(tally, {SUMMARY})[SUMMARY]})
        destinations = {name[1] for name in tally if name[0] == "seconds_from_end"}
        destinations -= {SUMMARY, PARTICIPANTS}
        yield histogram("delivery_seconds", {(name,): found for name, found in durations(tally, destinations).items()})


def registry_of(ledger: Ledger) -> CollectorRegistry:
    """A registry that has the ledger's metrics and nothing else: the process's own are not of interest."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(LedgerCollector(ledger))
    return registry


def is_writable(ledger: Ledger) -> int:
    """Whether a row could be written now: a Redis may answer and be full, or read-only."""
    try:
        ledger.ping_writable()
    except LedgerUnavailable:
        return 0
    return 1


def now(ledger: Ledger) -> Values:
    """The gauges, by name and labels. Raises `LedgerUnavailable`."""
    states = ledger.counts()
    due = ledger.due()
    held = {hold.lane: hold for hold in ledger.holds()}
    workers = ledger.workers().values()
    reconciled = ledger.reconciled_at()
    moment = time.time()
    return {
        "rooms": {(state,): count for state, count in states.items() if state != "all"},
        "dead_letters": {(): states["dead"]},
        "oldest_unfinished_age_seconds": {(): ledger.oldest_open()},
        "steps_unfinished": {(lane,): total for lane, (total, _, _) in due.items()},
        "steps_overdue": {(lane,): overdue for lane, (_, overdue, _) in due.items()},
        "steps_overdue_seconds": {
            (lane,): max(moment - first.timestamp(), 0) if first and overdue else 0
            for lane, (_, overdue, first) in due.items()
        },
        "lane_rate": {(lane,): rate for lane, rate in ledger.rates.items()},
        "held": {(lane,): lane in held for lane in due},
        "held_until_resumed": {(lane,): lane in held and held[lane].until is None for lane in due},
        "queue_jobs": {(queue,): length for queue, length in ledger.queue_lengths().items()},
        "workers": {(): len(workers)},
        "worker_threads": {(): sum(threads for threads, _ in workers)},
        "worker_threads_busy": {(): sum(busy for _, busy in workers)},
        "last_reconcile_timestamp_seconds": {(): reconciled.timestamp() if reconciled else 0},
    }


def counters(tally: Mapping[Labels, float], lanes: Iterable[str]) -> Values:
    """The counters out of the ledger's counts, by name and labels. What it does not know it leaves out."""
    found: defaultdict[str, defaultdict[Labels, float]] = defaultdict(lambda: defaultdict(float))
    # From the start, so that the first of each is seen as an increase.
    found["callbacks_total"] |= {(result,): 0.0 for result in CALLBACK_RESULTS}
    found["events_total"] |= {(result,): 0.0 for result in EVENT_RESULTS}
    found["digest_attempts_total"] |= {
        (lane, outcome): 0.0 for lane in lanes if not is_twilio(lane) for outcome in DIGEST_OUTCOMES
    }
    for (kind, *parts), value in tally.items():
        match kind, parts:
            case "opens", [source, result]:
                if source == "callback":
                    found["callbacks_total"][result,] += value
                if result != "known":
                    found["rooms_opened_total"][source,] += value
            case "callbacks", [result]:
                found["callbacks_total"][result,] += value
            case "events", [result]:
                found["events_total"][result,] += value
            case "requests", [reason]:
                found["requests_refused_total"][reason,] += value
            case "attempts", [step, outcome, reason]:
                if step == SUMMARY:
                    found["summary_attempts_total"][outcome, reason or NO_REASON] += value
                elif step == PARTICIPANTS:
                    found["participants_attempts_total"][outcome, reason or NO_REASON] += value
                else:
                    found["delivery_attempts_total"][step, outcome, reason or NO_REASON] += value
            case "resends", [step]:
                found["resends_total"][step,] += value
            case "digests", [destination, outcome]:
                found["digest_attempts_total"][destination, outcome] += value
            case "holds", [lane, event]:
                found["holds_total"][lane, event] += value
    return found


def durations(tally: Mapping[Labels, float], steps: Iterable[str]) -> dict[str, tuple[dict[float, float], float]]:
    """For each step: how many by the upper limit of their bucket, not cumulative, and the sum of the seconds."""
    found: dict[str, tuple[dict[float, float], float]] = {}
    for step in sorted(steps):
        buckets = dict.fromkeys((*(float(limit) for limit in BUCKETS), math.inf), 0.0)
        total = 0.0
        for name, value in tally.items():
            if name[:2] != ("seconds_from_end", step):
                continue
            if name[2] == "sum":
                total = value
            else:
                # A limit that an older version had, and this one has not, is counted with the next.
                buckets[min(limit for limit in buckets if limit >= float(name[2]))] += value
        found[step] = (buckets, total)
    return found


def families(values: Values) -> Iterator[Metric]:
    """Counters and gauges as the library wants them, in the order of `FAMILIES`."""
    for name, family in FAMILIES.items():
        if name not in values or family.kind == "histogram":
            continue
        make = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
        metric = make(PREFIX + name, family.says, labels=family.labels)
        for labels, value in sorted(values[name].items()):
            metric.add_metric(labels, value)
        yield metric


def histogram(name: str, found: Mapping[Labels, tuple[dict[float, float], float]]) -> Metric:
    """A histogram as the library wants it, its buckets cumulative."""
    family = FAMILIES[name]
    metric = HistogramMetricFamily(PREFIX + name, family.says, labels=family.labels)
    for labels, (buckets, total) in found.items():
        so_far, cumulative = 0.0, []
        for limit, count in sorted(buckets.items()):
            so_far += count
            cumulative.append(("+Inf" if limit == math.inf else f"{limit:g}", so_far))
        metric.add_metric(labels, cumulative, total)
    return metric
