"""`make lock`: resolves the direct pins into the lock files, every package with the hashes of all its files.

`requirements.txt`, `requirements-extras.txt` and `requirements-dev.txt` hold what we chose; the `.lock` beside each all
that follows from it, for Python 3.11 and later and for every platform. The first line of each requirements file
includes its lock, and a hash anywhere makes pip check all of them. So whoever installs the requirements (Heroku knows
only that file) installs exactly what was locked, and pip refuses a pin that the lock does not have.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OLDEST = "3.11"
NAMES = ("requirements", "requirements-extras", "requirements-dev")
"""The requirements files that have a lock, each after those it stands on."""

HEADER = "# Made by `make lock` from {source}; not edited by hand.\n"


def main() -> int:
    """Writes the locks. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m local.lock", description=__doc__)
    parser.add_argument("--uv", default="uv", help="the uv to resolve with")
    parser.add_argument("--upgrade", action="store_true", help="take the newest of what is not pinned")
    arguments = parser.parse_args()
    options = ["--upgrade"] if arguments.upgrade else []
    for name in NAMES:
        if code := compile_lock(arguments.uv, name, options):
            return code
        # What several need is the same in all of them.
        options = [*options, "--constraints", f"{name}.lock"]
    return 0


def compile_lock(uv: str, name: str, options: list[str]) -> int:
    """Resolves `name`.txt into `name`.lock. Returns the exit code of uv, which says what was wrong."""
    lock = ROOT / f"{name}.lock"
    command = [uv, "pip", "compile", "--quiet", "--universal", "--generate-hashes", "--no-header", "--no-config"]
    command += ["--no-annotate", "--python-version", OLDEST, "--output-file", lock.name, *options, "-"]
    pins = "\n".join(direct_pins(ROOT / f"{name}.txt"))
    code = subprocess.run(command, input=pins, text=True, cwd=ROOT).returncode
    if code == 0:
        lock.write_text(HEADER.format(source=f"{name}.txt") + lock.read_text())
    return code


def direct_pins(path: Path) -> list[str]:
    """The pins of a requirements file, without what it includes."""
    lines = (line.partition("#")[0].strip() for line in path.read_text().splitlines())
    return [line for line in lines if line and not line.startswith("-")]


if __name__ == "__main__":
    sys.exit(main())
