"""Positions of numbers in a plot."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from papertape.projections.site.plot_geometry import PlotScale, area, columns, polyline, thin_points
from tests.support import examples

values = st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=50)


def test_a_line_spans_the_width_with_the_highest_value_on_top() -> None:
    assert polyline([1.0, 3.0, 2.0], 100.0, 20.0, pad=0.0) == "0.0,20.0 50.0,0.0 100.0,10.0"
    assert area([1.0, 3.0], 10.0, 4.0, pad=0.0) == "0,4.0 0.0,4.0 10.0,0.0 10.0,4.0"


def test_one_value_and_equal_values_give_a_level_line_and_no_value_gives_none() -> None:
    assert polyline([7.0], 10.0, 10.0) == polyline([7.0, 7.0], 10.0, 10.0) == "0.0,5.0 10.0,5.0"
    assert polyline([], 10.0, 10.0) == area([], 10.0, 10.0) == ""


def test_columns_grow_from_zero_up_and_down() -> None:
    up, down = columns([3.0, -1.0], 20.0, 40.0, gap=0.0)
    assert (up.x, up.y, up.width, up.height) == (0.0, 0.0, 10.0, 30.0)
    assert (down.x, down.y, down.width, down.height) == (10.0, 30.0, 10.0, 10.0)


@examples(100)
@given(values)
def test_nothing_is_drawn_outside_the_box(given_values: list[float]) -> None:
    for pair in polyline(given_values, 60.0, 20.0).split():
        x, y = map(float, pair.split(","))
        assert 0.0 <= x <= 60.0 and 0.0 <= y <= 20.0
    for box in columns(given_values, 300.0, 50.0):
        assert box.y >= 0.0 and box.y + box.height <= 50.02 and 0.0 <= box.x <= 300.0


def test_a_scale_clamps_values_to_its_ends() -> None:
    scale = PlotScale(0.0, 10.0, 200.0)
    assert [scale.at(value) for value in (-5.0, 0.0, 2.5, 10.0, 99.0)] == [0.0, 0.0, 50.0, 200.0, 200.0]
    assert PlotScale(3.0, 3.0, 200.0).at(3.0) == 100.0


@examples(100)
@given(st.lists(st.integers(), max_size=300), st.integers(2, 50))
def test_a_thinned_curve_keeps_its_ends_and_its_order(points: list[int], most: int) -> None:
    numbered = list(enumerate(points))
    thinned = thin_points(numbered, most)
    assert len(thinned) == min(len(numbered), most)
    assert list(thinned) == sorted(set(thinned))
    if numbered:
        assert (thinned[0], thinned[-1]) == (numbered[0], numbered[-1])
