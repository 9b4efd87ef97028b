"""One strategy's account: cash, what rests, what is held, and everything that is recorded (model 1 to 4)."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.oracle.exchange import Values, fraction, slippage, tied_filled
from tests.oracle.history import View
from tests.oracle.rounding import Contract

from .answers import Entry
from .holding import SIDE, Holding, Part, Record, RestingAdd
from .sizing import Plan, tied_pending

COLUMNS = (
    "strategy",
    "symbol",
    "time_ms",
    "action",
    "reason",
    "rung",
    "side",
    "quantity_base",
    "price_usdt",
    "fee_usdt",
    "gross_usdt",
    "position_base",
    "average_usdt",
)
"""Section 8: the columns of `--fills`."""


@dataclass
class RestingEntry:
    """An entry that rests since the close `placed_at`."""

    entry: Entry
    plan: Plan
    placed_at: int

    def is_expired(self, now: int, timeframe: int) -> bool:
        """ "Expiry `expires_candles` n (1..288) of the strategy's timeframe, for limit and stop" """
        return self.entry.kind != "market" and now >= self.placed_at + self.entry.expires * timeframe


@dataclass
class Log:
    """Everything a run records, in the order in which it happened."""

    fills: list[Record] = field(default_factory=list)
    trades: list[Record] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    placements: list[Record] = field(default_factory=list)
    refusals: list[Record] = field(default_factory=list)
    cancellations: list[Record] = field(default_factory=list)
    moves: list[Record] = field(default_factory=list)
    funding_payments: list[Record] = field(default_factory=list)
    trips: list[Record] = field(default_factory=list)


class Account:
    """ "Each strategy has one account for all its symbols." """

    def __init__(
        self,
        strategy: str,
        values: Values,
        views: dict[str, View],
        contracts: dict[str, Contract],
        timeframe: int,
        units_max: float,
    ) -> None:
        self.strategy, self.values, self.views, self.contracts = strategy, values, views, contracts
        self.timeframe, self.units_max = timeframe, units_max
        self.log = Log()
        self.cash = self.session_base = self.day_base = self.marked = values["capital_usdt"]
        self.day: int | None = None
        self.tripped = False
        self.entries: dict[str, RestingEntry] = {}
        self.holdings: dict[str, Holding] = {}
        self.settlements_booked = dict.fromkeys(views, 0)
        self.last_close_time: dict[str, int] = {}
        self.equity: list[tuple[int, str, float]] = []
        self.exits: dict[str, tuple[int, str]] = {}
        self.candles_since_exit: dict[str, int] = {}

    def slippage(self, symbol: str) -> float:
        """Model 3: s, doubled in high volatility "as known at the open of the filling candle" (or at t_c)."""
        return slippage(self.values, self.views[symbol].high_volatility(self.timeframe))

    def equity_now(self) -> float:
        """ "Q = W + sum U, each symbol at its last close" """
        total = self.cash
        for symbol, view in self.views.items():
            holding = self.holdings.get(symbol)
            if holding is not None and view.last_close is not None:
                total += holding.d * holding.quantity * (view.last_close - holding.average)
        return total

    def available(self, without: str | None = None) -> float:
        """Model 2: "W - sum of T over open positions and pending entries of the account"; section 2: "A resting entry
        ties up T [...]; resting adds tie up nothing." """
        leverage, taker = self.values["leverage"], fraction(self.values, "taker_fee_percent")
        tied = 0.0
        for symbol in self.views:
            holding, rests = self.holdings.get(symbol), self.entries.get(symbol)
            if holding is not None:
                tied += tied_filled(holding.quantity, holding.average, leverage, taker)
            if rests is not None and symbol != without:
                tied += tied_pending(self.values, rests.entry.kind, rests.plan.quantity, rests.plan.price)
        return self.cash - tied

    # what is recorded

    def record_fill(
        self, symbol: str, time: int, action: str, reason: str, rung: int, buys: bool, *numbers: float
    ) -> None:
        """One line of `--fills`: "position and average after the fill (0,0 when flat)". `numbers` are quantity, price,
        fee and gross."""
        holding = self.holdings.get(symbol)
        after = (0.0, 0.0) if holding is None else (holding.quantity, holding.average)
        side = "buy" if buys else "sell"
        line = (self.strategy, symbol, time, action, reason, rung, side, *numbers, *after)
        self.log.fills.append(dict(zip(COLUMNS, line, strict=True)))

    def open_position(self, symbol: str, holding: Holding, kind: str, time: int, fee: float) -> None:
        """The first fill: "On a fill the open fee is debited at once" (model 11)."""
        del self.entries[symbol]
        self.cash -= fee
        self.holdings[symbol] = holding
        holding.begin(self.values, self.contracts[symbol])
        d = holding.d
        self.record_fill(symbol, time, "open", kind, 0, d == 1, holding.quantity, holding.average, fee, 0.0)

    def increase(
        self, holding: Holding, rests: RestingAdd, quantity: float, price: float, at: int, slipped: float
    ) -> None:
        """An add is filled."""
        symbol, d, kind = holding.symbol, holding.d, rests.add.kind
        rate = fraction(self.values, "maker_fee_percent" if kind == "limit" else "taker_fee_percent")
        fee = quantity * price * rate
        self.cash -= fee
        holding.adds.remove(rests)
        holding.increase(quantity, price, fee, slipped, self.contracts[symbol])
        holding.sizes += rests.add.size
        holding.set_liquidation(self.values, self.contracts[symbol])
        self.record_fill(symbol, at, "increase", kind, rests.number, d == 1, quantity, price, fee, 0.0)

    def decrease(
        self,
        holding: Holding,
        quantity: float,
        price: float,
        rate: float,
        slipped: float,
        at: int,
        reason: str,
        rung: int = 0,
    ) -> None:
        """A closing fill, of a part or of all; the last one makes the trade."""
        symbol, d = holding.symbol, holding.d
        fee = quantity * price * rate
        part = holding.decrease(quantity, price, fee, quantity * slipped, self.contracts[symbol])
        self.cash += part.gross
        self.cash -= fee
        self.log.parts.append(part)
        if holding.quantity > 0.0:
            holding.set_liquidation(self.values, self.contracts[symbol])
            self.record_fill(symbol, at, "reduce", reason, rung, d == -1, quantity, price, fee, part.gross)
            return
        del self.holdings[symbol]
        self.record_fill(symbol, at, "close", reason, rung, d == -1, quantity, price, fee, part.gross)
        self.cancel_adds(holding, "position_closed", at)
        if holding.reduce is not None:
            self.record_cancellation(symbol, holding.d, "reduce", 0, "position_closed", at)
        self.exits[symbol], self.candles_since_exit[symbol] = (at, reason), 0
        self.log.trades.append(holding.trade(self.strategy, at, reason, self.contracts[symbol]))

    def record_cancellation(self, symbol: str, d: int, action: str, rung: int, reason: str, time: int) -> None:
        """Something that rested ended without a fill."""
        self.log.cancellations.append(
            {
                "strategy": self.strategy,
                "symbol": symbol,
                "side": SIDE[d],
                "action": action,
                "rung": rung,
                "reason": reason,
                "time": time,
            }
        )

    def cancel_entry(self, symbol: str, reason: str, time: int) -> None:
        """The resting entry of a symbol, if there is one."""
        rests = self.entries.pop(symbol, None)
        if rests is not None:
            self.record_cancellation(symbol, rests.entry.d, "entry", 0, reason, time)

    def cancel_adds(self, holding: Holding, reason: str, time: int) -> None:
        """All adds of a position."""
        for rests in holding.adds:
            self.record_cancellation(holding.symbol, holding.d, "add", rests.number, reason, time)
        holding.adds = []

    def cancel_openers(self, symbol: str, reason: str, time: int) -> None:
        """ "cancel entry and adds [...] with their reason; stop, targets, reduce and exit stay" """
        self.cancel_entry(symbol, reason, time)
        holding = self.holdings.get(symbol)
        if holding is not None:
            self.cancel_adds(holding, reason, time)

    def refuse(self, symbol: str, time: int, action: str, d: int, reason: str) -> None:
        """An answer that was refused whole: action `entry` or `change`."""
        record = {"strategy": self.strategy, "symbol": symbol, "time": time, "action": action}
        self.log.refusals.append({**record, "side": SIDE[1 if d > 0 else -1], "reason": reason})

    def trip(self, now: int) -> None:
        """Model 12; section 4: "A kill switch [...] cancel entry and adds at once" """
        self.tripped = True
        for symbol in self.views:
            self.cancel_openers(symbol, "kill_switch", now)
