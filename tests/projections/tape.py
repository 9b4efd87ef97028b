"""Builders of facts, and the log's numbering of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from papertape.events.facts import (
    CandleClosed,
    ContractListed,
    FundingPaid,
    KillSwitchReset,
    KillSwitchTripped,
    OrderCancelled,
    OrderPlaced,
    PositionClosed,
    PositionOpened,
    RunnerConfigured,
    Side,
    Timing,
)
from papertape.events.log import Recorded

if TYPE_CHECKING:
    from collections.abc import Iterable

    from papertape.events.facts import Action, Event
    from papertape.projections.folds.trades import TradeView

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
DAY_0_MS = 20_089 * DAY_MS
"""2025-01-01 00:00 UTC."""


def recorded(events: Iterable[Event], first_seq: int = 1) -> list[Recorded]:
    """Return the events as the log numbers them, each without a cause."""
    return [Recorded(seq, 0, 0, event) for seq, event in enumerate(events, start=first_seq)]


def configured(
    strategy: str = "momentum",
    symbols: tuple[str, ...] = ("BTCUSDT",),
    capital_usdt: float = 10_000.0,
    at_ms: int = DAY_0_MS,
) -> RunnerConfigured:
    risk = {"capital_usdt": capital_usdt, "leverage": 3.0}
    return RunnerConfigured(at_ms, strategy, symbols, {}, {}, risk, "digest")


def listed(symbol: str, tick: tuple[int, int], lot: tuple[int, int] = (1, 10_000)) -> ContractListed:
    return ContractListed(DAY_0_MS, symbol, MINUTE_MS, *tick, *lot, 5.0, (), "crypto", "configuration")


def candle(
    minute: int,
    close: float,
    symbol: str = "BTCUSDT",
    timing: Timing = Timing.ON_TIME,
    start_ms: int = DAY_0_MS,
) -> CandleClosed:
    """Return the candle that opens `minute` minutes after the start."""
    at_ms = start_ms + (minute + 1) * MINUTE_MS
    return CandleClosed(at_ms, symbol, MINUTE_MS, close, close, close, close, 1.0, timing)


def ordered(action: Action = "entry", strategy: str = "momentum", symbol: str = "BTCUSDT") -> OrderPlaced:
    readings = {"adx_15m": 31.5, "rolling_high": 84_000.0}
    return OrderPlaced(
        DAY_0_MS, strategy, symbol, action, "long", "signal", 0.1, 100.0, 0.003, 0.006, 10.0, 0.75, readings
    )


def cancelled(strategy: str = "momentum", symbol: str = "BTCUSDT") -> OrderCancelled:
    return OrderCancelled(DAY_0_MS, strategy, symbol, "long", "late_candle")


def opened(
    strategy: str = "momentum",
    symbol: str = "BTCUSDT",
    side: Side = "long",
    quantity_base: float = 1.0,
    price_usdt: float = 100.0,
    fee_usdt: float = 0.06,
    at_ms: int = DAY_0_MS,
) -> PositionOpened:
    return PositionOpened(
        at_ms,
        strategy,
        symbol,
        side,
        quantity_base,
        price_usdt,
        price_usdt,
        fee_usdt,
        0.05,
        99.0,
        102.0,
        70.0,
        33.0,
        2.0,
    )


def closed(
    gross_usdt: float,
    strategy: str = "momentum",
    symbol: str = "BTCUSDT",
    side: Side = "long",
    fee_usdt: float = 0.06,
    funding_usdt: float = 0.0,
    entry_time_ms: int = DAY_0_MS,
    at_ms: int = DAY_0_MS + HOUR_MS,
    reason: str = "stop",
    ambiguous: bool = False,
) -> PositionClosed:
    fees = 2.0 * fee_usdt
    net = gross_usdt - fees + funding_usdt
    exit_price = 100.0 + gross_usdt if side == "long" else 100.0 - gross_usdt
    return PositionClosed(
        at_ms, strategy, symbol, side, reason, 1.0, entry_time_ms, 100.0, exit_price, exit_price, fee_usdt,
        gross_usdt, fees, funding_usdt, 0.1, net, net / 2.0, ambiguous,
    )  # fmt: skip


def funding_paid(amount_usdt: float, strategy: str = "momentum", symbol: str = "BTCUSDT") -> FundingPaid:
    return FundingPaid(DAY_0_MS, strategy, symbol, "long", DAY_0_MS, 0.0001, 1.0, 100.0, amount_usdt)


def tripped(scope: str, reason: str = "session_loss", equity_usdt: float = 9_498.0) -> KillSwitchTripped:
    return KillSwitchTripped(DAY_0_MS, scope, reason, 10_000.0, 10_000.0, equity_usdt, 5.0)


def reset(scope: str, trip_seq: int) -> KillSwitchReset:
    return KillSwitchReset(DAY_0_MS + HOUR_MS, scope, trip_seq, "anna", "looked at it")


def trade(net_usdt: float, **changes: float | str | bool) -> TradeView:
    """Return a closed trade with this result, built by the fold of trades."""
    from msgspec.structs import replace  # noqa: PLC0415 - the facts above need no views.

    from papertape.projections.folds.trades import Trades  # noqa: PLC0415

    trades = Trades()
    trades.apply(Recorded(1, 0, 0, closed(net_usdt + 0.12)))
    return replace(trades.closed()[0], net_usdt=net_usdt, r_multiple=net_usdt / 2.0, **changes)
