"""The house rules that no type checker holds: who may import what, and when the environment may be read."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SERVICE = ("app.py", "worker.py", "config", "room_reports")

# What may be imported only by whom: a module, or a folder with everything in it.
ONLY = {
    "flask": ["app.py", "room_reports/web", "room_reports/cli"],
    "werkzeug": ["app.py", "room_reports/web"],
    "jinja2": ["room_reports/slack_template.py"],
    "itsdangerous": ["room_reports/web/ops/sessions.py"],
    "markupsafe": ["room_reports/web/ops"],
    "svg": ["room_reports/web/ops/charts.py"],
    "twilio": ["room_reports/signatures.py"],
    "rq": ["room_reports/dispatch.py", "room_reports/concurrent_worker.py", "worker.py"],
    "redis": [
        "room_reports/ledger",
        "room_reports/connection.py",
        "room_reports/dispatch.py",
        "room_reports/concurrent_worker.py",
        "room_reports/lanes.py",
        "room_reports/service.py",
    ],
    "sentry_sdk": ["room_reports/telemetry/sentry.py"],
    "opentelemetry": ["room_reports/telemetry/otel.py"],
    "prometheus_client": ["room_reports/metrics.py", "room_reports/web/metrics.py"],
    "requests": ["room_reports/transport"],
    "urllib3": ["room_reports/transport"],
    "slack_sdk": [],
    "standardwebhooks": ["room_reports/destinations/webhook.py"],
    "sandbox": [],
    "tests": [],
    "bench": [],
    "local": [],
}


def modules() -> list[Path]:
    found: list[Path] = []
    for name in SERVICE:
        path = ROOT / name
        found += sorted(path.rglob("*.py")) if path.is_dir() else [path]
    return found


def imports_of(path: Path) -> Iterator[str]:
    """The modules that a file imports at run time: imports for type checking alone bind nothing."""
    tree = ast.parse(path.read_text())
    checking = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in checking:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_module_imports_only_what_is_its_to_know(path: Path) -> None:
    name = name_of(path)
    for imported in imports_of(path):
        allowed = ONLY.get(imported.partition(".")[0])
        if allowed is not None:
            permitted = any(name == one or name.startswith(f"{one}/") for one in allowed)
            assert permitted, f"{name} must not import {imported}"
        if name.startswith("config/"):
            assert not imported.startswith("room_reports"), "config is a leaf"


def test_destination_knows_no_other_destination() -> None:
    kinds = [path for path in (ROOT / "room_reports/destinations").glob("*.py") if path.stem != "__init__"]
    assert len(kinds) >= 2
    for path in kinds:
        others = {f"room_reports.destinations.{kind.stem}" for kind in kinds if kind != path}
        assert others.isdisjoint(imports_of(path)), path


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_nothing_reads_the_environment_at_import(path: Path) -> None:
    if name_of(path) == "config/gunicorn.py":
        return  # gunicorn reads its configuration by running it
    tree = ast.parse(path.read_text())
    inside = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv"):
            assert id(node) in inside, f"{name_of(path)}:{node.lineno} reads the environment at import"


def test_only_the_ledger_knows_our_redis_keys() -> None:
    key = re.compile(r"(room|attempts|due|hold|rooms):\S*")
    for path in modules():
        if "/ledger/" in name_of(path):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not key.fullmatch(node.value), f"{name_of(path)}:{node.lineno} names a key of the ledger"
