"""The judge itself: a run in which everything was kept passes, and each broken promise is seen."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest

from room_reports.ledger import Room, Step
from sandbox.client import SentCallback
from sandbox.history import Exchange
from tests.chaos.history import Record, SentEvents
from tests.chaos.judge import judge
from tests.chaos.plan import DECK, Blow, Hit, Kind, blows
from tests.chaos.scrapes import Scrape
from tests.chaos.sums import compare

SID = "RM" + "a" * 32
STRANGER = "RM" + "b" * 32
T = 1_800_000_000.0
FINAL_TEXT = "daily: 42 min, 6 people"


def callback(sid: str = SID, *, kind: Any = "honest", status: int | None = 204) -> SentCallback:
    return SentCallback(sid, kind, {}, T, 0.01, status, {}, "", "")


def arrival(at: float = T + 1, *, sid: str = SID, message_id: str = "msg_1", **changes: Any) -> Exchange:
    exchange = Exchange(at, "POST", "/", 204, True, sid, message_id, True, "", None, None)
    return replace(exchange, **changes)


def told_of(*sids: str, kind: Any = "honest", status: int | None = 204) -> SentEvents:
    return SentEvents(sids, kind, T, status)


def row(*, state: str = "delivered", attempts: tuple[dict[str, Any], ...] = (), step: str = "delivered") -> Room:
    moment = datetime.fromtimestamp(T, UTC)
    steps = (
        Step("summary", "complete", 1, 0, 1, moment, None, None, moment),
        Step("slack", "delivered", 1, 0, 1, moment, None, None, moment),
        Step("webhook", step, 1, 0, 1, moment, None, None, moment),
    )
    return Room(
        SID, state, "AC", "name", "callback", "", moment, None, moment, "", None, (), None, None, 1, steps, attempts
    )


def hit(kind: Kind, began: float, ended: float, **changes: Any) -> Hit:
    return Hit(Blow(kind, 0, 0, 0), began, ended, **changes)


def record(**changes: Any) -> Record:
    kept = Record(
        sent=(callback(), callback(kind="duplicate"), callback(STRANGER, kind="forged", status=403)),
        asked=(arrival(T + 0.5),),
        deliveries={"slack": (arrival(),), "webhook": (arrival(),)},
        rooms={SID: row()},
        states={"delivered": frozenset({SID}), "open": frozenset()},
        hits=(),
        left=(),
        leaks=(),
        failures=(),
        scrapes=(Scrape(T, TOLD),),
    )
    return replace(kept, **changes)


TOLD = {
    ("rooms", "delivered"): 1.0,
    ("rooms_opened_total", "callback"): 1.0,
    ("summary_seconds_count",): 1.0,
    ("delivery_seconds_count", "slack"): 1.0,
    ("delivery_seconds_count", "webhook"): 1.0,
    ("callbacks_total", "opened"): 1.0,
    ("callbacks_total", "known"): 1.0,
    ("callbacks_total", "expired"): 0.0,
    ("callbacks_total", "signature"): 1.0,
    ("holds_total", "slack", "held"): 1.0,
    ("holds_total", "slack", "resumed"): 1.0,
    ("held", "slack"): 0.0,
}


def test_kept_promises_pass() -> None:
    verdict = judge(record())
    assert verdict.problems == ()
    assert (verdict.promised, verdict.lost, verdict.forged) == (1, 0, 1)


def test_one_message_of_the_slack_app_in_its_final_form_passes() -> None:
    assert judge(record(messages={SID: (FINAL_TEXT,)})).problems == ()


def test_a_room_by_events_alone_is_promised_as_well() -> None:
    by_events = replace(row(), source="events")
    scrapes = told(
        callbacks_total__opened=0,
        callbacks_total__known=0,
        callbacks_total__signature=0,
        rooms_opened_total__callback=0,
        rooms_opened_total__events=1,
        events_total__opened=1,
        events_total__known=1,
        events_total__signature=1,
    )[1:]
    events = (told_of(status=503), told_of(SID), told_of(SID), told_of(STRANGER, kind="forged", status=403))
    kept = record(sent=(), events=events, rooms={SID: by_events}, scrapes=scrapes)
    assert (judge(kept).problems, judge(kept).promised, judge(kept).forged) == ((), 1, 1)
    assert "not in the ledger" in str(judge(replace(kept, rooms={}, states={})).problems)
    silent = (Scrape(T, {**scrapes[0].samples, ("events_total", "known"): 0.0}),)  # type: ignore[dict-item]
    assert "2 rooms' events were answered 2xx, 1 are told" in str(judge(replace(kept, scrapes=silent)).problems)


def test_a_callback_without_2xx_promised_nothing() -> None:
    unanswered = record(
        sent=(callback(status=503),),
        asked=(),
        rooms={},
        states={},
        deliveries={"slack": (), "webhook": ()},
        scrapes=(Scrape(T, dict.fromkeys(TOLD, 0.0)),),
    )
    verdict = judge(unanswered)
    assert (verdict.problems, verdict.promised, verdict.not_promised) == ((), 0, 1)


BROKEN = {
    "lost row": ({"rooms": {}, "states": {}}, "not in the ledger"),
    "never delivered": ({"deliveries": {"slack": (), "webhook": (arrival(),)}}, "never arrived at slack"),
    "refused is not delivered": (
        {"deliveries": {"slack": (arrival(accepted=False),), "webhook": (arrival(),)}},
        "never arrived at slack",
    ),
    "two final states": ({"states": {"delivered": frozenset({SID}), "dead": frozenset({SID})}}, "in the indexes"),
    "dead letter": ({"rooms": {SID: row(state="dead")}, "states": {"dead": frozenset({SID})}}, "dead, its steps"),
    "unfinished step": ({"rooms": {SID: row(step="running")}}, "'webhook': 'running'"),
    "delivered twice": (
        {"deliveries": {"slack": (arrival(), arrival(T + 9)), "webhook": (arrival(),)}},
        "arrived again at slack",
    ),
    "two webhook-ids": (
        {
            "deliveries": {"slack": (arrival(),), "webhook": (arrival(), arrival(T + 6, message_id="msg_2"))},
            "hits": (hit("worker killed", T + 1.1, T + 2),),
        },
        "webhook-ids",
    ),
    "wrong signature": (
        {"deliveries": {"slack": (arrival(),), "webhook": (arrival(verified=False),)}},
        "did not verify",
    ),
    "forged accepted": ({"sent": (callback(), callback(STRANGER, kind="forged", status=204))}, "was answered 204"),
    "forged event accepted": ({"events": (told_of(STRANGER, kind="forged", status=204),)}, "forged event was answered"),
    "room of an event lost": ({"events": (told_of(STRANGER),)}, "not in the ledger"),
    "room of an event opened by nobody": (
        {"scrapes": (Scrape(T, {**TOLD, ("events_total", "opened"): 1.0}),)},
        "events opened 1 rooms, there are 0 rows",
    ),
    "forged fetched": ({"asked": (arrival(sid=STRANGER),)}, "nobody spoke of this room"),
    "app wrote twice": ({"messages": {SID: (FINAL_TEXT, FINAL_TEXT)}}, "2 messages in the app's channel"),
    "app never wrote": ({"messages": {}}, "0 messages in the app's channel"),
    "app never edited": ({"messages": {SID: ("daily: ended, details follow",)}}, "was never edited"),
    "app wrote of a stranger": (
        {"messages": {SID: (FINAL_TEXT,), STRANGER: (FINAL_TEXT,)}},
        "a message, and nobody spoke of this room",
    ),
    "secret": ({"leaks": ("web-1.log",)}, "secret in web-1.log"),
    "left": ({"left": ("1 steps due in lane slack",)}, "left behind"),
    "internal error": (
        {"rooms": {SID: row(attempts=({"step": "slack", "at": T, "outcome": "waiting", "reason": "internal"},))}},
        "internal error",
    ),
    "lost for no reason": (
        {"rooms": {SID: row(attempts=({"step": "slack", "attempt": 1, "at": T + 9, "outcome": "lost"},))}},
        "nothing had died",
    ),
    "lost long after a death": (
        {
            "rooms": {SID: row(attempts=({"step": "slack", "attempt": 1, "at": T, "due": T, "outcome": "lost"},))},
            "hits": (hit("worker killed", T - 7, T - 6),),
        },
        "nothing had died",
    ),
    "bad stop": ({"hits": (hit("worker terminated", T, T + 1, note="stopped with 1"),)}, "stopped with 1"),
    "traceback": ({"failures": ("worker-1: uncaught exception",)}, "uncaught exception"),
}


@pytest.mark.parametrize("changes, problem", BROKEN.values(), ids=BROKEN)
def test_a_broken_promise_is_seen(changes: dict[str, Any], problem: str) -> None:
    problems = judge(record(**changes)).problems
    assert any(problem in found for found in problems), problems


@pytest.mark.parametrize(
    "kind, began, ended, cause",
    [
        ("worker killed", T + 1.2, T + 2, "inside"),
        ("redis killed", T + 1.2, T + 2, "inside"),
        ("redis stopped", T - 3, T + 0.8, "inside"),
        ("worker killed", T - 2, T + 5, "outside"),
        ("worker killed", T + 5, T + 6, "outside"),
        ("web killed", T + 1.2, T + 2, "outside"),
        ("slack off", T + 1.2, T + 2, "outside"),
    ],
)
def test_only_a_death_between_send_and_record_excuses_a_repeat(
    kind: Kind, began: float, ended: float, cause: str
) -> None:
    twice = {"slack": (arrival(), arrival(T + 7)), "webhook": (arrival(),)}
    verdict = judge(record(deliveries=twice, hits=(hit(kind, began, ended),)))
    assert (verdict.inside, verdict.outside) == ((1, 0) if cause == "inside" else (0, 1))
    assert bool(verdict.problems) == (cause == "outside")


def test_an_answer_lost_on_the_way_excuses_a_repeat() -> None:
    unheard = {"slack": (arrival(status=None), arrival(T + 2)), "webhook": (arrival(),)}
    verdict = judge(record(deliveries=unheard))
    assert (verdict.problems, verdict.unheard) == ((), 1)


def test_an_attempt_that_timed_out_excuses_one_repeat_and_no_more() -> None:
    attempt = {"step": "slack", "attempt": 1, "at": T + 0.9, "took": 1.5, "outcome": "waiting", "reason": "timeout"}
    three = {"slack": (arrival(), arrival(T + 1.2), arrival(T + 1.4)), "webhook": (arrival(),)}
    verdict = judge(record(deliveries=three, rooms={SID: row(attempts=(attempt,))}))
    assert (verdict.unheard, verdict.outside) == (1, 1)


def test_a_death_during_its_lease_explains_a_lost_attempt() -> None:
    attempt = {"step": "slack", "attempt": 1, "at": T + 40, "due": T, "outcome": "lost"}
    killed = hit("worker killed", T - 4, T - 3)
    counted = told(delivery_attempts_total__slack__lost__none=1)
    assert judge(record(rooms={SID: row(attempts=(attempt,))}, hits=(killed,), scrapes=counted)).problems == ()


def test_recovery_is_measured_from_the_death_to_the_next_sign() -> None:
    attempts = ({"step": "slack", "attempt": 1, "at": T + 5.5, "outcome": "lost"},)
    killed = hit("worker killed", T + 1, T + 2, held=((SID, "slack", 1),))
    measured = record(rooms={SID: row(attempts=attempts)}, hits=(killed,))
    assert judge(measured).recovered == (4.5,)
    disturbed = replace(measured, hits=(killed, hit("redis killed", T + 3, T + 4)))
    assert judge(disturbed).recovered == ()


def test_the_seed_decides_what_falls() -> None:
    plan = blows(seed=1, seconds=200, every=1, webs=2, workers=3)
    assert plan == blows(seed=1, seconds=200, every=1, webs=2, workers=3)
    assert plan != blows(seed=2, seconds=200, every=1, webs=2, workers=3)
    assert {blow.kind for blow in plan} == set(DECK)
    assert all(earlier.at <= later.at for earlier, later in pairwise(plan))


def told(**changes: float) -> tuple[Scrape, ...]:
    """Scrapes of which the last says something else; a name's parts are joined by two underscores."""
    changed = {tuple(name.split("__")): value for name, value in changes.items()}
    return (Scrape(T, TOLD), Scrape(T + 1, {**TOLD, **changed}))


@pytest.mark.parametrize(
    "changes, problem",
    [
        ({"rooms__delivered": 2}, "rooms delivered: told 2, rows 1"),
        ({"rooms__dead": 1}, "rooms dead: told 1, rows 0"),
        ({"summary_attempts_total__waiting__not_ready": 1}, "told 1, rows 0"),
        ({"delivery_seconds_count__slack": 2}, "told 2, rows 1"),
        ({"callbacks_total__opened": 2}, "opened 2 rooms, there are 1 rows"),
        ({"callbacks_total__known": 0}, "2 callbacks were answered 2xx, 1 are told"),
        ({"callbacks_total__signature": 0}, "1 refused for certain, 0 told"),
        ({"callbacks_total__signature": 2}, "1 forged callbacks"),
        ({"holds_total__slack__held": 2}, "slack: held 2 times"),
        ({"holds_total__slack__resumed": 0.5}, "fell from 1 to 0.5"),
    ],
)
def test_a_metric_that_does_not_add_up_is_seen(changes: dict[str, float], problem: str) -> None:
    problems = judge(record(scrapes=told(**changes))).problems
    assert any(problem in found for found in problems), problems


def test_attempts_are_compared_with_their_records() -> None:
    attempts = (
        {"step": "slack", "at": T, "outcome": "waiting", "reason": "timeout", "took": 0.1},
        {"step": "slack", "at": T, "outcome": "delivered", "took": 0.1},
    )
    kept = record(
        rooms={SID: row(attempts=attempts)},
        scrapes=told(
            delivery_attempts_total__slack__waiting__timeout=1, delivery_attempts_total__slack__delivered__none=1
        ),
    )
    assert compare(kept).problems == ()
    assert len(compare(replace(kept, scrapes=told())).problems) == 2


def test_a_killed_web_process_may_take_its_last_counts_along() -> None:
    silent = told(callbacks_total__signature=0)[1:]
    assert compare(record(scrapes=silent)).problems
    assert compare(record(scrapes=silent, hits=(hit("web killed", T + 1, T + 2),))).problems == ()
    assert compare(record(scrapes=silent, hits=(hit("web killed", T + 60, T + 61),))).problems


def test_a_run_needs_its_last_scrape() -> None:
    assert compare(record(scrapes=())).problems
    assert compare(record(scrapes=(Scrape(T, TOLD), Scrape(T + 1, None)))).problems
