"""The real Prometheus: its checks of the alert rules, and that it scrapes the service and evaluates them."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import urlopen

import pytest

from tests.conftest import StartWeb
from tests.support.processes import ROOT, Process, settings_for, wait_until
from tests.support.servers import free_port

pytestmark = pytest.mark.deploy

FOLDER = ROOT / "deploy/prometheus"
TOKEN = "a-token-that-prometheus-has"


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with `prometheus` and `promtool`: Debian's, unpacked and not installed where they are not there."""
    if found := shutil.which("prometheus"):
        return Path(found).parent
    folder = tmp_path_factory.mktemp("prometheus")
    fetch = "apt-get download -qq prometheus && dpkg -x prometheus_*.deb ."
    if subprocess.run(["sh", "-c", fetch], cwd=folder, capture_output=True).returncode:
        pytest.skip("Debian's prometheus is not to be had here")
    return folder / "usr/bin"


def test_promtool_accepts_the_rules_and_their_tests(programs: Path) -> None:
    for arguments in (["check", "rules", "room-reports.rules.yml"], ["test", "rules", "room-reports.test.yml"]):
        done = subprocess.run([programs / "promtool", *arguments], cwd=FOLDER, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "SUCCESS" in done.stdout


def test_prometheus_scrapes_and_raises(programs: Path, start_web: StartWeb, redis_url: str, tmp_path: Path) -> None:
    web = start_web(settings_for(redis_url, METRICS_TOKEN=TOKEN, PUBLIC_BASE_URL="https://reports.example.com"))
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "prometheus.yml").write_text(
        f"""
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [{FOLDER}/room-reports.rules.yml]
scrape_configs:
  - job_name: room-reports
    authorization: {{credentials_file: token}}
    static_configs: [{{targets: ["127.0.0.1:{web.port}"]}}]
"""
    )
    port = free_port()
    options = [f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data"]
    argv = [str(programs / "prometheus"), *options, f"--web.listen-address=127.0.0.1:{port}"]
    with Process(argv, env={}, log=tmp_path / "prometheus.log"):

        def ask(path: str) -> Any:
            try:
                with urlopen(f"http://127.0.0.1:{port}/api/v1/{path}", timeout=5) as answer:
                    return json.load(answer)["data"]
            except OSError:
                return None

        def value(expression: str) -> float | None:
            found = ask(f"query?query={quote(expression)}")
            return float(found["result"][0]["value"][1]) if found and found["result"] else None

        def raised() -> set[str]:
            return {alert["labels"]["alertname"] for alert in (ask("alerts") or {"alerts": ()})["alerts"]}

        wait_until(lambda: value("room_reports_redis_up") == 1, what="a scrape")
        assert value('up{job="room-reports"}') == 1
        assert value('room_reports_callbacks_total{result="opened"}') == 0
        # No worker runs here: that alert waits for its two minutes, and no other does.
        wait_until(lambda: raised() == {"RoomReportsNoWorker"}, what="the alert, and no other")
        rules = [rule for group in ask("rules")["groups"] for rule in group["rules"]]
        assert len(rules) == 17
        assert {rule["health"] for rule in rules} <= {"ok", "unknown"}
