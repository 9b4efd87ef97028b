"""A chart jumps to a time and to a trade, offers indicators and scales, and remembers what the reader chose."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import httpx
import pytest

from papertape.projections.text.formats import utc

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.conftest import Visitor
    from tests.browser.served import Served

pytestmark = pytest.mark.browser
SEQ = 20_000
LEGEND = "#candles-legend"


def opened(page: Page, address: str) -> None:
    page.goto(address)
    page.locator("#candles-plot canvas").first.wait_for()


def test_a_choice_of_indicators_and_scale_is_remembered(visitor: Visitor) -> None:
    page = visitor.page()
    opened(page, f"/chart/BTCUSDT?tf=5m&as_of={SEQ}")
    assert "EMA 20" not in page.inner_text(LEGEND)
    page.get_by_text("Indicators", exact=True).first.press("Enter")
    page.get_by_label("EMA 20").press("Space")
    page.get_by_label("VWAP").press("Space")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Log scale").click()
    for _ in range(2):
        assert re.search(r"EMA 20 [\d,.]+", page.inner_text(LEGEND))
        assert "VWAP" not in page.inner_text(LEGEND)
        assert page.get_by_role("button", name="Log scale").get_attribute("aria-pressed") == "true"
        opened(page, f"/chart/ETHUSDT?tf=15m&as_of={SEQ}")


def test_a_trade_leads_to_its_chart_and_the_candles_after_its_exit(visitor: Visitor, served: Served) -> None:
    trades = httpx.get(f"{served.url}/api/v1/trades", params={"as_of": SEQ, "limit": 500}).json()["data"]["items"]
    trade = trades[len(trades) // 2]
    page = visitor.page()
    opened(page, f"/chart/{trade['symbol']}?trade={trade['seq']}&as_of={SEQ}")
    assert page.input_value("input[name=at]") == utc(trade["entry_time_ms"])
    page.focus("#candles-plot")
    page.keyboard.press("End")
    assert page.inner_text(LEGEND)[:16] > utc(trade["exit_time_ms"]), "candles after the exit are in view"
    tip = page.locator("#candles-plot .tip")
    for _ in range(200):
        page.keyboard.press("ArrowLeft")
        if tip.is_visible() and f"{trade['r_multiple']:+.2f} R" in tip.inner_text():
            break
    assert re.search(r"[-+]?[\d.]+ USDT, [-+]?[\d.]+ R, [-+]?[\d.]+ %", tip.inner_text())
    page.get_by_role("link", name="Newest").click()
    page.wait_for_url(lambda url: "trade=" not in url)


def test_curves_that_were_switched_off_stay_off(visitor: Visitor) -> None:
    page = visitor.page()
    page.goto(f"/?as_of={SEQ}")
    page.get_by_role("button", name="buy & hold").click()
    for address in (f"/?as_of={SEQ}", f"/arena?as_of={SEQ}"):
        page.goto(address)
        assert page.get_by_role("button", name="buy & hold").get_attribute("aria-pressed") == "false"
        assert page.get_by_role("button", name="total").get_attribute("aria-pressed") == "true"
