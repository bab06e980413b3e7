"""`make demo`: rooms end at a fake Twilio, and their reports arrive in a fake Slack and at a signed webhook.

Everything else is real: the processes of the Procfile, an embedded Valkey, HTTP in between. Exits with 0 when every
report arrived as it should, with 1 after saying what did not.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from config.settings import Settings
from local.processes import Process, from_procfile, stop_on_signals
from local.tether import tether
from local.valkey import Valkey, ValkeyError
from sandbox import answers
from sandbox.answers import Answer
from sandbox.client import Sandbox, SandboxClient, SandboxError, SentCallback, ServiceControl
from sandbox.history import Exchange
from sandbox.messages import mentions, render
from sandbox.summaries import room_sid

WIDTH = 100
MARGIN = 3

FAST = {
    "SUMMARY_WAITS": "0.4,0.8",
    "SUMMARY_DEADLINE": "4",
    "DELIVERY_WAITS": "0.5",
    "DISPATCH_EVERY": "0.2",
    "SLACK_RATE": "0",
    "RECONCILE_EVERY": "0",
    "WEB_CONCURRENCY": "1",
    "WORKER_THREADS": "8",
}
"""Settings that squeeze Twilio's half hour into seconds. All others have their defaults."""


@dataclass(frozen=True)
class Scene:
    """One room that ends: what a person is told about it, and how Twilio behaves."""

    title: str
    summary: Mapping[str, Any] = field(default_factory=dict)
    twilio: Sequence[Answer] = ()
    completeness: str = "complete"


SCENES = (
    Scene("A room ends, and its summary is complete at once", {"room_name": "weekly-planning"}),
    Scene(
        "Twilio says 404 twice, then in progress, then complete",
        {"room_name": "Customer call"},
        (answers.not_found().repeated(2), answers.in_progress()),
    ),
    Scene("A room name that tries to call everyone in Slack", {"room_name": "<!channel> & *co*"}),
    Scene(
        "One person came, and what should have been recorded was not",
        {
            "room_name": "interview/backend",
            "unique_participants": 1,
            "unique_participant_identities": 1,
            "concurrent_participants": 1,
            "total_participant_duration_sec": 3010,
            "recording_enabled": True,
            "total_recording_duration_sec": 0,
        },
    ),
    Scene(
        "The summary never completes: after SUMMARY_DEADLINE the report goes out, marked partial",
        {"room_name": "standup-42"},
        (answers.in_progress().forever(),),
        completeness="partial",
    ),
)


class DemoError(Exception):
    """The demo cannot go on; the message says why."""


def main() -> int:
    """Runs the demo. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m local.demo", description=__doc__)
    parser.add_argument("--timeout", type=float, default=30.0, help="seconds that reports may take (default: 30)")
    parser.add_argument("--folder", type=Path, default=Path("var/demo"), help="for logs and data (default: var/demo)")
    parser.add_argument("--sandbox", metavar="URL", help="play with this sandbox, and the service it calls, instead")
    arguments = parser.parse_args()
    stop_on_signals()
    try:
        if arguments.sandbox:
            return visit(SandboxClient(arguments.sandbox), timeout=arguments.timeout)
        return demo(arguments.folder, timeout=arguments.timeout)
    except KeyboardInterrupt:
        print("\nStopped.")
        return 130
    except (DemoError, SandboxError, ValkeyError) as error:
        print(f"The demo could not run: {error}")
        return 1


def demo(folder: Path, *, timeout: float) -> int:
    """Starts everything, plays the scenes, shows what arrives."""
    started, log = time.monotonic(), folder / "service.log"
    say("Room Reports demo: rooms end at a fake Twilio; their reports go to a fake Slack and to a signed webhook.")
    with ExitStack() as stack:
        env = {**without_settings(os.environ), **stack.enter_context(tether())}
        # Stopped in reverse: the web and the worker first, the server that they write to last.
        valkey = stack.enter_context(Valkey(folder, env=env, fresh=True))
        say("  Valkey, embedded: up")
        sandbox = stack.enter_context(Sandbox())
        say(f"  sandbox (Twilio, Slack and a receiver): up at {sandbox.url}")
        port = free_port()
        env = {**env, **sandbox.environment(), **FAST, "REDIS_URL": valkey.url, "LOG_FORMAT": "text"}
        for name in ("worker", "web"):
            process = from_procfile(name, env=env, port=port, log=log.resolve())
            stack.callback(process.stop, patience=30)
            process.start()
        wait_until_ready(process, port, log)
        say(f"  web (gunicorn) and worker (RQ), from the Procfile: up, log in {log}")
        sandbox.configure(callback_url=f"http://127.0.0.1:{port}/twilio/rooms")
        problems = play(sandbox, timeout)
        say(closing_line(sandbox, took=time.monotonic() - started))
    return tell(problems, log=str(log))


def visit(sandbox: SandboxClient, *, timeout: float) -> int:
    """Plays the scenes with a sandbox and a service that run already, as in compose.yaml."""
    started = time.monotonic()
    say(f"Room Reports demo: rooms end at the sandbox {sandbox.url}, which plays Twilio, Slack and a signed webhook.")
    try:
        callback_url = sandbox.options.callback_url
        sandbox.reset()
        sandbox.configure(callback_url=callback_url)
        # Other rooms each time: this service still knows those of the last demo.
        problems = play(sandbox, timeout, seed=time.time_ns())
        say(closing_line(sandbox, took=time.monotonic() - started))
    except OSError as error:
        raise DemoError(f"the sandbox at {sandbox.url} does not answer ({error})") from error
    return tell(problems, log="its log")


def tell(problems: Sequence[str], *, log: str) -> int:
    """Says what did not go as it should. Returns the exit code."""
    for problem in problems:
        say(f"  - {problem}")
    if problems:
        say(f"Not everything arrived as it should; what the service did is in {log}.")
    return 1 if problems else 0


def without_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment without any setting of the service, so that the demo never meets real credentials or proxies."""
    names = {variable for name in Settings.model_fields for variable in (name, name.upper(), f"{name.upper()}_FILE")}
    return {name: value for name, value in environ.items() if name not in names}


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def wait_until_ready(web: Process, port: int, log: Path) -> None:
    """Waits for the web process to say that it can accept callbacks. Raises `DemoError` with the end of the log."""
    deadline = time.monotonic() + 30
    while not is_ready(port):
        if web.exit_code() is not None or time.monotonic() > deadline:
            last = "\n".join(log.read_text(errors="replace").splitlines()[-10:])
            raise DemoError(f"the web process did not come up. The end of {log}:\n{last}")
        time.sleep(0.05)


def is_ready(port: int) -> bool:
    """Whether the web process is up and can write to the ledger."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def play(sandbox: SandboxClient, timeout: float, *, seed: int = 2026) -> list[str]:
    """Ends the rooms and shows each report as it arrives. Returns what did not go as it should."""
    sandbox.slack.script(answers.too_many(1))
    sids = [room_sid(seed, number) for number, _ in enumerate(SCENES)]
    problems = []
    for sid, scene in zip(sids, SCENES, strict=True):
        sandbox.twilio.script(*scene.twilio, key=sid)
        problems += refused(sandbox.twilio.end_room(sid, summary=scene.summary), expected=204)
    problems += refused(sandbox.twilio.end_room(sids[0], summary=SCENES[0].summary), expected=204)
    problems += refused(sandbox.twilio.end_room(forge="other_token"), expected=403)
    say("  5 rooms have ended; one callback came twice, one was forged, and Slack says 429 to the first message.")
    deadline = time.monotonic() + timeout
    for number, (sid, scene) in enumerate(zip(sids, SCENES, strict=True), 1):
        say(f"\n{'━' * WIDTH}\n{number}. {scene.title}\n   {sid}")
        message = arrival(sandbox.slack, sid, deadline)
        report = arrival(sandbox.receiver, sid, deadline)
        problems += show_slack(message, scene) + show_report(report, scene)
    return [*problems, *more_than_once(sandbox, sids)]


def refused(sent: SentCallback, *, expected: int) -> list[str]:
    """A problem unless the callback was answered as expected."""
    if sent.status == expected:
        return []
    return [f"a callback was answered {sent.status or sent.error} instead of {expected}"]


def arrival(service: ServiceControl, sid: str, deadline: float) -> Exchange | None:
    """The first message about a room that was accepted, None when there is none in time."""
    while not (found := service.accepted(sid)):
        if time.monotonic() > deadline:
            return None
        time.sleep(0.05)
    return found[0]


def show_slack(message: Exchange | None, scene: Scene) -> list[str]:
    """Prints a message as a person reads it in Slack. Returns its problems."""
    name = scene.summary["room_name"]
    say("\n   In Slack:")
    if message is None:
        say("   (nothing)")
        return [f"{name}: no message in Slack"]
    content = json.loads(message.body or "")
    say(indented(render(content, colour=sys.stdout.isatty())))
    return [f"{name}: the message pings {', '.join(pinged)}"] if (pinged := mentions(content)) else []


def show_report(report: Exchange | None, scene: Scene) -> list[str]:
    """Prints the JSON that the webhook got. Returns its problems."""
    name = scene.summary["room_name"]
    say("\n   At the webhook:")
    if report is None:
        say("   (nothing)")
        return [f"{name}: no report at the webhook"]
    content = json.loads(report.body or "")
    say(f"   signature {'verified' if report.verified else 'NOT verified'}, webhook-id {report.message_id}")
    say(indented(compact(content)))
    problems = [] if report.verified else [f"{name}: the signature of the report does not verify"]
    state = content["data"]["completeness"]["state"]
    if state != scene.completeness:
        problems.append(f"{name}: the report is {state} instead of {scene.completeness}")
    return problems


def more_than_once(sandbox: SandboxClient, sids: Sequence[str]) -> list[str]:
    """A problem for each room that was reported again."""
    return [
        f"{sid}: reported {len(found)} times by {name}"
        for name, service in (("slack", sandbox.slack), ("webhook", sandbox.receiver))
        for sid in sids
        if len(found := service.accepted(sid)) > 1
    ]


def closing_line(sandbox: SandboxClient, *, took: float) -> str:
    """The counts, in one line."""
    reports = sandbox.receiver.reports()
    verified = sum(bool(exchange.verified) for exchange in sandbox.receiver.accepted())
    partial = sum(report["data"]["completeness"]["state"] == "partial" for report in reports)
    return (
        f"\n{'━' * WIDTH}\n{len(SCENES)} rooms ended: {sandbox.slack.counts()['accepted']} messages in Slack, "
        f"{len(reports)} reports at the webhook ({verified} signatures verified), {partial} partial; {took:.1f} s."
    )


def compact(value: Any, *, indent: int = 0, before: int = 0) -> str:
    """JSON for a person: whatever fits stays on one line, and small entries of an object share lines.

    `before`: characters that stand in front of it on its line.
    """
    flat = json.dumps(value, ensure_ascii=False)
    widest = WIDTH - MARGIN - 1
    if indent + before + len(flat) <= widest or not isinstance(value, dict | list):
        return flat
    names = [f"{json.dumps(name)}: " for name in value] if isinstance(value, dict) else [""] * len(value)
    items = value.values() if isinstance(value, dict) else value
    lines: list[str] = []
    for name, item in zip(names, items, strict=True):
        entry = f"{name}{compact(item, indent=indent + 2, before=len(name))},"
        is_small = not isinstance(item, dict) and "\n" not in entry
        if is_small and lines and "\n" not in lines[-1] and len(lines[-1]) + len(entry) <= widest:
            lines[-1] += f" {entry}"
        else:
            lines.append(" " * (indent + 2) + entry)
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return opening + "\n" + "\n".join(lines).removesuffix(",") + "\n" + " " * indent + closing


def indented(text: str) -> str:
    """The text with a margin."""
    return "\n".join(" " * MARGIN + line for line in text.splitlines())


def say(line: str) -> None:
    """Prints a line at once, whoever listens."""
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
