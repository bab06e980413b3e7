"""The worker on each version of RQ that it is said to work with, in an environment of its own that is thrown away.

The pinned version is what every other test runs on. Versions before 2.9 lack what the worker builds on.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from importlib import metadata
from pathlib import Path

import pytest

from tests.support.processes import ROOT

VERSIONS = ("2.9.0", "2.9.1", "2.10.0", "2.11.0", "2.12.0")
TESTS = (
    "tests/processes/test_queues.py",
    "tests/processes/test_planted_jobs.py",
    "tests/processes/test_shutdown.py",
    "tests/test_ledger.py::TestOpening",
)

pytestmark = pytest.mark.deploy


@pytest.mark.parametrize("version", VERSIONS)
def test_the_worker_runs_on_other_versions_of_rq(version: str, tmp_path: Path) -> None:
    python = environment_with(version, tmp_path / "environment")
    found = run([python, "-c", "import rq; print(rq.VERSION)"])
    assert found.stdout.strip() == version
    argv = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--basetemp", str(tmp_path / "tests"), *TESTS]
    ended = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=400, check=False)
    assert ended.returncode == 0, ended.stdout[-4000:]


def test_the_pinned_version_is_not_among_them() -> None:
    assert metadata.version("rq") not in VERSIONS, "it is what all other tests run on"


def environment_with(version: str, folder: Path) -> str:
    """The Python of a new environment that has this RQ in front of everything that is installed here."""
    run([sys.executable, "-m", "venv", "--without-pip", str(folder)])
    python = folder / "bin" / "python"
    run([sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", f"rq=={version}"])
    own = Path(run([str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]).stdout.strip())
    (own / "behind.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    return str(python)


def run(argv: list[str]) -> subprocess.CompletedProcess[str]:
    """Runs a command that must succeed, and gives its output."""
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
