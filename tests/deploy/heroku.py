"""Heroku, as far as the service can tell: its environment variables, its router's headers, its way of ending a dyno."""

from __future__ import annotations

import json
import os
import secrets
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from sandbox import callbacks
from sandbox.options import ACCOUNT_SID, AUTH_TOKEN
from tests.support.processes import ROOT, Process
from tests.support.servers import RedisServer, free_port
from tests.web.wire import Answer, send

HOST = "room-reports-5f1c.herokuapp.com"
PATIENCE = 30.0
"""Seconds between SIGTERM and SIGKILL."""

DYNO_MEMORY = 512e6
"""Bytes of the smallest dyno."""


def procfile() -> dict[str, str]:
    """The command of each process type."""
    lines = (ROOT / "Procfile").read_text().splitlines()
    return {name: command.strip() for name, _, command in (line.partition(":") for line in lines if line)}


def app_json() -> dict[str, Any]:
    """What the button sets up."""
    loaded: dict[str, Any] = json.loads((ROOT / "app.json").read_text())
    return loaded


def config_vars() -> dict[str, str]:
    """What the button sets without asking."""
    found = {}
    for name, about in app_json()["env"].items():
        if about.get("generator") == "secret":
            found[name] = secrets.token_hex(32)
        elif "value" in about:
            found[name] = about["value"]
    return found


class Dyno(Process):
    """One dyno: a process type's command, run by a shell with Heroku's environment and nothing else.

    `variables`: the app's config vars, beside those of the platform and of its Python buildpack.
    """

    def __init__(self, name: str, variables: Mapping[str, str], *, log: Path) -> None:
        self.port = free_port()
        super().__init__(["bash", "-c", procfile()[name.partition(".")[0]]], env={}, log=log)
        self.env = {
            "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
            "HOME": "/app",
            "LANG": "en_US.UTF-8",
            "DYNO": name,
            "DYNO_RAM": "512",
            "PORT": str(self.port),
            "WEB_CONCURRENCY": "2",
            "PYTHONUNBUFFERED": "true",
            # The buildpack sets both for every app.
            "FORWARDED_ALLOW_IPS": "*",
            "GUNICORN_CMD_ARGS": "--access-logfile -",
            **variables,
        }

    def processes(self) -> list[psutil.Process]:
        """Everything that runs in the dyno."""
        first = psutil.Process(self.pid)
        return [first, *first.children(recursive=True)]

    def memory(self) -> float:
        """Bytes that it takes, pages that are shared counted once."""
        return float(sum(process.memory_full_info().pss for process in self.processes()))

    def cycle(self) -> int:
        """Ends the dyno: SIGTERM to all of its processes at once, SIGKILL to what is left. Returns the exit code."""
        self.tell()
        return self.await_end()

    def tell(self) -> None:
        """SIGTERM to all of its processes at once."""
        os.killpg(self.pid, signal.SIGTERM)

    def await_end(self) -> int:
        """Waits for as long as the platform does, then kills. Returns the exit code, -9 where that was needed."""
        end = time.monotonic() + PATIENCE
        while self.is_running() and time.monotonic() < end:
            time.sleep(0.05)
        self.kill()
        return self.wait()


class SecureRedis(RedisServer):
    """Debian's redis-server, with TLS and a password as Heroku Key-Value Store has them; its plan is premium-0.

    The certificate signs itself, and names nothing that a client could check.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        self.tls_port = free_port()
        self.password = "p" + secrets.token_hex(32)
        super().__init__(
            "redis-server",
            **{
                "tls-port": str(self.tls_port),
                "tls-cert-file": str(certificate),
                "tls-key-file": str(key),
                "tls-auth-clients": "no",
                "requirepass": self.password,
                "appendonly": "yes",
                "maxclients": "40",
                "maxmemory": "50mb",
                "timeout": "300",
            },
        )

    @property
    def tls_url(self) -> str:
        """`REDIS_URL` as the add-on sets it."""
        return f"rediss://:{self.password}@127.0.0.1:{self.tls_port}"


def call_back(port: int, sid: str, *, proto: str = "https", token: str = AUTH_TOKEN) -> Answer:
    """One status callback of an ended room, as it reaches a web dyno through the router."""
    request = callbacks.request(
        f"https://{HOST}/twilio/rooms",
        callbacks.form(sid, account_sid=ACCOUNT_SID),
        token=token,
        post_to=f"http://127.0.0.1:{port}/twilio/rooms",
        headers={
            "X-Request-Id": secrets.token_hex(16),
            # The router appends to what the client sent.
            "X-Forwarded-For": "203.0.113.9, 54.172.60.1",
            "X-Forwarded-Proto": proto,
            "X-Forwarded-Port": "443" if proto == "https" else "80",
            "Via": "1.1 heroku-router",
            "X-Request-Start": str(int(time.time() * 1000)),
        },
    )
    return send(port, request)
