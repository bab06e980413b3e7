"""What rooms cost, estimated by the operator's own rates. Decimal throughout: money is not counted in floats. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from pydantic import BaseModel, Field

from config.settings import Settings

CENT = Decimal("0.01")
FINEST = Decimal("0.0001")
"""What an amount is rounded to: a minute costs fractions of a cent, and so may a room."""


class CostEstimate(BaseModel, frozen=True):
    """An estimate, not a bill: recorded and participant time, times the rates in the settings."""

    amount: Decimal = Field(
        description="A decimal number with four places, as text (`0.6200`), for floats cannot hold it."
    )
    currency: str = Field(description="`COST_CURRENCY`: `USD`, …")


@dataclass(frozen=True)
class Rates:
    """What a minute costs. None: that kind of minute is left out of the estimate."""

    participant_minute: Decimal | None = None
    recorded_minute: Decimal | None = None
    currency: str = "USD"

    @classmethod
    def of(cls, settings: Settings) -> Rates:
        """The rates in the settings."""
        return cls(settings.cost_participant_minute, settings.cost_recorded_minute, settings.cost_currency)


NO_RATES = Rates()


def estimate(rates: Rates, *, participant_seconds: int | None, recorded_seconds: int | None) -> CostEstimate | None:
    """What this much time costs; None without a rate, or where the time that a rate is for is not known.

    Twilio rounds every connection up to whole minutes, which nobody can do from sums: short stays cost a little more.
    """
    parts = [
        (rate, seconds)
        for rate, seconds in (
            (rates.participant_minute, participant_seconds),
            (rates.recorded_minute, recorded_seconds),
        )
        if rate is not None
    ]
    if not parts:
        return None
    amount = Decimal()
    for rate, seconds in parts:
        if seconds is None:
            return None
        amount += rate * seconds / 60
    return CostEstimate(amount=amount.quantize(FINEST), currency=rates.currency)


def shown(cost: CostEstimate) -> str:
    """An estimate for people, always named one: `about 12.34 USD (estimate)`."""
    rounded = cost.amount.quantize(CENT)
    less = "less than " if not rounded and cost.amount else "about "
    return f"{less}{max(rounded, CENT) if cost.amount else rounded:,} {cost.currency} (estimate)"
