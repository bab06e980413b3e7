"""What is told elsewhere, where the settings ask for it: errors to Sentry, traces to an OpenTelemetry collector.

Nothing of either is imported otherwise. Both are packages that are installed besides, see `requirements-extras.txt`.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from config.loading import SettingsError, exit_with
from config.logs import masker
from config.settings import Settings
from room_reports.telemetry.tracing import NO_TRACES, Traces

INSTALL = "its package is not installed: pip install -r requirements-extras.txt, or unset it"


@dataclass(frozen=True)
class Telemetry:
    """`traces`: takes spans; `on_error`: takes every line that is logged as an error, before it is formatted."""

    traces: Traces = NO_TRACES
    on_error: Callable[[MutableMapping[str, Any]], None] | None = None


def start(settings: Settings) -> Telemetry:
    """What the settings ask for. Connects to nothing. Raises `SettingsError` where a package is not installed."""
    on_error, traces = None, NO_TRACES
    problems = []
    if settings.sentry_dsn is not None:
        try:
            from room_reports.telemetry.sentry import reporter
        except ImportError:
            problems.append(f"SENTRY_DSN: {INSTALL}")
        else:
            on_error = reporter(settings.sentry_dsn.get_secret_value(), mask=masker(settings.secrets))
    if settings.otel_exporter_otlp_endpoint is not None:
        try:
            from room_reports.telemetry.otel import OtelTraces
        except ImportError:
            problems.append(f"OTEL_EXPORTER_OTLP_ENDPOINT: {INSTALL}")
        else:
            traces = OtelTraces(settings.otel_exporter_otlp_endpoint, headers=settings.collector_headers)
    if problems:
        raise SettingsError(problems)
    return Telemetry(traces, on_error)


def start_or_exit(settings: Settings) -> Telemetry:
    """The same; says on stderr what is missing and exits with 2."""
    try:
        return start(settings)
    except SettingsError as error:
        exit_with(error.problems)
