"""What a fake service was asked and what it answered, in order of arrival."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request to a fake service."""

    at: float
    """Arrival of the complete request, seconds since the epoch."""
    method: str
    path: str
    status: int | None
    """The status answered; None when the connection was reset or left hanging."""
    accepted: bool
    """Twilio: a summary was served whole; Slack and receiver: the message counts as delivered."""
    room_sid: str | None
    message_id: str | None
    """Receiver: the `webhook-id`."""
    verified: bool | None
    """Receiver: the signature was right; None where nothing is verified."""
    note: str
    """Why it was refused, or what was done to the answer; empty when all is well."""
    headers: Mapping[str, str] | None = field(repr=False)
    """Request headers, names in lower case; None in a brief history."""
    body: str | None = field(repr=False)
    """Request body as text; None in a brief history."""

    def to_json(self) -> dict[str, Any]:
        """A JSON object for the control API."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Exchange:
        """The inverse of `to_json`."""
        return cls(**value)


class History:
    """The exchanges of one service."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []
        self.accepted = 0
        self.statuses: Counter[str] = Counter()
        self._by_room: defaultdict[str, list[Exchange]] = defaultdict(list)

    def add(self, exchange: Exchange) -> None:
        """Keep one exchange."""
        self.exchanges.append(exchange)
        self.accepted += exchange.accepted
        self.statuses[str(exchange.status)] += 1
        if exchange.room_sid:
            self._by_room[exchange.room_sid].append(exchange)

    def of_room(self, room_sid: str) -> list[Exchange]:
        """The exchanges about one room."""
        return self._by_room.get(room_sid, [])

    def counts(self) -> dict[str, Any]:
        """`requests`, `accepted`, `rooms` and, by status answered (`None` for none), `statuses`."""
        return {
            "requests": len(self.exchanges),
            "accepted": self.accepted,
            "rooms": len(self._by_room),
            "statuses": dict(self.statuses),
        }
