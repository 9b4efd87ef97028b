"""vwap_rsi with backtesting.py: indicators precomputed as columns, rules in `next`, as its users do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import backtesting
import numpy as np
import pandas as pd

from benchmarks.rival_signals import DOWN, UP, signals

if TYPE_CHECKING:
    from papertape.engine.feeds.files.columns import CandleColumns

LEAVES_OUT = (
    "It omits kill switches, liquidation, limits on positions, funding, holes in the data, the slippage of exits "
    "and its doubling, the maker fee, the tick; stops are measured from the planned price."
)
TAKER, SLIP = 0.0006, 0.0005
LOT = 0.0001
"""backtesting.py trades whole units, so one unit is one lot, and prices are per lot."""

# No progress bar: it costs time.
backtesting.backtesting._tqdm = lambda it, **_: it  # noqa: SLF001 - it has no option to turn it off


class VwapRsi(backtesting.Strategy):
    """The rules of vwap_rsi, applied on the last 1m candle of every 5m candle."""

    tape: Any = None

    def init(self) -> None:
        """Compute every indicator in one pass."""
        t = self.tape
        columns = signals(t["Open"], t["High"], t["Low"], t["Close"], t["Volume"])
        self.sides, self.strength, self.regimes = (column.tolist() for column in columns)
        self.closes = t["Close"].tolist()
        self.i = 0

    def next(self) -> None:
        """Process a candle; the first call is for row 1."""
        self.i += 1
        if self.i % 5 != 4:
            return
        j = self.i // 5
        trades = self.trades
        if trades:
            self._leave(trades[0], j)
        elif self.sides[j] != 0 and not self.orders:
            self._enter(self.sides[j])

    def _leave(self, trade: Any, j: int) -> None:
        """Close on RSI back in the middle with a profit after costs, or on a trend."""
        d, close = (1.0 if trade.is_long else -1.0), self.closes[self.i]
        price = close * (1.0 - d * SLIP)
        profit = d * (price - trade.entry_price) - (price + trade.entry_price) * TAKER
        if (d * (self.strength[j] - 50.0) > 0.0 and profit > 0.0) or self.regimes[j] in (UP, DOWN):
            trade.close()

    def _enter(self, side: int) -> None:
        """Enter at the next open with stop and target, sized by risk."""
        planned = self.closes[self.i] * (1.0 + side * SLIP)
        stop, target = planned * (1.0 - side * 0.003), planned * (1.0 + side * 0.008)
        loss = abs(planned - stop) + (TAKER + SLIP) * (planned + stop)
        units = int(min(0.02 * self.equity / loss, 0.8 * self.equity / planned))
        if units >= 1:
            (self.buy if side > 0 else self.sell)(size=units, sl=stop, tp=target)


def frame(table: CandleColumns) -> pd.DataFrame:
    """Return the tape in the format of backtesting.py, with prices per lot."""
    names = ("Open", "High", "Low", "Close", "Volume")
    made = pd.DataFrame({name: np.array(column) for name, column in zip(names, table.values(), strict=True)})
    made[list(names[:4])] *= LOT
    made.index = pd.to_datetime(np.array(table.open_time_ms), unit="ms")
    return made


def prepare(data: pd.DataFrame) -> backtesting.Backtest:
    """Return a prepared backtest."""
    VwapRsi.tape = {name: data[name].to_numpy() for name in data.columns}
    return backtesting.Backtest(
        data, VwapRsi, cash=10_000.0, margin=1.0 / 3.0, commission=TAKER, spread=SLIP, finalize_trades=False
    )


def trades(statistics: Any) -> int:
    """Return the number of closed trades."""
    return len(statistics["_trades"])
