"""The chart page: its timeframes, its history and its contents."""

from __future__ import annotations

import json
from typing import Any

import pytest

from papertape.events.units import CHART_TIMEFRAMES_MS, MINUTE_MS
from papertape.projections.text.formats import utc
from papertape.ui.chart import ChartFocus, fitting_timeframe
from tests.build import DAY_0_MS, candle, closed, configured, listed, opened, recorded
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


@in_loop
async def test_a_chart_jumps_to_a_time() -> None:
    async with visiting() as client:
        newest = picture_of((await client.get("/chart/BTCUSDT?tf=1m&part=picture")).text)
        opens_ms = [one["open_time_ms"] for one in newest["chart"]["candles"]]
        address = f"/chart/BTCUSDT?tf=1m&at={utc(opens_ms[0]).replace(' ', 'T')}"
        page = Elements((await client.get(address)).text)
        there = picture_of((await client.get(f"{address}&part=picture")).text)
        refused = await client.get("/chart/BTCUSDT?at=tomorrow")
    assert utc(opens_ms[0]) in page.of("input", "value")
    assert "/chart/BTCUSDT?tf=1m" in page.of("a", "href"), "back to the newest candles"
    assert (newest["is_newest"], newest["focus"]) == (True, None)
    assert there["focus"] == {"from_ms": opens_ms[0], "until_ms": opens_ms[0], "seq": 0}
    assert refused.status_code == 404
    assert "at='tomorrow' is not a time" in Elements(refused.text).text


@in_loop
async def test_a_trade_leads_to_the_chart_of_what_followed_it() -> None:
    entry_ms, exit_ms = DAY_0_MS + 20 * MINUTE_MS, DAY_0_MS + 30 * MINUTE_MS
    trade = [opened(at_ms=entry_ms), closed(5.0, entry_time_ms=entry_ms, at_ms=exit_ms)]
    minutes = [candle(number, 100.0) for number in range(300)]
    log = recorded([listed(), configured(), *minutes[:30], *trade, *minutes[30:]])
    async with visiting(site_of(log)) as client:
        (seq,) = [one["seq"] for one in (await client.get("/api/v1/trades")).json()["data"]["items"]]
        address = f"/chart/BTCUSDT?trade={seq}"
        assert address in Elements((await client.get("/trades")).text).of("a", "href")
        picture = picture_of((await client.get(f"{address}&part=picture")).text)
        refused = await client.get("/chart/BTCUSDT?trade=1")
    assert picture["focus"] == {"from_ms": entry_ms, "until_ms": exit_ms, "seq": seq}
    shown_ms = [one["open_time_ms"] for one in picture["chart"]["candles"]]
    assert shown_ms[0] < entry_ms < exit_ms < shown_ms[-1], "candles before the entry and after the exit"
    assert (picture["is_newest"], len(picture["trades"])) == (False, 1)
    assert refused.status_code == 404


@pytest.mark.parametrize(
    ("minutes", "timeframe"), [(1, "1m"), (60, "1m"), (61, "5m"), (400, "15m"), (10_000_000, "1d")]
)
def test_a_trades_chart_has_a_timeframe_in_which_the_trade_is_short(minutes: int, timeframe: str) -> None:
    assert fitting_timeframe(tuple(CHART_TIMEFRAMES_MS), ChartFocus(0, minutes * 60_000, 7)) == timeframe


def picture_of(html: str) -> dict[str, Any]:
    """Return the data of the chart."""
    found: dict[str, Any] = json.loads(html[html.index(">") + 1 : html.rindex("</div>")])
    return found
