"""A browser for the page tests: console errors and horizontal scrolling fail a test."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from tests.browser.served import Served, example_day, up
from tests.patience import PATIENCE_S
from tests.studies_file import write_examples

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

Scheme = Literal["dark", "light"]
NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
HEIGHTS = {375: 812, 820: 1180, 1440: 900}
SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
WAIT_MS_MAX = 1_000.0 * PATIENCE_S
SPEED = 120
"""Two market minutes per second: steady updates, but not too many."""
CUT_OFF = """() => {
    const room = window.innerWidth;
    const scrolls = (one) => /auto|scroll/.test(getComputedStyle(one).overflowX) && one.clientWidth <= room;
    const held = (one) => one.parentElement && (scrolls(one.parentElement) || held(one.parentElement));
    const seen = (one) => one.checkVisibility() && !one.closest("svg, .skip, [aria-hidden=true]");
    return [...document.querySelectorAll("body *")]
        .filter((one) => one.getBoundingClientRect().right > room + 1 && seen(one) && !held(one))
        .slice(0, 8).map((one) => `${one.tagName.toLowerCase()}.${one.className} "${one.textContent.slice(0, 30)}"`);
}"""
"""Finds elements beyond the right edge that no scrolling inside the page reaches."""


class Visitor:
    """Opens pages and records their console messages."""

    def __init__(self, browser: Browser, served: Served) -> None:
        self._browser, self.served = browser, served
        self._contexts: list[BrowserContext] = []
        self.complaints: list[str] = []

    def page(
        self,
        width: int = 1440,
        scheme: Scheme = "dark",
        *,
        scripts: bool = True,
        logged_in: bool = False,
        touch: bool = False,
    ) -> Page:
        """Return a page in a new browser context."""
        context = self._browser.new_context(
            base_url=self.served.url,
            viewport={"width": width, "height": HEIGHTS[width]},
            color_scheme=scheme,
            java_script_enabled=scripts,
            reduced_motion="reduce",
            has_touch=touch,
        )
        self._contexts.append(context)
        context.set_default_timeout(WAIT_MS_MAX)
        page = self._listened_to(context.new_page())
        if logged_in:
            self.log_in(page)
            page.wait_for_url(f"{self.served.url}/")
        return page

    def tab(self, page: Page) -> Page:
        """Return a further tab in the context of a page."""
        return self._listened_to(page.context.new_page())

    def _listened_to(self, page: Page) -> Page:
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(f"{page.url}: {error}"))
        return page

    def log_in(self, page: Page, token: str | None = None) -> None:
        """Log in through the login page."""
        page.goto("/login")
        page.fill("input[name=token]", self.served.token if token is None else token)
        page.click("form[data-login] button[type=submit]")
        if token is None:
            page.wait_for_url(lambda url: "/login" not in url)

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            where = message.location.get("url", "") if message.location else ""
            self.complaints.append(f"{message.text} ({where})")

    @contextmanager
    def expecting(self, part: str) -> Iterator[None]:
        """Require a console message that belongs to the test, such as a refusal."""
        before = len(self.complaints)
        with self.allowing(part):
            yield
            found = [one for one in self.complaints[before:] if part in one]
            assert found, f"the console did not say {part!r}: {self.complaints}"

    @contextmanager
    def allowing(self, part: str) -> Iterator[None]:
        """Ignore a console message that belongs to the test."""
        before = len(self.complaints)
        yield
        self.complaints[before:] = [one for one in self.complaints[before:] if part not in one]

    def check(self) -> None:
        """Check that no open page scrolls horizontally and that there were no console messages."""
        for context in self._contexts:
            for page in context.pages:
                assert_fits(page)
        assert not self.complaints, "\n".join(self.complaints)

    def leave(self) -> None:
        """Close every page."""
        for context in self._contexts:
            context.close()


def assert_fits(page: Page) -> None:
    """Check that a page is not wider than its window and that nothing is cut off."""
    wide, room, cut_off = page.evaluate(f"[document.documentElement.scrollWidth, window.innerWidth, ({CUT_OFF})()]")
    assert wide <= room, f"{page.url} is {wide} px wide in a window of {room}: {cut_off}"
    assert not cut_off, f"{page.url} in a window of {room} px: {cut_off} cannot be seen"


def chromium() -> str:
    """Return the system's browser. Fail without one: `make test-browser` installs it."""
    for name in NAMES:
        if (found := shutil.which(name)) is not None:
            return found
    raise FileNotFoundError(f"no Chromium here ({', '.join(NAMES)}): run `make test-browser`")


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Run an engine and a page for all tests."""
    folder = tmp_path_factory.mktemp("served")
    example_day(folder)
    write_examples(folder / "studies")
    with up(folder, SPEED) as found:
        yield found


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Run one browser for all tests."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - only these tests need it.

    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=chromium(), args=arguments)
        yield found
        found.close()


@pytest.fixture
def visitor(browser: Browser, served: Served) -> Iterator[Visitor]:
    """Return the visitor of one test, which fails on console messages."""
    found = Visitor(browser, served)
    try:
        yield found
        found.check()
    finally:
        found.leave()


@pytest.fixture(scope="session")
def screenshots() -> Path:
    """Return the folder of the screenshots."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    return SCREENSHOTS
