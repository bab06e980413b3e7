"""The official validator and the running door agree, request by request, on what is signed and what is not.

The URL as Twilio has it is told by the headers of a trusted proxy, so it may be any; the validator judges that URL, the
parameters and the signature as they were made, the door judges what came over the wire.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
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
REQUESTS, BATCH = 10_000, 50
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


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ["", " ", "a b", "+", "%", "%2C", "&=", "é", "🎥", "\x00", "\r\n", "2026-01-02T03:04:05.678Z", "<!channel> & co"]
)
pairs = st.lists(st.tuples(st.sampled_from(["A", "a", "RoomName", "Z", ""]) | texts, texts), max_size=5)
calls = st.builds(
    lambda extra, position, **fields: Call(
        pairs=(*extra[:position], ("AccountSid", ACCOUNT_SID), *extra[position:], *extra[: position // 2]), **fields
    ),
    extra=pairs,
    position=st.integers(0, 5),
    method=st.sampled_from(["POST", "GET"]),
    scheme=st.sampled_from(["https", "http"]),
    host=st.sampled_from(
        ["a.example", "A.example", "a.example:443", "a.example:80", "a.example:8443", "10.0.0.1:5000"]
    ),
    path=st.sampled_from([PATH, f"{PATH}/", "/twilio/%72ooms", "/%74wilio/rooms/"]),
    query=st.sampled_from(
        ["", "t=1", "u=https%3A%2F%2Fe.com%5B%7E", "a=b&a=b&c", "x=%2f&y=%2F", "q=a+b%20c", "?", "bodySHA256=0"]
    ),
    token=st.sampled_from([AUTH_TOKEN, OTHER_TOKEN]),
    algorithm=st.sampled_from([HMAC_SHA1, HMAC_SHA1, HMAC_SHA256]),
    escape=st.sampled_from([quote_plus, quote, lower_escapes]),
    forgery=st.none() | st.sampled_from(FORGERIES),
)


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
    counted = {True: 0, False: 0}

    @settings(
        max_examples=REQUESTS // BATCH,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    @given(st.lists(calls, min_size=BATCH, max_size=BATCH))
    def agree(batch: list[Call]) -> None:
        for call in batch:
            sent, signature = forged(call)
            wire.send(sent.to_bytes(signature))
            answer = wire.answer()
            assert answer is not None, f"closed on {sent}"
            assert answer.status < 500
            expected = is_signed(sent, signature)
            assert is_taken_for_signed(answer) == expected, (sent, signature, answer)
            counted[expected] += 1

    agree()
    assert sum(counted.values()) >= REQUESTS
    # A test whose requests were all alike would prove nothing.
    assert min(counted.values()) > REQUESTS / 10
