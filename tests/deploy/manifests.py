"""The files of deploy/kubernetes, as they are written and as kustomize puts them together."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from typing import Any

import yaml

from tests.support.processes import ROOT

FOLDER = ROOT / "deploy" / "kubernetes"
OVERLAYS = ("small", "production")
Document = dict[str, Any]


def written() -> list[Document]:
    """Every object of every file."""
    return [
        document
        for path in sorted(FOLDER.rglob("*.yaml"))
        for document in yaml.safe_load_all(path.read_text())
        if document["kind"] not in ("Kustomization", "Component")
    ]


def the(kind: str, name: str) -> Document:
    """The one written object of that kind and name."""
    [found] = [one for one in written() if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    return found


def container(component: str) -> Document:
    """The container of web or worker, as the base has it."""
    [found] = the("Deployment", component)["spec"]["template"]["spec"]["containers"]
    return dict(found)


def settings(overlay: str) -> dict[str, str]:
    """The lines of an overlay's settings.env."""
    lines = (FOLDER / "overlays" / overlay / "settings.env").read_text().splitlines()
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name: value for name, _, value in pairs}


def kustomize() -> list[str] | None:
    """The program that puts overlays together; None where there is none."""
    if shutil.which("kustomize"):
        return ["kustomize", "build"]
    return ["kubectl", "kustomize"] if shutil.which("kubectl") else None


@cache
def built(overlay: str) -> str:
    """An overlay as it would be applied."""
    command = kustomize()
    assert command is not None
    argv = [*command, str(FOLDER / "overlays" / overlay)]
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout


def objects(overlay: str) -> list[Document]:
    """The objects of a built overlay."""
    return list(yaml.safe_load_all(built(overlay)))


def pods(overlay: str) -> Iterator[tuple[str, Document]]:
    """Name and pod template of everything that runs."""
    for one in objects(overlay):
        if one["kind"] in ("Deployment", "StatefulSet"):
            yield one["metadata"]["name"], one["spec"]["template"]
