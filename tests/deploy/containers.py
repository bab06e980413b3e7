"""Real containers for the proofs of Dockerfile and compose.yaml: podman with runc, and a store of its own.

Where no registry can be reached, images are stood in for by ones that debootstrap makes: the same Debian, its own
Python of the same minor version, its own Redis. Everything else is what the files say.
"""

from __future__ import annotations

import json
import os
import platform
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.processes import ROOT

FOLDER = ROOT / "var" / "deploy"
PROGRAMS = ("podman", "runc", "debootstrap")
PATH = "ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
IMAGE = "localhost/room-reports"
HARDENED = ("--read-only", "--read-only-tmpfs=false", "--cap-drop", "all", "--security-opt", "no-new-privileges")
"""What compose.yaml and Kubernetes ask for; without podman's habit of putting a tmpfs on /tmp."""


def missing() -> str | None:
    """Why there can be no containers on this machine; None when there can."""
    if os.getuid() != 0:
        return "containers are made as root here"
    programs = [name for name in PROGRAMS if shutil.which(name) is None]
    return f"not installed: {', '.join(programs)}" if programs else None


class Engine:
    """podman with everything it keeps in one folder."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        # podman would raise the limits, which not every root may.
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        self.limits = [f"nofile={min(1024, files)}:{files}", "nproc=1024:1024"]
        text = f'[containers]\ndefault_ulimits = {json.dumps(self.limits)}\n[network]\nnetwork_backend = "netavark"\n'
        (folder / "containers.conf").write_text(text)
        # As a program, for podman-compose knows no options of podman.
        self.program = folder / "podman"
        self.program.write_text(
            f"#!/bin/sh\nexport CONTAINERS_CONF={folder}/containers.conf\n"
            f"exec podman --root {folder}/images --runroot {folder}/run --network-config-dir {folder}/networks "
            '--cgroup-manager cgroupfs --events-backend file --runtime runc "$@"\n'
        )
        self.program.chmod(0o755)

    def run(self, *argv: str, check: bool = True, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """One command of podman."""
        done = subprocess.run([str(self.program), *argv], capture_output=True, text=True, timeout=timeout)
        assert not check or done.returncode == 0, f"podman {' '.join(argv)}: {done.stdout}{done.stderr}"
        return done

    def inspect(self, name: str) -> dict[str, Any]:
        """What podman knows of an image or a container."""
        found: list[dict[str, Any]] = json.loads(self.run("inspect", name).stdout)
        return found[0]

    def image(self, name: str, packages: str, *, files: Mapping[str, str]) -> str:
        """That image of a registry, or its stand-in with these packages and executable files. Returns what it is."""
        short = re.sub(r"[^a-z0-9]+", "-", name.partition("@")[0].rpartition("/")[2])
        stand_in = f"localhost/stand-in-{short}"
        if self.run("image", "exists", stand_in, check=False).returncode == 0:
            return stand_in
        if self._pulled(name):
            return name
        with tempfile.TemporaryDirectory(dir=self.folder) as root:
            options = ["--variant=minbase", f"--include={packages}", "trixie", root]
            subprocess.run(["debootstrap", *options], check=True, capture_output=True, timeout=500)
            for path, text in files.items():
                (Path(root) / path).write_text(text)
                (Path(root) / path).chmod(0o755)
            archive = self.folder / "stand-in.tar"
            subprocess.run(["tar", "-C", root, "-cf", str(archive), "."], check=True, timeout=100)
        self.run("import", "--quiet", "--change", PATH, str(archive), stand_in)
        archive.unlink()
        return stand_in

    def _pulled(self, name: str) -> bool:
        try:
            return self.run("pull", "--quiet", name, check=False, timeout=20).returncode == 0
        except subprocess.TimeoutExpired:
            return False


class Container:
    """One that runs until the end of the `with` block."""

    def __init__(self, engine: Engine, *options: str, image: str = IMAGE, command: tuple[str, ...] = ()) -> None:
        self._engine = engine
        self.name = engine.run("create", *HARDENED, *options, image, *command).stdout.split()[-1]

    def __enter__(self) -> Self:
        self._engine.run("start", self.name)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._engine.run("rm", "--force", "--time", "0", self.name)

    def python(self, code: str) -> str:
        """What a line of Python prints inside."""
        return self._engine.run("exec", self.name, "python", "-c", code).stdout.strip()

    def is_healthy(self) -> bool:
        """What the image's HEALTHCHECK says now."""
        return self._engine.run("healthcheck", "run", self.name, check=False).returncode == 0

    def stop(self, patience: int = 40) -> int:
        """SIGTERM, as an engine stops it. Returns the exit code, 137 when it had to be killed."""
        self._engine.run("stop", "--time", str(patience), self.name, timeout=patience + 30)
        return self.wait()

    def wait(self) -> int:
        """Until it has ended. Returns the exit code."""
        return int(self._engine.run("wait", self.name).stdout)

    def output(self) -> str:
        """What it has said."""
        done = self._engine.run("logs", self.name)
        return done.stdout + done.stderr


def dockerfile_base() -> str:
    """The image that the Dockerfile builds on."""
    found = re.search(r"^ARG PYTHON=(\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert found is not None
    return found[1]


def python_image(engine: Engine) -> str:
    """The base of the Dockerfile, or Debian with its own Python."""
    packages = "python3,python3-venv,python3-pip,ca-certificates"
    return engine.image(dockerfile_base(), packages, files={"usr/local/bin/python": '#!/bin/sh\nexec python3 "$@"\n'})


def build(engine: Engine, base: str, **arguments: str) -> None:
    """Runs the Dockerfile, without a network: the wheels of the lock lie ready for pip to find."""
    wheels = engine.folder / "wheels"
    download(wheels, python=re.findall(r"python:(3\.\d+)", dockerfile_base())[0])
    (engine.folder / "pip.conf").write_text("[global]\nno-index = true\nfind-links = /wheels\n")
    options = ["--format", "docker", "--network", "none", "--volume", f"{wheels}:/wheels:ro"]
    options += [option for limit in engine.limits for option in ("--ulimit", limit)]
    options += ["--volume", f"{engine.folder}/pip.conf:/etc/pip.conf:ro"]
    for name, value in {"PYTHON": base, **arguments}.items():
        options += ["--build-arg", f"{name}={value}"]
    engine.run("build", *options, "--tag", IMAGE, str(ROOT), timeout=400)


def download(wheels: Path, *, python: str) -> None:
    """Fetches what `requirements.lock` names, each file with a hash of it, for that Python on this kind of machine."""
    tags = [f"manylinux_2_{minor}_{platform.machine()}" for minor in (5, 12, 17, 27, 28)]
    options = [option for tag in (*tags, f"manylinux2014_{platform.machine()}") for option in ("--platform", tag)]
    options += ["--python-version", python, "--only-binary=:all:", "--require-hashes", "--dest", str(wheels)]
    argv = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", *options]
    argv += ["--requirement", str(ROOT / "requirements.lock")]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
