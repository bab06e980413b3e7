"""Is this request Twilio's? The official validator, kept from raising on what a stranger can send. Pure.

Twilio signs the URL as it is configured with it, then the parameters of a form sorted by name, with the auth token:
https://www.twilio.com/docs/usage/webhooks/webhooks-security. Nothing here ever skips the check.

The validator always makes two signatures, with the port and without. Nearly every genuine request has the first of
them, so that one is made here, four times as fast, and the validator is asked only about what it does not match. A test
shows that nothing matches here which the validator would refuse.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args
from urllib.parse import parse_qs, quote, unquote, urlparse, urlsplit

from twilio.request_validator import (  # type: ignore[import-untyped]  # twilio ships no types
    HMAC_SHA1,
    HMAC_SHA256,
    RequestValidator,
    get_signature_algorithm,
)

DIGESTS = {HMAC_SHA1: "sha1", HMAC_SHA256: "sha256"}

LONGEST_SIGNATURE = 100
"""A signature of HMAC-SHA256 in base64 has 44 characters."""

Cause = Literal[
    "missing",
    "unknown_algorithm",
    "unverifiable",
    "wrong_scheme",
    "wrong_host",
    "trailing_slash",
    "query_changed",
    "escaping",
    "mismatch",
    "body_unsigned",
    "body_changed",
]
"""Why a request is refused: a closed set, because it labels logs and metrics."""

CAUSES: tuple[str, ...] = get_args(Cause)

HINTS: Mapping[str, str] = {
    "missing": "the request carries no signature: it is not from Twilio, or a proxy drops X-Twilio-Signature",
    "unknown_algorithm": "the request names a signature algorithm that is neither HMAC_SHA1 nor HMAC_SHA256",
    "unverifiable": "the URL or a parameter cannot have been signed as it is",
    "wrong_scheme": "signed for the other of http and https: set PUBLIC_BASE_URL, or TRUSTED_PROXIES",
    "wrong_host": "signed for another host name than ours: set PUBLIC_BASE_URL to what is configured at Twilio",
    "trailing_slash": "signed for the same URL with or without a slash at its end: configure the exact URL at Twilio",
    "query_changed": "signed for the same URL without its query: something on the way adds to the URL",
    "escaping": "signed for the same URL escaped differently: something on the way rewrites the URL",
    "mismatch": "forged, or signed with another token: check TWILIO_AUTH_TOKEN, and that PUBLIC_BASE_URL is exact",
    "body_unsigned": "the URL is signed but names no bodySHA256: not a request with JSON, or a proxy cuts it off",
    "body_changed": "the URL is signed for another body: something on the way rewrites it, or the request is forged",
}
"""What an operator can do about each cause."""


@dataclass(frozen=True)
class SignedParts:
    """What a signature covers, and the signature.

    `url` is what Twilio was configured with, escapes untouched; `params` are those of a form, empty for a GET;
    `signature` and `settings` are the headers `X-Twilio-Signature` and `X-Twilio-Webhooks-Signature-Settings`.
    """

    url: str
    params: Mapping[str, Sequence[str]]
    signature: str | None
    settings: str | None = None


def verify(tokens: Sequence[str], signed: SignedParts) -> bool:
    """Whether one of `tokens` signed this request. Never raises."""
    return why_refused(tokens, signed) is None


def why_refused(tokens: Sequence[str], signed: SignedParts) -> Cause | None:
    """Why none of `tokens` signed this request, as far as one look tells; None when one did. Never raises."""
    signature = signed.signature
    if not signature:
        return "missing"
    algorithm = get_signature_algorithm(signed.settings).upper()
    if algorithm not in DIGESTS:
        return "unknown_algorithm"
    if len(signature) > LONGEST_SIGNATURE or not signature.isascii():
        return "mismatch"
    try:
        for usual in _usual_signatures(tokens, signed, DIGESTS[algorithm]):
            if hmac.compare_digest(usual, signature):
                return None
        params = _Params(signed.params)
        if any(RequestValidator(token).validate(signed.url, params, signature, algorithm) for token in tokens):
            return None
    except (ValueError, TypeError, IndexError):
        # A port beyond 65535, half of a surrogate pair, brackets that are no IPv6 address, …
        return "unverifiable"
    return "mismatch"


def _usual_signatures(tokens: Sequence[str], signed: SignedParts, digest: str) -> Iterator[str]:
    """For each token, that one of the validator's two signatures which leaves the port as the URL has it."""
    url = urlparse(signed.url)
    _ = url.port  # raises for one the validator would stumble over
    pairs = (name + value for name in sorted(signed.params) for value in sorted(set(signed.params[name])))
    text = (url.geturl() + "".join(pairs)).encode()
    for token in tokens:
        yield b64encode(hmac.digest(token.encode(), text, digest)).decode()


def diagnose(tokens: Sequence[str], signed: SignedParts, *, other_hosts: Sequence[str] = ()) -> Cause:
    """Why `verify` refused a request, as near as can be found out: its URL may differ from the one that was signed.

    For the log only, a request is never accepted for it. Costs some twenty signatures, so do not call it for every
    request of a flood. `other_hosts`: host names the request or its proxies mention.
    """
    found = why_refused(tokens, signed) or "mismatch"
    if found == "mismatch":
        for cause, variant in _variants(signed.url, other_hosts):
            if verify(tokens, replace(signed, url=variant)):
                return cause
    return found


def _variants(url: str, other_hosts: Sequence[str]) -> Iterator[tuple[Cause, str]]:
    """URLs that are near this one, and what it means when one of them was signed."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return
    flipped = parts._replace(scheme="http" if parts.scheme == "https" else "https")
    yield "wrong_scheme", flipped.geturl()
    for host in other_hosts:
        yield "wrong_host", parts._replace(netloc=host).geturl()
        yield "wrong_host", flipped._replace(netloc=host).geturl()
    for scheme in (parts, flipped):
        path = scheme.path[:-1] if scheme.path.endswith("/") else scheme.path + "/"
        yield "trailing_slash", scheme._replace(path=path).geturl()
        yield "query_changed", scheme._replace(query="").geturl()
        yield "escaping", unquote(scheme.geturl())
        yield "escaping", scheme._replace(query=quote(unquote(scheme.query), safe="=&")).geturl()


def body_cause(url: str, body: bytes) -> Cause | None:
    """Why a body is not the one that was signed with this URL, whose signature holds; None when it is.

    A signature covers a body that is not a form by its SHA-256 in the query.
    """
    hashes = parse_qs(urlsplit(url).query).get("bodySHA256")
    if not hashes:
        return "body_unsigned"
    return None if hashlib.sha256(body).hexdigest() == hashes[0] else "body_changed"


def sign(token: str, *, url: str, params: Mapping[str, Sequence[str]]) -> str:
    """The `X-Twilio-Signature` (HMAC-SHA1) that Twilio would send; `params` are those of a form, empty for a GET."""
    return str(RequestValidator(token).compute_signature(url, _Params(params)))


class _Params(dict[str, Sequence[str]]):
    """Parameters in the shape from which the official validator reads repeated ones."""

    def getlist(self, name: str) -> Sequence[str]:
        return self[name]
