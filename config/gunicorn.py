"""gunicorn's configuration: every knob that is turned, and why. `gunicorn -c config/gunicorn.py app:app`.

Reading it also checks the settings, so that the master ends with code 2 and all problems listed, instead of starting
workers that die one after the other.
"""

from __future__ import annotations

import logging
from pathlib import Path

from gunicorn.glogging import Logger  # type: ignore[import-untyped]  # gunicorn ships no types

from config.cores import keep_to_one_core
from config.loading import load_or_exit
from config.logs import configure

settings = load_or_exit()
configure(settings)


class SharedLogger(Logger):  # type: ignore[misc]  # no types
    """gunicorn's lines go where ours go, in the same form."""

    def setup(self, cfg: object) -> None:
        super().setup(cfg)
        for log in (self.error_log, self.access_log):
            log.handlers = []
        self.error_log.setLevel(logging.NOTSET)
        self.error_log.propagate = True

    def access(self, *_: object) -> None:
        """No line for each request, though Heroku turns that on for every app, by GUNICORN_CMD_ARGS: the service's own
        line says more, and this one would hold the parameters of a GET."""


bind = f"0.0.0.0:{settings.port}"

# Processes. Each answers its callbacks by itself; two, so that one can die or be busy. (A WEB_CONCURRENCY that is no
# positive number ends gunicorn before it reads this file, with a message of its own.)
workers = settings.web_concurrency

# Loaded once, before the processes are forked: they share its memory and start at once. Freezing the garbage collector
# before the fork was tried and saves nothing: the pages that are copied are those of reference counts.
preload_app = True

# Threads, because a request is mostly waiting for Redis: a slow one holds up its thread and nothing else. This worker
# hands a thread only whole requests, so clients that are slow or silent cost a socket each (see the module). What that
# costs, and what other shapes would: 32 callbacks in flight, a new connection each, workers stopped, medians of seven
# runs in turn on two cores that others used too and before each process kept to one, so only rows of one table compare:
#
#     processes and threads      accepted/s   CPU ms a callback   MB of memory (PSS) after 4,000
#     2 x 8, this worker              1,442                0.66                               70
#     2 x 2, this worker              1,168                0.78                               67
#     2 x 32, this worker             1,387                0.73                               78
#     2 x 8, gthread                  1,453                0.64
#     2 x 1, sync                     1,539                0.66
#     bare Flask 204, 2 x 8           3,190                0.33
#
# So the safety is free, fewer threads wake up more often for less, and more cost memory. Not even one process without
# threads takes much more, and there a Redis that hangs would hold up `/healthz`. Answering in the event loop itself is
# out for the same reason.
worker_class = "room_reports.web.server.CollectingWorker"
threads = 8


def post_fork(server: object, worker: object) -> None:
    """Each process keeps to a core of its own, where there are enough (see `config.cores`)."""
    keep_to_one_core(f"web-{settings.port}")


# The parser that is tested, whatever else is installed. The C parser (gunicorn_h1c) takes a tenth less CPU, but comes
# for Linux as source alone: every image would need a compiler.
http_parser = "python"

# Sockets of each process, silent and slow clients included; below the usual limit of 1,024 open files.
worker_connections = 900

# Longer than the idle time of the usual proxies (60 s): they must be the ones to close, or a request may meet a closing
# connection and come out as a 502.
keepalive = 75

# A process whose event loop says nothing for this long is replaced. No request takes nearly as long.
timeout = 30

# After SIGTERM: what requests under way get. They take two seconds at most.
graceful_timeout = 10

# The heartbeat file on a RAM disk where there is one: touching it must not wait, and other places may be read-only.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - gunicorn makes a private file there

# Twilio's URLs are shorter than 1,024 characters; a GET callback adds at most some 4,000.
limit_request_line = 8190
limit_request_fields = 64
limit_request_field_size = 8190

# No header decides the scheme or the path here; the service itself counts the proxies it trusts (TRUSTED_PROXIES).
forwarded_allow_ips = ""
secure_scheme_headers: dict[str, str] = {}
forwarder_headers = ""
proxy_protocol = "off"

# One line per outcome comes from the service; a second one per request would double the logs and say less.
accesslog = None
logger_class = SharedLogger

# A socket that lets whoever can open it command the server; nothing here uses it.
control_socket_disable = True

proc_name = "room-reports-web"
