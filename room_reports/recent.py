"""The reports that were made last in this process: what deliveries of one room need not each make anew."""

from __future__ import annotations

import threading

from room_reports.reports import RoomReport


class RecentReports:
    """The last `most` reports by room, each of the first series: what it says is settled when deliveries begin.

    Safe to share between threads.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._reports: dict[str, RoomReport] = {}
        self._lock = threading.Lock()

    def keep(self, room_sid: str, report: RoomReport) -> None:
        """Keeps a report, and forgets the oldest where there are too many."""
        with self._lock:
            self._reports[room_sid] = report
            if len(self._reports) > self._most:
                del self._reports[next(iter(self._reports))]

    def find(self, room_sid: str) -> RoomReport | None:
        """The report of a room, where it is one of the last."""
        return self._reports.get(room_sid)
