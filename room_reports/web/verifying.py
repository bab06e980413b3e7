"""Is a request for us, and signed by Twilio with a token of ours?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import urlsplit

from config.settings import Settings
from room_reports.signatures import HINTS, Cause, SignedParts, diagnose, verify
from room_reports.web.answers import Environ
from room_reports.web.refusals import Refusal


@dataclass(frozen=True)
class Verifier:
    """`tokens`: those of each account, by its SID; `hosts`: the host names we answer to, empty for any."""

    tokens: Mapping[str, Sequence[str]] = field(repr=False)
    public_base_url: str | None
    trusted_proxies: int
    hosts: frozenset[str]

    def host_of(self, environ: Environ) -> str:
        """The host that the request is for. Raises `Refusal` when that is not ours."""
        host = forwarded(environ, "HOST", self.trusted_proxies) or environ.get("HTTP_HOST", "")
        if self.hosts and host.lower() not in self.hosts:
            hint = "Host is not that of PUBLIC_BASE_URL: have the proxy pass it on"
            raise Refusal(400, "host", explain=lambda: {"hint": hint})
        return host

    def signed_parts(self, environ: Environ, host: str, params: Mapping[str, Sequence[str]]) -> SignedParts:
        """What the signature of a request covers. `params`: those of a form."""
        return SignedParts(
            url=self.signed_url(environ, host),
            params=params,
            signature=environ.get("HTTP_X_TWILIO_SIGNATURE"),
            settings=environ.get("HTTP_X_TWILIO_WEBHOOKS_SIGNATURE_SETTINGS"),
        )

    def signed_url(self, environ: Environ, host: str) -> str:
        """The URL as Twilio has it: never decoded on the way, for the signature covers each escape."""
        target = environ.get("RAW_URI") or environ.get("REQUEST_URI") or environ["PATH_INFO"]
        if self.public_base_url is not None:
            return f"{self.public_base_url}{target}"
        scheme = forwarded(environ, "PROTO", self.trusted_proxies) or environ["wsgi.url_scheme"]
        return f"{scheme}://{host}{target}"

    def check_signature(self, signed: SignedParts, environ: Environ, account_sid: str = "") -> str:
        """The account whose token it was made with. Raises `Refusal`.

        `account_sid`: the one that it says it is from; where that is none of ours, every account's tokens are tried.
        """
        accounts = (account_sid,) if account_sid in self.tokens else self.tokens
        for sid in accounts:
            if verify(self.tokens[sid], signed):
                return sid
        raise Refusal(403, "signature", explain=partial(self.explain, signed, environ))

    def explain(self, signed: SignedParts, environ: Environ) -> dict[str, str]:
        """Why a signature does not hold and what to do: for the log alone, and too dear for each request of a flood."""
        hosts = [environ.get(f"HTTP_{name}", "") for name in ("HOST", "X_FORWARDED_HOST")]
        tokens = [token for some in self.tokens.values() for token in some]
        cause = diagnose(tokens, signed, other_hosts=[host for host in hosts if host])
        # Of the URL only the scheme: an operator's may hold a secret, a stranger's may hold anything.
        return {**facts_of(cause), "scheme_seen": signed.url.partition("://")[0]}


def verifier_of(settings: Settings) -> Verifier:
    """The verifier that the settings describe."""
    return Verifier(
        tokens={account.sid: account.tokens for account in settings.accounts.values()},
        public_base_url=settings.public_base_url,
        trusted_proxies=settings.trusted_proxies,
        hosts=hosts_of(settings.public_base_url),
    )


def facts_of(cause: Cause) -> dict[str, str]:
    """A cause for the log, with what to do about it."""
    return {"cause": cause, "hint": HINTS[cause]}


def hosts_of(base_url: str | None) -> frozenset[str]:
    """The Host headers that a request to this URL may have: with the port, and without where it is the usual one."""
    if base_url is None:
        return frozenset()
    url = urlsplit(base_url)
    usual = 443 if url.scheme == "https" else 80
    name = (url.hostname or "").lower()
    name = f"[{name}]" if ":" in name else name
    port = url.port or usual
    return frozenset({f"{name}:{port}", name} if port == usual else {f"{name}:{port}"})


def forwarded(environ: Environ, name: str, hops: int) -> str | None:
    """`X-Forwarded-…` as the farthest trusted proxy wrote it; None when it did not, or when none is trusted."""
    if not hops:
        return None
    values = environ.get(f"HTTP_X_FORWARDED_{name}", "").split(",")
    return values[-hops].strip() or None if len(values) >= hops else None
