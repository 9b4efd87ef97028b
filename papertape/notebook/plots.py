"""Plots that a notebook shows inline, as SVG: no library, readable on light and on dark pages."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from papertape.projections.site.plot_geometry import polyline
from papertape.projections.text.formats import utc

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WIDTH, HEIGHT = 720.0, 180.0
POINTS_MAX = 720
COLOURS = ("#3b82f6", "#f59e0b", "#10b981", "#ef4444", "#8b5cf6", "#06b6d4", "#ec4899", "#84cc16")


class SvgPlot:
    """One drawing. A notebook shows it; `svg` is its source."""

    def __init__(self, svg: str) -> None:
        self.svg = svg

    def _repr_html_(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        return "<Plot: shown in a notebook; its source is in .svg>"


def thin(values: Sequence[float], most: int = POINTS_MAX) -> list[float]:
    """Return at most about `most` values, of every stretch the lowest and the highest, so that no peak is lost."""
    if len(values) <= most:
        return list(values)
    step = -(-2 * len(values) // most)
    kept: list[float] = []
    for start in range(0, len(values), step):
        part = values[start : start + step]
        low, high = min(part), max(part)
        kept += [low, high] if part.index(low) <= part.index(high) else [high, low]
    return kept


def lines_plot(title: str, lines: Mapping[str, Sequence[float]], from_ms: int, until_ms: int, unit: str) -> SvgPlot:
    """Return lines over one span of time, on one scale, with a legend."""
    shown = {name: thin(values) for name, values in lines.items() if len(values)}
    if not shown:
        return SvgPlot(_frame(title, "", "nothing to draw"))
    low, high = (pick(pick(values) for values in shown.values()) for pick in (min, max))
    drawn, legend = [], []
    for (name, values), colour in zip(shown.items(), _colours(len(shown)), strict=True):
        drawn.append(_line(values, low, high, colour))
        legend.append(f'<span style="color:{colour}">&#9632;</span> {escape(name)}')
    ends = f"{utc(from_ms)} to {utc(until_ms)}, {low:,.2f} to {high:,.2f} {escape(unit)}"
    return SvgPlot(_frame(title, "".join(drawn), f"{' &nbsp; '.join(legend)} &nbsp; {ends}"))


def _colours(count: int) -> list[str]:
    return [COLOURS[index % len(COLOURS)] for index in range(count)]


def _line(values: Sequence[float], low: float, high: float, colour: str) -> str:
    """Return one line on the scale that all lines share: two invisible ends span it."""
    points = polyline([low, *values, high], WIDTH, HEIGHT).split(" ")[1:-1]
    return f'<polyline points="{" ".join(points)}" fill="none" stroke="{colour}" stroke-width="1.5"/>'


def _frame(title: str, drawing: str, caption: str) -> str:
    return (
        f'<figure style="margin:0;max-width:{WIDTH:.0f}px;font:13px system-ui,sans-serif">'
        f'<figcaption style="font-weight:600">{escape(title)}</figcaption>'
        f'<svg viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" width="100%" role="img" aria-label="{escape(title)}" '
        f'preserveAspectRatio="none" style="border-bottom:1px solid #8888">{drawing}</svg>'
        f'<div style="opacity:.75">{caption}</div></figure>'
    )
