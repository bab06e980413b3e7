"""Bar charts as SVG: upright for what has an order in time, lying for what has names.

Drawn in units of a phone's pixels, so that the writing stays readable there. Colours, light and dark, are the
stylesheet's, by class. svg.py writes what it is given, so every text is escaped here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import svg
from markupsafe import Markup, escape

WIDTH = 360
HEIGHT = 160
ABOVE, BELOW, LEFT = 16, 22, 34
ROW = 26
LABELS = 150
HALF_A_LABEL = 21
SHORTEST = 2
"""The height of a bar that stands for something, however little."""


@dataclass(frozen=True)
class Bar:
    """One value. `label` stands at the bar, `name` says it in full; `tone` is a class of the stylesheet."""

    label: str
    value: float
    name: str
    tone: str = ""


def upright(bars: Sequence[Bar], *, title: str, every: int = 1) -> Markup:
    """Bars side by side, with a label below every so many, and a scale at the left."""
    top = nice_limit(max((bar.value for bar in bars), default=0))
    bottom, height = HEIGHT - BELOW, HEIGHT - BELOW - ABOVE
    step = (WIDTH - LEFT) / max(len(bars), 1)
    drawn: list[svg.Element] = []
    for share in (0, 0.5, 1):
        y = bottom - share * height
        drawn.append(svg.Line(x1=LEFT, x2=WIDTH, y1=_r(y), y2=_r(y), class_=["grid"]))
        drawn.append(_text(LEFT - 5, y + 3.5, short(top * share), "end"))
    for number, bar in enumerate(bars):
        x, tall = LEFT + number * step, _length(bar.value / top * height)
        drawn.append(_rect(bar, x + step * 0.1, bottom - tall, step * 0.8, tall))
        if bar.label and number % every == 0:
            middle = min(x + step / 2, WIDTH - HALF_A_LABEL)
            drawn.append(_text(middle, HEIGHT - 7, bar.label, "middle"))
    return _picture(drawn, HEIGHT, title)


def lying(bars: Sequence[Bar], *, title: str) -> Markup:
    """Bars one below the other, each with its label at the left and its value at the right."""
    top = max((bar.value for bar in bars), default=0) or 1
    room = WIDTH - LABELS - 52
    drawn: list[svg.Element] = []
    for number, bar in enumerate(bars):
        y, long = number * ROW, _length(bar.value / top * room)
        drawn.append(_text(LABELS - 8, y + 17, bar.label, "end"))
        drawn.append(_rect(bar, LABELS, y + 5, long, ROW - 10))
        drawn.append(_text(LABELS + long + 6, y + 17, short(bar.value), "start"))
    return _picture(drawn, max(len(bars), 1) * ROW, title)


def nice_limit(most: float) -> float:
    """The end of a scale: the next of 2, 4, 6, 8, 10, 20, 40, …, so that its half is a whole number too."""
    if most <= 2:
        return 2
    power = 10 ** math.floor(math.log10(most))
    return float(next(step * power for step in (1, 2, 4, 6, 8, 10) if step * power >= most))


def short(value: float) -> str:
    """`950`, `1.2k`, `30k`, `4M`."""
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.1f}".removesuffix(".0") + unit
    return f"{value:.1f}".removesuffix(".0")


def _length(long: float) -> float:
    return max(long, SHORTEST) if long else 0


def _rect(bar: Bar, x: float, y: float, width: float, height: float) -> svg.Element:
    return svg.Rect(
        x=_r(x),
        y=_r(y),
        width=_r(width),
        height=_r(height),
        rx=1.5,
        class_=["value", bar.tone] if bar.tone else ["value"],
        elements=[svg.Title(text=str(escape(bar.name)))],
    )


def _text(x: float, y: float, text: str, anchor: str) -> svg.Element:
    return svg.Text(x=_r(x), y=_r(y), text=str(escape(text)), class_=[f"at-{anchor}"])


def _picture(drawn: list[svg.Element], height: float, title: str) -> Markup:
    box = svg.ViewBoxSpec(0, 0, WIDTH, height)
    said = {"role": "img", "aria-label": str(escape(title))}
    picture = svg.SVG(viewBox=box, class_=["chart"], elements=drawn, extra=said)
    return Markup(picture.as_str())  # noqa: S704 - every text in it was escaped above


def _r(number: float) -> float:
    return round(number, 2)
