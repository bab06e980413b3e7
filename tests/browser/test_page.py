"""The page in a browser: every page and state on a phone and a desktop, light and dark, and the ways through it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import PASSWORD, OpenVisit, Stage
from tests.browser.scenes import DEAD, EXPIRED, NAMELESS, PARTIAL, PLAIN, RESENT, STRANGE, WAITING
from tests.support.rooms_in_ledger import HOSTILE, sid_of

ROOMS = {
    "room-waiting": WAITING,
    "room-partial": PARTIAL,
    "room-dead": DEAD,
    "room-expired": EXPIRED,
    "room-hostile": STRANGE,
    "room-resent": RESENT,
}


FOCUS = """() => {
  const style = getComputedStyle(document.activeElement);
  return [document.activeElement.id, style.outlineStyle, parseFloat(style.outlineWidth)];
}"""


@pytest.mark.parametrize(("size", "scheme"), [("desktop", "light"), ("phone", "dark")])
def test_every_page_fits_is_readable_and_breaks_no_policy(
    visit: OpenVisit, stage: Stage, size: str, scheme: Literal["light", "dark"]
) -> None:
    with stage.server.client() as client:
        client.set("room-reports:worker:worker-1", "32 3", ex=60)
    window = visit(size, scheme)
    window.open("/")
    window.check()
    window.keep("sign-in")
    window.sign_in()
    window.check()
    window.keep("rooms", whole=False)
    for name, number in ROOMS.items():
        window.open(f"/rooms/{sid_of(number)}")
        window.check()
        window.keep(name)
    window.open(f"/rooms/{sid_of(PLAIN)}")
    window.page.get_by_role("button", name="Resend to slack").click()
    expect(window.page.get_by_role("heading", name="Deliver it again?")).to_be_visible()
    window.check()
    window.keep("resend-again")
    window.open("/figures")
    window.page.get_by_text("As a table").first.click()
    window.check()
    window.keep("figures")
    window.open(f"/days/{datetime.now(UTC).date()}")
    window.check()
    window.keep("day")
    window.open("/?q=no+such+room")
    window.check()
    window.keep("rooms-none-found")
    window.open(f"/rooms/RM{'0' * 32}", status=404)
    window.check()
    window.keep("room-unknown")


@pytest.mark.parametrize(("size", "scheme"), [("desktop", "dark"), ("phone", "light")])
def test_the_main_pages_the_other_way_round(visit: OpenVisit, size: str, scheme: Literal["light", "dark"]) -> None:
    window = visit(size, scheme)
    window.sign_in()
    for name, path in (("rooms", "/"), ("room-dead", f"/rooms/{sid_of(DEAD)}"), ("figures", "/figures")):
        window.open(path)
        window.keep(name, whole=name != "rooms")
    window.check()


def test_an_empty_ledger(visit: OpenVisit, stage: Stage) -> None:
    window = visit("phone", web=stage.empty)
    window.sign_in()
    expect(window.page.get_by_role("heading", name="No room has ended yet")).to_be_visible()
    window.check()
    window.keep("rooms-empty")
    window.open("/figures")
    window.check()
    window.keep("figures-empty")
    window.open("/days")
    window.check()
    window.keep("day-empty")


def test_a_redis_that_does_not_answer(visit: OpenVisit, stage: Stage) -> None:
    window = visit("phone", "dark")
    window.sign_in()
    stage.server.pause()
    try:
        window.open("/figures", status=503)
    finally:
        stage.server.go_on()
    window.check()
    window.keep("redis-away")
    window.page.get_by_role("link", name="Try again").click()
    expect(window.page.get_by_role("heading", name="Figures")).to_be_visible()


def test_finding_a_room_and_resending_it_by_keyboard_alone(visit: OpenVisit) -> None:
    window = visit()
    page = window.page
    window.open(f"/rooms/{sid_of(NAMELESS)}")
    expect(page.get_by_label("Password")).to_be_focused()
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="no name")).to_be_visible()
    window.open("/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    focused = ""
    for _ in range(20):
        if focused == "q":
            break
        page.keyboard.press("Tab")
        focused, style, width = page.evaluate(FOCUS)
        assert style != "none", focused
        assert width >= 2, focused
    assert focused == "q"
    page.keyboard.type("support 4711")
    page.keyboard.press("Enter")
    expect(page.get_by_role("row")).not_to_have_count(1)
    page.get_by_role("searchbox", name="Name or SID").fill(sid_of(RESENT))
    page.keyboard.press("Enter")
    expect(page.get_by_text("asked for by ada@workstation")).to_be_visible()
    page.get_by_role("button", name="Resend to webhook").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Deliver it again?")).to_be_visible()
    page.get_by_role("button", name="Resend to webhook").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("Resending to webhook.")
    expect(page.get_by_text("asked for by ops page, 127.0.0.1")).to_be_visible()
    window.check()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Password")).to_be_visible()
    page.go_back()
    expect(page.get_by_label("Password")).to_be_visible()


def test_filters_and_pages(visit: OpenVisit) -> None:
    window = visit("phone")
    page = window.page
    window.sign_in()
    page.get_by_role("link", name="dead 1").click()
    expect(page.get_by_role("rowheader")).to_have_count(1)
    expect(page.get_by_role("rowheader")).to_contain_text("interview/backend")
    page.get_by_label("Delivery").select_option("webhook given up")
    page.get_by_label("Verdict").select_option("nothing recorded")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_role("rowheader")).to_have_count(1)
    page.get_by_role("link", name="Show all").click()
    first = page.get_by_role("rowheader").first.text_content()
    page.get_by_role("link", name="Older »").click()
    assert page.get_by_role("rowheader").first.text_content() != first
    page.get_by_role("link", name="« Newest").click()
    assert page.get_by_role("rowheader").first.text_content() == first


def test_a_hostile_name_stays_text(visit: OpenVisit) -> None:
    window = visit()
    page = window.page
    window.sign_in()
    shown = HOSTILE.replace("\u202e", "")
    for path in ("/", f"/rooms/{sid_of(STRANGE)}"):
        window.open(path)
        expect(page.get_by_text(shown[:60]).first).to_be_visible()
        assert page.locator("script, img[src='x'], [onerror]").count() == 0
        assert "\u202e" not in page.content()
    assert window.complaints == []
    expect(page.locator(".slack-header")).to_contain_text(shown)


def test_what_is_held_is_resumed(visit: OpenVisit, stage: Stage) -> None:
    window = visit("phone", "dark", web=stage.web)
    page = window.page
    window.sign_in()
    expect(page.get_by_role("heading", name="Nothing is delivered to Slack until you resume it")).to_be_visible()
    page.get_by_role("button", name="Resume slack").click()
    expect(page.get_by_role("status")).to_contain_text("slack is resumed")
    expect(page.get_by_role("button", name="Resume slack")).to_have_count(0)
    window.keep("resumed", whole=False)
