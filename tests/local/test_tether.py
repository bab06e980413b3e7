"""Nothing outlives what started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from local.tether import marked, tether
from tests.support.processes import ROOT, wait_until

pytestmark = pytest.mark.skipif(not Path("/proc").exists(), reason="needs /proc: the tether holds on Linux only")

# A process that starts others as the demo does: one below it, one that has left its session and lost its parent.
STARTER = """
import os, subprocess, sys, time
from local.tether import MARK, tether
with tether() as tied:
    subprocess.Popen(["sh", "-c", "sleep 1000 & setsid -f sleep 1000"], env={**os.environ, **tied})
    print(tied[MARK], flush=True)
    time.sleep(1000)
"""


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_is_left_when_the_starter_is_ended(signum: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", STARTER], stdout=subprocess.PIPE, text=True, cwd=ROOT) as starter:
        assert starter.stdout is not None
        mark = starter.stdout.readline().strip()
        wait_until(lambda: len(marked(mark)) == 2, what="both sleep")
        starter.send_signal(signum)
        wait_until(lambda: not marked(mark), what="nothing is left")


def test_nothing_is_left_after_the_block() -> None:
    with tether() as tied:
        (mark,) = tied.values()
        subprocess.Popen(["setsid", "-f", "sleep", "1000"], env={**os.environ, **tied}).wait()
        wait_until(lambda: len(marked(mark)) == 1, what="it sleeps")
    assert not marked(mark)


def test_what_will_not_end_is_killed() -> None:
    with tether() as tied:
        deaf = ["sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 1; done"]
        process = subprocess.Popen(deaf, env={**os.environ, **tied}, stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
    with process:
        assert process.wait(20) == -signal.SIGKILL
