"""Where numbers stand in a picture: points of lines, boxes of bars, places on a scale. Pixels, y grows downwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Sequence

Point = TypeVar("Point")


class PlotBar(Struct, frozen=True):
    """A bar: its upper left corner, its size, and the value it stands for."""

    x: float
    y: float
    width: float
    height: float
    value: float


class PlotScale(Struct, frozen=True):
    """A line of values from `low` to `high` over `width` pixels."""

    low: float
    high: float
    width: float

    def at(self, value: float) -> float:
        """Where a value stands; one outside stands at the end."""
        if self.high <= self.low:
            return self.width / 2.0
        return _short(min(max((value - self.low) / (self.high - self.low), 0.0), 1.0) * self.width)


def polyline(values: Sequence[float], width: float, height: float, pad: float = 1.0) -> str:
    """The points of a line through values at even distances, as SVG writes them; a single value is a level line."""
    if not values:
        return ""
    line = (*values, values[0]) if len(values) == 1 else values
    low, high = min(line), max(line)
    step = width / (len(line) - 1)
    across = PlotScale(low, high, height - 2.0 * pad)
    return " ".join(f"{_short(i * step)},{_short(height - pad - across.at(value))}" for i, value in enumerate(line))


def area(values: Sequence[float], width: float, height: float, pad: float = 1.0) -> str:
    """The outline of the surface between a line and the lower edge."""
    line = polyline(values, width, height, pad)
    return f"0,{_short(height)} {line} {_short(width)},{_short(height)}" if line else ""


def columns(
    values: Sequence[float], width: float, height: float, gap: float = 1.0, places_min: int = 1
) -> tuple[PlotBar, ...]:
    """Upright bars side by side. Where a value is negative they grow from a line of zero, up and down.

    With fewer values than `places_min` the places on the right stay empty.
    """
    if not values:
        return ()
    top, bottom = max(*values, 0.0), min(*values, 0.0)
    span = top - bottom or 1.0
    step, zero = width / max(len(values), places_min), top / span * height
    return tuple(
        _column(i * step, value, zero, step - gap, abs(value) / span * height) for i, value in enumerate(values)
    )


def _column(x: float, value: float, zero: float, width: float, height: float) -> PlotBar:
    y = zero - height if value > 0.0 else zero
    return PlotBar(_short(x), _short(y), _short(max(width, 0.5)), _short(height), value)


def thin_points(points: Sequence[Point], most: int) -> tuple[Point, ...]:
    """At most `most` of the points at even distances, the first and the last among them."""
    if len(points) <= most or most < 2:
        return tuple(points)
    step = (len(points) - 1) / (most - 1)
    return tuple(points[round(i * step)] for i in range(most))


def _short(value: float) -> float:
    """A hundredth of a pixel is enough."""
    return round(value, 2)
