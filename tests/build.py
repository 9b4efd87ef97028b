"""Build test data: views, market facts, decisions of the engine, numbered logs, and rows of market files."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

from papertape.engine.kernel.state import Account, Market, Series, SymbolState
from papertape.engine.kernel.view import SeriesView, as_view, deciding_type
from papertape.events.facts import (
    AnomalyRaised,
    CandleClosed,
    ContractListed,
    EngineStarted,
    FeedConnected,
    FeedLost,
    FundingPaid,
    FundingRateSettled,
    KillSwitchReset,
    KillSwitchTripped,
    Liquidated,
    OpenInterestObserved,
    OrderCancelled,
    OrderPlaced,
    PositionClosed,
    PositionIncreased,
    PositionOpened,
    PositionReduced,
    RunnerConfigured,
    Side,
    StopMoved,
    Target,
    TargetsMoved,
    Timing,
    TripReason,
)
from papertape.events.log import Entry, Recorded
from papertape.events.units import DAY_MS, HOUR_MS, MINUTE_MS
from papertape.events.upcast import Liquidated1, PositionClosed1, PositionOpened1, at_the_open, in_one_part

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from papertape.events.facts import Action, CancelReason, Event, OrderKind
    from papertape.projections.folds.trades import TradeView

FIVE_MINUTES_MS = 5 * MINUTE_MS
DAY_0_MS = 20_089 * DAY_MS
"""2025-01-01 00:00 UTC."""
NOON_MS = DAY_0_MS + 12 * HOUR_MS
FILE_START_MS = 1_700_000_040_000 // HOUR_MS * HOUR_MS
BTC, GALA = "BTCUSDT", "GALAUSDT"
CLOSES = {BTC: 84_018.7, GALA: 0.00384}
CANDLE_HEADER = "open_time_ms,open,high,low,close,volume"
FUNDING_HEADER = "funding_time_ms,rate"
OPEN_INTEREST_HEADER = "time_ms,open_interest"


# ---------------------------------------------------------------- logs


def recorded(events: Iterable[Event], first_seq: int = 1) -> list[Recorded]:
    """Return the events as the log numbers them, each without a cause."""
    return [Recorded(seq, 0, 0, event) for seq, event in enumerate(events, start=first_seq)]


def candles(count: int, first: int = 0) -> list[Entry]:
    """Return the entries of `count` candles from minute `first` of the epoch, no two prices of a candle equal."""
    closes = [(number, 50_000.5 + number) for number in range(first, first + count)]
    prices = [(number, (close - 1, close + 2, close - 3, close)) for number, close in closes]
    return [Entry(candle(number, four, volume=1.5, start_ms=0)) for number, four in prices]


# ---------------------------------------------------------------- market facts


def listed(
    symbol: str = BTC,
    tick: tuple[int, int] = (1, 10),
    lot: tuple[int, int] = (1, 1_000),
    tiers: tuple[tuple[float, float], ...] = ((0.0, 0.01),),
    group: str = "crypto",
    timeframe_ms: int = MINUTE_MS,
) -> ContractListed:
    return ContractListed(DAY_0_MS, symbol, timeframe_ms, *tick, *lot, 5.0, tiers, group, "configuration")


def candle(
    number: int,
    prices: float | tuple[float, float, float, float],
    symbol: str = BTC,
    timing: Timing = Timing.ON_TIME,
    *,
    volume: float = 1.0,
    timeframe_ms: int = MINUTE_MS,
    start_ms: int = DAY_0_MS,
) -> CandleClosed:
    """Return the candle that opens `number` timeframes after the start; one price is open, high, low and close."""
    four = prices if isinstance(prices, tuple) else (prices,) * 4
    return CandleClosed(start_ms + (number + 1) * timeframe_ms, symbol, timeframe_ms, *four, volume, timing)


def candle_at(
    at_ms: int, symbol: str = BTC, close: float | None = None, timing: Timing = Timing.ON_TIME
) -> CandleClosed:
    """Return the one-minute candle that closes at a time, at the usual price of its symbol."""
    price = CLOSES.get(symbol, 1.0) if close is None else close
    return candle(0, price, symbol, timing, start_ms=at_ms - MINUTE_MS)


def settled(at_ms: int, rate: float, symbol: str = BTC) -> FundingRateSettled:
    """Return a funding settlement, `at_ms` after the start."""
    return FundingRateSettled(DAY_0_MS + at_ms, symbol, rate)


def observed(at_ms: int, open_interest: float, symbol: str = BTC) -> OpenInterestObserved:
    """Return a reading of open interest, `at_ms` after the start."""
    return OpenInterestObserved(DAY_0_MS + at_ms, symbol, open_interest)


# ---------------------------------------------------------------- operation


def started(at_ms: int = DAY_0_MS) -> EngineStarted:
    return EngineStarted(at_ms, "1.4.0", "9b1c77d0a4e2", "4f2ab83c90d1")


def connected(at_ms: int) -> FeedConnected:
    return FeedConnected(at_ms, "bitget", at_ms, 1.0)


def lost(at_ms: int = NOON_MS + HOUR_MS) -> FeedLost:
    return FeedLost(at_ms, "bitget", "no message for 90 s; it is tried again")


def news(detail: str = "x", at_ms: int = 0) -> AnomalyRaised:
    """Return an event that yields an ordinary alert."""
    return AnomalyRaised(at_ms, "data_stale", BTC, detail)


def trip(why: str = "manual", at_ms: int = 0) -> KillSwitchTripped:
    """Return an event that yields an urgent alert."""
    return KillSwitchTripped(at_ms, "global", "manual", 1.0, 1.0, 1.0, 1.0, "anna", why)


def noise(at_ms: int = 0) -> FeedLost:
    """Return an event that yields no alert."""
    return FeedLost(at_ms, "sim", "silence")


# ---------------------------------------------------------------- decisions


def configured(
    strategy: str = "momentum", symbols: tuple[str, ...] = (BTC,), capital_usdt: float = 10_000.0, at_ms: int = DAY_0_MS
) -> RunnerConfigured:
    risk = {"capital_usdt": capital_usdt, "leverage": 3.0}
    return RunnerConfigured(at_ms, strategy, symbols, {}, {}, risk, "digest")


def ordered(
    action: Action = "entry", strategy: str = "momentum", symbol: str = BTC, at_ms: int = DAY_0_MS, **more: Any
) -> OrderPlaced:
    """Return an order; `more` are the fields of a resting order and of a position's plan."""
    readings = {"adx_15m": 31.5, "rolling_high": 84_000.0}
    return OrderPlaced(
        at_ms, strategy, symbol, action, "long", "signal", 0.1, 100.0, 0.003, 0.006, 10.0, 0.75, readings, **more
    )


def cancelled(
    strategy: str = "momentum",
    symbol: str = BTC,
    action: Action = "entry",
    rung: int = 0,
    reason: CancelReason = "late_candle",
    at_ms: int = DAY_0_MS,
) -> OrderCancelled:
    return OrderCancelled(at_ms, strategy, symbol, "long", reason, action, rung)


def opened_whole(*fields: Any) -> PositionOpened:
    """Return the opening of a position with one target, given the fields of an old log."""
    return at_the_open(PositionOpened1(*fields))


def closed_whole(*fields: Any, ambiguous: bool = False) -> PositionClosed:
    """Return the close of a position that has one fill at either end, given the fields of an old log."""
    event = in_one_part(PositionClosed1(*(*fields, ambiguous)))
    assert isinstance(event, PositionClosed)
    return event


def liquidated_whole(*fields: Any, ambiguous: bool = False) -> Liquidated:
    """Return the liquidation of a position that one fill opened, given the fields of an old log."""
    event = in_one_part(Liquidated1(*(*fields, ambiguous)))
    assert isinstance(event, Liquidated)
    return event


def opened(
    strategy: str = "momentum",
    symbol: str = BTC,
    side: Side = "long",
    quantity_base: float = 1.0,
    price_usdt: float = 100.0,
    fee_usdt: float = 0.06,
    at_ms: int = DAY_0_MS,
    kind: OrderKind = "market",
    candle_open_ms: int | None = None,
    targets: tuple[tuple[float, float], ...] = ((102.0, 1.0),),
    stop_usdt: float = 99.0,
) -> PositionOpened:
    """Return an opening, at the open of its candle unless that has another time; targets are (price, part)."""
    nearest = targets[0][0] if targets else 0.0
    return PositionOpened(
        at_ms, strategy, symbol, side, quantity_base, price_usdt, price_usdt, fee_usdt, 0.05, stop_usdt, nearest, 70.0,
        33.0, 2.0, kind, at_ms if candle_open_ms is None else candle_open_ms, ladder(*targets),
    )  # fmt: skip


def ladder(*targets: tuple[float, float]) -> tuple[Target, ...]:
    """Return targets at prices, each with its part of the position."""
    return tuple(Target(price, 0.0, part) for price, part in targets)


def increased(
    position: tuple[float, float],
    quantity_base: float,
    price_usdt: float,
    rung: int = 1,
    kind: OrderKind = "limit",
    side: Side = "long",
    fee_usdt: float = 0.02,
    units: float = 1.0,
    at_ms: int = DAY_0_MS,
    strategy: str = "momentum",
) -> PositionIncreased:
    """Return an add to a position of (quantity, average entry)."""
    size = position[0] + quantity_base
    average = (position[0] * position[1] + quantity_base * price_usdt) / size
    return PositionIncreased(
        at_ms, strategy, BTC, side, kind, rung, units, quantity_base, price_usdt, price_usdt, fee_usdt, 0.01, size,
        average, 60.0, size * average / 3.0, 1.5, ambiguous=False,
    )  # fmt: skip


def reduced(
    position: tuple[float, float],
    quantity_base: float,
    price_usdt: float,
    reason: str = "target_1",
    rung: int = 1,
    side: Side = "long",
    fee_usdt: float = 0.02,
    paid: tuple[float, float, float] = (0.06, 0.0, 0.05),
    at_ms: int = DAY_0_MS,
    strategy: str = "momentum",
) -> PositionReduced:
    """Return a part of a position of (quantity, average entry) that has paid fees, funding and slippage."""
    size, average = position
    share, rest = quantity_base / size, size - quantity_base
    fees, funding, slippage = (one * share for one in paid)
    gross = (1.0 if side == "long" else -1.0) * quantity_base * (price_usdt - average)
    return PositionReduced(
        at_ms, strategy, BTC, side, reason, rung, quantity_base, average, price_usdt, price_usdt, fee_usdt, gross,
        fees + fee_usdt, funding, slippage, gross - fees - fee_usdt + funding, rest, 60.0, rest * average / 3.0,
        ambiguous=False,
    )  # fmt: skip


def stop_moved(from_usdt: float, to_usdt: float, trailing: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> StopMoved:
    return StopMoved(DAY_0_MS, "momentum", BTC, "long", from_usdt, to_usdt, *trailing)


def targets_moved(*targets: tuple[float, float]) -> TargetsMoved:
    return TargetsMoved(DAY_0_MS, "momentum", BTC, "long", ladder(*targets))


def closed(
    gross_usdt: float,
    strategy: str = "momentum",
    symbol: str = BTC,
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
    return closed_whole(
        at_ms, strategy, symbol, side, reason, 1.0, entry_time_ms, 100.0, exit_price, exit_price, fee_usdt,
        gross_usdt, fees, funding_usdt, 0.1, net, net / 2.0, ambiguous=ambiguous,
    )  # fmt: skip


def closed_rest(
    parts: Sequence[PositionReduced],
    opened_base: float,
    rest: tuple[float, float],
    price_usdt: float,
    reason: str = "stop",
    fee_usdt: float = 0.06,
    paid: tuple[float, float, float] = (0.06, 0.0, 0.05),
    max_quantity_base: float | None = None,
    at_ms: int = DAY_0_MS + HOUR_MS,
) -> PositionClosed:
    """Return the end of a long trade of `opened_base` after its parts: the rest of (quantity, average) is closed."""
    size, average = rest
    fees, funding, slippage = paid[0] + fee_usdt, paid[1], paid[2]
    gross = size * (price_usdt - average)
    net = gross - fees + funding
    sums = [
        gross + sum(part.gross_usdt for part in parts),
        fees + sum(part.fees_usdt for part in parts),
        funding + sum(part.funding_usdt for part in parts),
        slippage + sum(part.slippage_usdt for part in parts),
        net + sum(part.net_usdt for part in parts),
    ]
    exit_price = (size * price_usdt + sum(one.quantity_base * one.price_usdt for one in parts)) / opened_base
    whole: Any = (opened_base, DAY_0_MS, average, exit_price, price_usdt, fee_usdt, *sums, sums[-1] / 2.0, False)
    part: Any = (0, len(parts) + 1, max_quantity_base or opened_base, size, price_usdt, gross, fees, funding)
    return PositionClosed(*(at_ms, "momentum", BTC, "long", reason, *whole, *part, slippage, net))


def funding_paid(amount_usdt: float, strategy: str = "momentum", symbol: str = BTC) -> FundingPaid:
    return FundingPaid(DAY_0_MS, strategy, symbol, "long", DAY_0_MS, 0.0001, 1.0, 100.0, amount_usdt)


def tripped(scope: str, reason: TripReason = "session_loss", equity_usdt: float = 9_498.0) -> KillSwitchTripped:
    return KillSwitchTripped(DAY_0_MS, scope, reason, 10_000.0, 10_000.0, equity_usdt, 5.0)


def reset(scope: str, trip_seq: int, at_ms: int = DAY_0_MS + HOUR_MS, why: str = "looked at it") -> KillSwitchReset:
    return KillSwitchReset(at_ms, scope, trip_seq, "anna", why)


def trade(net_usdt: float, **changes: float | str | bool) -> TradeView:
    """Return a closed trade with this result, built by the fold of trades."""
    from msgspec.structs import replace  # noqa: PLC0415 - the facts above need no views.

    from papertape.projections.folds.trades import Trades  # noqa: PLC0415

    trades = Trades()
    trades.apply(Recorded(1, 0, 0, closed(net_usdt + 0.12)))
    return replace(trades.closed()[0], net_usdt=net_usdt, r_multiple=net_usdt / 2.0, **changes)


# ---------------------------------------------------------------- market files


def table(folder: Path, name: str, header: str, rows: Iterable[str]) -> Path:
    """Write a CSV file, or a CSV.gz when the name says so."""
    path, text = folder / name, "\n".join([header, *rows]) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def candle_rows(opens_ms: Iterable[int], price: float = 100.0) -> list[str]:
    """Return plain good candles at these times."""
    return [f"{open_ms},{price},{price + 1.5},{price - 1.25},{price + 0.5},10" for open_ms in opens_ms]


def minutes(count: int, start_ms: int = FILE_START_MS, step_ms: int = MINUTE_MS) -> list[int]:
    """Return the open times of candles."""
    return [start_ms + number * step_ms for number in range(count)]


# ---------------------------------------------------------------- what a strategy sees


def view_of(
    series: Mapping[str, Series],
    state: Any = None,
    market: Market | None = None,
    readings: Sequence[Any] = (),
    symbol: SymbolState | None = None,
    profit_usdt: float = 0.0,
) -> Any:
    """The view that a strategy with these series is asked on."""
    market, symbol = market or Market(), symbol or SymbolState()
    candle, *_ = series.values()
    views = (SeriesView(one, ()) for one in series.values())
    symbol.position.profit_usdt = profit_usdt
    own = (market, readings, state, symbol.position, Account(), symbol)
    return as_view(deciding_type(tuple(series)), (market.close_time_ms, candle, *views, *own))
