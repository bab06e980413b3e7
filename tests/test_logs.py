"""The logs, as the stdout of a process that was set up as ours are: form, masking, and nowhere to write to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from config.loading import load
from config.logs import MASK, masker

ROOT = Path(__file__).parent.parent
TOKEN = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
SLACK_PATH = "/services/T0AAAAAAA/B0BBBBBBB/cCcCcCcCcCcC"
SIGNING_KEY = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
REDIS_PASSWORD = 'red"is+pass/wörd'
ENVIRON = {
    "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
    "TWILIO_AUTH_TOKEN": TOKEN,
    "SLACK_WEBHOOK_URL": f"https://hooks.slack.com{SLACK_PATH}",
    "REPORT_WEBHOOK_URL": "https://receiver.example/hooks?key=report-query-secret",
    "REPORT_WEBHOOK_SECRET": f"whsec_{SIGNING_KEY}",
    "REDIS_URL": f"redis://:{quote(REDIS_PASSWORD, safe='')}@redis.example/0",
}
SECRETS = [TOKEN, SLACK_PATH, SIGNING_KEY, "report-query-secret", quote(REDIS_PASSWORD, safe=""), "wörd"]

SET_UP = """
import logging, os, sys, threading, warnings
import structlog
from config import logs
from config.loading import load_or_exit
settings = load_or_exit()
logs.configure(settings)
log = structlog.get_logger("room_reports.example")
"""


def run(
    script: str, environ: dict[str, str] | None = None, *, stdout: int = subprocess.PIPE
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", SET_UP + script],
        env=ENVIRON | (environ or {}),
        cwd=ROOT,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )


def lines_of(script: str, **environ: str) -> list[dict[str, Any]]:
    """The JSON lines that a script logs; it must say nothing on stderr."""
    done = run(script, environ)
    assert done.stderr == ""
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_one_json_object_for_an_event() -> None:
    [line] = lines_of("log.info('room opened', room_sid='RM1', attempt=2, name='a\\nb')")
    when = datetime.fromisoformat(line.pop("timestamp"))
    assert when.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - when) < timedelta(minutes=1)
    assert line == {
        "level": "info",
        "event": "room opened",
        "logger": "room_reports.example",
        "room_sid": "RM1",
        "attempt": 2,
        "name": "a\nb",
    }


def test_what_is_bound_to_the_context_is_on_every_line_of_it() -> None:
    script = """
with structlog.contextvars.bound_contextvars(request_id="r1"):
    log.info("inside")
    logging.getLogger("rq").info("library %s", "inside")
log.info("outside")
"""
    assert [line.get("request_id") for line in lines_of(script)] == ["r1", "r1", None]


def test_the_level_holds_for_us_and_for_libraries() -> None:
    script = """
for logger in (log, logging.getLogger("library")):
    logger.debug("d")
    logger.info("i")
    logger.warning("w")
    logger.error("e")
"""
    assert [line["event"] for line in lines_of(script, LOG_LEVEL="WARNING")] == ["w", "e"] * 2
    assert [line["event"] for line in lines_of(script, LOG_LEVEL="debug")] == ["d", "i", "w", "e"] * 2


def test_what_is_bad_is_also_told() -> None:
    script = """
told = []
logs.configure(settings, on_error=lambda event: told.append(event["event"]))
for level in ("info", "warning", "error", "critical"):
    getattr(log, level)(level)
    logging.getLogger("library").log(getattr(logging, level.upper()), f"library's {level}")
log.info("told", what=told)
"""
    assert lines_of(script)[-1]["what"] == ["error", "library's error", "critical", "library's critical"]


def test_urllib3_never_logs_its_urls() -> None:
    assert lines_of("logging.getLogger('urllib3.connectionpool').debug('GET /path')", LOG_LEVEL="DEBUG") == []


def test_libraries_come_out_in_the_same_form() -> None:
    script = """
gunicorn = logging.getLogger("gunicorn.error")
gunicorn.addHandler(logging.StreamHandler())
gunicorn.propagate = False
logs.configure(settings)
gunicorn.info("Listening at: %s", "http://0.0.0.0:8000")
logging.getLogger("library").warning("100 %")
warnings.warn("old")
"""
    first, second, third = lines_of(script)
    assert (first["logger"], first["level"], first["event"]) == (
        "gunicorn.error",
        "info",
        "Listening at: http://0.0.0.0:8000",
    )
    assert (second["logger"], second["level"], second["event"]) == ("library", "warning", "100 %")
    assert third["logger"] == "py.warnings"
    assert "old" in third["event"]


def test_line_that_names_nobody_is_of_the_root() -> None:
    first, second = lines_of("structlog.get_logger().info('ours')\nlogging.warning('of a library')")
    assert (first["logger"], second["logger"]) == ("root", "root")


def test_a_line_that_cannot_be_formatted_is_still_a_line() -> None:
    script = f"""
logging.getLogger("library").info("%d of %d", "{TOKEN}")
own = []
own.append(own)
log.info("odd", itself=own, key={{(1, 2): 3}}, thing=object(), secret=settings.twilio_auth_token, text="\\udcff")
"""
    broken, odd = lines_of(script)
    assert broken["event"] == "a library logged a line that cannot be formatted"
    assert odd["event"] == "odd"
    assert odd["key"] == "{(1, 2): 3}"


def test_text_for_people_keeps_a_hostile_name_on_its_line() -> None:
    done = run(
        "log.info('room opened', name='x\\n2026-01-01 critical forged \\x1b[31m')\n"
        "logging.getLogger('library').info('a\\nb')\n"
        "try:\n    1 / 0\nexcept ZeroDivisionError:\n    log.exception('attempt broke')",
        {"LOG_FORMAT": "text"},
    )
    opened, library, broke, *trace = done.stdout.splitlines()
    assert opened.endswith("name='x\\n2026-01-01 critical forged \\x1b[31m'")
    assert " info     room opened " in opened
    assert " a\\nb " in library
    assert " error    attempt broke " in broke
    assert trace[0] == "Traceback (most recent call last):"
    assert trace[-1] == "ZeroDivisionError: division by zero"


def test_text_that_is_not_unicode_is_written_all_the_same() -> None:
    script = "try:\n    raise ValueError('\\udcff')\nexcept ValueError:\n    log.exception('odd')"
    done = run(script, {"LOG_FORMAT": "text"})
    assert done.stdout.splitlines()[-1] == r"ValueError: \udcff"


def test_whoever_interrupts_a_process_sees_where_and_the_log_says_nothing() -> None:
    done = run("raise KeyboardInterrupt")
    assert done.stdout == ""
    assert done.stderr.endswith("KeyboardInterrupt\n")


LEAKS = """
secrets = [
    settings.twilio_auth_token[0].get_secret_value(),
    settings.slack_webhook_url.get_secret_value(),
    settings.report_webhook_url.get_secret_value(),
    settings.report_webhook_secret[0].get_secret_value(),
    settings.redis_url.get_secret_value(),
]
for secret in secrets:
    log.info("message", field=secret, inner={"deep": [secret]}, shown=ValueError(secret))
    log.info(secret)
    logging.getLogger("library").warning("failed: %r", secret)
    try:
        raise RuntimeError(f"cannot reach {secret}")
    except RuntimeError:
        log.exception("attempt broke")
        logging.getLogger("library").exception("broke")
    warnings.warn(secret)
    thread = threading.Thread(target=lambda: {}[secret])
    thread.start()
    thread.join()
raise SystemError(secrets)
"""


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_e83_no_secret_is_in_any_line(log_format: str) -> None:
    done = run(LEAKS, {"LOG_FORMAT": log_format})
    assert done.returncode == 1
    assert done.stdout.count(MASK) >= 5 * 8
    assert "SystemError" in done.stdout
    assert done.stdout.count("KeyError") == 5
    for secret in SECRETS:
        assert secret not in done.stdout + done.stderr
        assert json.dumps(secret)[1:-1] not in done.stdout + done.stderr


@pytest.mark.parametrize("secret", [TOKEN, SLACK_PATH, SIGNING_KEY, "report-query-secret", REDIS_PASSWORD, "a'b\"c\\d"])
def test_e83_every_spelling_of_a_secret_is_masked(secret: str) -> None:
    mask = masker([*load(ENVIRON).secrets, "a'b\"c\\d"])
    for spelling in (secret, quote(secret), quote(secret, safe=""), json.dumps(secret)[1:-1], repr(secret)[1:-1]):
        assert spelling not in mask(f"before {spelling} after")


def test_too_short_a_secret_leaves_the_line_readable() -> None:
    assert masker(["four", "fives"])("four fives") == f"four {MASK}"


def test_e83_basic_auth_is_masked_without_its_header() -> None:
    credentials = b64encode(f"{ENVIRON['TWILIO_ACCOUNT_SID']}:{TOKEN}".encode()).decode()
    assert masker(load(ENVIRON).secrets)(f"x {credentials} y") == f"x {MASK} y"


@pytest.mark.parametrize(
    ("line", "masked"),
    [
        ("secret whsec_c29tZWJvZHkgZWxzZXMgc2VjcmV0 here", f"secret {MASK} here"),
        ("POST https://hooks.slack.com/services/T1/B1/x1?a", f"POST https://hooks.slack.com/{MASK}"),
        ("https://hooks.slack-gov.com/services/T1/B1/x1'", f"https://hooks.slack-gov.com/{MASK}'"),
        ('{"Authorization": "Basic QUN1c2VyOnBhc3M="}', f'{{"Authorization": "Basic {MASK}"}}'),
        ("authorization: bearer abc.def-ghi", f"authorization: bearer {MASK}"),
        ("redis://user:hunter2@redis.example/0", f"redis://{MASK}@redis.example/0"),
        ("redis://:hunter2@redis.example/0", f"redis://{MASK}@redis.example/0"),
        ("auth_token=0123456789abcdef0123456789abcdef", f"auth_token={MASK}"),
        ('"api_key": "0123456789abcdef0123"', f'"api_key": "{MASK}"'),
        (r'"body": "{\"token\": \"0123456789abcdef0123\"}"', rf'"body": "{{\"token\": \"{MASK}\"}}"'),
        ("PASSWORD='correct-horse-battery'", f"PASSWORD='{MASK}'"),
    ],
)
def test_e83_what_looks_like_a_secret_is_masked_whoevers_it_is(line: str, masked: str) -> None:
    assert masker([])(line) == masked


@pytest.mark.parametrize(
    "line",
    [
        "room RM0123456789abcdef0123456789abcdef of AC0123456789abcdef0123456789abcdef",
        "https://insights.twilio.com/v1/Video/Rooms/RM0123456789abcdef0123456789abcdef",
        "answered 401: check TWILIO_AUTH_TOKEN, its token is refused",
        "http://127.0.0.1:8000/twilio/rooms?x=a@b",
        "key=room-reports:due",
        "mail to ops@example.com",
    ],
)
def test_an_ordinary_line_is_left_as_it_is(line: str) -> None:
    assert masker(["secret-of-ours"])(line) == line


def test_a_secret_within_another_does_not_hide_its_rest() -> None:
    assert masker(["inner-secret", "outer-inner-secret-end"])("outer-inner-secret-end") == MASK


GO_ON = """
for number in range(100):
    log.info("line", number=number, filler="x" * 10_000)
    logging.getLogger("library").info("line")
print("went on", file=sys.stderr)
"""


def test_b50_a_full_disk_stops_nothing() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        done = run(GO_ON, stdout=full)
    finally:
        os.close(full)
    assert (done.returncode, done.stderr) == (0, "went on\n")


def test_b50_a_reader_that_is_gone_stops_nothing() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = run(GO_ON, stdout=writer)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (0, "went on\n")


def test_b50_a_stdout_that_was_never_there_stops_nothing_and_nothing_else_is_written_to() -> None:
    # With stdout closed, the next thing that is opened takes its number; no log line may end up in it.
    script = (
        SET_UP.replace(
            "settings = load",
            "import socket\nours, theirs = socket.socketpair()\nours.setblocking(False)\nsettings = load",
        )
        + GO_ON
        + "theirs.settimeout(0.2)\n"
        + "try:\n    print(len(theirs.recv(9)), ours.fileno(), file=sys.stderr)\n"
        + "except TimeoutError:\n    print('nothing', 1 in (ours.fileno(), theirs.fileno()), file=sys.stderr)\n"
    )
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" -c "$1" >&-', sys.executable, script],
        env=ENVIRON,
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "went on\nnothing True\n")
