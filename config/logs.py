"""Logging: one line per event on stdout, as JSON for machines or text for people, with every secret masked.

Our code logs with structlog, `log.info("room opened", room_sid=…)`: a constant lower-case message and its facts as
fields. What libraries log through the standard library comes out in the same form. Masking looks at the finished line,
so it covers messages, fields and tracebacks alike, and costs a few searches instead of a walk through every value. A
line that cannot be written is dropped: a full disk or a closed pipe is no reason to refuse a callback.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from types import TracebackType
from typing import Any
from urllib.parse import quote

import structlog
from structlog.typing import EventDict, Processor

from config.settings import Settings

MASK = "[secret]"

_SHORTEST_SECRET = 5
"""Masking every occurrence of a shorter one would leave nothing to read; real ones have 24 characters and more."""

# What looks like a secret, whoever's it is. The group `keep` stays, the rest is masked.
_LOOKS_SECRET = re.compile(
    r"""
      whsec_[A-Za-z0-9+/=_-]+
    | (?P<keep1>hooks\.slack(?:-gov)?\.com/)[^\s"'\\<>|)]+
    | (?P<keep2>\b(?:Basic|Bearer)[ ]+)[A-Za-z0-9+/=._~-]{8,}
    | (?P<keep3>(?:token|secret|passw(?:or)?d|api_?key|authorization)\\?["']?\s*[=:]\s*\\?["']?)
      [A-Za-z0-9+/=_.~-]{16,}
    | (?P<keep4>://)[^\s/@"'\\]*:[^\s/@"'\\]+(?=@)
    """,
    re.VERBOSE | re.IGNORECASE,
)
# One of these is in every line that `_LOOKS_SECRET` can match; most lines have none, and looking for them is cheap.
_HINTS = ("whsec_", "hooks.slack", "basic ", "bearer ", "token", "secret", "passw", "key", "authorization", "@")


def configure(settings: Settings, *, on_error: Callable[[EventDict], None] | None = None) -> None:
    """Set up logging for this process; call it once, before the first line is logged.

    `on_error` is given every line of level error and above, as it is before it is formatted and masked.
    """
    mask = masker(settings.secrets)
    output = _Output(mask)
    level = logging.getLevelNamesMapping()[settings.log_level]
    processors: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        _stamp,
        *([partial(_tell, on_error)] if on_error is not None else []),
        structlog.processors.format_exc_info,
        _text if settings.log_format == "text" else _json,
    ]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=output.named,
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers = [_Handler(output, processors)]
    root.setLevel(level)
    for name in ("gunicorn.error", "gunicorn.access"):
        # gunicorn gave these handlers of their own before it loaded the app.
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    # At DEBUG it writes every URL whole; nobody asks for that by asking for our DEBUG.
    logging.getLogger("urllib3").setLevel(max(level, logging.INFO))
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught
    threading.excepthook = lambda caught: _log_uncaught(caught.exc_type, caught.exc_value, caught.exc_traceback)


def masker(secrets: Iterable[str]) -> Callable[[str], str]:
    """A function that masks these secrets, in every spelling they take in a line, and whatever looks like one."""
    forms = {form for secret in secrets if len(secret) >= _SHORTEST_SECRET for form in _spellings(secret)}
    known = sorted(forms, key=lambda form: (-len(form), form))

    def mask(line: str) -> str:
        for form in known:
            if form in line:
                line = line.replace(form, MASK)
        lowered = line.lower()
        for hint in _HINTS:
            if hint in lowered:
                return _LOOKS_SECRET.sub(_keep, line)
        return line

    return mask


def _spellings(secret: str) -> set[str]:
    """A secret as it is, percent-encoded, inside JSON, and as Python shows it."""
    return {secret, quote(secret, safe=""), quote(secret), json.dumps(secret)[1:-1], repr(secret)[1:-1]}


def _keep(match: re.Match[str]) -> str:
    return next((kept for kept in match.groups() if kept is not None), "") + MASK


def _log_uncaught(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    """What ends a process or a thread is logged too, rather than printed with whatever secrets its message holds."""
    exc_info = (kind, error or kind(), trace)
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(*exc_info)
    elif not issubclass(kind, SystemExit):
        logging.getLogger(__name__).critical("uncaught exception", exc_info=exc_info)


def _stamp(logger: Any, method: str, event: EventDict) -> EventDict:
    """Put what every line has in front: when (UTC), how bad, what, and who says so."""
    return {
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": method,
        "event": event.pop("event"),
        "logger": logger.name or "root",
        **event,
    }


def _tell(on_error: Callable[[EventDict], None], logger: Any, method: str, event: EventDict) -> EventDict:
    if method in ("error", "critical"):
        on_error(event)
    return event


def _json(logger: Any, method: str, event: EventDict) -> str:
    try:
        return _encode(event)
    except (TypeError, ValueError):  # a key that is no string, a value that holds itself
        return json.dumps({name: value if isinstance(value, str) else repr(value) for name, value in event.items()})


# `json.dumps` would make an encoder for every line.
_encode = json.JSONEncoder(default=repr).encode


def _text(logger: Any, method: str, event: EventDict) -> str:
    """One line for people, and the traceback below it. Values as Python shows them: no name can forge a line."""
    trace = event.pop("exception", None)
    head = f"{event.pop('timestamp')} {event.pop('level'):<8} {_printable(str(event.pop('event')))}"
    fields = "".join(f" {name}={value!r}" for name, value in event.items())
    return f"{head} {fields}" + (f"\n{trace}" if trace else "")


def _printable(text: str) -> str:
    return text if text.isprintable() else repr(text)[1:-1]


class _Output:
    """Where lines go: the file descriptor of stdout, unbuffered, so that a failed write leaves nothing behind."""

    def __init__(self, mask: Callable[[str], str]) -> None:
        self._mask = mask
        self._lock = threading.Lock()
        try:
            # Not simply 1: a process started without a stdout may have anything there, a database connection too.
            self._file: int | None = sys.stdout.fileno()
        except (AttributeError, OSError, ValueError):
            self._file = None

    def named(self, name: str | None = None, *_: object) -> _Logger:
        return _Logger(self, name)

    def write(self, line: str) -> None:
        if self._file is None:
            return
        left = memoryview(self._mask(line).encode("utf-8", "backslashreplace") + b"\n")
        try:
            with self._lock:
                while left:
                    left = left[os.write(self._file, left) :]
        except OSError:
            pass  # closed, full or gone; there is nowhere to say so


class _Logger:
    """What structlog writes to: takes finished lines, whatever their level."""

    def __init__(self, output: _Output, name: str | None) -> None:
        self._output = output
        self.name = name

    def msg(self, line: str) -> None:
        self._output.write(line)

    debug = info = warning = error = critical = exception = msg


class _Handler(logging.Handler):
    """Lines of the standard library's logging, in the form of ours."""

    def __init__(self, output: _Output, processors: list[Processor]) -> None:
        super().__init__()
        self._output = output
        self._processors = processors

    def emit(self, record: logging.LogRecord) -> None:
        try:
            event: Any = {"event": record.getMessage()}
        except Exception:
            # The arguments do not fit the message. Nothing of them is shown: the standard library would print them all.
            event = {"event": "a library logged a line that cannot be formatted", "source": record.pathname}
        if record.exc_info:
            event["exc_info"] = record.exc_info
        for process in self._processors:
            event = process(record, record.levelname.lower(), event)
        self._output.write(event)
