"""Estimates of cost: exact, labelled, and absent where a figure is missing."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from config.loading import load
from room_reports.costs import CostEstimate, Rates, estimate, shown
from room_reports.slack_report import message, text_message
from tests.support.block_kit import checked
from tests.support.reports import make_report, summary_with
from tests.test_settings import ENVIRON

BOTH = Rates(Decimal("0.004"), Decimal("0.006"), "EUR")
LABEL = "about 0.85 EUR (estimate)"


def test_without_rates_nothing_is_estimated() -> None:
    report = make_report()
    assert report.data.derived.cost_estimate is None
    assert "estimate" not in json.dumps(message(report)).lower()
    assert Rates.of(load(ENVIRON)) == Rates()


def test_rates_come_from_the_settings_exactly() -> None:
    settings = load(ENVIRON | {"COST_PARTICIPANT_MINUTE": "0.004", "COST_CURRENCY": "CHF"})
    assert Rates.of(settings) == Rates(Decimal("0.004"), None, "CHF")


def test_participant_and_recorded_time_are_added_up() -> None:
    # 150 minutes and 41 minutes: 0.6 and 0.246.
    report = make_report(rates=BOTH)
    assert json.loads(report.to_json())["data"]["derived"]["cost_estimate"] == {"amount": "0.8460", "currency": "EUR"}


def test_one_rate_estimates_its_own_minutes() -> None:
    assert estimate(Rates(Decimal("0.004")), participant_seconds=90, recorded_seconds=None) == CostEstimate(
        amount=Decimal("0.0060"), currency="USD"
    )


def test_the_highest_rate_times_the_most_that_can_be_read_is_an_amount() -> None:
    settings = load(ENVIRON | {"COST_PARTICIPANT_MINUTE": "9999.99999999", "COST_RECORDED_MINUTE": "10000"})
    most = summary_with(total_participant_duration_sec=2**63 - 1, total_recording_duration_sec=2**63 - 1)
    cost = make_report(most, rates=Rates.of(settings)).data.derived.cost_estimate
    assert cost is not None
    assert cost.amount > 10**21


def test_a_sum_that_floats_cannot_hold_is_exact() -> None:
    whole = estimate(Rates(Decimal("0.1")), participant_seconds=60 * 3 * 10**9, recorded_seconds=0)
    assert whole is not None
    assert whole.amount == Decimal("300000000.0000")


@pytest.mark.parametrize(
    "changes",
    [
        {"total_participant_duration_sec": None},
        {"total_participant_duration_sec": -5},
        {"total_participant_duration_sec": 10**40},
        {"total_recording_duration_sec": None},
    ],
)
def test_nothing_is_estimated_from_half_the_figures(changes: dict[str, int | None]) -> None:
    assert make_report(summary_with(**changes), rates=BOTH).data.derived.cost_estimate is None


def test_a_room_that_was_not_recorded_has_no_recorded_minutes_to_pay() -> None:
    summary = summary_with(recording_enabled=False, total_recording_duration_sec=None)
    cost = make_report(summary, rates=BOTH).data.derived.cost_estimate
    assert cost is not None
    assert cost.amount == Decimal("0.6000")


def test_people_read_that_it_is_an_estimate() -> None:
    report = make_report(rates=BOTH)
    assert LABEL in json.dumps(checked(message(report)))
    assert f"Cost: {LABEL}" in text_message(report)["text"]


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        ("0", "about 0.00 USD (estimate)"),
        ("0.0004", "less than 0.01 USD (estimate)"),
        ("1234.5678", "about 1,234.57 USD (estimate)"),
    ],
)
def test_amounts_for_people(amount: str, words: str) -> None:
    assert shown(CostEstimate(amount=Decimal(amount), currency="USD")) == words
