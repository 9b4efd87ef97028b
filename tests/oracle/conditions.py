"""The four strategies (strategies.md sections 4 to 8): when they enter and leave."""

from __future__ import annotations

from dataclasses import dataclass

from .exchange import Position, Values, fraction, slippage
from .history import View
from .settings import FILTER, MINUTE, TIMEFRAME

LN2 = 0.6931471805599453


@dataclass(frozen=True)
class Signal:
    """ "`enter` gives side, `stop_fraction`, `target_fraction` of the entry fill price, a score" """

    d: int
    stop_fraction: float
    target_fraction: float
    score: float


class Memory:
    """What a strategy keeps for one symbol beside the candles."""

    def __init__(self) -> None:
        self.since: int | None = None
        self.since_side = 0
        self.ordered_since_settlement = False
        self.weight = 0.0
        self.weighted_price = 0.0


def clip(x: float) -> float:
    """ "clip(x) = min(1, max(0, x))" """
    return min(1.0, max(0.0, x))


def percent_exits(values: Values) -> tuple[float, float]:
    """Stop and target fraction of the strategies with fixed percents."""
    return fraction(values, "sl_percent"), fraction(values, "tp_percent")


# Section 5: vwap_rsi


def enter_vwap_rsi(values: Values, view: View, memory: Memory, now: int) -> Signal | None:
    """ "LONG: RSI < rsi_long_threshold and close < VWAP * (1 - vwap_deviation_entry) and spike and not (15m ADX > 20
    and 15m -DI > +DI)"; "Refuse: 15m ADX > trend_adx_threshold, or 5m regime not ranging / low_volatility." """
    five, filter_ = view.latest[5 * MINUTE], view.latest[FILTER]
    if five is None or filter_ is None or five.rsi is None or five.vwap is None or five.volume_sma is None:
        return None
    regime = five.regime
    if regime is None or filter_.adx is None or filter_.plus_di is None or filter_.minus_di is None:
        return None
    if filter_.adx > values["trend_adx_threshold"] or regime not in ("ranging", "low_volatility"):
        return None
    if not five.spike(values["volume_spike_multiplier"]):
        return None
    deviation = fraction(values, "vwap_deviation_entry")
    falling = filter_.adx > 20 and filter_.minus_di > filter_.plus_di
    rising = filter_.adx > 20 and filter_.plus_di > filter_.minus_di
    d = 0
    if five.rsi < values["rsi_long_threshold"] and five.close < five.vwap * (1 - deviation) and not falling:
        d = 1
    elif five.rsi > values["rsi_short_threshold"] and five.close > five.vwap * (1 + deviation) and not rising:
        d = -1
    if d == 0:
        return None
    agree = rising if d == 1 else falling
    beyond = (30.0 - five.rsi) / 30.0 if d == 1 else (five.rsi - 70.0) / 30.0
    score = 0.35 * clip(beyond) + 0.25 * clip(abs(five.close - five.vwap) / five.vwap / (3 * deviation))
    score += 0.20 * clip((five.volume / five.volume_sma - 1) / (2 * values["volume_spike_multiplier"]))
    score += 0.20 * (1.0 if agree else 0.5)
    return Signal(d, *percent_exits(values), score)


def leave_vwap_rsi(values: Values, view: View, position: Position, now: int) -> str | None:
    """ "Leave, in this order: `rsi_exit` when RSI > 50 (short: < 50) and the trade is in profit after costs [...];
    `regime_change` when the 5m regime is `trending_up` or `trending_down`, in profit or not." """
    five = view.latest[5 * MINUTE]
    if five is None:
        return None
    if five.rsi is not None:
        back = five.rsi > 50 if position.d == 1 else five.rsi < 50
        if back and profit_after_costs(values, position, five.close, five.high_volatility) > 0:
            return "rsi_exit"
    if five.regime in ("trending_up", "trending_down"):
        return "regime_change"
    return None


def profit_after_costs(values: Values, position: Position, close: float, high_volatility: bool) -> float:
    """ "q*d*(X - E) - open fee + funding so far - q*X*t > 0 with X = close*(1 - d*s), not rounded, s as for the next
    open" """
    q, d = position.quantity, position.d
    x = close * (1 - d * slippage(values, high_volatility))
    close_fee = q * x * fraction(values, "taker_fee_percent")
    return q * d * (x - position.entry) - position.open_fee + position.funding - close_fee


# Section 6: momentum


def enter_momentum(values: Values, view: View, memory: Memory, now: int) -> Signal | None:
    """ "LONG: close > rolling high and 15m +DI > -DI and spike. SHORT: close < rolling low and 15m -DI > +DI and
    spike." "Needs 15m ADX >= trend_adx_threshold (25), and 5m ADX >= exit_adx_threshold (20)" """
    five, filter_ = view.latest[5 * MINUTE], view.latest[FILTER]
    if five is None or filter_ is None or five.atr is None or five.adx is None or five.volume_sma is None:
        return None
    rolling = five.rolling(int(values["breakout_lookback"]))
    if rolling is None or filter_.adx is None or filter_.plus_di is None or filter_.minus_di is None:
        return None
    if not (filter_.adx >= values["trend_adx_threshold"] and five.adx >= values["exit_adx_threshold"]):
        return None
    multiplier = values["volume_confirmation_multiplier"]
    if not five.spike(multiplier) or five.atr == 0:
        return None
    high, low = rolling
    if five.close > high and filter_.plus_di > filter_.minus_di:
        d, distance = 1, five.close - high
    elif five.close < low and filter_.minus_di > filter_.plus_di:
        d, distance = -1, low - five.close
    else:
        return None
    target = min(five.atr * values["atr_multiplier_tp"] / five.close, fraction(values, "tp_percent"))
    stop = min(five.atr * values["atr_multiplier_sl"] / five.close, fraction(values, "sl_percent"))
    score = 0.4 * clip(distance / five.atr) + 0.3 * clip((five.volume / five.volume_sma - 1) / (2 * multiplier))
    return Signal(d, stop, target, score + 0.3 * clip(filter_.adx / 40.0))


def leave_momentum(values: Values, view: View, position: Position, now: int) -> str | None:
    """ "`momentum_lost` when 5m ADX < `exit_adx_threshold` (20)." """
    five = view.latest[5 * MINUTE]
    if five is not None and five.adx is not None and five.adx < values["exit_adx_threshold"]:
        return "momentum_lost"
    return None


# Section 7: funding


def extreme_side(values: Values, rate: float) -> int:
    """+1 (long) for an extremely negative rate, -1 for an extremely positive one, 0 for neither."""
    if rate <= fraction(values, "extreme_negative_threshold"):
        return 1
    return -1 if rate >= fraction(values, "extreme_positive_threshold") else 0


def remember_settlement(values: Values, memory: Memory, before: int | None, time: int, rate: float) -> None:
    """ "`since` = T of the settlement with which the rate became extreme on this side [...]. A settlement that is not
    extreme clears it; one on the other side, or more than 480 minutes after the one before, restarts it." """
    side = extreme_side(values, rate)
    memory.ordered_since_settlement = False
    if side == 0:
        memory.since, memory.since_side = None, 0
        return
    too_far = before is not None and time - before > 480 * MINUTE
    if memory.since is None or side != memory.since_side or too_far:
        memory.since, memory.since_side = time, side


def known_rate(view: View, now: int) -> float | None:
    """ "Older than 480 minutes (t_c - T): unknown, no entry and no exit." """
    if not view.settlements or now - view.settlements[-1][0] > 480 * MINUTE:
        return None
    return view.settlements[-1][1]


def enter_funding(values: Values, view: View, memory: Memory, now: int) -> Signal | None:
    """ "LONG (negative) or SHORT (positive) when t_c - `since` >= `entry_delay_minutes` (5) and no order was yet placed
    since the last settlement" """
    rate = known_rate(view, now)
    if rate is None or memory.since is None or memory.ordered_since_settlement:
        return None
    if now - memory.since < values["entry_delay_minutes"] * MINUTE:
        return None
    d = memory.since_side
    name = "extreme_negative_threshold" if d == 1 else "extreme_positive_threshold"
    threshold = abs(fraction(values, name))
    score = min(1.0, 0.7 * abs(rate) / threshold + 0.3) if threshold > 0 else 1.0
    return Signal(d, *percent_exits(values), score)


def leave_funding(values: Values, view: View, position: Position, now: int) -> str | None:
    """ "Leave: `funding_normal` when |rate| < `exit_threshold` (0.01 %)." """
    rate = known_rate(view, now)
    if rate is not None and abs(rate) < fraction(values, "exit_threshold"):
        return "funding_normal"
    return None


# Section 8: liquidation


def halflife_candles(values: Values) -> float:
    """ "h = anchor_halflife_minutes (240) / 5" """
    return values["anchor_halflife_minutes"] / 5.0


def decay_anchor(values: Values, memory: Memory) -> None:
    """ "w = w*f, wp = wp*f with f = (2.0*h - 0.6931471805599453)/(2.0*h + 0.6931471805599453)" """
    h = halflife_candles(values)
    f = (2.0 * h - LN2) / (2.0 * h + LN2)
    memory.weight = memory.weight * f
    memory.weighted_price = memory.weighted_price * f


def remember_reading(values: Values, memory: Memory, view: View, time: int, interest: float) -> None:
    """ "if there is a reading before it not more than 2 * oi_window_minutes older, a 5m close exists, and x = OI -
    previous OI > 0: w += x, wp += x * (last completed 5m close)" - before the reading joins the list."""
    five = view.latest[5 * MINUTE]
    if not view.readings or five is None:
        return
    previous_time, previous = view.readings[-1]
    x = interest - previous
    if time - previous_time <= 2 * values["oi_window_minutes"] * MINUTE and x > 0:
        memory.weight += x
        memory.weighted_price += x * five.close


def interest_change(values: Values, view: View, now: int) -> float | None:
    """ "newest reading / base reading - 1. Base = the newest reading that is at least `oi_window_minutes` (60) older
    than the newest one, and at most twice that. The newest reading must not be older than the window at t_c." """
    window = values["oi_window_minutes"] * MINUTE
    if not view.readings:
        return None
    newest_time, newest = view.readings[-1]
    if now - newest_time > window:
        return None
    for time, interest in reversed(view.readings):
        if newest_time - time > 2 * window:
            return None
        if newest_time - time >= window:
            return newest / interest - 1 if interest > 0 else None
    return None


def enter_liquidation(values: Values, view: View, memory: Memory, now: int) -> Signal | None:
    """ "Entry when change >= oi_change_threshold and the distance of the nearer zone <= zone_buffer_percent: at the
    short zone LONG (squeeze), at the long zone SHORT (cascade); equally near: none." """
    five, change = view.latest[5 * MINUTE], interest_change(values, view, now)
    if five is None or change is None or five.row + 1 < halflife_candles(values) or not memory.weight > 0:
        return None
    anchor = memory.weighted_price / memory.weight
    long_zone = anchor * (1 - 1 / values["leverage_estimate"])
    short_zone = anchor * (1 + 1 / values["leverage_estimate"])
    to_long, to_short = abs(five.close - long_zone) / anchor, abs(five.close - short_zone) / anchor
    threshold, buffer = fraction(values, "oi_change_threshold"), fraction(values, "zone_buffer_percent")
    distance = min(to_long, to_short)
    if change < threshold or distance > buffer or to_long == to_short:
        return None
    score = 0.5 * clip(change / (3 * threshold)) + 0.5 * clip(1 - distance / buffer)
    return Signal(1 if to_short < to_long else -1, *percent_exits(values), score)


def leave_liquidation(values: Values, view: View, position: Position, now: int) -> str | None:
    """ "Leave: `open_interest_fell` when change < -`oi_exit_threshold` (3 %)." """
    change = interest_change(values, view, now)
    if change is not None and change < -fraction(values, "oi_exit_threshold"):
        return "open_interest_fell"
    return None


ENTER = {
    "vwap_rsi": enter_vwap_rsi,
    "momentum": enter_momentum,
    "funding": enter_funding,
    "liquidation": enter_liquidation,
}
LEAVE = {
    "vwap_rsi": leave_vwap_rsi,
    "momentum": leave_momentum,
    "funding": leave_funding,
    "liquidation": leave_liquidation,
}


def timeframe_of(strategy: str) -> int:
    """The timeframe on which a strategy is asked."""
    return TIMEFRAME[strategy]
