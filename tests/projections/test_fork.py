"""A fork has the state of its fold, and neither changes the other afterwards."""

from __future__ import annotations

from array import array
from collections import deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from papertape.projections.folds.trades import Trades
from papertape.projections.host import fold
from papertape.projections.persistence.fork import fork
from papertape.projections.site.views import Views
from tests.alerts.example_day import A_DAY, BOTH_OPEN, MOVED, market
from tests.alerts.random_log import EVENTS_MAX, lengths, random_log, seeds
from tests.build import closed, configured, recorded
from tests.projections.portrait import portrait
from tests.support import examples

STORY = [*market(), *BOTH_OPEN, *MOVED, *A_DAY]


def shown(views: Views) -> tuple[Any, ...]:
    """Return what people see of the views."""
    days = [*views.days.finished_days(), *([views.days.today] if views.days.today is not None else [])]
    return (
        views.portfolio.view(),
        views.arena.rows(),
        [views.arena.performance(name) for name in views.strategies],
        views.trades.closed(),
        [views.days.view(day) for day in days],
        list(views.recent),
    )


@pytest.mark.system
@given(seed=seeds, length=lengths, share=st.floats(0.0, 1.0), later=st.integers(0, EVENTS_MAX))
@examples(150)
def test_a_fork_and_its_fold_continue_independently(seed: int, length: int, share: float, later: int) -> None:
    """The oracle folds the log from its beginning."""
    log = random_log(seed, length)
    at = round(share * len(log))
    views, oracle = Views({"momentum": 60_000}), Views({"momentum": 60_000})
    fold([views, oracle], log[:at])
    twin = fork(views)
    assert portrait(twin) == portrait(views) == portrait(oracle)
    fold([views], log[at:])
    assert portrait(twin) == portrait(oracle), "folding the one changed the other"
    moved = portrait(views)
    fold([twin], log[at : at + later])
    assert portrait(views) == moved, "folding the fork changed the fold"
    fold([twin], log[at + later :])
    fold([oracle], log[at:])
    assert portrait(twin) == portrait(views) == portrait(oracle)
    assert shown(twin) == shown(views)


def test_reading_a_fork_does_not_change_its_fold() -> None:
    views = Views()
    fold([views], recorded(STORY))
    before = portrait(views)
    twin = fork(views)
    shown(twin)
    assert portrait(views) == before
    assert shown(twin) == shown(views)


def test_objects_shared_inside_a_fold_are_shared_inside_its_fork() -> None:
    views = Views()
    fold([views], recorded(STORY))
    twin = fork(views)
    assert twin.days._portfolio is twin.arena._portfolio is twin.portfolio is not views.portfolio
    assert twin.days._trades is twin.arena._trades is twin.trades is not views.trades
    equity = twin.portfolio.equity
    for state in equity._equities.values():
        assert state.account is equity.ledger.accounts[state.account.strategy]
        assert all(state in equity._of_symbol[symbol] for symbol in state.symbols)


def test_closed_trades_are_shared_but_not_their_container() -> None:
    trades = Trades()
    fold([trades], recorded([configured(), *[closed(float(number)) for number in range(50)]]))
    twin = fork(trades)
    assert all(one is other for one, other in zip(twin.closed(), trades.closed(), strict=True))
    fold([trades], recorded([closed(1.0)], first_seq=52))
    assert (len(twin.closed()), len(trades.closed())) == (50, 51)


class Point(Struct):
    x: int
    parts: list[int]


class Fixed(Struct, frozen=True):
    x: int


class Holder:
    def __init__(self, held: object) -> None:
        self.held = held


@pytest.mark.parametrize(
    "held",
    [
        [[1], [2]],
        {"a": [1], ("b", 2): {"c": {3}}},
        deque([[1], [2]], maxlen=2),
        ({"a": 1}, Fixed(1)),
        [Point(1, [2]), Point(3, [4])],
        Point(1, [2]),
    ],
)
def test_mutable_values_are_copied_at_any_depth(held: object) -> None:
    holder = Holder(held)
    twin = fork(holder)
    assert portrait(twin) == portrait(holder)
    ours, theirs = _changing(holder), _changing(twin)
    assert ours and theirs and not ours & theirs


def _changing(value: Any) -> set[int]:
    """Return the identities of all mutable objects in a tree."""
    if isinstance(value, tuple):
        return set().union(*map(_changing, value))
    if isinstance(value, str | int | Fixed):
        return set()
    parts = value.values() if isinstance(value, dict) else value
    if isinstance(value, Point | Holder):
        parts = [getattr(value, name) for name in ("x", "parts", "held") if hasattr(value, name)]
    return {id(value)}.union(*map(_changing, parts))


def test_immutable_values_are_shared() -> None:
    held = (1, "a", Fixed(2), (3.0, None))
    assert fork(Holder(held)).held is held


def test_a_deque_keeps_its_limit() -> None:
    twin = fork(deque([[1]], maxlen=3))
    twin.extend([[2], [3], [4]])
    assert list(twin) == [[2], [3], [4]]


@pytest.mark.parametrize("shared", [[1], {"a": 1}, {2}, deque([3]), Point(1, []), ([4],), array("d", [5.0])])
def test_a_value_referenced_twice_is_copied_once(shared: object) -> None:
    twin = fork(Holder([shared, {"again": shared}]))
    first, second = twin.held[0], twin.held[1]["again"]  # type: ignore[index]
    assert first is second is not shared


def test_a_cycle_is_copied_as_a_cycle() -> None:
    first, second = Holder(None), Holder(None)
    first.held, second.held = second, first
    twin = fork(first)
    assert twin.held.held is twin  # type: ignore[attr-defined]
    assert twin.held is not second


class Slotted:
    __slots__ = ("x",)


@pytest.mark.parametrize(
    "held", [lambda: None, iter([]), Slotted(), bytearray(b"x"), {Holder(1): 2}, {Holder(1)}, [].append]
)
def test_unknown_types_are_refused(held: object) -> None:
    with pytest.raises(TypeError, match="a fold"):
        fork(Holder(held))
