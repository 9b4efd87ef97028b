"""The parameter grammar, and the numbering of the sets that it describes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from papertape.events.errors import UsageError
from papertape.studies.grid_values import grid_values
from papertape.studies.ranges import range_of
from papertape.studies.space import Space, SpaceRequest, build_space, space_of
from tests.support import STRATEGIES, examples

MOMENTUM = STRATEGIES["momentum"]
SL, LOOKBACK = range_of(MOMENTUM, "sl_percent"), range_of(MOMENTUM, "breakout_lookback")


def space(*vary: str, **rest: object) -> Space:
    return build_space(SpaceRequest(vary, **rest), MOMENTUM, {})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("0.2:1.2:0.1", (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2)),
        ("0.1:0.35:0.1", (0.1, 0.2, 0.3)),
        ("2,1.5,3,2", (1.5, 2.0, 3.0)),
        ("0.1:10~3", (0.1, 1.0, 10.0)),
        ("1,2:3:0.5", (1.0, 2.0, 2.5, 3.0)),
        ("*", (5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 35.0, 40.0, 45.0, 50.0)),
    ],
)
def test_values_of_a_fraction_have_no_drift(text: str, values: tuple[float, ...]) -> None:
    assert grid_values(text, SL) == values


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("10:30:10", (10, 20, 30)),
        ("1:10~10", (1, 2, 3, 4, 5, 6, 8, 10)),
        ("2e1", (20,)),
        ("3:1000~4", (3, 21, 144, 1000)),
    ],
)
def test_values_of_a_whole_number_are_rounded_once(text: str, values: tuple[int, ...]) -> None:
    found = grid_values(text, LOOKBACK)
    assert found == values
    assert {type(value) for value in found} == {int}


@pytest.mark.parametrize(
    ("vary", "words"),
    [
        (
            "sl_percent=0.2:90:0.1",
            "--vary sl_percent=0.2:90:0.1: 50.1 is outside the range of sl_percent: above 0 to 50 %",
        ),
        ("sl_percent=0:1:0.1", "0 is outside the range of sl_percent: above 0 to 50 %"),
        ("sl_percnt=1", "there is no momentum parameter 'sl_percnt'; did you mean sl_percent"),
        ("breakout_lookback=1.5,2", "1.5 is no whole number; breakout_lookback accepts 1 to 2048 candles"),
        ("sl_percent=1:0.5:0.1", "ends before it begins"),
        ("sl_percent=1:2:0", "the step 0 must be above 0"),
        ("sl_percent=1:2", "'1:2' has no step"),
        ("sl_percent=1:2:1e-7", "more than 10,000 values"),
        ("sl_percent=0:2~5", "a geometric range needs 0 < FIRST < LAST"),
        ("sl_percent=1:2~x", "the count must be a whole number"),
        ("sl_percent=high", "'high' is no number"),
        ("sl_percent=nan", "'nan' is no usable number"),
        ("sl_percent", "write NAME=FIRST:LAST:STEP"),
    ],
)
def test_an_unusable_range_is_refused_with_flag_range_and_nearest_name(vary: str, words: str) -> None:
    with pytest.raises(UsageError) as refused:
        space(vary)
    assert words in str(refused.value)
    assert str(refused.value).startswith(f"--vary {vary}")


def test_a_parameter_varied_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="sl_percent is varied twice"):
        space("sl_percent=1,2", "sl_percent=3")


def test_nothing_to_vary_is_refused_with_the_names() -> None:
    with pytest.raises(UsageError, match=r"nothing varies.*breakout_lookback"):
        space()


@pytest.mark.parametrize(
    ("link", "words"),
    [
        ("sl_percent = 2 * tp_percent", "sl_percent is varied by --vary"),
        ("tp_percent = 60 * sl_percent", "60 is outside the range of tp_percent: above 0 to 50 % (at sl_percent = 1)"),
        ("tp_percent = sl_percent - 1", "0 is outside the range"),
        ("tp_percent = 1 / (2 - sl_percent)", "divides by 0 at sl_percent = 2"),
        ("breakout_lookback = sl_percent / 2", "0.5 is no whole number"),
        ("tp = 2 * sl_percent", "there is no momentum parameter 'tp'"),
        ("tp_percent = 2 * sl", "there is no momentum parameter 'sl'"),
        ("tp_percent = tp_percent + 1", "cannot follow itself"),
        ("tp_percent = sl_percent > 1", "a link needs a number"),
        ("tp_percent == sl_percent", "is no link"),
        ("tp_percent = sl_percent ** 2", "is not allowed"),
        ("tp_percent = abs(sl_percent)", "is not allowed"),
        ("tp_percent = __import__('os').getpid()", "is not allowed"),
        ("tp_percent = 2 *", "is no expression"),
        ("tp_percent = 1e999", "is not allowed"),
        ("tp_percent = 1e300 * 1e300", "too large"),
    ],
)
def test_an_unusable_link_is_refused_by_name(link: str, words: str) -> None:
    with pytest.raises(UsageError) as refused:
        space("sl_percent=1,2", links=(link,))
    assert words in str(refused.value)
    assert "--link" in str(refused.value)


def test_two_links_of_one_parameter_are_refused() -> None:
    with pytest.raises(UsageError, match="tp_percent is linked twice"):
        space("sl_percent=1,2", links=("tp_percent = sl_percent", "tp_percent = 2 * sl_percent"))


def test_a_link_may_follow_an_earlier_link_and_a_parameter_that_stays() -> None:
    found = space(
        "sl_percent=0.1,0.2",
        links=("tp_percent = 3 * sl_percent", "atr_multiplier_tp = tp_percent + atr_multiplier_sl"),
    )
    assert found.values(0) == {"sl_percent": 0.1, "tp_percent": 0.3, "atr_multiplier_tp": 1.3}
    with pytest.raises(UsageError, match="write that one first"):
        space("sl_percent=0.1,0.2", links=("atr_multiplier_tp = tp_percent", "tp_percent = 3 * sl_percent"))


def test_no_set_that_meets_the_conditions_is_refused() -> None:
    with pytest.raises(UsageError, match=r"no set is left: none of the 2 sets.*--where 'sl_percent > 3'"):
        space("sl_percent=1,2", conditions=("sl_percent > 3",))
    with pytest.raises(UsageError, match="is no condition"):
        space("sl_percent=1,2", conditions=("sl_percent + 3",))


def test_conditions_read_varied_linked_and_other_parameters() -> None:
    found = space(
        "sl_percent=1,2,3",
        "atr_multiplier_sl=1,2",
        links=("tp_percent = 2 * sl_percent",),
        conditions=("tp_percent >= 4 and not sl_percent == 3", "atr_multiplier_tp > atr_multiplier_sl"),
    )
    assert [found.values(number) for number in found.numbers()] == [
        {"sl_percent": 2.0, "atr_multiplier_sl": 1.0, "tp_percent": 4.0}
    ]


def test_a_large_grid_needs_a_draw() -> None:
    axes = ("sl_percent=0.1:50:0.01", "tp_percent=0.1:50:0.01")
    with pytest.raises(UsageError, match=r"24,910,081|24,.* sets, at most 1,000,000 .*--draw"):
        space(*axes)
    drawn = space(*axes, draw=1_000, seed=7)
    assert len(drawn.numbers()) == 1_000
    assert len({number // len(drawn.axes[1].values) for number in drawn.numbers()}) > 900


def test_a_draw_follows_the_seed_and_meets_the_conditions() -> None:
    axes, where = ("sl_percent=1:20:1", "tp_percent=1:20:1"), ("tp_percent > sl_percent",)
    first, again, other = (space(*axes, conditions=where, draw=40, seed=seed).numbers() for seed in (7, 7, 8))
    assert first == again != other
    assert len(first) == 40
    every = space(*axes, conditions=where)
    assert set(first) < set(every.numbers())
    assert space(*axes, conditions=where, draw=5_000).numbers() == every.numbers()
    assert space(*axes, conditions=where, draw=190).numbers() == every.numbers()


def test_a_draw_spreads_evenly_over_each_parameter() -> None:
    found = space("sl_percent=1:10:1", "tp_percent=1:10:1", "breakout_lookback=1:10:1", draw=100, seed=3)
    for axis in found.axes:
        counts = [sum(found.values(number)[axis.name] == value for number in found.numbers()) for value in axis.values]
        assert max(counts) - min(counts) <= 6


@pytest.mark.parametrize("draw", [None, 3])
def test_neighbours_are_one_step_away_and_meet_the_conditions(draw: int | None) -> None:
    found = space("sl_percent=1,2,3", "tp_percent=1,2,3", conditions=("tp_percent <= sl_percent",))
    (corner,) = [number for number in found.numbers() if found.values(number) == {"sl_percent": 2.0, "tp_percent": 1.0}]
    found = replace(found, draw=draw)
    assert [found.values(number) for number in found.neighbours(corner)] == [
        {"sl_percent": 1.0, "tp_percent": 1.0},
        {"sl_percent": 2.0, "tp_percent": 2.0},
        {"sl_percent": 3.0, "tp_percent": 1.0},
    ]


@examples(40)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=3), st.data())
def test_a_number_is_the_place_in_the_grid_with_the_last_parameter_fastest(
    sizes: list[int], data: st.DataObject
) -> None:
    names = ("sl_percent", "tp_percent", "breakout_lookback")
    found = space(*(f"{name}=1:{size}:1" for name, size in zip(names, sizes, strict=False)))
    number = data.draw(st.integers(0, found.grid - 1))
    places = [int(found.values(number)[axis.name]) - 1 for axis in found.axes]
    total = 0
    for place, size in zip(places, sizes, strict=True):
        total = total * size + place
    assert total == number


def test_the_plan_s_view_gives_the_space_back() -> None:
    found = space(
        "sl_percent=1,2,3",
        links=("breakout_lookback = 10 * sl_percent", "tp_percent = sl_percent * atr_multiplier_tp"),
        conditions=("sl_percent < 3",),
        draw=2,
        seed=5,
    )
    assert space_of(found.view(), MOMENTUM, {}) == found
    assert found.view().sets == 2
    assert isinstance(found.values(0)["breakout_lookback"], int)
