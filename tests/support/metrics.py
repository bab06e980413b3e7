"""A ledger in which everything has happened once, and what a scrape of `/metrics` says, as plain values."""

from __future__ import annotations

from datetime import UTC, date, datetime

from prometheus_client.parser import text_string_to_metric_families

from room_reports.ledger import Ledger, Outcome, Sending
from room_reports.metrics import FAMILIES, PREFIX

SUFFIXES = ("_bucket", "_count", "_sum")


def samples_of(text: str) -> dict[tuple[str, ...], float]:
    """Every sample by its name without prefix and its labels in the order of the list; a bucket's limit comes last."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            name = sample.name.removeprefix(PREFIX)
            listed = FAMILIES.get(name) or FAMILIES[name.rpartition("_")[0]]
            labels = [sample.labels[label] for label in (*listed.labels, "le") if label in sample.labels]
            found[name, *labels] = sample.value
    return found


def fill(ledger: Ledger) -> None:
    """One of everything that can happen."""
    ledger.dispatch()  # makes its lanes known to ledgers with other ones
    sids = [f"RM{number:032x}" for number in range(4)]
    for sid in (*sids, sids[0]):
        ledger.open(
            room_sid=sid, account_sid="AC", room_name="a-name-of-a-room", ended=None, callback="{}", request_id="r"
        )
    run(ledger, sids[0], "summary", Outcome("complete", opens=("webhook",)))
    run(ledger, sids[0], "webhook", Outcome("delivered"))
    ledger.resend(sids[0], ["webhook"], who="me")
    run(ledger, sids[0], "webhook", Outcome("delivered"), attempt=2)
    run(ledger, sids[1], "summary", Outcome("complete", opens=("participants",)))
    run(ledger, sids[1], "participants", Outcome("partial", "rejected", opens=("webhook",)))
    run(ledger, sids[1], "webhook", Outcome("dead", "rejected"))
    run(ledger, sids[2], "summary", Outcome("complete", opens=("slack",)))
    run(ledger, sids[2], "slack", Outcome("waiting", "gone", lane="operator"))
    run(ledger, sids[3], "summary", Outcome("waiting", "not_ready", pause=60))
    for state in ("failed", "sent", "sent"):  # the last of them noted twice
        ledger.digests.note(date(2026, 11, 22), "webhook", Sending(state, 1, 1, 0.0))
    ledger.note_worker("one", threads=32, busy=5)
    ledger.note_worker("two", threads=16, busy=0)
    ledger.note_reconciled(datetime.now(UTC))


def run(ledger: Ledger, sid: str, step: str, outcome: Outcome, *, attempt: int = 1) -> None:
    claim = ledger.begin(sid, step, attempt)
    assert claim is not None
    assert ledger.finish(claim, outcome, took=0.1) is not None
