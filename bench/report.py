"""The figures as Markdown, for people, and as JSON, for everything else."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import psutil

from bench.figures import Figure, Figures, Mark
from bench.stacks import redis_program


@dataclass(frozen=True)
class Run:
    """Where and how the figures came about.

    `foreign`: cores that something else kept busy, by section; `broken`: why a measurement broke off, by its name.
    """

    at: str
    took: float
    quick: bool
    machine: dict[str, str]
    foreign: dict[str, float]
    broken: dict[str, str]


def machine() -> dict[str, str]:
    """What the figures depend on besides the code."""
    return {
        "cores": str(os.cpu_count()),
        "processor": processor(),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "Redis server": redis_version(),
    }


def redis_version() -> str:
    """The version of the server that is measured with, and how it gets its memory."""
    command = [redis_program(), "--version"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
    facts = dict(word.split("=", 1) for word in said.split() if "=" in word)
    return f"{said.split()[0]} {facts['v']} ({facts['malloc']})"


def processor() -> str:
    """The processor's name as Linux knows it."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    return names[0] if names else platform.machine()


def to_json(run: Run, figures: Figures, marks: Sequence[Mark]) -> dict[str, Any]:
    """Everything, every single run of every measure included."""
    found = [
        {**asdict(mark), "values": list(mark.values), "median": mark.median, "reached": mark.reached} for mark in marks
    ]
    return {**asdict(run), "marks": found, "figures": figures.to_json()}


def to_markdown(run: Run, figures: Figures, marks: Sequence[Mark]) -> str:
    """The marks, then one table for each section: a row for each measure, a column for each contender."""
    parts = [about(run), *(f"**{name} broke off: {why}**" for name, why in run.broken.items())]
    if marks:
        parts.append("## Ratios\n\n" + table_of_marks(marks))
    for section in dict.fromkeys(figure.section for figure in figures.all()):
        rows = [figure for figure in figures.all() if figure.section == section]
        foreign = run.foreign.get(section)
        note = f"\n\nOther programs kept {foreign:.2f} cores busy meanwhile." if foreign is not None else ""
        parts.append(f"## {section.capitalize()}\n\n{table_of_figures(rows)}{note}")
    return "\n\n".join(parts) + "\n"


def about(run: Run) -> str:
    """When and where."""
    where = ", ".join(f"{name} {value}" for name, value in run.machine.items())
    quick = " A quick run: too short to be quoted." if run.quick else ""
    how = "Medians, with the least and the greatest run in brackets."
    return f"Measured {run.at} in {run.took:.0f} s on: {where}.{quick} {how}"


def table_of_marks(marks: Sequence[Mark]) -> str:
    """What must be reached and what was."""
    lines = ["| measure | wanted | median | runs | |", "|---|---|---|---|---|"]
    for mark in marks:
        lines.append(
            f"| {mark.what} | {mark.how} {number(mark.bound)} {mark.unit} | {number(mark.median)} {mark.unit} "
            f"| {number(min(mark.values))} to {number(max(mark.values))} | {'yes' if mark.reached else '**no**'} |"
        )
    return "\n".join(lines)


def table_of_figures(figures: Sequence[Figure]) -> str:
    """One section."""
    whos = list(dict.fromkeys(figure.who for figure in figures))
    lines = ["| measure | unit | " + " | ".join(whos) + " |", "|---|---|" + "---|" * len(whos)]
    for what in dict.fromkeys(figure.what for figure in figures):
        found = {figure.who: figure for figure in figures if figure.what == what}
        unit = next(iter(found.values())).unit
        cells = [cell(found.get(who)) for who in whos]
        lines.append(f"| {what} | {unit} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def cell(figure: Figure | None) -> str:
    """The median, and the spread where there is one."""
    if figure is None:
        return ""
    least, greatest = figure.spread
    if len(figure.values) == 1:
        return number(figure.median)
    return f"{number(figure.median)} ({number(least)} to {number(greatest)})"


def number(value: float) -> str:
    """Three digits that matter."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
