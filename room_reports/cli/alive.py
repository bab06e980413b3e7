"""`flask worker-alive`: for a probe, is there a living worker on this machine?"""

from __future__ import annotations

import sys

import click

from room_reports import heartbeat


@click.command(epilog="The same without Flask, and faster: python -m room_reports.heartbeat [SECONDS]")
@click.option(
    "--within",
    type=click.FloatRange(min=0, min_open=True),
    default=heartbeat.LATE,
    show_default=True,
    metavar="SECONDS",
    help="How old the last sign of life may be.",
)
def worker_alive(within: float) -> None:
    """Say whether a worker lives on this machine, for a liveness probe.

    Looks at a file that the worker renews; asks neither Redis nor the network. Exit code 0: alive, 1: not.
    """
    alive, sentence = heartbeat.sign_of_life(within=within)
    click.echo(sentence)
    sys.exit(0 if alive else 1)
