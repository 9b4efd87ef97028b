"""The figures of one set, added up candle by candle and decision by decision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from papertape.engine.kernel.codes import POSITION_CLOSED
from papertape.events.units import DAY_MS

if TYPE_CHECKING:
    from papertape.engine.kernel.decision import Decisions
    from papertape.engine.kernel.state import Account, Desks


class Figures(Struct, array_like=True):
    """The figures of one set, and below them what they are made of.

    `curve_peak_usdt` is the highest equity at a close so far, `under_ms` since when the equity has been below it, -1 if
    it is not, `day_end_ms` the end of the present day, and `days` the number of days that ended before. The set goes on
    with `candle`, and its next entry is not before the one with the number `entry`.
    """

    end_equity_usdt: float = 0.0
    cash_usdt: float = 0.0
    peak_usdt: float = 0.0
    max_drawdown_fraction: float = 0.0
    longest_drawdown_ms: int = 0
    gross_usdt: float = 0.0
    fees_usdt: float = 0.0
    funding_usdt: float = 0.0
    slippage_usdt: float = 0.0
    trades: int = 0
    wins: int = 0
    tripped: int = 0
    longest_holding_ms: int = 0
    holding_ms: int = 0
    decisions: int = 0
    curve_peak_usdt: float = 0.0
    under_ms: int = -1
    day_end_ms: int = 0
    days: int = 0
    candle: int = 0
    entry: int = 0


FIGURES = 15
"""The number of leading fields that a result has."""


def begin_figures(figures: Figures, capital_usdt: float, first: int, day_end_ms: int) -> None:
    """Begin with the capital at the candle `first`, on its day."""
    figures.candle = first
    figures.end_equity_usdt = capital_usdt
    figures.curve_peak_usdt = capital_usdt
    figures.under_ms = -1
    figures.day_end_ms = day_end_ms


def take_equity(figures: Figures, equity_usdt: float, before_ms: int, at_ms: int) -> None:
    """Take the equity at a candle's close into peak and drawdown; `before_ms` is the close of the candle before it."""
    if equity_usdt == figures.end_equity_usdt:
        return
    figures.end_equity_usdt = equity_usdt
    peak = figures.curve_peak_usdt
    if equity_usdt >= peak:
        if figures.under_ms >= 0:
            figures.longest_drawdown_ms = max(figures.longest_drawdown_ms, at_ms - figures.under_ms)
        figures.curve_peak_usdt = equity_usdt
        figures.under_ms = -1
        return
    if figures.under_ms < 0:
        figures.under_ms = before_ms
    deepen(figures, equity_usdt)


def deepen(figures: Figures, equity_usdt: float) -> None:
    """Take an equity below the peak into the deepest drawdown."""
    peak = figures.curve_peak_usdt
    if peak > 0.0:
        figures.max_drawdown_fraction = max(figures.max_drawdown_fraction, (peak - equity_usdt) / peak)


def close_days(figures: Figures, open_ms: int, days: Any) -> None:
    """Write the equity at the end of every day that ended before a candle."""
    while open_ms >= figures.day_end_ms:
        days[figures.days] = figures.end_equity_usdt
        figures.days += 1
        figures.day_end_ms += DAY_MS


def end_figures(figures: Figures, account: Account, desks: Desks, until_ms: int, days: Any) -> None:
    """End with the last candle, whose day ends there; an open position counts as held until then."""
    if figures.under_ms >= 0:
        figures.longest_drawdown_ms = max(figures.longest_drawdown_ms, until_ms - figures.under_ms)
    for k in range(len(desks)):
        if desks[k].position.side != 0:
            figures.longest_holding_ms = max(figures.longest_holding_ms, until_ms - desks[k].position.entry_time_ms)
    figures.cash_usdt = account.cash_usdt
    figures.peak_usdt = account.peak_usdt
    figures.tripped = account.tripped
    days[figures.days] = figures.end_equity_usdt
    figures.days += 1


def take_decisions(figures: Figures, out: Decisions, n: int) -> None:
    """Take the decisions on one candle into the sums over closed trades."""
    figures.decisions += n
    for k in range(n):
        decision = out[k]
        if decision.kind == POSITION_CLOSED:
            held_ms = decision.at_ms - decision.entry_time_ms
            figures.trades += 1
            figures.gross_usdt += decision.gross_usdt
            figures.fees_usdt += decision.fees_usdt
            figures.funding_usdt += decision.funding_usdt
            figures.slippage_usdt += decision.slippage_usdt
            figures.holding_ms += held_ms
            figures.longest_holding_ms = max(figures.longest_holding_ms, held_ms)
            if decision.net_usdt > 0.0:
                figures.wins += 1
