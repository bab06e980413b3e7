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
from tests.support.processes import ROOT

README = (ROOT / "README.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]
PROOFS = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::([\w:]+)`", README)))


@pytest.mark.parametrize(("path", "name"), PROOFS)
def test_proof_of_a_promise_exists(path: str, name: str) -> None:
    node: ast.AST = ast.parse((ROOT / path).read_text())
    for part in name.split("::"):
        found = [inner for inner in ast.iter_child_nodes(node) if getattr(inner, "name", None) == part]
        assert found, f"{path} has no {name}"
        node = found[0]


def test_there_are_proofs() -> None:
    assert len(PROOFS) > 10


def test_every_feature_links_to_its_test() -> None:
    table = README.partition("\n## What it can do\n")[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 15
    for row in rows:
        assert re.fullmatch(r"\| .+ \| .+ \| \[`(tests/[\w/]+\.py)::[\w:]+`\]\(\1\) \|", row), row


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        assert "://" in target or (page.parent / target).exists(), f"{page.name} links to {target}"


def test_readme_names_only_what_there_is() -> None:
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    assert set(re.findall(r"make ([a-z-]+)`", README)) <= targets
    assert set(re.findall(r"`flask ([a-z-]+)", README)) <= COMMANDS.keys()
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
