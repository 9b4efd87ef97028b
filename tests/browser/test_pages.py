"""Every page renders on phone, tablet and desktop, dark and light, without console errors or horizontal scrolling."""

from __future__ import annotations

import re
from itertools import product
from typing import TYPE_CHECKING

import pytest

from papertape.events.facts import PositionOpened
from papertape.ui.pages import PAGES
from tests.browser.conftest import HEIGHTS, Scheme, Visitor, assert_fits
from tests.browser.served import example_day, showing
from tests.engine.logs import recorded

if TYPE_CHECKING:
    from pathlib import Path

    from tests.browser.served import Served

pytestmark = pytest.mark.browser
ADDRESSES = {
    "overview": "/",
    "arena": "/arena",
    "strategy": "/strategy/momentum",
    "funnel": "/funnel/momentum",
    "chart": "/chart/BTCUSDT",
    "trades": "/trades",
    "risk": "/risk",
    "events": "/events",
    "event": "/events/17404",
    "messages": "/messages",
    "health": "/system",
    "compare": "/compare",
    "studies": "/studies",
    "study": "/studies/momentum-btc",
    "login": "/login",
    "docs": "/api/docs",
}
STATES = {
    "why": "/events/19701",
    "past": "/?as_of=20000",
    "empty": "/trades?as_of=500",
    "missing": "/nowhere",
    "library": "/library",
    "start": "/library/start",
    "engines": "/engines",
}
"""Further pages and states of pages."""
WIDTHS = {375: (375,), 1440: (1440, 820)}
"""The widths that are pictured of a page opened in a window: resizing it is cheaper than opening another one."""
SCHEMES: tuple[Scheme, ...] = ("dark", "light")
OVERLAPS = """() => [...document.querySelectorAll(".card li")].filter((row) => {
    const words = [...row.children].map((one) => {
        const range = document.createRange();
        range.selectNodeContents(one);
        return range.getBoundingClientRect();
    });
    return words.some((one, at) => words.slice(at + 1).some((other) => one.right > other.left + 1
        && one.bottom > other.top + 1 && other.right > one.left + 1 && other.bottom > one.top + 1));
}).map((row) => row.textContent)"""
"""Finds lines of the conditions with overlapping text."""
SPILLS = """() => [...document.querySelectorAll(".top .cell > *")]
    .filter((one) => one.scrollWidth > one.clientWidth + 1 || one.clientHeight > 24)
    .map((one) => one.textContent.trim())"""
"""Finds texts of the header that wrap, or that lie on a neighbour."""
CLIPPED = """() => [...document.querySelectorAll("main table")].filter((table) => {
    const box = table.closest(".scroll") ?? table.closest(".panel");
    const held = table.closest(".scroll") && /auto|scroll/.test(getComputedStyle(box).overflowX);
    return !held && table.getBoundingClientRect().right > box.getBoundingClientRect().right + 1;
}).map((table) => table.className)"""
"""Finds tables whose last columns are cut off where nothing scrolls."""
PICTURES_MS = 300
"""Charts are drawn after the page has loaded."""


def test_every_page_has_a_screenshot() -> None:
    assert {page.name for page in PAGES} <= set(ADDRESSES)


@pytest.mark.parametrize("opened", WIDTHS)
@pytest.mark.parametrize("name", ADDRESSES | STATES)
def test_a_page_fits_its_window_without_console_errors(
    visitor: Visitor, screenshots: Path, name: str, opened: int
) -> None:
    page = visitor.page(opened)
    with visitor.allowing("404"):
        answer = page.goto((ADDRESSES | STATES)[name])
    assert answer is not None
    assert answer.status == (404 if name == "missing" else 200)
    assert page.locator("h1").first.is_visible()
    page.locator("#counting, #reading").first.wait_for(state="detached")
    for width, scheme in product(WIDTHS[opened], SCHEMES):
        page.set_viewport_size({"width": width, "height": HEIGHTS[width]})
        page.emulate_media(color_scheme=scheme)
        page.wait_for_timeout(PICTURES_MS)
        page.screenshot(path=screenshots / f"{name}-{width}-{scheme}.png", full_page=name != "docs")
        assert_fits(page)


@pytest.mark.parametrize("width", [375, 1440])
def test_missing_warm_up_shows_its_progress_and_ready_time(visitor: Visitor, width: int) -> None:
    page = visitor.page(width)
    page.goto("/strategy/vwap_rsi?as_of=500")
    first = page.locator("li.wait").first
    assert re.fullmatch(r"\S*\s*5m: \d+ of 288 candles, ready 2024-\d\d-\d\d \d\d:\d\d UTC", first.inner_text())
    assert page.evaluate(OVERLAPS) == [], "words lie on one another"


def test_the_header_shows_all_key_figures(visitor: Visitor) -> None:
    page = visitor.page()
    page.goto("/arena")
    for width in HEIGHTS:
        page.set_viewport_size({"width": width, "height": HEIGHTS[width]})
        for name in ("engine", "kill", "equity", "today", "open", "feed", "seq", "utc"):
            assert page.locator(f".cell.{name}").is_visible(), name
        assert page.evaluate(SPILLS) == [], width


def test_a_table_can_be_scrolled_to_its_last_column(visitor: Visitor) -> None:
    page = visitor.page()
    page.set_viewport_size({"width": 820, "height": HEIGHTS[820]})
    for address in ("/library", "/studies", "/engines", "/events", "/arena", "/trades"):
        page.goto(address)
        assert page.evaluate(CLIPPED) == [], address


def test_an_equity_curve_of_one_point_is_drawn(visitor: Visitor, served: Served) -> None:
    page = visitor.page()
    first_seq = next(one.seq for one in recorded(served.db) if isinstance(one.event, PositionOpened))
    page.goto(f"/?as_of={first_seq}")
    assert page.locator("#curves-plot canvas").first.is_visible()
    assert "No equity curve yet" not in page.inner_text("#curves-plot")


@pytest.mark.parametrize("name", ["overview", "trades", "strategy"])
@pytest.mark.parametrize("width", [375, 1440])
def test_a_page_is_readable_without_scripts(visitor: Visitor, screenshots: Path, name: str, width: int) -> None:
    page = visitor.page(width, scripts=False)
    page.goto(ADDRESSES[name])
    text = page.inner_text("main")
    assert "momentum" in text
    assert "-" in text or "+" in text
    assert page.inner_text("#header-seq").replace(",", "").isdecimal()
    page.screenshot(path=screenshots / f"{name}-{width}-without-scripts.png")


def test_two_logs_are_shown_side_by_side(
    visitor: Visitor, served: Served, screenshots: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("beside")
    example_day(folder, "risk.leverage=2")
    with showing(served, folder / "log.db") as url:
        for width in (375, 1440):
            page = visitor.page(width)
            page.goto(f"{url}/compare")
            text = page.inner_text("main")
            assert "risk.leverage" in text
            assert "momentum" in text
            page.screenshot(path=screenshots / f"compare-two-{width}-dark.png", full_page=True)
            assert_fits(page)
            page.close()
