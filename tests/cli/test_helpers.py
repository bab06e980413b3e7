"""`flask simulate`, `preview`, `signature` and `worker-alive`."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

import pytest

from config.settings import Settings
from room_reports.heartbeat import Heartbeat, age, sign_of_life
from room_reports.ledger import Ledger
from sandbox import callbacks
from sandbox.client import Sandbox
from sandbox.options import ACCOUNT_SID, AUTH_TOKEN
from sandbox.summaries import room_sid, room_summary
from tests.cli.conftest import Run
from tests.cli.rooms import delivered_room, open_room, sid_of
from tests.conftest import StartWeb

URL = "https://reports.example.com/twilio/rooms"
PARAMS = {"AccountSid": ACCOUNT_SID, "RoomSid": sid_of(1), "RoomName": "a + b & ü", "Empty": ""}


class TestSimulate:
    def test_running_copy_takes_it_for_genuine(
        self, run: Run, env: dict[str, str], start_web: StartWeb, ledger: Ledger
    ) -> None:
        web = start_web(env)
        result = run("simulate", "--name", "a + b & ü", PORT=str(web.port))
        assert result.exit_code == 0, result.output
        sid = result.output.partition(":")[0]
        room = ledger.room(sid)
        assert room is not None
        assert (room.name, room.state) == ("a + b & ü", "open")

    def test_signs_for_the_public_url_and_sends_elsewhere(self, run: Run, sandbox: Sandbox) -> None:
        url = f"{sandbox.receiver_url}/copy?a=b"
        run("simulate", "--room", sid_of(1), "--url", url, PUBLIC_BASE_URL="https://public.example")
        [request] = sandbox.receiver.history()
        assert request.headers is not None
        params = dict(parse_qsl(str(request.body), keep_blank_values=True))
        headers = {name.lower(): value for name, value in request.headers.items()}
        assert params["RoomSid"] == sid_of(1)
        assert headers["x-twilio-signature"] == callbacks.sign(
            "https://public.example/receiver/copy?a=b", params, AUTH_TOKEN
        )

    def test_copy_that_has_another_token_refuses(self, run: Run, env: dict[str, str], start_web: StartWeb) -> None:
        web = start_web({**env, "TWILIO_AUTH_TOKEN": "another" * 4})
        result = run("simulate", PORT=str(web.port))
        assert result.exit_code == 1
        assert "TWILIO_AUTH_TOKEN" in result.stderr

    def test_nobody_there_and_wrong_usage(self, run: Run) -> None:
        result = run("simulate", PORT="1")
        assert result.exit_code == 1
        assert "cannot be reached" in result.stderr
        assert run("simulate", "--url", "localhost:8000").exit_code == 2
        assert run("simulate", "--room", "RM1").exit_code == 2


class TestPreview:
    def test_room_of_the_ledger(self, run: Run, ledger: Ledger, sandbox: Sandbox) -> None:
        sid = delivered_room(ledger, name="weekly <plan>")
        output = run("preview", sid).output
        assert "weekly <plan>" in output
        assert "weekly &lt;plan&gt;" in output
        assert '"type": "room.report"' in output
        assert sandbox.slack.messages() == []

    def test_room_that_is_not_finished_is_partial(self, run: Run, ledger: Ledger) -> None:
        sid = open_room(ledger)
        document = json.loads(run("preview", sid, "--json").output)
        assert document["webhook"]["data"]["completeness"]["state"] == "partial"
        assert document["slack"]["blocks"]

    def test_summary_in_a_file(self, run: Run, tmp_path: Path) -> None:
        file = tmp_path / "summary.json"
        file.write_text(json.dumps(room_summary(room_sid(1, 1), account_sid=ACCOUNT_SID, ended=datetime.now(UTC))))
        body = json.loads(run("preview", str(file), "--as", "webhook").output)
        assert body["data"]["room_sid"] == room_sid(1, 1)
        assert "blocks" in json.loads(run("preview", str(file), "--as", "slack").output)
        assert run("preview", "-", "--as", "text", input=file.read_text()).output.count("\n") > 3

    def test_both_forms_of_the_slack_apps_message(self, run: Run, ledger: Ledger) -> None:
        sid = delivered_room(ledger, name="weekly <plan>")
        forms = json.loads(run("preview", sid, "--as", "slack_app").output)
        assert "details follow" in forms["provisional"]["text"]
        assert forms["report"] == json.loads(run("preview", sid, "--as", "slack").output)
        assert "weekly <plan>: ended" in run("preview", sid).output

    def test_a_template_shows_what_it_makes(self, run: Run, ledger: Ledger, tmp_path: Path) -> None:
        sid = delivered_room(ledger, name="weekly <plan>")
        (tmp_path / "template.txt").write_text("named *{{ data.room_name }}*")
        (tmp_path / "destinations.toml").write_text(
            '[destinations.berlin]\nkind = "slack"\nurl = "env:SLACK_WEBHOOK_URL"\ntemplate = "Guten Tag"\n'
        )
        more = {
            "SLACK_TEMPLATE_FILE": str(tmp_path / "template.txt"),
            "DESTINATIONS_FILE": str(tmp_path / "destinations.toml"),
        }
        assert "named *weekly &lt;plan&gt;*" in run("preview", sid, "--as", "slack", **more).output
        shown = run("preview", sid, **more).output
        assert "berlin, by its template" in shown and "Guten Tag" in shown
        document = json.loads(run("preview", sid, "--json", **more).output)
        assert document["berlin"]["blocks"][1]["text"]["text"] == "Guten Tag"

    def test_verdicts_go_by_the_thresholds(self, run: Run, ledger: Ledger, tmp_path: Path) -> None:
        summary = room_summary(room_sid(1, 1), account_sid=ACCOUNT_SID, ended=datetime.now(UTC))
        file = tmp_path / "summary.json"
        file.write_text(json.dumps(summary))
        for source in (str(file), delivered_room(ledger)):
            usual = run("preview", source, "--as", "webhook").output
            strict = run("preview", source, "--as", "webhook", VERDICT_THRESHOLDS="at_capacity_share=0.001").output
            assert ("at_capacity" in usual, "at_capacity" in strict) == (False, True)

    def test_needs_no_redis_for_a_file(self, run: Run, tmp_path: Path) -> None:
        file = tmp_path / "summary.json"
        file.write_text("{}")
        assert run("preview", str(file), REDIS_URL="redis://127.0.0.1:1/0").exit_code == 0

    @pytest.mark.parametrize("text", ["", "[]", "nul", "[" * 100_000, "\udce9"])
    def test_file_that_is_no_summary(self, run: Run, tmp_path: Path, text: str) -> None:
        file = tmp_path / "summary.json"
        file.write_bytes(text.encode("utf-8", "surrogateescape"))
        assert run("preview", str(file)).exit_code == 2

    def test_unknown_room_and_what_is_neither(self, run: Run) -> None:
        assert run("preview", sid_of(9)).exit_code == 1
        assert run("preview", "no-such-file.json").exit_code == 2


class TestSignature:
    def explain(self, run: Run, signature: str, *, url: str = URL, form: str | None = None, **changes: str) -> str:
        body = urlencode(PARAMS) if form is None else form
        arguments = ["signature", "--url", url, "--signature", signature, *(["--form", body] if body else [])]
        result = run(*arguments, **changes)
        assert result.exit_code == (0 if "It verifies" in result.output else 1)
        return result.output

    def test_that_verifies_names_the_token(self, run: Run) -> None:
        signature = callbacks.sign(URL, PARAMS, AUTH_TOKEN)
        assert "It verifies, with entry 1" in self.explain(run, signature)
        rotating = self.explain(run, signature, TWILIO_AUTH_TOKEN=f"{'0' * 32},{AUTH_TOKEN}")
        assert "It verifies, with entry 2" in rotating

    def test_parameters_one_by_one(self, run: Run) -> None:
        signature = callbacks.sign(URL, PARAMS, AUTH_TOKEN)
        pairs = [part for name, value in PARAMS.items() for part in ("--param", f"{name}={value}")]
        assert "It verifies" in run("signature", "--url", URL, "--signature", signature, *pairs).output

    def test_get(self, run: Run) -> None:
        url = f"{URL}?{urlencode(PARAMS)}"
        assert "It verifies" in self.explain(run, callbacks.sign(url, {}, AUTH_TOKEN), url=url, form="")

    @pytest.mark.parametrize(
        ("signed", "seen", "explanation"),
        [
            (URL, URL.replace("https", "http"), "the scheme differs"),
            (URL.replace(".com/", ".com:8443/"), URL, "the port differs"),
            (URL, URL.replace("https://reports.example.com", "http://10.0.0.7:8000"), "PUBLIC_BASE_URL"),
            (URL + "/", URL, "slash"),
            (URL.replace("reports", "www.reports"), URL, "host"),
            (URL + "?u=https%3A%2F%2Fe.com", URL + "?u=https://e.com", "escaped differently"),
            (URL, URL + "?added=1", "without its query"),
            (URL, URL + "#rc=5", "leaves out what follows #"),
        ],
    )
    def test_url_that_differs_is_explained(self, run: Run, signed: str, seen: str, explanation: str) -> None:
        changes = {"PUBLIC_BASE_URL": "https://reports.example.com"} if "10.0.0.7" in seen else {}
        output = self.explain(run, callbacks.sign(signed, PARAMS, AUTH_TOKEN), url=seen, **changes)
        assert explanation in output

    def test_form_that_differs_is_explained(self, run: Run) -> None:
        signature = callbacks.sign(URL, PARAMS, AUTH_TOKEN)
        assert "'Added' was added" in self.explain(run, signature, form=urlencode({**PARAMS, "Added": "1"}))
        assert "white space" in self.explain(run, signature, form=urlencode({**PARAMS, "RoomName": "a + b & ü "}))
        unsigned = {name: value for name, value in PARAMS.items() if value}
        assert "empty parameters" in self.explain(run, callbacks.sign(URL, unsigned, AUTH_TOKEN))
        assert "covers no parameters" in self.explain(run, callbacks.sign(URL, {}, AUTH_TOKEN))

    def test_other_token_is_suspected_and_can_be_tried(self, run: Run) -> None:
        signature = callbacks.sign(URL, PARAMS, "5" * 32)
        assert "TWILIO_AUTH_TOKEN" in self.explain(run, signature)
        arguments = ("signature", "--url", URL, "--signature", signature, "--form", urlencode(PARAMS), "--ask-token")
        result = run(*arguments, input="5" * 32 + "\n")
        assert "with the token that you entered" in result.output
        assert "5" * 32 not in result.output

    def test_no_token_is_shown(self, run: Run, settings: Settings) -> None:
        output = self.explain(run, "x" * 28)
        assert not [secret for secret in settings.secrets if secret in output]

    def test_wrong_usage(self, run: Run) -> None:
        both = ("signature", "--url", URL, "--signature", "x", "--form", "a=b", "--param", "a=b")
        assert run(*both).exit_code == 2
        assert run("signature", "--url", URL, "--signature", "x", "--param", "a").exit_code == 2
        assert run("signature", "--url", URL).exit_code == 2


class TestWorkerAlive:
    def test_alive_stale_and_absent(self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        assert run("worker-alive").exit_code == 1
        Heartbeat().beat()
        assert run("worker-alive").exit_code == 0
        assert sign_of_life(within=0)[0] is False
        assert run("worker-alive", "--within", "0.000001").exit_code == 1
        Heartbeat().forget()
        assert run("worker-alive").exit_code == 1

    def test_beats_at_most_once_a_second(self, tmp_path: Path) -> None:
        file = tmp_path / "alive"
        heartbeat = Heartbeat(file)
        heartbeat.beat()
        file.unlink()
        heartbeat.beat()
        assert not file.exists()

    def test_sign_of_life_of_before_a_restart_of_the_machine_is_none(self, tmp_path: Path) -> None:
        file = tmp_path / "alive"
        file.write_text("99999999999.000\n")
        assert age(file) is None
        file.write_text("rubbish")
        assert age(file) is None

    def test_neither_a_full_disk_nor_a_planted_link_is_followed_or_fatal(self, tmp_path: Path) -> None:
        Heartbeat(tmp_path / "missing" / "alive").beat()
        victim = tmp_path / "victim"
        victim.write_text("untouched")
        (tmp_path / "alive").symlink_to(victim)
        Heartbeat(tmp_path / "alive").beat()
        assert victim.read_text() == "untouched"
