"""`python -m sandbox`: serve until ended, after one line of JSON with the URLs once it is ready."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from dataclasses import replace

from sandbox.control import Control
from sandbox.http import Connection
from sandbox.options import Options


def main() -> None:
    """Read the command line and serve."""
    arguments = _parser().parse_args()
    asyncio.run(_serve(arguments, _options(arguments)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    parser.add_argument("--callback-url", help="where status callbacks are posted")
    parser.add_argument("--public-url", help="what is signed, when a proxy lies between")
    parser.add_argument("--slack-rate", type=float, help="messages a second a Slack webhook takes, 0 for no limit")
    parser.add_argument("--history", choices=("full", "brief"), help="brief: no headers, no bodies")
    parser.add_argument("--options", default="{}", help="any options as JSON; the flags above come on top")
    parser.add_argument("--exit-with-stdin", action="store_true", help="end when standard input is closed")
    return parser


def _options(arguments: argparse.Namespace) -> Options:
    flags = {name: getattr(arguments, name) for name in ("callback_url", "public_url", "slack_rate", "history")}
    given = {name: value for name, value in flags.items() if value is not None}
    return replace(Options.from_json(json.loads(arguments.options)), **given)


async def _serve(arguments: argparse.Namespace, options: Options) -> None:
    loop, ended, control = asyncio.get_running_loop(), asyncio.Event(), Control(options)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    if arguments.exit_with_stdin:
        loop.add_reader(sys.stdin, ended.set)
    server = await loop.create_server(lambda: Connection(control.handle), arguments.host, arguments.port, backlog=4096)
    port = server.sockets[0].getsockname()[1]
    print(json.dumps({**control.urls(f"{arguments.host}:{port}"), "pid": os.getpid()}), flush=True)
    await ended.wait()
    server.close()


if __name__ == "__main__":
    main()
