"""What a sandbox is started with: invented accounts and secrets, and where status callbacks go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

ACCOUNT_SID = "AC5a4db0c5a4db0c5a4db0c5a4db0c5a4d"
AUTH_TOKEN = "5a4db0c0000000000000000000a07e11"  # noqa: S105 - invented
API_KEY = "SK5a4db0c5a4db0c5a4db0c5a4db0c5a4d"
API_SECRET = "5a4db0caaaaaaaaaaaaaaaaaaaa5ec2e7"  # noqa: S105 - invented
SLACK_PATH = "/slack/services/T05A4DB0C/B05A4DB0C/sandboxsandboxsandbox1"
SLACK_CHANNEL, OTHER_SLACK_CHANNEL = "C05A4DB0C", "C05A4DB0D"
SLACK_TOKEN = "xoxb-5a4db0c-5a4db0c-sandboxsandboxsandbox1"  # noqa: S105 - invented
SLACK_SCOPES = (
    "chat:write",
    "channels:history",
    "groups:history",
    "metadata.message:read",
)
WEBHOOK_SECRET = "whsec_c2FuZGJveC1zYW5kYm94LXNhbmRib3gtc2FuZGJveC0="  # noqa: S105 - invented


@dataclass(frozen=True)
class Options:
    """Settings of the fakes. Lists hold more than one value while something is rotated."""

    account_sid: str = ACCOUNT_SID
    auth_token: str = AUTH_TOKEN
    """Signs status callbacks, and is a REST password of the account."""
    api_keys: tuple[tuple[str, str], ...] = ((API_KEY, API_SECRET),)
    """REST credentials besides account SID and auth token."""
    callback_url: str | None = None
    """Where status callbacks are posted."""
    public_url: str | None = None
    """What is configured at Twilio and therefore signed, when a proxy lies between; default `callback_url`."""
    webhook_secrets: tuple[str, ...] = (WEBHOOK_SECRET,)
    """Any of them verifies a message at the receiver; none at all: nothing is verified."""
    slack_rate: float = 0.0
    """Messages a second a Slack webhook takes before it answers 429; 0 for no limit."""
    slack_burst: int = 4
    slack_scopes: tuple[str, ...] = SLACK_SCOPES
    """What the token of the Slack app may do."""
    slack_member: bool = True
    """Whether the Slack app is a member of its channel."""
    history: Literal["full", "brief"] = "full"
    """`brief` keeps when, what and how it ended, but no headers and bodies: for load."""

    def to_json(self) -> dict[str, Any]:
        """A JSON object for the control API."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Options:
        """The inverse of `to_json`. Raises TypeError for unknown keys."""
        pairs = tuple((name, secret) for name, secret in value.get("api_keys", cls.api_keys))
        webhook_secrets = tuple(value.get("webhook_secrets", cls.webhook_secrets))
        scopes = tuple(value.get("slack_scopes", cls.slack_scopes))
        lists = {"api_keys": pairs, "webhook_secrets": webhook_secrets, "slack_scopes": scopes}
        return cls(**{**value, **lists})
