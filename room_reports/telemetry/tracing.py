"""Spans, as the service sees them: a callback, each attempt, and nothing else. They cost nothing while unset."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Literal, Protocol

FACTS = frozenset({"room_sid", "request_id", "step", "attempt", "result", "outcome", "reason"})
"""Everything a span may be told. A closed set: no name, no URL and no text of others ever leaves with a span."""

Kind = Literal["server", "client"]


class Span(Protocol):
    """One span under way. `traceparent`: what a later span of this trace is to be told, empty for none."""

    @property
    def traceparent(self) -> str: ...

    def tell(self, **facts: str | int) -> None:
        """Adds facts, each of `FACTS`."""


class Traces(Protocol):
    """Takes spans."""

    def span(
        self, name: str, *, kind: Kind, room_sid: str, parent: str = "", **facts: str | int
    ) -> AbstractContextManager[Span]:
        """A span of a room's trace, from here to the end of the block."""


class _NoSpan:
    traceparent = ""

    def tell(self, **facts: str | int) -> None:
        pass


class _NoTraces:
    _nothing: AbstractContextManager[Span] = nullcontext(_NoSpan())

    def span(
        self, name: str, *, kind: Kind, room_sid: str, parent: str = "", **facts: str | int
    ) -> AbstractContextManager[Span]:
        return self._nothing


NO_TRACES: Traces = _NoTraces()
