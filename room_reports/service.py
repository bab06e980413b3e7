"""Puts the parts together from the settings; called by the doors and by nobody else."""

from __future__ import annotations

import redis

from config.settings import Settings
from room_reports import destinations
from room_reports.costs import Rates
from room_reports.daily import Daily
from room_reports.insights import InsightsClient
from room_reports.lanes import accounts_of, make_ledger
from room_reports.participants import Identities
from room_reports.recent import RecentReports
from room_reports.steps import Patience, Service
from room_reports.telemetry.tracing import NO_TRACES, Traces
from room_reports.transport import Transport


def make_transport(settings: Settings) -> Transport:
    """The one way out, with a pooled connection for every thread."""
    return Transport(
        allow_private=settings.allow_private_destinations,
        pool_size=settings.worker_threads,
        connect_timeout=settings.http_connect_timeout,
        read_timeout=settings.http_read_timeout,
        total_timeout=settings.http_total_timeout,
        proxies=settings.proxies,
        ca_file=settings.tls_ca_file,
    )


def make_insights(settings: Settings, transport: Transport) -> dict[str, InsightsClient]:
    """Twilio for each account, by its lane."""
    return {
        lane: InsightsClient(transport, base_url=settings.twilio_insights_url, credentials=account.credentials)
        for lane, account in accounts_of(settings).items()
    }


def make_service(
    settings: Settings, connection: redis.Redis, transport: Transport, traces: Traces = NO_TRACES
) -> Service:
    """What the jobs work with."""
    return Service(
        ledger=make_ledger(settings, connection),
        insights=make_insights(settings, transport),
        destinations=destinations.build(settings, transport),
        summary_patience=Patience(settings.summary_waits, settings.summary_deadline),
        participants_patience=Patience(settings.delivery_waits, settings.participants_deadline),
        delivery_patience=Patience(settings.delivery_waits, settings.delivery_deadline),
        with_participants=settings.participants,
        identities=Identities.from_settings(settings),
        console_url=settings.console_url,
        thresholds=settings.verdict_thresholds,
        # No more are under way at once.
        recent=RecentReports(settings.worker_threads),
        rates=Rates.of(settings),
        usual_durations=settings.usual_durations,
        plan=settings.plan,
        traces=traces,
    )


def make_daily(settings: Settings, service: Service) -> Daily:
    """What sends the digests, of those destinations the ones that are for operators."""
    return Daily(
        ledger=service.ledger,
        destinations={name: one for name, one in service.destinations.items() if settings.plan.is_for_operators(name)},
        rates=service.rates,
        console_url=settings.console_url,
        waits=settings.delivery_waits,
        lease=settings.step_lease,
    )
