"""The types of settings that are URLs: what each must look like, and what is said when it does not.

No message repeats the value: what was typed into the wrong variable may be a secret, and most of these hold one.
"""

from __future__ import annotations

import ipaddress
import re
import string
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, SecretStr, ValidationInfo

from config.fields import wrong
from config.sentinel import SCHEMES, is_sentinel_url, parse_sentinel_url

REDIS_SCHEMES = ("redis", "rediss", "unix")
SLACK_WEBHOOK_HOSTS = frozenset({"hooks.slack.com", "hooks.slack-gov.com"})
SLACK_API_HOSTS = frozenset({"slack.com", "slack-gov.com"})


def _is_slack_webhook(value: SecretStr, info: ValidationInfo) -> SecretStr:
    if _slack(value.get_secret_value(), SLACK_WEBHOOK_HOSTS, info).path in ("", "/"):
        raise wrong("has no path: copy the whole URL that Slack shows")
    return value


def _slack_api(text: str, info: ValidationInfo) -> str:
    _slack(text, SLACK_API_HOSTS, info)
    return _base(text)


def _slack(text: str, hosts: frozenset[str], info: ValidationInfo) -> SplitResult:
    """A URL at one of these hosts; at any where private destinations are allowed, as in the sandbox."""
    url = _confidential(text, info)
    if url.hostname not in hosts and not _allows_private(info):
        raise wrong(f"the host must be {' or '.join(sorted(hosts))} (the sandbox: ALLOW_PRIVATE_DESTINATIONS=1)")
    return url


def _is_endpoint(value: SecretStr, info: ValidationInfo) -> SecretStr:
    _confidential(value.get_secret_value(), info)
    return value


def _api(text: str, info: ValidationInfo) -> str:
    _confidential(text, info)
    return _base(text)


def _confidential(text: str, info: ValidationInfo) -> SplitResult:
    """A URL that secrets are sent to: https, except to the machine itself or where private destinations are allowed."""
    url = _http(text)
    if url.scheme == "http" and not (_is_loopback(url.hostname or "") or _allows_private(info)):
        raise wrong("must begin with https://: what is sent there is confidential")
    return url


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _allows_private(info: ValidationInfo) -> bool:
    """What the settings say; they have it at hand, and `DESTINATIONS_FILE` is read in its context."""
    return bool((info.context or info.data).get("allow_private_destinations"))


def _base(text: str) -> str:
    if _http(text).query:
        raise wrong("a base URL has no query")
    return text.rstrip("/")


def _leads_to_a_room(text: str) -> str:
    try:
        places = [name for _, name, _, _ in string.Formatter().parse(text) if name is not None]
    except ValueError:
        places = []
    if places != ["room_sid"]:
        raise wrong("must hold {room_sid} once, and no other braces")
    _http(text.replace("{room_sid}", "RM"))
    return text


def _http(text: str) -> SplitResult:
    """A URL with a host, and without user, password or fragment."""
    url = _parts(text)
    if url.scheme not in ("https", "http") or not url.hostname:
        raise wrong("must be a URL with https or http and a host")
    if url.username is not None or url.password is not None:
        raise wrong("must not hold a user or password")
    if "#" in text:
        raise wrong("must not hold a fragment (#…)")
    return url


def _proxy(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    url = _parts(text if "://" in text else f"http://{text}")
    if url.scheme != "http" or not url.hostname:
        raise wrong("must be a proxy spoken to in plain http (http://host:port); it still carries https")
    return SecretStr(url.geturl())


def _is_dsn(value: SecretStr) -> SecretStr:
    url = _parts(value.get_secret_value())
    if url.scheme not in ("https", "http") or not url.hostname or not url.username or not url.path.strip("/"):
        raise wrong("must be the DSN that Sentry shows: https://KEY@HOST/PROJECT")
    return value


def _redis(value: SecretStr) -> SecretStr:
    scheme, separator, place = value.get_secret_value().partition("://")
    text = scheme.lower() + separator + place  # redis-py knows small letters only
    if is_sentinel_url(text):
        _refuse_unprintable(text)
        try:
            parse_sentinel_url(text)
        except ValueError as error:
            raise wrong(f"{error} (redis+sentinel://host:port,host:port/service/db)") from None
    elif scheme.lower() in REDIS_SCHEMES:
        _check_redis(_parts(text))
    else:
        schemes = "://, ".join((*REDIS_SCHEMES, *SCHEMES))
        raise wrong(f"must begin with one of {schemes}://; Redis Cluster is not supported")
    return SecretStr(text)


def _check_redis(url: SplitResult) -> None:
    """Raises for what redis-py would stumble over, pass over without a word, or let decide of TLS."""
    if not re.fullmatch(r"(db=[0-9]{1,5})?", url.query):
        raise wrong("may have no query but ?db=NUMBER; what concerns TLS has settings of its own (REDIS_TLS_…)")
    if url.scheme == "unix" and not url.path:
        raise wrong("must name a socket: unix:///path/to/socket")
    if url.scheme != "unix" and not re.fullmatch(r"(/[0-9]{0,5})?", url.path):
        raise wrong("must end with the number of a database, or none: redis://host:6379/0")


def _parts(text: str) -> SplitResult:
    """`urlsplit`, whose own errors repeat what they were given."""
    _refuse_unprintable(text)
    try:
        url = urlsplit(text)
        _ = url.port
    except ValueError:
        raise wrong("is not a well-formed URL") from None
    return url


def _refuse_unprintable(text: str) -> None:
    """Raises for what no URL holds; `urlsplit` would drop some of it silently."""
    if not re.fullmatch(r"[\x21-\x7e]+", text):
        raise wrong("holds white space or a character outside ASCII")


BaseUrl = Annotated[str, AfterValidator(_base)]
ApiUrl = Annotated[str, AfterValidator(_api)]
"""A base URL that secrets are sent to."""

SlackApiUrl = Annotated[str, AfterValidator(_slack_api)]
ConsoleUrl = Annotated[str, AfterValidator(_leads_to_a_room)]

SlackWebhookUrl = Annotated[SecretStr, AfterValidator(_is_slack_webhook)]
EndpointUrl = Annotated[SecretStr, AfterValidator(_is_endpoint)]
ProxyUrl = Annotated[SecretStr, AfterValidator(_proxy)]
SentryDsn = Annotated[SecretStr, AfterValidator(_is_dsn)]
RedisUrl = Annotated[SecretStr, AfterValidator(_redis)]
