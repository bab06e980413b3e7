"""Which rule sends a room where: by the book, in explanations, and over real steps."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from config.destinations import Plan
from config.loading import load
from room_reports import story
from room_reports.costs import NO_RATES
from room_reports.routing import Traits, route, traits_of, why_not
from room_reports.service import make_daily
from room_reports.verdicts import USUAL_THRESHOLDS
from sandbox import answers
from sandbox.client import Sandbox
from sandbox.options import ACCOUNT_SID
from sandbox.summaries import room_sid
from tests.conftest import Drive
from tests.support.driver import Driver
from tests.support.reports import callback_with, make_report, summary_with

NAMES = ("slack", "webhook", "red", "green", "blue", "alpha", "beta", "gamma")
SLACKS = ("red", "green", "blue")
OTHER_ACCOUNT = "AC" + "1" * 32
ROOM_NAMES = ("clinic-berlin", "clinic-paris", "Clinic-1", "test-7", "daily", "a*b", "übung")
PATTERNS = ("clinic-*", "*-?", "test-[0-9]", "daily", "*", "a[*]b", "ü*")
TYPES = ("group", "group-small", "peer_to_peer", "go")
REGIONS = ("de1", "ie1", "us1")
VERDICTS = ("nobody_came", "single_participant", "nothing_recorded", "at_capacity", "data_incomplete")
SEVERITIES = ("info", "notice", "warning")

Document = dict[str, Any]


def rules_from(draw: random.Random) -> Document:
    """A file of rules, as TOML has it."""

    def some(values: Sequence[str], most: int = 2) -> list[str]:
        return draw.sample(values, draw.randint(1, most))

    def conditions() -> Iterator[tuple[str, object]]:
        pools = {"room_name": PATTERNS, "room_type": TYPES, "region": REGIONS, "verdict": VERDICTS}
        for name, pool in pools.items():
            if draw.random() < 0.35:
                yield name, some(pool)
        if draw.random() < 0.1:
            yield "account", some((ACCOUNT_SID, OTHER_ACCOUNT), 1)
        if draw.random() < 0.2:
            yield "severity", draw.choice(SEVERITIES)

    rules = [
        {
            "name": draw.choice(("", "some name")),
            "when": dict(conditions()),
            "to": draw.sample(NAMES, draw.choice((0, 1, 1, 2, 3))),
            "continue": draw.random() < 0.4,
        }
        for _ in range(draw.randint(0, 6))
    ]
    default = {"default": draw.sample(NAMES, draw.randint(0, 2))} if draw.random() < 0.7 else {}
    return {**default, "rules": rules}


def toml_of(document: Document) -> str:
    """The document with all destinations, as TOML, whose strings, lists and truth values are those of JSON."""
    lines = [f"default = {json.dumps(document['default'])}"] if "default" in document else []
    for name in NAMES[2:]:
        kind = "slack" if name in SLACKS else "webhook"
        secret = "" if name in SLACKS else 'secret = "env:REPORT_WEBHOOK_SECRET"\n'
        lines.append(f'[destinations.{name}]\nkind = "{kind}"\nurl = "env:{name.upper()}_URL"\nrate = 0\n{secret}')
    for rule in document["rules"]:
        when = ", ".join(f"{name} = {json.dumps(value)}" for name, value in rule["when"].items())
        whole = {**rule, "when": None}
        lines += ["[[rules]]", f"when = {{ {when} }}"]
        lines += [f"{name} = {json.dumps(value)}" for name, value in whole.items() if value is not None]
    return "\n".join(lines) + "\n"


def plan_of(document: Document) -> Plan:
    return Plan.model_validate({"default": document.get("default"), "rules": document["rules"]})


def traits_from(draw: random.Random) -> Traits:
    return Traits(
        account=draw.choice((ACCOUNT_SID, OTHER_ACCOUNT)),
        room_name=draw.choice((*ROOM_NAMES, None)),
        room_type=draw.choice((*TYPES, "group_small", None)),
        region=draw.choice((*REGIONS, None)),
        verdicts=tuple(draw.sample(VERDICTS, draw.randint(0, 2))),
        severity=draw.choice((*SEVERITIES, None)),  # type: ignore[arg-type]
    )


def wanted(document: Document, traits: Traits) -> set[str]:
    """Where a room goes by docs/destinations.md, written down once more and in another way."""
    matched: list[Document] = []
    for rule in document["rules"]:
        if not (matched and not matched[-1]["continue"]) and all(
            holds(name, value, traits) for name, value in rule["when"].items()
        ):
            matched.append(rule)
    if not matched:
        return set(document.get("default", NAMES))
    return {name for rule in matched for name in rule["to"]}


def holds(condition: str, value: Any, traits: Traits) -> bool:
    if condition == "severity":
        return traits.severity in SEVERITIES[SEVERITIES.index(value) :]
    if condition == "verdict":
        return any(code in traits.verdicts for code in value)
    if condition == "room_name":
        return any(pattern in MATCHING.get(traits.room_name or "", ()) for pattern in value)
    if condition == "room_type":
        return str(traits.room_type).replace("_", "-") in [kind.replace("_", "-") for kind in value]
    return getattr(traits, condition) in value


MATCHING: Mapping[str, tuple[str, ...]] = {
    "clinic-berlin": ("clinic-*", "*"),
    "clinic-paris": ("clinic-*", "*"),
    "Clinic-1": ("*-?", "*"),
    "test-7": ("*-?", "test-[0-9]", "*"),
    "daily": ("daily", "*"),
    "a*b": ("*", "a[*]b"),
    "übung": ("*", "ü*"),
}
"""The patterns that match each name."""


class TestRules:
    def test_1000_rooms_and_rule_sets_go_where_the_rules_say(self) -> None:
        draw = random.Random(7)  # noqa: S311 - the same rooms every time
        seen: Counter[str] = Counter()
        for _ in range(1000):
            document, traits = rules_from(draw), traits_from(draw)
            found = route(plan_of(document), traits, NAMES)
            assert set(found.to) == wanted(document, traits), (document, traits)
            # The explanation says no more and no less.
            missed = why_not(plan_of(document), found, NAMES)
            assert sorted((*found.to, *missed)) == sorted(NAMES)
            assert all(missed.values())
            named = {look.label: look.to for look in found.looks if not look.mismatch}
            assert all(name in named[label] for name, label in found.sent_by.items())
            seen[(found.looks[-1].label == "default" and "default") or "rule"] += 1
            seen["nowhere" if not found.to else "somewhere"] += 1
        assert min(seen.values()) > 100, seen

    def test_first_match_decides_unless_it_goes_on(self) -> None:
        rules = [
            {"name": "one", "to": "red", "continue": True},
            {"when": {"region": "us1"}, "to": "alpha"},
            {"to": ["blue", "red"]},
            {"to": "gamma"},
        ]
        plan, traits = Plan.model_validate({"rules": rules}), traits_of(make_report())
        found = route(plan, traits, NAMES)
        assert found.sent_by == {"red": "rule 1 (one)", "blue": "rule 3"}
        missed = why_not(plan, found, NAMES)
        assert missed["alpha"] == "rule 2: region is de1, not us1"
        assert missed["gamma"] == "rule 4: not looked at, rule 3 matches and stops"
        assert missed["slack"] == "no rule names it"

    def test_default_decides_where_no_rule_matches(self) -> None:
        rules = [{"when": {"severity": "warning"}, "to": "red"}]
        traits = traits_of(make_report())
        everywhere = route(Plan.model_validate({"rules": rules}), traits, NAMES)
        assert everywhere.sent_by == dict.fromkeys(NAMES, "default")
        plan = Plan.model_validate({"rules": rules, "default": []})
        nowhere = route(plan, traits, NAMES)
        assert (nowhere.to, nowhere.looks[-1].label) == ((), "default")
        missed = why_not(plan, nowhere, NAMES)
        assert missed["red"] == "rule 1: severity is none, below warning; the default does not name it"

    def test_traits_are_those_of_the_report(self) -> None:
        report = make_report(summary_with(unique_participants=1, unique_participant_identities=1))
        traits = traits_of(report)
        assert (traits.room_name, traits.room_type, traits.region) == ("weekly-planning", "group", "de1")
        assert (traits.verdicts, traits.severity) == (("single_participant",), "notice")

    def test_without_a_summary_the_callback_says_the_type(self) -> None:
        traits = traits_of(make_report(None, callback_with(room_type="group-small"), state="partial"))
        plan = Plan.model_validate({"rules": [{"when": {"room_type": "group_small"}, "to": "red"}], "default": []})
        assert route(plan, traits, NAMES).to == ("red",)
        assert traits.region is None


@pytest.fixture
def environment(environment: dict[str, str], sandbox: Sandbox) -> dict[str, str]:
    urls = {
        f"{name.upper()}_URL": sandbox.slack_url.replace("sandbox1", name)
        if name in SLACKS
        else f"{sandbox.receiver_url}/{name}"
        for name in NAMES[2:]
    }
    return environment | urls


def in_file(text: str, folder: Path) -> dict[str, str]:
    """The variable that names a file with this text."""
    path = folder / "destinations.toml"
    path.write_text(text, encoding="utf-8")
    return {"DESTINATIONS_FILE": str(path)}


class TestSteps:
    def test_what_is_explained_is_what_was_delivered(
        self, environment: dict[str, str], sandbox: Sandbox, tmp_path: Path
    ) -> None:
        """Forty files, each with 25 rooms over real steps: who got them is who the explanation names."""
        draw = random.Random(11)  # noqa: S311 - the same rooms every time
        explained: dict[str, set[str]] = {}
        for number in range(40):
            with Driver(environment | in_file(toml_of(rules_from(draw)), tmp_path)) as driver:
                rooms = [{"room_sid": room_sid(number, count), **drawn_fields(draw)} for count in range(25)]
                sandbox.twilio.add_rooms(rooms)
                for room in rooms:
                    driver.open(room["room_sid"], name=room["room_name"])
                driver.drive(lambda ledger=driver.ledger: not ledger.counts()["open"])  # type: ignore[misc]
                for room in rooms:
                    explained[room["room_sid"]] = explained_for(driver, room["room_sid"])
        arrived: dict[str, set[str]] = {sid: set() for sid in explained}
        messages = [*sandbox.slack.accepted(), *sandbox.receiver.accepted()]
        for exchange in messages:
            arrived[exchange.room_sid or ""].add(name_of(exchange.path, sandbox))
        assert arrived == explained
        assert len(messages) == sum(map(len, explained.values()))  # nothing came twice
        assert {0, 1, 2, len(NAMES)} <= {len(names) for names in explained.values()}

    def test_a_room_that_goes_nowhere_is_finished_and_says_so(
        self, drive: Drive, sandbox: Sandbox, tmp_path: Path
    ) -> None:
        text = toml_of({"rules": [{"name": "tests", "when": {"room_name": ["test-*"]}, "to": []}]})
        driver = drive(**in_file(text, tmp_path))
        driver.open(name="test-1")
        room = driver.finish()
        assert (room.state, room.routes) == ("delivered", {})
        assert story.routes_of(room) == "nowhere, as the rules say"
        assert not sandbox.slack.accepted() and not sandbox.receiver.accepted()
        assert sum(day.rooms for day in driver.ledger.days().values()) == 1

    def test_the_row_says_which_rule_it_was(self, drive: Drive, sandbox: Sandbox, tmp_path: Path) -> None:
        text = toml_of({"rules": [{"name": "all", "when": {}, "to": ["blue", "gamma"]}]})
        driver = drive(**in_file(text, tmp_path))
        driver.open()
        assert story.routes_of(driver.finish()) == "blue by rule 1 (all), gamma by rule 1 (all)"

    def test_one_channel_that_is_gone_delays_no_other_of_its_kind(
        self, environment: dict[str, str], drive: Drive, sandbox: Sandbox, tmp_path: Path
    ) -> None:
        text = 'operators = ["green"]\n' + toml_of({"rules": []})
        driver = drive(**in_file(text, tmp_path))
        red = environment["RED_URL"].removeprefix(sandbox.url)
        sandbox.slack.script(answers.status(404), key=red)
        driver.open()
        driver.drive(lambda: [hold.lane for hold in driver.ledger.holds()] == ["red"])
        driver.drive(lambda: all(step.state == "delivered" for step in driver.room().steps[1:] if step.name != "red"))
        told = [
            exchange.path for exchange in sandbox.slack.accepted() if "flask rooms resume red" in (exchange.body or "")
        ]
        assert told == [environment["GREEN_URL"].removeprefix(sandbox.url)]

    def test_digests_go_to_operators(self, environment: dict[str, str], sandbox: Sandbox, tmp_path: Path) -> None:
        environment |= in_file('operators = ["green", "gamma"]\n' + toml_of({"rules": []}), tmp_path)
        with Driver(environment) as driver:
            takers = make_daily(load(environment), driver.service).takers
        assert list(takers) == ["green", "gamma"]

    def test_times_are_told_in_the_zone_of_the_channel(self, drive: Drive, sandbox: Sandbox, tmp_path: Path) -> None:
        text = toml_of({"default": ["red"], "rules": []}).replace("rate = 0", 'rate = 0\ntimezone = "Asia/Kolkata"', 1)
        sandbox.twilio.add_room(room_sid(1, 1), create_time="2026-11-23T13:23:05Z", end_time="2026-11-23T19:05:05Z")
        driver = drive(**in_file(text, tmp_path))
        driver.open()
        driver.finish()
        [exchange] = sandbox.slack.accepted()
        time = json.loads(exchange.body or "")["blocks"][2]["fields"][0]["text"]
        assert time == "*Time*  2026-11-23 18:53 – 2026-11-24 00:35 IST"  # noqa: RUF001 - a dash between two times


def drawn_fields(draw: random.Random) -> dict[str, Any]:
    people = draw.choice((0, 1, 5))
    return {
        "room_name": draw.choice(ROOM_NAMES),
        "room_type": draw.choice(TYPES).replace("-", "_"),
        "media_region": draw.choice(REGIONS),
        "unique_participants": people,
        "unique_participant_identities": people,
        "concurrent_participants": people,
        "max_participants": draw.choice((5, 50)),
        "recording_enabled": True,
        "total_recording_duration_sec": draw.choice((0, 600)),
    }


def explained_for(driver: Driver, sid: str) -> set[str]:
    """Where `flask destinations check` says that this room goes, and the row that it went."""
    room = driver.room(sid)
    report = story.report_of(
        room, console_url="{room_sid}", thresholds=USUAL_THRESHOLDS, rates=NO_RATES, at=datetime.now(UTC)
    )
    plan = driver.service.plan
    found = route(plan, traits_of(report), tuple(driver.service.destinations))
    assert room.routes == (found.sent_by if plan.routes else None)
    return set(found.to)


def name_of(path: str, sandbox: Sandbox) -> str:
    """The destination at this path of the sandbox."""
    if f"{sandbox.url}{path}" in (sandbox.slack_url, sandbox.receiver_url):
        return "slack" if path.startswith("/slack") else "webhook"
    return next(name for name in NAMES[2:] if path.endswith(name))
