"""What this machine, the load generator, the sandbox and a Redis client can do: nobody's figure is to be near these."""

from __future__ import annotations

import base64
import json
import sys
import time

from bench.load import Volley, fire
from bench.processes import free_port, listens, running
from bench.stacks import redis_server
from bench.workbench import Workbench, signed
from sandbox.options import ACCOUNT_SID, AUTH_TOKEN, SLACK_PATH

SECTION = "limits"
CONNECTIONS = 32


def measure(bench: Workbench) -> None:
    """Runs everything three times."""
    for _ in bench.runs(3):
        load_generator(bench)
        sandbox(bench)
        redis_round_trips(bench)


def load_generator(bench: Workbench) -> None:
    """The generator against a server that does nothing."""
    port = free_port()
    command = [sys.executable, "-m", "bench.responder", str(port)]
    log = bench.directory / "responder.log"
    with running(command, lambda: listens(port), environment={}, log=log):
        for keep_alive in (True, False):
            requests = signed(bench.rooms(1), f"http://127.0.0.1:{port}/twilio/rooms", keep_alive=keep_alive)
            volley = fire(port, requests * bench.size(8000), connections=CONNECTIONS, keep_alive=keep_alive)
            how = "kept connections" if keep_alive else "a new connection each"
            note(bench, f"load generator, {how}", volley)


def sandbox(bench: Workbench) -> None:
    """The sandbox as a fake Twilio and as a receiver, without latency."""
    bench.quiet(latency=0)
    port = int(bench.sandbox.url.rpartition(":")[2])
    room = bench.rooms(1)[0]
    login = base64.b64encode(f"{ACCOUNT_SID}:{AUTH_TOKEN}".encode()).decode()
    fetch = f"GET /twilio/v1/Video/Rooms/{room} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {login}\r\n\r\n".encode()
    report = json.dumps({"room": room, "filler": "x" * 1500})
    posts = {
        "sandbox, fetches": fetch,
        "sandbox, Slack posts": post(SLACK_PATH, json.dumps({"text": room})),
        "sandbox, receiver posts": post("/receiver", report),
    }
    for what, request in posts.items():
        note(bench, what, fire(port, [request] * bench.size(4000), connections=CONNECTIONS, keep_alive=True))
    bench.quiet(latency=0)


def redis_round_trips(bench: Workbench) -> None:
    """One client, one command at a time, as the receiving path and every job must do it."""
    with redis_server(bench.directory) as (_, connection):
        count = bench.size(8000)
        start = time.perf_counter()
        for _ in range(count):
            connection.lpush("list", b"x" * 400)
        bench.figures.add(
            SECTION, "Redis round trips, one client", "redis-py", "/s", count / (time.perf_counter() - start)
        )


def post(path: str, body: str) -> bytes:
    """A POST of JSON as it goes over the wire."""
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return (head + body).encode()


def note(bench: Workbench, what: str, volley: Volley) -> None:
    """Keeps the rate of a volley."""
    bench.figures.add(SECTION, what, "ceiling", "/s", volley.rate)
