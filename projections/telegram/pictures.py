"""Equity curves as a picture for a phone: one line per strategy, the result in percent over time. Pure and slow.

The lines are steps between points. Everything is drawn at twice the size and shrunk, which makes thin lines smooth.
"""

from __future__ import annotations

from bisect import bisect_right
from io import BytesIO
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from PIL import Image, ImageDraw, ImageFont

from papertape.events.units import DAY_MS
from papertape.projections.folds.curve import EquityPoint
from papertape.projections.text.formats import gain_percent, utc

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH, HEIGHT = 1_000, 600
SCALE: Final = 2
LEFT, RIGHT, TOP, LEGEND_PX = 96, 40, 74, 34
BOTTOM_PX: Final = 46
LEGEND_COLUMNS: Final = 3
SAMPLES: Final = 450
LABELS_MAX: Final = 6
NAME_CHARS_MAX: Final = 12
TITLE_CHARS_MAX: Final = 48
BACKGROUND, PANEL, GRID, ZERO = "#10141b", "#161c26", "#27303d", "#8b98a9"
INK, FAINT = "#e6ebf2", "#93a0b2"
COLOURS: Final = (
    "#4cc9f0",
    "#ffb703",
    "#80ed99",
    "#f07178",
    "#b79bff",
    "#ff9e64",
    "#5eead4",
    "#f9a8d4",
    "#d4e157",
    "#7aa2f7",
    "#e0af68",
    "#c0caf5",
)
"""Distinguishable for the colour-blind too: neighbours differ in brightness."""
STEPS: Final = (1.0, 2.0, 2.5, 5.0, 10.0)
SMALLEST_SPAN: Final = 0.2
PERCENT_MAX: Final = 1e9
"""Values beyond this are drawn at the edge, to bound the search for labels."""


class PlotSeries(Struct, frozen=True):
    """A strategy's equity curve: its capital and start, its points, oldest first, and until when they are valid."""

    name: str
    capital_usdt: float
    from_ms: int
    until_ms: int
    points: tuple[EquityPoint, ...]

    def percents(self, times_ms: Sequence[float]) -> list[float]:
        """Return the result in percent of the capital at these times; 0 before the first point."""
        known = [point.at_ms for point in self.points]
        values = [0.0, *(self._percent(point.equity_usdt) for point in self.points)]
        return [values[bisect_right(known, at_ms)] for at_ms in times_ms]

    def _percent(self, equity_usdt: float) -> float:
        percent = (equity_usdt / self.capital_usdt - 1.0) * 100.0 if self.capital_usdt > 0.0 else 0.0
        return min(max(percent, -PERCENT_MAX), PERCENT_MAX)


def total_of(curves: Sequence[PlotSeries]) -> PlotSeries:
    """Return the sum of all strategies; a strategy that has not started counts with its capital."""
    times_ms = sorted({point.at_ms for curve in curves for point in curve.points})
    capital = sum(curve.capital_usdt for curve in curves)
    each = [(curve.capital_usdt, curve.percents(times_ms)) for curve in curves]
    sums = [sum(own * (1.0 + percents[i] / 100.0) for own, percents in each) for i in range(len(times_ms))]
    points = tuple(map(EquityPoint, times_ms, sums))
    begun = [curve.from_ms for curve in curves if curve.points]
    return PlotSeries("all", capital, min(begun, default=0), max((one.until_ms for one in curves), default=0), points)


class PlotArea(Struct, frozen=True):
    """What is shown and where: times and percentages, and the panel's edges in pixels."""

    from_ms: int
    until_ms: int
    low: float
    high: float
    step: float
    bottom: int

    def x(self, at_ms: float) -> float:
        """Return a time's x coordinate."""
        return LEFT + (at_ms - self.from_ms) / max(1, self.until_ms - self.from_ms) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        """Return a percentage's y coordinate."""
        return self.bottom - (value - self.low) / (self.high - self.low) * (self.bottom - TOP)


def picture(title: str, curves: Sequence[PlotSeries]) -> bytes:
    """Return a PNG of 1,000 x 600 pixels."""
    drawn = [curve for curve in curves if curve.points][: len(COLOURS)]
    frame = _frame(drawn)
    times_ms = [frame.from_ms + (frame.until_ms - frame.from_ms) * i / (SAMPLES - 1) for i in range(SAMPLES)]
    image = Image.new("RGB", (WIDTH * SCALE, HEIGHT * SCALE), BACKGROUND)
    pen = _Pen(ImageDraw.Draw(image))
    _panel(pen, title, frame)
    for curve, colour in reversed(list(zip(drawn, COLOURS, strict=False))):
        values = curve.percents(times_ms)
        pen.curve([(frame.x(at_ms), frame.y(value)) for at_ms, value in zip(times_ms, values, strict=True)], colour)
    _legend(pen, drawn)
    shrunk = image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
    png = BytesIO()
    shrunk.save(png, "PNG", optimize=True)
    return png.getvalue()


def _frame(curves: Sequence[PlotSeries]) -> PlotArea:
    from_ms = min((curve.from_ms for curve in curves), default=0)
    until_ms = max((curve.until_ms for curve in curves), default=0)
    values = [0.0, *(value for curve in curves for value in curve.percents([p.at_ms for p in curve.points]))]
    low, high = min(values), max(values)
    if high - low < SMALLEST_SPAN:
        low, high = low - SMALLEST_SPAN / 2.0, high + SMALLEST_SPAN / 2.0
    step = nice_step((high - low) / (LABELS_MAX - 1))
    rows = -(-len(curves) // LEGEND_COLUMNS)
    bottom = HEIGHT - BOTTOM_PX - LEGEND_PX * max(1, rows)
    return PlotArea(from_ms, until_ms, low // step * step, -(-high // step) * step, step, bottom)


def nice_step(raw: float) -> float:
    """Return the smallest of 1, 2, 2.5, 5 times a power of ten that is not below `raw`."""
    power = 1.0
    while power > raw:
        power /= 10.0
    while power * 10.0 <= raw:
        power *= 10.0
    return next((power * step for step in STEPS if power * step >= raw), power * 10.0)


def _panel(pen: _Pen, title: str, frame: PlotArea) -> None:
    pen.text((LEFT, 22), title[:TITLE_CHARS_MAX], INK, 30)
    pen.text((WIDTH - RIGHT, 26), f"until {utc(frame.until_ms)} UTC", FAINT, 22, anchor="ra")
    pen.box((LEFT, TOP, WIDTH - RIGHT, frame.bottom), PANEL)
    lines = round((frame.high - frame.low) / frame.step)
    for i in range(lines + 1):
        value = frame.low + i * frame.step
        is_zero = abs(value) < frame.step / 2.0
        pen.line(
            [(LEFT, frame.y(value)), (WIDTH - RIGHT, frame.y(value))], ZERO if is_zero else GRID, 2 if is_zero else 1
        )
        shown = "0 %" if is_zero else f"{value:+.{_places(frame.step)}f} %"
        pen.text((LEFT - 12, frame.y(value)), shown, INK if is_zero else FAINT, 21, anchor="rm")
    for at_ms, words, anchor in _times(frame):
        pen.text((frame.x(at_ms), frame.bottom + 10), words, FAINT, 21, anchor=anchor)


def _places(step: float) -> int:
    return next((places for places in range(6) if abs(step * 10**places - round(step * 10**places)) < 1e-6), 6)


def _times(frame: PlotArea) -> list[tuple[float, str, str]]:
    """Return five labels along the bottom: days, or minutes for a short span."""
    span = frame.until_ms - frame.from_ms
    part = slice(5, 10) if span > 4 * DAY_MS else slice(5, 16) if span > DAY_MS else slice(11, 16)
    anchors = ("la", "ma", "ma", "ma", "ra")
    times = [(frame.from_ms + span * i / 4.0, anchors[i]) for i in range(5)]
    return [(at_ms, utc(int(at_ms))[part], anchor) for at_ms, anchor in times]


def _legend(pen: _Pen, curves: Sequence[PlotSeries]) -> None:
    width = (WIDTH - LEFT - RIGHT) / LEGEND_COLUMNS
    rows = max(1, -(-len(curves) // LEGEND_COLUMNS))
    top = HEIGHT - LEGEND_PX * rows - 4
    for i, (curve, colour) in enumerate(zip(curves, COLOURS, strict=False)):
        x, y = LEFT + i % LEGEND_COLUMNS * width, top + i // LEGEND_COLUMNS * LEGEND_PX
        name = curve.name if len(curve.name) <= NAME_CHARS_MAX else f"{curve.name[: NAME_CHARS_MAX - 1]}…"
        result = gain_percent(curve.percents([curve.until_ms])[0])
        pen.box((int(x), int(y) + 8, int(x) + 20, int(y) + 16), colour)
        pen.text((x + 30, y), f"{name} {result}", INK, 22)


class _Pen:
    """Draws in the picture's own pixels, whatever the real size."""

    def __init__(self, draw: ImageDraw.ImageDraw) -> None:
        self._draw = draw
        self._fonts: dict[int, ImageFont.FreeTypeFont | ImageFont.ImageFont] = {}

    def text(self, at: tuple[float, float], words: str, colour: str, size: int, anchor: str = "la") -> None:
        """Draw words, aligned at `at` by their anchor."""
        font = self._fonts.setdefault(size, ImageFont.load_default(size * SCALE))
        self._draw.text((at[0] * SCALE, at[1] * SCALE), words, fill=colour, font=font, anchor=anchor)

    def line(self, points: Sequence[tuple[float, float]], colour: str, width: float) -> None:
        """Draw a line through points."""
        scaled = [(x * SCALE, y * SCALE) for x, y in points]
        self._draw.line(scaled, fill=colour, width=round(width * SCALE), joint="curve")

    def curve(self, points: Sequence[tuple[float, float]], colour: str) -> None:
        """Draw a line with a dark edge, which separates crossing lines, and a dot at its end."""
        self.line(points, PANEL, 6)
        self.line(points, colour, 3)
        x, y = points[-1]
        self._draw.ellipse([(x - 5) * SCALE, (y - 5) * SCALE, (x + 5) * SCALE, (y + 5) * SCALE], fill=colour)

    def box(self, edges: tuple[int, int, int, int], colour: str) -> None:
        """Draw a filled box."""
        self._draw.rectangle([edge * SCALE for edge in edges], fill=colour)
