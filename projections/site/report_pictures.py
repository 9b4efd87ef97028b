"""The pictures of a report: lines with their axes, and a fan of paths. Positions are in percent; y grows downwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from papertape.projections.site.plot_geometry import PlotScale, thin_points, ticks

if TYPE_CHECKING:
    from collections.abc import Sequence

POINTS_MAX: Final = 600
DATES_MAX: Final = 5
WHOLE: Final = 100.0


class AxisTick(Struct, frozen=True):
    """A value on an axis, and where it stands."""

    at: float
    value: float


class LinePicture(Struct, frozen=True):
    """A line and the area between it and its base, as SVG points in a box of 1000 x 1000, and the axes."""

    points: str
    area: str
    base_at: float
    x_ticks: tuple[AxisTick, ...]
    y_ticks: tuple[AxisTick, ...]
    last: float


class FanPicture(Struct, frozen=True):
    """Quantiles of many paths as areas in a box of 1000 x 1000, the median, and the path that was taken if given."""

    outer: str
    inner: str
    median: str
    own: str
    zero_at: float
    x_ticks: tuple[AxisTick, ...]
    y_ticks: tuple[AxisTick, ...]


def line_picture(points: Sequence[tuple[float, float]], base: float) -> LinePicture | None:
    """Return the picture of a line through (time in ms, value); None with fewer than two points."""
    if len(points) < 2:
        return None
    shown = thin_points(points, POINTS_MAX)
    first_ms, last_ms = shown[0][0], shown[-1][0]
    across, upward = PlotScale(first_ms, last_ms, WHOLE), _scale([value for _, value in shown], base)
    line = _line([(across.at(at_ms), value) for at_ms, value in shown], upward)
    base_at = _down(upward, base)
    step = (last_ms - first_ms) / (DATES_MAX - 1)
    dates = [first_ms + place * step for place in range(DATES_MAX)]
    return LinePicture(
        points=line,
        area=f"0,{10.0 * base_at:.1f} {line} 1000,{10.0 * base_at:.1f}",
        base_at=base_at,
        x_ticks=tuple(AxisTick(across.at(at_ms), at_ms) for at_ms in dates),
        y_ticks=_y_ticks(upward),
        last=points[-1][1],
    )


def fan_picture(
    bands: Sequence[tuple[float, float, float, float, float]], own: Sequence[float] = ()
) -> FanPicture | None:
    """Return the fan of the 5, 25, 50, 75 and 95 % quantiles by trade 1, 2, ...; None without trades.

    `own` are the values of the path that was taken; it is cut where the fan ends.
    """
    if not bands:
        return None
    taken = (0.0, *own[: len(bands)]) if own else ()
    upward = _scale([*(band[0] for band in bands), *(band[4] for band in bands), *taken], 0.0)
    across = PlotScale(0.0, float(len(bands)), WHOLE)
    places = thin_points(range(len(bands) + 1), POINTS_MAX)
    rows = [(0.0,) * 5, *bands]

    def path(values: Sequence[float], *, backwards: bool = False) -> str:
        kept = [(across.at(place), values[place]) for place in places if place < len(values)]
        return _line(kept[::-1] if backwards else kept, upward)

    low, quarter, median, upper, high = ([row[at] for row in rows] for at in range(5))
    return FanPicture(
        outer=f"{path(high)} {path(low, backwards=True)}",
        inner=f"{path(upper)} {path(quarter, backwards=True)}",
        median=path(median),
        own=path(taken),
        zero_at=_down(upward, 0.0),
        x_ticks=tuple(AxisTick(across.at(value), value) for value in ticks(0.0, float(len(bands)), 5)),
        y_ticks=_y_ticks(upward),
    )


def _line(points: Sequence[tuple[float, float]], upward: PlotScale) -> str:
    """Return points, x in percent, as SVG points in a box of 1000 x 1000."""
    return " ".join(f"{10.0 * x:.1f},{10.0 * _down(upward, value):.1f}" for x, value in points)


def _scale(values: Sequence[float], base: float) -> PlotScale:
    """Return a scale that holds the values and the base, with some air at both ends."""
    low, high = min(*values, base), max(*values, base)
    pad = (high - low) * 0.06 or max(abs(high) * 0.01, 0.5)
    return PlotScale(low - pad if low < base else low, high + pad if high > base else high, WHOLE)


def _down(scale: PlotScale, value: float) -> float:
    return round(WHOLE - scale.at(value), 2)


def _y_ticks(scale: PlotScale) -> tuple[AxisTick, ...]:
    return tuple(AxisTick(_down(scale, value), value) for value in ticks(scale.low, scale.high, 4))
