"""The pictures of a study: heat maps of measured sets only, the cost bar, folds, scatter plot and distribution."""

from __future__ import annotations

from array import array
from math import inf, prod

import pytest
from msgspec.structs import replace

from papertape.projections.site.plot_geometry import ticks
from papertape.projections.studies.document import Axis, Costs, Document, MatrixCell, Pair
from papertape.projections.studies.heatmap import CELLS_MAX, MAPS_MAX, heat_maps
from papertape.projections.studies.pictures import cost_bar, histogram, joined_curve, matrix_rows, scatter
from papertape.projections.studies.reader import MeasuredSets
from tests.studies_file import document

A, B, C = Axis("a", (1, 2, 3)), Axis("b", (10, 20)), Axis("c", (0.5, 1.0))


def measured(values: dict[int, float]) -> MeasuredSets:
    """Return the values of some sets."""
    numbers = sorted(values)
    return MeasuredSets(
        array("q", numbers), array("d", [values[one] for one in numbers]), array("d", sorted(values.values()))
    )


def every(axes: tuple[Axis, ...]) -> MeasuredSets:
    """Return all sets of a grid, each with its number as its value."""
    return measured({number: float(number) for number in range(prod(len(axis.values) for axis in axes))})


# ---------------------------------------------------------------- heat maps


def test_each_cell_is_the_set_of_its_row_column_and_map() -> None:
    maps = heat_maps((A, B, C), every((A, B, C)), None, "b", "a")
    assert maps is not None
    assert [one.held for one in maps.maps] == [(("c", 0.5),), (("c", 1.0),)]
    assert maps.columns == (10, 20)
    for at, one in enumerate(maps.maps):
        assert [row.value for row in one.rows] == [3, 2, 1], "upwards"
        numbers = [[cell.number for cell in row.cells if cell] for row in one.rows]
        assert numbers == [[a * 4 + b * 2 + at for b in (0, 1)] for a in (2, 1, 0)]


def test_the_longest_parameters_are_shown_unless_others_are_asked_for() -> None:
    maps = heat_maps((C, B, A), every((C, B, A)), None)
    assert maps is not None
    assert (maps.across.name, maps.up.name if maps.up else "") == ("a", "c")
    same = heat_maps((A, B), every((A, B)), None, "a", "a")
    assert same is not None
    assert same.up == B, "a parameter is never against itself"


def test_a_set_that_was_not_run_is_empty_and_not_made_up() -> None:
    maps = heat_maps((A, B), measured({0: 1.0, 5: 2.0}), None, "b", "a")
    assert maps is not None
    cells = [[cell and cell.number for cell in row.cells] for row in maps.maps[0].rows]
    assert cells == [[None, 5], [None, None], [0, None]]


def test_ranks_and_colours_follow_the_order_of_all_sets() -> None:
    axis = Axis("a", tuple(range(18)))
    maps = heat_maps((axis,), measured({number: number**3 - 50.0 for number in range(18)}), None)
    assert maps is not None
    cells = [cell for cell in maps.maps[0].rows[0].cells if cell]
    assert [cell.rank for cell in cells] == list(range(18, 0, -1))
    assert [cell.level for cell in cells] == [number // 2 for number in range(18)], "by rank, not by value"


def test_equal_sets_have_one_rank_and_one_colour() -> None:
    maps = heat_maps((A,), measured({0: 5.0, 1: 5.0, 2: 5.0}), None)
    assert maps is not None
    assert {(cell.rank, cell.level) for cell in maps.maps[0].rows[0].cells if cell} == {(1, 4)}


def test_a_single_parameter_is_one_row_and_none_is_no_map() -> None:
    maps = heat_maps((A,), every((A,)), None)
    assert maps is not None
    assert maps.up is None
    assert [row.value for row in maps.maps[0].rows] == [None]
    assert heat_maps((), measured({}), None) is None


def test_too_many_maps_hold_the_values_of_the_chosen_set() -> None:
    axes = (A, B, Axis("d", tuple(range(5))), Axis("e", tuple(range(4))))
    chosen = 3
    maps = heat_maps(axes, every(axes), chosen, "a", "b")
    assert maps is not None
    held = {one.axis.name: (one.place, one.forced) for one in maps.others}
    assert held == {"d": (0, True), "e": (None, False)}
    assert len(maps.maps) == 4 <= MAPS_MAX
    asked = heat_maps(axes, every(axes), chosen, "a", "b", {"d": 2, "e": 99})
    assert asked is not None
    assert {one.axis.name: one.place for one in asked.others} == {"d": 2, "e": None}, "99 is no place"


def test_a_large_grid_is_thinned_to_measured_cells() -> None:
    axes = (Axis("x", tuple(range(400))), Axis("y", tuple(range(300))), C)
    maps = heat_maps(axes, every(axes), None)
    assert maps is not None
    assert maps.thinned
    shown = [cell for one in maps.maps for row in one.rows for cell in row.cells]
    assert 0 < len(shown) <= CELLS_MAX
    assert all(cell and cell.value == cell.number for cell in shown)
    assert (maps.columns[0], maps.columns[-1]) == (0, 399)


# ---------------------------------------------------------------- costs


def test_costs_are_shares_of_the_gross() -> None:
    bar = cost_bar(Costs(200.0, 50.0, 20.0, -10.0, 120.0, 7))
    assert [(part.kind, part.per_100, part.width) for part in bar.parts] == [
        ("fees", 25.0, 25.0), ("slippage", 10.0, 10.0), ("funding", 5.0, 5.0), ("net", 60.0, 60.0),
    ]  # fmt: skip
    assert (bar.gross_at, bar.taken_per_100) == (100.0, 40.0)
    assert [part.x for part in bar.parts] == [0.0, 25.0, 35.0, 40.0]


def test_costs_beyond_the_gross_pass_its_end() -> None:
    bar = cost_bar(Costs(100.0, 150.0, 50.0, 0.0, -100.0, 7))
    assert bar.gross_at == 50.0
    assert [part.kind for part in bar.parts] == ["fees", "slippage"]
    assert sum(part.width for part in bar.parts) == 100.0
    assert bar.taken_per_100 == 200.0


def test_a_loss_before_costs_has_no_shares() -> None:
    bar = cost_bar(Costs(-60.0, 30.0, 10.0, 5.0, -95.0, 7))
    assert (bar.gross_at, bar.taken_per_100) == (None, None)
    assert [(part.kind, part.width, part.per_100) for part in bar.parts] == [
        ("loss", 60.0, None), ("fees", 30.0, None), ("slippage", 10.0, None),
    ]  # fmt: skip


def test_received_funding_is_no_cost() -> None:
    bar = cost_bar(Costs(100.0, 20.0, 0.0, 30.0, 110.0, 7))
    assert [part.kind for part in bar.parts] == ["fees", "net"]
    assert bar.taken_per_100 == -10.0


def test_no_trades_are_an_empty_bar() -> None:
    assert cost_bar(Costs(0.0, 0.0, 0.0, 0.0, 0.0, 0)).parts == ()


# ---------------------------------------------------------------- curves and dots


def test_the_joined_curve_lies_over_its_folds() -> None:
    concluded = document()
    curve = joined_curve(concluded, 10_000.0)
    assert curve is not None
    assert [band.width for band in curve.bands] == [20.0] * 5
    assert (curve.first_usdt, curve.last_usdt) == (10_000.0, concluded.joined[-1][1])
    xs, ys = zip(*(map(float, point.split(",")) for point in curve.points.split()), strict=True)
    assert (xs[0], xs[-1]) == (0.0, 1_000.0)
    assert all(0.0 <= y <= 1_000.0 for y in ys)
    assert list(xs) == sorted(xs)


def test_a_curve_needs_two_finite_points() -> None:
    concluded = document()
    assert joined_curve(replace(concluded, joined=()), 10_000.0) is None
    assert joined_curve(replace(concluded, joined=((1, 5.0), (2, inf))), 10_000.0) is None


def test_a_level_curve_is_drawn_inside_the_picture() -> None:
    level = replace(document(), joined=((0, 10_000.0), (86_400_000, 10_000.0)), folds=())
    curve = joined_curve(level, 10_000.0)
    assert curve is not None
    assert curve.points == "0.0,500.0 1000.0,500.0"


def test_the_scatter_plot_has_axes_a_line_and_the_chosen_set() -> None:
    plot = scatter([Pair(1, 0.0, 0.0), Pair(2, 1.0, 0.5), Pair(3, -1.0, -0.5)], 2, 0.5)
    assert plot is not None
    assert plot.chosen is not None
    assert plot.chosen.pair.number == 2
    assert (plot.zero_x, plot.zero_y) == (50.0, 50.0)
    assert (plot.positive_inside, plot.positive_both) == (1, 1)
    assert plot.line is not None
    left, right = plot.line[1], plot.line[3]
    assert left > 50.0 > right, "y grows downwards"
    assert left + right == pytest.approx(100.0)


def test_a_scatter_plot_of_one_set_or_none() -> None:
    assert scatter([], None, None) is None
    assert scatter([Pair(1, inf, 0.0)], None, 1.0) is None
    one = scatter([Pair(1, 2.0, 3.0)], 1, None)
    assert one is not None
    assert (one.dots[0].x, one.dots[0].y, one.line) == (50.0, 50.0, None)


def test_every_set_is_in_one_bin_and_zero_is_an_edge() -> None:
    values = {number: number * 7.3 - 512.0 for number in range(211)}
    plot = histogram(measured(values), 200)
    assert plot is not None
    assert sum(one.sets for one in plot.bins) == 211
    assert all(one.low <= 0.0 >= one.high or one.low >= 0.0 for one in plot.bins)
    for one in plot.bins:
        assert one.sets == sum(one.low <= value < one.high for value in values.values())
    assert plot.positive == sum(value > 0.0 for value in values.values())
    assert plot.chosen is not None
    assert plot.chosen.value == values[200]
    assert plot.chosen_rank == 11


@pytest.mark.parametrize("value", [0.0, -3.0, 1e9])
def test_equal_sets_are_one_bin(value: float) -> None:
    plot = histogram(measured(dict.fromkeys(range(5), value)), None)
    assert plot is not None
    assert [one.sets for one in plot.bins] == [5]
    assert plot.chosen is None


def test_no_sets_are_no_distribution() -> None:
    assert histogram(measured({}), None) is None


def test_the_matrix_has_a_row_for_each_training() -> None:
    cells = [MatrixCell(train, test, 3, 1, 5.0, None, 9) for train, test in ((60, 30), (60, 15), (90, 30))]
    tests, rows = matrix_rows(cells)
    assert tests == (15, 30)
    assert [(row.train_ms, [cell and cell.test_ms for cell in row.cells]) for row in rows] == [
        (60, [15, 30]),
        (90, [None, 30]),
    ]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 10.0, (0.0, 2.0, 4.0, 6.0, 8.0, 10.0)),
        (-0.13, 0.21, (-0.1, 0.0, 0.1, 0.2)),
        (9_800.0, 11_300.0, (10_000.0, 10_500.0, 11_000.0)),
        (3.0, 3.0, (3.0,)),
        (0.0, inf, (0.0,)),
        (1e-9, 3e-9, (1e-9, 1.5e-9, 2e-9, 2.5e-9, 3e-9)),
    ],
)
def test_ticks_are_round_numbers(low: float, high: float, expected: tuple[float, ...]) -> None:
    assert ticks(low, high) == expected


def test_an_empty_document_draws_nothing() -> None:
    empty = Document(document().verdict, Costs(0.0, 0.0, 0.0, 0.0, 0.0, 0))
    assert joined_curve(empty, 10_000.0) is None
    assert matrix_rows(empty.matrix) == ((), ())
