"""Where reports go: the kinds of destinations there are, and those that the settings ask for.

A new kind is a module with a class like the others, its line in `KINDS` and in `lanes.RATES`, its settings, its
tests; and its part of `config.destinations` where there may be several.
"""

from __future__ import annotations

from collections.abc import Mapping

from config.destinations import AppChannel, Endpoint, WebhookChannel
from config.settings import Settings
from room_reports.delivery import Destination
from room_reports.destinations.slack import SlackWebhook
from room_reports.destinations.slack_app import SlackApp
from room_reports.destinations.webhook import ReportWebhook
from room_reports.lanes import rates
from room_reports.templates import writer_of
from room_reports.transport import Transport

KINDS: Mapping[str, type[Destination]] = {"slack": SlackWebhook, "slack_app": SlackApp, "webhook": ReportWebhook}
"""Every kind, by the name of its step and lane."""


def build(settings: Settings, transport: Transport) -> dict[str, Destination]:
    """The destinations that the settings ask for, by name."""
    described = settings.plan.destinations
    return {
        name: from_file(name, described[name], settings, transport)
        if name in described
        else KINDS[name].from_settings(settings, transport)
        for name in rates(settings)
    }


def from_file(
    name: str, described: WebhookChannel | AppChannel | Endpoint, settings: Settings, transport: Transport
) -> Destination:
    """A destination that `DESTINATIONS_FILE` describes."""
    if isinstance(described, AppChannel):
        return SlackApp(
            url=settings.slack_api_url,
            token=described.token.get_secret_value(),
            channel=described.channel,
            rate=described.rate,
            seconds=settings.http_total_timeout,
            transport=transport,
            name=name,
            zone=described.timezone,
            write=writer_of(settings, name),
        )
    url = described.url.get_secret_value()
    if isinstance(described, WebhookChannel):
        return SlackWebhook(
            url,
            rate=described.rate,
            transport=transport,
            name=name,
            zone=described.timezone,
            write=writer_of(settings, name),
        )
    return ReportWebhook(
        url,
        [secret.get_secret_value() for secret in described.secret],
        rate=described.rate,
        transport=transport,
        form=described.format,
        fields=described.fields,
        name=name,
    )
