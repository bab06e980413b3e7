"""Alert rules, dashboard, operations.md and metrics.md speak of metrics that a running door really tells."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

import pytest

from room_reports.errors import REASONS
from room_reports.ledger import ROOM_STATES, Ledger
from room_reports.metrics import CALLBACK_RESULTS, DIGEST_OUTCOMES
from room_reports.metrics_page import table
from tests.support.markdown import anchor
from tests.support.metrics import fill
from tests.support.processes import ROOT, Web
from tests.web.wire import exchange

RULES = (ROOT / "deploy/prometheus/room-reports.rules.yml").read_text()
OPERATIONS = (ROOT / "docs/operations.md").read_text()
DASHBOARD = json.loads((ROOT / "deploy/grafana/room-reports.json").read_text())
LANES = {"twilio", "slack", "slack_app", "webhook"}
VALUES = {
    "lane": LANES,
    "result": set(CALLBACK_RESULTS),
    "reason": REASONS,
    "state": set(ROOM_STATES),
    "outcome": set(DIGEST_OUTCOMES),
}
"""The closed sets of the labels that an expression picks by value."""


@dataclass(frozen=True)
class Alert:
    name: str
    expression: str
    severity: str
    runbook: str


def alerts() -> list[Alert]:
    """The alerts of the rules file, read by their layout; promtool reads it as YAML."""
    found = []
    for block in re.split(r"\n +- alert: ", RULES)[1:]:
        expression = re.search(r"\n +expr: (?:>-)?(.*?)\n +(?:for|labels):", block, re.DOTALL)
        severity = re.search(r"severity: (\w+)", block)
        runbook = re.search(r"runbook: (\S+)", block)
        assert expression and severity and runbook, block
        found.append(Alert(block.partition("\n")[0], " ".join(expression[1].split()), severity[1], runbook[1]))
    return found


ALERTS = alerts()
EXPRESSIONS = [alert.expression for alert in ALERTS] + [
    target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())
]


@pytest.fixture
def told(web: Web, ledger: Ledger) -> dict[str, set[str]]:
    """The labels of every series that a running door tells, by its name."""
    fill(ledger)
    exchange(web.port, b"GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    answer = exchange(web.port, b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").body.decode()
    found: dict[str, set[str]] = {}
    for name, labels in re.findall(r"^(\w+)(?:\{(.*)\})? ", answer, re.MULTILINE):
        found.setdefault(name, set()).update(re.findall(r"(\w+)=", labels))
    return found


def test_there_are_many() -> None:
    assert len(ALERTS) == 17 == RULES.count("- alert:")
    assert len(EXPRESSIONS) > 40


def test_expressions_name_what_is_told(told: dict[str, set[str]]) -> None:
    for expression in EXPRESSIONS:
        names = re.findall(r"room_reports_\w+", expression)
        assert names, expression
        for name in names:
            assert name in told, f"nothing tells {name}: {expression}"
        known = set().union(*(told[name] for name in names))
        for grouped in re.findall(r"\b(?:by|on) \(([^)]*)\)", expression):
            assert {label.strip() for label in grouped.split(",")} <= known, expression


def test_matchers_pick_labels_and_values_that_exist(told: dict[str, set[str]]) -> None:
    picked = 0
    for expression in EXPRESSIONS:
        for name, matchers in re.findall(r"(room_reports_\w+)\{([^}]*)\}", expression):
            for label, values in re.findall(r'(\w+)(?:=|!=|=~)"([^"]*)"', matchers):
                assert label in told[name], expression
                assert set(values.split("|")) <= VALUES[label], expression
                picked += 1
    assert picked > 8


def test_nothing_is_summed_over_instances() -> None:
    for expression in EXPRESSIONS:
        for aggregated in re.findall(
            r"(\w+)(?: by \([^)]*\))? ?\((?:(?:rate|increase|delta)\()?room_reports", expression
        ):
            assert aggregated in ("max", "min", "absent"), expression


def test_every_metric_is_on_the_dashboard() -> None:
    shown = " ".join(target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ()))
    listed = re.findall(r"^\| `(\w+)`", table(), re.MULTILINE)
    left_out = {name for name in listed if name not in shown}
    assert left_out == {"room_reports_held_until_resumed"}  # an alert, and `held` shows it


def test_panels_do_not_overlap_and_have_ids_of_their_own() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_each_alert_is_a_line_of_operations(alert: Alert) -> None:
    page, _, place = alert.runbook.partition("#")
    assert page == "docs/operations.md"
    sections = re.split(r"^## ", OPERATIONS, flags=re.MULTILINE)
    [section] = [text for text in sections if anchor(text.partition("\n")[0]) == place]
    rows = [line.split("|") for line in section.splitlines() if f"`{alert.name}`" in line]
    assert rows, f"{alert.name} is not in the section {place}"
    for _, symptom, cause, command, *_ in rows:
        assert f"`{alert.name}`" in symptom
        assert cause.strip() or command.strip()
        assert symptom.strip().startswith("**") == (alert.severity == "page"), symptom


def test_what_pages_has_an_alert_and_operations_knows_no_other() -> None:
    for symptom in re.findall(r"^\| (\*\*.*?) \|", OPERATIONS, re.MULTILINE):
        assert re.search(r"`RoomReports\w+`", symptom), f"nothing pages for: {symptom}"
    named = set(re.findall(r"`(RoomReports\w+)`", OPERATIONS))
    assert named == {alert.name for alert in ALERTS}


def test_the_readme_names_metrics_that_exist() -> None:
    named = set(re.findall(r"room_reports_[a-z_]+", (ROOT / "README.md").read_text()))
    assert len(named) > 10
    assert named <= set(re.findall(r"^\| `(\w+)`", table(), re.MULTILINE))


def test_the_page_of_metrics_is_current() -> None:
    assert (ROOT / "docs/metrics.md").read_text() == table(), (
        "run: python -m room_reports.metrics_page > docs/metrics.md"
    )
