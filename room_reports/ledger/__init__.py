"""Our account of every room and step: what happened, what is due, what is held. See `ledger.py`."""

from room_reports.ledger.attempts import Claim, Finished, JobKind, LaneNews, NextJob, Outcome, QueueEntry, Taken
from room_reports.ledger.digests import EndedRoom, Sending
from room_reports.ledger.ledger import Ledger
from room_reports.ledger.rows import (
    FINAL,
    PARTICIPANTS,
    PROVISIONAL,
    ROOM_STATES,
    SUMMARY,
    TWILIO,
    Day,
    Durations,
    Hold,
    Lane,
    Room,
    Step,
    is_twilio,
    lane_of,
    moment,
)
from room_reports.ledger.scripts import BUCKETS, SCHEMA
from room_reports.ledger.server import Server
from room_reports.ledger.unavailable import LedgerUnavailable

__all__ = [
    "BUCKETS",
    "FINAL",
    "PARTICIPANTS",
    "PROVISIONAL",
    "ROOM_STATES",
    "SCHEMA",
    "SUMMARY",
    "TWILIO",
    "Claim",
    "Day",
    "Durations",
    "EndedRoom",
    "Finished",
    "Hold",
    "JobKind",
    "Lane",
    "LaneNews",
    "Ledger",
    "LedgerUnavailable",
    "NextJob",
    "Outcome",
    "QueueEntry",
    "Room",
    "Sending",
    "Server",
    "Step",
    "Taken",
    "is_twilio",
    "lane_of",
    "moment",
]
