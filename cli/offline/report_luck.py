"""Monte Carlo for a report: the trades in other orders, and years made of blocks of days. It needs numpy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from papertape.projections.folds.metrics import YEAR_DAYS, daily_returns
from papertape.projections.site.report import LuckReport
from papertape.projections.site.report_pictures import fan_picture

if TYPE_CHECKING:
    from collections.abc import Sequence

    from papertape.projections.folds.equity import EquityView
    from papertape.projections.folds.trades import TradeView

DAYS_MIN: Final = 10
"""Fewer days say nothing about a year."""
DRAWDOWN_AT: Final = 0.95
NEEDS_NUMPY: Final = "The Monte Carlo needs numpy: pip install 'papertape[research]'."


def luck_of(
    closed: Sequence[TradeView], curve: EquityView, seed: int, redrawn_nets: Sequence[float] = ()
) -> LuckReport:
    """Return what luck could have made of a strategy's trades and days, and of its market if that was redrawn."""
    try:
        from papertape.studies.statistics import orders  # noqa: PLC0415 - numpy belongs to an extra.
    except ImportError:
        return LuckReport(seed, 0, why=NEEDS_NUMPY)
    nets, multiples = [trade.net_usdt for trade in closed], [trade.r_multiple for trade in closed]
    returns = daily_returns(curve.capital_usdt, curve.day_equities_usdt)
    if not closed and len(returns) < DAYS_MIN and not redrawn_nets:
        return LuckReport(seed, 0, why="There are no closed trades, and too few days to draw from.")
    bands = orders.cumulative_bands(multiples, min(len(multiples), orders.BAND_TRADES), seed=seed)
    found = {
        "shuffled_drawdown": orders.quantile(
            orders.shuffled_drawdowns(nets, curve.capital_usdt, seed=seed), DRAWDOWN_AT
        ),
        "fan": fan_picture([band[1:] for band in bands], _cumulative(multiples)),
        **(_years(orders, returns, seed) if len(returns) >= DAYS_MIN else {}),
        **(_redraws(orders, redrawn_nets, curve.equity_usdt - curve.capital_usdt) if redrawn_nets else {}),
    }
    return LuckReport(seed, orders.DRAWS, **found)


def _redraws(orders: Any, nets_usdt: Sequence[float], net_usdt: float) -> dict[str, Any]:
    """Return the figures of redrawn markets, beside the net result in the recorded one."""
    return {
        "redraws": len(nets_usdt),
        "redrawn": tuple(orders.quantile(nets_usdt, at) for at in (0.05, 0.5, 0.95)),
        "beaten_share": sum(one < net_usdt for one in nets_usdt) / len(nets_usdt),
    }


def _cumulative(values: Sequence[float]) -> list[float]:
    sums, total = [], 0.0
    for value in values:
        total += value
        sums.append(total)
    return sums


def _years(orders: Any, returns: Sequence[float], seed: int) -> dict[str, Any]:
    """Return the figures of years of 365 days, drawn in blocks of the cube root of the number of days."""
    block_days = round(len(returns) ** (1.0 / 3.0), 1)
    paths = orders.block_paths(returns, block_days, seed=seed)
    yearly = paths[:, -1] ** (YEAR_DAYS / len(returns)) - 1.0
    return {
        "block_days": block_days,
        "yearly": tuple(orders.quantile(yearly, at) for at in (0.05, 0.5, 0.95)),
        "losing_share": float((yearly < 0.0).mean()),
        "block_drawdown": orders.quantile(orders.path_drawdowns(paths), DRAWDOWN_AT),
    }
