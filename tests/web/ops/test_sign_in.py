"""Who gets in, and who does not."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
import redis

from tests.support.processes import ROOT, Web, settings_for
from tests.web.conftest import Door
from tests.web.ops.conftest import PASSWORD, Visitor, token_in

PATHS = ("/", "/figures", "/rooms/RM" + "0" * 32, "/?q=x")


def test_without_a_password_there_is_no_page(web: Web) -> None:
    for path in (*PATHS, "/login", "/ops/ops.css"):
        assert Visitor(web).get(path).status_code == 404


def test_without_a_password_nothing_of_it_is_loaded(redis_url: str) -> None:
    code = "import sys, app; app.create(); print({'svg', 'room_reports.web.ops.views'} & set(sys.modules))"
    env = {"PATH": os.environ["PATH"], **settings_for(redis_url)}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


@pytest.mark.parametrize("path", PATHS)
def test_nobody_sees_anything_without_signing_in(stranger: Visitor, path: str) -> None:
    answer = stranger.get(path, follow=False)
    assert answer.status_code == 303
    assert answer.headers["Location"].startswith("/login")
    assert "Password" in stranger.get(path).text


def test_a_form_sent_without_signing_in_does_nothing(stranger: Visitor, store: redis.Redis) -> None:
    page = stranger.get("/login")
    assert stranger.send(page, "/holds/slack/resume", follow=False).headers["Location"] == "/login"
    assert not store.exists("room-reports:counts")


def test_the_password_opens_the_page_that_was_asked_for(stranger: Visitor) -> None:
    asked = stranger.get("/?q=caf%C3%A9&state=open")
    wanted = re.search(r'name="next" value="([^"]+)"', asked.text)
    assert wanted
    answer = stranger.sign_in(next=wanted[1].replace("&amp;", "&"), follow=False)
    assert answer.headers["Location"] == "/?q=caf%C3%A9&state=open"
    assert stranger.get("/").status_code == 200


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "/\t/evil.example",
        "javascript:alert(1)",
        "\\\\evil",
    ],
)
def test_signing_in_leads_nowhere_else(stranger: Visitor, elsewhere: str) -> None:
    assert stranger.sign_in(next=elsewhere, follow=False).headers["Location"] == "/"


def test_a_wrong_password_does_not(stranger: Visitor) -> None:
    answer = stranger.sign_in(PASSWORD + "x")
    assert answer.status_code == 403
    assert "not the password" in answer.text
    assert stranger.get("/", follow=False).status_code == 303


@pytest.mark.parametrize("token", ["", "x", "é"])
def test_signing_in_needs_the_token_of_the_form(stranger: Visitor, token: str) -> None:
    stranger.get("/login")
    answer = stranger.post("/login", password=PASSWORD, csrf=token)
    assert answer.status_code == 400
    assert stranger.get("/", follow=False).status_code == 303


def test_another_browsers_token_is_none(ops: Web, stranger: Visitor) -> None:
    stranger.get("/login")
    other = token_in(Visitor(ops).get("/login"))
    assert stranger.post("/login", password=PASSWORD, csrf=other).status_code == 400


def test_a_request_that_another_site_caused_is_refused(operator: Visitor) -> None:
    page = operator.get("/")
    operator.http.headers["Sec-Fetch-Site"] = "cross-site"
    assert operator.send(page, "/logout").status_code == 400


def test_the_cookie_is_out_of_reach(stranger: Visitor) -> None:
    cookies = stranger.sign_in(follow=False).raw.headers.getlist("Set-Cookie")
    assert len(cookies) == 2
    for cookie in cookies:
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        assert "Secure" not in cookie, "plain http on this very machine"


@pytest.mark.parametrize(
    ("variables", "headers"),
    [
        ({}, {"Host": "reports.example.com"}),
        ({"PUBLIC_BASE_URL": "https://reports.example.com"}, {}),
        ({"TRUSTED_PROXIES": "1"}, {"X-Forwarded-Proto": "https"}),
    ],
)
def test_the_cookie_is_for_tls_and_this_host_alone(
    door: Door, variables: dict[str, str], headers: dict[str, str]
) -> None:
    visitor = Visitor(door(OPS_PASSWORD=PASSWORD, **variables), **headers)
    cookie = visitor.get("/login").headers["Set-Cookie"]
    assert cookie.startswith("__Host-ops=")
    assert "Secure" in cookie
    assert "Path=/" in cookie
    assert "Domain" not in cookie


def test_signing_out_ends_the_session_wherever_its_cookie_is(ops: Web, operator: Visitor) -> None:
    thief = Visitor(ops)
    thief.http.cookies.update(operator.http.cookies)
    assert thief.get("/", follow=False).status_code == 200
    assert operator.send(operator.get("/"), "/logout").status_code == 200
    assert operator.get("/", follow=False).status_code == 303
    assert thief.get("/", follow=False).status_code == 303


def test_signing_in_gives_a_new_session_and_token(stranger: Visitor) -> None:
    before = token_in(stranger.get("/login"))
    assert token_in(stranger.sign_in()) != before


def test_every_process_knows_the_session_and_another_password_ends_it(operator: Visitor, door: Door) -> None:
    again = door(OPS_PASSWORD=PASSWORD, LOG_LEVEL="DEBUG")
    other = door(OPS_PASSWORD=PASSWORD + " staple")
    for web, status in ((again, 200), (other, 303)):
        visitor = Visitor(web)
        visitor.http.cookies.update(operator.http.cookies)
        assert visitor.get("/", follow=False).status_code == status


def test_a_forged_cookie_is_none(ops: Web, operator: Visitor) -> None:
    forger = Visitor(ops)
    value = operator.http.cookies["ops"]
    forger.http.cookies.set("ops", value[:-2] + ("aa" if not value.endswith("aa") else "bb"))
    assert forger.get("/", follow=False).status_code == 303


class TestTries:
    def test_after_five_one_has_to_wait_in_every_process(self, ops: Web, door: Door) -> None:
        other = door(OPS_PASSWORD=PASSWORD, LOG_LEVEL="DEBUG")
        for number in range(5):
            assert Visitor((ops, other)[number % 2]).sign_in("wrong password").status_code == 403
        for web in (ops, other):
            answer = Visitor(web).sign_in()
            assert answer.status_code == 429, "not even the right one"
            assert 50 <= int(answer.headers["Retry-After"]) <= 61

    def test_the_right_one_forgives_the_wrong_ones(self, stranger: Visitor) -> None:
        for _ in range(3):
            for _ in range(4):
                assert stranger.sign_in("wrong password").status_code == 403
            assert stranger.sign_in().status_code == 200

    def test_clients_are_told_apart_by_what_the_trusted_proxy_says(self, door: Door) -> None:
        web = door(OPS_PASSWORD=PASSWORD, TRUSTED_PROXIES="1")

        def try_from(address: str) -> int:
            visitor = Visitor(web, **{"X-Forwarded-For": f"203.0.113.1, {address}", "Host": "localhost"})
            return visitor.sign_in("wrong password").status_code

        assert [try_from("198.51.100.1") for _ in range(6)] == [403] * 5 + [429]
        assert try_from("198.51.100.2") == 403
        assert [try_from(f"2001:db8::{number}") for number in range(6)] == [403] * 5 + [429], "one network, one client"

    def test_strangers_by_the_hundred_do_not_keep_an_operator_out_who_was_here_before(self, door: Door) -> None:
        web = door(OPS_PASSWORD=PASSWORD, TRUSTED_PROXIES="1")
        known = Visitor(web, **{"X-Forwarded-For": "192.0.2.1"})
        assert known.sign_in().status_code == 200
        known.send(known.get("/"), "/logout")
        statuses = [
            Visitor(web, **{"X-Forwarded-For": f"198.51.{number}.1"}).sign_in("wrong password").status_code
            for number in range(60)
        ]
        assert statuses.count(429) >= 5
        assert Visitor(web, **{"X-Forwarded-For": "192.0.2.2"}).sign_in().status_code == 429, (
            "nobody knows this browser"
        )
        assert known.sign_in().status_code == 200


def test_tries_are_told_in_the_log_and_the_password_is_not(ops: Web, stranger: Visitor) -> None:
    before = len(ops.output())
    stranger.sign_in("a wrong password")
    stranger.sign_in()
    said = ops.output()[before:]
    assert "sign-in refused: wrong password" in said
    assert "signed in to the page" in said
    assert "a wrong password" not in said
    assert PASSWORD not in said
