"""The chart page: its timeframes, its history and its contents."""

from __future__ import annotations

import json
from typing import Any

from papertape.events.units import CHART_TIMEFRAMES_MS
from tests.build import candle, configured, listed, recorded
from tests.events.loop import in_loop
from tests.ui.site_pages import Elements, visiting
from tests.web.site import site_of


@in_loop
async def test_a_chart_offers_the_timeframes_that_the_candles_of_the_log_make() -> None:
    hour_ms = 3_600_000
    log = recorded(
        [
            listed("BTCUSDT", timeframe_ms=hour_ms),
            configured(),
            *(candle(number, 100.0, "BTCUSDT", timeframe_ms=hour_ms) for number in range(30)),
        ]
    )
    async with visiting(site_of(log)) as client:
        page = Elements((await client.get("/chart")).text)
        assert [text for text in page.words if text in CHART_TIMEFRAMES_MS] == ["1h", "4h", "1d"]
        assert "/chart?tf=1h" in page.of("a", "href"), "the first of them without a choice"
        refused = await client.get("/chart/BTCUSDT?tf=5m")
        assert refused.status_code == 404
        assert "there is no timeframe '5m'; there are: 1h, 4h, 1d" in Elements(refused.text).text


@in_loop
async def test_a_picture_of_the_past_holds_older_candles_and_the_trades_in_them() -> None:
    async with visiting() as client:
        newest = picture_of((await client.get("/chart/BTCUSDT?tf=1m&part=picture")).text)
        before_ms = newest["chart"]["candles"][-1]["open_time_ms"]
        older = picture_of((await client.get(f"/chart/BTCUSDT?tf=1m&part=picture&before_ms={before_ms}")).text)
    assert older["chart"]["candles"] == newest["chart"]["candles"][:-1]
    assert all(one["entry_time_ms"] < before_ms for one in older["trades"])


@in_loop
async def test_a_chart_draws_the_readings_of_the_chosen_strategy() -> None:
    async with visiting() as client:
        page = Elements((await client.get("/chart/BTCUSDT?tf=1m")).text)
        offered = [one for one in page.of("a", "href") if "strategy=" in one and one.startswith("/chart/BTCUSDT")]
        assert offered == [f"/chart/BTCUSDT?tf=1m&strategy={name}" for name in ("momentum", "vwap_rsi")]
        picture = (await client.get("/chart/BTCUSDT?tf=1m&part=picture")).text
        assert picture_of(picture)["chart"]["plot"] is None
        chosen = Elements((await client.get("/chart/BTCUSDT?tf=1m&strategy=momentum")).text)
        current = [attrs["href"] for tag, attrs in chosen.found if tag == "a" and "aria-current" in attrs]
        assert "/chart/BTCUSDT?tf=1m&strategy=momentum" in current
        assert "/chart/GALAUSDT?tf=1m&strategy=momentum" in chosen.of("a", "href"), "another symbol keeps it"
        assert "/chart/BTCUSDT?tf=1m" in chosen.of("a", "href"), "back to VWAP and RSI"
        picture = (await client.get("/chart/BTCUSDT?tf=1m&part=picture&strategy=momentum")).text
    assert '<p class="note">as it is</p>' in picture
    chart = picture_of(picture[picture.index('<div id="candles-data"') :])["chart"]
    assert chart["plot"]["lines"][0]["values"] == [one["close"] for one in chart["candles"]]


def picture_of(html: str) -> dict[str, Any]:
    """Return the data of the chart."""
    found: dict[str, Any] = json.loads(html[html.index(">") + 1 : html.rindex("</div>")])
    return found
