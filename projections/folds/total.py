"""The equity of all strategies together: its curve, its drawdown, and its peak of the last hours."""

from __future__ import annotations

from copy import copy

from msgspec import Struct, field

from papertape.events.units import HOUR_MS
from papertape.projections.folds.curve import EquityCurve, EquityPoint

WINDOW_HOURS_MAX = 169


class DrawdownPoint(Struct, frozen=True):
    """How far the equity was below its highest point so far, in percent of that point; 0 or more."""

    at_ms: int
    drawdown_percent: float


class TotalView(Struct, frozen=True):
    """The curve of the total equity. Drawdowns are percentages of the peak."""

    capital_usdt: float
    equity_usdt: float
    peak_usdt: float
    drawdown_percent: float
    max_drawdown_percent: float
    curve: tuple[EquityPoint, ...]
    drawdowns: tuple[DrawdownPoint, ...]

    @property
    def net_usdt(self) -> float:
        """The result of all strategies together, open positions included."""
        return self.equity_usdt - self.capital_usdt

    @property
    def net_percent(self) -> float:
        """The result in percent of the capital."""
        return self.net_usdt / self.capital_usdt * 100.0 if self.capital_usdt > 0.0 else 0.0


class TotalEquity(Struct):
    """The running state behind a `TotalView`; its samples are the sums of all equities after a candle."""

    equity_usdt: float = 0.0
    peak_usdt: float = 0.0
    max_drawdown_fraction: float = 0.0
    curve: EquityCurve = field(default_factory=EquityCurve)
    hour: int = -1
    hours: dict[int, float] = field(default_factory=dict)
    """The highest total of each recent hour."""

    def put(self, at_ms: int, total_usdt: float, valid_until_ms: int) -> None:
        """Add a sample. The previous sample was valid until the last candle, at `valid_until_ms` (0 for none)."""
        hour = at_ms // HOUR_MS
        if hour > self.hour:
            self._open_hour(hour, valid_until_ms // HOUR_MS)
        self.equity_usdt = total_usdt
        if total_usdt >= self.peak_usdt:
            self.peak_usdt = total_usdt
        else:
            drawdown = (self.peak_usdt - total_usdt) / self.peak_usdt if self.peak_usdt > 0.0 else 0.0
            self.max_drawdown_fraction = max(self.max_drawdown_fraction, drawdown)
        self.curve.put(at_ms, total_usdt)
        self.hours[self.hour] = max(self.hours[self.hour], total_usdt)

    def _open_hour(self, hour: int, valid_until: int) -> None:
        """Open an hour. The previous total counts for the last hour in which it was valid."""
        if self.hour < 0:
            self.hours[hour] = self.equity_usdt
        else:
            expired = hour - WINDOW_HOURS_MAX
            self.hours = {recent: highest for recent, highest in self.hours.items() if recent > expired}
            self.hours[valid_until] = max(self.hours.get(valid_until, 0.0), self.equity_usdt)
            self.hours.setdefault(hour, 0.0)
        self.hour = hour

    def restart(self) -> None:
        """Restart the window from the current equity, after a reset of the global kill switch."""
        self.hours = {self.hour: self.equity_usdt}

    def widen(self, capital_usdt: float) -> None:
        """Add a new strategy's capital: it is no gain, so the peak rises with it."""
        self.equity_usdt += capital_usdt
        self.peak_usdt += capital_usdt
        self.hours = {hour: highest + capital_usdt for hour, highest in self.hours.items()}

    def peak_within(self, hours: int) -> float:
        """Return the highest total of the current hour and the `hours` whole hours before it, as in the kernel."""
        since = self.hour - hours - 1
        return max((highest for hour, highest in self.hours.items() if hour > since), default=self.equity_usdt)

    def fork(self) -> TotalEquity:
        """Return a copy that can be sampled independently."""
        twin = copy(self)
        twin.curve, twin.hours = self.curve.fork(), dict(self.hours)
        return twin

    def view(self, capital_usdt: float) -> TotalView:
        """Return the total equity curve so far."""
        points = self.curve.points()
        peak = self.peak_usdt
        return TotalView(
            capital_usdt=capital_usdt,
            equity_usdt=self.equity_usdt,
            peak_usdt=peak,
            drawdown_percent=(peak - self.equity_usdt) / peak * 100.0 if peak > 0.0 else 0.0,
            max_drawdown_percent=self.max_drawdown_fraction * 100.0,
            curve=points,
            drawdowns=drawdowns(points, peak),
        )


def drawdowns(points: tuple[EquityPoint, ...], peak_usdt: float = 0.0) -> tuple[DrawdownPoint, ...]:
    """Return the drawdown at each point of a curve, relative to the highest point up to it.

    The points of a curve may miss its peak: the newest drawdown is relative to `peak_usdt` if that is higher.
    """
    drawdown_points, peak = [], 0.0
    for place, point in enumerate(points, 1):
        peak = max(peak, point.equity_usdt, peak_usdt if place == len(points) else 0.0)
        percent = (peak - point.equity_usdt) / peak * 100.0 if peak > 0.0 else 0.0
        drawdown_points.append(DrawdownPoint(point.at_ms, percent))
    return tuple(drawdown_points)
