"""The figures: what was measured of whom, every run of it. Ratios are made between runs that lay next to each other."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass
class Figure:
    """One measure of one contender. `values` has one entry for each run, in order."""

    section: str
    what: str
    who: str
    unit: str
    values: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """The middle one of the runs."""
        return statistics.median(self.values)

    @property
    def spread(self) -> tuple[float, float]:
        """The least and the greatest of the runs."""
        return min(self.values), max(self.values)


@dataclass(frozen=True)
class Mark:
    """A ratio, or a difference, that must be reached: `how` it compares to `bound`."""

    what: str
    how: Literal["at least", "at most"]
    bound: float
    values: Sequence[float]
    unit: str = "times"

    @property
    def median(self) -> float:
        """The middle one of the runs."""
        return statistics.median(self.values)

    @property
    def reached(self) -> bool:
        """Whether the median is on the right side."""
        return self.median >= self.bound if self.how == "at least" else self.median <= self.bound


class Figures:
    """All figures of one run of the benchmark, in the order in which they were first measured."""

    def __init__(self) -> None:
        self._figures: dict[tuple[str, str, str], Figure] = {}

    def add(self, section: str, what: str, who: str, unit: str, value: float) -> None:
        """Keeps the value of one run."""
        key = (section, what, who)
        self._figures.setdefault(key, Figure(section, what, who, unit)).values.append(value)

    def find(self, section: str, what: str, who: str) -> Figure | None:
        """One figure, None when it was not measured."""
        return self._figures.get((section, what, who))

    def all(self) -> list[Figure]:
        """Every figure."""
        return list(self._figures.values())

    def ratios(self, section: str, what: str, who: str, other: str, *, other_what: str | None = None) -> list[float]:
        """`who` divided by `other`, run by run; empty when either was not measured."""
        upper, lower = self.find(section, what, who), self.find(section, other_what or what, other)
        if upper is None or lower is None:
            return []
        return [one / two for one, two in zip(upper.values, lower.values, strict=False)]

    def to_json(self) -> list[dict[str, Any]]:
        """Every figure with its median and all its runs."""
        return [
            {
                "section": figure.section,
                "what": figure.what,
                "who": figure.who,
                "unit": figure.unit,
                "median": figure.median,
                "runs": figure.values,
            }
            for figure in self.all()
        ]
