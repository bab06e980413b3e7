"""Signatures: published vectors, what a stranger can send, and what an operator is told."""

from __future__ import annotations

import hmac
from base64 import b64encode
from dataclasses import replace
from urllib.parse import urlencode, urlparse

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]  # twilio ships no types
from werkzeug.datastructures import MultiDict

from room_reports.signatures import CAUSES, HINTS, SignedParts, diagnose, verify, why_refused
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
        assert verify([TOKEN], found)

    def test_form(self) -> None:
        assert verify([TOKEN], SIGNED)

    def test_form_with_sha256(self) -> None:
        found = replace(SIGNED, signature="GWFy+uuI8CTf9Gn2wJi/sEaWhrOnM+pulMYeYga4CbA=", settings=SHA256)
        assert verify([TOKEN], found)

    def test_get(self) -> None:
        url = f"{URL}&{urlencode(FORM)}"
        assert verify([TOKEN], SignedParts(url, {}, "I71iEx5QFISAXqMPbiN5tUk/7gY="))


def test_a10_tells_which_token_verified() -> None:
    assert verify(["other", TOKEN], SIGNED)
    assert verify([TOKEN, "other"], SIGNED)
    assert why_refused(["other"], SIGNED) == "mismatch"
    assert why_refused([], SIGNED) == "mismatch"


@pytest.mark.parametrize("signature", [None, ""])
def test_a01_missing_signature(signature: str | None) -> None:
    assert why_refused([TOKEN], replace(SIGNED, signature=signature)) == "missing"


@pytest.mark.parametrize("named", ["HMAC_MD5", "none", "hmac-sha1", "HMAC_SHA256 x"])
def test_a11_unknown_algorithm(named: str) -> None:
    assert why_refused([TOKEN], replace(SIGNED, settings=f"key=k,algorithm={named}")) == "unknown_algorithm"


@pytest.mark.parametrize("settings", ["", "key=only", "algorithm=", ",,=,", "algorithm=hmac_sha1"])
def test_a11_without_a_named_algorithm_it_is_sha1(settings: str) -> None:
    assert verify([TOKEN], replace(SIGNED, settings=settings))


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
    assert why_refused([TOKEN], SignedParts(url, {}, "x" * 28)) in ("unverifiable", "mismatch")


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
    assert not verify([TOKEN], found)
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
    assert why_refused([TOKEN], found) == "mismatch"
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
    assert verify([TOKEN], signed(url, algorithm=algorithm, as_url=without))
    assert verify([TOKEN], signed(without, algorithm=algorithm, as_url=url))


plain = ["h.example", "H.example", "u:p@h.example", "bücher.example", "[::1]"]
ports = ["", ":", ":443", ":80", ":8443", ":0", ":65536"]
hosts = st.builds("{}{}".format, st.sampled_from(plain), st.sampled_from(ports))
urls = st.builds(
    "{}{}{}{}{}".format,
    st.sampled_from(["https://", "http://", "HTTPS://", "//", ""]),
    hosts,
    st.sampled_from(["", "/", "/a", "/a/", "/a;p", "/a;", "/%2f", "/a b", "/a\tb", "/ä", "/\x00", " /a"]),
    st.sampled_from(["", "?", "?a=1", "?a=%2C&a=%2c", "?a=b c", "?bodySHA256=0", "?ü=🎥", "?a\n=1"]),
    st.sampled_from(["", "#", "#f"]),
)
words = st.sampled_from(["", "A", "a", "AB", "B", "é", "🎥", "\x00", "a b", "+"]) | st.text(max_size=4)


@given(
    url=urls,
    params=st.dictionaries(words, st.lists(words, max_size=4), max_size=4),
    algorithm=st.sampled_from([HMAC_SHA1, HMAC_SHA256]),
    token=st.sampled_from([TOKEN, "tökén"]),
    rewrite=st.sampled_from(["nothing", "parsed", "with port", "without port", "other"]),
    joined=st.sampled_from(["as documented", "unsorted", "values repeated"]),
)
@settings(max_examples=1000, deadline=None)
def test_a04_what_matches_here_is_what_the_official_validator_accepts(
    url: str, params: dict[str, list[str]], algorithm: str, token: str, rewrite: str, joined: str
) -> None:
    """Signed by hand, of the URL as it is or nearly so, of the parameters as they should be or nearly so."""
    try:
        parts = urlparse(url)
        usual = ":443" if parts.scheme == "https" else ":80"
        signed_url = {
            "nothing": url,
            "parsed": parts.geturl(),
            "with port": parts._replace(netloc=parts.netloc + usual).geturl(),
            "without port": parts._replace(netloc=parts.netloc.split(":")[0]).geturl(),
            "other": url + "x",
        }[rewrite]
    except ValueError:
        signed_url = url
    text = signed_url
    for name in params if joined == "unsorted" else sorted(params):
        values = params[name] if joined == "values repeated" else sorted(set(params[name]))
        text += "".join(name + value for value in values)
    digest = "sha1" if algorithm == HMAC_SHA1 else "sha256"
    signature = b64encode(hmac.digest(token.encode(), text.encode(), digest)).decode()
    repeated = MultiDict((name, value) for name, values in params.items() for value in values)
    try:
        expected = RequestValidator(token).validate(url, repeated, signature, algorithm)
    except (ValueError, IndexError):
        expected = False
    found = SignedParts(url, params, signature, SHA256 if algorithm == HMAC_SHA256 else None)
    assert verify([token], found) == expected
    assert not verify(["other"], found)
