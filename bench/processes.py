"""Starting, watching and ending the processes that are measured. CPU and memory come from /proc: Linux only."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import psutil

from bench.load import ROOT

START_TIMEOUT = 30.0
INHERITED = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
"""No setting of whoever runs the benchmark reaches what is measured."""


class StartError(Exception):
    """A process that is to be measured did not come up; holds the end of what it said."""


class Started:
    """One process and its descendants, with a log file."""

    def __init__(self, command: Sequence[str], *, environment: Mapping[str, str], log: Path) -> None:
        self._log = log
        self._command = command
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                command,
                env={**INHERITED, **environment},
                cwd=ROOT,
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
            )

    def tree(self) -> list[psutil.Process]:
        """The process and everything below it, parents first; empty when it has ended."""
        try:
            process = psutil.Process(self._popen.pid)
            return [process, *process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def wait_until(self, is_up: Callable[[], bool]) -> None:
        """Waits until it is up. Raises `StartError` when it ends, or takes too long."""
        deadline = time.monotonic() + START_TIMEOUT
        while not is_up():
            if self._popen.poll() is not None or time.monotonic() > deadline:
                raise StartError(f"{' '.join(self._command)} did not start:\n{self._log.read_text()[-3000:]}")
            time.sleep(0.02)

    def freeze(self) -> None:
        """Stops the clock for it and its descendants, parents first, so that none sees another one stopped."""
        for process in self.tree():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()

    def thaw(self) -> None:
        """Lets them run on, children first."""
        for process in reversed(self.tree()):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()

    def kill(self) -> None:
        """Ends it and its descendants at once. May be called twice."""
        for process in self.tree():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        self._popen.wait()


def cpu_seconds(started: Iterable[Started]) -> float:
    """User and system CPU seconds that these trees have used so far, ended descendants included."""
    return sum(_cpu_of(process) for group in started for process in group.tree())


def pss(started: Iterable[Started]) -> float:
    """Megabytes of memory of these trees: a page that is shared counts in parts."""
    total = 0
    for group in started:
        for process in group.tree():
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                total += process.memory_full_info().pss
    return total / 1e6


def own_cpu() -> float:
    """CPU seconds of the whole benchmark so far, everything it started included."""
    return sum(_cpu_of(process) for process in (psutil.Process(), *psutil.Process().children(recursive=True)))


def machine_cpu() -> float:
    """CPU seconds that anything on this machine has used since it was started."""
    times = psutil.cpu_times()
    return float(times.user + times.system + getattr(times, "irq", 0.0) + getattr(times, "softirq", 0.0))


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    """Whether something accepts connections there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def running(
    command: Sequence[str], is_up: Callable[[], bool], *, environment: Mapping[str, str], log: Path
) -> Iterator[Started]:
    """A process for as long as the block lasts."""
    started = Started(command, environment=environment, log=log)
    try:
        started.wait_until(is_up)
        yield started
    finally:
        started.kill()


def _cpu_of(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)
