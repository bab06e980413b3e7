"""A process keeps to one core, and two of a kind never to the same."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or len(os.sched_getaffinity(0)) < 2, reason="needs Linux and two cores"
)

KEEPER = """
import os, sys, threading
from config.cores import keep_to_one_core
core = keep_to_one_core(sys.argv[1])
of_a_thread = []
thread = threading.Thread(target=lambda: of_a_thread.append(sorted(os.sched_getaffinity(0))))
thread.start()
thread.join()
print(core, of_a_thread[0], flush=True)
sys.stdin.read()
"""


def started(kind: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", KEEPER, kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_each_has_a_core_until_there_is_none_and_the_dead_give_theirs_back() -> None:
    kind, cores = f"test-{os.getpid()}", sorted(os.sched_getaffinity(0))
    processes = [started(kind) for _ in cores]
    late = None
    try:
        assert {said(process) for process in processes} == {f"{core} [{core}]" for core in cores}
        late = started(kind)
        assert said(late) == f"None {cores}"
        processes[0].kill()
        processes[0].wait()
        with started(kind) as following:
            freed = said(following)
            following.kill()
        assert freed in {f"{core} [{core}]" for core in cores}
    finally:
        for process in filter(None, (*processes, late)):
            process.kill()
            process.communicate()


def test_another_kind_shares_the_cores() -> None:
    with started(f"one-{os.getpid()}") as one, started(f"two-{os.getpid()}") as two:
        assert "None" not in said(one) + said(two)
        one.kill()
        two.kill()
