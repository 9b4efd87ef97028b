"""Tables in a browser: sorting and filtering that survive a refresh, columns, files, and paper."""

from __future__ import annotations

import csv
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.patience import stretched

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.conftest import Visitor

pytestmark = pytest.mark.browser
INTERACTION_MS_MAX = 100.0
ROWS = """(name) => [...document.querySelectorAll(`table[data-table="${name}"] > tbody > tr:not(.more)`)]
    .filter((row) => !row.hidden).map((row) => row.id)"""
NETS = """() => [...document.querySelectorAll("table[data-table=arena] > tbody > tr")]
    .map((row) => Number(row.querySelector("td.net > .num").textContent.replace(/[^-0-9.]/g, "")))"""
TIMED = """(button) => {
    const at = performance.now();
    button.click();
    document.body.getBoundingClientRect();
    return performance.now() - at;
}"""


def refreshed(page: Page) -> None:
    """Wait until the page has fetched and morphed its content."""
    page.evaluate("""() => new Promise((done) => {
        document.addEventListener("htmx:afterSwap", () => done(), { once: true });
        window.htmx.trigger(document.body, "moved");
    })""")


def test_a_sorted_and_filtered_table_stays_so_when_it_is_refreshed(visitor: Visitor) -> None:
    page = visitor.page()
    page.goto("/arena")
    net = page.locator("table[data-table=arena] th >> text=Net")
    net.click()
    net.click()
    assert page.get_attribute("th:has-text('Net')", "aria-sort") == "ascending"
    page.fill("#tools-arena input", "mo")
    refreshed(page)
    assert page.evaluate(ROWS, "arena") == ["arena-momentum"]
    assert page.inner_text("#tools-arena output") == "1 of 4"
    assert page.get_attribute("th:has-text('Net')", "aria-sort") == "ascending"
    page.fill("#tools-arena input", "")
    found = page.evaluate(NETS)
    assert found == sorted(found)
    assert page.evaluate("document.activeElement.matches('#tools-arena input')"), "the focus stays"


def test_the_lower_line_of_a_column_sorts_too(visitor: Visitor) -> None:
    page = visitor.page()
    page.goto("/arena")
    page.click("table[data-table=arena] th small >> text=now")
    lows = page.eval_on_selector_all(
        "table[data-table=arena] td[data-label=Drawdown] .sub", "(all) => all.map((one) => parseFloat(one.textContent))"
    )
    assert lows == sorted(lows, reverse=True)


def test_chosen_columns_are_remembered(visitor: Visitor) -> None:
    page = visitor.page()
    page.goto("/arena")
    page.click("#tools-arena [popovertarget]")
    page.uncheck("#columns-arena >> text=Sharpe")
    page.keyboard.press("Escape")
    page.goto("/arena")
    assert page.locator("th:has-text('Sharpe')").is_hidden()
    assert page.locator("td[data-label=Sharpe]").first.is_hidden()
    page.click("#tools-arena [popovertarget]")
    page.check("#columns-arena >> text=Sharpe")
    assert page.locator("td[data-label=Sharpe]").first.is_visible()


def test_a_file_holds_what_is_shown_as_numbers(visitor: Visitor) -> None:
    page = visitor.page()
    page.goto("/arena?as_of=20000")
    page.fill("#tools-arena input", "momentum")
    with page.expect_download() as download:
        page.click("#tools-arena [data-csv]")
    assert download.value.suggested_filename == "arena.csv"
    text = Path(download.value.path()).read_text(encoding="utf-8-sig")
    (row,) = csv.DictReader(StringIO(text))
    assert row["Strategy"].startswith("momentum")
    assert float(row["Net (%)"]) == float(page.inner_text("#arena-momentum td.net > .num").removesuffix(" %"))
    assert float(row["Trades"]) > 0
    assert row["Expectancy, 95 % interval"].count("…") == 1


def test_a_header_stays_in_view(visitor: Visitor) -> None:
    page = visitor.page()
    page.goto("/trades?as_of=20000")
    page.mouse.wheel(0, 900)
    page.wait_for_function("window.scrollY > 300")
    top = page.evaluate("document.querySelector('table[data-table=trades] th').getBoundingClientRect().top")
    assert 0 <= top <= 60


def test_an_interaction_takes_less_than_a_moment(visitor: Visitor) -> None:
    page = visitor.page()
    page.goto("/events")
    button = page.locator("table[data-table=events] th .sort").first.element_handle()
    assert min(page.evaluate(TIMED, button) for _ in range(5)) < stretched(INTERACTION_MS_MAX)


def test_on_paper_there_are_tables_without_navigation(visitor: Visitor, screenshots: Path) -> None:
    page = visitor.page()
    page.goto("/trades?as_of=20000")
    page.emulate_media(media="print", color_scheme="dark")
    for hidden in (".side", ".top", ".table-tools", ".filters"):
        assert page.locator(hidden).first.is_hidden(), hidden
    assert page.locator("table[data-table=trades] th").first.is_visible()
    assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(255, 255, 255)"
    page.screenshot(path=screenshots / "print-1440-light.png", full_page=True)
    page.emulate_media(media="screen")
