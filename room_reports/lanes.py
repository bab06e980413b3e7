"""The lanes that the settings ask for, and the ledger that serves them.

All that the web door needs of the parts; kept apart from `service`, which loads what talks to Twilio and destinations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import redis

from config.destinations import Account
from config.settings import Settings
from room_reports.dispatch import queue_entry
from room_reports.ledger import TWILIO, Lane, Ledger

RATES: Mapping[str, Callable[[Settings], float | None]] = {
    "slack": lambda settings: settings.slack_rate if settings.slack_webhook_url else None,
    "slack_app": lambda settings: settings.slack_rate if settings.slack_bot_token else None,
    "webhook": lambda settings: settings.report_webhook_rate if settings.report_webhook_url else None,
}
"""For every destination of variables the messages a second that it takes, None when the settings do not ask for it."""

EARLY = frozenset({"slack_app"})
"""The kinds that say that a room has ended before there is a report; not where rules decide by that report."""


def kinds(settings: Settings) -> dict[str, str]:
    """The destinations that the settings ask for, with the kind of each."""
    described = settings.plan.destinations
    return {name: described[name].kind if name in described else name for name in rates(settings)}


def rates(settings: Settings) -> dict[str, float]:
    """The destinations that the settings ask for, with the messages a second that each takes."""
    found = {name: rate_of(settings) for name, rate_of in RATES.items()}
    by_variables = {name: rate for name, rate in found.items() if rate is not None}
    return by_variables | {name: one.rate for name, one in settings.plan.destinations.items()}


def accounts_of(settings: Settings) -> dict[str, Account]:
    """Every account by its lane: one that refuses us holds up no other."""
    return {f"{TWILIO}-{name}" if name else TWILIO: account for name, account in settings.accounts.items()}


def lanes_of(settings: Settings) -> list[Lane]:
    """Twilio's lane for each account and one for each destination, in the order in which the dispatcher serves them."""
    lanes = [Lane(name, settings.summary_waits) for name in accounts_of(settings)]
    early = {name for name, kind in kinds(settings).items() if kind in EARLY and not settings.plan.routes}
    for name, rate in rates(settings).items():
        lanes.append(Lane(name, settings.delivery_waits, rate, early=name in early))
    return lanes


def make_ledger(settings: Settings, connection: redis.Redis) -> Ledger:
    """The ledger on this connection."""
    return Ledger(
        connection,
        prefix=settings.redis_prefix,
        lease=settings.step_lease,
        retention=settings.retention,
        lanes=lanes_of(settings),
        queue=queue_entry(settings.redis_prefix),
        replicas=settings.redis_replicas,
        account_lanes={account.sid: lane for lane, account in accounts_of(settings).items() if lane != TWILIO},
    )
