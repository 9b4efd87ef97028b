"""Self-tests of the reference implementation: indicator tables, the worked examples of the model, its own ledger."""

from __future__ import annotations

import csv
import gzip
import os
from pathlib import Path
from typing import Any

import pytest

from . import conditions, indicators
from .exchange import (
    Order,
    Position,
    exit_at_open,
    exit_inside,
    liquidation_at,
    liquidation_price,
    loss_per_unit,
    size_entry,
    tier_table,
)
from .files import Candle, as_candle, load_csv, text_rows
from .history import aggregate, split_at_holes
from .rounding import Contract, Step, ceil_price, contract_of_rows, floor_price, floor_size, lot_of_open, stop_price
from .run import GlobalSwitch, Result, simulate, write_trades
from .settings import MINUTE, strategy_settings

REPOSITORY = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("PAPERTAPE_SHARED", REPOSITORY.parent / "shared"))
DATA = SHARED / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"no market files at {DATA} (set PAPERTAPE_SHARED)")
TENTH = Contract(tick=Step(1, 10), lot=Step(1, 10_000))
ONE_TIER = ((0.0, 0.01),)


def table(name: str) -> dict[str, list[Any]]:
    """A reference table as columns; an empty cell is None."""
    path = DATA / "indicators" / name
    opener = gzip.open if name.endswith(".gz") else open
    with opener(path, "rt", encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    names = [column for column in rows[0] if column != "date"]
    return {column: [float(row[column]) if row[column] else None for row in rows] for column in names}


def assert_same(got: list[float | None], wanted: list[float | None], tolerance: float) -> None:
    """Equal where the table has a value, and ready from the same row on."""
    assert len(got) == len(wanted)
    for n, (mine, theirs) in enumerate(zip(got, wanted, strict=True)):
        assert (mine is None) == (theirs is None), f"row {n}"
        if mine is not None and theirs is not None:
            assert mine == pytest.approx(theirs, rel=tolerance, abs=tolerance), f"row {n}"


TALIB = [
    "talib_BTCUSDT_5m_2025-02-02.csv.gz",
    "talib_ETHUSDT_1m_2025-06-12.csv.gz",
    "talib_BTCUSDT_1h_2024-07-15.csv.gz",
]


@needs_data
@pytest.mark.parametrize("name", TALIB)
def test_indicators_equal_talib(name: str) -> None:
    t = table(name)
    high, low, close = t["high"], t["low"], t["close"]
    plus, minus, dx = indicators.directional(high, low, close)
    assert_same(indicators.rsi(close), t["rsi_14"], 1e-8)
    assert_same(indicators.atr(high, low, close), t["atr_14"], 1e-8)
    assert_same(plus, t["plus_di_14"], 1e-8)
    assert_same(minus, t["minus_di_14"], 1e-8)
    assert_same(indicators.adx(dx), t["adx_14"], 1e-8)
    assert_same(indicators.mean_of_last(close, 20), t["sma_20"], 1e-8)


@needs_data
def test_indicators_equal_published_sheets() -> None:
    r = table("stockcharts_rsi.csv")
    assert_same(indicators.rsi(r["close"]), r["rsi_14_wilder"], 1e-8)
    a = table("stockcharts_atr.csv")
    assert_same(indicators.atr(a["high"], a["low"], a["close"]), a["atr_14_talib"], 1e-8)
    x = table("stockcharts_adx.csv")
    plus, _, dx = indicators.directional(x["high"], x["low"], x["close"])
    assert_same(plus, x["plus_di_14_talib"], 1e-8)
    assert_same(indicators.adx(dx), x["adx_14_talib"], 1e-8)
    v = table("vwap_rolling_14.csv")
    got = indicators.vwap(v["high"], v["low"], v["close"], v["volume"], 14)
    assert got[:13] == [None] * 13
    assert_same(got[13:], v["vwap_rolling_14"][13:], 1e-8)


def test_flat_prices_have_defined_indicators() -> None:
    flat = [5.0] * 40
    plus, _, dx = indicators.directional(flat, flat, flat)
    assert indicators.rsi(flat)[14] == 50.0
    assert indicators.atr(flat, flat, flat)[14] == 0.0
    assert plus[14] == 0.0 and dx[14] is None and indicators.adx(dx)[27] == 0.0
    assert indicators.vwap(flat, flat, flat, [0.0] * 40, 20) == [None] * 40


@needs_data
def test_minutes_sum_to_five_minutes() -> None:
    minutes = load_csv(DATA / "binance_BTCUSDT_1m_2025-05-04_2025-06-24.csv.gz")[:3000]
    fives = {row[0]: row for row in load_csv(DATA / "binance_BTCUSDT_5m_2024-12-31_2025-09-30.csv.gz")}
    higher = aggregate([as_candle(row) for row in minutes], MINUTE, 5 * MINUTE)
    assert len(higher) == 599
    for candle in higher:
        assert tuple(candle[:6]) == pytest.approx(fives[candle.open_time], rel=1e-12)


def test_rounding_examples() -> None:
    assert floor_price(100.19, TENTH.tick) == 100.1 and ceil_price(100.11, TENTH.tick) == 100.2
    assert floor_price(0.3, TENTH.tick) == 0.3 and ceil_price(0.3, TENTH.tick) == 0.3
    assert floor_price(123.4, Step(1, 2)) == 123.0 and ceil_price(121.0, Step(10, 1)) == 130.0
    assert floor_price(0.01, TENTH.tick) == 0.1
    assert floor_size(0.00009, TENTH.lot) == 0.0
    assert [lot_of_open(x) for x in (95505.4, 1827.29, 146.78, 10.0, 0.5, 0.09)] == [
        Step(1, 10_000), Step(1, 1000), Step(1, 100), Step(1, 1), Step(10, 1), Step(100, 1)
    ]  # fmt: skip
    rows = [(0, "67577.9", "67727.85", "67572", "67613.6", "1.23456")]
    assert contract_of_rows(rows) == Contract(Step(1, 100), Step(1, 10_000))


def test_section_3_break_even() -> None:
    for s, percent in ((0.0002, 0.1601), (0.0005, 0.2202)):
        assert ((1 + 0.0006 + s) / (1 - 0.0006 - s) - 1) * 100 == pytest.approx(percent, abs=5e-5)


def test_section_5_liquidation_prices() -> None:
    tier = ((0.0, 0.004),)
    assert liquidation_price(1, 0.05, 84000.0, 10.0, 0.0006, tier) == pytest.approx(75949.367, abs=5e-4)
    short = liquidation_price(-1, 0.05, 84000.0, 10.0, 0.0006, tier)
    assert short == pytest.approx(4620 / 0.05023, rel=1e-12)  # the formula gives 91976.90623, the text prints ...907
    assert short == pytest.approx(91976.907, abs=1e-3)
    liquidation = liquidation_at(1, 3.0, 110000.0, 20.0, 0.0006, 0.005, 200.0)
    assert liquidation == pytest.approx(105021.453, abs=5e-4)
    assert 3 * 110000 / 20 + 3 * (liquidation - 110000) == pytest.approx(1564.360, abs=5e-4)
    assert liquidation_price(1, 1.0, 100.0, 1.0, 0.0006, ONE_TIER) is None


def test_section_5_tiers() -> None:
    tiers = ((0.0, 0.004), (200_000.0, 0.005))
    assert tier_table(tiers)[1] == pytest.approx((200_000.0, 0.005, 200.0))
    assert liquidation_price(1, 3.0, 110000.0, 20.0, 0.0006, tiers) == pytest.approx(105021.453, abs=5e-4)


def test_section_6_size() -> None:
    u = loss_per_unit(84000.0, 83300.0, 0.0006, 0.0002)
    q = floor_size(0.01 * 10000.0 / u, TENTH.lot)
    assert (u, q) == pytest.approx((833.84, 0.1199), abs=1e-8)
    assert q * 84000 == pytest.approx(10071.60) and q * u == pytest.approx(99.98, abs=0.005)


def test_section_6_slot_decides_and_refusals() -> None:
    values = strategy_settings("momentum", {})
    order = Order("X", 0, d=1, stop_fraction=0.003)
    assert size_entry(values, TENTH, order, 84000.0, 0.0005, 10000.0, 10000.0)[0] is None
    assert order.planned == 84042.0
    assert order.quantity * order.planned == pytest.approx(8000.0, abs=8.5)
    assert size_entry(values, TENTH, order, 84000.0, 0.0005, 10000.0, 1999.0)[0] == "below_minimum"
    values["max_cost_to_stop"] = 0.25
    assert size_entry(values, TENTH, order, 84000.0, 0.0005, 10000.0, 10000.0)[0] == "cost_to_stop"
    order.stop_fraction = 0.25
    assert size_entry(values, TENTH, order, 84000.0, 0.0005, 10000.0, 10000.0)[0] == "stop_beyond_liquidation"
    order.stop_fraction = 0.0
    assert size_entry(values, TENTH, order, 84000.0, 0.0005, 10000.0, 10000.0)[0] == "stop_too_close"


def long_position() -> Position:
    """A long of 1 at 100.0 with stop 99.0, target 102.0 and liquidation at 70.0."""
    return Position("X", 1, 1.0, 0, 100.0, 99.0, 102.0, 70.0, 0.06, 0.0, 1.0)


def ends(position: Position, o: float, h: float, low: float, c: float, pending: Order | None = None) -> object:
    """Reason, price and ambiguity of the end of a carried position inside one candle, or None."""
    values = strategy_settings("momentum", {})
    candle = Candle(0, o, h, low, c, 1.0)
    end = exit_at_open(position, candle, pending, values, TENTH, 0.0005)
    end = end or exit_inside(position, candle, MINUTE, values, TENTH, 0.0005)
    return end and (end.reason, end.price, end.time, end.ambiguous)


def test_section_8_long() -> None:
    p, leave = long_position(), Order("X", 0, exit_reason="rsi_exit")
    assert ends(p, 70.0, 70.0, 70.0, 70.0, leave) == ("liquidation", 100.0 - 100.0 / 3.0, 0, False)
    assert ends(p, 98.0, 98.0, 97.0, 98.0, leave) == ("rsi_exit", 97.9, 0, False)
    assert ends(p, 99.0, 103.0, 97.0, 98.0) == ("stop", 98.9, 0, False)
    assert ends(p, 102.1, 103.0, 97.0, 98.0) == ("target", 102.0, 0, False)
    assert ends(p, 102.0, 102.0, 99.1, 100.0) is None
    assert ends(p, 100.0, 102.1, 99.0, 100.0) == ("stop", 98.9, MINUTE, True)
    assert ends(p, 100.0, 102.0, 99.0, 100.0) == ("stop", 98.9, MINUTE, False)
    assert ends(p, 100.0, 102.1, 99.1, 100.0) == ("target", 102.0, MINUTE, False)


def test_section_8_short_is_the_mirror() -> None:
    p = Position("X", -1, 1.0, 0, 100.0, 101.0, 98.0, 130.0, 0.06, 0.0, 1.0)
    assert ends(p, 130.0, 130.0, 130.0, 130.0) == ("liquidation", 100.0 + 100.0 / 3.0, 0, False)
    assert ends(p, 101.0, 103.0, 97.0, 98.0) == ("stop", 101.1, 0, False)
    assert ends(p, 97.9, 98.0, 97.0, 98.0) == ("target", 98.0, 0, False)
    assert ends(p, 100.0, 101.0, 97.9, 100.0) == ("stop", 101.1, MINUTE, True)
    assert ends(p, 100.0, 100.9, 98.0, 100.0) is None
    assert stop_price(100.0, -1, 0.0101, TENTH.tick) == 101.1


def test_higher_candles_and_holes() -> None:
    rows = [Candle(i * MINUTE, 1.0 + i, 2.0 + i, 0.5, 1.5, 1.0) for i in range(15) if i != 7]
    assert [c.open_time for c in aggregate(rows, MINUTE, 5 * MINUTE)] == [0, 10 * MINUTE]
    assert aggregate(rows, MINUTE, 15 * MINUTE) == []
    near, far = rows[-1]._replace(open_time=255 * MINUTE), rows[-1]._replace(open_time=256 * MINUTE)
    assert len(split_at_holes([*rows, near], MINUTE, 240 * MINUTE)) == 1
    assert len(split_at_holes([*rows, far], MINUTE, 240 * MINUTE)) == 2


def test_funding_since() -> None:
    values, memory = strategy_settings("funding", {}), conditions.Memory()
    hour, before, seen = 60 * MINUTE, None, []
    for hours, rate in ((0, 0.0001), (8, -0.0003), (16, -0.0004), (24, 0.0005), (33, 0.0005), (41, 0.0)):
        conditions.remember_settlement(values, memory, before, hours * hour, rate)
        before = hours * hour
        seen.append((memory.since and memory.since // hour, memory.since_side))
    assert seen == [(None, 0), (8, 1), (8, 1), (24, -1), (33, -1), (None, 0)]


def test_global_switch_looks_back_25_hours() -> None:
    switch, hour = GlobalSwitch({"global_max_loss_percent": 45.0, "global_window_hours": 24}, 100.0), 60 * MINUTE
    assert switch.check(5 * hour, 90.0) is None
    assert switch.check(29 * hour, 55.1) is None
    assert switch.check(30 * hour, 50.0) is None
    switch = GlobalSwitch({"global_max_loss_percent": 45.0, "global_window_hours": 24}, 100.0)
    switch.check(5 * hour, 90.0)
    trip = switch.check(29 * hour, 55.0)
    assert trip is not None and trip["peak"] == 100.0
    assert switch.check(29 * hour, 10.0) is None


def ledger_total(result: Result, name: str) -> float:
    """Capital plus every ledger line and the unrealised PnL is the equity of the account."""
    closed = sum(t["net_usdt"] for t in result.trades if t["strategy"] == name)
    open_ = [p for p in result.positions if p["strategy"] == name]
    return float(10000.0 + closed + sum(p["funding"] - p["open_fee"] for p in open_))


@pytest.fixture(scope="module")
def eth_run() -> Result:
    """ETH at 1m with funding and without kill switch of the strategies."""
    return run_eth({"risk.max_session_loss_percent": 100, "risk.max_daily_loss_percent": 100})


def run_eth(settings: dict[str, float]) -> Result:
    rows = text_rows(DATA / "binance_ETHUSDT_1m_2025-05-04_2025-06-24.csv.gz")[:30_000]
    funding = {"ETHUSDT": DATA / "binance_ETHUSDT_funding_2024-12-31_2025-09-30.csv.gz"}
    return simulate([("ETHUSDT", rows)], funding, {}, settings=settings)


@needs_data
def test_ledger_sums(eth_run: Result) -> None:
    assert len(eth_run.trades) > 50
    for name in eth_run.strategies:
        assert eth_run.cash[name] == pytest.approx(ledger_total(eth_run, name), abs=1e-6)
    paid = sum(p["amount"] for p in eth_run.funding_payments)
    assert paid == pytest.approx(sum(t["funding_usdt"] for t in eth_run.trades), abs=1e-9)


@pytest.mark.system
@needs_data
def test_trip_ends_entries_and_replay_is_identical(eth_run: Result, tmp_path: Path) -> None:
    settings: dict[str, float] = {"risk.max_session_loss_percent": 1}
    first, second = run_eth(settings), run_eth(settings)
    trips = {trip["scope"]: trip for trip in first.trips}
    assert "momentum" in trips
    trip = trips["momentum"]
    assert max(o["t_c"] for o in first.orders if o["strategy"] == "momentum") < trip["t_c"]
    own = [t for t in first.trades if t["strategy"] == "momentum"]
    assert own == [t for t in eth_run.trades if t["strategy"] == "momentum"][: len(own)]
    write_trades(tmp_path / "a.csv", first.trades)
    write_trades(tmp_path / "b.csv", second.trades)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_late_and_missing_candles_drop_an_entry() -> None:
    def run(change: str) -> Result:
        rows = [(i * MINUTE, 100.0, 100.0, 100.0, 100.0, 1.0, False) for i in range(40)]
        if change == "late":
            rows[15] = (*rows[15][:6], True)
        if change == "missing":
            del rows[15]
        return simulate([("X", rows)], {"X": [(0, -0.001)]}, {}, ["funding"], contracts={"X": TENTH})

    assert [p["entry_time"] for p in run("").positions] == [15 * MINUTE]
    assert [c["reason"] for c in run("late").cancellations] == ["late_candle"]
    assert [c["reason"] for c in run("missing").cancellations] == ["next_candle_missing"]
    assert run("late").positions == []


def test_section_4_funding_payment() -> None:
    rows = [(i * MINUTE, 84018.7, 84018.7, 84018.7, 84018.7, 1.0) for i in range(500)]
    funding = [(0, -0.001), (480 * MINUTE + 8, 0.0001), (480 * MINUTE + 9, 0.0001)]
    result = simulate([("X", rows)], {"X": funding}, {}, ["funding"], contracts={"X": TENTH})
    (payment,) = result.funding_payments
    quantity = result.positions[0]["quantity"]
    assert payment["amount"] == pytest.approx(-0.4200935 * quantity / 0.05, rel=1e-12)


def test_coarse_base_leaves_strategies_out() -> None:
    rows = [(i * 15 * MINUTE, 1.0, 1.0, 1.0, 1.0, 1.0) for i in range(5)]
    with pytest.warns(UserWarning, match="needs candles of 5m"):
        assert simulate([("X", rows)]).strategies == ["funding"]
    with pytest.raises(ValueError, match="momentum"):
        simulate([("X", rows)], strategies=["momentum"])
