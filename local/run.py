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

from config.settings import Settings, load_or_exit
from local.processes import ROOT, Process, from_procfile, stop_on_signals
from local.tether import tether
from local.valkey import Valkey, ValkeyError

STEADY = 5.0
"""Seconds that a process must have run for its end to be an accident rather than a mistake in its settings."""


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
            code = serve(settings, env, own)
    except KeyboardInterrupt:
        code = 0
    except ValkeyError as error:
        print(f"Cannot start: {error}", file=sys.stderr)
        return 1
    print(farewell(code), flush=True)
    return code


def read_dotenv(path: Path) -> None:
    """Puts the variables of this file into the environment; what is set there already wins, as with other tools."""
    if not path.exists() and "TWILIO_ACCOUNT_SID" not in os.environ:
        print(f"There is no {path.name} yet. Begin with: cp config/sample.env .env", file=sys.stderr)
        sys.exit(2)
    # Without interpolation: a secret may hold a dollar sign.
    for name, value in dotenv_values(path, interpolate=False).items():
        if value is not None:
            os.environ.setdefault(name, value)


def serve(settings: Settings, env: dict[str, str], own: Valkey | None) -> int:
    """Keeps the processes up. Returns 1 when one cannot be; ends by KeyboardInterrupt otherwise."""
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


def keep_up(processes: Sequence[Process]) -> int:
    """Starts again what ended by itself, until one ends right after its start. Returns 1 then."""
    while True:
        time.sleep(0.2)
        for process in processes:
            code = process.exit_code()
            if code is None:
                continue
            if time.monotonic() - process.started_at < STEADY:
                print(f"{process.name} ended with exit code {code} right after its start: its lines above say why.")
                return 1
            print(f"{process.name} ended with exit code {code}: starting it again.", flush=True)
            process.start()


def greeting(settings: Settings, own: Valkey | None) -> str:
    """What is running and where, in a few lines."""
    base = settings.public_base_url or "https://YOUR-HOST"
    ledger = f"an embedded Valkey, data in {own.data}" if own else "the Redis at REDIS_URL"
    return (
        f"Room Reports on port {settings.port}. Status callback for Twilio: {base}/twilio/rooms#rc=5&rp=ct,rt,5xx\n"
        f"Ledger: {ledger}. Ctrl-C stops."
    )


def farewell(code: int) -> str:
    """The last line."""
    kept = "Rooms that are not finished go on at the next start."
    return f"Stopped. {kept}" if code == 0 else f"Stopped, because a process cannot be kept up. {kept}"


if __name__ == "__main__":
    sys.exit(main())
