"""Given facts, then accounts, positions and orders."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from papertape.events.errors import LogDamaged
from papertape.events.facts import RunnerPaused, RunnerResumed, Timing
from papertape.events.units import DAY_MS, MINUTE_MS
from papertape.projections.folds.portfolio import Portfolio
from papertape.projections.host import fold
from tests.build import (
    DAY_0_MS,
    cancelled,
    candle,
    closed,
    configured,
    funding_paid,
    liquidated_whole,
    opened,
    ordered,
    recorded,
)

if TYPE_CHECKING:
    from papertape.events.facts import Event


def portfolio(*events: Event) -> Portfolio:
    view = Portfolio()
    fold([view], recorded(events))
    return view


def test_a_configured_runner_has_its_capital_and_nothing_else() -> None:
    account = portfolio(configured(capital_usdt=5_000.0)).account("momentum")
    assert (account.capital_usdt, account.cash_usdt, account.equity_usdt) == (5_000.0, 5_000.0, 5_000.0)
    assert (account.state, account.why, account.open_positions, account.drawdown_percent) == ("active", "", 0, 0.0)
    assert account.leverage == 3.0


def test_a_later_configuration_changes_rules_but_not_money() -> None:
    view = portfolio(configured(), candle(0, 100.0), opened(fee_usdt=1.0), configured(capital_usdt=99.0))
    assert view.account("momentum").cash_usdt == 9_999.0
    assert view.account("momentum").capital_usdt == 10_000.0


def test_an_opened_position_costs_its_fee_and_is_marked_at_the_last_close() -> None:
    view = portfolio(configured(), candle(0, 100.0), opened(fee_usdt=0.06), candle(1, 101.0))
    account = view.account("momentum")
    assert account.cash_usdt == pytest.approx(9_999.94)
    assert account.unrealised_usdt == pytest.approx(1.0)
    assert account.equity_usdt == pytest.approx(10_000.94)
    assert account.margin_usdt == 33.0


def test_a_short_position_gains_when_the_price_falls() -> None:
    view = portfolio(configured(), candle(0, 100.0), opened(side="short", quantity_base=2.0), candle(1, 99.0))
    assert view.positions()[0].unrealised_usdt == pytest.approx(2.0)


def test_a_position_shows_everything_about_itself() -> None:
    events = (configured(), candle(0, 100.0), opened(), candle(1, 101.0), funding_paid(-0.42), funding_paid(0.1))
    position = portfolio(*events).positions()[0]
    assert (position.symbol, position.side, position.entry_price_usdt) == ("BTCUSDT", "long", 100.0)
    assert (position.stop_price_usdt, position.target_price_usdt, position.liquidation_price_usdt) == (
        99.0,
        102.0,
        70.0,
    )
    assert position.mark_price_usdt == position.notional_usdt == 101.0
    assert position.unrealised_percent == pytest.approx(1.0)
    assert position.unrealised_r == pytest.approx(0.5)
    assert position.funding_usdt == pytest.approx(-0.32)
    assert (position.fees_usdt, position.margin_usdt, position.opened_seq) == (0.06, 33.0, 3)
    assert position.age_ms == 2 * MINUTE_MS


def test_a_closed_trade_leaves_its_net_result_in_the_cash() -> None:
    events = (configured(), candle(0, 100.0), opened(), funding_paid(-0.5), candle(1, 110.0), closed(10.0))
    account = portfolio(*events).account("momentum")
    assert account.cash_usdt == account.equity_usdt == pytest.approx(10_000.0 + 10.0 - 0.12 - 0.5)
    assert account.open_positions == 0
    assert account.fees_usdt == pytest.approx(0.12)
    assert account.funding_usdt == pytest.approx(-0.5)
    assert account.slippage_usdt == pytest.approx(0.1)


def test_a_liquidation_takes_the_margin() -> None:
    liquidation = liquidated_whole(
        DAY_0_MS, "momentum", "BTCUSDT", "long", "liquidation", 1.0, DAY_0_MS, 100.0, 67.0, 67.0, 0.0,
        -33.0, 0.06, 0.0, 0.05, -33.06, -16.53, ambiguous=False,
    )  # fmt: skip
    account = portfolio(configured(), candle(0, 100.0), opened(), candle(1, 60.0), liquidation).account("momentum")
    assert account.cash_usdt == pytest.approx(10_000.0 - 33.06)
    assert account.open_positions == 0


def test_accounts_are_isolated() -> None:
    view = portfolio(configured("a"), configured("b"), candle(0, 100.0), opened("a"), candle(1, 50.0))
    assert view.account("b").equity_usdt == 10_000.0
    assert view.account("a").equity_usdt == pytest.approx(9_949.94)
    assert view.view().equity_usdt == pytest.approx(19_949.94)


def test_positions_are_in_the_configured_order_of_symbols() -> None:
    events = (
        configured(symbols=("A", "B")),
        candle(0, 1.0, "A"),
        candle(0, 1.0, "B"),
        opened(symbol="B"),
        opened(symbol="A"),
    )
    assert [position.symbol for position in portfolio(*events).positions()] == ["A", "B"]


def test_the_days_result_starts_from_the_equity_at_the_end_of_the_day_before() -> None:
    events = (configured(), candle(0, 100.0), opened(fee_usdt=0.0), candle(1, 110.0), candle(1_440, 115.0))
    account = portfolio(*events).account("momentum")
    assert account.day_result_usdt == pytest.approx(5.0)
    assert account.day_result_percent == pytest.approx(5.0 / 10_010.0 * 100.0)


def test_a_warm_up_candle_only_sets_the_price() -> None:
    view = portfolio(configured(), candle(-5, 100.0, timing=Timing.WARM_UP))
    assert view.equity.ledger.closes == {"BTCUSDT": 100.0}
    assert view.equity_curve("momentum").day_equities_usdt == ()


def test_an_order_is_pending_until_the_position_is_opened() -> None:
    placed = (configured(), candle(0, 100.0), ordered("entry"))
    order = portfolio(*placed).orders()[0]
    assert (order.action, order.side, order.seq, order.planned_price_usdt) == ("entry", "long", 3, 100.0)
    assert portfolio(*placed, candle(1, 100.0), opened()).orders() == ()


def test_a_cancelled_order_is_no_longer_pending() -> None:
    assert portfolio(configured(), candle(0, 100.0), ordered("entry"), cancelled()).orders() == ()


def test_a_close_ends_a_pending_exit() -> None:
    events = (configured(), candle(0, 100.0), opened(), ordered("exit"))
    assert portfolio(*events).orders()[0].action == "exit"
    assert portfolio(*events, candle(1, 100.0), closed(1.0)).orders() == ()


def test_an_entry_placed_after_a_close_in_the_same_candle_is_pending() -> None:
    events = (configured(), candle(0, 100.0), opened(), candle(1, 100.0), closed(1.0), ordered("entry"))
    assert [order.action for order in portfolio(*events).orders()] == ["entry"]


def test_money_of_a_strategy_that_was_never_configured_is_refused_by_seq() -> None:
    with pytest.raises(LogDamaged, match=r"seq 2.*ghost"):
        portfolio(configured(), opened("ghost"))


def test_a_pause_says_who_and_why_until_it_is_resumed() -> None:
    paused = (configured(), RunnerPaused(DAY_0_MS, "momentum", "anna", "holiday"))
    account = portfolio(*paused).account("momentum")
    assert (account.state, account.why) == ("paused", "paused by anna: holiday")
    resumed = RunnerResumed(DAY_0_MS, "momentum", "anna", "back")
    assert portfolio(*paused, resumed).account("momentum").state == "active"


def test_the_view_names_its_seq_and_market_time() -> None:
    view = portfolio(configured(), candle(5, 100.0), candle(3, 90.0, "ETHUSDT", Timing.LATE)).view()
    assert (view.seq, view.at_ms) == (3, DAY_0_MS + 6 * MINUTE_MS)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("candle"), st.floats(50.0, 150.0)),
        st.tuples(st.just("funding"), st.floats(-5.0, 5.0)),
        st.tuples(st.just("turn"), st.floats(-40.0, 40.0)),
    ),
    max_size=60,
)


def play(chosen: list[tuple[str, float]]) -> tuple[Portfolio, list[float]]:
    """Return a portfolio after random steps of one strategy, and its ledger entries."""
    events: list[Event] = [configured(), candle(0, 100.0)]
    lines: list[float] = []
    is_open = False
    for minute, (kind, number) in enumerate(chosen, start=1):
        if kind == "candle":
            events.append(candle(minute * 300, number))
        elif kind == "turn":
            events.append(closed(number) if is_open else opened())
            lines += [number, -0.06] if is_open else [-0.06]
            is_open = not is_open
        elif is_open:
            events.append(funding_paid(number))
            lines.append(number)
    return portfolio(*events), lines


@given(steps)
def test_cash_is_the_capital_plus_every_ledger_line(chosen: list[tuple[str, float]]) -> None:
    view, lines = play(chosen)
    account = view.account("momentum")
    assert account.cash_usdt == pytest.approx(10_000.0 + sum(lines), abs=1e-6)
    assert account.equity_usdt == pytest.approx(account.cash_usdt + account.unrealised_usdt, abs=1e-9)


@given(steps)
def test_a_drawdown_lies_between_nothing_and_everything(chosen: list[tuple[str, float]]) -> None:
    curve = play(chosen)[0].equity_curve("momentum")
    assert 0.0 <= curve.drawdown_fraction <= curve.max_drawdown_fraction <= 1.0
    assert curve.peak_usdt >= max(curve.equity_usdt, curve.capital_usdt)


@given(steps)
def test_every_calendar_day_has_one_equity(chosen: list[tuple[str, float]]) -> None:
    curve = play(chosen)[0].equity_curve("momentum")
    last_open_ms = curve.until_ms - MINUTE_MS
    assert len(curve.day_equities_usdt) == last_open_ms // DAY_MS - curve.from_ms // DAY_MS + 1
    assert curve.day_equities_usdt[-1] == curve.equity_usdt
