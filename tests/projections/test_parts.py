"""Given runs of the kernel in parts, then the folds agree with it, and parts add up to the whole."""

from __future__ import annotations

from math import fsum
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from papertape.engine.kernel.answers import rung_at
from papertape.engine.kernel.codes import ADD, ENTRY, EXIT, REASON_NAMES, REDUCE
from papertape.engine.reducer.decision_events import ACTION_NAMES, ORDER_KIND_NAMES
from papertape.events.facts import FundingPaid
from papertape.projections.folds.portfolio import Portfolio
from papertape.projections.folds.trades import Trades
from papertape.projections.host import fold
from papertape.projections.persistence.fork import fork
from papertape.projections.site.views import Views
from tests.build import BTC
from tests.projections.part_runs import NAME, played, steps
from tests.support import examples

if TYPE_CHECKING:
    from papertape.engine.kernel.state import SymbolState
    from papertape.projections.folds.fills import FillView
    from papertape.projections.folds.trades import TradeView
    from tests.projections.part_runs import PartRun

seeds = st.integers(0, 10**6)


def kernel_orders(desk: SymbolState) -> set[tuple[object, ...]]:
    """Everything that waits at the kernel: action, rung, kind, price."""
    found: set[tuple[object, ...]] = set()
    order, position = desk.order, desk.position
    if order.action in (ENTRY, EXIT):
        found.add((ACTION_NAMES[order.action], 0, ORDER_KIND_NAMES[order.kind], order.price_usdt))
    if position.side != 0 and position.adds_due == 0:
        rungs = [(k + 1, rung_at(position.adds, k)) for k in range(position.adds.count)]
        found |= {
            (ACTION_NAMES[ADD], k, ORDER_KIND_NAMES[one.kind], one.price_usdt) for k, one in rungs if one.live == 1
        }
    if position.side != 0 and position.reduce_fraction > 0.0:
        found.add((ACTION_NAMES[REDUCE], 0, "market", 0.0))
    return found


def check_position(portfolio: Portfolio, run: PartRun) -> None:
    """Compare the folded position, its bracket and its orders with the kernel's, to the bit."""
    runner = run.world.runners[0]
    desk = runner.desks[run.world.symbols[BTC]]
    position = desk.position
    assert portfolio.account(NAME).cash_usdt == runner.account.cash_usdt
    assert {(o.action, o.rung, o.kind, o.price_usdt) for o in portfolio.orders()} == kernel_orders(desk)
    if position.side == 0:
        assert portfolio.positions() == ()
        return
    (view,) = portfolio.positions()
    bracket = portfolio.brackets.of(NAME, BTC)
    assert bracket is not None
    assert (view.stop_price_usdt, view.stop_kind) == (position.stop_price_usdt, REASON_NAMES[position.stop_reason])
    assert (view.target_price_usdt, bracket.best_usdt) == (position.target_price_usdt, position.best_usdt)
    assert (view.quantity_base, view.entry_price_usdt) == (position.quantity_base, position.entry_price_usdt)
    assert (view.liquidation_price_usdt, view.margin_usdt) == (position.liquidation_price_usdt, position.margin_usdt)
    assert (view.fees_usdt, view.funding_usdt) == (position.fee_usdt, position.funding_usdt)
    assert (view.slippage_usdt, view.risk_usdt) == (position.slippage_usdt, position.risk_usdt)
    assert (view.units, view.max_quantity_base, view.parts) == (
        position.units,
        position.max_base,
        position.closed.parts,
    )
    live = [k + 1 for k in range(position.targets.count) if rung_at(position.targets, k).live == 1]
    assert [target.rung for target in view.targets] == live


@given(seeds)
@examples(8)
def test_the_folded_position_is_the_kernels_after_every_candle(seed: int) -> None:
    portfolio, folded = Portfolio(), 0
    for run in steps(seed):
        for one in run.log[folded:]:
            portfolio.apply(one)
        folded = len(run.log)
        check_position(portfolio, run)


def signed(fill: FillView) -> float:
    return fill.quantity_base if fill.action in ("open", "increase") else -fill.quantity_base


def check_sums(trade: TradeView) -> None:
    """Compare a trade with the sums over its fills."""
    fills = trade.fills
    assert [fill.action for fill in fills].count("open") == 1
    assert (fills[0].action, fills[-1].action, fills[-1].position_base) == ("open", "close", 0.0)
    assert fsum(map(signed, fills)) == pytest.approx(0.0, abs=1e-9)
    entries = [fill for fill in fills if signed(fill) > 0.0]
    exits = [fill for fill in fills if signed(fill) < 0.0]
    assert trade.parts == len(exits)
    assert trade.quantity_base == pytest.approx(fsum(map(signed, entries)), abs=1e-9)
    assert trade.max_quantity_base == pytest.approx(max(fill.position_base for fill in fills), abs=1e-9)
    for some, price in ((entries, trade.entry_price_usdt), (exits, trade.exit_price_usdt)):
        size = fsum(fill.quantity_base for fill in some)
        assert price == pytest.approx(fsum(fill.quantity_base * fill.price_usdt for fill in some) / size, abs=1e-6)
    assert trade.gross_usdt == pytest.approx(fsum(fill.gross_usdt for fill in fills), abs=1e-6)
    assert trade.fees_usdt == pytest.approx(fsum(fill.fee_usdt for fill in fills), abs=1e-6)
    assert trade.net_usdt == pytest.approx(trade.gross_usdt - trade.fees_usdt + trade.funding_usdt, abs=1e-6)
    sign = 1.0 if trade.side == "long" else -1.0
    moved = fsum(-sign * signed(fill) * fill.price_usdt for fill in fills)
    assert trade.gross_usdt == pytest.approx(moved, abs=1e-6), "what was sold, less what was bought"
    assert trade.best_usdt is not None
    assert trade.worst_usdt is not None
    assert trade.worst_usdt - 1e-9 <= trade.gross_usdt <= trade.best_usdt + 1e-9


@given(seeds)
@examples(10)
def test_parts_add_up_to_the_whole_and_cash_is_the_capital_plus_every_ledger_line(seed: int) -> None:
    run, portfolio = played(seed), Portfolio()
    trades = Trades(portfolio.excursions)
    fold([portfolio, trades], run.log)
    for trade in trades.closed():
        check_sums(trade)
    fills = trades.fills()
    funding = [one.event.amount_usdt for one in run.log if isinstance(one.event, FundingPaid)]
    account = portfolio.account(NAME)
    lines = [fill.gross_usdt - fill.fee_usdt for fill in fills]
    assert account.cash_usdt == pytest.approx(account.capital_usdt + fsum([*lines, *funding]), abs=1e-6)
    assert account.fees_usdt == pytest.approx(fsum(fill.fee_usdt for fill in fills), abs=1e-6)
    open_part = [
        (one.fees_usdt, one.funding_usdt, one.slippage_usdt, one.realised_usdt) for one in portfolio.positions()
    ]
    settled = fsum(trade.net_usdt for trade in trades.closed())
    held = fsum(realised - fees + paid for fees, paid, _, realised in open_part)
    assert account.cash_usdt - account.capital_usdt == pytest.approx(settled + held, abs=1e-6)
    assert (
        tuple(fill for trade in trades.closed() for fill in trade.fills)
        == fills[: sum(len(trade.fills) for trade in trades.closed())]
    )


def portrait(views: Views) -> tuple[object, ...]:
    return (
        views.portfolio.view(),
        views.trades.closed(),
        views.trades.fills(),
        views.coverage.of(NAME),
        views.resting.of(BTC, 0, views.at_ms),
        views.arena.performance(NAME),
    )


@given(seeds, st.floats(0.0, 1.0))
@examples(10)
def test_folding_on_from_a_checkpoint_at_any_event_equals_folding_at_once(seed: int, share: float) -> None:
    log = played(seed).log
    cut = max(2, int(share * len(log)))
    views, at_once = Views(), Views()
    for one in log[:cut]:
        views.apply(one)
    before, going_on = portrait(views) if views.at_ms else (), fork(views)
    for one in log[cut:]:
        going_on.apply(one)
    for one in log:
        at_once.apply(one)
    assert portrait(going_on) == portrait(at_once)
    assert not before or portrait(views) == before, "the checkpoint itself did not move"


def test_the_runs_hold_everything_that_a_position_in_parts_can_do() -> None:
    runs = [played(seed) for seed in range(12)]
    fills: list[FillView] = []
    for run in runs:
        trades = Trades()
        fold([trades], run.log)
        fills += trades.fills()
    assert {fill.action for fill in fills} == {"open", "increase", "reduce", "close"}
    reasons = {fill.reason for fill in fills}
    assert reasons >= {"market", "limit", "stop", "trailing_stop", "breakeven_stop", "target_1", "target_2", "reduced"}
    kinds = {type(one.event).__name__ for run in runs for one in run.log}
    assert kinds >= {"StopMoved", "TargetsMoved", "OrderCancelled", "FundingPaid", "PositionIncreased"}
