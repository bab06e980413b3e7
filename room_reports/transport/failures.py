"""What an error of the libraries below says, as one of `room_reports.errors`."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from http.client import IncompleteRead

import requests
import urllib3

from room_reports.errors import Transient


def classify(error: BaseException, host: str) -> Transient:
    """What went wrong, told from the errors inside the error: requests and urllib3 wrap them several deep."""
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Transient("tls", f"the certificate of {host} is refused: {cause.verify_message}")
        if isinstance(cause, ssl.SSLError):
            return Transient("tls", f"no TLS with {host}: {cause.reason or 'handshake failed'}")
    if any(isinstance(cause, TimeoutError | urllib3.exceptions.TimeoutError | requests.Timeout) for cause in causes):
        return Transient("timeout", f"{host} did not answer in time")
    for cause in causes:
        if isinstance(cause, _CUT_OFF):
            return Transient("truncated", f"the reply of {host} is cut off or damaged")
    for cause in causes:
        if tunnel := re.match(r"Tunnel connection failed: (\d{3})", str(cause)):
            return Transient("connection", f"the proxy refuses to connect to {host} ({tunnel[1]})")
        if isinstance(cause, OSError) and cause.strerror:
            return Transient("connection", f"{host}: {cause.strerror}")
    return Transient("connection", f"{host} broke off ({type(causes[-1]).__name__})")


_CUT_OFF = (
    IncompleteRead,
    urllib3.exceptions.IncompleteRead,
    urllib3.exceptions.InvalidChunkLength,
    urllib3.exceptions.DecodeError,
)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what it wraps, as an argument or as its `reason`, from the outside in."""
    yield error
    for inner in (*error.args, getattr(error, "reason", None)):
        if isinstance(inner, BaseException) and inner is not error:
            yield from _causes(inner)
