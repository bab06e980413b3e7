"""The types of settings: what a value must look like, and what is said when it does not. Those of URLs: `config.urls`.

No message repeats the value: what was typed into the wrong variable may be a secret.
"""

from __future__ import annotations

import base64
import binascii
import re
from datetime import time
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_core import PydanticCustomError

MINUTE = 60.0
HOUR = 60 * MINUTE
DAY = 24 * HOUR
TWILIO_KEEPS = 7 * DAY
SHORTEST_PASSWORD = 12


def wrong(message: str) -> PydanticCustomError:
    """A problem with one setting; the name of its variable is put in front."""
    return PydanticCustomError("setting", message)


def conflict(message: str) -> PydanticCustomError:
    """A problem between several settings; its message names them itself."""
    return PydanticCustomError("conflict", message)


def text_in(path: str) -> str:
    """The text of a file. Raises ValueError with a reason that does not show the path: it may be a secret."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
    raise ValueError(reason)


def _split(value: object) -> object:
    return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value


Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Waits = Annotated[
    tuple[Annotated[float, Field(gt=0, le=TWILIO_KEEPS, allow_inf_nan=False)], ...],
    BeforeValidator(_split),
    Field(min_length=1),
]
Rate = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Price = Annotated[Decimal, Field(ge=0, le=10_000, max_digits=12, allow_inf_nan=False)]


def _time_of_day(value: object) -> object:
    if not isinstance(value, str):
        return value
    if not re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", value):
        raise wrong("must be a time of day in UTC such as 06:30")
    return time.fromisoformat(value)


TimeOfDay = Annotated[time, BeforeValidator(_time_of_day)]


def _in_capitals(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


LogLevel = Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], BeforeValidator(_in_capitals)]

AccountSid = Annotated[str, Field(pattern="^AC[0-9a-fA-F]{32}$")]
ApiKey = Annotated[str, Field(pattern="^SK[0-9a-fA-F]{32}$")]
Channel = Annotated[str, Field(pattern="^[CG][A-Z0-9]{2,20}$")]


def _is_token(value: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[\x21-\x7e]+", value.get_secret_value()):
        raise wrong("holds an empty entry, white space or a character outside ASCII")
    return value


Token = Annotated[SecretStr, AfterValidator(_is_token)]
Tokens = Annotated[tuple[Token, ...], BeforeValidator(_split), Field(min_length=1)]


def _is_a_bots(value: SecretStr) -> SecretStr:
    if not value.get_secret_value().startswith(("xoxb-", "xoxe.xoxb-")):
        raise wrong("a bot token begins with xoxb- (OAuth & Permissions, Bot User OAuth Token)")
    return value


BotToken = Annotated[Token, AfterValidator(_is_a_bots)]


def _is_long(value: SecretStr) -> SecretStr:
    if len(value.get_secret_value()) < SHORTEST_PASSWORD:
        raise wrong(f"must have at least {SHORTEST_PASSWORD} characters: a short one can be guessed")
    return value


Password = Annotated[SecretStr, AfterValidator(_is_long)]


def _signs(value: SecretStr) -> SecretStr:
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


SigningSecrets = Annotated[tuple[Annotated[SecretStr, AfterValidator(_signs)], ...], BeforeValidator(_split)]


def _holds_pairs(value: SecretStr) -> SecretStr:
    for pair in value.get_secret_value().split(","):
        if not re.fullmatch(r"\s*[A-Za-z0-9_-]+=[\x21-\x7e]+\s*", pair):
            raise wrong("must be name=value, several separated by commas")
    return value


Headers = Annotated[SecretStr, AfterValidator(_holds_pairs)]


def _names_queues_of_its_own(value: str) -> str:
    if value.endswith("-deliveries:"):
        raise wrong("must not end in -deliveries: so does the name of another installation's queue")
    return value


RedisPrefix = Annotated[str, Field(pattern="^[A-Za-z0-9_.:{}-]{0,63}:$"), AfterValidator(_names_queues_of_its_own)]


def _has_certificates(path: str) -> str:
    import ssl  # here, because few deploys need it

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except (OSError, ValueError):
        raise wrong("there is no file of PEM certificates at this path") from None
    return path


CaFile = Annotated[str, AfterValidator(_has_certificates)]
