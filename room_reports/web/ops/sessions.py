"""Who is signed in: a signed cookie, whose key every web process derives alike, and an entry in the ledger.

Forms carry a token that is in the cookie as well, so that no other site can send them (CSRF), the one
to sign in included.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from urllib.parse import urlsplit

from flask import Flask, request, session
from flask.sessions import SecureCookieSessionInterface
from itsdangerous import BadSignature, TimestampSigner
from werkzeug.wrappers import Response as AnyResponse

from config.settings import Settings
from room_reports.ledger.sign_ins import SignIns

LASTS = 12 * 3600
"""Seconds that one is signed in for: a working day."""

KNOWN_FOR = 90 * 24 * 3600
"""Seconds for which a browser that was signed in is remembered."""


def session_key(settings: Settings) -> bytes:
    """What cookies are signed with: the same in every process, another with another password.

    The auth token goes into it, for cookies are given to every stranger who sees the sign-in form: without it the
    password could be guessed from one at leisure.
    """
    assert settings.ops_password is not None
    salt = b"room-reports sessions " + settings.twilio_auth_token[0].get_secret_value().encode()
    return hashlib.scrypt(settings.ops_password.get_secret_value().encode(), salt=salt, n=2**14, r=8, p=1, dklen=32)


class Sessions(SecureCookieSessionInterface):
    """Flask's signed cookie, for this host alone, out of reach of scripts and of other sites' forms."""

    salt = "room-reports session"
    digest_method = staticmethod(hashlib.sha256)

    def __init__(self, *, public_base_url: str | None) -> None:
        self._is_public_https = (public_base_url or "").startswith("https:")

    def get_cookie_name(self, app: Flask) -> str:
        return self.named("ops")

    def get_cookie_secure(self, app: Flask) -> bool:
        return self._is_public_https or not _is_on_this_machine()

    def get_cookie_httponly(self, app: Flask) -> bool:
        return True

    def get_cookie_samesite(self, app: Flask) -> str:
        return "Lax"  # a link to a room in a chat must find one signed in

    def named(self, name: str) -> str:
        """The name of a cookie; browsers hold those with `__Host-` to this host and to TLS."""
        return f"__Host-{name}" if self._is_public_https or not _is_on_this_machine() else name


def _is_on_this_machine() -> bool:
    """Whether the browser talks to its own machine, where there may be no TLS and nobody listens in between."""
    try:
        name = urlsplit(f"//{request.host}").hostname
    except ValueError:
        return False
    return name in ("localhost", "127.0.0.1", "::1") and "X-Forwarded-Proto" not in request.headers


def csrf_token() -> str:
    """The token of this browser's forms."""
    if "csrf" not in session:
        session["csrf"] = secrets.token_urlsafe(24)
    return str(session["csrf"])


def came_from_our_form() -> bool:
    """Whether the request was sent by a form of ours in this browser."""
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        return False
    sent, expected = request.form.get("csrf", ""), session.get("csrf", "")
    return bool(expected) and hmac.compare_digest(sent.encode(), str(expected).encode())


def sign_in(sign_ins: SignIns) -> None:
    """Begins a session, with a new token: nothing that was set before goes on."""
    session.clear()
    session["id"] = secrets.token_urlsafe(24)
    session["until"] = int(time.time()) + LASTS
    csrf_token()
    sign_ins.begin(session["id"], seconds=LASTS)


def is_signed_in(sign_ins: SignIns) -> bool:
    """Whether this browser is."""
    return session.get("until", 0) > time.time() and sign_ins.is_on(str(session["id"]))


def sign_out(sign_ins: SignIns) -> None:
    """Ends the session here, and wherever else its cookie may be."""
    sign_ins.end(str(session["id"]))
    session.clear()


class KnownBrowsers:
    """Remembers, in a cookie, that a browser was signed in before."""

    def __init__(self, key: bytes, sessions: Sessions) -> None:
        self._signer = TimestampSigner(key, salt="room-reports known", digest_method=hashlib.sha256)
        self._sessions = sessions

    def remember(self, response: AnyResponse) -> None:
        """Marks the browser."""
        value = self._signer.sign(secrets.token_urlsafe(12)).decode()
        response.set_cookie(
            self._sessions.named("ops-known"),
            value,
            max_age=KNOWN_FOR,
            secure=self._sessions.named("").startswith("__Host-"),
            httponly=True,
            samesite="Lax",
        )

    def knows(self) -> bool:
        """Whether the browser that asks is one of them."""
        try:
            self._signer.unsign(request.cookies.get(self._sessions.named("ops-known"), ""), max_age=KNOWN_FOR)
        except BadSignature:
            return False
        return True
