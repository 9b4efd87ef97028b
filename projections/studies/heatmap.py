"""Heat maps of all sets over two parameters, coloured by rank: measured sets only, nothing in between is made up."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from papertape.projections.site.plot_geometry import thin_points

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from papertape.projections.studies.document import Axis
    from papertape.projections.studies.reader import MeasuredSets

LEVELS: Final = 9
"""Colours, each for a ninth of all sets."""
MAPS_MAX: Final = 12
CELLS_MAX: Final = 3_000
AXIS_VALUES_MAX: Final = 50


class HeatCell(Struct, frozen=True):
    """One set: its number, value, rank among all sets (1 is the best), and colour, 0 for the worst."""

    number: int
    value: float
    rank: int
    level: int


class HeatRow(Struct, frozen=True):
    """The sets with one value of the upward parameter; None where no set was run. `value` is None without one."""

    value: int | float | None
    cells: tuple[HeatCell | None, ...]


class HeatMap(Struct, frozen=True):
    """One map; `held` are the values of the parameters that do not vary in it."""

    held: tuple[tuple[str, int | float], ...]
    rows: tuple[HeatRow, ...]


class HeldAxis(Struct, frozen=True):
    """A parameter that is on neither axis: `place` is the value that all maps hold, None if every value has a map.

    `forced`: all values would be too many maps.
    """

    axis: Axis
    place: int | None
    forced: bool


class HeatMaps(Struct, frozen=True):
    """All maps of a study, from the left and the top; rows run from the largest value down.

    `columns` are the shown values of the rightward parameter; `thinned` if there are more than are shown.
    """

    across: Axis
    up: Axis | None
    columns: tuple[int | float, ...]
    maps: tuple[HeatMap, ...]
    others: tuple[HeldAxis, ...]
    thinned: bool
    sets: int
    """The sets that were ranked."""


class _Grid(Struct, frozen=True):
    """The numbering of a study's sets."""

    axes: tuple[Axis, ...]

    def stride(self, axis: Axis) -> int:
        return prod(len(one.values) for one in self.axes[self.axes.index(axis) + 1 :])

    def place(self, axis: Axis, number: int) -> int:
        return number // self.stride(axis) % len(axis.values)


def heat_maps(
    axes: tuple[Axis, ...],
    sets: MeasuredSets,
    chosen: int | None,
    across: str = "",
    up: str = "",
    held: Mapping[str, int] | None = None,
) -> HeatMaps | None:
    """Return the maps of two parameters, by default the ones with the most values; None if nothing varies.

    `held` are the places of the values that other parameters hold. Where all values of the others would be more than
    `MAPS_MAX` maps, some hold that of the chosen set.
    """
    if not axes:
        return None
    longest = sorted(axes, key=lambda axis: -len(axis.values))
    right = next((axis for axis in axes if axis.name == across), longest[0])
    rest = [axis for axis in longest if axis is not right]
    upward = next((axis for axis in rest if axis.name == up), rest[0] if rest else None)
    grid = _Grid(axes)
    columns = thin_points(range(len(right.values)), AXIS_VALUES_MAX)
    rows = thin_points(range(len(upward.values)), AXIS_VALUES_MAX) if upward else (0,)
    others = _held_axes(
        grid,
        [axis for axis in axes if axis not in (right, upward)],
        held or {},
        chosen,
        min(MAPS_MAX, max(1, CELLS_MAX // (len(columns) * len(rows)))),
    )
    return HeatMaps(
        right,
        upward,
        tuple(right.values[place] for place in columns),
        tuple(_map(grid, sets, right, upward, columns, rows, fixed) for fixed in _combinations(others)),
        others,
        len(columns) < len(right.values) or (upward is not None and len(rows) < len(upward.values)),
        len(sets.ranked),
    )


def _held_axes(
    grid: _Grid, axes: Sequence[Axis], held: Mapping[str, int], chosen: int | None, maps_max: int
) -> tuple[HeldAxis, ...]:
    """Return what the other parameters hold; the one with the most values is held first if there are too many maps."""
    places = {axis.name: held[axis.name] for axis in axes if 0 <= held.get(axis.name, -1) < len(axis.values)}
    forced: set[str] = set()
    while True:
        free = [axis for axis in axes if axis.name not in places]
        if prod(len(axis.values) for axis in free) <= maps_max:
            return tuple(HeldAxis(axis, places.get(axis.name), axis.name in forced) for axis in axes)
        axis = max(free, key=lambda one: len(one.values))
        forced.add(axis.name)
        places[axis.name] = len(axis.values) // 2 if chosen is None else grid.place(axis, chosen)


def _combinations(others: Sequence[HeldAxis]) -> list[tuple[tuple[Axis, int], ...]]:
    """Return the places of the other parameters in each map."""
    choices = [
        [(one.axis, place) for place in (range(len(one.axis.values)) if one.place is None else (one.place,))]
        for one in others
    ]
    return list(product(*choices))


def _map(
    grid: _Grid,
    sets: MeasuredSets,
    right: Axis,
    upward: Axis | None,
    columns: Sequence[int],
    rows: Sequence[int],
    fixed: tuple[tuple[Axis, int], ...],
) -> HeatMap:
    base = sum(grid.stride(axis) * place for axis, place in fixed)
    across, up = grid.stride(right), 0 if upward is None else grid.stride(upward)
    found = tuple(
        HeatRow(
            None if upward is None else upward.values[row],
            tuple(_cell(sets, base + up * row + across * column) for column in columns),
        )
        for row in reversed(rows)
    )
    return HeatMap(tuple((axis.name, axis.values[place]) for axis, place in fixed), found)


def _cell(sets: MeasuredSets, number: int) -> HeatCell | None:
    at = bisect_left(sets.numbers, number)
    if at == len(sets.numbers) or sets.numbers[at] != number:
        return None
    value, count = sets.values[at], len(sets.ranked)
    worse, not_better = bisect_left(sets.ranked, value), bisect_right(sets.ranked, value)
    level = (worse + not_better) * LEVELS // (2 * count)
    return HeatCell(number, value, count - not_better + 1, min(level, LEVELS - 1))
