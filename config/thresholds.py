"""How much of something makes a verdict: the names, defaults and limits of `VERDICT_THRESHOLDS`.

Here and not beside the rules, because the settings are checked at start and nothing of the service is loaded for that.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field

from config.fields import wrong


class Thresholds(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """From where on a rule has something to say. A field's description is its row in `docs/verdicts.md`."""

    at_capacity_share: float = Field(default=1.0, gt=0, description="People at once by how many are allowed, at least.")
    many_rejoins: float = Field(default=5, gt=0, description="Connections beyond one for each person, at least.")
    many_rejoins_share: float = Field(default=0.5, ge=0, description="The same by the number of people.")
    abnormal_disconnects: float = Field(default=1, gt=0, description="Connections that broke off, at least.")
    abnormal_disconnects_share: float = Field(default=0.25, ge=0, description="The same by the number of connections.")
    media_errors: float = Field(default=1, gt=0, description="Media errors and severe issues together, at least.")
    shorter_than_usual_share: float = Field(default=0.25, ge=0, description="Duration by the usual one, at most.")
    longer_than_usual_times: float = Field(default=3, gt=0, description="Duration by the usual one, at least.")
    unusual_seconds: float = Field(default=300, ge=0, description="Seconds away from the usual duration, at least.")
    sources_disagree_seconds: float = Field(
        default=5, ge=0, description="Seconds between the two durations, more than: both sides round."
    )
    sources_disagree_end_seconds: float = Field(
        default=60, ge=0, description="Seconds between the two ends, more than."
    )

    def __str__(self) -> str:
        """As it would be written in the environment."""
        return ",".join(f"{name}={value:.10g}" for name, value in self if value != _DEFAULTS[name])


_DEFAULTS = {name: field.default for name, field in Thresholds.model_fields.items()}


def _pairs(value: object) -> object:
    return dict(_pair(entry) for entry in value.split(",")) if isinstance(value, str) else value


def _pair(entry: str) -> tuple[str, Any]:
    name, _, number = entry.partition("=")
    if name.strip() not in _DEFAULTS or not number.strip():
        raise wrong(f"must be name=value,name=value, with names of {', '.join(_DEFAULTS)}")
    return name.strip(), number.strip()


VerdictThresholds = Annotated[Thresholds, BeforeValidator(_pairs)]
