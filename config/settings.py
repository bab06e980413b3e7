"""The settings: every variable with its type, its default and its reason, and what must hold between two of them.

`config.loading` reads them. Times are seconds and may have fractions. No message of this module repeats a value: what
was typed into the wrong variable may be a secret.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, SecretStr, ValidationInfo, field_validator
from pydantic.fields import FieldInfo

from config.destinations import NO_PLAN, Account, Plan, SlackChannel
from config.fields import (
    DAY,
    HOUR,
    TWILIO_KEEPS,
    AccountSid,
    ApiKey,
    BotToken,
    CaFile,
    Channel,
    Headers,
    LogLevel,
    Password,
    Price,
    Rate,
    RedisPrefix,
    Seconds,
    SigningSecrets,
    TimeOfDay,
    Token,
    Tokens,
    Waits,
    conflict,
    wrong,
)
from config.thresholds import Thresholds, VerdictThresholds
from config.urls import (
    ApiUrl,
    BaseUrl,
    ConsoleUrl,
    EndpointUrl,
    ProxyUrl,
    RedisUrl,
    SentryDsn,
    SlackApiUrl,
    SlackWebhookUrl,
)

SHORTEST_RETENTION = TWILIO_KEEPS + DAY
LEASE_MARGIN = 2.0
"""Seconds an attempt needs beside its HTTP requests: its round trips to Redis on a busy machine."""


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

    twilio_account_sid: AccountSid = Field(
        description="The account whose rooms are reported. Callbacks of other accounts are refused, but for those in "
        "`DESTINATIONS_FILE`.",
    )
    twilio_auth_token: Tokens = Field(
        description="Checks the signature of status callbacks. While rotating: the old and the new one, separated by a "
        "comma. The first one also signs in to the REST API when there is no API key.",
    )
    twilio_api_key: ApiKey | None = Field(
        default=None,
        description="API key for the REST API, recommended by Twilio over the auth token. Together with its secret.",
    )
    twilio_api_secret: Token | None = Field(default=None, description="The secret of `TWILIO_API_KEY`.")
    twilio_insights_url: ApiUrl = Field(
        default="https://insights.twilio.com",
        description="Where summaries are fetched. The plain host serves every account, whatever region its media took.",
    )

    public_base_url: BaseUrl | None = Field(
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
    slack_webhook_url: SlackWebhookUrl | None = Field(
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
    slack_api_url: SlackApiUrl = Field(
        default="https://slack.com/api",
        description="Slack's Web API; GovSlack has `https://slack-gov.com/api`.",
    )
    report_webhook_url: EndpointUrl | None = Field(default=None, description="Your endpoint for signed reports.")
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

    redis_url: RedisUrl = Field(
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
    redis_tls_ca_file: CaFile | None = Field(
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
    redis_prefix: RedisPrefix = Field(
        default="room-reports:",
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
    console_url: ConsoleUrl = Field(
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
    tls_ca_file: CaFile | None = Field(
        default=None,
        description="PEM file of further certificate authorities to trust, e.g. of an internal receiver or an "
        "inspecting proxy. The public ones come with the service.",
    )
    https_proxy: ProxyUrl | None = Field(
        default=None,
        description="Proxy for https URLs, read once at start (also `https_proxy`). Behind a proxy the check for "
        "private addresses is made at start only: it is the proxy that resolves names.",
    )
    http_proxy: ProxyUrl | None = Field(default=None, description="The same for http URLs.")
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
    sentry_dsn: SentryDsn | None = Field(
        default=None,
        description="Errors are also told to Sentry, or what speaks its protocol: masked like the log, without local "
        "variables. Needs `pip install -r requirements-extras.txt`.",
    )
    otel_exporter_otlp_endpoint: BaseUrl | None = Field(
        default=None,
        description="Base URL of an OpenTelemetry collector that takes OTLP over HTTP, e.g. `http://collector:4318`. "
        "A callback, its attempts and its deliveries are one trace. Needs `pip install -r requirements-extras.txt`.",
    )
    otel_exporter_otlp_headers: Headers | None = Field(
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
    log_level: LogLevel = Field(default="INFO", description="Least level logged. INFO is about one line per outcome.")
    log_format: Literal["json", "text"] = Field(
        default="json", description="`json` for machines, one object a line; `text` for people at a terminal."
    )

    @field_validator("twilio_api_secret", "slack_channel")
    @classmethod
    def _both_or_neither(cls, value: object, info: ValidationInfo) -> object:
        second = str(info.field_name)
        first = {"twilio_api_secret": "twilio_api_key", "slack_channel": "slack_bot_token"}[second]
        if first in info.data and (info.data[first] is None) != (value is None):
            raise conflict(f"{first.upper()}, {second.upper()}: set both or neither")
        return value

    @field_validator("report_webhook_url")
    @classmethod
    def _there_is_a_destination(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        before = ("destinations_file", "slack_webhook_url", "slack_bot_token")
        if value is None and all(info.data.get(name, "wrong") is None for name in before):
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

    @field_validator("http_total_timeout")
    @classmethod
    def _total_is_the_longest(cls, value: float, info: ValidationInfo) -> float:
        if value < info.data.get("http_connect_timeout", 0):
            raise wrong("must not be shorter than HTTP_CONNECT_TIMEOUT")
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
        return self.slack_template_file is not None or any(
            isinstance(one, SlackChannel) and one.template is not None for one in described
        )

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
        given = {"https": _reveal(self.https_proxy), "http": _reveal(self.http_proxy), "no_proxy": self.no_proxy}
        return {name: value for name, value in given.items() if value is not None}

    @property
    def collector_headers(self) -> dict[str, str]:
        """What to send along to the OpenTelemetry collector. Values are percent-encoded in the variable."""
        given = _reveal(self.otel_exporter_otlp_headers)
        pairs = [pair.partition("=") for pair in given.split(",")] if given else []
        return {name.strip(): unquote(value.strip()) for name, _, value in pairs}

    @property
    def outgoing_urls(self) -> dict[str, str]:
        """Every URL that requests go to, by the name of its variable or its place in `DESTINATIONS_FILE`."""
        given = {
            "TWILIO_INSIGHTS_URL": self.twilio_insights_url,
            "SLACK_WEBHOOK_URL": _reveal(self.slack_webhook_url),
            "SLACK_API_URL": self.slack_api_url if self.slack_bot_token or self.plan.slack_apps else None,
            "REPORT_WEBHOOK_URL": _reveal(self.report_webhook_url),
            **self.plan.urls,
        }
        return {name: url for name, url in given.items() if url is not None}

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every string that no log line may hold, the longest first so that a part never hides the whole."""
        headers = self.collector_headers.values()
        # Of a header such as `Bearer …`, the last word is what is secret.
        found = {*self.accounts[""].secrets, *headers, *(word for header in headers for word in header.split()[-1:])}
        fields = [name for name, field in type(self).model_fields.items() if is_secret(field)]
        given = [secret for name in fields for secret in _secrets(getattr(self, name))]
        for secret in (*given, *self.plan.secrets):
            found.add(secret)
            found.update(_telling_parts(secret))
        return tuple(sorted(found, key=lambda secret: (-len(secret), secret)))


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


def is_secret(field: FieldInfo) -> bool:
    """Whether a field of `Settings` is a secret, which may also come from `NAME_FILE`."""
    return "SecretStr" in str(field.annotation)
