"""What a backtest and a log have in common for a notebook: frames, key figures and plots."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import polars as pl

from papertape.notebook.plots import SvgPlot, lines_plot

if TYPE_CHECKING:
    from collections.abc import Callable

KEY_FIGURES = (
    "strategy",
    "net_return_percent",
    "trades",
    "win_rate_percent",
    "profit_factor",
    "sharpe",
    "max_drawdown_percent",
    "fees_usdt",
    "slippage_usdt",
    "funding_usdt",
)


class Results:
    """The results of one or more strategies. A notebook shows the equity curve and the key figures of its last line."""

    title = "results"

    @property
    def trades(self) -> pl.DataFrame:
        """The closed trades, oldest first."""
        raise NotImplementedError

    @property
    def equity(self) -> pl.DataFrame:
        """Time, strategy, `equity_usdt` with open positions marked, `drawdown_fraction`."""
        raise NotImplementedError

    @property
    def readings(self) -> pl.DataFrame:
        """The strategies' readings behind every order and every refusal."""
        raise NotImplementedError

    @property
    def metrics(self) -> pl.DataFrame:
        """One row for each strategy, with every measure of the arena."""
        raise NotImplementedError

    def plot(self) -> SvgPlot:
        """Draw the equity curves."""
        return self._plot("equity_usdt", "equity", "USDT", lambda column: column)

    def plot_drawdown(self) -> SvgPlot:
        """Draw the drawdowns, in percent below the highest equity so far."""
        return self._plot("drawdown_fraction", "drawdown", "%", lambda column: column * -100.0)

    def _plot(self, column: str, what: str, unit: str, scaled: Callable[[pl.Series], pl.Series]) -> SvgPlot:
        equity = self.equity
        lines = {
            str(name): scaled(part[column]).to_list()
            for (name,), part in equity.group_by("strategy", maintain_order=True)
        }
        times = equity["time"].dt.epoch("ms")
        ends = (int(times.min() or 0), int(times.max() or 0)) if len(times) else (0, 0)  # type: ignore[arg-type]
        return lines_plot(f"{self.title}: {what}", lines, *ends, unit)

    def _repr_html_(self) -> str:
        figures = self.metrics.select(KEY_FIGURES)
        head = "".join(f"<th>{escape(name)}</th>" for name in KEY_FIGURES)
        rows = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in figures.iter_rows())
        return f"{self.plot().svg}<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"

    def __repr__(self) -> str:
        figures = self.metrics
        lines = (
            f"  {name}: {net:+.2f} %, {trades:,} trades"
            for name, net, trades in figures.select("strategy", "net_return_percent", "trades").iter_rows()
        )
        return "\n".join((self.title, *lines))


def _cell(value: object) -> str:
    text = "" if value is None else f"{value:,.2f}" if isinstance(value, float) else str(value)
    return f"<td>{escape(text)}</td>"
