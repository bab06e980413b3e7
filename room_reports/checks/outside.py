"""Checks of the other sides: Twilio, the destinations, and the way in from Twilio."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlsplit

from room_reports.checks import Check
from room_reports.errors import Configuration, Failure, Transient
from room_reports.insights import InsightsClient
from room_reports.slack_api import SCOPES, SlackApi
from room_reports.transport import Transport, redact_url

SCOPES_PAGE = "docs/features.md, A message when the room ends"


def twilio_check(insights: InsightsClient, *, account_sid: str, may_be_away: bool = False) -> Check:
    """Whether Twilio takes the credentials, and whether they are this account's. One cheap request.

    `may_be_away`: a Twilio that cannot be asked is a warning, for a release that must not depend on it.
    """
    try:
        listed = insights.some_account()
    except Configuration as failure:
        remedy = "check TWILIO_API_KEY and TWILIO_API_SECRET, or without them the first TWILIO_AUTH_TOKEN"
        if failure.reason == "private_address":
            remedy = "check TWILIO_INSIGHTS_URL and the DNS here; the sandbox needs ALLOW_PRIVATE_DESTINATIONS=1"
        return Check("twilio", "fail", str(failure), remedy)
    except Failure as failure:
        found = away("twilio", failure)
        return replace(found, level="warn") if may_be_away else found
    if listed is not None and listed.lower() != account_sid.lower():
        message = "the credentials are another account's than TWILIO_ACCOUNT_SID"
        return Check("twilio", "fail", message, "use an API key or auth token of the account whose rooms are reported")
    return Check("twilio", "ok", "the credentials work")


def destination_check(transport: Transport, variable: str, url: str) -> Check:
    """Whether a destination's host can be reached: asks for its root, whatever the answer. Sends no message."""
    name = variable.removesuffix("_URL").lower().replace("_", " ")
    parts = urlsplit(url)
    try:
        transport.get(f"{parts.scheme}://{parts.netloc}/")
    except Configuration as failure:
        remedy = f"check {variable} and the DNS here; if it is meant, set ALLOW_PRIVATE_DESTINATIONS=1"
        return Check(name, "fail", str(failure), remedy)
    except Transient as failure:
        if failure.reason in ("too_large", "truncated"):
            return Check(name, "ok", f"{redact_url(url)} answers")
        return away(name, failure)
    return Check(name, "ok", f"{redact_url(url)} answers")


def slack_app_check(api: SlackApi, *, channel: str, place: str) -> Check:
    """Whether Slack takes the bot token, and shows the app the messages of its channel. Sends no message.

    `place`: where `DESTINATIONS_FILE` has them, empty for those of variables.
    """
    name = place or "slack app"
    its_token, its_channel = (f"{place}.token", f"{place}.channel") if place else ("SLACK_BOT_TOKEN", "SLACK_CHANNEL")
    try:
        who, scopes = api.test()
        api.get("conversations.history", {"channel": channel, "limit": "1", "include_all_metadata": "true"})
    except Configuration as failure:
        if failure.reason == "gone":
            remedy = f"check {its_channel}, and invite the app there: /invite @its-name"
        elif failure.reason == "private_address":
            remedy = "check SLACK_API_URL and the DNS here; the sandbox needs ALLOW_PRIVATE_DESTINATIONS=1"
        else:
            remedy = f"check {its_token} and its scopes ({SCOPES_PAGE}); reinstall the app"
        return Check(name, "fail", str(failure), remedy)
    except Failure as failure:
        return away(name, failure)
    if scopes is not None and (missing := sorted(SCOPES - scopes)):
        remedy = f"add it ({SCOPES_PAGE}), then reinstall the app"
        return Check(name, "fail", f"its token lacks {' and '.join(missing)}", remedy)
    return Check(name, "ok", f"{who.get('user', 'the app')} of {who.get('team', 'the workspace')} reads {channel}")


def public_url_check(transport: Transport, *, public_base_url: str | None, trusted_proxies: int) -> Check:
    """Whether the URL that signatures are checked against can be the one Twilio calls."""
    name = "public url"
    if public_base_url is None:
        if trusted_proxies:
            return Check(name, "ok", f"what the request says through {trusted_proxies} trusted proxies")
        message = "what the request itself says: behind a proxy or TLS no signature will verify"
        return Check(name, "warn", message, "set PUBLIC_BASE_URL to the scheme and host that Twilio calls")
    parts = urlsplit(public_base_url)
    if parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1"):
        message = f"{public_base_url} is not https: what Twilio sends can be read on the way"
        return Check(name, "warn", message, "use https, at Twilio and in PUBLIC_BASE_URL")
    try:
        status = transport.get(f"{public_base_url}/healthz").status
    except Failure as failure:
        message = f"{public_base_url} cannot be reached from here ({failure})"
        return Check(name, "warn", message, "Twilio must reach it: check DNS, proxy, certificate; try from outside")
    if status != 200:
        message = f"{public_base_url}/healthz answers {status}, so another service may be there"
        return Check(name, "warn", message, "check PUBLIC_BASE_URL, and where the proxy leads")
    return Check(name, "ok", f"{public_base_url} leads to a healthy web process")


def away(name: str, failure: Failure) -> Check:
    """Another side that cannot be reached, or does not answer as it should at the moment."""
    if failure.reason in ("dns", "connection", "tls"):
        remedy = {
            "dns": "check the host name in the settings and the DNS here",
            "connection": "check the address in the settings, firewalls, and whether HTTPS_PROXY is needed",
            "tls": "check the certificate there; for an internal authority set TLS_CA_FILE",
        }[failure.reason]
        return Check(name, "fail", str(failure), remedy)
    if isinstance(failure, Transient):
        return Check(name, "warn", str(failure), "it may pass: attempts are repeated; if it stays, ask them")
    return Check(name, "fail", str(failure), "check the URL in the settings")
