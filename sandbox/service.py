"""What the fake services have in common: scripts, switches, random faults, latency and history."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sandbox.answers import Answer, normal
from sandbox.history import Exchange, History
from sandbox.http import Reply, Request
from sandbox.options import Options

ANY = "*"
NORMAL = normal()
SILENT = frozenset({"reset", "hang"})


@dataclass(slots=True)
class Outcome:
    """What a service makes of a request by itself, before anything scripted changes it."""

    status: int
    body: bytes
    content_type: str
    accepted: bool = False
    headers: Mapping[str, str] | None = None
    room_sid: str | None = None
    message_id: str | None = None
    verified: bool | None = None
    note: str = ""


class Script:
    """Answers in turn, each as often or as long as it says."""

    def __init__(self, answers: Iterable[Answer]) -> None:
        self._answers = deque(answers)
        self._used = 0
        self._since = 0.0

    def next(self, now: float) -> Answer | None:
        """The answer to give at `now` (seconds), None when the script is over."""
        while self._answers:
            answer = self._answers[0]
            if not self._used:
                self._since = now
            if not self._is_used_up(answer, now):
                self._used += 1
                return answer
            self._answers.popleft()
            self._used = 0
        return None

    def _is_used_up(self, answer: Answer, now: float) -> bool:
        if answer.seconds is not None:
            return now - self._since > answer.seconds
        return answer.times is not None and self._used >= answer.times


class Behaviour:
    """Which answer a request gets: the switch, else the script of its key, else the common script, else chance."""

    def __init__(self) -> None:
        self.always: Answer | None = None
        self.latency = 0.0
        self.spread = 0.0
        self._scripts: dict[str, Script] = {}
        self._rate = 0.0
        self._faults: Sequence[Answer] = ()
        self._draw = random.Random(0)
        self._pace = random.Random(0)

    def script(self, key: str, answers: Iterable[Answer]) -> None:
        """Replace the script under `key`."""
        self._scripts[key] = Script(answers)

    def faults(self, rate: float, answers: Sequence[Answer], seed: int) -> None:
        """Draw from `answers` for that share of the requests nothing else is scripted for."""
        self._rate, self._faults, self._draw = rate, answers, random.Random(seed)

    def wait(self) -> float:
        """Seconds to hold the next answer back: around `latency`, by up to the share `spread` of it."""
        return self.latency * self._pace.uniform(1 - self.spread, 1 + self.spread)

    def choose(self, key: str, now: float) -> Answer:
        """The answer for the next request with this key."""
        if self.always is not None:
            return self.always
        for name in (key, ANY):
            if script := self._scripts.get(name):
                answer = script.next(now)
                if answer is not None:
                    return answer
                del self._scripts[name]
        if self._rate and self._draw.random() < self._rate:
            return self._draw.choice(self._faults)
        return NORMAL


class Service(ABC):
    """A fake service. `options` is asked anew each time, because they can change while it runs."""

    def __init__(self, options: Callable[[], Options]) -> None:
        self._options = options
        self.behaviour = Behaviour()
        self.history = History()

    def reset(self) -> None:
        """Forget everything but the options."""
        self.behaviour = Behaviour()
        self.history = History()

    def handle(self, request: Request) -> Reply:
        """Answer a request and keep what happened."""
        if self.admits(request):
            answer = self.behaviour.choose(self.key(request), request.at)
        else:
            answer = self.behaviour.always or NORMAL
        outcome = self.respond(request, answer)
        if answer.status is not None:
            self._override(outcome, answer, answer.status, request)
        self._keep(request, outcome, answer)
        return Reply(
            outcome.status,
            {
                "Content-Type": outcome.content_type,
                **self.headers(request),
                **(outcome.headers or {}),
                **answer.headers,
            },
            outcome.body,
            manner=answer.manner,
            pace=answer.pace,
            size=answer.size,
            delay=answer.delay + self.behaviour.wait(),
        )

    def admits(self, request: Request) -> bool:
        """Whether the request gets so far that a script is asked."""
        return True

    @abstractmethod
    def key(self, request: Request) -> str:
        """The script the request belongs to."""

    @abstractmethod
    def respond(self, request: Request, answer: Answer) -> Outcome:
        """What the service says by itself, with `answer.fields` put into it where it serves data."""

    @abstractmethod
    def body_for(self, status: int, request: Request) -> tuple[bytes, str]:
        """The body the vendor sends with a status, and its content type."""

    def headers(self, request: Request) -> Mapping[str, str]:
        """Headers of every response."""
        return {}

    def _override(self, outcome: Outcome, answer: Answer, status: int, request: Request) -> None:
        """Say what is scripted instead; what was found out about the request stays."""
        outcome.accepted = outcome.accepted and 200 <= status < 300
        outcome.status, outcome.headers, outcome.note = status, None, outcome.note or "scripted"
        outcome.body, outcome.content_type = self.body_for(status, request)
        if answer.body is not None:
            outcome.body = answer.body.encode()

    def _keep(self, request: Request, outcome: Outcome, answer: Answer) -> None:
        full = self._options().history == "full"
        self.history.add(
            Exchange(
                at=request.at,
                method=request.method,
                path=request.path,
                status=None if answer.manner in SILENT else outcome.status,
                accepted=outcome.accepted and answer.accepted,
                room_sid=outcome.room_sid,
                message_id=outcome.message_id,
                verified=outcome.verified,
                note=outcome.note if answer.manner == "whole" else answer.manner,
                headers=request.headers if full else None,
                body=request.body.decode("utf-8", "replace") if full else None,
            )
        )
