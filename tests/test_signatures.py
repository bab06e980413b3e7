"""Signatures: published vectors, what a stranger can send, and what an operator is told."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from room_reports.signatures import CAUSES, HINTS, SignedParts, Verdict, diagnose, verify
from sandbox.callbacks import HMAC_SHA1, HMAC_SHA256, sign

TOKEN = "12345"
URL = "https://hooks.example.com/twilio/video?tag=a%2Cb"
FORM = {
    "RoomStatus": "completed",
    "RoomType": "group",
    "RoomSid": "RM" + "0123456789abcdef" * 2,
    "RoomName": "<!channel> & co",
    "RoomDuration": "312",
    "SequenceNumber": "5",
    "StatusCallbackEvent": "room-ended",
    "Timestamp": "2026-01-02T03:04:05.678Z",
    "AccountSid": "AC" + "0" * 32,
}
PARAMS = {name: [value] for name, value in FORM.items()}
SHA256 = "key=webhooks_sharedkey_1,algorithm=HMAC_SHA256"
SIGNED = SignedParts(url=URL, params=PARAMS, signature="psIjuoQvPyqYgovdhY1vzb3maNQ=")


def signed(url: str = URL, *, algorithm: str = HMAC_SHA1, as_url: str | None = None) -> SignedParts:
    """A request signed for `as_url` that arrives at `url`."""
    settings = SHA256 if algorithm == HMAC_SHA256 else None
    return SignedParts(url, PARAMS, sign(as_url or url, FORM, TOKEN, algorithm=algorithm), settings)


class TestVectors:
    def test_twilios_own(self) -> None:
        params = {"CallSid": "CA1234567890ABCDE", "Digits": "1234", "From": "+14158675309", "To": "+18005551212"}
        found = SignedParts(
            url="https://mycompany.com/myapp.php?foo=1&bar=2",
            params={name: [value] for name, value in (params | {"Caller": "+14158675309"}).items()},
            signature="RSOYDt4T1cUTdK1PDd93/VVr8B8=",
        )
        assert verify([TOKEN], found) == Verdict(0)

    def test_form(self) -> None:
        assert verify([TOKEN], SIGNED) == Verdict(0)

    def test_form_with_sha256(self) -> None:
        found = replace(SIGNED, signature="GWFy+uuI8CTf9Gn2wJi/sEaWhrOnM+pulMYeYga4CbA=", settings=SHA256)
        assert verify([TOKEN], found) == Verdict(0)

    def test_get(self) -> None:
        url = f"{URL}&{urlencode(FORM)}"
        assert verify([TOKEN], SignedParts(url, {}, "I71iEx5QFISAXqMPbiN5tUk/7gY=")) == Verdict(0)


def test_a10_tells_which_token_verified() -> None:
    assert verify(["other", TOKEN], SIGNED) == Verdict(1)
    assert verify([TOKEN, "other"], SIGNED) == Verdict(0)
    assert verify(["other"], SIGNED) == Verdict(None, "mismatch")
    assert verify([], SIGNED) == Verdict(None, "mismatch")


@pytest.mark.parametrize("signature", [None, ""])
def test_a01_missing_signature(signature: str | None) -> None:
    assert verify([TOKEN], replace(SIGNED, signature=signature)) == Verdict(None, "missing")


@pytest.mark.parametrize("named", ["HMAC_MD5", "none", "hmac-sha1", "HMAC_SHA256 x"])
def test_a11_unknown_algorithm(named: str) -> None:
    assert verify([TOKEN], replace(SIGNED, settings=f"key=k,algorithm={named}")).cause == "unknown_algorithm"


@pytest.mark.parametrize("settings", ["", "key=only", "algorithm=", ",,=,", "algorithm=hmac_sha1"])
def test_a11_without_a_named_algorithm_it_is_sha1(settings: str) -> None:
    assert verify([TOKEN], replace(SIGNED, settings=settings)) == Verdict(0)


@pytest.mark.parametrize(
    "url",
    [
        "https://h:99999/",
        "https://h:port/",
        "https://[::1/",
        "https://[/",
        "https://h/\ud800",
        "://",
        "",
        "https://u:p@h:8000/",
        "\x00",
    ],
)
def test_url_that_the_official_validator_stumbles_over(url: str) -> None:
    verdict = verify([TOKEN], SignedParts(url, {}, "x" * 28))
    assert verdict.token is None
    assert verdict.cause in ("unverifiable", "mismatch")


@given(
    url=st.text(max_size=40),
    params=st.dictionaries(st.text(max_size=8), st.lists(st.text(max_size=8), max_size=3), max_size=4),
    signature=st.none() | st.text(max_size=60),
    settings=st.none() | st.text(max_size=30),
    host=st.text(max_size=10),
)
def test_a02_nothing_makes_it_raise_or_accept(
    url: str, params: dict[str, list[str]], signature: str | None, settings: str | None, host: str
) -> None:
    found = SignedParts(url, params, signature, settings)
    assert verify([TOKEN], found).token is None
    assert diagnose([TOKEN], found, other_hosts=[host]) in CAUSES


@pytest.mark.parametrize(
    ("seen", "as_url", "cause"),
    [
        ("http://h.example/a", "https://h.example/a", "wrong_scheme"),
        ("https://h.example/a", "http://h.example/a", "wrong_scheme"),
        ("http://h.example/a", "https://h.example/a/", "trailing_slash"),
        ("https://h.example/a/", "https://h.example/a", "trailing_slash"),
        ("https://h.example/a?added=1", "https://h.example/a", "query_changed"),
        ("https://h.example/a?t=x,y", "https://h.example/a?t=x%2Cy", "escaping"),
        ("https://h.example/a?t=x%2Cy", "https://h.example/a?t=x,y", "escaping"),
        ("https://h.example/a", "https://public.example/a", "wrong_host"),
        ("http://h.example/a", "https://public.example/a", "wrong_host"),
        ("https://h.example/a", "https://unknown.example/b", "mismatch"),
    ],
)
def test_a06_operator_is_told_how_the_url_differs(seen: str, as_url: str, cause: str) -> None:
    found = signed(seen, as_url=as_url)
    assert verify([TOKEN], found) == Verdict(None, "mismatch")
    assert diagnose([TOKEN], found, other_hosts=["proxy.example", "public.example"]) == cause


def test_diagnosis_tells_what_verification_told() -> None:
    assert diagnose([TOKEN], replace(SIGNED, signature=None)) == "missing"
    assert diagnose([TOKEN], replace(SIGNED, settings="algorithm=x")) == "unknown_algorithm"


def test_every_cause_has_a_hint() -> None:
    assert set(HINTS) == set(CAUSES)


@pytest.mark.parametrize("algorithm", [HMAC_SHA1, HMAC_SHA256])
@pytest.mark.parametrize("url", ["https://h.example:443/a", "https://h.example/a", "http://h.example:80/a"])
def test_usual_port_may_be_signed_or_not(url: str, algorithm: str) -> None:
    without = url.replace(":443", "").replace(":80", "")
    assert verify([TOKEN], signed(url, algorithm=algorithm, as_url=without)) == Verdict(0)
    assert verify([TOKEN], signed(without, algorithm=algorithm, as_url=url)) == Verdict(0)
