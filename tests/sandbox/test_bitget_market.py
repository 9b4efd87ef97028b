"""The market behind the stand-in: a function of time, whole candles, and how they form."""

from __future__ import annotations

import math

import pytest

from papertape.engine.feeds.candle_row import CandleRow, candle_row
from papertape.engine.feeds.files.feed import FileFeed, FileSettings
from papertape.engine.feeds.sim.market import SimMarket
from papertape.engine.ports.clock import ManualClock
from papertape.events.units import DAY_MS, HOUR_MS, MINUTE_MS
from papertape.sandbox.bitget.history import MarketHistory, join_rows
from papertape.sandbox.bitget.market import SimTwinMarket, forming_candle
from papertape.sandbox.bitget.recorded import FileTwinMarket, shift_to
from papertape.sandbox.bitget.text import ratio_text, stream_row, text_of
from tests.feeds.reading import shared_data
from tests.sandbox.served_twin import BTC, MARKET, PAPER, START_MS

NAMES = [f"COIN{number}USDT" for number in range(50)]
HOUR = range(START_MS // HOUR_MS * HOUR_MS, START_MS // HOUR_MS * HOUR_MS + HOUR_MS, MINUTE_MS)


def traded(symbol: str, open_ms: int) -> CandleRow:
    """A candle that is there."""
    row = MARKET.candle(symbol, open_ms)
    assert row is not None
    return row


def test_candles_are_those_of_the_simulated_market_to_the_last_bit() -> None:
    block = SimMarket(7).block(BTC, START_MS // DAY_MS)
    for minute in range(0, 1_440, 37):
        row = traded(BTC, START_MS // DAY_MS * DAY_MS + minute * MINUTE_MS)
        columns = (block.open, block.high, block.low, block.close, block.volume)
        assert (row.open, row.high, row.low, row.close, row.volume) == tuple(column[minute] for column in columns)


@pytest.mark.parametrize("symbol", NAMES[:5])
def test_any_name_is_a_symbol_whose_texts_read_back_as_its_numbers(symbol: str) -> None:
    row = SimTwinMarket(NAMES).candle(symbol, START_MS // MINUTE_MS * MINUTE_MS)
    assert row is not None
    for value in (row.open, row.high, row.low, row.close, row.volume):
        assert float(text_of(value)) == value
        assert "e" not in text_of(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [(63039.0, "63039"), (0.000078, "0.000078"), (3e6, "3000000"), (-1.5e-05, "-0.000015"), (1e22, "1" + "0" * 22)],
)
def test_numbers_are_written_without_an_exponent(value: float, text: str) -> None:
    assert text_of(value) == text
    assert float(text) == value


def test_prices_have_no_more_decimals_than_the_tick() -> None:
    decimals = len(ratio_text(MARKET.listing(BTC).tick).partition(".")[2])
    for open_ms in HOUR:
        for offset_ms in range(0, MINUTE_MS, 7_000):
            row = forming_candle(traded(BTC, open_ms), MARKET.listing(BTC).tick, offset_ms, MINUTE_MS)
            assert len(text_of(row.close).partition(".")[2]) <= decimals


def test_a_candle_forms_from_its_open_to_exactly_itself() -> None:
    for open_ms in HOUR:
        whole, tick = traded(BTC, open_ms), MARKET.listing(BTC).tick
        stages = [forming_candle(whole, tick, offset_ms, MINUTE_MS) for offset_ms in range(0, MINUTE_MS, 500)]
        assert stages[0].close == stages[0].open == whole.open
        assert forming_candle(whole, tick, MINUTE_MS - 250, MINUTE_MS) == whole
        assert len({stage.close for stage in stages}) > 3
        for stage in stages:
            assert isinstance(candle_row(stream_row_texts(stage), MINUTE_MS), CandleRow)


def test_a_forming_candle_only_widens_and_its_volume_only_grows() -> None:
    for open_ms in HOUR:
        whole, tick = traded(BTC, open_ms), MARKET.listing(BTC).tick
        before = forming_candle(whole, tick, 0, MINUTE_MS)
        for offset_ms in range(100, MINUTE_MS, 100):
            row = forming_candle(whole, tick, offset_ms, MINUTE_MS)
            assert before.high <= row.high <= whole.high
            assert before.low >= row.low >= whole.low
            assert 0.0 < before.volume <= row.volume <= whole.volume
            before = row


def stream_row_texts(row: CandleRow) -> list[str]:
    """The texts of a row of the stream."""
    return stream_row(row, "1").strip('[]"').split('","')


def test_a_minute_without_trades_is_flat_at_the_last_price() -> None:
    quiet = [row for open_ms in HOUR if (row := traded(PAPER, open_ms)).volume == 0.0]
    assert 10 < len(quiet) < 40
    for row in quiet:
        assert row.open == row.high == row.low == row.close == traded(PAPER, row.open_time_ms - MINUTE_MS).close


def test_a_longer_bar_is_its_minutes_put_together() -> None:
    history = MarketHistory(MARKET)
    minutes = [traded(BTC, open_ms) for open_ms in HOUR]
    bar = history.bar(BTC, "1H", HOUR.start)
    assert bar == join_rows(HOUR.start, minutes)
    assert bar is not None
    assert bar.close == minutes[-1].close
    assert bar.high == max(row.high for row in minutes)


@pytest.mark.parametrize(("granularity", "hour"), [("1D", 16), ("1Dutc", 0), ("6Hutc", 0), ("6H", 4), ("12H", 4)])
def test_long_bars_open_on_the_grid_of_utc_8_unless_they_say_utc(granularity: str, hour: int) -> None:
    opens = [row.open_time_ms for row in MarketHistory(MARKET).bars(BTC, granularity, START_MS, 3)]
    assert len(opens) == 3
    assert hour in {open_ms % DAY_MS // HOUR_MS for open_ms in opens}
    assert {open_ms % HOUR_MS for open_ms in opens} == {0}


def test_a_forming_long_bar_holds_its_minutes_so_far() -> None:
    history = MarketHistory(MARKET)
    row = history.forming(BTC, "5m", START_MS + 2 * MINUTE_MS)
    first = history.bar(BTC, "1m", START_MS // HOUR_MS * HOUR_MS)
    latest = history.forming(BTC, "1m", START_MS + 2 * MINUTE_MS)
    assert row is not None and first is not None and latest is not None
    assert (row.open, row.close) == (first.open, latest.close)
    assert math.isclose(row.volume, sum(traded(BTC, HOUR.start + n * MINUTE_MS).volume for n in (0, 1)) + latest.volume)


def test_the_mark_stays_within_some_ticks_and_often_is_the_last_price() -> None:
    same = 0
    for open_ms in HOUR:
        row, mark = traded(BTC, open_ms), MARKET.mark_candle(BTC, open_ms)
        assert mark is not None and mark.volume == 0.0
        assert abs(mark.close - row.close) < 0.35
        same += mark.close == row.close
        assert MarketHistory(MARKET).mark_price(BTC, open_ms + MINUTE_MS - 1) == mark.close
    assert 5 < same < 40


def test_a_changed_interval_of_funding_moves_the_settlements_from_then_on() -> None:
    history, day_ms = MarketHistory(MARKET), START_MS // DAY_MS * DAY_MS
    history.change_interval(BTC, day_ms + 9 * HOUR_MS, 2 * HOUR_MS)
    hours = [(at_ms - day_ms) // HOUR_MS for at_ms, _ in history.settlements(BTC, day_ms, day_ms + 15 * HOUR_MS)]
    assert hours == [0, 8, 10, 12, 14]
    assert history.next_settlement_ms(BTC, day_ms + 8 * HOUR_MS) == day_ms + 10 * HOUR_MS
    assert history.interval_ms(BTC, day_ms) == 8 * HOUR_MS


def test_an_estimate_of_funding_ends_as_the_rate_that_is_settled() -> None:
    history, next_ms = MarketHistory(MARKET, estimate_noise=1.0), START_MS // DAY_MS * DAY_MS + 16 * HOUR_MS
    settled = MARKET.settled_rate(BTC, next_ms)
    estimates = {history.estimated_rate(BTC, next_ms - minutes * MINUTE_MS) for minutes in range(1, 90)}
    assert len(estimates) > 10
    assert all(abs(one - settled) <= 0.00002 for one in estimates)
    assert history.estimated_rate(BTC, next_ms - 1) == settled


def test_open_interest_stands_for_five_minutes() -> None:
    begin_ms = START_MS // HOUR_MS * HOUR_MS
    readings = [MARKET.open_interest(BTC, begin_ms + second * 1_000) for second in range(600)]
    assert len(set(readings[:300])) == len(set(readings[300:])) == 1
    block = SimMarket(7).block(BTC, begin_ms // DAY_MS)
    assert readings[300] == block.open_interest[begin_ms % DAY_MS // (5 * MINUTE_MS) + 1]


def test_recorded_days_happen_now() -> None:
    data = shared_data()
    feed = FileFeed(
        FileSettings(
            candles=(data / "binance_BTCUSDT_5m_2024-12-31_2025-09-30.csv.gz",),
            funding=(data / "binance_BTCUSDT_funding_2024-12-31_2025-09-30.csv.gz",),
        ),
        ManualClock(),
    )
    shift_ms = shift_to(feed, START_MS)
    market, columns, rates = FileTwinMarket(feed, shift_ms), feed.candles[BTC], feed.funding[BTC]
    assert START_MS - DAY_MS < columns.open_time_ms[0] + shift_ms <= START_MS
    row = market.candle(BTC, columns.open_time_ms[70] + shift_ms)
    assert row is not None
    assert (row.open, row.close, row.volume) == (columns.open[70], columns.close[70], columns.volume[70])
    assert market.candle(BTC, columns.open_time_ms[0] + shift_ms - 300_000) is None
    assert market.settled_rate(BTC, rates.time_ms[5] // MINUTE_MS * MINUTE_MS + shift_ms) == rates.value[5]


def test_a_hole_in_a_record_and_what_comes_after_it_is_flat() -> None:
    data = shared_data()
    given = FileSettings(candles=(data / "binance_BTCUSDT_1h_gappy_2024-10-01_2025-02-20.csv.gz",))
    feed = FileFeed(given, ManualClock())
    times, market = feed.candles[BTC].open_time_ms, FileTwinMarket(feed)
    hole = next(row for row in range(len(times) - 1) if times[row + 1] - times[row] > HOUR_MS)
    row = market.candle(BTC, times[hole] + HOUR_MS)
    close = feed.candles[BTC].close[hole]
    assert row == CandleRow(times[hole] + HOUR_MS, close, close, close, close, 0.0)
    after = market.candle(BTC, times[-1] + 30 * HOUR_MS)
    assert after is not None and (after.close, after.volume) == (feed.candles[BTC].close[-1], 0.0)
