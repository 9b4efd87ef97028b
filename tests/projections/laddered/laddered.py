"""A strategy that trades in parts as the volume of a candle tells it: every kind of order, add, target and stop."""
# ruff: noqa: ARG001 - a hook has its whole signature, whether it needs it or not.

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from papertape.engine.kernel.answers import (
    add_limit,
    add_market,
    add_stop,
    add_target,
    add_target_fraction,
    drop_adds,
    drop_targets,
    enter_limit,
    enter_stop,
    move_stop,
    reduce_position,
    trail,
)
from papertape.engine.kernel.codes import FIRST_EXIT_REASON, NO_REASON

if TYPE_CHECKING:
    from papertape.engine.kernel.answers import Answer
    from papertape.engine.kernel.view import View

NAME = "laddered"
SERIES = ("1m",)
UNITS_MAX = 17
EXIT_REASONS = ("told",)
LEAVE = 9
STEP = 0.004
"""The distance between two prices of a ladder, as a fraction."""


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    """None: the volume says everything."""


class Reading(Struct):
    """The volume."""

    volume: float = 0.0


def enter(view: View, params: Parameters, answer: Answer) -> int:
    """Enter on the side, by the order and with the ladders that the digits name."""
    return plan_entry(int(view.candle.volume), view.candle.close, answer)


def leave(view: View, params: Parameters, answer: Answer) -> int:
    """Leave when told so."""
    return FIRST_EXIT_REASON if int(view.candle.volume) % 10 == LEAVE else NO_REASON


def manage(view: View, params: Parameters, answer: Answer) -> None:
    """Change what the digits name."""
    plan_change(int(view.candle.volume), view.candle.close, view.position.side, answer)


def plan_entry(told: int, close: float, answer: Answer) -> int:
    """Answer an entry: digits of side, order, targets, adds and trailing, the last one first."""
    side, kind = (1 if told % 2 == 0 else -1), told // 10 % 5
    price = close
    if kind == 1 or kind == 2:  # noqa: PLR1714 - compiled code knows no `in`
        price = close * (1.0 - side * STEP / 4.0)
        enter_limit(answer, price, 1 + told // 100_000 % 3)
    elif kind == 3:
        price = close * (1.0 + side * STEP / 4.0)
        enter_stop(answer, price, 2)
    answer.stop_fraction = 5.0 * STEP
    for rung in range(told // 100 % 4):
        add_target_fraction(answer, (rung + 1) * STEP, 0.3)
    for rung in range(told // 1_000 % 3):
        if told // 1_000 % 10 < 5:
            add_limit(answer, price * (1.0 - side * (rung + 1) * STEP), 1.0, rung * 10)
        else:
            add_stop(answer, price * (1.0 + side * (rung + 1) * STEP * 0.6), 0.5)
    trailing = told // 10_000 % 4
    if trailing > 0:
        trail(answer, trailing * STEP, (trailing - 1) * STEP, STEP if trailing == 3 else 0.0)
    return side


def plan_change(told: int, close: float, side: int, answer: Answer) -> None:
    """Answer a change, of one thing at a time."""
    what = told // 100 % 9
    if what == 1:
        move_stop(answer, close * (1.0 - side * 2.0 * STEP))
    elif what == 2:
        drop_targets(answer)
        add_target(answer, close * (1.0 + side * 2.0 * STEP), 0.5)
        add_target(answer, close * (1.0 + side * 3.0 * STEP), 0.5)
    elif what == 3:
        reduce_position(answer, 0.4)
    elif what == 4:
        drop_adds(answer)
        add_market(answer, 0.5)
        add_limit(answer, close * (1.0 - side * STEP), 0.5, 5)
    elif what == 5:
        trail(answer, 2.0 * STEP, 0.0, STEP)
    elif what == 6:
        drop_targets(answer)
