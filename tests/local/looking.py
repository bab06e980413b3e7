"""Finding the processes of a test among those of the machine."""

from __future__ import annotations

from pathlib import Path


def pids_of(command: str, folder: Path) -> list[int]:
    """Processes with `command` in their command line, and `folder` there or in their environment. Reads /proc."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            line, environ = (path / "cmdline").read_bytes(), (path / "environ").read_bytes()
        except OSError:
            continue  # it has ended
        if command.encode() in line and str(folder).encode() in line + environ:
            found.append(int(path.name))
    return found
