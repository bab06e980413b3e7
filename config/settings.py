"""The settings: environment variables in, one frozen and checked `Settings` out, or every problem at once.

The attribute of a variable is its name in lower case. A variable that is blank counts as unset, and white space around
a value is not part of it. A secret may be kept in a file instead: `NAME_FILE` holds its path (Docker and Kubernetes
mount secrets so). Times are seconds and may have fractions. No message of this module repeats a value: what was typed
into the wrong variable may be a secret.
"""

from __future__ import annotations

import base64
import os
import re
import string
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal, NoReturn
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from config import sentinel
from config.destinations import NO_PLAN, Account, Plan, read
from config.fields import (
    DAY,
    HOUR,
    TWILIO_KEEPS,
    BotToken,
    Channel,
    Password,
    Price,
    Rate,
    Seconds,
    SigningSecrets,
    TimeOfDay,
    Token,
    Tokens,
    Waits,
    base_url,
    confidential_url,
    conflict,
    printable,
    slack_url,
    split_url,
    upper,
    wrong,
)
from config.thresholds import Thresholds, VerdictThresholds

SHORTEST_RETENTION = TWILIO_KEEPS + DAY
LEASE_MARGIN = 2.0
"""Seconds an attempt needs beside its HTTP requests: its round trips to Redis on a busy machine."""

SLACK_API_HOSTS = frozenset({"slack.com", "slack-gov.com"})
REDIS_SCHEMES = ("redis", "rediss", "unix")


class SettingsError(Exception):
    """The settings cannot work. `problems`: all of them, each as "NAME: what is wrong", none with a value in it."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class Settings(BaseModel):
    """Everything that differs between deploys.

    A field's description is its row in `docs/settings.md`: what it means, then why its default is what it is.
    A check between two settings stands at the later of them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=True)

    allow_private_destinations: bool = Field(
        default=False,
        description="Allow Twilio's URL and destinations on private, loopback or link-local addresses, plain http and "
        "any Slack host: for the sandbox, or a receiver inside your network. Off, because a URL that leads into the "
        "network the service runs in is an attack or a mistake.",
    )

    twilio_account_sid: str = Field(
        pattern="^AC[0-9a-fA-F]{32}$",
        description="The account whose rooms are reported. Callbacks of other accounts are refused, but for those in "
        "`DESTINATIONS_FILE`.",
    )
    twilio_auth_token: Tokens = Field(
        description="Checks the signature of status callbacks. While rotating: the old and the new one, separated by a "
        "comma. The first one also signs in to the REST API when there is no API key.",
    )
    twilio_api_key: str | None = Field(
        default=None,
        pattern="^SK[0-9a-fA-F]{32}$",
        description="API key for the REST API, recommended by Twilio over the auth token. Together with its secret.",
    )
    twilio_api_secret: Token | None = Field(default=None, description="The secret of `TWILIO_API_KEY`.")
    twilio_insights_url: str = Field(
        default="https://insights.twilio.com",
        description="Where summaries are fetched. The plain host serves every account, whatever region its media took.",
    )

    public_base_url: str | None = Field(
        default=None,
        description="Scheme and host that Twilio calls, e.g. `https://reports.example.com`: the signature covers it. "
        "Unset: what the request says, as seen through `TRUSTED_PROXIES`.",
    )
    trusted_proxies: int = Field(
        default=0,
        ge=0,
        le=10,
        description="Proxies in front whose `X-Forwarded-*` headers are believed (Heroku: 1). 0, because anyone can "
        "send these headers.",
    )

    destinations_file: str | None = Field(
        default=None,
        description="TOML file with more destinations, rules about which room goes where, and further accounts: see "
        "[destinations](destinations.md). Unset, every report goes to every destination.",
    )
    slack_webhook_url: SecretStr | None = Field(
        default=None,
        description="Slack incoming webhook. At least one of this, `SLACK_BOT_TOKEN` and `REPORT_WEBHOOK_URL` is "
        "needed.",
    )
    slack_template_file: str | None = Field(
        default=None,
        description="File with a template for the text of reports in Slack, by webhook and by app: see "
        "[templates](destinations.md#templates). Unset, the built-in message.",
    )
    slack_bot_token: BotToken | None = Field(
        default=None,
        description="Bot token (`xoxb-…`) of a Slack app of yours: the message is there when the room ends and is "
        "edited into the report, with what went wrong in its thread. Together with `SLACK_CHANNEL`; scopes: see "
        "[features](features.md#a-message-when-the-room-ends). Web and workers need it. Set it once all of them run a "
        "version that knows it.",
    )
    slack_channel: Channel | None = Field(
        default=None,
        description="The ID of the channel (`C…`, at the end of its details in Slack), in which the app is a member.",
    )
    slack_api_url: str = Field(
        default="https://slack.com/api",
        description="Slack's Web API; GovSlack has `https://slack-gov.com/api`.",
    )
    report_webhook_url: SecretStr | None = Field(default=None, description="Your endpoint for signed reports.")
    report_webhook_secret: SigningSecrets = Field(
        default=(),
        description="Signs the reports: a secret of Standard Webhooks (`whsec_…`), or 64 hexadecimal digits as Heroku "
        "generates them. While rotating: the new and the old one, separated by a comma; both signatures are sent.",
    )

    report_webhook_format: Literal["standard", "cloudevents"] = Field(
        default="standard",
        description="`standard`: the payload of Standard Webhooks; `cloudevents`: the same data as a CloudEvent in "
        "structured mode. Either is signed in the same headers.",
    )

    redis_url: SecretStr = Field(
        default=SecretStr("redis://localhost:6379/0"),
        description="`redis://[user:password@]host:port/db`, `rediss://…` (TLS), `unix:///path?db=0`, or, where "
        "Sentinel says which server is the master, `redis+sentinel://[user:password@]host:port,host:port/service/db` "
        "(`rediss+sentinel://`: TLS to all of them). Redis Cluster is not supported.",
    )
    redis_tls_verify: bool = Field(
        default=True,
        description="Verify the certificate of a `rediss://` server. Heroku Key-Value Store has a self-signed one and "
        "needs 0; the connection is then encrypted but could be intercepted, so every start warns.",
    )
    redis_tls_ca_file: str | None = Field(
        default=None,
        description="PEM file of the certificate authorities that Redis and its sentinels are checked against, instead "
        "of the public ones: a company's own, or a self-signed certificate itself.",
    )
    redis_tls_cert_file: str | None = Field(
        default=None,
        description="PEM file of the certificate that a Redis with `tls-auth-clients` asks of us. Together with its "
        "key, which may stand in the same file.",
    )
    redis_tls_key_file: str | None = Field(default=None, description="PEM file of its private key, without password.")
    redis_sentinel_username: str | None = Field(
        default=None, description="User at the sentinels, where they have users."
    )
    redis_sentinel_password: Token | None = Field(
        default=None,
        description="Password at the sentinels, where they ask for one; that in `REDIS_URL` is for the servers.",
    )
    redis_replicas: int = Field(
        default=0,
        ge=0,
        le=10,
        description="How many replicas must have a room before its callback is answered 2xx; fewer than that within "
        "0.4 seconds is a 503. 0, for replicas follow a moment later and a failover may lose that moment, and under "
        "Sentinel's planned one ten seconds. With all replicas that can be promoted, nothing answered 2xx is lost.",
    )
    redis_prefix: str = Field(
        default="room-reports:",
        pattern="^[A-Za-z0-9_.:{}-]{0,63}:$",
        description="In front of every key, ending in a colon. Two installations on one database need two prefixes: "
        "RQ's queue and job ids are named after it too.",
    )

    summary_waits: Waits = Field(
        default=(120.0, 180.0, 300.0, 300.0, 600.0),
        description="Pauses while Twilio's summary is not ready: the first attempt is at once, the n-th number is the "
        "pause after the n-th attempt, the last one repeats, jitter on top. Most summaries are complete within 10 "
        "minutes, some take 30, and Twilio penalises hammering a missing one, so the first pause is two minutes.",
    )
    summary_deadline: float = Field(
        default=6 * HOUR,
        gt=0,
        lt=TWILIO_KEEPS,
        allow_inf_nan=False,
        description="After this long the report goes out with what is known, marked partial. Far beyond Twilio's 30 "
        "minutes and short enough for the report to be of use; less than the 7 days Twilio keeps the data.",
    )
    delivery_waits: Waits = Field(
        default=(5.0, 30.0, 300.0, 1800.0, 7200.0),
        description="Pauses after failed deliveries, read like `SUMMARY_WAITS`: a blip costs seconds, and a receiver "
        "that comes back after days is tried within two hours.",
    )
    delivery_deadline: Seconds = Field(
        default=5 * DAY,
        description="A delivery that failed for this long becomes a dead letter. A receiver that is down over a long "
        "weekend still gets its reports.",
    )
    slack_rate: Rate = Field(
        default=1.0,
        description="Messages a second to Slack, which tolerates about one, by webhook and by app each. 0 = no limit.",
    )
    report_webhook_rate: Rate = Field(default=0.0, description="Reports a second to your endpoint. 0 = no limit.")
    console_url: str = Field(
        default="https://console.twilio.com/us1/monitor/insights/video/video-rooms/{room_sid}/participants/",
        description="The link to a room in Twilio's Console; a setting, because Twilio moves its pages.",
    )
    verdict_thresholds: VerdictThresholds = Field(
        default=Thresholds(),
        description="From how much on something is worth a verdict: `name=value` separated by commas, e.g. "
        "`many_rejoins=10,at_capacity_share=0.9`. Names, meaning and defaults: [verdicts](verdicts.md).",
    )

    participants: bool = Field(
        default=False,
        description="Fetch the participants of every room too: when they joined and left, why, errors, region, SDK. "
        "One more request to Twilio for each room, and 0.3 kB of Redis for each participant, of whom 100 are kept. Off "
        "because it is data about persons. Set it once every worker runs a version that knows it.",
    )
    participants_deadline: Seconds = Field(
        default=HOUR / 2,
        description="After this long without them the report goes out, and says that participants are missing.",
    )
    identities: Literal["hashed", "full", "none"] = Field(
        default="hashed",
        description="What is kept and sent of who participants are. `hashed`: `person-` and twelve hexadecimal digits, "
        "the same for the same identity, so that rejoins can be told; `full`: the identity as the application gave it; "
        "`none`: nothing. Hashed, because an identity is often a name or an address. Rooms keep what they were fetched "
        "with.",
    )
    identity_key: Password | None = Field(
        default=None,
        description="Key of the hashes, at least 12 characters: `openssl rand -base64 24`. Unset: made of the account "
        "SID and the first `TWILIO_AUTH_TOKEN`, so that after a rotation the same person gets another hash. Web and "
        "workers need the same.",
    )

    usual_durations: bool = Field(
        default=False,
        description="Remember how long the last 20 rooms of each name lasted, until `RETENTION` after the last: "
        "reports then say when one was much shorter or longer than the middle of at least 5 of them. Off, because it "
        "takes a further look at Redis for each room, and helps only where names are used again.",
    )
    cost_participant_minute: Price | None = Field(
        default=None,
        description="What a participant minute costs you, e.g. `0.004`: reports, the digest and the page then hold an "
        "estimate. Unset, for Twilio's prices change and yours may be other ones.",
    )
    cost_recorded_minute: Price | None = Field(
        default=None, description="The same for a recorded minute of one participant."
    )
    cost_currency: str = Field(
        default="USD", pattern="^[A-Z]{3}$", description="The currency of these two, by its code of three letters."
    )

    http_connect_timeout: Seconds = Field(
        default=5.0, description="To connect, TLS included. A host that answers at all does so within a second."
    )
    http_read_timeout: Seconds = Field(
        default=10.0, description="Longest silence of the other side. Twilio and Slack answer within a second or two."
    )
    http_total_timeout: Seconds = Field(
        default=20.0,
        description="Longest whole request, however slowly its bytes drip: inside Heroku's and Kubernetes' 30 seconds "
        "of grace, so that a deploy never cuts one.",
    )
    tls_ca_file: str | None = Field(
        default=None,
        description="PEM file of further certificate authorities to trust, e.g. of an internal receiver or an "
        "inspecting proxy. The public ones come with the service.",
    )
    https_proxy: SecretStr | None = Field(
        default=None,
        description="Proxy for https URLs, read once at start (also `https_proxy`). Behind a proxy the check for "
        "private addresses is made at start only: it is the proxy that resolves names.",
    )
    http_proxy: SecretStr | None = Field(default=None, description="The same for http URLs.")
    no_proxy: str | None = Field(
        default=None,
        description="Hosts reached directly: names, domains, addresses, networks, separated by commas, or `*`. "
        "Loopback addresses always are.",
    )

    step_lease: float = Field(
        default=60.0,
        gt=0,
        le=600,
        allow_inf_nan=False,
        description="What a step whose worker was killed waits before it runs again. Longer than an attempt can take "
        f"(two requests of `HTTP_TOTAL_TIMEOUT` and {LEASE_MARGIN:g} seconds), or it would run twice.",
    )
    dispatch_every: float = Field(
        default=1.0,
        gt=0,
        le=60,
        allow_inf_nan=False,
        description="Pause between looks at what is due: the precision of every wait. A look that finds nothing costs "
        "one round trip to Redis.",
    )
    shutdown_grace: Seconds = Field(
        default=25.0,
        description="What running attempts get to finish after SIGTERM: not less than `HTTP_TOTAL_TIMEOUT`, and less "
        "than the 30 seconds after which Heroku and Kubernetes kill.",
    )
    reconcile_every: Rate = Field(
        default=HOUR,
        description="How often Twilio is asked for rooms whose callback never arrived. 0 = never. Twilio's list is "
        "cheap but counts against the account's request limit.",
    )
    retention: float = Field(
        default=30 * DAY,
        ge=SHORTEST_RETENTION,
        allow_inf_nan=False,
        description="How long a finished room is remembered. At least 8 days: Twilio keeps data for 7, and a room that "
        "is forgotten sooner could be reported again.",
    )

    digest_at: TimeOfDay | None = Field(
        default=None,
        description="When to send the digest of the day before to each destination, `HH:MM` in UTC, e.g. `06:30`. "
        "Unset: none is sent; `flask digest` shows it all the same. Summaries take up to half an hour, so before "
        "`01:00` the day may not be complete.",
    )
    ops_password: Password | None = Field(
        default=None,
        description="Password of the page for operators, at least 12 characters: `openssl rand -base64 18`. Unset: "
        "there is no page. A new one ends every session, and so does another first `TWILIO_AUTH_TOKEN`.",
    )
    metrics_token: Token | None = Field(
        default=None,
        description="Who may read `/metrics`: whoever sends `Authorization: Bearer` and this. Unset: only clients on "
        "the same machine, and nobody where `PUBLIC_BASE_URL` or `TRUSTED_PROXIES` says that a proxy is in front, for "
        "then every client looks like one.",
    )
    sentry_dsn: SecretStr | None = Field(
        default=None,
        description="Errors are also told to Sentry, or what speaks its protocol: masked like the log, without local "
        "variables. Needs `pip install -r requirements-extras.txt`.",
    )
    otel_exporter_otlp_endpoint: str | None = Field(
        default=None,
        description="Base URL of an OpenTelemetry collector that takes OTLP over HTTP, e.g. `http://collector:4318`. "
        "A callback, its attempts and its deliveries are one trace. Needs `pip install -r requirements-extras.txt`.",
    )
    otel_exporter_otlp_headers: SecretStr | None = Field(
        default=None,
        description="Headers for the collector, `name=value` separated by commas: where it wants a key.",
    )

    worker_threads: int = Field(
        default=32,
        ge=1,
        le=1024,
        description="Attempts at once in one worker process. They nearly only wait for HTTP; 32 carry over 100 rooms a "
        "second at 200 ms and stay small.",
    )
    web_concurrency: int = Field(
        default=2, ge=1, le=64, description="Web processes. Two, so that one can be restarted; Heroku sets it."
    )
    port: int = Field(default=8000, ge=0, le=65535, description="Port of the web process. Heroku sets it.")
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], BeforeValidator(upper)] = Field(
        default="INFO", description="Least level logged. INFO is about one line per outcome."
    )
    log_format: Literal["json", "text"] = Field(
        default="json", description="`json` for machines, one object a line; `text` for people at a terminal."
    )

    @field_validator("twilio_api_secret")
    @classmethod
    def _key_and_secret_go_together(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if "twilio_api_key" in info.data and (info.data["twilio_api_key"] is None) != (value is None):
            raise conflict("TWILIO_API_KEY, TWILIO_API_SECRET: set both or neither")
        return value

    @field_validator("twilio_insights_url")
    @classmethod
    def _insights_url_is_safe(cls, value: str, info: ValidationInfo) -> str:
        if confidential_url(value, allow_private=_allows_private(info)).query:
            raise wrong("a base URL has no query")
        return value.rstrip("/")

    @field_validator("public_base_url")
    @classmethod
    def _public_base_url_is_a_base(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if base_url(value, ("https", "http")).query:
            raise wrong("a base URL has no query")
        return value.rstrip("/")

    @field_validator("slack_webhook_url")
    @classmethod
    def _slack_url_is_slacks(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is not None:
            slack_url(value.get_secret_value(), allow_private=_allows_private(info))
        return value

    @field_validator("slack_channel")
    @classmethod
    def _token_and_channel_go_together(cls, value: str | None, info: ValidationInfo) -> str | None:
        if "slack_bot_token" in info.data and (info.data["slack_bot_token"] is None) != (value is None):
            raise conflict("SLACK_BOT_TOKEN, SLACK_CHANNEL: set both or neither")
        return value

    @field_validator("slack_api_url")
    @classmethod
    def _slack_api_is_slacks(cls, value: str, info: ValidationInfo) -> str:
        url = confidential_url(value, allow_private=_allows_private(info))
        if url.hostname not in SLACK_API_HOSTS and not _allows_private(info):
            raise wrong(
                f"the host must be {' or '.join(sorted(SLACK_API_HOSTS))} (the sandbox: ALLOW_PRIVATE_DESTINATIONS=1)"
            )
        if url.query:
            raise wrong("a base URL has no query")
        return value.rstrip("/")

    @field_validator("report_webhook_url")
    @classmethod
    def _there_is_a_destination(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is not None:
            confidential_url(value.get_secret_value(), allow_private=_allows_private(info))
        elif info.data.get("destinations_file") is None and all(
            info.data.get(name, "wrong") is None for name in ("slack_webhook_url", "slack_bot_token")
        ):
            raise conflict(
                "SLACK_WEBHOOK_URL, SLACK_BOT_TOKEN, REPORT_WEBHOOK_URL: no destination, set at least one of them"
            )
        return value

    @field_validator("report_webhook_secret")
    @classmethod
    def _webhook_is_signed(cls, value: tuple[SecretStr, ...], info: ValidationInfo) -> tuple[SecretStr, ...]:
        # A secret alone does no harm: Heroku generates it before anybody knows whether there will be an endpoint.
        if info.data.get("report_webhook_url") is not None and not value:
            raise conflict("REPORT_WEBHOOK_URL, REPORT_WEBHOOK_SECRET: set both, reports are always signed")
        return value

    @field_validator("redis_url")
    @classmethod
    def _redis_url_is_supported(cls, value: SecretStr) -> SecretStr:
        text = value.get_secret_value()
        scheme = text.partition("://")[0].lower()
        if scheme in sentinel.SCHEMES:
            printable(text)
            try:
                sentinel.parse_sentinel_url(text)
            except ValueError as error:
                raise wrong(f"{error} (redis+sentinel://host:port,host:port/service/db)") from None
        elif scheme in REDIS_SCHEMES:
            split_url(text)
        else:
            schemes = "://, ".join((*REDIS_SCHEMES, *sentinel.SCHEMES))
            raise wrong(f"must begin with one of {schemes}://; Redis Cluster is not supported")
        return value

    @field_validator("redis_tls_key_file")
    @classmethod
    def _client_certificate_can_be_used(cls, value: str | None, info: ValidationInfo) -> str | None:
        certificate = info.data.get("redis_tls_cert_file")
        if value is not None and certificate is None:
            raise conflict("REDIS_TLS_KEY_FILE: set REDIS_TLS_CERT_FILE too")
        if certificate is not None:
            import ssl  # here, because few deploys need it

            try:
                # A key with a password would make OpenSSL ask for it at the terminal.
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, value, password="")
            except (OSError, ValueError):
                raise conflict(
                    "REDIS_TLS_CERT_FILE, REDIS_TLS_KEY_FILE: no certificate, or not the key to it, at these paths"
                ) from None
        return value

    @field_validator("redis_prefix")
    @classmethod
    def _queues_are_its_own(cls, value: str) -> str:
        if value.endswith("-deliveries:"):
            raise wrong("must not end in -deliveries: so does the name of another installation's queue")
        return value

    @field_validator("console_url")
    @classmethod
    def _console_url_has_its_place(cls, value: str) -> str:
        try:
            places = [name for _, name, _, _ in string.Formatter().parse(value) if name is not None]
        except ValueError:
            places = []
        if places != ["room_sid"]:
            raise wrong("must hold {room_sid} once, and no other braces")
        base_url(value.replace("{room_sid}", "RM"), ("https", "http"))
        return value

    @field_validator("http_total_timeout")
    @classmethod
    def _total_is_the_longest(cls, value: float, info: ValidationInfo) -> float:
        if value < info.data.get("http_connect_timeout", 0):
            raise wrong("must not be shorter than HTTP_CONNECT_TIMEOUT")
        return value

    @field_validator("tls_ca_file", "redis_tls_ca_file")
    @classmethod
    def _ca_file_is_there(cls, value: str | None) -> str | None:
        if value is not None:
            import ssl  # here, because few deploys need it

            try:
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(value)
            except (OSError, ValueError):
                raise wrong("there is no file of PEM certificates at this path") from None
        return value

    @field_validator("https_proxy", "http_proxy")
    @classmethod
    def _proxy_is_http(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return None
        text = value.get_secret_value()
        url = split_url(text if "://" in text else f"http://{text}")
        if url.scheme != "http" or not url.hostname:
            raise wrong("must be a proxy spoken to in plain http (http://host:port); it still carries https")
        return SecretStr(url.geturl())

    @field_validator("sentry_dsn")
    @classmethod
    def _dsn_is_a_dsn(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            url = split_url(value.get_secret_value())
            if url.scheme not in ("https", "http") or not url.hostname or not url.username or not url.path.strip("/"):
                raise wrong("must be the DSN that Sentry shows: https://KEY@HOST/PROJECT")
        return value

    @field_validator("otel_exporter_otlp_endpoint")
    @classmethod
    def _collector_is_a_base_url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if base_url(value, ("https", "http")).query:
            raise wrong("a base URL has no query")
        return value.rstrip("/")

    @field_validator("otel_exporter_otlp_headers")
    @classmethod
    def _headers_are_pairs(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            for pair in value.get_secret_value().split(","):
                if not re.fullmatch(r"\s*[A-Za-z0-9_-]+=[\x21-\x7e]+\s*", pair):
                    raise wrong("must be name=value, several separated by commas")
        return value

    @field_validator("step_lease")
    @classmethod
    def _lease_outlasts_an_attempt(cls, value: float, info: ValidationInfo) -> float:
        # Two: Slack refusing the blocks of a message gets one plain-text try in the same attempt.
        if value < 2 * info.data.get("http_total_timeout", 0) + LEASE_MARGIN:
            raise wrong(
                f"must be at least twice HTTP_TOTAL_TIMEOUT plus {LEASE_MARGIN:g} seconds, or attempts would overlap"
            )
        return value

    @field_validator("shutdown_grace")
    @classmethod
    def _grace_outlasts_a_request(cls, value: float, info: ValidationInfo) -> float:
        if value < info.data.get("http_total_timeout", 0):
            raise wrong("must not be shorter than HTTP_TOTAL_TIMEOUT, or a deploy cuts requests")
        return value

    _plan: Plan = PrivateAttr(default=NO_PLAN)

    @property
    def plan(self) -> Plan:
        """What `DESTINATIONS_FILE` says."""
        return self._plan

    @property
    def has_templates(self) -> bool:
        """Whether any message is made by a template."""
        described = self.plan.destinations.values()
        return self.slack_template_file is not None or any(getattr(one, "template", None) for one in described)

    @property
    def rest_credentials(self) -> tuple[str, str]:
        """User and password of Twilio's REST API, for the account of the variables."""
        return self.accounts[""].credentials

    @property
    def accounts(self) -> dict[str, Account]:
        """Every account whose rooms are reported, by its name; that of the variables is the first and has none."""
        first = Account.model_construct(
            sid=self.twilio_account_sid,
            auth_token=self.twilio_auth_token,
            api_key=self.twilio_api_key,
            api_secret=self.twilio_api_secret,
        )
        return {"": first, **self.plan.accounts}

    @property
    def proxies(self) -> dict[str, str]:
        """Proxy URL by scheme of the target, and `no_proxy`: what `Transport` takes."""
        return {
            scheme: url
            for scheme, url in (
                ("https", _reveal(self.https_proxy)),
                ("http", _reveal(self.http_proxy)),
                ("no_proxy", self.no_proxy),
            )
            if url
        }

    @property
    def collector_headers(self) -> dict[str, str]:
        """What to send along to the OpenTelemetry collector. Values are percent-encoded in the variable."""
        given = _reveal(self.otel_exporter_otlp_headers)
        pairs = [pair.partition("=") for pair in given.split(",")] if given else []
        return {name.strip(): unquote(value.strip()) for name, _, value in pairs}

    @property
    def outgoing_urls(self) -> dict[str, str]:
        """Every URL that requests go to, by the name of its variable or its place in `DESTINATIONS_FILE`."""
        return {
            name: url
            for name, url in (
                ("TWILIO_INSIGHTS_URL", self.twilio_insights_url),
                ("SLACK_WEBHOOK_URL", _reveal(self.slack_webhook_url)),
                ("SLACK_API_URL", self.slack_api_url if self.slack_bot_token or self.plan.slack_apps else None),
                ("REPORT_WEBHOOK_URL", _reveal(self.report_webhook_url)),
                *self.plan.urls.items(),
            )
            if url
        }

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every string that no log line may hold, the longest first so that a part never hides the whole."""
        found = {base64.b64encode(":".join(self.rest_credentials).encode()).decode()}
        found.update(value for header in self.collector_headers.values() for value in (header, header.split()[-1]))
        fields = [name for name, field in type(self).model_fields.items() if is_secret(field)]
        given = [secret for name in fields for secret in _secrets(getattr(self, name))]
        for secret in (*given, *self.plan.secrets):
            found.add(secret)
            found.update(_telling_parts(secret))
        return tuple(sorted(found, key=lambda secret: (-len(secret), secret)))


def _allows_private(info: ValidationInfo) -> bool:
    return bool(info.data.get("allow_private_destinations"))


def _reveal(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret is not None else None


def _secrets(value: SecretStr | tuple[SecretStr, ...] | None) -> list[str]:
    if value is None:
        return []
    return [secret.get_secret_value() for secret in (value if isinstance(value, tuple) else (value,))]


def _telling_parts(secret: str) -> Iterator[str]:
    """What gives a secret away without being all of it: a URL's path, query or password, the key in `whsec_`."""
    if secret.startswith("whsec_"):
        yield secret.removeprefix("whsec_")
    if "://" not in secret:
        return
    url = urlsplit(secret)
    if url.password:
        yield url.password
        yield unquote(url.password)
    elif url.username and url.scheme.startswith("http"):
        yield url.username  # the key in a DSN
    target = url.path + (f"?{url.query}" if url.query else "")
    # A short path is a word such as /receiver, and masking a word would make logs unreadable.
    if url.scheme.startswith("http") and len(target) >= 16:
        yield target
    yield from (value for _, value in parse_qsl(url.query) if len(value) >= 8)


def load(environ: Mapping[str, str]) -> Settings:
    """The settings that `environ` describes. Raises `SettingsError` with every problem at once."""
    values, problems = _collect(environ)
    plan = NO_PLAN
    if path := values.get("destinations_file"):
        others = [name for name, variable in _DESTINATIONS.items() if variable in values]
        allow_private = values.get("allow_private_destinations", "").lower() in _YES
        plan, wrong_with_it = read(
            path,
            environ,
            allow_private=allow_private,
            others=others,
            first_account=values.get("twilio_account_sid", ""),
        )
        problems += [f"DESTINATIONS_FILE: {problem}" for problem in wrong_with_it]
    try:
        settings = Settings.model_validate(values)
        settings._plan = plan
    except ValidationError as error:
        unread = {problem.partition(":")[0].removesuffix("_FILE") for problem in problems}
        found = [_problem(detail) for detail in error.errors(include_url=False, include_context=False)]
        # What could not be read is not also reported as missing.
        problems += [problem for problem in found if unread.isdisjoint(re.findall(r"[A-Z_]+", problem))]
    # Outside of the except clause: the validation error holds what was typed and must not travel as the cause.
    if problems:
        raise SettingsError(problems)
    return settings


_DESTINATIONS = {"slack": "slack_webhook_url", "slack_app": "slack_bot_token", "webhook": "report_webhook_url"}
"""The destinations that variables describe, by name, each with the variable that has it."""

_YES = frozenset({"1", "on", "t", "true", "y", "yes"})
"""What pydantic takes for true."""


def _collect(environ: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """The raw value of every field that is set, and what was wrong with getting at them."""
    values: dict[str, str] = {}
    problems: list[str] = []
    for name, field in Settings.model_fields.items():
        variable = name.upper()
        value = environ.get(variable, "").strip()
        if not value and name.endswith("_proxy"):
            value = environ.get(name, "").strip()  # the spelling that most tools know
        path = environ.get(f"{variable}_FILE", "").strip() if is_secret(field) else ""
        if path and value:
            problems.append(f"{variable}: set either {variable} or {variable}_FILE, not both")
        elif path:
            try:
                value = Path(path).read_text(encoding="utf-8").strip()
            except (OSError, ValueError) as error:
                # The path is not shown: a secret pasted into the wrong variable looks like one.
                reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
                problems.append(f"{variable}_FILE: cannot read the file it names ({reason})")
                continue
            if not value:
                problems.append(f"{variable}_FILE: the file it names is empty")
        if value:
            values[name] = value
    return values, problems


def _problem(detail: ErrorDetails) -> str:
    if detail["type"] == "conflict":
        return detail["msg"]
    if detail["type"] == "missing":
        return f"{_variable(detail)}: not set, and there is no default"
    message = detail["msg"]
    return f"{_variable(detail)}{_place_in(detail)}: {message[0].lower()}{message[1:]}"


def _place_in(detail: ErrorDetails) -> str:
    """Which part of a setting with several."""
    if len(detail["loc"]) < 2:
        return ""
    part = detail["loc"][1]
    if isinstance(part, int):
        return f" (entry {part + 1})"
    return f" ({part})" if part in Thresholds.model_fields else ""


def _variable(detail: ErrorDetails) -> str:
    return str(detail["loc"][0]).upper()


def load_or_exit() -> Settings:
    """The settings of this process; says on stderr what is wrong and exits with 2 when they cannot work."""
    try:
        return load(os.environ)
    except SettingsError as error:
        exit_with(error.problems)


def exit_with(problems: list[str]) -> NoReturn:
    """Says on stderr what is wrong with the settings and exits with 2."""
    print("room-reports cannot start: the settings need attention", file=sys.stderr)
    for problem in problems:
        print(f"  - {problem}", file=sys.stderr)
    print("Every setting is described in docs/settings.md", file=sys.stderr)
    sys.exit(2)


def is_secret(field: FieldInfo) -> bool:
    """Whether a field of `Settings` is a secret, which may also come from `NAME_FILE`."""
    return "SecretStr" in str(field.annotation)
