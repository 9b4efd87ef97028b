"""Charts are readable at any time with the mouse, by tap and with keys, and reach back to the start of the log."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from playwright.sync_api import FloatRect, Page, Route

    from tests.browser.conftest import Visitor
    from tests.browser.served import Served

pytestmark = pytest.mark.browser
SEQ = 20_000
DRAGS_MAX = 40
CANDLE = re.compile(
    r"(?P<at>\d{4}-\d\d-\d\d \d\d:\d\d) O (?P<open>[\d,.]+) H (?P<high>[\d,.]+) L (?P<low>[\d,.]+)"
    r" C (?P<close>[\d,.]+) Vol (?P<volume>[\d,.]+) VWAP (?P<vwap>[\d,.]+) RSI (?P<rsi>[\d.]+)"
)
EQUITY = re.compile(
    r"(?P<at>\d{4}-\d\d-\d\d \d\d:\d\d) Equity \w+ (?P<usdt>[\d,.]+) USDT (?P<net>[-+]?[\d.]+) %"
    r" Drawdown (?P<fallen>[\d.]+) %"
)
CANDLES, COURSES = "#candles-legend", "#curves-plot .legend"


def read(page: Page, legend: str) -> re.Match[str]:
    """Return the values that a chart shows at the cursor."""
    text = " ".join(page.inner_text(legend).split())
    found = (CANDLE if legend == CANDLES else EQUITY).match(text)
    assert found is not None, text
    return found


def box_of(page: Page, plot: str) -> FloatRect:
    """Return the position of a chart, once it is drawn."""
    page.locator(f"{plot} canvas").first.wait_for()
    page.locator(plot).scroll_into_view_if_needed()
    found = page.locator(plot).bounding_box()
    assert found is not None
    return found


def candles(served: Served, **query: str | int) -> list[dict[str, Any]]:
    """Return the same candles from the API, with their indicators."""
    answer = httpx.get(f"{served.url}/api/v1/candles/BTCUSDT", params={"as_of": SEQ, "timeframe": "5m", **query})
    chart: dict[str, Any] = answer.json()["data"]["chart"]
    return [
        {**one, "vwap": vwap, "rsi": rsi}
        for one, vwap, rsi in zip(chart["candles"], chart["vwap"], chart["rsi"], strict=True)
    ]


def test_the_candle_under_the_cursor_is_read_with_its_indicators(visitor: Visitor, served: Served) -> None:
    page = visitor.page()
    page.goto(f"/chart/BTCUSDT?tf=5m&as_of={SEQ}")
    plot = box_of(page, "#candles-plot")
    known = {one["open_time_ms"]: one for one in candles(served, limit=300)}
    seen = set()
    for x in range(60, int(plot["width"]) - 200, 97):
        page.mouse.move(plot["x"] + x, plot["y"] + 100)
        found = read(page, CANDLES)
        (one,) = [one for ms, one in known.items() if utc(ms) == found["at"]]
        for name in ("open", "high", "low", "close", "volume", "vwap", "rsi"):
            digits = len(found[name].partition(".")[2])
            assert float(found[name].replace(",", "")) == pytest.approx(one[name], abs=0.51 * 10**-digits), name
        seen.add(found["at"])
    assert len(seen) > 5
    page.mouse.move(2, 2)
    assert utc(max(known)) == read(page, CANDLES)["at"], "the newest one without a cursor"


def utc(at_ms: int) -> str:
    """Format a time like the pages do."""
    from papertape.projections.text.formats import utc as written  # noqa: PLC0415

    return written(at_ms)


def test_the_equity_under_the_cursor_is_read_with_its_date_and_drawdown(visitor: Visitor, served: Served) -> None:
    page = visitor.page()
    for address in (f"/?as_of={SEQ}", f"/strategy/momentum?as_of={SEQ}"):
        page.goto(address)
        plot = box_of(page, "#curves-plot .box")
        told = {}
        for x in range(40, int(plot["width"]) - 120, 61):
            page.mouse.move(plot["x"] + x, plot["y"] + 60)
            found = read(page, COURSES)
            told[found["at"]] = found
        assert len(told) > 5, "every moment can be read, not only those of a new equity"
        assert list(told) == sorted(told)
        assert len({found["usdt"] for found in told.values()}) > 1
        assert len({found["fallen"] for found in told.values()}) > 1
    data = httpx.get(f"{served.url}/api/v1/equity", params={"as_of": SEQ, "strategy": "momentum"}).json()["data"]
    points = data["strategies"][0]["curve"]
    at, found = next(reversed(told.items()))
    stood = [one for one in points if utc(one["at_ms"]) <= at][-1]
    assert float(found["usdt"].replace(",", "")) == pytest.approx(stood["equity_usdt"], abs=0.006)


@pytest.mark.parametrize(
    ("address", "plot", "legend"),
    [("/chart/BTCUSDT", "#candles-plot", CANDLES), ("/", "#curves-plot .box", COURSES)],
)
def test_keys_and_taps_read_a_chart_too(visitor: Visitor, address: str, plot: str, legend: str) -> None:
    page = visitor.page()
    page.goto(f"{address}?as_of={SEQ}")
    box_of(page, plot)
    newest = read(page, legend)["at"]
    page.focus(plot)
    read_at = []
    for key in ("End", "ArrowLeft", "Shift+ArrowLeft", "ArrowRight"):
        page.keyboard.press(key)
        read_at.append(read(page, legend)["at"])
        assert page.text_content(f"{plot} output") == page.text_content(legend), "what is read is spoken"
    end, left, far, right = read_at
    assert far < right < left < end
    page.keyboard.press("Escape")
    assert read(page, legend)["at"] == newest
    phone = visitor.page(375, touch=True)
    phone.goto(f"{address}?as_of={SEQ}")
    lies = box_of(phone, plot)
    newest = read(phone, legend)["at"]
    phone.touchscreen.tap(lies["x"] + 60, lies["y"] + 50)
    phone.wait_for_function(
        "([legend, newest]) => !document.querySelector(legend).innerText.startsWith(newest)", arg=[legend, newest]
    )
    assert read(phone, legend)["at"] < newest


def test_a_chart_goes_back_to_the_first_candle_of_the_log_without_a_jump(visitor: Visitor, served: Served) -> None:
    page = visitor.page()
    held: list[Route] = []
    page.route("**/chart/**before_ms=*", lambda route: held.append(route))  # noqa: PLW0108 - `append` takes no mark.
    page.goto(f"/chart/BTCUSDT?tf=5m&as_of={SEQ}")
    plot = box_of(page, "#candles-plot")
    x, y = plot["x"] + 200, plot["y"] + 100
    first = candles(served, limit=1_500)[0]
    assert candles(served, limit=1_500, before_ms=first["open_time_ms"]) == []
    seen: set[str] = set()
    loads = 0
    for _ in range(DRAGS_MAX):
        drag(page, x, y, plot["width"] / 2)
        page.wait_for_timeout(50)
        if held:
            page.mouse.move(x, y)
            before = moment(page)
            with page.expect_response("**/chart/**before_ms=*"):
                held.pop().continue_()
            page.wait_for_timeout(100)
            page.mouse.move(x, y + 1)
            assert moment(page) == before, "the view did not jump"
            loads += 1
        page.mouse.move(2, 2)
        page.focus("#candles-plot")
        page.keyboard.press("Home")
        seen.add(moment(page))
        if utc(first["open_time_ms"]) in seen:
            break
    assert min(seen) == utc(first["open_time_ms"])
    assert loads > 1


def test_a_chart_drawn_anew_ignores_candles_that_were_on_their_way(visitor: Visitor) -> None:
    page = visitor.page()
    held: list[Route] = []
    page.route("**/chart/**before_ms=*", lambda route: held.append(route))  # noqa: PLW0108 - `append` takes no mark.
    page.goto(f"/chart/BTCUSDT?tf=5m&as_of={SEQ}")
    plot = box_of(page, "#candles-plot")
    while not held:
        drag(page, plot["x"] + 200, plot["y"] + 100, plot["width"] / 2)
        page.wait_for_timeout(50)
    page.emulate_media(color_scheme="light")
    page.wait_for_timeout(500)
    with page.expect_response("**/chart/**before_ms=*"):
        held.pop(0).continue_()
    page.wait_for_timeout(500)
    assert visitor.complaints == []


def moment(page: Page) -> str:
    """Return the time of the shown candle; the indicators may not be ready at the beginning of a log."""
    shown: str = page.inner_text(CANDLES)
    return shown[:16]


def drag(page: Page, x: float, y: float, by_px: float) -> None:
    """Drag the past into view."""
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + by_px, y, steps=5)
    page.mouse.up()
