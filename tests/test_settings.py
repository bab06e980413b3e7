"""The settings: what is accepted, that everything wrong is said at once, and that no value is ever repeated."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import ValidationError
from standardwebhooks.webhooks import Webhook

from config.loading import SettingsError, load
from config.sentinel import SentinelUrl, parse_sentinel_url
from config.settings import Settings, is_secret
from config.settings_page import table
from config.thresholds import Thresholds

ROOT = Path(__file__).parent.parent
SID = "AC" + "0123456789abcdefABCDEF0123456789"
SIGNING_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ENVIRON = {
    "TWILIO_ACCOUNT_SID": SID,
    "TWILIO_AUTH_TOKEN": "first-token,second-token",
    "SLACK_WEBHOOK_URL": "https://hooks.slack.com/services/T0/B0/slack-path",
    "REPORT_WEBHOOK_URL": "https://receiver.example/hooks?key=query-secret",
    "REPORT_WEBHOOK_SECRET": SIGNING_SECRET,
}
CANARY = "c4n4ry-value"


def problems_of(environ: dict[str, str]) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(environ)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    return caught.value.problems


def test_a_minimal_environment_is_enough() -> None:
    settings = load(ENVIRON)
    assert settings.twilio_account_sid == SID
    assert [token.get_secret_value() for token in settings.twilio_auth_token] == ["first-token", "second-token"]
    assert settings.redis_url.get_secret_value() == "redis://localhost:6379/0"
    assert settings.step_lease <= 60
    assert settings.allow_private_destinations is False
    assert settings.redis_tls_verify is True


def test_every_value_is_read_from_the_variable_of_its_name() -> None:
    settings = load(
        ENVIRON
        | {
            "SUMMARY_WAITS": "0.1, 2 ,30",
            "DELIVERY_WAITS": "0.5",
            "PORT": "0",
            "LOG_LEVEL": "debug",
            "LOG_FORMAT": "text",
            "REDIS_TLS_VERIFY": "0",
            "TWILIO_INSIGHTS_URL": "https://insights.example/base/",
            "PUBLIC_BASE_URL": "http://reports.example:8080/",
        }
    )
    assert settings.summary_waits == (0.1, 2.0, 30.0)
    assert settings.delivery_waits == (0.5,)
    assert (settings.port, settings.log_level, settings.log_format) == (0, "DEBUG", "text")
    assert settings.redis_tls_verify is False
    assert settings.twilio_insights_url == "https://insights.example/base"
    assert settings.public_base_url == "http://reports.example:8080"


def test_a_blank_variable_counts_as_unset() -> None:
    settings = load(ENVIRON | {"PORT": "", "TWILIO_API_KEY": "  ", "TWILIO_API_SECRET": "", "REDIS_URL": "\n"})
    assert settings.port == 8000
    assert settings.twilio_api_key is None


def test_e84_nothing_set_lists_all_that_is_missing() -> None:
    problems = problems_of({})
    assert [problem.partition(":")[0] for problem in problems] == [
        "TWILIO_ACCOUNT_SID",
        "TWILIO_AUTH_TOKEN",
        "SLACK_WEBHOOK_URL, SLACK_BOT_TOKEN, REPORT_WEBHOOK_URL",
    ]


REFUSED = [
    ("TWILIO_ACCOUNT_SID", f"AC{CANARY}"),
    ("TWILIO_ACCOUNT_SID", "SK" + "0" * 32),
    ("TWILIO_ACCOUNT_SID", "AC" + "0" * 33),
    ("TWILIO_AUTH_TOKEN", f"{CANARY} with-space"),
    ("TWILIO_AUTH_TOKEN", f"{CANARY},,second"),
    ("TWILIO_API_KEY", CANARY),
    ("TWILIO_INSIGHTS_URL", f"http://{CANARY}.example"),
    ("TWILIO_INSIGHTS_URL", f"https://{CANARY}.example/?a=b"),
    ("TWILIO_INSIGHTS_URL", f"ftp://{CANARY}.example"),
    ("SLACK_BOT_TOKEN", f"xoxp-{CANARY}"),
    ("SLACK_CHANNEL", f"#{CANARY}"),
    ("SLACK_API_URL", f"https://{CANARY}.example/api"),
    ("SLACK_API_URL", f"http://slack.com/{CANARY}"),
    ("SLACK_API_URL", f"https://slack.com/api?{CANARY}"),
    ("PUBLIC_BASE_URL", f"{CANARY}.example"),
    ("PUBLIC_BASE_URL", f"https:///{CANARY}"),
    ("PUBLIC_BASE_URL", f"https://{CANARY}.example/#rc=5"),
    ("TRUSTED_PROXIES", "-1"),
    ("TRUSTED_PROXIES", CANARY),
    ("SLACK_WEBHOOK_URL", f"https://{CANARY}.example/services/T/B/x"),
    ("SLACK_WEBHOOK_URL", f"https://hooks.slack.com.{CANARY}.example/services/T/B/x"),
    ("SLACK_WEBHOOK_URL", f"http://hooks.slack.com/services/{CANARY}"),
    ("SLACK_WEBHOOK_URL", "https://hooks.slack.com/"),
    ("REPORT_WEBHOOK_URL", f"https://user:{CANARY}@receiver.example/"),
    ("REPORT_WEBHOOK_URL", f"https://receiver.example/#{CANARY}"),
    ("REPORT_WEBHOOK_URL", f"https://receiver.example:{CANARY}/"),
    ("REPORT_WEBHOOK_URL", f"https://[{CANARY}/"),
    ("REPORT_WEBHOOK_URL", f"https://receiver.example/{CANARY} x"),
    ("REPORT_WEBHOOK_URL", f"http://10.0.0.1/{CANARY}"),
    ("REPORT_WEBHOOK_SECRET", CANARY),
    ("REPORT_WEBHOOK_SECRET", "whsec_" + "A" * 28),  # 21 bytes
    ("REPORT_WEBHOOK_SECRET", "whsec_" + "A" * 88),  # 66 bytes
    ("REPORT_WEBHOOK_SECRET", "whsec_" + "A" * 31 + "*"),
    ("REPORT_WEBHOOK_SECRET", "a1" * 16),
    ("REPORT_WEBHOOK_SECRET", f"{SIGNING_SECRET},{CANARY}"),
    ("REDIS_URL", f"redis+cluster://{CANARY}"),
    ("REDIS_URL", f"http://{CANARY}"),
    ("REDIS_URL", f"redis+sentinel://:{CANARY}@h:1"),
    ("REDIS_URL", f"redis+sentinel://:{CANARY}@h:1,/service"),
    ("REDIS_URL", f"redis+sentinel://:{CANARY}@h:port/service"),
    ("REDIS_URL", f"redis+sentinel://:{CANARY}@h:65536/service"),
    ("REDIS_URL", f"redis+sentinel://:{CANARY}@h:1/service/db"),
    ("REDIS_URL", f"redis+sentinel://:{CANARY}@h:1/my service"),
    ("REDIS_URL", f"redis+sentinel://:{CANARY}@h:1/service#x"),
    ("REDIS_URL", f"redis+sentinel://:{CANARY}@h:1/service/0?x=1"),
    ("REDIS_TLS_CA_FILE", f"/nowhere/{CANARY}"),
    ("REDIS_TLS_KEY_FILE", f"/nowhere/{CANARY}"),
    ("REDIS_PREFIX", "without-a-colon"),
    ("REDIS_PREFIX", "a" * 64 + ":"),
    ("REDIS_PREFIX", "a-deliveries:"),
    ("REDIS_TLS_VERIFY", CANARY),
    ("REDIS_PREFIX", "a b"),
    ("COST_PARTICIPANT_MINUTE", CANARY),
    ("COST_PARTICIPANT_MINUTE", "-0.004"),
    ("COST_RECORDED_MINUTE", "NaN"),
    ("COST_RECORDED_MINUTE", "10000.1"),
    ("COST_RECORDED_MINUTE", "1e400"),
    ("COST_RECORDED_MINUTE", "0.0000000000001"),
    ("COST_CURRENCY", "usd"),
    ("USUAL_DURATIONS", CANARY),
    ("DIGEST_AT", CANARY),
    ("DIGEST_AT", "24:00"),
    ("DIGEST_AT", "6:30"),
    ("DIGEST_AT", "06:30:00"),
    ("SUMMARY_WAITS", "5,"),
    ("SUMMARY_WAITS", "1,-2"),
    ("SUMMARY_WAITS", "0"),
    ("SUMMARY_WAITS", "inf"),
    ("DELIVERY_WAITS", f"1,{CANARY}"),
    ("DELIVERY_WAITS", "nan"),
    ("SUMMARY_DEADLINE", "0"),
    ("SUMMARY_DEADLINE", str(7 * 24 * 3600)),
    ("DELIVERY_DEADLINE", "-5"),
    ("DELIVERY_DEADLINE", "inf"),
    ("ALLOW_PRIVATE_DESTINATIONS", CANARY),
    ("WORKER_THREADS", "0"),
    ("PORT", "65536"),
    ("PORT", "http"),
    ("WEB_CONCURRENCY", "0"),
    ("LOG_LEVEL", CANARY),
    ("LOG_FORMAT", CANARY),
    ("STEP_LEASE", "41"),
    ("DISPATCH_EVERY", "0"),
    ("SHUTDOWN_GRACE", "19"),
    ("SLACK_RATE", "-1"),
    ("SLACK_RATE", "nan"),
    ("REPORT_WEBHOOK_RATE", "-0.5"),
    ("RECONCILE_EVERY", "-1"),
    ("RETENTION", str(8 * 24 * 3600 - 1)),
    ("CONSOLE_URL", f"https://{CANARY}.example/"),
    ("CONSOLE_URL", f"ftp://{CANARY}.example/{{room_sid}}"),
    ("CONSOLE_URL", f"https://{CANARY}.example/{{room_sid}}/{{other}}"),
    ("CONSOLE_URL", f"https://{CANARY}.example/{{room_sid"),
    ("HTTP_CONNECT_TIMEOUT", "0"),
    ("HTTP_READ_TIMEOUT", "-1"),
    ("HTTP_TOTAL_TIMEOUT", "4"),
    ("TLS_CA_FILE", f"/nowhere/{CANARY}"),
    ("TLS_CA_FILE", __file__),
    ("HTTPS_PROXY", f"socks5://{CANARY}"),
    ("HTTP_PROXY", f"http:///{CANARY}"),
    ("OPS_PASSWORD", CANARY[:11]),
    ("METRICS_TOKEN", f"{CANARY} with-space"),
    ("SENTRY_DSN", f"https://{CANARY}.example/1"),
    ("SENTRY_DSN", f"https://{CANARY}@sentry.example/"),
    ("SENTRY_DSN", f"https://{CANARY}@/1"),
    ("SENTRY_DSN", f"ftp://{CANARY}@sentry.example/1"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", f"{CANARY}:4318"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://collector.example/?{CANARY}"),
    ("OTEL_EXPORTER_OTLP_HEADERS", f"authorization:{CANARY}"),
]


@pytest.mark.parametrize(("name", "value"), REFUSED)
def test_e84_a_bad_value_is_refused_by_name_and_not_repeated(name: str, value: str) -> None:
    problems = problems_of(ENVIRON | {name: value})
    assert len(problems) == 1
    assert re.match(rf"{name}( \(entry \d\))?: .", problems[0]) or name in problems[0].partition(":")[0].split(", ")
    assert CANARY not in problems[0]


def test_e84_all_problems_are_listed_at_once() -> None:
    # A check of one setting against another that is itself wrong has to wait, so these three are wrong by themselves.
    bad = dict(reversed(REFUSED)) | {"HTTP_TOTAL_TIMEOUT": "-1", "STEP_LEASE": "0", "SHUTDOWN_GRACE": "0"}
    problems = problems_of(ENVIRON | bad)
    named = {name for problem in problems for name in re.findall(r"[A-Z][A-Z_]+", problem.partition(":")[0])}
    assert set(bad) <= named
    assert CANARY not in "".join(problems)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"TWILIO_API_KEY": "SK" + "0" * 32}, "TWILIO_API_KEY, TWILIO_API_SECRET: set both or neither"),
        ({"TWILIO_API_SECRET": CANARY}, "TWILIO_API_KEY, TWILIO_API_SECRET: set both or neither"),
        ({"REPORT_WEBHOOK_SECRET": ""}, "REPORT_WEBHOOK_URL, REPORT_WEBHOOK_SECRET: set both"),
        (
            {"SLACK_WEBHOOK_URL": "", "REPORT_WEBHOOK_URL": "", "REPORT_WEBHOOK_SECRET": ""},
            "SLACK_WEBHOOK_URL, SLACK_BOT_TOKEN, REPORT_WEBHOOK_URL: no destination",
        ),
        ({"SLACK_BOT_TOKEN": f"xoxb-{CANARY}"}, "SLACK_BOT_TOKEN, SLACK_CHANNEL: set both or neither"),
        ({"SLACK_CHANNEL": "C0123456789"}, "SLACK_BOT_TOKEN, SLACK_CHANNEL: set both or neither"),
    ],
)
def test_settings_that_need_each_other(changes: dict[str, str], expected: str) -> None:
    problems = problems_of(ENVIRON | changes)
    assert len(problems) == 1
    assert problems[0].startswith(expected)


def test_the_lease_must_outlast_an_attempt_of_the_chosen_timeouts() -> None:
    quick = {"HTTP_CONNECT_TIMEOUT": "0.5", "HTTP_TOTAL_TIMEOUT": "1", "SHUTDOWN_GRACE": "1"}
    assert load(ENVIRON | quick | {"STEP_LEASE": "4"}).step_lease == 4
    assert problems_of(ENVIRON | quick | {"STEP_LEASE": "3.9"})


def test_private_destinations_have_to_be_allowed() -> None:
    sandbox = {
        "TWILIO_INSIGHTS_URL": "http://10.1.2.3:9/twilio",
        "SLACK_WEBHOOK_URL": "http://10.1.2.3:9/slack/services/T0/B0/x",
        "REPORT_WEBHOOK_URL": "http://10.1.2.3:9/receiver",
    }
    assert len(problems_of(ENVIRON | sandbox)) == 3
    assert load(ENVIRON | sandbox | {"ALLOW_PRIVATE_DESTINATIONS": "1"}).outgoing_urls == sandbox


def test_plain_http_to_the_machine_itself_is_not_what_is_refused_here() -> None:
    load(ENVIRON | {"REPORT_WEBHOOK_URL": "http://127.0.0.1:9/receiver"})
    load(ENVIRON | {"REPORT_WEBHOOK_URL": "http://[::1]:9/receiver"})
    load(ENVIRON | {"REPORT_WEBHOOK_URL": "http://localhost:9/receiver"})


def test_govslack_is_slack() -> None:
    load(ENVIRON | {"SLACK_WEBHOOK_URL": "https://hooks.slack-gov.com/services/T0/B0/x"})
    load(ENVIRON | {"SLACK_API_URL": "https://slack-gov.com/api"})


def test_token_of_a_bot_may_be_one_that_expires() -> None:
    load(ENVIRON | {"SLACK_BOT_TOKEN": "xoxe.xoxb-1-token", "SLACK_CHANNEL": "C0123456789"})


def test_password_of_twelve_characters_is_long_enough() -> None:
    load(ENVIRON | {"OPS_PASSWORD": "twelve chars"})


@pytest.mark.parametrize(
    "url",
    [
        "rediss://:pw@redis.example:6380/1",
        "unix:///run/redis.sock?db=2",
        "redis://user:pw@h:1/0",
        "redis+sentinel://user:pw@a:1,b:2,[::1]:3/service/0",
    ],
)
def test_redis_schemes(url: str) -> None:
    scheme, _, place = url.partition("://")
    for typed in (url, f"{scheme.upper()}://{place}"):
        assert load(ENVIRON | {"REDIS_URL": typed}).redis_url.get_secret_value() == url


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("redis://h:1/abc", "the number of a database"),
        ("redis://h:1/0/1", "the number of a database"),
        ("redis://h/0?db=x", "no query but"),
        ("rediss://:pw@h:1?ssl_cert_reqs=none", "settings of its own"),
        ("redis://h/0?socket_timeout=0", "no query but"),
        ("unix://?db=0", "must name a socket"),
    ],
)
def test_redis_url_that_would_not_mean_what_it_says_is_refused(url: str, why: str) -> None:
    [problem] = problems_of(ENVIRON | {"REDIS_URL": url})
    assert problem.startswith("REDIS_URL")
    assert why in problem
    assert "pw" not in problem


def test_sentinel_url_is_taken_apart() -> None:
    url = parse_sentinel_url("rediss+sentinel://us%40er:p%2Fw@a,b:2,[::1]:3/my%20service/4")
    assert url == SentinelUrl(
        hosts=(("a", 26379), ("b", 2), ("::1", 3)),
        service="my service",
        database=4,
        tls=True,
        username="us@er",
        password="p/w",
    )
    assert parse_sentinel_url("redis+sentinel://a/b") == SentinelUrl((("a", 26379),), "b", 0, False, None, None)
    assert "p/w" not in repr(url)


def test_entry_that_is_wrong_is_counted_from_1() -> None:
    [problem] = problems_of(ENVIRON | {"DELIVERY_WAITS": f"1,{CANARY}"})
    assert problem.startswith("DELIVERY_WAITS (entry 2): ")


@pytest.mark.parametrize("name", [name.upper() for name, field in Settings.model_fields.items() if is_secret(field)])
def test_each_secret_may_come_from_a_file(name: str, tmp_path: Path) -> None:
    values = ENVIRON | {
        "TWILIO_API_KEY": "SK" + "a" * 32,
        "TWILIO_API_SECRET": "api-secret",
        "REDIS_URL": "redis://:redis-password@h/0",
        "REDIS_SENTINEL_PASSWORD": "sentinel-password",
        "HTTPS_PROXY": "http://user:proxy-password@proxy.example:3128",
        "HTTP_PROXY": "http://proxy.example:3128",
        "OPS_PASSWORD": "correct horse battery",
        "IDENTITY_KEY": "staple battery horse",
        "SLACK_BOT_TOKEN": "xoxb-slack-token",
        "SLACK_CHANNEL": "C0123456789",
        "METRICS_TOKEN": "metrics-token",
        "SENTRY_DSN": "https://sentry-key@sentry.example/1",
        "OTEL_EXPORTER_OTLP_HEADERS": "x-key=collector-key",
    }
    secret = tmp_path / "secret"
    secret.write_text(f"{values[name]}\r\n", encoding="utf-8")
    environ = {variable: value for variable, value in values.items() if variable != name}
    assert load(environ | {f"{name}_FILE": str(secret)}) == load(values)


def test_a_setting_that_is_no_secret_has_no_file(tmp_path: Path) -> None:
    path = tmp_path / "port"
    path.write_text("9", encoding="utf-8")
    assert load(ENVIRON | {"PORT_FILE": str(path)}).port == 8000


def test_e84_a_secret_file_that_cannot_be_used_is_the_only_problem(tmp_path: Path) -> None:
    environ = {name: value for name, value in ENVIRON.items() if not name.startswith("SLACK")}
    (tmp_path / "empty").write_text("\n", encoding="utf-8")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for path in (f"/nowhere/{CANARY}", str(tmp_path), str(tmp_path / "empty"), str(tmp_path / "binary"), f"{CANARY}\0"):
        [problem] = problems_of({**environ, "REPORT_WEBHOOK_URL": "", "REPORT_WEBHOOK_URL_FILE": path})
        assert problem.startswith("REPORT_WEBHOOK_URL_FILE: ")
        assert CANARY not in problem
    [problem] = problems_of({**environ, "REPORT_WEBHOOK_URL": "", "REPORT_WEBHOOK_URL_FILE": str(tmp_path / "binary")})
    assert problem == "REPORT_WEBHOOK_URL_FILE: cannot read the file it names (not UTF-8 text)"


def test_a_secret_given_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(CANARY, encoding="utf-8")
    problems = problems_of(ENVIRON | {"TWILIO_AUTH_TOKEN_FILE": str(path)})
    assert problems == ["TWILIO_AUTH_TOKEN: set either TWILIO_AUTH_TOKEN or TWILIO_AUTH_TOKEN_FILE, not both"]
    load(ENVIRON | {"TWILIO_AUTH_TOKEN": "", "TWILIO_AUTH_TOKEN_FILE": str(path)})


def test_rest_credentials_prefer_the_api_key() -> None:
    assert load(ENVIRON).accounts[""].credentials == (SID, "first-token")
    key = "SK" + "a" * 32
    settings = load(ENVIRON | {"TWILIO_API_KEY": key, "TWILIO_API_SECRET": "api-secret"})
    assert settings.accounts[""].credentials == (key, "api-secret")


def test_proxies_are_read_in_both_spellings() -> None:
    settings = load(ENVIRON | {"https_proxy": "proxy.example:3128", "HTTP_PROXY": "http://p:1", "no_proxy": "a,.b"})
    assert settings.proxies == {"https": "http://proxy.example:3128", "http": "http://p:1", "no_proxy": "a,.b"}
    assert load(ENVIRON).proxies == {}


def test_secrets_holds_every_secret_and_its_telling_parts() -> None:
    settings = load(
        ENVIRON
        | {
            "REDIS_URL": "rediss://user:redis%2Fpassword@h/0",
            "METRICS_TOKEN": "metrics-token",
            "SENTRY_DSN": "https://sentry-key@sentry.example/1",
            "OTEL_EXPORTER_OTLP_HEADERS": "x-key=collector-key, authorization=Basic%20collector-token",
        }
    )
    assert settings.collector_headers == {"x-key": "collector-key", "authorization": "Basic collector-token"}
    for secret in (
        "metrics-token",
        "sentry-key",
        "collector-key",
        "collector-token",
        "Basic collector-token",
        "first-token",
        "second-token",
        "https://hooks.slack.com/services/T0/B0/slack-path",
        "/services/T0/B0/slack-path",
        "/hooks?key=query-secret",
        "query-secret",
        SIGNING_SECRET,
        SIGNING_SECRET.removeprefix("whsec_"),
        "redis%2Fpassword",
        "redis/password",
    ):
        assert secret in settings.secrets
    lengths = [len(secret) for secret in settings.secrets]
    assert lengths == sorted(lengths, reverse=True)


def test_secrets_leaves_words_readable() -> None:
    settings = load(ENVIRON | {"REPORT_WEBHOOK_URL": "https://receiver.example/hook?on=tuesday"})
    assert {"/hook?on=tuesday", "tuesday"} & set(settings.secrets) == {"/hook?on=tuesday"}
    settings = load(ENVIRON | {"REPORT_WEBHOOK_URL": "https://receiver.example/receiver"})
    assert "/receiver" not in settings.secrets


def test_header_for_the_collector_may_be_blank() -> None:
    settings = load(ENVIRON | {"OTEL_EXPORTER_OTLP_HEADERS": "x-key=%20,x-other=collector-key"})
    assert settings.collector_headers == {"x-key": " ", "x-other": "collector-key"}
    assert "collector-key" in settings.secrets


def test_e83_showing_the_settings_shows_no_secret() -> None:
    settings = load(ENVIRON | {"REDIS_URL": "redis://:redis-password@h/0"})
    for shown in (repr(settings), str(settings), settings.model_dump_json()):
        for secret in ("first-token", "second-token", "slack-path", "query-secret", "redis-password", "MfKQ9r8G"):
            assert secret not in shown


def test_e83_even_the_error_of_the_model_itself_repeats_no_value() -> None:
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({"port": CANARY})
    assert CANARY not in str(caught.value)


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        setattr(load(ENVIRON), "port", 1)  # noqa: B010  # as a type checker would not let it pass


def test_e84_a_door_exits_with_2_and_says_why() -> None:
    result = subprocess.run(
        [sys.executable, "-c", "from config.loading import load_or_exit; load_or_exit()"],
        env={"TWILIO_AUTH_TOKEN": f"{CANARY} {CANARY}", "PORT": "-1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    for name in ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "PORT", "SLACK_WEBHOOK_URL"):
        assert f"  - {name}" in result.stderr
    assert CANARY not in result.stdout + result.stderr
    assert "Traceback" not in result.stderr


def test_secret_that_heroku_generated_signs_and_may_wait_for_its_url() -> None:
    generated = "0123456789abcdef" * 4
    settings = load({**ENVIRON, "REPORT_WEBHOOK_URL": "", "REPORT_WEBHOOK_SECRET": generated})
    assert [secret.get_secret_value() for secret in settings.report_webhook_secret] == [generated]
    Webhook(generated).sign("msg_1", datetime.now(UTC), "{}")


def test_the_settings_page_is_current() -> None:
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert page == table(), "run: python -m config.settings_page > docs/settings.md"


def test_verdict_thresholds_change_what_they_name() -> None:
    thresholds = load(ENVIRON | {"VERDICT_THRESHOLDS": "many_rejoins=10, at_capacity_share = 0.9"}).verdict_thresholds
    assert str(thresholds) == "at_capacity_share=0.9,many_rejoins=10"
    assert load(ENVIRON).verdict_thresholds == Thresholds()


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("many_rejoins", "VERDICT_THRESHOLDS: must be name=value,name=value, with names of at_capacity_share"),
        ("many_rejoins=", "VERDICT_THRESHOLDS: must be name=value"),
        ("s3cret=1", "VERDICT_THRESHOLDS: must be name=value"),
        ("many_rejoins=1,,", "VERDICT_THRESHOLDS: must be name=value"),
        ("many_rejoins=s3cret", "VERDICT_THRESHOLDS (many_rejoins): input should be a valid number"),
        ("many_rejoins=0", "VERDICT_THRESHOLDS (many_rejoins): input should be greater than 0"),
        ("unusual_seconds=inf", "VERDICT_THRESHOLDS (unusual_seconds): input should be a finite number"),
    ],
)
def test_verdict_thresholds_that_cannot_be(value: str, problem: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(ENVIRON | {"VERDICT_THRESHOLDS": value})
    [found] = caught.value.problems
    assert found.startswith(problem)
    assert "s3cret" not in found


def test_the_sample_names_every_variable_with_its_default() -> None:
    sample = (ROOT / "config" / "sample.env").read_text(encoding="utf-8")
    shown = dict(re.findall(r"^(?:# )?([A-Z_]+)=(.*)$", sample, re.MULTILINE))
    assert set(shown) == {name.upper() for name in Settings.model_fields}
    defaults = dict(re.findall(r"^\| `([A-Z_]+)`(?: 🔒)? \| `([^`]+)` \|", table(), re.MULTILINE))
    assert {name: value for name, value in shown.items() if value} == defaults
