"""`make run`: the service kept up on this machine, with the settings of `.env`, on a Valkey of its own.

Each process of the Procfile, and the server, is started again when it ends by itself. One that ends right after its
start would only do so again: then everything stops, and the exit code is 1. Where there is something better to keep
processes up (systemd, Kubernetes, Heroku), that runs the lines of the Procfile, and this module is not used.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from dotenv import dotenv_values

from config.loading import load_or_exit
from config.settings import Settings
from local.processes import ROOT, Process, from_procfile, stop_on_signals
from local.tether import tether
from local.valkey import Valkey, ValkeyError

STEADY = 10.0
"""Seconds that a process must have run for its end to be an accident rather than a mistake in its settings.

gunicorn alone tries for five seconds to get a port that is taken."""


def main() -> int:
    """Runs until Ctrl-C or SIGTERM. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m local.run", description=__doc__)
    parser.add_argument("--env", type=Path, default=ROOT / ".env", help="file with the settings (default: .env)")
    parser.add_argument("--data", type=Path, default=ROOT / "var" / "valkey", help="of Valkey (default: var/valkey)")
    arguments = parser.parse_args()
    read_dotenv(arguments.env)
    stop_on_signals()
    try:
        with ExitStack() as stack:
            env = {**os.environ, **stack.enter_context(tether())}
            env.setdefault("LOG_FORMAT", "text")
            own = None if env.get("REDIS_URL") or env.get("REDIS_URL_FILE") else Valkey(arguments.data, env=env)
            if own is not None:
                os.environ["REDIS_URL"] = env["REDIS_URL"] = own.url
            settings = load_or_exit()
            if own is not None:
                stack.enter_context(own)
            reason = serve(settings, env, own)
    except KeyboardInterrupt:
        print("Stopped. Rooms that are not finished go on at the next start.")
        return 0
    except ValkeyError as error:
        reason = str(error)
    print(f"Stopped, because {reason}", file=sys.stderr)
    return 1


def read_dotenv(path: Path) -> None:
    """Puts the variables of this file into the environment; what is set there already wins, as with other tools."""
    if not path.exists() and "TWILIO_ACCOUNT_SID" not in os.environ:
        print(f"There is no {path.name} yet. Begin with: cp config/sample.env .env", file=sys.stderr)
        sys.exit(2)
    # Without interpolation: a secret may hold a dollar sign.
    for name, value in dotenv_values(path, interpolate=False).items():
        if value is not None:
            os.environ.setdefault(name, value)


def serve(settings: Settings, env: dict[str, str], own: Valkey | None) -> str:
    """Keeps the processes up until Ctrl-C. Returns why that cannot be done."""
    worker = from_procfile("worker", env=env, port=settings.port, log=None)
    web = from_procfile("web", env=env, port=settings.port, log=None)
    print(greeting(settings, own), flush=True)
    try:
        for process in (worker, web):
            process.start()
        return keep_up([*([own] if own else []), worker, web])
    finally:
        # In this order nothing is accepted any more while attempts finish, and they can still write their outcome.
        web.stop(patience=settings.shutdown_grace + 5)
        worker.stop(patience=settings.shutdown_grace + 5)


def keep_up(processes: Sequence[Process]) -> str:
    """Starts again what ended by itself, until one ends right after its start. Returns which one."""
    while True:
        time.sleep(0.2)
        for process in processes:
            code = process.exit_code()
            if code is None:
                continue
            if time.monotonic() - process.started_at < STEADY:
                return f"{process.name} ended with exit code {code} right after its start; its lines above say why."
            print(f"{process.name} ended with exit code {code}: starting it again.", flush=True)
            process.start()


def greeting(settings: Settings, own: Valkey | None) -> str:
    """What is running and where, in a few lines."""
    lines = [f"Room Reports, on port {settings.port}. Ctrl-C stops it."]
    base = settings.public_base_url or "https://YOUR-HOST"
    lines.append(f"  status callback, for Twilio:    {base}/twilio/rooms#rc=5&rp=ct,rt,5xx")
    if own is None:
        lines.append("  commands, in another terminal:  .venv/bin/flask rooms list")
    else:
        lines.append(f"  embedded Valkey, its data in:   {own.data}")
        lines.append(f"  commands, in another terminal:  REDIS_URL='{own.url}' .venv/bin/flask rooms list")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
