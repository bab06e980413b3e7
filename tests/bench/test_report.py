"""Figures become medians, ratios between runs that lay next to each other, tables and a picture."""

from __future__ import annotations

import json
from pathlib import Path

from bench.figures import Figures, Mark
from bench.marks import marks_of
from bench.measures import growth, memory
from bench.plot import draw
from bench.report import Run, number, to_json, to_markdown
from bench.stacks import FORTY_LINES, OURS


def run() -> Run:
    return Run("2026-11-23 10:00 UTC", 300, False, {"cores": "2"}, {memory.SECTION: 0.25}, {"depth": "nothing arrived"})


def memory_of(ours: list[float], forty: list[float]) -> Figures:
    figures = Figures()
    for who, values in ((OURS, ours), (FORTY_LINES, forty)):
        for value in values:
            figures.add(memory.SECTION, "PSS, under load", who, "MB", value)
    return figures


def test_a_ratio_compares_runs_pair_by_pair() -> None:
    figures = memory_of([50, 90, 100], [100, 100, 200])
    (mark,) = marks_of(figures)
    assert (list(mark.values), mark.median, mark.reached) == ([0.5, 0.9, 0.5], 0.5, True)


def test_a_mark_is_missed_on_the_wrong_side() -> None:
    (mark,) = marks_of(memory_of([80], [100]))
    assert not mark.reached
    assert Mark("x", "at least", 2, [2.0]).reached
    assert not Mark("x", "at least", 2, [1.9]).reached


def test_what_was_not_measured_has_no_mark() -> None:
    assert marks_of(Figures()) == []


def test_the_tables_show_median_spread_and_what_was_missed() -> None:
    figures = memory_of([80, 90, 85], [100, 100, 100])
    text = to_markdown(run(), figures, marks_of(figures))
    assert "| PSS, under load | MB | 85.0 (80.0 to 90.0) | 100 (100 to 100) |" in text
    assert "| memory under load: forty lines | at most 0.75 times | 0.85 times | 0.80 to 0.90 | **no** |" in text
    assert "**depth broke off: nothing arrived**" in text
    assert "Other programs kept 0.25 cores busy" in text


def test_the_json_holds_every_run() -> None:
    figures = memory_of([80, 90], [100, 100])
    document = json.loads(json.dumps(to_json(run(), figures, marks_of(figures))))
    assert document["figures"][0] == {
        "section": memory.SECTION,
        "what": "PSS, under load",
        "who": OURS,
        "unit": "MB",
        "median": 85,
        "runs": [80, 90],
    }
    assert document["marks"][0]["values"] == [0.8, 0.9]


def test_numbers_have_three_digits_that_matter() -> None:
    assert [number(value) for value in (12345.6, 123.4, 12.34, 1.234, 0.056)] == [
        "12,346",
        "123",
        "12.3",
        "1.23",
        "0.06",
    ]


def test_the_same_figures_draw_the_same_picture(tmp_path: Path) -> None:
    figures = Figures()
    for section in growth.SECTIONS:
        for point in ("1,000", "10,000"):
            for what in ("accepted", "rooms a second"):
                figures.add(section, what, point, "/s", 100)
    draw(figures, tmp_path / "one.svg")
    draw(figures, tmp_path / "two.svg")
    one = (tmp_path / "one.svg").read_text()
    assert one == (tmp_path / "two.svg").read_text()
    assert "rooms waiting" in one
    assert "10 k" in one
