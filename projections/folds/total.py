"""The equity of all strategies together: its course, its drawdown, and the peak of the last hours."""

from __future__ import annotations

from copy import copy

from msgspec import Struct, field

from papertape.events.units import HOUR_MS
from papertape.projections.folds.curve import EquityCurve, EquityPoint

WINDOW_HOURS_MAX = 169


class DrawdownPoint(Struct, frozen=True):
    """How far the equity stood below its highest point so far, in percent of that; 0 or more."""

    at_ms: int
    drawdown_percent: float


class TotalView(Struct, frozen=True):
    """The course of the total equity. Drawdowns are percents of the peak."""

    capital_usdt: float
    equity_usdt: float
    peak_usdt: float
    drawdown_percent: float
    max_drawdown_percent: float
    curve: tuple[EquityPoint, ...]
    drawdowns: tuple[DrawdownPoint, ...]

    @property
    def net_usdt(self) -> float:
        """What all strategies together made, open positions included."""
        return self.equity_usdt - self.capital_usdt

    @property
    def net_percent(self) -> float:
        """The same in percent of the capital."""
        return self.net_usdt / self.capital_usdt * 100.0 if self.capital_usdt > 0.0 else 0.0


class TotalEquity(Struct):
    """The running state behind a `TotalView`: it takes the sum of all equities after a candle."""

    equity_usdt: float = 0.0
    peak_usdt: float = 0.0
    max_drawdown_fraction: float = 0.0
    curve: EquityCurve = field(default_factory=EquityCurve)
    hour: int = -1
    hours: dict[int, float] = field(default_factory=dict)
    """The highest total of each of the last hours."""

    def put(self, at_ms: int, total_usdt: float, stood_until_ms: int) -> None:
        """Take a sample; the one before it stood until the last candle, at `stood_until_ms`, 0 for none."""
        self._open_hour(at_ms // HOUR_MS, stood_until_ms // HOUR_MS)
        self.equity_usdt = total_usdt
        self.peak_usdt = max(self.peak_usdt, total_usdt)
        if self.peak_usdt > 0.0:
            fallen = (self.peak_usdt - total_usdt) / self.peak_usdt
            self.max_drawdown_fraction = max(self.max_drawdown_fraction, fallen)
        self.curve.put(at_ms, total_usdt)
        self.hours[self.hour] = max(self.hours[self.hour], total_usdt)

    def _open_hour(self, hour: int, stood_until: int) -> None:
        """Of the hours since the last sample the newest counts: what stood then leaves the window last."""
        if self.hour < 0:
            self.hours[hour] = self.equity_usdt
        elif hour > self.hour:
            kept = hour - WINDOW_HOURS_MAX
            self.hours = {known: highest for known, highest in self.hours.items() if known > kept}
            self.hours[stood_until] = max(self.hours.get(stood_until, 0.0), self.equity_usdt)
            self.hours.setdefault(hour, 0.0)
        self.hour = max(self.hour, hour)

    def restart(self) -> None:
        """A reset of the global kill switch: the window begins anew from the equity as it stands."""
        self.hours = {self.hour: self.equity_usdt}

    def widen(self, capital_usdt: float) -> None:
        """A new strategy brought its capital: no gain, so the peak rises with it."""
        self.equity_usdt += capital_usdt
        self.peak_usdt += capital_usdt
        self.hours = {hour: highest + capital_usdt for hour, highest in self.hours.items()}

    def peak_within(self, hours: int) -> float:
        """The highest total of the current hour and the whole hours before it, as the kernel's window reaches."""
        since = self.hour - hours - 1
        return max((highest for hour, highest in self.hours.items() if hour > since), default=self.equity_usdt)

    def fork(self) -> TotalEquity:
        """A copy that can take a sample without touching this one."""
        twin = copy(self)
        twin.curve, twin.hours = self.curve.fork(), dict(self.hours)
        return twin

    def view(self, capital_usdt: float) -> TotalView:
        """The course as it stands."""
        points = self.curve.points()
        peak = self.peak_usdt
        return TotalView(
            capital_usdt=capital_usdt,
            equity_usdt=self.equity_usdt,
            peak_usdt=peak,
            drawdown_percent=(peak - self.equity_usdt) / peak * 100.0 if peak > 0.0 else 0.0,
            max_drawdown_percent=self.max_drawdown_fraction * 100.0,
            curve=points,
            drawdowns=drawdowns(points),
        )


def drawdowns(points: tuple[EquityPoint, ...]) -> tuple[DrawdownPoint, ...]:
    """The drawdown at each point of a curve, against the highest point before it."""
    found, peak = [], 0.0
    for point in points:
        peak = max(peak, point.equity_usdt)
        percent = (peak - point.equity_usdt) / peak * 100.0 if peak > 0.0 else 0.0
        found.append(DrawdownPoint(point.at_ms, percent))
    return tuple(found)
