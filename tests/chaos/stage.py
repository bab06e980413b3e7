"""The processes of a run: a Redis-protocol server, webs, workers and the sandbox; how each is struck and put right."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import NoReturn, Self, cast

import psutil
import redis

from config.loading import load
from config.settings import Settings
from room_reports.dispatch import QUEUES
from room_reports.lanes import make_ledger
from room_reports.ledger import Ledger, LedgerUnavailable
from room_reports.ledger.replies import texts
from sandbox import answers
from sandbox.client import Sandbox, ServiceControl
from sandbox.options import Options
from tests.chaos.plan import Blow, Hit
from tests.chaos.variables import CALLBACK_PATH, PUBLIC_URL, VARIABLES
from tests.support.processes import ROOT, Process, Web, Worker
from tests.support.servers import RedisServer


@dataclass
class Stage:
    """Everything that runs. Use as a context manager; `folder` takes the logs."""

    folder: Path
    webs: int
    workers: int
    engine: str = "valkey"
    fsync: str = "always"
    old: str | None = None
    slack_app: bool = False
    env: dict[str, str] = field(init=False)
    settings: Settings = field(init=False)
    server: RedisServer = field(init=False)
    sandbox: Sandbox = field(init=False)
    _web: list[Web] = field(init=False, default_factory=list)
    _worker: list[Process] = field(init=False, default_factory=list)
    _started: int = field(init=False, default=0)
    _locks: defaultdict[tuple[str, int], Lock] = field(init=False, default_factory=lambda: defaultdict(Lock))
    _stack: ExitStack = field(init=False, default_factory=ExitStack)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.server = stack.enter_context(RedisServer(self.engine, appendonly="yes", appendfsync=self.fsync))
            self.sandbox = stack.enter_context(Sandbox(Options(history="brief")))
            self.sandbox.configure(public_url=PUBLIC_URL + CALLBACK_PATH)
            # Versions before participants would take a room that waits for them for finished.
            steps = {"PARTICIPANTS": "0" if self.old else "1"}
            app = self.sandbox.slack_app_environment if self.slack_app else {}
            self.env = {**self.sandbox.environment(), **app, "REDIS_URL": self.server.url, **VARIABLES, **steps}
            self.settings = load(self.env)
            stack.callback(self._kill_all)
            old = stack.enter_context(Worktree(self.old, self.folder / "old")) if self.old else None
            for number in range(self.workers):
                self._worker.append(self._new_worker(old.folder if old and number == 0 else ROOT))
            for _ in range(self.webs):
                self._web.append(self._new_web())
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def url(self, number: int, path: str = CALLBACK_PATH) -> str:
        """Where Twilio calls: one of the webs."""
        return self._web[number % self.webs].url + path

    def hosts(self) -> list[str]:
        """Where the webs listen."""
        return [web.url.removeprefix("http://") for web in self._web]

    def client(self) -> redis.Redis:
        """A connection for looking."""
        return self.server.client()

    def ledger(self) -> Ledger:
        """The ledger, for looking and for resuming."""
        return make_ledger(self.settings, self.client())

    def strike(self, blow: Blow) -> Hit:
        """Does it, waits as long as it lasts, and undoes it; one after the other to the same target."""
        with self._locks[blow.kind.split()[0], blow.target]:
            return self._strike(blow)

    def clear_up(self) -> None:
        """Ends all that makes the other sides fail, as after a long day: what is open now can be finished."""
        for side in (self.sandbox.twilio, self.sandbox.slack, self.sandbox.slack_api, self.sandbox.receiver):
            side.normal()
            side.faults(0)
        self.resume_holds()

    def resume_holds(self) -> None:
        """What an operator does when a destination that was gone is back."""
        ledger = self.ledger()
        for hold in ledger.holds():
            if hold.until is None:
                ledger.resume(hold.lane)

    def started_jobs(self) -> int:
        """How many jobs RQ takes to be running; those of killed workers too, until their time is over."""
        with self.client() as client:
            return sum(cast(int, client.zcard(f"rq:wip:{queue}")) for queue in QUEUES)

    def stop(self) -> list[str]:
        """SIGTERM to every web and worker. Returns what did not end as it should."""
        notes = [self._ended(process) for process in (*self._web, *self._worker)]
        return [note for note in notes if note]

    def abandon(self) -> NoReturn:
        """Leaves nothing running and ends this process, whatever its threads wait for."""
        self._stack.close()
        os._exit(130)

    def _strike(self, blow: Blow) -> Hit:
        began = time.time()
        deeds: Mapping[str, Callable[[Blow], Hit | str | None]] = {
            "worker killed": self._kill_worker,
            "worker terminated": self._terminate_worker,
            "web killed": self._kill_web,
            "web process killed": self._kill_web_process,
            "web terminated": self._terminate_web,
            "redis killed": self._kill_redis,
            "redis stopped": self._stop_redis,
        }
        result = deeds.get(blow.kind, self._turn_off)(blow)
        if isinstance(result, Hit):
            return result
        return Hit(blow, began, time.time(), result or "")

    def _kill_worker(self, blow: Blow) -> Hit:
        worker = self._worker[blow.target]
        worker.kill()
        began = time.time()
        held = self._in_hand(worker.pid)
        time.sleep(blow.lasts)
        self._worker[blow.target] = self._new_worker(worker.cwd)
        return Hit(blow, began, time.time(), held=held)

    def _terminate_worker(self, blow: Blow) -> str:
        worker = self._worker[blow.target]
        if blow.manner != "once":
            worker.send(signal.SIGTERM)
            time.sleep(0.1)
        note = self._ended(worker)
        time.sleep(blow.lasts)
        self._worker[blow.target] = self._new_worker(worker.cwd)
        return note

    def _kill_web(self, blow: Blow) -> None:
        self._web[blow.target].kill()
        time.sleep(blow.lasts)
        self._web[blow.target] = self._new_web()

    def _kill_web_process(self, blow: Blow) -> None:
        children = psutil.Process(self._web[blow.target].pid).children()
        if children:
            children[int(blow.at * 1000) % len(children)].kill()

    def _terminate_web(self, blow: Blow) -> str:
        note = self._ended(self._web[blow.target])
        time.sleep(blow.lasts)
        self._web[blow.target] = self._new_web()
        return note

    def _kill_redis(self, blow: Blow) -> None:
        self.server.kill()
        time.sleep(blow.lasts)
        self.server.start()

    def _stop_redis(self, blow: Blow) -> None:
        self.server.pause()
        time.sleep(blow.lasts)
        self.server.go_on()

    def _turn_off(self, blow: Blow) -> None:
        sides: tuple[ServiceControl, ...] = {
            "twilio off": (self.sandbox.twilio,),
            "slack off": (self.sandbox.slack, self.sandbox.slack_api),
            "webhook off": (self.sandbox.receiver,),
        }[blow.kind]
        answer = {
            "unavailable": answers.status(503),
            "reset": answers.reset(),
            "hang": answers.hang(),
            "credentials": answers.unauthorized(),
            "gone": answers.status(410),
        }[blow.manner]
        for side in sides:
            side.always(answer)
        time.sleep(blow.lasts)
        for side in sides:
            side.normal()
        if blow.manner == "gone":
            self._resume()
            time.sleep(self.settings.http_total_timeout)
            self._resume()  # an answer from before may have held it again

    def _resume(self) -> None:
        try:
            self.resume_holds()
        except LedgerUnavailable:
            pass  # resumed at the end

    def _ended(self, process: Process) -> str:
        """SIGTERM and what is wrong about how it ended; empty when nothing is."""
        try:
            code = process.stop(seconds=self.settings.shutdown_grace + 10)
        except AssertionError:
            return f"{process.log.stem} did not stop"
        # -SIGTERM: it was told while it still started, and had begun nothing.
        return "" if code in (0, -signal.SIGTERM) else f"{process.log.stem} stopped with {code}"

    def _in_hand(self, pid: int) -> tuple[tuple[str, str, int], ...]:
        """The attempts that a dead worker left unfinished, by RQ's registry of started jobs and the rows."""
        try:
            with self.client() as client:
                return tuple(in_hand(client, pid=pid, prefix=self.settings.redis_prefix))
        except redis.RedisError:
            return ()  # Redis is away at the same time: this death is not measured

    def _new_web(self) -> Web:
        return Web(env=self.env, log=self._new_log("web")).start()

    def _new_worker(self, cwd: Path) -> Process:
        if cwd == ROOT:
            return Worker(env=self.env, log=self._new_log("worker")).start()
        return Process([sys.executable, "worker.py"], env=self.env, log=self._new_log("old-worker"), cwd=cwd).start()

    def _new_log(self, name: str) -> Path:
        self._started += 1
        return self.folder / f"{name}-{self._started}.log"

    def _kill_all(self) -> None:
        for process in (*self._web, *self._worker):
            process.kill()


def in_hand(client: redis.Redis, *, pid: int, prefix: str) -> Iterator[tuple[str, str, int]]:
    """Room SID, step and attempt of what the worker with this process id holds, running or about to."""
    workers = [key.decode() for key in cast(set[bytes], client.smembers("rq:workers"))]
    own = next((key.removeprefix("rq:worker:") for key in workers if client.hget(key, "pid") == b"%d" % pid), "")
    started = [cast(list[bytes], client.zrange(f"rq:wip:{queue}", 0, -1)) for queue in QUEUES]
    holder = dict(entry.decode().split(":") for entries in started for entry in entries)
    for job in [job for job, worker in holder.items() if worker == own]:
        sid, *rest = job.split("-")
        row = texts(cast(dict[bytes, bytes], client.hgetall(f"{prefix}room:{sid}")))
        for step in ("summary", "participants", "slack", "slack_app", "webhook"):
            state, attempt = row.get(f"{step}.state"), row.get(f"{step}.attempt", "0")
            is_taken = state == "queued" and rest == [step, attempt]
            # The step that follows another in the same job has no entry of its own.
            is_running = state == "running" and holder.get(f"{sid}-{step}-{attempt}", own) == own
            if is_taken or is_running:
                yield sid, step, int(attempt)


class Worktree:
    """Another commit of this repository, checked out beside this one while the run lasts."""

    def __init__(self, revision: str, folder: Path) -> None:
        self.revision = revision
        self.folder = folder

    def __enter__(self) -> Self:
        self._git("worktree", "add", "--detach", str(self.folder), self.revision)
        return self

    def __exit__(self, *_: object) -> None:
        self._git("worktree", "remove", "--force", str(self.folder))

    def _git(self, *arguments: str) -> None:
        subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True)
