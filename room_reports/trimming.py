"""Makes a document fit: shortens what is long, nests deep or is numerous, and counts what it left out. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["items", "fields", "characters"]


@dataclass(frozen=True)
class Limits:
    """How much of each thing stays. `levels`: how deep containers may nest; below, they are emptied."""

    characters: int
    items: int
    fields: int
    levels: int


@dataclass
class Trimmer:
    """Trims documents to `limits`; `left_out` counts by top-level name and kind. Fields in `keep` go last."""

    limits: Limits
    keep: Container[str] = ()
    left_out: Counter[tuple[str, Kind]] = field(default_factory=Counter)

    def trim(self, path: str, value: Any, *, level: int = 0) -> Any:
        """A copy of a JSON value within the limits."""
        if isinstance(value, str):
            return self._trim_text(path, value)
        if isinstance(value, list):
            most = self.limits.items if level < self.limits.levels else 0
            self._count(path, "items", len(value) - most)
            return [self.trim(path, item, level=level + 1) for item in value[:most]]
        if isinstance(value, dict):
            names = self._names(value, level)
            self._count(path, "fields", len(value) - len(names))
            return {
                name: self.trim(f"{path}.{name}" if level == 0 else path, value[name], level=level + 1)
                for name in names
            }
        if isinstance(value, int) and abs(value) >= 10**self.limits.characters:
            return self._trim_text(path, str(value))
        return value

    def _names(self, value: dict[str, Any], level: int) -> list[str]:
        most = self.limits.fields if level < self.limits.levels else 0
        names = [name for name in value if len(name) <= self.limits.characters]
        kept = set(sorted(names, key=lambda name: name not in self.keep)[:most])
        return [name for name in names if name in kept]

    def _trim_text(self, path: str, text: str) -> str:
        excess = len(text) - self.limits.characters
        self._count(path, "characters", excess)
        return f"{text[: self.limits.characters]}…" if excess > 0 else text

    def _count(self, path: str, kind: Kind, excess: int) -> None:
        if excess > 0:
            self.left_out[path, kind] += excess
