"""A browser, and the page with a day's rooms in it. Every screenshot is kept in `var/screenshots`."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]  # it ships no types
from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page, expect, sync_playwright

from config.loading import load
from tests.browser.scenes import feed
from tests.support.processes import ROOT, Web, settings_for
from tests.support.secrecy import SECRECY
from tests.support.servers import RedisServer

PASSWORD = "correct horse battery"
SCREENSHOTS = ROOT / "var" / "screenshots"
SIZES = {"desktop": (1280, 800), "phone": (390, 844)}
SERIOUS = ("serious", "critical")

CHROMIUM = shutil.which("chromium")

LISTEN = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => {
  window.violations.push(`${event.violatedDirective}: ${event.blockedURI} ${event.sample}`);
});
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without Chromium these tests are skipped, and say so; `.ci/run` installs it."""
    if CHROMIUM is None:
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason="no chromium: apt-get install chromium"))


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, without a sandbox of its own, for containers have no room for one."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@dataclass(frozen=True)
class Stage:
    """The service with a ledger of its own."""

    server: RedisServer
    web: Web
    empty: Web
    """The same with a ledger in which nothing ever happened."""


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """gunicorn on a Valkey with the scenes in it."""
    logs = tmp_path_factory.mktemp("stage")
    with RedisServer() as server, server.client() as client:
        slack = "http://127.0.0.1:9/services/T0/B0/x"
        env = settings_for(server.url, SLACK_WEBHOOK_URL=slack, SLACK_RATE="0", OPS_PASSWORD=PASSWORD)
        feed(load(env), client)
        with Web(env=env, log=logs / "web.log") as web:
            with Web(env={**env, "REDIS_PREFIX": "empty:"}, log=logs / "empty.log") as empty:
                yield Stage(server, web, empty)
            assert "Traceback" not in web.output()


@dataclass
class Visit:
    """One browser window. What its console says, and what the content security policy had to stop, is collected."""

    page: Page
    url: str
    look: str
    complaints: list[str] = field(default_factory=list)

    def open(self, path: str, *, status: int = 200) -> None:
        """Opens a page, which must answer so."""
        answer = self.page.goto(self.url + path)
        assert answer is not None
        assert answer.status == status, f"{path}: {answer.status}"

    def sign_in(self) -> None:
        """Opens the page and signs in."""
        self.open("/")
        self.page.get_by_label("Password").fill(PASSWORD)
        self.page.get_by_role("button", name="Sign in").click()
        expect(self.page.get_by_role("button", name="Sign out")).to_be_visible()

    def keep(self, name: str, *, whole: bool = True) -> None:
        """Keeps a screenshot."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}-{self.look}.png", full_page=whole)

    def check(self) -> None:
        """What holds on every page: it fits, axe finds nothing serious, and nothing had to be stopped."""
        self.page.wait_for_load_state()
        SECRECY.look(f"the page {self.page.url}", self.page.content().encode())
        assert self.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it scrolls sideways"
        assert self.page.evaluate("document.scripts.length") == 0
        found = Axe().run(self.page, options={"resultTypes": ["violations"]}).response["violations"]
        assert [told(one) for one in found if one["impact"] in SERIOUS] == []
        assert self.page.evaluate("window.violations") == []
        assert self.complaints == []


def told(violation: dict[str, Any]) -> str:
    """What axe found, and where."""
    places = [" ".join(node["target"]) for node in violation["nodes"]]
    return f"{violation['id']}: {violation['help']}: {places[:5]}"


OpenVisit = Callable[..., Visit]


@pytest.fixture
def visit(chromium: Browser, stage: Stage) -> Iterator[OpenVisit]:
    """`visit(size, scheme)`: a new window of a new browser profile."""
    contexts = []

    def start(size: str = "desktop", scheme: Any = "light", *, web: Web | None = None) -> Visit:
        width, height = SIZES[size]
        context = chromium.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        contexts.append(context)
        context.set_default_timeout(10_000)
        context.add_init_script(LISTEN)
        page = context.new_page()
        new = Visit(page, (web or stage.web).url, f"{size}-{scheme}")

        def listen(message: ConsoleMessage) -> None:
            # Chromium also says when a page answers 404, which is then meant.
            if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
                new.complaints.append(message.text)

        def refuse(dialog: Dialog) -> None:
            new.complaints.append(f"a dialog: {dialog.message}")
            dialog.dismiss()

        page.on("console", listen)
        page.on("pageerror", lambda error: new.complaints.append(str(error)))
        page.on("dialog", refuse)
        return new

    yield start
    for context in contexts:
        context.close()
