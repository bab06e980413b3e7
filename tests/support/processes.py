"""A process under test: started with a clean environment, its output in a file, always stopped."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from sandbox.options import ACCOUNT_SID, AUTH_TOKEN, WEBHOOK_SECRET
from tests.support.secrecy import SECRECY
from tests.support.servers import free_port

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 20.0
"""Seconds anything may take before a test gives up on it; never what is measured."""


def settings_for(redis_url: str, **variables: str) -> dict[str, str]:
    """The least environment the service starts with: the sandbox's account, nothing listening at the destination.

    `variables` are added and win; an empty one counts as unset.
    """
    return {
        "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
        "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
        "REPORT_WEBHOOK_URL": "http://127.0.0.1:9/receiver",
        "REPORT_WEBHOOK_SECRET": WEBHOOK_SECRET,
        "ALLOW_PRIVATE_DESTINATIONS": "1",
        "REDIS_URL": redis_url,
        **variables,
    }


def wait_until(done: Callable[[], object], *, what: str, seconds: float = PATIENCE) -> None:
    """Returns as soon as `done` does not answer falsely. Raises AssertionError that names `what`."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, f"waited {seconds:g} s in vain: {what}"
        time.sleep(0.01)


def answers(port: int, path: str = "/healthz") -> bool:
    """Whether a web process answers 200 on this port of 127.0.0.1."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


class Process:
    """A process and its children, in a process group of their own. Use as a context manager.

    Nothing of the caller's environment but the search path reaches it, so no setting of the developer's does.
    """

    def __init__(self, argv: Sequence[str], *, env: Mapping[str, str], log: Path, cwd: Path = ROOT) -> None:
        self.argv = list(argv)
        self.env = {"PATH": os.environ["PATH"], "HOME": str(log.parent), "PYTHONUNBUFFERED": "1", **env}
        SECRECY.know(self.env)
        self.log = log
        self.cwd = cwd
        self._popen: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Starts it, or starts it again; output is appended."""
        with self.log.open("ab") as output:
            self._popen = subprocess.Popen(
                self.argv,
                env=self.env,
                cwd=self.cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self

    @property
    def pid(self) -> int:
        """Process id of the process itself, and of its group."""
        return self._started().pid

    def output(self) -> str:
        """Everything it and its children have written so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def lines(self, event: str | None = None) -> list[dict[str, Any]]:
        """Its JSON log lines, those about one event if it is given."""
        found = [json.loads(line) for line in self.output().splitlines() if line.startswith("{")]
        return [line for line in found if event is None or line.get("event") == event]

    def is_running(self) -> bool:
        """Whether the process has not ended."""
        return self._started().poll() is None

    def send(self, signum: int) -> None:
        """Sends a signal to the process alone."""
        self._started().send_signal(signum)

    def wait(self, seconds: float = PATIENCE) -> int:
        """Waits for its end and returns the exit code, negative for a signal."""
        return self._started().wait(seconds)

    def stop(self, seconds: float = 35) -> int:
        """SIGTERM, and the exit code. Kills what is left of the group after `seconds`."""
        popen = self._started()
        if popen.poll() is None:
            popen.send_signal(signal.SIGCONT)
            popen.terminate()
            try:
                popen.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"did not stop in {seconds:g} s: {self.argv}\n{self.output()}") from None
        return popen.returncode

    def kill(self) -> None:
        """SIGKILL to the whole group, as an out-of-memory killer or a lost machine would."""
        popen = self._started()
        try:
            os.killpg(popen.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        popen.wait(PATIENCE)
        SECRECY.look(f"the log of {self.argv[1:]}", self.log.read_bytes())

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.kill()
            raise

    def __exit__(self, *_: object) -> None:
        self.kill()

    def _started(self) -> subprocess.Popen[bytes]:
        assert self._popen is not None, "not started"
        return self._popen


class Web(Process):
    """`gunicorn -c config/gunicorn.py app:app`, as the Procfile has it, on a free port that it keeps when restarted."""

    def __init__(self, *, env: Mapping[str, str], log: Path, options: Sequence[str] = ()) -> None:
        argv = [sys.executable, "-m", "gunicorn", "-c", "config/gunicorn.py", *options, "app:app"]
        self.port = free_port()
        super().__init__(argv, env={"PORT": str(self.port), "WEB_CONCURRENCY": "1", **env}, log=log)

    def start(self) -> Self:
        """Starts it, or starts it again, and waits until it answers."""
        super().start()
        wait_until(self._is_alive, what="the web door is alive")
        return self

    @property
    def url(self) -> str:
        """Where it listens: scheme, address and port."""
        return f"http://127.0.0.1:{self.port}"

    def _is_alive(self) -> bool:
        assert self.is_running(), f"gunicorn ended with {self.wait()}:\n{self.output()}"
        return answers(self.port)


class Worker(Process):
    """`python worker.py`, as the Procfile has it."""

    def __init__(self, *, env: Mapping[str, str], log: Path) -> None:
        super().__init__([sys.executable, "worker.py"], env=env, log=log)
