"""One strategy's account on all its symbols: the stages 0 to 6 of model section 11 for one base candle."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from . import conditions
from .conditions import Memory
from .exchange import (
    Exit,
    Order,
    Position,
    Values,
    exit_at_open,
    exit_inside,
    fraction,
    open_position,
    size_entry,
    slippage,
    tied_filled,
    tied_pending,
)
from .files import Candle
from .history import View
from .rounding import Contract

Record = dict[str, Any]
DAY = 86_400_000
SIDE = {1: "long", -1: "short"}


@dataclass
class Log:
    """Everything a run records."""

    trades: list[Record] = field(default_factory=list)
    orders: list[Record] = field(default_factory=list)
    rejections: list[Record] = field(default_factory=list)
    cancellations: list[Record] = field(default_factory=list)
    trips: list[Record] = field(default_factory=list)
    funding_payments: list[Record] = field(default_factory=list)


class Account:
    """ "Each strategy has one account for all its symbols." """

    def __init__(
        self, strategy: str, values: Values, views: dict[str, View], contracts: dict[str, Contract], log: Log
    ) -> None:
        self.strategy, self.values, self.views, self.contracts, self.log = strategy, values, views, contracts, log
        self.timeframe = conditions.timeframe_of(strategy)
        self.cash = self.peak = self.session_base = self.day_base = values["capital_usdt"]
        self.max_drawdown = 0.0
        self.day: int | None = None
        self.tripped = False
        self.positions: dict[str, Position] = {}
        self.pending: dict[str, Order] = {}
        self.memory = {symbol: Memory() for symbol in views}
        self.settlements_booked = dict.fromkeys(views, 0)
        self.equity: list[tuple[int, str, float]] = []

    def equity_now(self) -> float:
        """ "Q = W + sum U, each symbol at its last close"; "U = d*q*(M - E)" """
        total = self.cash
        for symbol, view in self.views.items():
            position = self.positions.get(symbol)
            if position is not None and view.last_close is not None:
                total += position.d * position.quantity * (view.last_close - position.entry)
        return total

    def available(self, without: str | None = None) -> float:
        """ "Available = W - sum of T over open positions and pending entries of the account." """
        leverage, taker = self.values["leverage"], fraction(self.values, "taker_fee_percent")
        tied = 0.0
        for symbol in self.views:
            position, order = self.positions.get(symbol), self.pending.get(symbol)
            if position is not None:
                tied += tied_filled(position.quantity, position.entry, leverage, taker)
            if order is not None and order.exit_reason is None and symbol != without:
                tied += tied_pending(order.quantity, order.planned, leverage, taker)
        return self.cash - tied

    # stages 0 to 2, which know only what was known at t_o

    def before_close(self, symbol: str, candle: Candle) -> None:
        """Stages 0 to 2; the hole reset of stage 0 is done by the caller."""
        s = slippage(self.values, self.views[symbol].high_volatility(self.timeframe))
        self.roll_day(candle)
        self.book_funding(symbol, candle)
        carried = symbol in self.positions
        order = self.pending.get(symbol)
        if order is not None and order.exit_reason is None:
            self.fill_entry(symbol, candle, order, s)
        position = self.positions.get(symbol)
        if position is None:
            return
        contract = self.contracts[symbol]
        end = exit_at_open(position, candle, order, self.values, contract, s) if carried else None
        if end is None:
            end = exit_inside(position, candle, self.views[symbol].base, self.values, contract, s)
        if end is not None:
            self.close_position(symbol, end)

    def roll_day(self, candle: Candle) -> None:
        """ "With the first candle of a new day (any symbol of the account, stage 0) the day base becomes the equity
        as it stands, before that candle's funding." """
        day = candle.open_time // DAY
        if self.day is None or day > self.day:
            self.day = day
            self.day_base = self.equity_now()

    def book_funding(self, symbol: str, candle: Candle) -> None:
        """ "booked once per (position, T), with the first candle whose t_o >= T, [...] if the position's entry time
        < T: C = -d*q*open*r"; "oldest first" """
        settlements = self.views[symbol].settlements
        while self.settlements_booked[symbol] < len(settlements):
            time, rate = settlements[self.settlements_booked[symbol]]
            if time > candle.open_time:
                return
            self.settlements_booked[symbol] += 1
            position = self.positions.get(symbol)
            if position is None or not position.entry_time < time:
                continue
            amount = -position.d * position.quantity * candle.open * rate
            self.cash += amount
            position.funding += amount
            payment: Record = {"strategy": self.strategy, "symbol": symbol, "time": time, "t_o": candle.open_time}
            self.log.funding_payments.append({**payment, "mark": candle.open, "rate": rate, "amount": amount})

    def fill_entry(self, symbol: str, candle: Candle, order: Order, s: float) -> None:
        """ "filled at O with slippage if t_o = t_c of the signal's candle and this candle is not late and the kill
        switch is not tripped; otherwise it expires". "Also refused if q*E/L + 2.0*t*(q*E) with the real E > available
        without this order (`margin`). On a fill the open fee is debited at once." """
        reason = None
        position = open_position(self.values, self.contracts[symbol], order, candle, s)
        leverage, taker = self.values["leverage"], fraction(self.values, "taker_fee_percent")
        needed = tied_pending(position.quantity, position.entry, leverage, taker)
        if candle.open_time != order.close_time:
            reason = "next_candle_missing"
        elif candle.late:
            reason = "late_candle"
        elif self.tripped:
            reason = "kill_switch"
        elif needed > self.available(without=symbol):
            reason = "margin"
        if reason is not None:
            self.cancel(symbol, reason, candle.open_time)
            return
        del self.pending[symbol]
        self.positions[symbol] = position
        self.cash -= position.open_fee

    def close_position(self, symbol: str, end: Exit) -> None:
        """ "Realised: G = d*q*(X - E)"; "Net of a trade = G - open fee - close fee + funding"."""
        position = self.positions.pop(symbol)
        self.pending.pop(symbol, None)
        q = position.quantity
        gross = position.d * q * (end.price - position.entry)
        close_fee = q * end.price * end.fee_rate
        self.cash += gross
        self.cash -= close_fee
        fees = position.open_fee + close_fee
        net = gross - fees + position.funding
        self.log.trades.append(
            {
                "strategy": self.strategy,
                "symbol": symbol,
                "side": SIDE[position.d],
                "quantity_base": q,
                "entry_time_ms": position.entry_time,
                "entry_price_usdt": position.entry,
                "exit_time_ms": end.time,
                "exit_price_usdt": end.price,
                "reason": end.reason,
                "gross_usdt": gross,
                "fees_usdt": fees,
                "funding_usdt": position.funding,
                "slippage_usdt": position.entry_slippage + q * end.slippage_per_unit,
                "net_usdt": net,
                "r_multiple": net / position.r1,
                "ambiguous": int(end.ambiguous),
                "parts": 1,
                "max_quantity_base": q,
            }
        )

    def cancel(self, symbol: str, reason: str, time: int) -> None:
        """A pending entry ends without a fill."""
        order = self.pending.pop(symbol)
        record: Record = {"strategy": self.strategy, "symbol": symbol, "t_c": order.close_time}
        self.log.cancellations.append({**record, "side": SIDE[order.d], "reason": reason, "time": time})

    # stages 4 to 6, at t_c

    def after_close(self, symbol: str, candle: Candle, completed: set[int]) -> None:
        """Stages 4 to 6; stage 3 is done by the caller."""
        now = candle.open_time + self.views[symbol].base
        asked = self.timeframe in completed and not candle.late
        position = self.positions.get(symbol)
        if asked and position is not None and symbol not in self.pending:
            reason = conditions.LEAVE[self.strategy](self.values, self.views[symbol], position, now)
            if reason is not None:
                self.pending[symbol] = Order(symbol, now, exit_reason=reason)
        equity = self.equity_now()
        self.mark(symbol, now, equity)
        if asked and not self.tripped and symbol not in self.positions and symbol not in self.pending:
            self.ask_entry(symbol, now, equity)

    def mark(self, symbol: str, now: int, equity: float) -> None:
        """Stage 5, with the drawdown of section 4 and the strategy's kill switch of section 12: "session base - Q >=
        base*0.05 [...], else when day base - Q >= day base*0.10"."""
        self.equity.append((now, symbol, equity))
        self.peak = max(self.peak, equity)
        self.max_drawdown = max(self.max_drawdown, (self.peak - equity) / self.peak)
        if self.tripped:
            return
        session_limit = self.session_base * fraction(self.values, "max_session_loss_percent")
        day_limit = self.day_base * fraction(self.values, "max_daily_loss_percent")
        if self.session_base - equity >= session_limit:
            reason, base = "session_loss", self.session_base
        elif self.day_base - equity >= day_limit:
            reason, base = "daily_loss", self.day_base
        else:
            return
        trip: Record = {"scope": self.strategy, "t_c": now, "reason": reason, "base": base}
        self.log.trips.append({**trip, "peak": None, "equity": equity})
        self.trip(now)

    def trip(self, now: int) -> None:
        """ "no entry is asked for, pending *entries* of all the strategy's symbols are cancelled at once" """
        self.tripped = True
        for symbol in list(self.views):
            order = self.pending.get(symbol)
            if order is not None and order.exit_reason is None:
                self.cancel(symbol, "kill_switch", now)

    def ask_entry(self, symbol: str, now: int, equity: float) -> None:
        """Stage 6: "a signal is sized (section 6) with the Q of stage 5 and becomes an order for the next open"."""
        view, memory = self.views[symbol], self.memory[symbol]
        signal = conditions.ENTER[self.strategy](self.values, view, memory, now)
        if signal is None or view.last_close is None:
            return
        stop_fraction, target_fraction = signal.stop_fraction, signal.target_fraction
        order = Order(symbol, now, d=signal.d, stop_fraction=stop_fraction, target_fraction=target_fraction)
        s = slippage(self.values, view.high_volatility(self.timeframe))
        contract, available = self.contracts[symbol], self.available()
        size_reason, stop = size_entry(self.values, contract, order, view.last_close, s, equity, available)
        reason = self.limit_reason(signal.d) or size_reason
        record: Record = {"strategy": self.strategy, "symbol": symbol, "t_c": now, "side": SIDE[signal.d]}
        if reason is not None:
            self.log.rejections.append({**record, "reason": reason})
            return
        self.pending[symbol] = order
        memory.ordered_since_settlement = True
        planned: Record = {"quantity": order.quantity, "planned_price": order.planned, "planned_stop": stop}
        self.log.orders.append({**record, **planned, "r1": order.r1, "score": signal.score})

    def limit_reason(self, d: int) -> str | None:
        """ "`max_positions` (open + pending entries >= n_max), `correlation`": one group, `crypto`."""
        entries = [order.d for order in self.pending.values() if order.exit_reason is None]
        directions = [position.d for position in self.positions.values()] + entries
        if len(directions) >= self.values["max_concurrent_positions"]:
            return "max_positions"
        return "correlation" if directions.count(d) >= self.values["max_same_direction"] else None
