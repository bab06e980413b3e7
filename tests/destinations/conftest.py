"""What every destination is tested with."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from room_reports.delivery import Delivery
from room_reports.transport import Transport


@pytest.fixture
def transport() -> Iterator[Transport]:
    """The real way out, to this machine; it waits a second at most."""
    transport = Transport(allow_private=True, pool_size=2, connect_timeout=1, read_timeout=1, total_timeout=1)
    yield transport
    transport.close()


@pytest.fixture
def delivery() -> Delivery:
    """The first attempt of a delivery, made now."""
    return Delivery("msg_RM1_webhook_0", 1, datetime.now(UTC))
