"""What `DESTINATIONS_FILE` names: destinations, rules and further accounts. TOML in, one frozen and checked `Plan` out.

`docs/destinations.md` describes it. Secrets are never in it: `env:NAME` and `file:PATH` say where they are. No message
repeats a value, for what was typed into the wrong place may be a secret; names are shown if they look like names.
"""

from __future__ import annotations

import base64
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo
from pydantic_core import ErrorDetails

from config.fields import AccountSid, ApiKey, BotToken, Channel, Rate, SigningSecrets, Token, Tokens, text_in, wrong
from config.urls import EndpointUrl, SlackWebhookUrl

MOST_DESTINATIONS = 50
MOST_ACCOUNTS = 50

NAME = re.compile(r"[a-z][a-z0-9_]{0,29}")
"""Of a destination or account: its step or lane has this name, and so have labels of metrics."""

TAKEN = re.compile(r"slack|slack_app|webhook|summary|participants|all|twilio.*")
"""Names that mean something already: destinations of variables, other steps and lanes."""

PARTS = (
    "schema_version",
    "room_sid",
    "account_sid",
    "room_name",
    "reported_at",
    "completeness",
    "callback",
    "summary",
    "derived",
    "participants",
    "detected_issues",
    "verdicts",
    "links",
    "provenance",
    "left_out",
)
"""The parts of a report's `data`."""

VERDICTS = (
    "data_incomplete",
    "nobody_came",
    "single_participant",
    "at_capacity",
    "many_rejoins",
    "abnormal_disconnects",
    "media_errors",
    "nothing_recorded",
    "shorter_than_usual",
    "longer_than_usual",
    "ended_by_timeout",
    "sources_disagree",
    "end_before_start",
    "no_duration",
    "unreadable_data",
    "unfamiliar_data",
)
"""The codes of verdicts."""


def _revealed(value: object, info: ValidationInfo) -> str:
    """What a reference leads to."""
    found = re.fullmatch(r"(env|file):(.+)", value.strip()) if isinstance(value, str) else None
    if not found:
        raise wrong("must be env:NAME or file:PATH, which say where it is; the value itself has no place in this file")
    if found[1] == "env":
        text = info.context["environ"].get(found[2].strip(), "").strip() if info.context else ""
        if not text:
            raise wrong("the variable that it names is not set")
        return text
    try:
        text = text_in(found[2].strip()).strip()
    except ValueError as error:
        raise wrong(f"the file that it names cannot be read ({error})") from None
    if not text:
        raise wrong("the file that it names is empty")
    return text


def _template(value: object) -> object:
    """The text itself, or what is in the file that `file:` leads to."""
    if not (isinstance(value, str) and value.startswith("file:")):
        return value
    try:
        return text_in(value.removeprefix("file:").strip())
    except ValueError as error:
        raise wrong(f"the file that it names cannot be read ({error})") from None


def _zone(value: object) -> ZoneInfo:
    try:
        return ZoneInfo(value if isinstance(value, str) else "")
    except (KeyError, ValueError, OSError):
        raise wrong("must be a time zone such as Europe/Berlin or UTC") from None


def _part(value: str) -> str:
    if value.partition(".")[0] not in PARTS:
        raise wrong(f"must begin with a part of a report's data: {', '.join(PARTS)}")
    return value


def _verdict(value: str) -> str:
    if value not in VERDICTS:
        raise wrong("is the code of no verdict: docs/verdicts.md lists them")
    return value


def _list(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Word = Annotated[str, Field(min_length=1, max_length=200)]
Verdict = Annotated[str, AfterValidator(_verdict)]
Names = Annotated[tuple[str, ...], BeforeValidator(_list)]
Words = Annotated[tuple[Word, ...], BeforeValidator(_list), Field(min_length=1)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class SlackChannel(_Part):
    """A channel of Slack. `timezone`: of the times in its messages.

    `template`: of its text, already read; whether it works is seen by `room_reports.templates`.
    """

    rate: Rate = 1.0
    timezone: Annotated[ZoneInfo, BeforeValidator(_zone)] = ZoneInfo("UTC")
    template: Annotated[str, BeforeValidator(_template)] | None = None


class WebhookChannel(SlackChannel):
    """One that an incoming webhook posts to."""

    kind: Literal["slack"]
    url: Annotated[SlackWebhookUrl, BeforeValidator(_revealed)]


class AppChannel(SlackChannel):
    """One that a Slack app is a member of; `channel` is its ID."""

    kind: Literal["slack_app"]
    token: Annotated[BotToken, BeforeValidator(_revealed)]
    channel: Channel


class Endpoint(_Part):
    """An endpoint of the operator. `fields`: what of a report's data is sent, `part` or `part.field`; all for none."""

    kind: Literal["webhook"]
    url: Annotated[EndpointUrl, BeforeValidator(_revealed)]
    secret: Annotated[SigningSecrets, BeforeValidator(_revealed), Field(min_length=1)]
    rate: Rate = 0.0
    format: Literal["standard", "cloudevents"] = "standard"
    fields: tuple[Annotated[Word, AfterValidator(_part)], ...] = ()


class Account(_Part):
    """A Twilio account. `auth_token`: checks the signatures of its callbacks; the first also signs in to the REST API
    where there is no API key."""

    sid: AccountSid
    auth_token: Annotated[Tokens, BeforeValidator(_revealed)]
    api_key: ApiKey | None = None
    api_secret: Annotated[Token, BeforeValidator(_revealed)] | None = None

    @property
    def tokens(self) -> list[str]:
        """The auth tokens."""
        return [one.get_secret_value() for one in self.auth_token]

    @property
    def credentials(self) -> tuple[str, str]:
        """User and password of Twilio's REST API."""
        if self.api_key is not None and self.api_secret is not None:
            return self.api_key, self.api_secret.get_secret_value()
        return self.sid, self.tokens[0]

    @property
    def secrets(self) -> list[str]:
        """Every secret of it, also as the REST API is given them."""
        basic = base64.b64encode(":".join(self.credentials).encode()).decode()
        return [basic, self.credentials[1], *self.tokens]


class Conditions(_Part):
    """What a room must be for a rule to match: all that is given, and of each list any one. What is not known of a room
    matches nothing."""

    account: Words | None = None
    room_name: Words | None = None
    room_type: Words | None = None
    region: Words | None = None
    verdict: Annotated[tuple[Verdict, ...], BeforeValidator(_list), Field(min_length=1)] | None = None
    severity: Literal["info", "notice", "warning"] | None = None


class Rule(_Part):
    """Sends the rooms that match to some destinations; later rules are only looked at if it says `continue`."""

    name: str = Field(default="", max_length=60, pattern=r"^[^\x00-\x1f\x7f]*$")
    when: Conditions = Conditions()
    to: Names
    goes_on: bool = Field(default=False, alias="continue")


class Plan(_Part):
    """Destinations by name, rules in order, and where the rooms go that no rule matches (None: everywhere).

    `accounts`: further Twilio accounts by name.

    `operators`: which destinations hear of holds and get digests, None for every one.
    """

    destinations: dict[str, Annotated[WebhookChannel | AppChannel | Endpoint, Field(discriminator="kind")]] = Field(
        default={}, max_length=MOST_DESTINATIONS
    )
    accounts: dict[str, Account] = Field(default={}, max_length=MOST_ACCOUNTS)
    rules: tuple[Rule, ...] = Field(default=(), max_length=1000)
    default: Names | None = None
    operators: Names | None = None

    @property
    def routes(self) -> bool:
        """Whether anything decides where a room goes, or all go everywhere."""
        return bool(self.rules) or self.default is not None

    def is_for_operators(self, name: str) -> bool:
        """Whether a destination gets what is about the service as a whole."""
        return self.operators is None or name in self.operators

    @property
    def slack_apps(self) -> dict[str, AppChannel]:
        """The channels of Slack apps, by name."""
        return {name: one for name, one in self.destinations.items() if isinstance(one, AppChannel)}

    @property
    def urls(self) -> dict[str, str]:
        """Every URL of the file that requests go to, by its place in it."""
        return {
            f"destinations.{name}.url": one.url.get_secret_value()
            for name, one in self.destinations.items()
            if not isinstance(one, AppChannel)
        }

    @property
    def secrets(self) -> list[str]:
        """Every secret that the references lead to."""
        found = [*self.urls.values(), *(secret for account in self.accounts.values() for secret in account.secrets)]
        found += [app.token.get_secret_value() for app in self.slack_apps.values()]
        for one in self.destinations.values():
            if isinstance(one, Endpoint):
                found += [secret.get_secret_value() for secret in one.secret]
        return found


NO_PLAN = Plan()
"""Variables alone: every report goes to every destination."""


def read(
    path: str, environ: Mapping[str, str], *, allow_private: bool, others: Collection[str], first_account: str
) -> tuple[Plan, list[str]]:
    """The plan in this file, and all that is wrong with it.

    `others`: destinations that variables describe; `first_account`: the SID of the account that they do.

    `environ` is where `env:` leads.
    """
    try:
        document = tomllib.loads(text_in(path))
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"\(at (.*)\)$", str(error))
        return NO_PLAN, [f"it is not TOML ({place[1]})" if place else "it is not TOML"]
    except ValueError as error:
        return NO_PLAN, [f"cannot be read ({error})"]
    plan, problems = NO_PLAN, []
    try:
        plan = Plan.model_validate(document, context={"environ": environ, "allow_private_destinations": allow_private})
    except ValidationError as error:
        problems = [_problem(detail) for detail in error.errors(include_url=False, include_context=False)]
    return plan, [*problems, *_problems_with_names(document, others), *_problems_with_accounts(document, first_account)]


def _problem(detail: ErrorDetails) -> str:
    place = [part for part in detail["loc"] if part != "kind"]
    if place[:1] == ["destinations"] and len(place) > 2:
        del place[2]  # the kind, which pydantic puts there
    if detail["type"] == "missing":
        return f"{_shown(place)}: not set, and there is no default"
    if detail["type"] == "extra_forbidden":
        return f"{_shown(place)}: there is no such key"
    if detail["type"] in ("union_tag_invalid", "union_tag_not_found"):
        return f"{_shown(place)}.kind: must be slack, slack_app or webhook"
    message = detail["msg"]
    return f"{_shown(place)}: {message[0].lower()}{message[1:]}"


def _shown(place: Collection[int | str]) -> str:
    """A place in the file; rules are counted from 1."""
    return ".".join(str(part + 1) if isinstance(part, int) else _name(part) for part in place) or "the file"


def _name(text: str) -> str:
    return text if NAME.fullmatch(text) else "…"


def _problems_with_names(document: Mapping[str, Any], others: Collection[str]) -> Iterator[str]:
    """Names that cannot be, and names of nothing. Looks at the file as it was typed, whatever else is wrong with it."""
    own = set(_table(document, "destinations"))
    for name in sorted(own):
        if not NAME.fullmatch(name):
            yield "destinations.…: a name is a small letter and then up to 29 small letters, digits and underscores"
        elif TAKEN.fullmatch(name):
            yield f"destinations.{name}: this name means something else already"
    if not own and not others:
        yield "destinations: none, neither here nor in SLACK_WEBHOOK_URL, SLACK_BOT_TOKEN or REPORT_WEBHOOK_URL"
    rules = document.get("rules")
    named = [("default", document.get("default")), ("operators", document.get("operators"))]
    accounts = _table(document, "accounts")
    for number, rule in enumerate(rules if isinstance(rules, list) else [], start=1):
        named.append((f"rules.{number}.to", rule.get("to") if isinstance(rule, dict) else None))
        for account in _texts(_table(_table({"rule": rule}, "rule"), "when").get("account")):
            if account not in accounts and not re.fullmatch("AC[0-9a-fA-F]{32}", account):
                yield f"rules.{number}.when.account: neither an account SID nor the name of one of accounts"
    for place, names in named:
        listed = _texts(names)
        for name in listed:
            if name not in own and name not in others:
                yield f"{place}: there is no destination {_name(name)}"
        if len(listed) != len(set(listed)):
            yield f"{place}: names a destination twice"


def _problems_with_accounts(document: Mapping[str, Any], first_account: str) -> Iterator[str]:
    seen = {first_account.lower()}
    for name, account in sorted(_table(document, "accounts").items()):
        if not NAME.fullmatch(name):
            yield "accounts.…: a name is a small letter and then up to 29 small letters, digits and underscores"
        if not isinstance(account, dict):
            continue
        if ("api_key" in account) != ("api_secret" in account):
            yield f"accounts.{_name(name)}: set both api_key and api_secret, or neither"
        sid = str(account.get("sid")).lower()
        if sid in seen:
            yield f"accounts.{_name(name)}.sid: this account is there already"
        seen.add(sid)


def _table(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = document.get(name)
    return found if isinstance(found, dict) else {}


def _texts(value: object) -> list[str]:
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str)]
