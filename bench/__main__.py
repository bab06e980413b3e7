"""`python -m bench`: measures, prints the tables, writes them as Markdown and JSON, and draws the growth curves."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from bench.figures import Figures
from bench.load import ROOT
from bench.marks import marks_of
from bench.measures import delay, growth, limits, memory, pages, receive, rooms, waiting
from bench.plot import draw
from bench.processes import StartError, machine_cpu, own_cpu
from bench.report import Run, machine, to_json, to_markdown
from bench.workbench import Incomplete, Workbench
from sandbox.client import Sandbox
from sandbox.options import Options

MEASUREMENTS: dict[str, Callable[[Workbench], None]] = {
    "limits": limits.measure,
    "memory": memory.measure,
    "receive": receive.measure,
    "rooms": rooms.measure,
    "delay": delay.measure,
    "idle": waiting.measure,
    "finished": waiting.beside_finished,
    "waiting": growth.by_waiting,
    "depth": growth.by_depth,
    "workers": growth.by_workers,
    "pages": pages.measure,
}
BY_NAME_ONLY = ("idle", "finished", "pages")
"""What says something of this service alone, with nothing beside it to compare."""


def main() -> int:
    """Runs the benchmark. Returns 1 when a measurement broke off; a ratio that is missed is said and no failure."""
    options = parser().parse_args()
    usual = [name for name in MEASUREMENTS if name not in BY_NAME_ONLY]
    chosen = [name for name in MEASUREMENTS if name in (options.only or usual)]
    figures, foreign, broken, start = Figures(), dict[str, float](), dict[str, str](), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.scratch) as directory:
        # Signatures of reports are not checked by the fake receiver: its CPU would only slow everyone down alike.
        with Sandbox(Options(history="brief", webhook_secrets=())) as sandbox:
            bench = Workbench(sandbox, Path(directory), figures, options.quick)
            for name in chosen:
                with watched(name, figures, foreign):
                    try:
                        MEASUREMENTS[name](bench)
                    except (Incomplete, StartError) as error:
                        broken[name] = str(error)
    run = Run(
        at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        took=time.monotonic() - start,
        quick=options.quick,
        machine=machine(),
        foreign=foreign,
        broken=broken,
    )
    write(run, figures, options.out)
    return 1 if broken else 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs: to see that it works")
    only = f"some of {','.join(MEASUREMENTS)} (default: all but {', '.join(BY_NAME_ONLY)})"
    parser.add_argument("--only", type=lambda text: text.split(","), help=only)
    parser.add_argument(
        "--out", type=Path, default=ROOT / "bench" / "results", help="folder for the tables and the plot"
    )
    parser.add_argument("--scratch", type=Path, help="folder on a real disk for Redis and logs (default: the system's)")
    return parser


@contextlib.contextmanager
def watched(name: str, figures: Figures, foreign: dict[str, float]) -> Iterator[None]:
    """Says on stderr what is measured, and keeps how much of the machine was somebody else's meanwhile."""
    known = {figure.section for figure in figures.all()}
    start, all_before, own_before = time.monotonic(), machine_cpu(), own_cpu()
    print(f"measuring {name} …", end=" ", file=sys.stderr, flush=True)
    yield
    took = time.monotonic() - start
    others = max(0.0, (machine_cpu() - all_before) - (own_cpu() - own_before)) / took
    print(f"{took:.0f} s", file=sys.stderr)
    foreign.update({figure.section: others for figure in figures.all() if figure.section not in known})


def write(run: Run, figures: Figures, folder: Path) -> None:
    """Prints the tables and writes all files."""
    marks = marks_of(figures)
    tables = to_markdown(run, figures, marks)
    print(tables)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "benchmark.md").write_text("# Benchmark\n\n" + tables, encoding="utf-8")
    (folder / "benchmark.json").write_text(json.dumps(to_json(run, figures, marks), indent=1) + "\n", encoding="utf-8")
    if any(figure.section in growth.SECTIONS for figure in figures.all()):
        draw(figures, folder / "growth.svg")


if __name__ == "__main__":
    sys.exit(main())
