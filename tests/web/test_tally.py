"""Counting and thinning out."""

from __future__ import annotations

import threading
import time

from room_reports.web.tally import Tally


def test_counts_each_kind_and_lets_a_burst_through() -> None:
    tally = Tally(burst=3, window=60)
    assert [tally.count("forged") for _ in range(6)] == [1, 2, 3, 0, 0, 0]
    assert tally.count("other") == 1
    assert tally.totals() == {"forged": 6, "other": 1}


def test_speaks_again_after_the_window_and_tells_the_whole_number() -> None:
    tally = Tally(burst=1, window=0.5)
    assert [tally.count("forged") for _ in range(3)] == [1, 0, 0]
    time.sleep(0.51)
    assert tally.count("forged") == 4


def test_counts_right_from_many_threads() -> None:
    tally = Tally(burst=1)
    threads = [threading.Thread(target=lambda: [tally.count("x") for _ in range(2000)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tally.totals() == {"x": 16_000}
