"""Plot geometry: points of lines, boxes of bars, positions on a scale. In pixels; y grows downwards."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Sequence

Point = TypeVar("Point")


class PlotBar(Struct, frozen=True):
    """A bar: its upper left corner, its size, and its value."""

    x: float
    y: float
    width: float
    height: float
    value: float


class PlotScale(Struct, frozen=True):
    """A scale of values from `low` to `high` over `width` pixels."""

    low: float
    high: float
    width: float

    def at(self, value: float) -> float:
        """Return the position of a value, clamped to the ends of the scale."""
        if self.high <= self.low:
            return self.width / 2.0
        return _short(min(max((value - self.low) / (self.high - self.low), 0.0), 1.0) * self.width)


def polyline(values: Sequence[float], width: float, height: float, pad: float = 1.0) -> str:
    """Return an SVG polyline's points through evenly spaced values; a single value gives a level line."""
    if not values:
        return ""
    line = (*values, values[0]) if len(values) == 1 else values
    low, high = min(line), max(line)
    step = width / (len(line) - 1)
    across = PlotScale(low, high, height - 2.0 * pad)
    return " ".join(f"{_short(i * step)},{_short(height - pad - across.at(value))}" for i, value in enumerate(line))


def area(values: Sequence[float], width: float, height: float, pad: float = 1.0) -> str:
    """Return the outline of the area between a line and the lower edge."""
    line = polyline(values, width, height, pad)
    return f"0,{_short(height)} {line} {_short(width)},{_short(height)}" if line else ""


def columns(
    values: Sequence[float], width: float, height: float, gap: float = 1.0, places_min: int = 1
) -> tuple[PlotBar, ...]:
    """Return vertical bars side by side, growing up and down from the zero line if a value is negative.

    With fewer values than `places_min`, the places on the right stay empty.
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


def ticks(low: float, high: float, most: int = 5) -> tuple[float, ...]:
    """Return at most `most` + 1 round numbers from `low` to `high`: multiples of 1, 2 or 5 times a power of ten."""
    if not math.isfinite(high - low) or high <= low:
        return (low,) if math.isfinite(low) else ()
    raw = (high - low) / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1.0, 2.0, 5.0, 10.0) if power * factor >= raw * (1.0 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    places = max(0, -math.floor(math.log10(step)))
    return tuple(round(one * step, places) + 0.0 for one in range(first, last + 1))


def thin_points(points: Sequence[Point], most: int) -> tuple[Point, ...]:
    """Return at most `most` evenly spaced points, including the first and the last."""
    if len(points) <= most or most < 2:
        return tuple(points)
    step = (len(points) - 1) / (most - 1)
    return tuple(points[round(i * step)] for i in range(most))


def _short(value: float) -> float:
    """Round to a hundredth of a pixel."""
    return round(value, 2)
