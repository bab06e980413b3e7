"""Which addresses are public, and what the doors are told about destinations that are not."""

from __future__ import annotations

import threading

import pytest

from config.loading import load
from room_reports.addresses import is_public, private_destination_problems, resolves_privately, within
from room_reports.errors import Transient

ENVIRON = {
    "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
    "TWILIO_AUTH_TOKEN": "token",
    "TWILIO_INSIGHTS_URL": "https://192.88.99.1",
    "REPORT_WEBHOOK_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
}


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"]
)
def test_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",  # noqa: S104  # judged, not bound to
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "198.18.0.1",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "fd00:ec2::254",
        "ff02::1",
        "2001:db8::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::7f00:1",
        "2002:7f00:1::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    ],
)
def test_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1", "169.254.169.254"])
def test_hosts_that_resolve_privately(host: str) -> None:
    assert resolves_privately(host)


def test_a_host_that_does_not_resolve() -> None:
    assert not resolves_privately("192.88.99.1")
    with pytest.raises(Transient, match="dns"):
        resolves_privately("nowhere.invalid")


def test_the_doors_are_told_which_setting_leads_inside() -> None:
    environ = ENVIRON | {"REPORT_WEBHOOK_URL": "https://localhost/hook"}
    [problem] = private_destination_problems(load(environ))
    assert problem.startswith("REPORT_WEBHOOK_URL: ")
    assert private_destination_problems(load(environ | {"ALLOW_PRIVATE_DESTINATIONS": "1"})) == []


def test_a_name_that_does_not_resolve_at_start_is_no_problem() -> None:
    assert private_destination_problems(load(ENVIRON | {"REPORT_WEBHOOK_URL": "https://nowhere.invalid/hook"})) == []


def test_a_call_that_hangs_is_left_behind() -> None:
    released = threading.Event()
    with pytest.raises(TimeoutError):
        within(0.1, lambda: released.wait(10))
    released.set()
    assert within(5, lambda: 7) == 7
    with pytest.raises(ValueError, match="broken"):
        within(5, lambda: int("broken"))
