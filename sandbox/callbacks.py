"""Status callbacks as Twilio makes them: parameters, signature and request, all pure.

Parameters: https://www.twilio.com/docs/video/api/status-callbacks. Signatures come from the official validator, so they
are right by definition: https://www.twilio.com/docs/usage/webhooks/webhooks-security.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import urldefrag, urlencode, urlsplit

from twilio.request_validator import (  # type: ignore[import-untyped]  # twilio ships no types
    HMAC_SHA1,
    HMAC_SHA256,
    SIGNATURE_SETTINGS_HEADER,
    RequestValidator,
)

from sandbox.summaries import room_summary

__all__ = ["HMAC_SHA1", "HMAC_SHA256", "Forgery", "SignedRequest", "form", "json_request", "request", "sign"]

Params = Mapping[str, str] | Iterable[tuple[str, str]]
"""Parameters of a request; pairs when a name repeats."""

Forgery = Literal["unsigned", "empty", "truncated", "other_token", "tampered"]
"""Ways a request is not Twilio's: no signature header, an empty one, half of one, one made with another token, or a
parameter that was changed after signing."""

SHARED_KEY = "webhooks_sharedkey_01hzsandbox"
"""The key name in the signature settings of requests that are signed with HMAC-SHA256."""


@dataclass(frozen=True)
class SignedRequest:
    """A request ready to be sent: `url` is where to connect, with the query of a GET already in it."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def target(self) -> str:
        """The raw request target: path and query, escapes untouched."""
        parts = urlsplit(self.url)
        return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")

    def to_bytes(self) -> bytes:
        """The request as it goes over the wire (HTTP/1.1), headers in Latin-1."""
        head = [f"{self.method} {self.target} HTTP/1.1", *(f"{name}: {value}" for name, value in self.headers.items())]
        return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + self.body


def form(
    room_sid: str,
    *,
    account_sid: str,
    event: str = "room-ended",
    ended: datetime | None = None,
    summary: Mapping[str, Any] | None = None,
    sequence_number: int = 5,
    changes: Mapping[str, str | None] | None = None,
) -> dict[str, str]:
    """The parameters of one event of a room, in the order Twilio sends them.

    Name, type and duration come from `summary` (default: what the fake derives from the SID), so callback and summary
    agree. `ended` is aware, default now. `changes` come last: a value replaces or adds a parameter, None removes it.
    """
    moment = ended or datetime.now(UTC)
    known = summary or room_summary(room_sid, account_sid=account_sid, ended=moment)
    params = {
        "RoomStatus": "completed" if event == "room-ended" else "in-progress",
        "RoomType": (known["room_type"] or "group").replace("_", "-"),
        "RoomSid": room_sid,
        "RoomName": known["room_name"] or "",
        **_event_params(event, room_sid=room_sid, duration=known["duration_sec"] or 0),
        "SequenceNumber": str(sequence_number),
        "StatusCallbackEvent": event,
        "Timestamp": moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "AccountSid": account_sid,
    }
    if event.startswith("recording-"):
        del params["RoomStatus"]
    params.update({name: value for name, value in (changes or {}).items() if value is not None})
    return {name: value for name, value in params.items() if (changes or {}).get(name, value) is not None}


def sign(url: str, params: Params, token: str, *, algorithm: str = HMAC_SHA1) -> str:
    """The `X-Twilio-Signature` of a request to `url` (as configured at Twilio, query included, fragment dropped).

    For a GET the parameters are in the query and `params` is empty.
    """
    return str(RequestValidator(token).compute_signature(urldefrag(url).url, _Repeated(params), algorithm))


def request(
    url: str,
    params: Params,
    *,
    token: str,
    method: Literal["POST", "GET"] = "POST",
    algorithm: str = HMAC_SHA1,
    forge: Forgery | None = None,
    post_to: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> SignedRequest:
    """A status callback as Twilio sends it.

    `url` is what is configured at Twilio and signed; `post_to`, where to connect instead, when a proxy lies between.
    `headers` come last and replace those of the same name.
    """
    pairs = _pairs(params)
    signed_url, connect_url, body = urldefrag(url).url, urldefrag(post_to or url).url, urlencode(pairs).encode()
    if method == "GET":
        signed_url, connect_url, body = _with_query(signed_url, pairs), _with_query(connect_url, pairs), b""
    signature = sign(signed_url, pairs if body else (), _token(token, forge), algorithm=algorithm)
    if forge == "tampered":
        connect_url, body = (connect_url + "&Forged=1", b"") if method == "GET" else (connect_url, body + b"&Forged=1")
    return SignedRequest(
        method=method,
        url=connect_url,
        headers={
            **_headers(signed_url, _forged_signature(signature, forge), algorithm),
            **({"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8"} if method == "POST" else {}),
            **({"Content-Length": str(len(body))} if method == "POST" else {}),
            **(headers or {}),
        },
        body=body,
    )


def json_request(
    url: str,
    document: Any,
    *,
    token: str,
    algorithm: str = HMAC_SHA1,
    forge: Forgery | None = None,
    post_to: str | None = None,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> SignedRequest:
    """A request signed the way Twilio signs JSON bodies, as Event Streams sends it: `bodySHA256` in the query.

    `body`: what is sent and signed instead of the document; the rest is as for `request`.
    """
    body = json.dumps(document).encode() if body is None else body
    digest = [("bodySHA256", hashlib.sha256(body).hexdigest())]
    signed_url = _with_query(urldefrag(url).url, digest)
    signature = _forged_signature(sign(signed_url, (), _token(token, forge), algorithm=algorithm), forge)
    body = body + b" " if forge == "tampered" else body
    return SignedRequest(
        method="POST",
        url=_with_query(urldefrag(post_to or url).url, digest),
        headers={
            **_headers(signed_url, signature, algorithm),
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            **(headers or {}),
        },
        body=body,
    )


def _event_params(event: str, *, room_sid: str, duration: int) -> dict[str, str]:
    participant = {"ParticipantSid": "PA" + room_sid[2:], "ParticipantIdentity": "ada"}
    if event == "room-ended":
        return {"RoomDuration": str(duration)}
    if event == "participant-connected":
        return {**participant, "ParticipantStatus": "connected"}
    if event == "participant-disconnected":
        return {**participant, "ParticipantStatus": "disconnected", "ParticipantDuration": str(duration)}
    if event.startswith("track-"):
        return {**participant, "ParticipantStatus": "connected", "TrackSid": "MT" + room_sid[2:], "TrackKind": "audio"}
    if event.startswith("recording-"):
        recording = "RT" + room_sid[2:]
        return {
            "ParticipantSid": participant["ParticipantSid"],
            "RecordingSid": recording,
            "SourceSid": "MT" + room_sid[2:],
            "RecordingUri": f"/v1/Recordings/{recording}",
            "MediaUri": f"/v1/Recordings/{recording}/Media",
            "Type": "audio",
            "Container": "mka",
            "Codec": "OPUS",
        }
    return {}


class _Repeated:
    """Parameters with repeats, in the one shape besides a dict that the official validator reads them from."""

    def __init__(self, params: Params) -> None:
        self._pairs = _pairs(params)

    def __iter__(self) -> Iterator[str]:
        return iter([name for name, _ in self._pairs])

    def __len__(self) -> int:
        return len(self._pairs)

    def getall(self, name: str) -> list[str]:
        return [value for key, value in self._pairs if key == name]


def _pairs(params: Params) -> list[tuple[str, str]]:
    return list(params.items() if isinstance(params, Mapping) else params)


def _with_query(url: str, pairs: list[tuple[str, str]]) -> str:
    return url + ("&" if urlsplit(url).query else "?") + urlencode(pairs)


def _token(token: str, forge: Forgery | None) -> str:
    return token[::-1] + "x" if forge == "other_token" else token


def _forged_signature(signature: str, forge: Forgery | None) -> str | None:
    if forge == "unsigned":
        return None
    if forge == "empty":
        return ""
    return signature[: len(signature) // 2] if forge == "truncated" else signature


def _headers(signed_url: str, signature: str | None, algorithm: str) -> dict[str, str]:
    settings = {SIGNATURE_SETTINGS_HEADER: f"key={SHARED_KEY},algorithm={algorithm}"}
    return {
        "Host": urlsplit(signed_url).netloc.rpartition("@")[2],
        "User-Agent": "TwilioProxy/1.1",
        "Accept": "*/*",
        "X-Home-Region": "us1",
        "I-Twilio-Idempotency-Token": secrets.token_hex(16),
        **({} if signature is None else {"X-Twilio-Signature": signature}),
        **({} if algorithm == HMAC_SHA1 else settings),
        "Connection": "close",
    }
