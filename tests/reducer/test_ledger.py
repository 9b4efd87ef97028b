"""Money: every change of cash is a line of the log, and nothing else is equity."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from papertape.engine.kernel.margin import profit
from papertape.engine.reducer.reducer import total_equity
from papertape.events.facts import CandleClosed, Closing, Event, FundingPaid, OrderPlaced, PositionOpened
from tests.build import FIVE_MINUTES_MS, listed
from tests.kernel.scenario import BUY, LEAVE, SELL, Scenario
from tests.reducer.random_market import Recipe, market, recipes
from tests.reducer.runs import Run, played
from tests.support import NO_COSTS, NO_LIMITS, examples

BUSY = Recipe(seed=1, symbols=3, candles=300, told_of=0.2)
BUILT_IN = Recipe(seed=2, symbols=3, candles=500, timeframe_ms=FIVE_MINUTES_MS)


def ledger(run: Run, strategy: str) -> float:
    """Capital and every ledger line of a strategy, summed from the log."""
    total = 10_000.0
    for event in run.events():
        if isinstance(event, PositionOpened) and event.strategy == strategy:
            total -= event.fee_usdt
        elif isinstance(event, Closing) and event.strategy == strategy:
            total += event.gross_usdt - event.fee_usdt
        elif isinstance(event, FundingPaid) and event.strategy == strategy:
            total += event.amount_usdt
    return total


def check_ledger(run: Run) -> None:
    """Cash is the ledger, equity is cash and open profit at the last closes, the total is the sum."""
    for runner in run.world.runners:
        desks, account = runner.desks, runner.account
        open_profit = sum(
            profit(desk.position.side, desk.position.quantity_base, desk.position.entry_price_usdt, market.close)
            for desk, market in zip(desks, run.world.markets, strict=True)
        )
        assert account.cash_usdt == pytest.approx(ledger(run, runner.strategy.name), abs=1e-6)
        assert account.equity_usdt == pytest.approx(account.cash_usdt + open_profit, abs=1e-6)
        assert account.positions == sum(desk.position.side != 0 for desk in desks)
    assert run.world.guard.total_usdt == total_equity(run.world)


@examples(25)
@given(recipes(told_of=0.2))
def test_cash_is_capital_and_every_ledger_line(recipe: Recipe) -> None:
    check_ledger(played(market(recipe)))


@examples(6)
@given(recipes(FIVE_MINUTES_MS, candles=420))
def test_cash_is_capital_and_every_ledger_line_for_the_built_in_strategies(recipe: Recipe) -> None:
    check_ledger(played(market(recipe)))


@pytest.mark.parametrize("recipe", [BUSY, BUILT_IN])
def test_the_random_markets_are_traded_by_everybody_in_every_way(recipe: Recipe) -> None:
    """A property over markets in which nothing happens would prove nothing."""
    events = played(market(recipe)).events()
    closed = [event for event in events if isinstance(event, Closing)]
    assert len({event.strategy for event in closed}) == (2 if recipe is BUSY else 4)
    assert {"stop", "target"} < {event.reason for event in closed}
    assert len({event.reason for event in closed}) > 2, "somebody left of their own"
    assert any(isinstance(event, FundingPaid) for event in events)


@examples(25)
@given(recipes(told_of=0.2))
def test_the_net_results_of_all_trades_are_what_the_ledger_says(recipe: Recipe) -> None:
    run = played(market(recipe))
    for runner in run.world.runners:
        name = runner.strategy.name
        net = sum(event.net_usdt for event in run.events() if isinstance(event, Closing) and event.strategy == name)
        standing = [desk.position for desk in runner.desks if desk.position.side != 0]
        on_the_way = sum(position.funding_usdt - position.fee_usdt for position in standing)
        assert 10_000.0 + net + on_the_way == pytest.approx(runner.account.cash_usdt, abs=1e-6)


# ---------------------------------------------------------------- mirror symmetry

Ticks = list[tuple[int, int, int]]
FREE = replace(NO_COSTS, max_session_loss_percent=100.0, max_daily_loss_percent=100.0, global_max_loss_percent=100.0)


def path(moves: Ticks, side: float, leave_at: int, quarter_ticks_up: int) -> list[Event]:
    """A trade along a path of quarter ticks about 100, or along the mirrored path with the other side."""
    scenario = Scenario([listed("X", tick=(1, 4))], FREE, stop_percent=2.0, target_percent=3.0)
    scenario.enter(side)
    sign = 1.0 if side == BUY else -1.0
    at, decided = 100.0, []
    for index, (move, up, down) in enumerate(moves):
        o = at
        c = at + move / 4.0
        rise, fall = (up, down) if side == BUY else (down, up)
        high, low = max(100.0 + sign * (x - 100.0) for x in (o, c)), min(100.0 + sign * (x - 100.0) for x in (o, c))
        prices = (100.0 + sign * (o - 100.0), high + rise / 4.0, low - fall / 4.0, 100.0 + sign * (c - 100.0))
        decided += scenario.candle(prices, LEAVE if index == leave_at else 1.0)
        at = c + quarter_ticks_up / 4.0
    return decided


@examples(100)
@given(
    st.lists(st.tuples(st.integers(-4, 4), st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=15),
    st.integers(0, 20),
    st.integers(-2, 2),
)
def test_long_and_short_are_mirrors_when_nothing_costs(moves: Ticks, leave_at: int, gap: int) -> None:
    long, short = path(moves, BUY, leave_at, gap), path(moves, SELL, leave_at, gap)
    assert [type(event) for event in long] == [type(event) for event in short]
    for one, other in zip(long, short, strict=True):
        if isinstance(one, Closing) and isinstance(other, Closing):
            assert (one.reason, one.at_ms, one.ambiguous) == (other.reason, other.at_ms, other.ambiguous)
            assert one.gross_usdt == pytest.approx(other.gross_usdt, abs=1e-9)


def test_a_limit_is_never_exceeded_in_a_busy_market() -> None:
    run = played(market(BUSY), replace(NO_LIMITS, max_concurrent_positions=2, max_same_direction=1))
    held: dict[tuple[str, str], str] = {}
    for event in run.events():
        if isinstance(event, OrderPlaced | PositionOpened) and getattr(event, "action", "entry") == "entry":
            held[event.strategy, event.symbol] = event.side
        elif isinstance(event, Closing):
            held.pop((event.strategy, event.symbol))
        elif not isinstance(event, CandleClosed) and hasattr(event, "symbol") and "Cancelled" in type(event).__name__:
            held.pop((event.strategy, event.symbol))  # type: ignore[attr-defined]
        for strategy in ("scripted", "second"):
            sides = [side for (name, _), side in held.items() if name == strategy]
            assert len(sides) <= 2
            assert len(set(sides)) == len(sides)
