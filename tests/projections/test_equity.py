"""Given candles and fills, then the equity curve."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from papertape.events.facts import OpenInterestObserved, Timing
from papertape.events.units import DAY_MS, HOUR_MS, MINUTE_MS
from papertape.projections.folds.curve import CURVE_POINTS_MAX
from papertape.projections.folds.equity import Equity
from papertape.projections.host import fold
from tests.build import DAY_0_MS, candle, closed, configured, opened, recorded

if TYPE_CHECKING:
    from papertape.events.facts import Event
    from papertape.projections.folds.equity import EquityView

FREE = opened(fee_usdt=0.0)


def curve(*events: Event, strategy: str = "momentum") -> EquityView:
    equity = Equity()
    fold([equity], recorded(events))
    return equity.view(strategy)


def test_equity_is_sampled_after_the_consequences_of_a_candle() -> None:
    # Marked at the wick's close the position would stand at 10,050; the group closes it at +5.
    view = curve(configured(), candle(0, 100.0), FREE, candle(1, 150.0), closed(5.0, fee_usdt=0.0), candle(2, 100.0))
    assert view.peak_usdt == 10_005.0
    assert view.max_drawdown_fraction == 0.0


def test_the_view_includes_the_incomplete_newest_group() -> None:
    view = curve(configured(), candle(0, 100.0), FREE, candle(1, 90.0))
    assert view.equity_usdt == 9_990.0
    assert view.drawdown_fraction == view.max_drawdown_fraction == pytest.approx(0.001)
    assert view.samples == 2


def test_taking_a_view_changes_nothing() -> None:
    equity = Equity()
    tape = recorded((configured(), candle(0, 100.0), FREE, candle(1, 90.0), closed(5.0, fee_usdt=0.0), candle(2, 95.0)))
    for event in tape:
        equity.apply(event)
        for view in equity.views():
            assert view.samples >= 0
    unseen = Equity()
    fold([unseen], tape)
    assert equity.view("momentum") == unseen.view("momentum")
    assert equity.view("momentum").max_drawdown_fraction == 0.0


def test_drawdown_is_measured_from_the_peak_which_starts_at_the_capital() -> None:
    view = curve(configured(), candle(0, 100.0), FREE, candle(1, 200.0), candle(2, 99.0), candle(3, 150.0))
    assert view.peak_usdt == 10_100.0
    assert view.drawdown_fraction == pytest.approx(50.0 / 10_100.0)
    assert view.max_drawdown_fraction == pytest.approx(101.0 / 10_100.0)


def test_a_drawdown_lasts_from_the_last_sample_at_the_peak_to_the_first_back_at_it() -> None:
    prices = [100.0, 110.0, 105.0, 104.0, 110.0, 109.0]
    events = [configured(), candle(0, 100.0), FREE, *(candle(i, p) for i, p in enumerate(prices, start=1))]
    assert curve(*events).longest_drawdown_ms == 3 * MINUTE_MS


def test_a_continuing_drawdown_lasts_until_the_newest_candle() -> None:
    view = curve(configured(), candle(0, 100.0), FREE, candle(1, 100.0), candle(2, 99.0), candle(50, 99.5))
    assert view.longest_drawdown_ms == 49 * MINUTE_MS


def test_a_flat_stretch_at_the_peak_is_no_drawdown() -> None:
    idle = [candle(i, 100.0) for i in range(100)]
    view = curve(configured(), *idle, FREE, candle(100, 99.0), candle(101, 99.0))
    # The fill belongs to the group of minute 99, which still stood at the peak.
    assert view.longest_drawdown_ms == 2 * MINUTE_MS


def test_equity_that_never_moves_has_no_drawdown() -> None:
    view = curve(configured(), *(candle(i, 100.0 + i) for i in range(50)))
    assert (view.max_drawdown_fraction, view.longest_drawdown_ms, view.samples) == (0.0, 0, 50)
    assert view.day_equities_usdt == (10_000.0,)


def test_days_without_candles_repeat_the_day_before() -> None:
    view = curve(configured(), candle(0, 100.0), FREE, candle(1, 110.0), candle(3 * 1_440, 120.0))
    assert view.day_equities_usdt == (10_010.0, 10_010.0, 10_010.0, 10_020.0)
    assert view.day_base_usdt == 10_010.0


def test_days_roll_for_an_idle_account() -> None:
    days = [candle(720 * i, 100.0) for i in range(5)]
    assert curve(configured(), *days).day_equities_usdt == (10_000.0, 10_000.0, 10_000.0)
    foreign = candle(720 * 4, 5.0, "ETHUSDT")
    assert curve(configured(), *days, foreign).day_equities_usdt == (10_000.0, 10_000.0, 10_000.0)


def test_a_candle_belongs_to_the_day_of_its_open() -> None:
    # The candle 23:59 to 00:00 belongs to the day that ends with it.
    view = curve(configured(), candle(0, 100.0), FREE, candle(1_439, 130.0))
    assert view.day_equities_usdt == (10_030.0,)
    assert view.until_ms == DAY_0_MS + DAY_MS


def test_a_late_candle_of_a_day_that_has_rolled_belongs_to_the_current_day() -> None:
    symbols = configured(symbols=("BTCUSDT", "ETHUSDT"))
    late = candle(0, 100.0, "ETHUSDT", Timing.LATE)
    view = curve(symbols, candle(0, 100.0), FREE, candle(1_441, 120.0), late)
    assert view.day_equities_usdt == (10_000.0, 10_020.0)
    assert view.until_ms == DAY_0_MS + 1_442 * MINUTE_MS


def test_warm_up_candles_are_not_sampled() -> None:
    warm = [candle(i, 100.0, timing=Timing.WARM_UP) for i in range(-3_000, 0)]
    view = curve(configured(), *warm, candle(0, 100.0))
    assert view.from_ms == DAY_0_MS
    assert (view.samples, view.day_equities_usdt) == (1, (10_000.0,))


def test_candles_of_other_symbols_are_not_sampled() -> None:
    view = curve(configured(), candle(0, 100.0), candle(1, 5.0, "ETHUSDT"), candle(2, 5.0, "ETHUSDT"))
    assert (view.samples, view.until_ms) == (1, DAY_0_MS + MINUTE_MS)


def test_the_candle_before_its_configuration_does_not_count_for_an_account() -> None:
    view = curve(configured("a"), candle(0, 100.0), configured("b"), candle(1, 100.0), candle(2, 100.0), strategy="b")
    assert (view.samples, view.from_ms) == (2, DAY_0_MS + MINUTE_MS)


def test_samples_stay_counted_when_symbols_change() -> None:
    both = configured(symbols=("BTCUSDT", "ETHUSDT"))
    view = curve(both, candle(0, 1.0), candle(0, 1.0, "ETHUSDT"), configured(), candle(1, 1.0), candle(2, 1.0))
    assert (view.samples, view.from_ms, view.until_ms) == (4, DAY_0_MS, DAY_0_MS + 3 * MINUTE_MS)


def test_facts_between_candles_end_no_group_early() -> None:
    reading = OpenInterestObserved(DAY_0_MS, "BTCUSDT", 1_000.0)
    view = curve(configured(), candle(0, 100.0), FREE, reading, candle(1, 101.0))
    assert (view.equity_usdt, view.samples) == (10_001.0, 2)


def test_gross_exposure_is_the_mean_of_notional_over_equity() -> None:
    view = curve(configured(), candle(0, 100.0), candle(1, 100.0), opened(quantity_base=50.0, fee_usdt=0.0))
    assert view.gross_exposure_fraction == pytest.approx(0.25)


def test_a_young_curve_has_a_point_for_every_minute() -> None:
    minutes = [candle(i, 100.0 + i % 7) for i in range(20)]
    view = curve(configured(), candle(-1, 100.0), FREE, *minutes)
    assert [point.at_ms for point in view.curve] == [DAY_0_MS + i * MINUTE_MS for i in range(21)]


def test_the_curve_is_bounded_and_keeps_its_ends() -> None:
    hours = [candle(60 * i, 100.0 + i % 7) for i in range(2 * CURVE_POINTS_MAX + 10)]
    view = curve(configured(), candle(-1, 100.0), FREE, *hours)
    assert CURVE_POINTS_MAX / 4 < len(view.curve) <= CURVE_POINTS_MAX
    assert view.curve[-1].equity_usdt == view.equity_usdt
    gaps = [later.at_ms - earlier.at_ms for earlier, later in pairwise(view.curve)]
    assert 0 < min(gaps) <= max(gaps) <= 2 * 4 * HOUR_MS


def test_a_sparkline_holds_between_changes() -> None:
    events = (configured(), candle(0, 100.0), candle(120, 100.0), FREE, candle(121, 150.0), closed(50.0, fee_usdt=0.0))
    line = curve(*events, candle(239, 150.0)).sparkline(5)
    assert line == (10_000.0, 10_000.0, 10_000.0, 10_050.0, 10_050.0)


def test_a_sparkline_before_any_candle_is_the_capital() -> None:
    assert curve(configured()).sparkline() == (10_000.0, 10_000.0)


def test_equity_adds_the_symbols_in_the_configured_order() -> None:
    # 0.1 + 0.2 + 0.3 differs in the last bit from 0.3 + 0.2 + 0.1.
    symbols = ("C", "B", "A")
    fills = [
        opened(symbol=s, price_usdt=0.0, quantity_base=q, fee_usdt=0.0)
        for s, q in zip("ABC", (0.1, 0.2, 0.3), strict=True)
    ]
    marks = [candle(0, 1.0, s) for s in "ABC"]
    view = curve(configured(symbols=symbols, capital_usdt=0.0), *marks, *fills)
    assert view.equity_usdt == (0.3 + 0.2) + 0.1
    assert view.equity_usdt != (0.1 + 0.2) + 0.3


@given(st.lists(st.tuples(st.integers(1, 4_000), st.floats(60.0, 140.0), st.booleans()), min_size=1, max_size=40))
def test_the_curve_equals_one_sampled_after_every_candle(steps: list[tuple[int, float, bool]]) -> None:
    """The fold skips candles that cannot change the equity; the oracle samples every candle of the account."""
    events: list[Event] = [configured()]
    minute, cash, entry = 0, 10_000.0, 0.0
    samples: list[tuple[int, float]] = []
    for gap, price, turn in steps:
        minute += gap
        events.append(candle(minute, price))
        if turn and entry == 0.0:
            events.append(opened(price_usdt=price, fee_usdt=0.06))
            cash, entry = cash - 0.06, price
        elif turn:
            events.append(closed(price - entry, fee_usdt=0.06))
            cash, entry = cash + (price - entry) - 0.06, 0.0
        samples.append((minute, cash + (price - entry if entry else 0.0)))
    view = curve(*events)
    peak, worst, days = 10_000.0, 0.0, {}
    for at, equity in samples:
        peak = max(peak, equity)
        worst = max(worst, (peak - equity) / peak)
        days[at // 1_440] = equity
    assert view.equity_usdt == pytest.approx(samples[-1][1])
    assert view.max_drawdown_fraction == pytest.approx(worst)
    assert view.samples == len(samples)
    assert view.day_equities_usdt[0] == pytest.approx(days[min(days)])
    assert len(view.day_equities_usdt) == max(days) - min(days) + 1
    assert view.until_ms == DAY_0_MS + (minute + 1) * MINUTE_MS


def test_a_warm_up_candle_changes_the_price_of_what_is_held() -> None:
    """After a restart the history of a held symbol comes first: the next sample of another symbol sees its price."""
    events = [configured("momentum", ("BTCUSDT", "ETHUSDT")), candle(0, 100.0), opened(), candle(1, 101.0)]
    later = [candle(2, 90.0, timing=Timing.WARM_UP), candle(2, 5.0, "ETHUSDT"), candle(3, 5.0, "ETHUSDT")]
    equity = Equity()
    fold([equity], recorded([*events, *later]))
    (account,) = equity.ledger.accounts.values()
    unrealised, _ = account.marked_usdt(equity.ledger.closes)
    assert equity.ledger.closes["BTCUSDT"] == 90.0
    assert equity._equities["momentum"].equity_usdt == account.cash_usdt + unrealised
