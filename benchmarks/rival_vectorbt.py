"""vwap_rsi with vectorbt: numba indicators, and vectorbt's two ways to simulate exits that depend on a trade.

`by_signals` passes a signal function and leaves stops and targets to vectorbt: the faster way, with fewer rules.
`by_orders` passes an order function that implements nearly all rules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import vectorbt as vbt
from numba import njit
from vectorbt.portfolio.enums import Direction, NoOrder, SizeType
from vectorbt.portfolio.nb import order_nb

from benchmarks.rival_signals import DOWN, HIGH, UP, signals

if TYPE_CHECKING:
    from papertape.engine.feeds.files.columns import CandleColumns

LEAVES_OUT = (
    "Both omit kill switches, liquidation and margin, limits on positions, funding, holes in the data, the equity "
    "after every candle and the numbers behind a decision, and do not stop a position in the candle that opened it. "
    "The signals also omit the maker fee at the target, tick and lot, and size by risk."
)
TAKER, MAKER, SLIP = 0.0006, 0.0002, 0.0005
TICKS, LOTS = 10.0, 10_000.0
ORDERS_MAX = 20_000
PENDING, SIDE, QUANTITY, ENTRY, STOP, TARGET, FEE = range(7)
STATE_SIZE = 7


@njit(cache=True)
def up(price: float) -> float:
    """Round a price up to the tick."""
    return np.ceil(price * TICKS - 1e-6) / TICKS


@njit(cache=True)
def down(price: float) -> float:
    """Round a price down to the tick."""
    return np.floor(price * TICKS + 1e-6) / TICKS


@njit(cache=True)
def market_price(price: float, side: float, regime: int) -> float:
    """Return the price of a market order."""
    slip = SLIP * 2.0 if regime == HIGH else SLIP
    return up(price * (1.0 + slip)) if side > 0.0 else down(price * (1.0 - slip))


@njit(cache=True)
def fill_open(s: Any, o: float, regime: int) -> tuple[float, float, float]:
    """Return the fill at the open: signed quantity, price and fee rate; quantity 0 means no fill."""
    side = s[SIDE]
    if s[PENDING] == 1.0:
        price = market_price(o, side, regime)
        s[PENDING] = 0.0
        s[ENTRY] = price
        s[FEE] = s[QUANTITY] * price * TAKER
        s[STOP] = down(price * (1.0 - 0.003)) if side > 0.0 else up(price * (1.0 + 0.003))
        s[TARGET] = up(price * (1.0 + 0.008)) if side > 0.0 else down(price * (1.0 - 0.008))
        return side * s[QUANTITY], price, TAKER
    if s[PENDING] == 2.0 or side * (o - s[STOP]) <= 0.0:
        s[PENDING] = 0.0
        s[SIDE] = 0.0
        return -side * s[QUANTITY], market_price(o, -side, regime), TAKER
    if side * (o - s[TARGET]) >= 1.0 / TICKS - 1e-9:
        s[SIDE] = 0.0
        return -side * s[QUANTITY], s[TARGET], MAKER
    return 0.0, 0.0, 0.0


@njit(cache=True)
def fill_inside(s: Any, h: float, low: float, regime: int) -> tuple[float, float, float]:
    """Return the fill of the stop, then of the target, inside the candle."""
    side = s[SIDE]
    worst, best = (low, h) if side > 0.0 else (h, low)
    if side * (worst - s[STOP]) <= 0.0:
        s[SIDE] = 0.0
        return -side * s[QUANTITY], market_price(s[STOP], -side, regime), TAKER
    if side * (best - s[TARGET]) >= 1.0 / TICKS - 1e-9:
        s[SIDE] = 0.0
        return -side * s[QUANTITY], s[TARGET], MAKER
    return 0.0, 0.0, 0.0


@njit(cache=True)
def plan(s: Any, c: float, side: int, rsi: float, regime: int, cash: float) -> None:
    """Plan an exit or an entry at the next open, at the close of a 5m candle."""
    if s[SIDE] != 0.0:
        d, q, slip = s[SIDE], s[QUANTITY], (SLIP * 2.0 if regime == HIGH else SLIP)
        price = c * (1.0 - d * slip)
        profit = q * d * (price - s[ENTRY]) - s[FEE] - q * price * TAKER
        if (d * (rsi - 50.0) > 0.0 and profit > 0.0) or regime in (UP, DOWN):
            s[PENDING] = 2.0
    elif side != 0:
        price = market_price(c, side, regime)
        stop = down(price * (1.0 - 0.003)) if side > 0 else up(price * (1.0 + 0.003))
        loss = abs(price - stop) + (TAKER + SLIP) * (price + stop)
        by_risk, by_slot = 0.02 * cash / loss, 0.8 * cash / 3.0 * 3.0 / price
        by_margin = 0.8 * cash / (price / 3.0 + 2.0 * TAKER * price)
        quantity = np.floor(min(by_risk, by_slot, by_margin) * LOTS + 1e-6) / LOTS
        if quantity * price >= 5.0:
            s[PENDING], s[SIDE], s[QUANTITY] = 1.0, side, quantity


@njit
def order_func_nb(ctx: Any, s: Any, o: Any, h: Any, low: Any, c: Any, side: Any, rsi: Any, regime: Any) -> Any:
    """Return the order for one candle."""
    i = ctx.i
    quantity, price, fee = 0.0, 0.0, 0.0
    if s[SIDE] != 0.0:
        before = regime[max(i // 5 - 1, 0)]
        quantity, price, fee = fill_open(s, o[i], before)
        if quantity == 0.0:
            quantity, price, fee = fill_inside(s, h[i], low[i], before)
    if i % 5 == 4:
        j = i // 5
        if side[j] != 0 or s[SIDE] != 0.0:
            plan(s, c[i], side[j], rsi[j], regime[j], ctx.cash_now)
    if quantity == 0.0:
        return NoOrder
    return order_nb(quantity, price, SizeType.Amount, Direction.Both, fee)


@njit(cache=True)
def slippages(regime: Any, rows: int) -> Any:
    """Return the slippage of a market order in every 1m candle, as known at its open."""
    out = np.full(rows, SLIP)
    for i in range(5, rows):
        if regime[i // 5 - 1] == HIGH:
            out[i] = SLIP * 2.0
    return out


@njit
def signal_func_nb(ctx: Any, s: Any, o: Any, c: Any, slip: Any, side: Any, rsi: Any, regime: Any) -> Any:
    """Return the signals of the last 5m candle for this open."""
    i = ctx.i
    if i % 5 != 0 or i == 0:
        return False, False, False, False
    j = i // 5 - 1
    if ctx.position_now == 0.0:
        if side[j] != 0:
            s[ENTRY] = o[i] * (1.0 + side[j] * slip[i])
        return side[j] > 0, False, side[j] < 0, False
    d = 1.0 if ctx.position_now > 0.0 else -1.0
    price = c[i - 1] * (1.0 - d * slip[i])
    profit = d * (price - s[ENTRY]) - (price + s[ENTRY]) * TAKER
    leave = (d * (rsi[j] - 50.0) > 0.0 and profit > 0.0) or regime[j] == UP or regime[j] == DOWN
    return False, leave and d > 0.0, False, leave and d < 0.0


def columns(table: CandleColumns) -> dict[str, Any]:
    """Return the tape as numpy columns."""
    names = ("open", "high", "low", "close", "volume")
    return {name: np.frombuffer(values) for name, values in zip(names, table.values(), strict=True)}


def by_orders(tape: dict[str, Any]) -> Any:
    """Compute indicators and simulation; return the portfolio with its order records."""
    o, h, low, c, v = tape["open"], tape["high"], tape["low"], tape["close"], tape["volume"]
    side, rsi, regime = signals(o, h, low, c, v)
    args = (np.zeros(STATE_SIZE), o, h, low, c, side, rsi, regime)
    return vbt.Portfolio.from_order_func(
        c, order_func_nb, *args, init_cash=10_000.0, max_orders=ORDERS_MAX, fill_pos_record=False, freq="1min"
    )


def by_signals(tape: dict[str, Any]) -> Any:
    """Compute indicators and simulation; return the portfolio with its order records."""
    o, h, low, c, v = tape["open"], tape["high"], tape["low"], tape["close"], tape["volume"]
    side, rsi, regime = signals(o, h, low, c, v)
    slip = slippages(regime, len(c))
    return vbt.Portfolio.from_signals(
        c,
        signal_func_nb=signal_func_nb,
        signal_args=(np.zeros(STATE_SIZE), o, c, slip, side, rsi, regime),
        size=0.8,
        size_type="percent",
        price=o,
        open=o,
        high=h,
        low=low,
        sl_stop=0.003,
        tp_stop=0.008,
        stop_entry_price="fillprice",
        stop_exit_price="stopmarket",
        fees=TAKER,
        slippage=slip,
        init_cash=10_000.0,
        max_orders=ORDERS_MAX,
        freq="1min",
    )


def trades(portfolio: Any) -> int:
    """Return the number of closed trades."""
    return int(portfolio.trades.closed.count())
