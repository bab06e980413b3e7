"""Which destinations a report goes to, and which rule sends it there or does not. Pure.

One function decides; what it looked at on the way is the explanation, so that the two cannot differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from config.destinations import Conditions, Plan, Rule
from room_reports.reports import RoomReport
from room_reports.summaries import read_summary, spelling
from room_reports.verdicts import SEVERITIES, Severity

DEFAULT = "default"


@dataclass(frozen=True)
class Traits:
    """What rules look at. None for what is not known of a room; `severity`: the highest of its verdicts."""

    account: str
    room_name: str | None
    room_type: str | None
    region: str | None
    verdicts: tuple[str, ...]
    severity: Severity | None


@dataclass(frozen=True)
class Look:
    """What came of looking at one rule. `mismatch`: why it does not match, empty when it does; `stops`: it ends the
    looking."""

    label: str
    to: tuple[str, ...]
    mismatch: str
    stops: bool


@dataclass(frozen=True)
class Route:
    """Where a report goes. `sent_by`: for every destination the rule that sends it there, the first one if several do;
    `looks`: the rules that were looked at, in order, the default last if it came to that."""

    sent_by: Mapping[str, str]
    looks: tuple[Look, ...]

    @property
    def to(self) -> tuple[str, ...]:
        """The destinations."""
        return tuple(self.sent_by)


def route(plan: Plan, traits: Traits, destinations: Sequence[str]) -> Route:
    """Looks at the rules in order until one matches that does not go on; where none does, the default decides.

    `destinations`: all there are, in the order in which they are to be served.
    """
    looks = list(_looks(plan, traits))
    if all(look.mismatch for look in looks):
        to = tuple(destinations) if plan.default is None else plan.default
        looks.append(Look(DEFAULT, to, mismatch="", stops=True))
    sent_by: dict[str, str] = {}
    for look in looks:
        for name in () if look.mismatch else look.to:
            sent_by.setdefault(name, look.label)
    return Route({name: sent_by[name] for name in destinations if name in sent_by}, tuple(looks))


def traits_of(report: RoomReport) -> Traits:
    """What rules look at in a report."""
    data = report.data
    summary = read_summary(data.summary or {}).summary
    found = {verdict.severity for verdict in data.verdicts}
    return Traits(
        account=data.account_sid,
        room_name=data.room_name,
        room_type=summary.room_type or (data.callback.room_type if data.callback else None),
        region=summary.media_region,
        verdicts=tuple(verdict.code for verdict in data.verdicts),
        severity=next((severity for severity in reversed(SEVERITIES) if severity in found), None),
    )


def label_of(number: int, rule: Rule) -> str:
    """What a rule is called; `number` counts from 1."""
    return f"rule {number} ({rule.name})" if rule.name else f"rule {number}"


def why_not(plan: Plan, found: Route, destinations: Sequence[str]) -> dict[str, str]:
    """For every destination that a report does not go to: why no rule sends it there."""
    return {name: "; ".join(_obstacles(plan, found, name)) for name in destinations if name not in found.sent_by}


def _obstacles(plan: Plan, found: Route, name: str) -> Iterator[str]:
    naming = [(number, rule) for number, rule in enumerate(plan.rules, start=1) if name in rule.to]
    looked_at = {look.label: look for look in found.looks}
    for number, rule in naming:
        label = label_of(number, rule)
        if label in looked_at:
            yield f"{label}: {looked_at[label].mismatch}"
        else:
            yield f"{label}: not looked at, {found.looks[-1].label} matches and stops"
    if DEFAULT in looked_at:
        yield "the default does not name it"
    elif not naming:
        yield "no rule names it"


def _looks(plan: Plan, traits: Traits) -> Iterator[Look]:
    names = {name for name, account in plan.accounts.items() if account.sid.lower() == traits.account.lower()}
    for number, rule in enumerate(plan.rules, start=1):
        mismatch = next(_mismatches(rule.when, traits, {traits.account.lower(), *names}), "")
        yield Look(label_of(number, rule), rule.to, mismatch, stops=not mismatch and not rule.goes_on)
        if not mismatch and not rule.goes_on:
            return


def _mismatches(when: Conditions, traits: Traits, account: set[str]) -> Iterator[str]:
    """Every condition that does not hold, in words. `account`: what the room's is called, in small letters."""
    if when.account is not None and account.isdisjoint(name.lower() for name in when.account):
        yield _is_not("account", traits.account, when.account)
    name = traits.room_name
    if when.room_name is not None and not (name and any(fnmatchcase(name, pattern) for pattern in when.room_name)):
        yield _is_not("room_name", name, when.room_name)
    if when.room_type is not None and spelling(traits.room_type) not in map(spelling, when.room_type):
        yield _is_not("room_type", traits.room_type, when.room_type)
    if when.region is not None and traits.region not in when.region:
        yield _is_not("region", traits.region, when.region)
    if when.verdict is not None and not set(when.verdict) & set(traits.verdicts):
        yield _is_not("verdict", ", ".join(traits.verdicts) or None, when.verdict)
    if when.severity is not None and _rank(traits.severity) < _rank(when.severity):
        yield f"severity is {traits.severity or 'none'}, below {when.severity}"


def _is_not(what: str, value: str | None, wanted: Sequence[str]) -> str:
    return f"{what} is {'not known' if value is None else value}, not {' or '.join(wanted)}"


def _rank(severity: Severity | None) -> int:
    return -1 if severity is None else SEVERITIES.index(severity)
