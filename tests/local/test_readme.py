"""What the README and its neighbours point at exists, and the Makefile says what it can do."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest
from honcho.environ import parse_procfile  # type: ignore[import-untyped]  # honcho ships no types

from config.settings import Settings
from room_reports.cli import COMMANDS
from tests.support.markdown import anchor, headings
from tests.support.processes import ROOT

README = (ROOT / "README.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]
PROOFS = sorted(
    {proof for page in PAGES for proof in re.findall(r"`(tests/[\w/]+\.py)(?:::([\w:]+))?", page.read_text())}
)


@pytest.mark.parametrize(("path", "name"), PROOFS)
def test_proof_of_a_promise_exists(path: str, name: str) -> None:
    node: ast.AST = ast.parse((ROOT / path).read_text())
    for part in name.split("::") if name else ():
        found = [inner for inner in ast.iter_child_nodes(node) if getattr(inner, "name", None) == part]
        assert found, f"{path} has no {name}"
        node = found[0]


def rows_of(heading: str) -> list[str]:
    """The rows of the table of the README below this heading."""
    section = README.partition(f"\n{heading}\n")[2].partition("\n#")[0]
    return [line for line in section.splitlines() if line.startswith("| ")][1:]


def test_every_feature_links_to_its_test() -> None:
    rows = rows_of("## What it can do")
    assert len(rows) > 15
    for row in rows:
        assert re.fullmatch(r"\| .+ \| .+ \| \[`(tests/[\w/]+\.py)::[\w:]+`\]\(\1\) \|", row), row


def test_every_promise_names_its_proof() -> None:
    rows = rows_of("## What it promises")
    assert len(rows) > 20
    for row in rows:
        assert re.fullmatch(r"\| .+ \| `tests/[\w/]+\.py::[\w:]+`.* \|", row), row


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    for target, place in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", page.read_text()):
        if "://" not in target:
            there = page.parent / target if target else page
            assert there.exists(), f"{page.name} links to {target}"
            assert not place or place in map(anchor, headings(there.read_text())), (
                f"{page.name} links to {target}#{place}"
            )


def test_pages_name_only_what_there_is() -> None:
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    for page in PAGES:
        assert set(re.findall(r"make ([a-z-]+)`", page.read_text())) <= targets, page.name
        assert set(re.findall(r"`flask ([a-z-]+)", page.read_text())) <= COMMANDS.keys(), page.name
    variables = {name.upper() for name in Settings.model_fields}
    named = set(re.findall(r"`([A-Z]+(?:_[A-Z]+)+)`", README))
    assert named <= variables, named - variables


def test_help_lists_every_target() -> None:
    printed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    listed = re.findall(r"^  make ([a-z-]+) +\S", printed, re.MULTILINE)
    internal = {"runtime", "dev", "tools"}
    assert set(listed) | internal == set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    phony = re.findall(r"^\.PHONY: (.+)", MAKEFILE, re.MULTILINE)[0].split()
    assert set(phony) == set(listed) | internal


def test_procfile_is_what_is_deployed() -> None:
    assert dict(parse_procfile((ROOT / "Procfile").read_text()).processes) == {
        "release": "flask doctor --startup",
        "web": "gunicorn -c config/gunicorn.py app:app",
        "worker": "python worker.py",
    }
