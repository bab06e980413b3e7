"""`flask simulate`: a signed status callback to a running copy, as Twilio would send it."""

from __future__ import annotations

import secrets
import sys
from datetime import UTC, datetime
from urllib.parse import urlencode, urlsplit

import click

from config.loading import load_or_exit
from config.settings import Settings
from room_reports.callbacks import ROOM_ENDED
from room_reports.cli.desk import speak_plainly
from room_reports.cli.terminal import ROOM_SID
from room_reports.errors import Failure
from room_reports.service import make_transport
from room_reports.signatures import sign
from room_reports.web.receiving import PATH
from room_reports.words import clean, roughly


@click.command(
    epilog="""\b
Examples:
  flask simulate                                   an invented room, to the copy on this machine
  flask simulate --room RM0123456789abcdef0123456789abcdef
  flask simulate --url https://reports.example.com/twilio/rooms"""
)
@click.option("--url", help=f"The callback URL of the copy. Default: http://127.0.0.1:PORT{PATH}")
@click.option("--room", "sid", type=ROOM_SID, metavar="SID", help="One of your rooms. Default: an invented one.")
@click.option("--name", default="simulated room", show_default=True, help="The room's name.")
def simulate(url: str | None, sid: str | None, name: str) -> None:
    """Send a signed status callback to a running copy, which must have the same settings.

    It is signed for PUBLIC_BASE_URL when that is set, whatever --url is. The copy takes it for genuine: it fetches the
    summary and delivers a report.
    """
    settings = load_or_exit()
    speak_plainly(settings)
    target = url or f"http://127.0.0.1:{settings.port}{PATH}"
    if urlsplit(target).scheme not in ("http", "https") or not urlsplit(target).hostname:
        raise click.BadParameter("must be the whole URL, beginning with http:// or https://", param_hint="--url")
    room_sid = sid or f"RM{secrets.token_hex(16)}"
    status = send(settings, target, parameters(settings, room_sid, name))
    click.echo(f"{room_sid}: answered {status}")
    if not 200 <= status < 300:
        click.echo(f"Refused. {explanation(status)}", err=True)
        sys.exit(1)
    if sid is None:
        patience = roughly(settings.summary_deadline)
        click.echo(f"Twilio does not know an invented room: its report is partial, after {patience}; the sandbox does.")
    click.echo(f"flask rooms show {room_sid}")


def parameters(settings: Settings, room_sid: str, name: str) -> dict[str, str]:
    """The parameters of a room that ended just now."""
    return {
        "RoomStatus": "completed",
        "RoomType": "group",
        "RoomSid": room_sid,
        "RoomName": name,
        "RoomDuration": "60",
        "SequenceNumber": "5",
        "StatusCallbackEvent": ROOM_ENDED,
        "Timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "AccountSid": settings.twilio_account_sid,
    }


def send(settings: Settings, target: str, params: dict[str, str]) -> int:
    """Posts the signed form and returns the status of the answer."""
    parts = urlsplit(target)
    signed = target.partition("#")[0]
    if settings.public_base_url is not None:
        signed = settings.public_base_url + parts.path + (f"?{parts.query}" if parts.query else "")
    token = settings.twilio_auth_token[0].get_secret_value()
    headers = {
        "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8",
        "X-Twilio-Signature": sign(token, url=signed, params={name: [value] for name, value in params.items()}),
    }
    # The copy is usually on this machine.
    transport = make_transport(settings.model_copy(update={"allow_private_destinations": True}))
    try:
        return transport.post(target, urlencode(params).encode(), headers=headers).status
    except Failure as failure:
        raise click.ClickException(f"{clean(target)} cannot be reached: {failure}") from None


def explanation(status: int) -> str:
    """What the status of a refusal usually means."""
    if status == 403:
        return "Its TWILIO_AUTH_TOKEN, TWILIO_ACCOUNT_SID or PUBLIC_BASE_URL is another than here; its log says more."
    if status == 404:
        return f"There is no such path: callbacks go to {PATH}."
    if status == 503:
        return "It cannot reach its Redis: flask doctor"
    return "Its log says why."
