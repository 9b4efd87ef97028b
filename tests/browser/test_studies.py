"""The pages of studies in a browser: cells by pointer, keyboard and touch, without scripts, in every state."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import assert_fits
from tests.studies_file import write_study

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page

    from tests.browser.conftest import Visitor
    from tests.browser.served import Served

pytestmark = pytest.mark.browser
STUDY = "/studies/momentum-btc"
CELL = re.compile(r"[+-][\d,]+\.\d\d, rank \d+ of 300 · breakout_lookback \d+ · sl_percent [\d.]+ · .* · set \d+")
COVERED = """() => [...document.querySelectorAll(".graph svg text")].filter((one) => {
    const box = one.getBoundingClientRect();
    const apart = (other) => box.right <= other.left + 1 || other.right <= box.left + 1
        || box.bottom <= other.top + 1 || other.bottom <= box.top + 1;
    const others = [...one.parentElement.querySelectorAll("text")].filter((other) => other !== one);
    const boxes = others.map((other) => other.getBoundingClientRect());
    return box.width && boxes.some((other) => other.width && !apart(other));
}).map((one) => one.textContent)"""
"""Finds labels of an axis that lie on one another."""


def readout(page: Page) -> str:
    """Return what the page says of a cell."""
    return str(page.inner_text("#readout"))


def test_a_cell_is_read_out_under_the_pointer_and_by_the_arrow_keys(visitor: Visitor) -> None:
    page = visitor.page()
    page.goto(STUDY)
    first = page.locator("table.heat").first
    first.locator("button").first.hover()
    assert CELL.fullmatch(readout(page)), readout(page)
    assert first.locator("button[tabindex='0']").count() == 1
    first.locator("button").first.focus()
    before = readout(page)
    page.keyboard.press("ArrowRight")
    assert CELL.fullmatch(readout(page))
    assert readout(page) != before
    assert "breakout_lookback 15" in readout(page)
    page.keyboard.press("ArrowUp")
    assert "sl_percent 1.1" in readout(page), "the first row is the top one"
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"[?&]set=\d+"))
    assert page.locator(".picked-set").is_visible()
    assert page.locator("button.picked").count() == 1


def test_a_cell_can_be_tapped_on_a_phone(visitor: Visitor) -> None:
    page = visitor.page(375, touch=True)
    page.goto(STUDY)
    page.locator("table.heat button.own").tap()
    page.wait_for_url(re.compile(r"[?&]set=199"))
    assert "Largest drawdown" in page.inner_text(".picked-set")
    assert_fits(page)


def test_a_choice_of_axes_keeps_the_others(visitor: Visitor) -> None:
    page = visitor.page()
    page.goto(f"{STUDY}?by=sharpe")
    page.select_option("select[name=across]", "volume_confirmation_multiplier")
    page.wait_for_url(re.compile("across=volume_confirmation_multiplier"))
    assert page.input_value("select[name=by]") == "sharpe"
    assert page.locator("table.heat").count() == 10
    assert_fits(page)


@pytest.mark.parametrize("width", [375, 1440])
def test_the_labels_of_an_axis_do_not_touch(visitor: Visitor, width: int) -> None:
    page = visitor.page(width)
    page.goto(STUDY)
    assert page.evaluate(COVERED) == []


@pytest.mark.parametrize("width", [375, 1440])
def test_every_state_of_a_study_fits_its_window(visitor: Visitor, screenshots: Path, width: int) -> None:
    page = visitor.page(width)
    for name in ("momentum-running", "momentum-interrupted", "momentum-failed", "newer", "broken"):
        answer = page.goto(f"/studies/{name}")
        assert answer is not None
        assert answer.status == 200
        page.screenshot(path=screenshots / f"study-{name}-{width}.png", full_page=True)
        assert_fits(page)


def test_a_study_is_readable_and_usable_without_scripts(visitor: Visitor) -> None:
    page = visitor.page(scripts=False)
    page.goto(STUDY)
    assert "What would change it" in page.inner_text("main")
    page.locator("table.heat button").nth(7).click()
    page.wait_for_url(re.compile(r"[?&]set=\d+"))
    assert page.locator(".picked-set").is_visible()


def test_the_page_of_a_running_study_follows_it(visitor: Visitor, served: Served) -> None:
    folder = served.folder / "studies"
    write_study(folder, "soon", state="running", results_max=300)
    page = visitor.page()
    page.goto("/studies/soon")
    assert "Running: 300 of 3,300 results" in page.inner_text("main")
    (folder / "soon.db").unlink()
    write_study(folder, "soon", state="interrupted", results_max=600)
    page.get_by_text("Interrupted: 600 of 3,300 results").wait_for()
    (folder / "soon.db").unlink()


def test_a_command_can_be_copied(visitor: Visitor) -> None:
    page = visitor.page()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto("/studies/momentum-interrupted")
    page.locator("[data-copy-text]").click()
    page.get_by_text("Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == "papertape walkforward momentum-interrupted"
