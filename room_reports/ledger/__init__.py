"""Our account of every room and step: what happened, what is due, what is held. See `ledger.py`."""

from room_reports.ledger.ledger import (
    Claim,
    Finished,
    LaneNews,
    Ledger,
    LedgerUnavailable,
    Outcome,
    QueueEntry,
)
from room_reports.ledger.rows import FINAL, ROOM_STATES, SUMMARY, TWILIO, Hold, Lane, Room, Step, lane_of
from room_reports.ledger.server import Server

__all__ = [
    "FINAL",
    "ROOM_STATES",
    "SUMMARY",
    "TWILIO",
    "Claim",
    "Finished",
    "Hold",
    "Lane",
    "LaneNews",
    "Ledger",
    "LedgerUnavailable",
    "Outcome",
    "QueueEntry",
    "Room",
    "Server",
    "Step",
    "lane_of",
]
