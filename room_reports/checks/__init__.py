"""Is this installation healthy? Each check looks at one thing and says what is wrong and what to do about it.

The functions are handed what they look at and return plain results: `flask doctor` prints them, the page for operators
shows some, and the doors log those about Redis when they start. A message never holds a secret.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Check:
    """One result. `remedy`: what to do about it, empty when there is nothing to do."""

    name: str
    level: Level
    message: str
    remedy: str = ""
