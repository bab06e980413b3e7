"""`flask version`: what runs here, the same answer as `/__version__`."""

from __future__ import annotations

import click

from room_reports.cli.terminal import print_json
from room_reports.web.health import VERSION_FILE, read_version


@click.command(epilog="\b\nExample:\n  flask version --json")
@click.option("--json", "as_json", is_flag=True, help="JSON for machines: also commit, source and build, where known.")
def version(as_json: bool) -> None:
    """Say which version of Room Reports this is."""
    known = read_version(VERSION_FILE)
    if as_json:
        print_json(known)
    else:
        click.echo(f"room-reports {known['version']}" + (f" ({known['commit']})" if known["commit"] else ""))
