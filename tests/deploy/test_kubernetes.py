"""The Kubernetes manifests: what they promise, and that the real schemas and a policy checker take them."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings
from tests.deploy.manifests import OVERLAYS, built, container, kustomize, objects, pods, settings, the
from tests.support.processes import ROOT

TOOLS = ROOT / ".venv" / "deploy" / "bin"
VERSIONS = ("1.33", "1.34", "1.35", "1.36", "1.37")
"""Those with the `sleep` of preStop; older ones have ended."""

SCHEMAS = ("@kubernetes-models/keda@2.0.0", "@kubernetes-models/prometheus-operator@6.0.0")
"""The custom resources' own definitions, as they come from KEDA and the Prometheus operator."""

EXCUSED = {
    "CKV_K8S_9": "a worker serves nobody, so nobody asks whether it is ready",
    "CKV_K8S_11": "a limit of CPU only adds waiting; memory is limited",
    "CKV_K8S_15": "IfNotPresent is right for a tag that does not move",
    "CKV_K8S_43": "the image is the user's own, and gets its digest when it is pushed",
}

needs_kustomize = pytest.mark.skipif(kustomize() is None, reason="neither kustomize nor kubectl")
each_overlay = pytest.mark.parametrize("overlay", OVERLAYS)


def default(name: str) -> float:
    return float(Settings.model_fields[name].default)


class TestWhatIsWritten:
    def test_the_worker_outlasts_its_longest_attempt_and_kubernetes_the_worker(self) -> None:
        grace = float({entry["name"]: entry["value"] for entry in container("worker")["env"]}["SHUTDOWN_GRACE"])
        longest = 2 * default("http_total_timeout") + 2
        pod = the("Deployment", "worker")["spec"]["template"]["spec"]
        assert longest < grace < pod["terminationGracePeriodSeconds"]
        assert grace < default("step_lease")

    def test_web_is_out_of_the_service_before_it_stops(self) -> None:
        pause = container("web")["lifecycle"]["preStop"]["sleep"]["seconds"]
        pod = the("Deployment", "web")["spec"]["template"]["spec"]
        assert pause >= 5
        assert pause + 10 < pod["terminationGracePeriodSeconds"]  # gunicorn's graceful_timeout

    def test_liveness_does_not_depend_on_redis(self) -> None:
        assert container("web")["livenessProbe"]["httpGet"]["path"] == "/healthz"
        assert container("web")["readinessProbe"]["httpGet"]["path"] == "/readyz"
        assert container("worker")["livenessProbe"]["exec"]["command"] == ["python", "-m", "room_reports.heartbeat"]

    def test_workers_grow_by_what_waits_and_are_never_none(self) -> None:
        scaled = the("ScaledObject", "worker")["spec"]
        assert scaled["minReplicaCount"] == 1
        assert [trigger["type"] for trigger in scaled["triggers"]] == ["redis", "redis", "prometheus"]

    def test_no_budget_keeps_the_last_pod_on_its_node(self) -> None:
        for name in ("web", "worker"):
            assert the("PodDisruptionBudget", name)["spec"]["maxUnavailable"] == 1

    def test_the_world_sees_the_callback_path_alone(self) -> None:
        for overlay in OVERLAYS:
            found = (ROOT / f"deploy/kubernetes/overlays/{overlay}/ingress.yaml").read_text()
            assert found.count("path: ") == 1
            assert "path: /twilio/rooms\n            pathType: Exact" in found

    @each_overlay
    def test_no_secret_stands_in_the_settings(self, overlay: str) -> None:
        secrets = {
            name.upper() for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)
        }
        shown = {name for name in settings(overlay) if name in secrets}
        assert shown <= {"REDIS_URL"}
        assert "@" not in settings(overlay).get("REDIS_URL", "")


@needs_kustomize
@each_overlay
class TestBuilt:
    def test_every_pod_is_restricted(self, overlay: str) -> None:
        for name, template in pods(overlay):
            spec = template["spec"]
            assert spec["automountServiceAccountToken"] is False, name
            assert spec["securityContext"]["runAsNonRoot"] is True, name
            assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
            for one in spec["containers"]:
                assert one["securityContext"]["readOnlyRootFilesystem"] is True, name
                assert one["securityContext"]["allowPrivilegeEscalation"] is False, name
                assert one["securityContext"]["capabilities"] == {"drop": ["ALL"]}, name
                assert set(one["resources"]["requests"]) == {"cpu", "memory"}, name

    def test_every_selector_finds_its_pods(self, overlay: str) -> None:
        labels = [template["metadata"]["labels"] for _, template in pods(overlay)]
        for one in objects(overlay):
            spec = one.get("spec", {})
            selector = spec.get("podSelector") or spec.get("selector") or {}
            wanted = selector.get("matchLabels", {} if "matchExpressions" in selector else selector)
            assert any(wanted.items() <= found.items() for found in labels), (one["kind"], one["metadata"]["name"])

    def test_secrets_are_files_where_the_settings_look(self, overlay: str) -> None:
        [config] = [one for one in objects(overlay) if one["kind"] == "ConfigMap"]
        for name, template in pods(overlay):
            if name == "redis":
                continue
            [one] = template["spec"]["containers"]
            assert one["envFrom"] == [{"configMapRef": {"name": config["metadata"]["name"]}}]
            [mount] = [each for each in one["volumeMounts"] if each["name"] == "secrets"]
            for variable, path in config["data"].items():
                assert not variable.endswith("_FILE") or Path(path).parent == Path(mount["mountPath"]), variable


@pytest.mark.deploy
@needs_kustomize
@each_overlay
class TestTools:
    @pytest.mark.parametrize("version", VERSIONS)
    @pytest.mark.skipif(not (TOOLS / "kubernetes-validate").exists(), reason="no kubernetes-validate")
    def test_schemas_of_kubernetes(self, overlay: str, version: str, tmp_path: Path) -> None:
        (tmp_path / "built.yaml").write_text(built(overlay))
        argv = [str(TOOLS / "kubernetes-validate"), "--strict", "-k", version, str(tmp_path / "built.yaml")]
        done = subprocess.run(argv, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    def test_schemas_of_custom_resources(self, overlay: str, custom_schemas: Path) -> None:
        custom = [one for one in objects(overlay) if one["apiVersion"].startswith(("keda", "monitoring"))]
        assert len(custom) == (3 if overlay == "production" else 0)
        assert check_custom(custom_schemas, custom) == ""
        for one in custom:
            assert one["kind"] in check_custom(custom_schemas, [{**one, "spec": "nothing"}])

    @pytest.mark.skipif(not (TOOLS / "checkov").exists(), reason="no checkov")
    def test_policies(self, overlay: str, tmp_path: Path) -> None:
        (tmp_path / "built.yaml").write_text(built(overlay))
        argv = [str(TOOLS / "checkov"), "--file", str(tmp_path / "built.yaml"), "--framework", "kubernetes"]
        argv += ["--skip-check", ",".join(EXCUSED), "--output", "json", "--quiet", "--skip-download"]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        assert json.loads(done.stdout)["summary"]["passed"] > 150


@pytest.fixture(scope="session")
def custom_schemas() -> Path:
    """A folder in which Node finds the schemas."""
    folder = ROOT / "var" / "deploy" / "schemas"
    if shutil.which("npm") is None:
        pytest.skip("no npm to fetch the schemas of custom resources with")
    if not (folder / "node_modules").exists():
        folder.mkdir(parents=True, exist_ok=True)
        argv = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(folder), *SCHEMAS]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=200)
        if done.returncode:
            pytest.skip(f"the schemas of custom resources could not be fetched: {done.stderr[-200:]}")
    return folder


def check_custom(folder: Path, custom: list[dict[str, Any]]) -> str:
    """What is wrong with these objects; nothing when they are as their definitions say."""
    script = folder / "check.mjs"
    script.write_text(
        """
        import { readFileSync } from "node:fs";
        const models = {
          "keda.sh/v1alpha1": "keda/keda.sh/v1alpha1",
          "monitoring.coreos.com/v1": "prometheus-operator/monitoring.coreos.com/v1",
        };
        for (const object of JSON.parse(readFileSync(0, "utf8"))) {
          const module = await import(`@kubernetes-models/${models[object.apiVersion]}/${object.kind}`);
          try { new module[object.kind](object).validate(); } catch (error) { console.log(object.kind, error.message); }
        }
        """
    )
    done = subprocess.run(["node", str(script)], input=json.dumps(custom), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout
