"""The heartbeat message: proof that the engine makes progress, not only that it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from papertape.projections.alerts.markup import bold, footer, message, text
from papertape.projections.text.formats import day_words, duration, gain, money

if TYPE_CHECKING:
    from papertape.projections.folds.portfolio import PortfolioView

HEARTBEAT = "♡"


class HeartbeatView(Struct, frozen=True):
    """The engine's state at `at_ms` of the wall clock.

    `evaluations` counts candles that strategies evaluated within the last hour; `candle_age_ms` is the age of the
    newest candle, None before the first. `day` is the day of the result: `today`, or the date of an older one. `active`
    of `strategies` may open positions.
    """

    at_ms: int
    seq: int
    equity_usdt: float
    day: str
    day_result_usdt: float
    unrealised_usdt: float
    positions: int
    active: int
    strategies: int
    evaluations: int
    candle_age_ms: int | None


def heartbeat_view(
    portfolio: PortfolioView, *, at_ms: int, evaluations: int, candle_age_ms: int | None
) -> HeartbeatView:
    """Return the heartbeat of a portfolio with what the log does not know: the wall clock and recent activity."""
    return HeartbeatView(
        at_ms=at_ms,
        seq=portfolio.seq,
        equity_usdt=portfolio.equity_usdt,
        day=day_words(portfolio.at_ms, at_ms),
        day_result_usdt=portfolio.day_result_usdt,
        unrealised_usdt=sum(position.unrealised_usdt for position in portfolio.positions),
        positions=len(portfolio.positions),
        active=sum(account.state == "active" for account in portfolio.accounts),
        strategies=len(portfolio.accounts),
        evaluations=evaluations,
        candle_age_ms=candle_age_ms,
    )


def heartbeat_text(view: HeartbeatView) -> str:
    """Return the heartbeat's text."""
    candle = "no candles yet"
    if view.candle_age_ms is not None:
        candle = f"last candle {text(duration(max(view.candle_age_ms, 0)))} ago"
    details = [
        f"open positions {bold(str(view.positions))}, {text(gain(view.unrealised_usdt))}",
        f"active strategies {bold(str(view.active))} of {view.strategies}",
        f"evaluations {bold(f'{view.evaluations:,}')} in the last hour",
        candle,
    ]
    head = f"{HEARTBEAT} <b>{text(money(view.equity_usdt))} USDT, {view.day} {text(gain(view.day_result_usdt))}</b>"
    return message(head, details, footer(view.seq, view.at_ms))
