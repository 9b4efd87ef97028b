"""Many tabs of one browser all load and stay live, although HTTP/1.1 allows only six connections per host."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.browser.test_flows import moves_on, seq_of
from tests.patience import PATIENCE_S

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.conftest import Visitor
    from tests.browser.served import Served

pytestmark = pytest.mark.browser
TABS = 9
LIVE_MS_MAX = 1_000.0 * PATIENCE_S
SHOW = """shown => {
    Object.defineProperty(document, "hidden", { value: !shown, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
}"""
"""A headless browser never hides a page, so this simulates the page's visibility."""
NO_SHARED_WORKER = "delete window.SharedWorker"


def tabs(visitor: Visitor, address: str, *, hide_others: bool = False, script: str = "") -> list[Page]:
    """Open tabs one after the other in one browser; if the others are hidden, the newest is visible."""
    first = visitor.page()
    if script:
        first.context.add_init_script(script)
    found = [first, *(visitor.tab(first) for _ in range(TABS - 1))]
    for number, page in enumerate(found):
        answer = page.goto(address, wait_until="domcontentloaded")
        assert answer is not None, f"tab {number + 1} got no answer"
        assert answer.status == 200
        if hide_others:
            page.evaluate(SHOW, number == TABS - 1)
    return found


def open_streams(served: Served) -> int:
    """Return the number of streams that the page's process serves."""
    streams: int = httpx.get(f"{served.url}/health").json()["web"]["streams_open"]
    return streams


def wait_for_streams(served: Served, count: int) -> None:
    """Wait until exactly this many streams are open."""
    ends_s = time.monotonic() + LIVE_MS_MAX / 1_000
    while (found := open_streams(served)) != count:
        assert time.monotonic() < ends_s, f"{found} streams are open, not {count}"
        time.sleep(0.1)


def test_any_number_of_tabs_stays_live_over_one_stream(visitor: Visitor, served: Served) -> None:
    found = tabs(visitor, "/")
    for page in found:
        moves_on(page, LIVE_MS_MAX)
    wait_for_streams(served, 1)
    found[0].close()
    for page in found[1:]:
        moves_on(page, LIVE_MS_MAX)
    for page in found[1:]:
        assert page.locator("#stale").is_hidden()
        page.close()
    wait_for_streams(served, 0)


def test_a_hidden_tab_leaves_the_stream_and_catches_up_when_shown(visitor: Visitor, served: Served) -> None:
    page = visitor.page()
    page.goto("/")
    moves_on(page)
    page.evaluate(SHOW, arg=False)
    wait_for_streams(served, 0)
    stood = seq_of(page)
    other = visitor.tab(page)
    other.goto("/")
    moves_on(other)
    assert seq_of(page) == stood
    newest = seq_of(other)
    with page.expect_response(lambda answer: "part=content" in answer.url and answer.status == 200):
        page.evaluate(SHOW, arg=True)
    page.wait_for_function(
        "seq => Number(document.querySelector('#header-seq').textContent.replaceAll(',', '')) >= seq", arg=newest
    )
    assert page.locator("#stale").is_hidden()


def test_tabs_without_shared_workers_load_because_hidden_ones_disconnect(visitor: Visitor, served: Served) -> None:
    found = tabs(visitor, "/arena", hide_others=True, script=NO_SHARED_WORKER)
    moves_on(found[-1], LIVE_MS_MAX)
    wait_for_streams(served, 1)
    found[-1].evaluate(SHOW, arg=False)
    found[0].evaluate(SHOW, arg=True)
    moves_on(found[0], LIVE_MS_MAX)
    wait_for_streams(served, 1)
