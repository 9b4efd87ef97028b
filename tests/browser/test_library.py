"""The library in a browser: open another log, and come back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from papertape.cli.library.library import CACHED_S
from tests.cli.written_log import write_log

if TYPE_CHECKING:
    from pathlib import Path

    from tests.browser.conftest import Visitor

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("width", [1440, 375])
def test_a_log_of_the_library_opens_lives_and_leads_back(visitor: Visitor, width: int) -> None:
    with ThreadPoolExecutor() as beside:  # The browser's driver has an event loop in this thread.
        beside.submit(write_log, visitor.served.folder / f"old{width}.db").result()
    page = visitor.page(width)
    page.wait_for_timeout(1_000 * CACHED_S + 100)  # The listing of the test before is too old by then.
    page.goto("/library")
    with visitor.allowing("503"):  # Until the views of the log are folded, its page says how far they are.
        page.click(f"text=old{width}.db")
        page.wait_for_url("**/open/**/")
        page.wait_for_selector("#header-seq:has-text('15')")
    page.click("nav >> text=Arena")
    page.wait_for_url("**/open/**/arena")
    # The header of an opened log comes from its own stream, in which no engine runs.
    page.wait_for_selector(".cell.engine:has-text('stopped')")
    page.click("text=Back to the library")
    page.wait_for_selector(".tag:has-text('this page')")


def test_a_refused_job_says_why_in_the_form(visitor: Visitor) -> None:
    page = visitor.page(logged_in=True)
    page.goto("/library/start?kind=sweep")
    page.fill("textarea[name=vary]", "nothing=1,2")
    with visitor.expecting("422"):
        page.click("text=Start the sweep")
        page.wait_for_selector(".answer.bad:has-text('candles')")


def test_the_form_names_the_symbol_of_a_file_that_does_not(visitor: Visitor, screenshots: Path) -> None:
    (visitor.served.folder / "candles of last year.csv").write_text("open_time_ms,open,high,low,close,volume\n")
    page = visitor.page(logged_in=True)
    page.wait_for_timeout(1_000 * CACHED_S + 100)
    page.goto("/library/start?kind=sweep")
    page.select_option("select[name=strategy]", "vwap_rsi")
    page.fill("textarea[name=vary]", "rsi_period=10,14")
    page.check("text=candles of last year.csv")
    page.click("text=Start the sweep")
    assert page.locator("[data-symbol-of]:invalid").count() == 1, "a chosen file needs its symbol"
    page.fill("[data-symbol-of]", "btcusdt")
    page.screenshot(path=screenshots / "start-symbol.png", full_page=True)
    with page.expect_request("**/api/v1/jobs/sweep") as sent, page.expect_response("**/api/v1/jobs/sweep") as answered:
        page.click("text=Start the sweep")
    assert sent.value.post_data_json["files"] == ["BTCUSDT=candles of last year.csv"]
    assert answered.value.status == 200
    page.wait_for_url("**/library")
