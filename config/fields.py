"""The types of settings: what a value must look like, and what is said when it does not.

No message repeats the value: what was typed into the wrong variable may be a secret.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from datetime import time
from decimal import Decimal
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_core import PydanticCustomError

MINUTE = 60.0
HOUR = 60 * MINUTE
DAY = 24 * HOUR
TWILIO_KEEPS = 7 * DAY
SHORTEST_PASSWORD = 12
SLACK_HOSTS = frozenset({"hooks.slack.com", "hooks.slack-gov.com"})


def _split(value: object) -> object:
    return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value


def _time_of_day(value: object) -> object:
    if not isinstance(value, str):
        return value
    if not re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", value):
        raise wrong("must be a time of day in UTC such as 06:30")
    return time.fromisoformat(value)


def upper(value: object) -> object:
    """A text in capitals."""
    return value.upper() if isinstance(value, str) else value


def token(value: SecretStr) -> SecretStr:
    """A secret of visible ASCII characters."""
    if not re.fullmatch(r"[\x21-\x7e]+", value.get_secret_value()):
        raise wrong("holds an empty entry, white space or a character outside ASCII")
    return value


def _bot_token(value: SecretStr) -> SecretStr:
    """The token of a Slack app's bot."""
    if not token(value).get_secret_value().startswith(("xoxb-", "xoxe.xoxb-")):
        raise wrong("a bot token begins with xoxb- (OAuth & Permissions, Bot User OAuth Token)")
    return value


def _password(value: SecretStr) -> SecretStr:
    if len(value.get_secret_value()) < SHORTEST_PASSWORD:
        raise wrong(f"must have at least {SHORTEST_PASSWORD} characters: a short one can be guessed")
    return value


def _signing_secret(value: SecretStr) -> SecretStr:
    # What Heroku generates for a new app; every library of Standard Webhooks takes it as it is, as base64.
    if re.fullmatch(r"[0-9a-f]{64}", value.get_secret_value()):
        return value
    prefix, _, encoded = value.get_secret_value().partition("_")
    try:
        size = len(base64.b64decode(encoded, validate=True)) if prefix == "whsec" else 0
    except (binascii.Error, ValueError):
        size = 0
    if not 24 <= size <= 64:
        raise wrong("each secret is whsec_ followed by the base64 of 24 to 64 random bytes")
    return value


def wrong(message: str) -> PydanticCustomError:
    """A problem with one setting; the name of its variable is put in front."""
    return PydanticCustomError("setting", message)


def conflict(message: str) -> PydanticCustomError:
    """A problem between several settings; its message names them itself."""
    return PydanticCustomError("conflict", message)


Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Rate = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Price = Annotated[Decimal, Field(ge=0, le=10_000, max_digits=12, allow_inf_nan=False)]
Waits = Annotated[
    tuple[Annotated[float, Field(gt=0, le=TWILIO_KEEPS, allow_inf_nan=False)], ...],
    BeforeValidator(_split),
    Field(min_length=1),
]
TimeOfDay = Annotated[time, BeforeValidator(_time_of_day)]
Password = Annotated[SecretStr, AfterValidator(_password)]
Token = Annotated[SecretStr, AfterValidator(token)]
BotToken = Annotated[SecretStr, AfterValidator(_bot_token)]
Channel = Annotated[str, Field(pattern="^[CG][A-Z0-9]{2,20}$")]
Tokens = Annotated[tuple[Token, ...], BeforeValidator(_split), Field(min_length=1)]
SigningSecrets = Annotated[tuple[Annotated[SecretStr, AfterValidator(_signing_secret)], ...], BeforeValidator(_split)]


def slack_url(text: str, *, allow_private: bool) -> SplitResult:
    """An incoming webhook of Slack; of any host where private destinations are allowed, as in the sandbox."""
    url = confidential_url(text, allow_private=allow_private)
    if url.hostname not in SLACK_HOSTS and not allow_private:
        raise wrong(f"the host must be {' or '.join(sorted(SLACK_HOSTS))} (the sandbox: ALLOW_PRIVATE_DESTINATIONS=1)")
    if url.path in ("", "/"):
        raise wrong("has no path: copy the whole URL that Slack shows")
    return url


def confidential_url(text: str, *, allow_private: bool) -> SplitResult:
    """A URL that secrets are sent to: https, except to the machine itself or where private destinations are allowed."""
    url = base_url(text, ("https", "http"))
    if url.scheme == "http" and not (allow_private or _is_loopback(url.hostname or "")):
        raise wrong("must begin with https://: what is sent there is confidential")
    return url


def base_url(text: str, schemes: tuple[str, ...]) -> SplitResult:
    """A URL with one of these schemes and a host, and without user, password or fragment."""
    url = split_url(text)
    if url.scheme not in schemes or not url.hostname:
        raise wrong(f"must be a URL with {' or '.join(schemes)} and a host")
    if url.username is not None or url.password is not None:
        raise wrong("must not hold a user or password")
    if "#" in text:
        raise wrong("must not hold a fragment (#…)")
    return url


def split_url(text: str) -> SplitResult:
    """`urlsplit`, whose own errors repeat what they were given."""
    printable(text)
    try:
        url = urlsplit(text)
        _ = url.port
    except ValueError:
        raise wrong("is not a well-formed URL") from None
    return url


def printable(text: str) -> str:
    """The text, when it has no white space and nothing else that no URL holds; `urlsplit` would drop some silently."""
    if not re.fullmatch(r"[\x21-\x7e]+", text):
        raise wrong("holds white space or a character outside ASCII")
    return text


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
