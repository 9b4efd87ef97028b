"""A contract that the exchange ended: what is open on it is settled, and the log says the same whoever reads it."""

from __future__ import annotations

import asyncio

import pytest

from papertape.engine.command_queue import command_events
from papertape.engine.kernel.risk_settings import RiskSettings
from papertape.engine.reducer.reducer import fold, is_new
from papertape.engine.reducer.snapshot_codec import decode, encode, state_digest
from papertape.engine.reducer.state import new_state
from papertape.engine.verify import verify
from papertape.events.commands import Close
from papertape.events.errors import CommandRefused
from papertape.events.facts import (
    CloseRequested,
    ContractDelisted,
    KillSwitchTripped,
    OrderCancelled,
    OrderPlaced,
    OrderRejected,
    PositionClosed,
    SymbolResumed,
    SymbolSuspended,
)
from papertape.events.log import Entry
from papertape.events.memory_log import MemoryEventLog
from papertape.events.units import DAY_MS, HOUR_MS, MINUTE_MS
from papertape.projections.folds.portfolio import Portfolio
from papertape.projections.folds.trades import Trades
from papertape.projections.host import fold as fold_views
from tests.build import DAY_0_MS, listed
from tests.kernel.scenario import BUY, LEAVE, SELL, Scenario, only
from tests.support import STRATEGIES

LAST_CLOSE_MS = DAY_0_MS + 2 * MINUTE_MS
"""When the last candle of a symbol closes on which a position was opened."""


def delisted(after_ms: int, symbol: str = "X") -> ContractDelisted:
    """The news, so long after the last candle."""
    return ContractDelisted(LAST_CLOSE_MS + after_ms, symbol, "the exchange no longer lists it")


def asked(after_ms: int) -> CloseRequested:
    """The owner wants out."""
    return CloseRequested(LAST_CLOSE_MS + after_ms, "scripted", "X", "anna", "delisted")


def test_a_position_is_settled_at_the_last_close_24_hours_after_the_last_candle() -> None:
    scenario = Scenario()
    scenario.enter()
    position = scenario.desk().position
    quantity, entry, fee = position.quantity_base, position.entry_price_usdt, position.fee_usdt
    assert scenario.tell(delisted(5 * MINUTE_MS)) == []
    assert not is_new(scenario.world, delisted(DAY_MS - 1)), "it is known, and nothing is due"
    closed = only(scenario.tell(delisted(DAY_MS)), PositionClosed)
    assert (closed.reason, closed.price_usdt, closed.reference_price_usdt) == ("delisted", 100.0, 100.0)
    assert closed.at_ms == LAST_CLOSE_MS + DAY_MS
    assert closed.fee_usdt == quantity * 100.0 * 0.0006, "the taker fee, and no slippage"
    assert closed.net_usdt == pytest.approx(quantity * (100.0 - entry) - fee - closed.fee_usdt)
    assert scenario.account.equity_usdt == scenario.account.cash_usdt == pytest.approx(10_000.0 + closed.net_usdt)
    assert not is_new(scenario.world, delisted(2 * DAY_MS)), "once"


def test_the_owner_s_close_settles_a_delisted_position_at_once() -> None:
    scenario = Scenario()
    scenario.enter(SELL)
    scenario.tell(delisted(5 * MINUTE_MS))
    closed = only(scenario.tell(asked(HOUR_MS)), PositionClosed)
    assert (closed.reason, closed.side, closed.price_usdt) == ("delisted", "short", 100.0)
    with pytest.raises(CommandRefused, match="holds no position"):
        scenario.tell(asked(HOUR_MS))


def test_a_close_that_waits_for_an_open_is_settled_when_the_contract_is_found_ended() -> None:
    scenario = Scenario()
    scenario.enter()
    assert only(scenario.tell(asked(MINUTE_MS)), OrderPlaced).action == "exit"
    assert only(scenario.tell(delisted(5 * MINUTE_MS)), PositionClosed).reason == "delisted"
    assert scenario.desk().order.action == 0, "no exit is left behind"


def test_a_strategy_s_own_exit_waits_for_the_settlement_or_its_owner() -> None:
    scenario = Scenario()
    scenario.enter()
    scenario.candle(100.0, LEAVE)
    assert scenario.tell(delisted(5 * MINUTE_MS)) == []
    (request,) = command_events(scenario.world, Close("anna", "delisted"))
    assert only(scenario.tell(request), PositionClosed).reason == "delisted"


def test_nothing_is_opened_on_it_and_a_pending_entry_is_cancelled() -> None:
    scenario = Scenario([listed("X"), listed("Y")])
    scenario.candle(100.0, BUY)
    assert only(scenario.tell(delisted(0)), OrderCancelled).reason == "not_tradable"
    assert scenario.candle(100.0, BUY) == []
    assert not is_new(scenario.world, SymbolSuspended(DAY_0_MS, "X", "a hole"))
    assert only(scenario.candle(100.0, BUY, "Y"), OrderPlaced).symbol == "Y"


def test_a_place_that_a_delisted_position_took_is_free_afterwards() -> None:
    scenario = Scenario([listed("X"), listed("Y")], RiskSettings(max_concurrent_positions=1))
    scenario.enter()
    scenario.tell(delisted(0))
    assert only(scenario.candle(100.0, BUY, "Y"), OrderRejected).reason == "max_positions"
    scenario.tell(asked(MINUTE_MS))
    assert only(scenario.candle(100.0, BUY, "Y"), OrderPlaced).symbol == "Y"


def test_a_contract_that_is_listed_again_is_traded_again() -> None:
    scenario = Scenario()
    scenario.enter()
    scenario.tell(delisted(MINUTE_MS))
    scenario.tell(SymbolResumed(LAST_CLOSE_MS + HOUR_MS, "X", "the exchange trades it again"))
    assert is_new(scenario.world, delisted(2 * HOUR_MS))
    scenario.skip(60)
    assert only(scenario.candle((100.0, 100.0, 90.0, 95.0)), PositionClosed).reason == "stop"


def test_the_fee_of_a_settlement_may_trip_the_kill_switch() -> None:
    risk = RiskSettings(taker_fee_percent=0.1, max_session_loss_percent=1.0, max_risk_per_trade_percent=10.0)
    scenario = Scenario(risk=risk, stop_percent=20.0)
    scenario.enter()
    scenario.candle(98.2)
    assert scenario.account.tripped == 0
    scenario.tell(delisted(0))
    events = scenario.tell(asked(HOUR_MS))
    assert [type(event) for event in events] == [PositionClosed, KillSwitchTripped]


@pytest.mark.system
def test_every_reader_of_the_log_ends_in_the_same_state() -> None:
    """Following, deciding again, a snapshot between the two, the compiled replay, and the views agree to the cent."""
    scenario = Scenario([listed("X"), listed("Y")])
    scenario.enter(symbol="X")
    scenario.enter(SELL, symbol="Y")
    scenario.tell(delisted(0, "X"))
    restarted = decode(encode(scenario.world), STRATEGIES)
    known = len(scenario.log)
    scenario.tell(delisted(0, "Y"))
    scenario.tell(asked(HOUR_MS))
    scenario.tell(delisted(DAY_MS, "Y"))
    followed = new_state(STRATEGIES)
    configuration = [Entry(event) for event in scenario.world.listed]
    configuration += [Entry(runner.configured) for runner in scenario.world.runners]
    log = MemoryEventLog(clock_ms=lambda: 0)
    shift = len(configuration)
    entries = [Entry(item.event, item.cause + shift if item.cause else 0) for item in scenario.log]
    asyncio.run(log.append(0, [*configuration, *entries]))
    recorded = [item for commit in log.reader().commits() for item in commit.recorded()]
    fold(followed, recorded)
    fold(restarted, scenario.log[known:])
    digest = state_digest(scenario.world)
    assert state_digest(followed) == state_digest(restarted) == digest
    portfolio, trades = Portfolio(), Trades()
    fold_views([portfolio, trades], recorded)
    assert portfolio.positions() == ()
    assert portfolio.orders() == ()
    assert [trade.reason for trade in trades.closed()] == ["delisted", "delisted"]
    account = portfolio.account("scripted")
    assert account.equity_usdt == account.cash_usdt == scenario.account.equity_usdt
    pytest.importorskip("numba")
    from papertape.engine.research.replay import replay_compiled  # noqa: PLC0415 - belongs to an extra
    from tests.research.ways import compile_shared  # noqa: PLC0415 - likewise

    compile_shared()
    assert state_digest(replay_compiled(log.reader(), STRATEGIES)) == digest
    assert verify(log.reader(), None, STRATEGIES).difference is None
