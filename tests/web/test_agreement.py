"""The official validator and the running door agree, request by request, on what is signed and what is not.

The URL as Twilio has it is told by the headers of a trusted proxy, so it may be any; the validator judges that URL, the
parameters and the signature as they were made, the door judges what came over the wire.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from twilio.request_validator import (  # type: ignore[import-untyped]  # twilio ships no types
    HMAC_SHA1,
    HMAC_SHA256,
    RequestValidator,
)

from sandbox.options import ACCOUNT_SID, AUTH_TOKEN
from tests.support.processes import Web
from tests.web.conftest import PATH, Door
from tests.web.wire import Answer, Wire

OTHER_TOKEN = "b" * 32
REQUESTS = 10_000
FORGERIES = ("token", "signature", "garbage", "unsigned", "param", "extra", "scheme", "host", "port", "slash", "query")


class Repeated(dict[str, list[str]]):
    """Parameters as Flask would hand them to the validator."""

    def getlist(self, name: str) -> list[str]:
        return self[name]


@dataclass(frozen=True)
class Call:
    """What Twilio would send: `pairs` are the parameters, `query` is a part of the configured URL."""

    method: str
    scheme: str
    host: str
    path: str
    query: str
    pairs: tuple[tuple[str, str], ...]
    token: str
    algorithm: str
    escape: Any
    forgery: str | None

    @property
    def encoded(self) -> str:
        """The parameters as they go over the wire."""
        return "&".join(f"{self.escape(name)}={self.escape(value)}" for name, value in self.pairs)

    @property
    def target(self) -> str:
        """The raw request target."""
        query = "&".join(part for part in (self.query, self.encoded if self.method == "GET" else "") if part)
        return self.path + (f"?{query}" if query else "")

    @property
    def url(self) -> str:
        """What is signed."""
        return f"{self.scheme}://{self.host}{self.target}"

    @property
    def params(self) -> Repeated:
        """What is signed besides."""
        found = Repeated()
        for name, value in self.pairs if self.method == "POST" else ():
            found.setdefault(name, []).append(value)
        return found

    def signature(self) -> str:
        """What Twilio would sign it with."""
        return str(RequestValidator(self.token).compute_signature(self.url, self.params, self.algorithm))

    def to_bytes(self, signature: str | None) -> bytes:
        """The request as the proxy sends it on."""
        body = self.encoded if self.method == "POST" else ""
        lines = [
            f"{self.method} {self.target} HTTP/1.1",
            "Host: inside",
            f"X-Forwarded-Proto: {self.scheme}",
            f"X-Forwarded-Host: {self.host}",
        ]
        if self.algorithm != HMAC_SHA1:
            lines.append(f"X-Twilio-Webhooks-Signature-Settings: key=webhooks_sharedkey_1,algorithm={self.algorithm}")
        if signature is not None:
            lines.append(f"X-Twilio-Signature: {signature}")
        if self.method == "POST":
            lines += ["Content-Type: application/x-www-form-urlencoded", f"Content-Length: {len(body)}"]
        return "\r\n".join([*lines, "", body]).encode("latin-1")


def forged(call: Call) -> tuple[Call, str | None]:
    """What is sent, with which signature."""
    signature = call.signature()
    scheme = "http" if call.scheme == "https" else "https"
    match call.forgery:
        case "token":
            return call, replace(call, token="c" * 32).signature()
        case "signature":
            return call, signature[:5] + ("A" if signature[5] != "A" else "B") + signature[6:]
        case "garbage":
            return call, "\xff" * len(signature)
        case "unsigned":
            return call, None
        case "param":
            name, value = call.pairs[-1]
            return replace(call, pairs=(*call.pairs[:-1], (name, value + "x"))), signature
        case "extra":
            return replace(call, pairs=(*call.pairs, ("RoomSid", ""))), signature
        case "scheme":
            return replace(call, scheme=scheme), signature
        case "host":
            return replace(call, host=f"x{call.host}"), signature
        case "port":
            return replace(call, host=f"{call.host.partition(':')[0]}:8099"), signature
        case "slash":
            return replace(call, path=call.path[:-1] if call.path.endswith("/") else f"{call.path}/"), signature
        case "query":
            return replace(call, query=f"{call.query}&x=1" if call.query else "x=1"), signature
    return call, signature


def is_signed(call: Call, signature: str | None) -> bool:
    """What the official validator says, with either of our tokens."""
    return any(
        RequestValidator(token).validate(call.url, call.params, signature or "", call.algorithm)
        for token in (AUTH_TOKEN, OTHER_TOKEN)
    )


def is_taken_for_signed(answer: Answer) -> bool:
    """What the door says: an unsigned request, and no other, is refused for its signature."""
    return not (answer.status == 403 and json.loads(answer.body) == {"error": "signature"})


def lower_escapes(text: str) -> str:
    """`%2f` instead of `%2F`, and no letter left alone that need not be."""
    return "".join(f"%{byte:02x}" for byte in text.encode()) if len(text) < 20 else quote(text, safe="")


TEXTS = (
    "",
    " ",
    "a b",
    "+",
    "%",
    "%2C",
    "&=",
    "é",
    "🎥",
    "\x00",
    "\r\n",
    "2026-01-02T03:04:05.678Z",
    "<!channel> & co",
)
NAMES = ("A", "a", "RoomName", "Z", "")
CHARACTERS = (range(0x80), range(0x80, 0x800), range(0x800, 0xD800), range(0xE000, 0x10000), range(0x10000, 0x110000))
"""By how many bytes they take, without the surrogates, which no text has."""

HOSTS = ("a.example", "A.example", "a.example:443", "a.example:80", "a.example:8443", "10.0.0.1:5000")
PATHS = (PATH, f"{PATH}/", "/twilio/%72ooms", "/%74wilio/rooms/")
QUERIES = (*("", "t=1", "u=https%3A%2F%2Fe.com%5B%7E", "a=b&a=b&c", "x=%2f&y=%2F", "q=a+b%20c", "?", "bodySHA256=0"),)


def drawn(draw: random.Random) -> Call:
    """Any call, forged or not; parameters may come twice."""
    extra = [(draw.choice((*NAMES, text(draw))), text(draw)) for _ in range(draw.randrange(6))]
    position = draw.randrange(6)
    return Call(
        pairs=(*extra[:position], ("AccountSid", ACCOUNT_SID), *extra[position:], *extra[: position // 2]),
        method=draw.choice(("POST", "GET")),
        scheme=draw.choice(("https", "http")),
        host=draw.choice(HOSTS),
        path=draw.choice(PATHS),
        query=draw.choice(QUERIES),
        token=draw.choice((AUTH_TOKEN, OTHER_TOKEN)),
        algorithm=draw.choice((HMAC_SHA1, HMAC_SHA1, HMAC_SHA256)),
        escape=draw.choice((quote_plus, quote, lower_escapes)),
        forgery=draw.choice((None, draw.choice(FORGERIES))),
    )


def text(draw: random.Random) -> str:
    """Text as it may be in a parameter."""
    letters = (chr(draw.choice(draw.choice(CHARACTERS))) for _ in range(draw.randrange(13)))
    return draw.choice((draw.choice(TEXTS), "".join(letters)))


@pytest.fixture
def proxied(door: Door) -> Web:
    """A door that believes one proxy and knows two tokens."""
    return door(TRUSTED_PROXIES="1", TWILIO_AUTH_TOKEN=f"{AUTH_TOKEN},{OTHER_TOKEN}", LOG_LEVEL="ERROR")


@pytest.fixture
def wire(proxied: Web) -> Iterator[Wire]:
    """One connection for all requests."""
    with Wire(proxied.port) as opened:
        yield opened


def test_a04_door_and_official_validator_agree_on_10_000_requests(wire: Wire) -> None:
    draw = random.Random()  # noqa: S311 - other requests each time; one that fails is shown whole
    counted = {True: 0, False: 0}
    for _ in range(REQUESTS):
        sent, signature = forged(drawn(draw))
        wire.send(sent.to_bytes(signature))
        answer = wire.answer()
        assert answer is not None, f"closed on {sent}"
        assert answer.status < 500
        expected = is_signed(sent, signature)
        assert is_taken_for_signed(answer) == expected, (sent, signature, answer)
        counted[expected] += 1
    # A test whose requests were all alike would prove nothing.
    assert min(counted.values()) > REQUESTS / 10
