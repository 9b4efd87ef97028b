"""Several files of a symbol become one, by time."""

from __future__ import annotations

from pathlib import Path

import pytest

from papertape.engine.feeds.files.columns import join_candles, join_series
from papertape.engine.feeds.files.csv_reader import read_candles, read_funding
from papertape.engine.feeds.files.derived_contract import derived_contract, lot_ratio
from papertape.engine.ports.feed import RefusalReason
from papertape.events.errors import MarketDataError
from papertape.events.units import HOUR_MS, MINUTE_MS
from tests.build import CANDLE_HEADER, FILE_START_MS, FUNDING_HEADER, candle_rows, minutes, table


def test_files_are_joined_by_time_and_a_repeated_open_time_is_refused(tmp_path: Path) -> None:
    times = minutes(20)
    late = table(tmp_path, "x_BTCUSDT_late.csv", CANDLE_HEADER, candle_rows(times[8:], 200.0))
    early = table(tmp_path, "x_BTCUSDT_early.csv", CANDLE_HEADER, candle_rows(times[:10], 100.0))
    joined = join_candles([read_candles(late), read_candles(early)])
    assert list(joined.open_time_ms) == times
    assert list(joined.open) == [100.0] * 10 + [200.0] * 10
    assert joined.refusals.counts == {RefusalReason.DUPLICATE: 2}
    assert [(refusal.source, refusal.line) for refusal in joined.refusals.kept] == [(str(late), 2), (str(late), 3)]


def test_a_file_that_fills_the_hole_of_another_is_sorted_in(tmp_path: Path) -> None:
    times = minutes(9)
    outer = table(tmp_path, "x_BTCUSDT_outer.csv", CANDLE_HEADER, candle_rows([*times[:3], *times[6:]], 100.0))
    inner = table(tmp_path, "x_BTCUSDT_inner.csv", CANDLE_HEADER, candle_rows(times[3:6], 200.0))
    joined = join_candles([read_candles(outer), read_candles(inner)])
    assert list(joined.open_time_ms) == times
    assert list(joined.close) == [100.5] * 3 + [200.5] * 3 + [100.5] * 3


def test_files_of_different_timeframes_are_refused_by_name(tmp_path: Path) -> None:
    one = table(tmp_path, "x_BTCUSDT_1m.csv", CANDLE_HEADER, candle_rows(minutes(3)))
    other = table(
        tmp_path, "x_BTCUSDT_1h.csv", CANDLE_HEADER, candle_rows(minutes(3, FILE_START_MS + HOUR_MS, HOUR_MS))
    )
    with pytest.raises(MarketDataError, match=f"{other}: timeframe 3600000 ms, but {one} has 60000"):
        join_candles([read_candles(one), read_candles(other)])


def test_a_repeated_settlement_is_ignored_when_equal_and_refused_when_not(tmp_path: Path) -> None:
    one = table(
        tmp_path,
        "x_BTCUSDT_funding_1.csv",
        FUNDING_HEADER,
        [f"{FILE_START_MS},0.01", f"{FILE_START_MS + HOUR_MS},0.02"],
    )
    other = table(
        tmp_path,
        "x_BTCUSDT_funding_2.csv",
        FUNDING_HEADER,
        [f"{FILE_START_MS},0.01", f"{FILE_START_MS + HOUR_MS},0.03"],
    )
    joined = join_series([read_funding(one), read_funding(other)])
    assert list(joined.value) == [0.01, 0.02]
    assert [(refusal.line, refusal.reason) for refusal in joined.refusals.kept] == [(3, RefusalReason.DUPLICATE)]


def test_the_tick_follows_the_most_decimals_written_in_any_good_row(tmp_path: Path) -> None:
    rows = candle_rows(minutes(1_005))
    rows[999] = f"{FILE_START_MS + 999 * MINUTE_MS},100,101.500,99,100,1"
    rows[1_003] = f"{FILE_START_MS + 1_003 * MINUTE_MS},100,101.50000,99,100,1.0000001"
    rows[1_004] = f"{FILE_START_MS + 1_004 * MINUTE_MS},100,99.12345678,99.5,100,1"
    contract = derived_contract("BTCUSDT", read_candles(table(tmp_path, "x_BTCUSDT_.csv", CANDLE_HEADER, rows)))
    assert (contract.tick_numerator, contract.tick_denominator) == (1, 100_000)
    assert (contract.minimum_notional_usdt, contract.maintenance_tiers) == (5.0, ((0.0, 0.01),))
    assert (contract.group, contract.timeframe_ms, contract.at_ms) == ("crypto", MINUTE_MS, FILE_START_MS)


@pytest.mark.parametrize(("text", "denominator"), [("1e2", 1), ("100", 1), ("1.0001e2", 100), ("100.25", 100)])
def test_decimals_are_counted_in_every_way_of_writing(tmp_path: Path, text: str, denominator: int) -> None:
    rows = [f"{time_ms},{text},150,50,{text},1" for time_ms in minutes(2)]
    contract = derived_contract("X", read_candles(table(tmp_path, "x_X_.csv", CANDLE_HEADER, rows)))
    assert contract.tick_denominator == denominator


@pytest.mark.parametrize(
    ("price", "lot"),
    [
        (95_000.5, (1, 10_000)),
        (1_000.0, (1, 100)),
        (10.0001, (1, 10)),
        (10.0, (1, 1)),
        (9.99, (1, 1)),
        (1.0, (10, 1)),
        (0.1, (100, 1)),
        (0.036, (100, 1)),
        (0.00001, (1_000_000, 1)),
    ],
)
def test_the_lot_is_the_largest_power_of_ten_worth_at_most_ten_usdt(price: float, lot: tuple[int, int]) -> None:
    assert lot_ratio(price) == lot


def test_two_files_whose_prices_meet_at_a_factor_above_three_are_refused(tmp_path: Path) -> None:
    times = minutes(12)
    one = table(tmp_path, "x_BTCUSDT_1.csv", CANDLE_HEADER, candle_rows(times[:6], 94_000.0))
    for first, last in ((6, 12), (3, 12), (2, 4)):
        other = table(tmp_path, "x_BTCUSDT_2.csv", CANDLE_HEADER, candle_rows(times[first:last], 3_300.0))
        with pytest.raises(MarketDataError, match=f"{other}: its price 33.* from 94.* factor of 3 where {one} meets"):
            join_candles([read_candles(one), read_candles(other)])


def test_files_that_meet_in_a_hole_are_compared_on_both_sides(tmp_path: Path) -> None:
    times = minutes(9)
    rows = [*candle_rows(times[:3], 100.0), *candle_rows(times[6:], 400.0)]
    outer = table(tmp_path, "x_BTCUSDT_outer.csv", CANDLE_HEADER, rows)
    for price, joins in ((100.0, False), (400.0, False), (200.0, True)):
        inner = table(tmp_path, "x_BTCUSDT_inner.csv", CANDLE_HEADER, candle_rows(times[3:6], price))
        if joins:
            assert list(join_candles([read_candles(outer), read_candles(inner)]).open_time_ms) == times
        else:
            with pytest.raises(MarketDataError, match="two coins or two units"):
                join_candles([read_candles(outer), read_candles(inner)])


def test_the_tick_stays_so_coarse_that_the_highest_price_is_a_whole_number_of_ticks(tmp_path: Path) -> None:
    rows = [f"{time_ms},100000,100000.5,0.000000000001,100000,1" for time_ms in minutes(2)]
    contract = derived_contract("X", read_candles(table(tmp_path, "x_X_.csv", CANDLE_HEADER, rows)))
    assert contract.tick_denominator == 10**10


def test_the_lot_stays_tradable_where_a_coin_rose_a_thousandfold(tmp_path: Path) -> None:
    rows = [
        f"{time_ms},{price},{price},{price},{price},1" for time_ms, price in zip(minutes(2), (0.08, 80.0), strict=True)
    ]
    contract = derived_contract("X", read_candles(table(tmp_path, "x_X_.csv", CANDLE_HEADER, rows)))
    assert (contract.lot_numerator, contract.lot_denominator) == (1, 1)
