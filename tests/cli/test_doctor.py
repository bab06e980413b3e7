"""`flask doctor`: each thing that can be wrong is found, named and answered with what to do."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from click.testing import Result

from config.settings import Settings
from room_reports.cli.doctor import SAMPLE_ROOM
from room_reports.ledger import Ledger
from sandbox import answers
from sandbox.client import Sandbox
from tests.cli.conftest import Run
from tests.cli.rooms import deliver, hold, open_room, summarise
from tests.support.processes import wait_until
from tests.support.servers import BlackHole, RedisServer, free_port


def levels(result: Result) -> dict[str, str]:
    """The level of each check by its name."""
    return {check["name"]: check["level"] for check in json.loads(result.stdout)["checks"]}


def said(result: Result, name: str) -> str:
    """What a check said, and what to do about it."""
    found = [check for check in json.loads(result.stdout)["checks"] if check["name"] == name]
    return " ".join(f"{check['message']} → {check['remedy']}" for check in found)


@pytest.fixture
def worker(ledger: Ledger) -> None:
    """A worker that is alive, as far as anybody can see."""
    ledger.note_worker("worker-1", threads=32, busy=3)
    ledger.note_reconciled(datetime.now(UTC))
    ledger.dispatch()


@pytest.mark.usefixtures("worker")
class TestHealthy:
    def test_nothing_fails_and_nothing_is_sent(self, run: Run, sandbox: Sandbox) -> None:
        result = run("doctor", "--json")
        assert result.exit_code == 0
        assert json.loads(result.stdout)["ok"] is True
        failing = {name: level for name, level in levels(result).items() if level != "ok"}
        assert failing == {"redis persistence": "warn", "public url": "warn"}
        assert sandbox.slack.messages() == []
        assert sandbox.receiver.reports() == []

    def test_twilio_is_asked_once(self, run: Run, sandbox: Sandbox) -> None:
        run("doctor")
        assert len(sandbox.twilio.history()) == 1

    def test_lines_say_what_and_what_to_do(self, run: Run) -> None:
        lines = run("doctor").output.splitlines()
        assert "OK    settings           complete and consistent" in lines
        place = next(number for number, line in enumerate(lines) if line.startswith("WARN  redis persistence"))
        assert "appendonly yes" in lines[place + 1]

    def test_send_test_delivers_a_sample_everywhere(self, run: Run, sandbox: Sandbox) -> None:
        result = run("doctor", "--send-test", "--json")
        assert (levels(result)["test: slack"], levels(result)["test: webhook"]) == ("ok", "ok")
        assert len(sandbox.slack.messages(SAMPLE_ROOM)) == 1
        [report] = sandbox.receiver.reports(SAMPLE_ROOM)
        assert report["data"]["room_name"].startswith("Test message: flask doctor")

    def test_test_message_that_is_refused_fails(self, run: Run, sandbox: Sandbox) -> None:
        sandbox.slack.always(answers.status(410))
        result = run("doctor", "--send-test", "--json")
        assert result.exit_code == 1
        assert levels(result)["test: slack"] == "fail"
        assert levels(result)["test: webhook"] == "ok"

    def test_no_secret_is_ever_shown(self, run: Run, settings: Settings, sandbox: Sandbox) -> None:
        sandbox.twilio.reject_credentials()
        sandbox.slack.always(answers.status(500))
        for arguments in (("doctor",), ("doctor", "--json"), ("doctor", "--send-test")):
            output = run(*arguments).output
            assert not [secret for secret in settings.secrets if secret in output]


class TestSettings:
    def test_all_problems_are_listed_and_nothing_else_is_tried(self, run: Run) -> None:
        result = run("doctor", "--json", TWILIO_ACCOUNT_SID="x", SLACK_RATE="-1", RETENTION="60")
        assert result.exit_code == 1
        problems = [check["message"].partition(":")[0] for check in json.loads(result.stdout)["checks"]]
        assert problems == ["TWILIO_ACCOUNT_SID", "SLACK_RATE", "RETENTION"]

    def test_destination_in_a_private_network_without_leave(self, run: Run) -> None:
        result = run(
            "doctor",
            "--startup",
            "--json",
            ALLOW_PRIVATE_DESTINATIONS="",
            SLACK_WEBHOOK_URL="",
            TWILIO_INSIGHTS_URL="http://127.0.0.1:1",
            REPORT_WEBHOOK_URL="https://127.0.0.1/receiver",
        )
        assert result.exit_code == 1
        assert "REPORT_WEBHOOK_URL: leads to a private" in said(result, "settings")


class TestRedis:
    def test_startup_asks_redis_and_twilio_and_nobody_else(self, run: Run, sandbox: Sandbox) -> None:
        result = run("doctor", "--startup", "--json")
        assert result.exit_code == 0
        redis_checks = {f"redis {name}" for name in ("version", "mode", "schema", "persistence", "eviction")}
        assert set(levels(result)) == {"settings", "redis", "twilio"} | redis_checks
        assert len(sandbox.twilio.history()) == 1
        assert sandbox.slack.history() == sandbox.receiver.history() == []

    def test_startup_fails_for_credentials_that_twilio_refuses(self, run: Run, sandbox: Sandbox) -> None:
        sandbox.twilio.reject_credentials()
        result = run("doctor", "--startup", "--json")
        assert (result.exit_code, levels(result)["twilio"]) == (1, "fail")

    def test_startup_does_not_wait_for_twilio(self, run: Run) -> None:
        result = run("doctor", "--startup", "--json", TWILIO_INSIGHTS_URL="http://127.0.0.1:1")
        assert (result.exit_code, levels(result)["twilio"]) == (0, "warn")

    def test_startup_fails_for_a_private_address_of_twilio(self, run: Run) -> None:
        result = run(
            "doctor",
            "--startup",
            "--json",
            TWILIO_INSIGHTS_URL="https://127.0.0.1:1",
            ALLOW_PRIVATE_DESTINATIONS="",
            SLACK_WEBHOOK_URL="https://hooks.slack.com/services/T0/B0/x",
            REPORT_WEBHOOK_URL="",
            REPORT_WEBHOOK_SECRET="",
        )
        assert result.exit_code == 1

    @pytest.mark.parametrize("verify", ["0", "1"])
    def test_tls_says_whether_it_is_verified(self, run: Run, verify: str) -> None:
        result = run("doctor", "--startup", "--json", REDIS_URL="rediss://127.0.0.1:1/0", REDIS_TLS_VERIFY=verify)
        assert levels(result)["redis tls"] == ("ok" if verify == "1" else "warn")

    def test_unreachable(self, run: Run) -> None:
        for arguments in (("doctor", "--json"), ("doctor", "--startup", "--json")):
            result = run(*arguments, REDIS_URL="redis://127.0.0.1:1/0")
            assert result.exit_code == 1
            assert "unreachable → start Redis" in said(result, "redis")

    def test_the_rest_is_still_looked_at(self, run: Run) -> None:
        found = levels(run("doctor", "--json", REDIS_URL="redis://127.0.0.1:1/0"))
        assert found["twilio"] == "ok"
        assert not {"workers", "ledger"} & set(found)

    def test_b34_read_only_replica(self, run: Run) -> None:
        with RedisServer() as primary, RedisServer(replicaof=f"127.0.0.1 {primary.port}") as replica:
            result = run("doctor", "--startup", "--json", REDIS_URL=replica.tcp_url)
        assert "use the address of the primary" in said(result, "redis")

    def test_b34_wrong_password(self, run: Run) -> None:
        with RedisServer(requirepass="right") as server:
            for url in (server.tcp_url, server.tcp_url.replace("//", "//:wrong-password@")):
                result = run("doctor", "--startup", "--json", REDIS_URL=url)
                assert "authentication → check user and password" in said(result, "redis")
                assert "wrong-password" not in result.output

    def test_b34_full(self, run: Run) -> None:
        with RedisServer(maxmemory="1mb") as server:
            result = run("doctor", "--startup", "--json", REDIS_URL=server.url)
        assert "out of memory → Redis is full" in said(result, "redis")

    def test_cluster(self, run: Run) -> None:
        with RedisServer(**{"cluster-enabled": "yes", "cluster-port": str(free_port())}) as server:
            with server.client() as client:
                client.cluster("ADDSLOTSRANGE", 0, 16383)
                wait_until(lambda: client.cluster("INFO")["cluster_state"] == "ok", what="the cluster is ready")
            result = run("doctor", "--startup", "--json", REDIS_URL=server.url)
        assert result.exit_code == 1
        assert "Cluster is not supported" in said(result, "redis mode")

    def test_b38_self_signed_certificate_names_the_setting(self, run: Run, tmp_path: Path) -> None:
        with tls_server(tmp_path) as port:
            result = run("doctor", "--startup", "--json", REDIS_URL=f"rediss://127.0.0.1:{port}/0")
        assert "REDIS_TLS_VERIFY=0" in said(result, "redis")

    def test_black_hole(self, run: Run) -> None:
        with BlackHole() as hole:
            result = run("doctor", "--startup", "--json", REDIS_URL=f"redis://127.0.0.1:{hole.port}/0")
        assert "timeout → something answers too late" in said(result, "redis")

    def test_b35_eviction_is_warned_about(self, run: Run) -> None:
        with RedisServer(**{"maxmemory-policy": "allkeys-lru"}) as server:
            result = run("doctor", "--json", REDIS_URL=server.url)
        assert levels(result)["redis eviction"] == "warn"
        assert "maxmemory-policy to noeviction" in said(result, "redis eviction")

    @pytest.mark.parametrize(
        ("options", "level", "message"),
        [
            ({"appendonly": "yes"}, "ok", "append-only file"),
            ({"save": "3600 1"}, "warn", "snapshots only"),
            ({}, "warn", "a restart loses every room"),
        ],
    )
    def test_persistence(self, run: Run, options: dict[str, str], level: str, message: str) -> None:
        with RedisServer(**options) as server:
            result = run("doctor", "--json", REDIS_URL=server.url)
        assert levels(result)["redis persistence"] == level
        assert message in said(result, "redis persistence")


@pytest.mark.usefixtures("worker")
class TestOtherSides:
    def test_c54_credentials_that_twilio_refuses(self, run: Run, sandbox: Sandbox) -> None:
        sandbox.twilio.reject_credentials()
        result = run("doctor", "--json")
        assert result.exit_code == 1
        assert "TWILIO_API_KEY" in said(result, "twilio")

    def test_credentials_of_another_account(self, run: Run, sandbox: Sandbox) -> None:
        sandbox.twilio.add_room("RM" + "1" * 32, account_sid="AC" + "2" * 32)
        assert "another account's" in said(run("doctor", "--json"), "twilio")

    def test_twilio_that_is_down_for_the_moment_is_a_warning(self, run: Run, sandbox: Sandbox) -> None:
        sandbox.twilio.always(answers.status(503))
        result = run("doctor", "--json")
        assert (result.exit_code, levels(result)["twilio"]) == (0, "warn")

    def test_destination_that_nobody_listens_at(self, run: Run) -> None:
        result = run("doctor", "--json", REPORT_WEBHOOK_URL="http://127.0.0.1:1/secret-path-of-the-receiver")
        assert result.exit_code == 1
        assert "check the address" in said(result, "report webhook")
        assert "secret-path" not in result.output

    def test_destination_whose_name_does_not_exist(self, run: Run) -> None:
        result = run("doctor", "--json", REPORT_WEBHOOK_URL="http://no-such-host.invalid/receiver")
        assert "check the host name" in said(result, "report webhook")

    def test_slack_app_that_works(self, run: Run, sandbox: Sandbox) -> None:
        result = run("doctor", "--json", **sandbox.slack_app_environment)
        assert (levels(result)["slack app"], said(result, "slack app")) == (
            "ok",
            "room_reports of Sandbox reads C05A4DB0C → ",
        )
        assert sandbox.slack_api.messages() == []

    @pytest.mark.parametrize(
        ("options", "changes", "word", "remedy"),
        [
            ({}, {"SLACK_BOT_TOKEN": "xoxb-another"}, "invalid_auth", "SLACK_BOT_TOKEN"),
            ({}, {"SLACK_CHANNEL": "C0000000000"}, "channel_not_found", "SLACK_CHANNEL"),
            ({"slack_member": False}, {}, "not_in_channel", "/invite"),
            ({"slack_scopes": ("chat:write",)}, {}, "missing_scope", "reinstall"),
            ({"slack_scopes": ("chat:write", "channels:history")}, {}, "metadata.message:read", "reinstall"),
            ({"slack_scopes": ("channels:history", "metadata.message:read")}, {}, "chat:write", "reinstall"),
        ],
    )
    def test_slack_app_that_does_not(
        self, run: Run, sandbox: Sandbox, options: dict[str, Any], changes: dict[str, str], word: str, remedy: str
    ) -> None:
        sandbox.configure(**options)
        result = run("doctor", "--json", **{**sandbox.slack_app_environment, **changes})
        assert levels(result)["slack app"] == "fail"
        assert word in said(result, "slack app") and remedy in said(result, "slack app")

    def test_slack_app_whose_slack_is_away_for_the_moment(self, run: Run, sandbox: Sandbox) -> None:
        sandbox.slack_api.always(answers.status(503))
        assert levels(run("doctor", "--json", **sandbox.slack_app_environment))["slack app"] == "warn"

    def test_public_url_that_leads_elsewhere(self, run: Run, sandbox: Sandbox) -> None:
        result = run("doctor", "--json", PUBLIC_BASE_URL="http://127.0.0.1:1")
        assert "cannot be reached from here" in said(result, "public url")
        result = run("doctor", "--json", PUBLIC_BASE_URL=sandbox.receiver_url.removesuffix("/receiver"))
        assert "so another service may be there" in said(result, "public url")

    def test_public_url_without_https(self, run: Run) -> None:
        assert "is not https" in said(
            run("doctor", "--json", PUBLIC_BASE_URL="http://reports.example.com"), "public url"
        )

    def test_trusted_proxies_stand_in_for_a_public_url(self, run: Run) -> None:
        assert levels(run("doctor", "--json", TRUSTED_PROXIES="1"))["public url"] == "ok"


class TestWork:
    def test_b44_no_worker_fails(self, run: Run) -> None:
        result = run("doctor", "--json")
        assert result.exit_code == 1
        assert "python worker.py" in said(result, "workers")

    @pytest.mark.usefixtures("worker")
    def test_steps_that_nobody_takes_fail(self, run: Run, ledger: Ledger, redis_url: str) -> None:
        sid = open_room(ledger)
        with redis.Redis.from_url(redis_url) as client:
            client.delete("rq:queue:room-reports")
            client.zadd("room-reports:due:twilio", {sid: (datetime.now(UTC) - timedelta(minutes=5)).timestamp()})
        result = run("doctor", "--json")
        assert result.exit_code == 1
        assert "1 overdue, the first for 30" in said(result, "due: twilio")
        assert "dispatch nothing" in said(result, "due: twilio")

    @pytest.mark.usefixtures("worker")
    def test_hold_for_an_operator_fails_and_names_the_command(self, run: Run, ledger: Ledger) -> None:
        sid = open_room(ledger)
        summarise(ledger, sid)
        hold(ledger, sid, needs_operator=True)
        result = run("doctor", "--json")
        assert result.exit_code == 1
        assert "flask rooms resume slack" in said(result, "hold: slack")
        assert said(result, "due: slack").startswith("1 unfinished, held")

    @pytest.mark.usefixtures("worker")
    def test_hold_that_heals_is_a_warning(self, run: Run, ledger: Ledger) -> None:
        sid = open_room(ledger)
        summarise(ledger, sid)
        hold(ledger, sid, "webhook", needs_operator=False)
        result = run("doctor", "--json")
        assert (result.exit_code, levels(result)["hold: webhook"]) == (0, "warn")

    @pytest.mark.usefixtures("worker")
    def test_dead_letters_are_a_warning(self, run: Run, ledger: Ledger) -> None:
        sid = open_room(ledger)
        summarise(ledger, sid)
        deliver(ledger, sid, slack="dead")
        assert "flask rooms list --state dead" in said(run("doctor", "--json"), "dead letters")

    @pytest.mark.usefixtures("worker")
    def test_deliveries_for_a_destination_that_was_taken_away(self, run: Run, ledger: Ledger) -> None:
        sid = open_room(ledger)
        summarise(ledger, sid)
        result = run("doctor", "--json", SLACK_WEBHOOK_URL="")
        assert "1 deliveries wait for slack, which is not configured" in said(result, "due: slack")

    @pytest.mark.usefixtures("worker")
    def test_reconciling_that_has_stopped(self, run: Run, ledger: Ledger) -> None:
        ledger.note_reconciled(datetime.now(UTC) - timedelta(hours=9))
        assert "last done 9.0 h ago" in said(run("doctor", "--json"), "reconcile")
        assert levels(run("doctor", "--json", RECONCILE_EVERY="0"))["reconcile"] == "warn"


@contextmanager
def tls_server(directory: Path) -> Iterator[int]:
    """A server on 127.0.0.1 with a self-signed certificate, that gets no further than the handshake."""
    certificate, key = directory / "certificate.pem", directory / "key.pem"
    options = "-x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    argv = ["openssl", "req", *options.split(), "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(argv, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                    with connection, context.wrap_socket(connection, server_side=True):
                        pass
                except ssl.SSLError:
                    continue
                except OSError:
                    return

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
