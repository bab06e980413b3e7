"""The growth curves as one picture: a row of accepted callbacks a second, a row of rooms a second, a column a curve."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Picture

from bench.figures import Figures
from bench.measures.growth import QUEUED, SECTIONS, WAITING

MEASURES = {"accepted": "callbacks accepted / s", "rooms a second": "rooms / s"}
STYLE: Any = {
    "svg.hashsalt": "room-reports",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e5e7eb",
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}
"""Fixed, so that the same figures give the same file; on white, so that it can be read on a dark page."""

COLOUR = "#1d4ed8"


def draw(figures: Figures, path: Path) -> None:
    """Writes the picture."""
    with rc_context(STYLE):
        picture = Picture(figsize=(9, 4.6))
        rows = picture.subplots(len(MEASURES), len(SECTIONS), sharey="row", squeeze=False)
        for row, (what, label) in zip(rows, MEASURES.items(), strict=True):
            row[0].set_ylabel(label)
            for axes, section in zip(row, SECTIONS, strict=True):
                curve(axes, figures, section, what)
        for axes, section in zip(rows[-1], SECTIONS, strict=True):
            axes.set_xlabel(section)
        for row in rows:
            row[0].set_ylim(bottom=0)
        picture.tight_layout()
        picture.savefig(path, format="svg", metadata={"Date": None})


def curve(axes: Axes, figures: Figures, section: str, what: str) -> None:
    """One curve: medians, with bars from the least to the greatest run."""
    points = [figure for figure in figures.all() if (figure.section, figure.what) == (section, what)]
    at = [int(figure.who.replace(",", "")) for figure in points]
    medians = [figure.median for figure in points]
    below = [figure.median - figure.spread[0] for figure in points]
    above = [figure.spread[1] - figure.median for figure in points]
    axes.errorbar(at, medians, yerr=[below, above], color=COLOUR, marker="o", markersize=4, capsize=3, linewidth=1.5)
    if section == WAITING:
        axes.set_xscale("log")
    if section == QUEUED:
        axes.set_xscale("symlog", linthresh=5_000)
    axes.set_xticks(at, [short(number) for number in at])
    axes.minorticks_off()


def short(number: int) -> str:
    """`100 k` for 100,000."""
    return f"{number // 1000} k" if number >= 1000 else str(number)
