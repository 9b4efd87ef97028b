"""The library in a browser: open another log, and come back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from papertape.cli.library.library import CACHED_S
from tests.cli.written_log import write_log

if TYPE_CHECKING:
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
