"""Processes that are started, watched and stopped in order: the server, and each line of the Procfile."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).resolve().parents[1]


class Process:
    """A process in a session of its own: Ctrl-C reaches whoever started it, and that one decides the order of the end.

    `log`: file that its output is appended to, None for the terminal; `keep`: file descriptors it has as well.
    """

    def __init__(
        self, name: str, argv: Sequence[str], *, env: Mapping[str, str], log: Path | None, keep: Sequence[int] = ()
    ) -> None:
        self.name = name
        self.started_at = 0.0
        self._argv = list(argv)
        self._env = dict(env)
        self._log = log
        self._keep = keep
        self._popen: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it, or starts it again."""
        self.started_at = time.monotonic()
        with ExitStack() as stack:
            output = stack.enter_context(self._log.open("ab")) if self._log else None
            self._popen = subprocess.Popen(
                self._argv,
                env=self._env,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT if output else None,
                start_new_session=True,
                pass_fds=self._keep,
            )

    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._popen.poll() if self._popen else None

    def stop(self, *, patience: float) -> None:
        """SIGTERM, and SIGKILL after `patience` seconds. May be called whether it runs or not."""
        if self._popen is None or self._popen.poll() is not None:
            return
        self._popen.terminate()
        try:
            self._popen.wait(patience)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()


def from_procfile(name: str, *, env: Mapping[str, str], port: int, log: Path | None) -> Process:
    """A line of the Procfile, run by honcho.

    One honcho for each line, because a honcho with several ends all of them when one ends, and kills after five seconds
    what was told to stop with it. It is kept from reading `.env` by itself, which its parser cuts off at a `#`.
    """
    argv = [sys.executable, "-m", "honcho", "-e", "/dev/null", "start", "-p", str(port), name]
    path = f"{Path(sys.executable).parent}:{env.get('PATH', '')}"
    return Process(name, argv, env={**env, "PATH": path, "PYTHONUNBUFFERED": "1"}, log=log)


def stop_on_signals() -> None:
    """Lets SIGTERM and a closed terminal end this process as Ctrl-C does: through its `finally` clauses."""

    def stop(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    for signum in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, stop)
