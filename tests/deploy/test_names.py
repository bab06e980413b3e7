"""Every variable, port, path, command, queue and metric that a file of the deployments names exists in the code."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from rq import Queue

from config.loading import load
from config.settings import Settings, is_secret
from local.demo import main as demo_main
from room_reports.connection import web_client
from room_reports.dispatch import QUEUES
from room_reports.lanes import make_ledger
from room_reports.metrics import FAMILIES, PREFIX
from room_reports.web import create_app
from room_reports.web.receiving import PATH
from tests.deploy.heroku import procfile
from tests.deploy.manifests import OVERLAYS, container, settings, the, written
from tests.support.processes import ROOT, settings_for

FIELDS = Settings.model_fields
VARIABLES = {name.upper() for name in FIELDS} | {f"{name.upper()}_FILE" for name in FIELDS if is_secret(FIELDS[name])}
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def variables() -> Iterator[tuple[str, str]]:
    """File and name of every environment variable that is set for a process of the service."""
    for name, service in COMPOSE.items():
        yield from (("compose.yaml", variable) for variable in service.get("environment", {}) if name != "redis")
    for overlay in OVERLAYS:
        yield from ((f"{overlay}/settings.env", variable) for variable in settings(overlay))
    for component in ("web", "worker"):
        yield from ((f"{component}.yaml", entry["name"]) for entry in container(component).get("env", []))
    yield from (("app.json", variable) for variable in json.loads((ROOT / "app.json").read_text())["env"])
    for path in sorted((ROOT / "deploy" / "systemd").glob("*.service")):
        yield from ((path.name, found) for found in re.findall(r"^Environment=(\w+)=", path.read_text(), re.MULTILINE))
    for found in re.findall(r"^([A-Z_]+)=", (ROOT / "deploy" / "systemd" / "settings").read_text(), re.MULTILINE):
        yield "systemd/settings", found


def dockerfile_command() -> list[str]:
    found = re.search(r"^CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
    assert found is not None
    return list(json.loads(found[1]))


def commands() -> Iterator[tuple[str, str, list[str]]]:
    """File, process and command of everything that runs web or worker."""
    yield "Dockerfile", "web", dockerfile_command()
    for name in ("web", "sandbox-web"):
        assert "command" not in COMPOSE[name]  # the image's own
    for name in ("worker", "sandbox-worker"):
        yield "compose.yaml", "worker", COMPOSE[name]["command"]
    for name in ("web", "worker"):
        yield f"{name}.yaml", name, container(name)["command"]
    for path in sorted((ROOT / "deploy" / "systemd").glob("*.service")):
        [started] = re.findall(r"^ExecStart=\S+/run (.*)$", path.read_text(), re.MULTILINE)
        yield path.name, "worker" if "worker" in path.name else "web", shlex.split(started)


def test_every_variable_is_a_setting() -> None:
    found = list(variables())
    assert len(found) > 50
    assert [pair for pair in found if pair[1] not in VARIABLES | {"WEB_CONCURRENCY"}] == []


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_settings_of_an_overlay_can_work(overlay: str, tmp_path: Path) -> None:
    secrets = {
        "twilio-auth-token": "0123456789abcdef0123456789abcdef",
        "twilio-api-secret": "0123456789abcdef0123456789abcdef",
        "slack-webhook-url": "https://hooks.slack.com/services/T0/B0/x",
        "report-webhook-url": "https://example.com/reports",
        "report-webhook-secret": "whsec_c2FuZGJveC1zYW5kYm94LXNhbmRib3gtc2FuZGJveC0=",
        "redis-url": "rediss://:password@redis.example.com:6380/0",
        "metrics-token": "0123456789abcdef0123456789abcdef",
    }
    for name, value in secrets.items():
        (tmp_path / name).write_text(value)
    there = {
        name: value.replace("/run/secrets/room-reports", str(tmp_path)) for name, value in settings(overlay).items()
    }
    load(there)


def test_every_command_is_the_procfile_s() -> None:
    found = list(commands())
    assert len(found) >= 7
    assert [(file, command) for file, process, command in found if command != shlex.split(procfile()[process])] == []


def test_every_module_and_file_that_is_run_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    [probe] = {tuple(container("worker")[name]["exec"]["command"]) for name in ("startupProbe", "livenessProbe")}
    for command in (probe, COMPOSE["sandbox"]["command"], COMPOSE["demo"]["command"]):
        assert list(command)[:2] == ["python", "-m"]
        assert importlib.util.find_spec(command[2]) is not None
    for copied in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE):
        assert all((ROOT / path).exists() for path in copied.split()), copied
    assert (ROOT / "deploy" / "docker" / "healthcheck.py").exists()
    for service in ("sandbox", "demo"):
        for volume in COMPOSE[service]["volumes"]:
            assert (ROOT / volume.partition(":")[0]).is_dir()


def test_every_option_of_the_demo_and_the_sandbox_is_there(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import sandbox.__main__ as sandbox_main

    for service, main in (("demo", demo_main), ("sandbox", sandbox_main.main)):
        monkeypatch.setattr("sys.argv", [service, "--help"])
        with pytest.raises(SystemExit):
            main()
        helped = capsys.readouterr().out
        options = [word for word in COMPOSE[service]["command"] if word.startswith("--")]
        assert options, service
        assert [option for option in options if option not in helped] == []


def test_every_port_is_the_one_that_is_listened_on() -> None:
    port = FIELDS["port"].default
    assert re.findall(r"^EXPOSE (\d+)$", DOCKERFILE, re.MULTILINE) == [str(port)]
    web = container("web")
    assert [entry["containerPort"] for entry in web["ports"]] == [port]
    assert {entry["name"]: entry["value"] for entry in web["env"]}["PORT"] == str(port)
    assert COMPOSE["web"]["ports"] == [f"127.0.0.1:{port}:{port}"]
    [named] = {entry["name"] for entry in web["ports"]}
    assert the("Service", "web")["spec"]["ports"][0]["targetPort"] == named
    assert the("ServiceMonitor", "web")["spec"]["endpoints"][0]["port"] == named
    assert the("NetworkPolicy", "to-web")["spec"]["ingress"][0]["ports"] == [{"port": named}]
    sandbox = COMPOSE["sandbox"]["command"]
    listens = sandbox[sandbox.index("--port") + 1]
    urls = [str(value) for value in COMPOSE["sandbox-web"]["environment"].values() if "://sandbox" in str(value)]
    assert len(urls) == 3
    assert all(url.startswith(f"http://sandbox:{listens}/") for url in [*urls, COMPOSE["demo"]["command"][-1] + "/"])


def test_every_path_is_served() -> None:
    loaded = load(settings_for("redis://127.0.0.1:9/0"))
    app = create_app(loaded, make_ledger(loaded, web_client(loaded)))
    served = {rule.rule for rule in app.url_map.iter_rules()} | {PATH}
    web = container("web")
    named = {web[f"{probe}Probe"]["httpGet"]["path"] for probe in ("startup", "liveness", "readiness")}
    named.add(the("ServiceMonitor", "web")["spec"]["endpoints"][0]["path"])
    named |= {
        path["path"]
        for one in written()
        if one["kind"] == "Ingress"
        for rule in one["spec"]["rules"]
        for path in rule["http"]["paths"]
    }
    called = COMPOSE["sandbox"]["command"][-1]
    assert called.startswith("http://sandbox-web:8000/")
    named.add(called.removeprefix("http://sandbox-web:8000"))
    healthcheck = (ROOT / "deploy" / "docker" / "healthcheck.py").read_text()
    named |= set(re.findall(r'"(/\w+)"', healthcheck))
    assert named - served == set()
    assert {"/healthz", "/readyz", "/metrics", PATH} == named


def test_workers_grow_by_lists_and_metrics_that_exist() -> None:
    triggers = the("ScaledObject", "worker")["spec"]["triggers"]
    lists = {trigger["metadata"]["listName"] for trigger in triggers if trigger["type"] == "redis"}
    assert lists == {Queue.redis_queue_namespace_prefix + queue for queue in QUEUES}
    [query] = [trigger["metadata"]["query"] for trigger in triggers if trigger["type"] == "prometheus"]
    named = re.findall(rf"{PREFIX}(\w+)\{{", query)
    assert set(named) == {"steps_overdue", "lane_rate", "held"}
    assert all("lane" in FAMILIES[name].labels for name in named)


def test_secrets_that_kubernetes_itself_reads_are_those_of_the_settings() -> None:
    files = {Path(value).name for name, value in settings("production").items() if name.endswith("_FILE")}
    token = the("ServiceMonitor", "web")["spec"]["endpoints"][0]["authorization"]["credentials"]
    assert token["key"] in files
    [reference] = the("TriggerAuthentication", "redis")["spec"]["secretTargetRef"]
    assert (reference["key"], reference["name"]) == ("redis-password", token["name"])
