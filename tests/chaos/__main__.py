"""Runs and judges; exits with 1 when a promise was broken, 2 when the run did not come to its end."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from room_reports.ledger import LedgerUnavailable
from sandbox import answers
from tests.chaos.callers import send_all
from tests.chaos.history import Record
from tests.chaos.judge import PROVISIONAL_WORDS, Verdict, judge
from tests.chaos.plan import Blow, Hit, blows
from tests.chaos.record import pages_of, record_of
from tests.chaos.scrapes import Scraper
from tests.chaos.stage import Stage
from tests.support.servers import ENGINES

PROBLEMS_SHOWN = 40
FAULTS = (answers.status(500), answers.status(503), answers.too_many(1), answers.reset(), answers.accept_and_reset())
NOT_READY = (answers.not_found(), answers.not_found(), answers.in_progress(), answers.in_progress("in-progress"))


def main() -> int:
    """One run."""
    options = parse()
    print(f"chaos: seed {options.seed}, {options.rooms} rooms at {options.rate:g} a second", flush=True)
    with tempfile.TemporaryDirectory(prefix="chaos-", ignore_cleanup_errors=True) as name:
        folder = Path(options.keep or f"{name}/logs")
        folder.mkdir(parents=True)
        record, took = run(options, folder)
    verdict = judge(record)
    summarise(options, record, verdict, took)
    return 1 if verdict.problems else 0


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--rooms", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=0, help="rooms a second (default: 10 to 40)")
    parser.add_argument("--every", type=float, default=0, help="seconds between blows (default: 1)")
    parser.add_argument("--webs", type=int, default=2)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--engine", choices=ENGINES, default="valkey")
    parser.add_argument("--fsync", choices=("always", "everysec"), default="always", help="of the append-only file")
    parser.add_argument("--old", metavar="REVISION", help="run the first worker from this commit")
    parser.add_argument("--events", action="store_true", help="some rooms also by events, some by events alone")
    parser.add_argument("--slack-app", action="store_true", help="with the Slack app as a third destination")
    parser.add_argument("--keep", metavar="FOLDER", help="keep the logs in this new folder")
    options = parser.parse_args()
    if options.events and options.old:
        parser.error("--old knows no events")
    # A short run has to last long enough for every kind of blow to fall.
    options.rate = options.rate or min(40.0, max(10.0, options.rooms / 20))
    options.every = options.every or 1.0
    return options


def run(options: argparse.Namespace, folder: Path) -> tuple[Record, float]:
    """The whole run: the stage, the rooms and the blows together, the end of all work, and what is known then."""
    started = time.monotonic()
    stage = Stage(
        folder=folder,
        webs=options.webs,
        workers=options.workers,
        engine=options.engine,
        fsync=options.fsync,
        old=options.old,
        slack_app=options.slack_app,
    )
    with stage:
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, lambda *_: stage.abandon())
        make_unreliable(stage, seed=options.seed)
        planned = blows(
            seed=options.seed,
            seconds=options.rooms / options.rate,
            every=options.every,
            webs=options.webs,
            workers=options.workers,
        )
        scraper = Scraper(stage.hosts)
        with scraper, ThreadPoolExecutor(1 + len(planned)) as pool:
            sending = pool.submit(
                send_all,
                stage,
                rooms=options.rooms,
                rate=options.rate,
                seed=options.seed,
                with_events=options.events,
            )
            start = time.monotonic()
            falling = [pool.submit(fall, stage, blow, start) for blow in planned]
            hits = [blow.result() for blow in falling]
            sent, events = sending.result()
        stage.clear_up()
        drain(stage, patience=60 + options.rooms / 50)
        scraper.last()
        pages = list(pages_of(stage.url(0)))
        hits += [Hit(Blow("worker terminated", -1, 0, 0), time.time(), time.time(), note) for note in stage.stop()]
        record = record_of(stage, sent=sent, events=events, hits=hits, pages=pages, scrapes=scraper.found)
        return record, time.monotonic() - started


def make_unreliable(stage: Stage, *, seed: int) -> None:
    """The ordinary misery of the other sides: late summaries, slow answers, passing faults, lost answers."""
    stage.sandbox.twilio.faults(0.4, *NOT_READY, *FAULTS, answers.truncated_json(), seed=seed)
    stage.sandbox.slack.faults(0.05, *FAULTS, seed=seed + 1)
    stage.sandbox.slack_api.faults(0.08, *FAULTS, seed=seed + 3)
    stage.sandbox.receiver.faults(0.05, *FAULTS, seed=seed + 2)
    stage.sandbox.twilio.latency(0.15)
    stage.sandbox.slack.latency(0.05)
    stage.sandbox.slack_api.latency(0.05)
    stage.sandbox.receiver.latency(0.05)


def fall(stage: Stage, blow: Blow, start: float) -> Hit:
    """Waits for the time of a blow and strikes."""
    time.sleep(max(0.0, start + blow.at - time.monotonic()))
    return stage.strike(blow)


def drain(stage: Stage, *, patience: float) -> None:
    """Waits until nothing is open, resuming as an operator would. Exits with 2 when that does not come to pass."""
    ledger = stage.ledger()
    end = time.monotonic() + patience
    while time.monotonic() < end:
        try:
            stage.resume_holds()
            waiting = sum(total for total, _, _ in ledger.due().values())
            if not waiting and not ledger.counts()["open"] and not stage.started_jobs():
                return
        except LedgerUnavailable:
            pass
        time.sleep(0.25)
    print(f"not drained after {patience:g} s: {ledger.due()}, {ledger.counts()}, {ledger.holds()}")
    sys.exit(2)


def summarise(options: argparse.Namespace, record: Record, verdict: Verdict, took: float) -> None:
    """The one summary of a run."""
    blows_by_kind = Counter(hit.blow.kind for hit in record.hits if hit.blow.target >= 0)
    states = Counter(room.state for room in record.rooms.values())
    arrived = {name: sum(len(found) for found in rooms.values()) for name, rooms in record.arrivals.items()}
    rows = {
        "seed": options.seed,
        "engine": f"{options.engine}, AOF, appendfsync {options.fsync}",
        "processes": f"{options.webs} webs of 2, {options.workers} workers of 16 threads"
        + (f", one of them from {options.old}" if options.old else ""),
        "took": f"{took:.0f} s",
        "rooms ended": options.rooms,
        "callbacks sent": len(record.sent),
        **events_of(record),
        "forged": verdict.forged,
        "promised (2xx)": verdict.promised,
        "not promised": f"{verdict.not_promised} (no 2xx, and not sent again)",
        "blows": ", ".join(f"{count} {kind}" for kind, count in sorted(blows_by_kind.items())),
        "rooms by state": ", ".join(f"{count} {state}" for state, count in sorted(states.items())),
        "arrived": ", ".join(f"{count} at {name}" for name, count in arrived.items()),
        **one_message_each(record),
        "lost": verdict.lost,
        "duplicates": f"{verdict.outside} outside the send window, {verdict.inside} inside, "
        f"{verdict.unheard} whose first answer was lost on the way",
        "recovery of a killed worker's steps": verdict.recovery,
        "metrics": str(verdict.sums),
        "broken promises": len(verdict.problems),
    }
    for name, value in rows.items():
        print(f"  {name + ':':38}{value}")
    for problem in verdict.problems[:PROBLEMS_SHOWN]:
        print(f"  - {problem}")


def events_of(record: Record) -> dict[str, str]:
    """What was sent of events, and what came of them."""
    if not record.events:
        return {}
    by_event = {sid for events in record.events if events.kind == "honest" for sid in events.room_sids}
    by_callback = {callback.room_sid for callback in record.sent if callback.kind != "forged"}
    brought = sum(any(one["outcome"] == "event" for one in room.attempts) for room in record.rooms.values())
    opened = sum(room.source == "events" for room in record.rooms.values())
    return {
        "requests with events": f"{len(record.events)}; {len(by_callback - by_event)} rooms by callback, "
        f"{len(by_callback & by_event)} by both, {len(by_event - by_callback)} by events alone",
        "what events did": f"opened {opened} rooms, brought the summary of {brought} that were known",
    }


def one_message_each(record: Record) -> dict[str, str]:
    """What stands in the channel of the Slack app."""
    if record.messages is None:
        return {}
    ends = [texts[0] for texts in record.messages.values() if len(texts) == 1 and PROVISIONAL_WORDS not in texts[0]]
    provisional = sum(
        attempt["step"] == "slack_app" and attempt["outcome"] == "provisional" and not attempt.get("reason")
        for room in record.rooms.values()
        for attempt in room.attempts
    )
    return {
        "messages of the Slack app": f"{sum(map(len, record.messages.values()))} for {len(record.rooms)} rooms, "
        f"{len(ends)} alone and in their final form; {provisional} were provisional first"
    }


if __name__ == "__main__":
    sys.exit(main())
