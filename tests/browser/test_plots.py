"""The chart draws a strategy's readings: lines on the price and in panes, of the present and as of any event."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from papertape.projections.text.formats import utc
from tests.browser.conftest import assert_fits

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page

    from tests.browser.conftest import Scheme, Visitor
    from tests.browser.served import Served

pytestmark = pytest.mark.browser
SEQ = 20_000
CANDLES = "#candles-legend"
MOMENTUM = re.compile(
    r"(?P<at>\d{4}-\d\d-\d\d \d\d:\d\d) O .* highest (?P<highest>[\d,.]+) lowest (?P<lowest>[\d,.]+)"
    r" adx_5m (?P<adx_5m>[\d.]+) adx_15m (?P<adx_15m>[\d.]+)"
)
DRAWN = """(tint) => {
    const probe = document.body.appendChild(document.createElement("span"));
    probe.style.color = `var(${tint})`;
    const [red, green, blue] = getComputedStyle(probe).color.match(/[\\d.]+/g).map(Number);
    probe.remove();
    const near = (one, other) => Math.abs(one - other) < 12;
    return [...document.querySelectorAll("#candles-plot canvas")].map((canvas) => {
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        let count = 0;
        for (let at = 0; at < data.length; at += 4) {
            const [r, g, b, alpha] = data.slice(at, at + 4);
            if (alpha > 200 && near(r, red) && near(g, green) && near(b, blue)) count++;
        }
        return count;
    });
}"""
"""Counts the dots of a colour on every canvas of the chart, from the top."""


def read(page: Page) -> re.Match[str]:
    """Return the readings that the chart shows at the cursor."""
    text = " ".join(page.inner_text(CANDLES).split())
    found = MOMENTUM.match(text)
    assert found is not None, text
    return found


def readings(served: Served, **query: str | int) -> dict[str, dict[str, float | None]]:
    """Return the readings of momentum from the API, by the time of the candle."""
    address = f"{served.url}/api/v1/candles/BTCUSDT"
    answer = httpx.get(address, params={"timeframe": "5m", "limit": 300, "strategy": "momentum", **query})
    chart: dict[str, Any] = answer.json()["data"]["chart"]
    rows = zip(*(line["values"] for line in chart["plot"]["lines"]), strict=True)
    names = [line["name"] for line in chart["plot"]["lines"]]
    return {
        utc(one["open_time_ms"]): dict(zip(names, row, strict=True))
        for one, row in zip(chart["candles"], rows, strict=True)
    }


def assert_equal(found: re.Match[str], known: dict[str, float | None]) -> None:
    """Check that the chart shows these readings, to the digits that it writes."""
    for name, value in known.items():
        digits = len(found[name].partition(".")[2])
        assert float(found[name].replace(",", "")) == pytest.approx(value, abs=0.51 * 10**-digits), name


def test_readings_under_the_cursor_are_those_of_the_strategy_then(visitor: Visitor, served: Served) -> None:
    page = visitor.page()
    page.goto(f"/chart/BTCUSDT?tf=5m&as_of={SEQ}")
    page.get_by_role("navigation", name="Indicators").get_by_text("momentum").click()
    page.wait_for_url("**strategy=momentum**")
    page.locator("#candles-plot canvas").first.wait_for()
    assert f"as_of={SEQ}" in page.url
    known = readings(served, as_of=SEQ)
    plot = page.locator("#candles-plot").bounding_box()
    assert plot is not None
    seen = set()
    for x in range(60, int(plot["width"]) - 200, 97):
        page.mouse.move(plot["x"] + x, plot["y"] + 100)
        found = read(page)
        assert_equal(found, known[found["at"]])
        seen.add(found["at"])
    assert len(seen) > 5
    page.mouse.move(2, 2)
    assert read(page)["at"] == max(known), "nothing later than the event"


def test_lines_are_drawn_on_the_price_and_in_a_pane_of_their_own(visitor: Visitor) -> None:
    page = visitor.page()
    drawn = {}
    for strategy in ("", "momentum"):
        page.goto(f"/chart/BTCUSDT?tf=5m&as_of={SEQ}&strategy={strategy}")
        page.locator("#candles-plot canvas").first.wait_for()
        drawn[strategy] = {tint: page.evaluate(DRAWN, f"--series-{tint}") for tint in (1, 2, 3)}
    for lines in drawn.values():
        assert lines[3][0] > 50, "a first line on the price: VWAP, or highest"
        assert not any(lines[3][1:]), "and only there"
    assert sum(drawn[""][1][1:]) > 50, "RSI"
    assert not any(drawn[""][2]), "no further line without a strategy"
    assert drawn["momentum"][2][0] == 0
    assert sum(drawn["momentum"][2][1:]) > 50, "adx_5m"


def test_readings_follow_the_market(visitor: Visitor, served: Served) -> None:
    page = visitor.page()
    page.goto("/chart/BTCUSDT?tf=5m&strategy=momentum")
    page.locator("#candles-plot canvas").first.wait_for()
    before = read(page)["at"]
    page.wait_for_function(
        "([legend, before]) => document.querySelector(legend).innerText.slice(0, 16) > before", arg=[CANDLES, before]
    )
    page.keyboard.press("Tab")
    page.focus("#candles-plot")
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    found = read(page)
    assert_equal(found, readings(served)[found["at"]])


@pytest.mark.parametrize("scheme", ["dark", "light"])
@pytest.mark.parametrize("width", [375, 1440])
def test_a_chart_with_readings_fits_its_window(visitor: Visitor, screenshots: Path, width: int, scheme: Scheme) -> None:
    page = visitor.page(width, scheme)
    page.goto(f"/chart/BTCUSDT?tf=5m&as_of={SEQ}&strategy=liquidation")
    page.locator("#candles-plot canvas").first.wait_for()
    assert page.locator(".tabs [aria-current]", has_text="liquidation").is_visible()
    tab = page.locator(".tabs [aria-current]", has_text="liquidation").bounding_box()
    assert tab is not None
    assert 0 <= tab["x"] < tab["x"] + tab["width"] <= width, "the chosen one is in sight"
    page.screenshot(path=screenshots / f"chart-readings-{width}-{scheme}.png", full_page=True)
    assert_fits(page)
