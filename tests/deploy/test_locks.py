"""What is installed is what was locked: every package, with hashes, following from the direct pins."""

from __future__ import annotations

import re
from importlib import metadata
from itertools import combinations
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from local.install import with_included
from local.licences import ALLOWED, PAGE, known_rows, licence_of, locked_names
from local.lock import NAMES, direct_pins

ROOT = Path(__file__).resolve().parents[2]
FILES = NAMES


def locked(*names: str) -> dict[str, set[str]]:
    """Package and versions of everything in these locks; several where newer Pythons get a newer one."""
    versions: dict[str, set[str]] = {}
    for name in names:
        for package, version in re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / f"{name}.lock").read_text(), re.MULTILINE):
            versions.setdefault(package, set()).add(version)
    return versions


def needed(pin: str) -> set[str]:
    """Everything installed that follows from a pin, as the packages themselves say it."""
    found: set[str] = set()
    waiting = [Requirement(pin)]
    while waiting:
        requirement = waiting.pop()
        found.add(canonicalize_name(requirement.name))
        for text in metadata.requires(requirement.name) or []:
            inner = Requirement(text)
            extras = requirement.extras or {""}
            is_met = inner.marker is None or any(inner.marker.evaluate({"extra": extra}) for extra in extras)
            if is_met and canonicalize_name(inner.name) not in found:
                waiting.append(inner)
    return found


@pytest.mark.parametrize("name", FILES)
def test_direct_pins_are_locked_as_they_are(name: str) -> None:
    versions = locked(name)
    for pin in direct_pins(ROOT / f"{name}.txt"):
        requirement = Requirement(pin)
        found = versions.get(canonicalize_name(requirement.name), set())
        assert {f"=={version}" for version in found} == {str(requirement.specifier)}, f"{pin}: run `make lock`"


def test_everything_that_follows_from_a_pin_is_locked() -> None:
    for names in (FILES[:1], FILES[:2], FILES):
        versions = locked(*names)
        for pin in direct_pins(ROOT / f"{names[-1]}.txt"):
            missing = needed(pin) - set(versions)
            assert not missing, f"{pin} needs {missing}: run `make lock`"


def test_all_locks_agree() -> None:
    for one, other in combinations([locked(name) for name in FILES], 2):
        both = one.keys() & other.keys()
        assert {name: one[name] for name in both} == {name: other[name] for name in both}


def test_what_is_installed_here_is_what_was_locked() -> None:
    for name, versions in locked(*FILES).items():
        try:
            assert metadata.version(name) in versions, f"{name}: run `make lock`, or install what is locked"
        except metadata.PackageNotFoundError:
            continue  # for another platform


@pytest.mark.parametrize("name", FILES)
def test_every_file_has_a_hash_and_comes_from_the_index(name: str) -> None:
    text = (ROOT / f"{name}.lock").read_text()
    for entry in re.split(r"\n(?=\S)", text.partition("\n")[2]):
        assert re.fullmatch(r"[a-z0-9-]+==\S+( ; [^\\]+)?( \\\n    --hash=sha256:[0-9a-f]{64})+\n?", entry), entry[:80]


@pytest.mark.parametrize("name", FILES)
def test_whoever_installs_the_requirements_gets_the_lock(name: str) -> None:
    assert f"-r {name}.lock" in (ROOT / f"{name}.txt").read_text().splitlines()


def test_a_changed_lock_is_installed_by_make(tmp_path: Path) -> None:
    for file, text in {"a.txt": "-r b.txt\na\n", "b.txt": "-r c.lock\nb\n", "c.lock": "c==1\n"}.items():
        (tmp_path / file).write_text(text)
    assert "c==1" in with_included(str(tmp_path / "a.txt"))


class TestLicences:
    def test_page_has_every_locked_package_as_it_describes_itself(self) -> None:
        names = locked_names((ROOT / "requirements.lock").read_text())
        rows = known_rows()
        assert list(rows) == names, "run `make licences`"
        stated = {name: licence_of(name) or rows[name] for name in names}
        assert rows == stated, f"run `make licences` for {PAGE}"

    def test_no_licence_is_unexpected(self) -> None:
        for name, licence in known_rows().items():
            assert set(re.split(r" (?:AND|OR) ", licence)) <= ALLOWED, f"{name}: {licence}"
