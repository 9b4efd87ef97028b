"""Heat maps of a study's sets: a cell is a set that was run, its colour its rank among all sets."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from papertape.notebook.plots import SvgPlot

if TYPE_CHECKING:
    from papertape.projections.studies.heatmap import HeatCell, HeatMap, HeatMaps

COLOURS = ("#fde725", "#addc30", "#5ec962", "#28ae80", "#21918c", "#2c728e", "#3b528b", "#472d7b", "#440154")[::-1]
CELL, LEFT, TOP, BOTTOM = 36, 72, 6, 20
CHOSEN = "#f43f5e"


def heat_plot(title: str, measure: str, maps: HeatMaps, chosen: int | None) -> SvgPlot:
    """Return one map for each combination of the parameters that are on neither axis, on one scale of ranks."""
    drawn = "".join(_map(maps, one, chosen) for one in maps.maps)
    key = "".join(f'<span style="color:{colour}">&#9632;</span>' for colour in COLOURS)
    notes = [f"by {measure} of {maps.sets:,} sets: worst {key} best", f"chosen: framed in {_swatch()}"]
    notes += [f"{one.axis.name} is fixed" for one in maps.others if one.forced]
    notes += ["some values of an axis are left out"] if maps.thinned else []
    return SvgPlot(
        f'<figure style="margin:0;font:13px system-ui,sans-serif"><figcaption style="font-weight:600">{escape(title)}'
        f'</figcaption><div style="display:flex;flex-wrap:wrap;gap:12px">{drawn}</div>'
        f'<div style="opacity:.75">{" &nbsp; ".join(notes)}</div></figure>'
    )


def _swatch() -> str:
    return f'<span style="color:{CHOSEN}">&#9633;</span>'


def _map(maps: HeatMaps, one: HeatMap, chosen: int | None) -> str:
    """Return one map with the values of its axes, rows from the largest value down."""
    parts = []
    for place, row in enumerate(one.rows):
        y = TOP + place * CELL
        if row.value is not None:
            parts.append(_text(LEFT - 6, y + CELL / 2 + 4, f"{row.value:g}", "end"))
        parts += [
            _cell(cell, LEFT + column * CELL, y, chosen) for column, cell in enumerate(row.cells) if cell is not None
        ]
    foot = TOP + len(one.rows) * CELL
    parts += [
        _text(LEFT + column * CELL + CELL / 2, foot + 14, f"{value:g}", "middle")
        for column, value in enumerate(maps.columns)
    ]
    width, height = LEFT + len(maps.columns) * CELL + 6, foot + BOTTOM
    names = [("across", maps.across), *([] if maps.up is None else [("up", maps.up)])]
    axes = [f"{way}: {axis.name} {axis.unit}".strip() for way, axis in names]
    held = ", ".join(f"{name} {value:g}" for name, value in one.held)
    caption = escape(", ".join([*axes, f"at {held}"] if held else axes))
    return (
        f'<div><div style="opacity:.75">{caption}</div><svg viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-label="{caption}">{"".join(parts)}</svg></div>'
    )


def _cell(cell: HeatCell, x: int, y: int, chosen: int | None) -> str:
    frame = f' stroke="{CHOSEN}" stroke-width="3"' if cell.number == chosen else ""
    return (
        f'<rect x="{x + 2}" y="{y + 2}" width="{CELL - 4}" height="{CELL - 4}" fill="{COLOURS[cell.level]}"{frame}>'
        f"<title>set {cell.number:,}: {cell.value:,.2f}, rank {cell.rank:,}</title></rect>"
    )


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:g}" y="{y:g}" font-size="11" text-anchor="{anchor}" fill="currentColor">{escape(text)}</text>'
