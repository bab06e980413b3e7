"""Traces for an OpenTelemetry collector, by OTLP over HTTP, sent in batches by a thread of the library's own.

A room is one trace, and its id is the 32 digits of the room SID: whoever has the one finds the other. The callback's
span is the root; attempts are its children by the `traceparent` in the row, whichever process makes them. A room that
was found without a callback has attempts alone.

The library reads its other variables itself (`OTEL_TRACES_SAMPLER`, `OTEL_RESOURCE_ATTRIBUTES`, …).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import Span as LibrarySpan
from opentelemetry.trace import SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from room_reports import __version__
from room_reports.telemetry.tracing import FACTS, Kind

TIMEOUT = 5
"""Seconds that the collector has for a batch; nothing but the library's thread waits for it."""

KINDS: Mapping[Kind, SpanKind] = {"server": SpanKind.SERVER, "client": SpanKind.CLIENT}

_room: ContextVar[str] = ContextVar("room", default="")
_format = TraceContextTextMapPropagator()


class OtelTraces:
    """Takes spans and sends them; what the collector does not take is dropped, and said in the log by the library."""

    def __init__(self, endpoint: str, *, headers: Mapping[str, str]) -> None:
        exporter = OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces", headers=dict(headers), timeout=TIMEOUT)
        # Its end at the process's exit, and its thread after a fork, are seen to by the library.
        provider = TracerProvider(
            resource=Resource.create({"service.name": "room-reports", "service.version": __version__}),
            id_generator=_RoomIds(),
        )
        provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = provider.get_tracer("room_reports", __version__)

    @contextmanager
    def span(self, name: str, *, kind: Kind, room_sid: str, parent: str = "", **facts: str | int) -> Iterator[OtelSpan]:
        """A span of a room's trace, from here to the end of the block."""
        context = _format.extract({"traceparent": parent}, Context()) if parent else Context()
        token = _room.set(room_sid)
        try:
            with self._tracer.start_as_current_span(
                name,
                context=context,
                kind=KINDS[kind],
                # An exception's message and traceback may hold anything; the log has them, masked.
                record_exception=False,
                set_status_on_exception=False,
            ) as span:
                own = OtelSpan(span)
                own.tell(room_sid=room_sid, **facts)
                yield own
        finally:
            _room.reset(token)


class OtelSpan:
    """One span under way."""

    def __init__(self, span: LibrarySpan) -> None:
        self._span = span

    @property
    def traceparent(self) -> str:
        """The header that names this span to a later one."""
        carrier: dict[str, str] = {}
        _format.inject(carrier)
        return carrier.get("traceparent", "")

    def tell(self, **facts: str | int) -> None:
        """Adds facts, each of `FACTS`."""
        for name, value in facts.items():
            if name not in FACTS:
                raise ValueError(f"no fact for a span: {name}")
            self._span.set_attribute(f"room_reports.{name}", value)


class _RoomIds(RandomIdGenerator):
    """Trace ids from the room SID of the span that begins the trace."""

    def generate_trace_id(self) -> int:
        digits = _room.get().removeprefix("RM")
        found = int(digits, 16) if re.fullmatch(r"[0-9a-fA-F]{32}", digits) else 0
        return found or super().generate_trace_id()
