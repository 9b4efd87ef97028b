"""A strategy that answers what the volume of a candle dictates: every kind of order, at distances from the close.

The digits of the volume choose from the menus of `tests.oracle.orders.dictation`, which answers the same to the oracle.
"""

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

NAME = "dictated"
SERIES = ("1m",)
UNITS_MAX = 5
EXIT_REASONS = ("told",)
DICTATED = 1e12
DISTANCES = (0.0, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.008, 0.012, 0.02, -0.001)
STOPS = (0.002, 0.004, 0.006, 0.01, 0.02, 0.003, 0.005, 0.01, 0.02, 0.3)
SIZES = (1.0, 0.5, 2.0, 0.01)


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    """None: the volume says it all."""


class Reading(Struct):
    """What was dictated."""

    volume: float = 0.0


def enter(view, params, answer) -> int:  # type: ignore[no-untyped-def]  # noqa: ANN001
    """Long for an even last digit, short for an odd one; none where it says leave."""
    return entry(view.candle.volume, view.candle.close, answer)


def leave(view, params, answer) -> int:  # type: ignore[no-untyped-def]  # noqa: ANN001
    """Out where the last digit is 3."""
    return departure(view.candle.volume)


def manage(view, params, answer) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    """Whatever the digits say of stop, targets, adds, trailing and a reduction."""
    change(view.candle.volume, view.candle.close, view.position.side, answer)


def digit(volume: float, power: float) -> int:
    """Return the digit of a volume that stands for so many."""
    return int(volume / power) % 10


def entry(volume: float, close: float, answer: Answer) -> int:
    """Answer an entry, if one is dictated."""
    last = digit(volume, 1.0)
    if volume < DICTATED or last == 3:
        return 0
    side = 1 if last % 2 == 0 else -1
    kind, distance, life = digit(volume, 1e1), DISTANCES[digit(volume, 1e2)], digit(volume, 1e8)
    price = close
    if kind >= 7:
        price = close * (1.0 + side * distance)
        enter_stop(answer, price, 1 + life // 3)
    elif kind >= 3:
        price = close * (1.0 - side * distance)
        enter_limit(answer, price, 1 + life // 3)
    stop = digit(volume, 1e3)
    if stop < 5:
        answer.stop_fraction = STOPS[stop]
    else:
        answer.stop_price_usdt = price * (1.0 - side * STOPS[stop])
    entry_targets(volume, price, side, answer)
    entry_adds(volume, price, side, life - 4 if life >= 5 else 0, answer)
    if digit(volume, 1e9) >= 4:
        trail_by(digit(volume, 1e9), answer)
    size = digit(volume, 1e10)
    if size in (6, 8):
        answer.size_usdt = 2_000.0
    if size in (7, 8):
        answer.risk_percent = 0.5
    if size == 9:
        answer.size_usdt = 4.0
    return side


def departure(volume: float) -> int:
    """Answer the reason to leave, if it is dictated."""
    return FIRST_EXIT_REASON if volume >= DICTATED and digit(volume, 1.0) == 3 else NO_REASON


def part(targets: int, rung: int) -> float:
    """Return the part of a rung of a ladder, 0 behind its end."""
    if targets in (1, 0):
        return 1.0 if rung == 0 else 0.0
    if targets == 2:
        return 0.5 if rung < 2 else 0.0
    if targets == 3:
        return 0.3 if rung < 3 else 0.0
    if targets == 4:
        return 0.25
    if targets == 5:
        return (0.5, 0.6, 0.0, 0.0)[rung]
    if targets == 6:
        return (0.0004, 0.5, 0.0, 0.0)[rung]
    return (0.4, 0.4, 0.2, 0.0)[rung]


def entry_targets(volume: float, price: float, side: int, answer: Answer) -> None:
    """Name the targets of an entry, by fractions or by prices."""
    targets, step = digit(volume, 1e4), 0.001 * (1 + digit(volume, 1e5))
    if targets in (1, 2, 4, 7):
        for rung in range(4):
            if part(targets, rung) > 0.0:
                add_target_fraction(answer, step * (rung + 1), part(targets, rung))
    elif targets in (3, 5, 6):
        price_targets(targets, price, side * step, answer)
    elif targets == 8:
        add_target(answer, price * (1.0 + side * step), 0.5)
        add_target(answer, price * (1.0 + side * step), 0.5)


def price_targets(targets: int, price: float, step: float, answer: Answer) -> None:
    """Name targets by prices."""
    for rung in range(4):
        if part(targets, rung) > 0.0:
            add_target(answer, price * (1.0 + step * (rung + 1)), part(targets, rung))


def entry_adds(volume: float, price: float, side: int, expires: int, answer: Answer) -> None:
    """Name the adds of an entry; now and then a ladder that is none."""
    adds, step = digit(volume, 1e6), side * (0.0005 * (1 + digit(volume, 1e7)))
    if adds == 4:
        add_limit(answer, price * (1.0 - step), SIZES[0], expires)
    elif adds == 5:
        add_limit(answer, price * (1.0 - step), SIZES[1], expires)
        add_limit(answer, price * (1.0 - step * 2), SIZES[0], expires)
    elif adds == 6:
        add_stop(answer, price * (1.0 + step), SIZES[1], expires)
        add_stop(answer, price * (1.0 + step * 3), SIZES[0], expires)
    elif adds == 7:
        add_limit(answer, price * (1.0 - step), SIZES[0], expires)
        add_stop(answer, price * (1.0 + step * 2), SIZES[1], expires)
    elif adds == 8:
        for rung in range(4):
            add_limit(answer, price * (1.0 - step * (rung + 1)), SIZES[1] if rung % 2 == 0 else SIZES[3], expires)
    elif adds == 9:
        add_limit(answer, price * (1.0 - step * 2), SIZES[0], expires)
        add_limit(answer, price * (1.0 - step), SIZES[2], expires)


def trail_by(number: int, answer: Answer) -> None:
    """Name trailing and break-even in every combination."""
    if number == 4:
        trail(answer, 0.004, 0.0, 0.0)
    elif number == 5:
        trail(answer, 0.003, 0.004, 0.0)
    elif number == 6:
        trail(answer, 0.0, 0.0, 0.003)
    elif number == 7:
        trail(answer, 0.005, 0.006, 0.004)
    elif number == 8:
        trail(answer, 0.02, 0.0, 0.002)
    else:
        trail(answer, 0.002, 0.0, 0.001)


def change(volume: float, close: float, side: int, answer: Answer) -> None:
    """Answer a change, if one is dictated."""
    if volume < DICTATED:
        return
    if digit(volume, 1e1) >= 6:
        move_stop(answer, close * (1.0 - side * DISTANCES[digit(volume, 1e2)]))
    targets = digit(volume, 1e4)
    if targets == 8:
        drop_targets(answer)
    elif 3 <= targets <= 7:
        price_targets(targets, close, side * (0.001 * (1 + digit(volume, 1e5))), answer)
    life = digit(volume, 1e8)
    change_adds(volume, close, side, life - 4 if life >= 5 else 0, answer)
    trailing = digit(volume, 1e9)
    if trailing >= 6:
        trail_by(trailing, answer)
    elif trailing == 5:
        trail(answer, 0.0, 0.0, 0.0)
    reduction = digit(volume, 1e10)
    if reduction == 7:
        reduce_position(answer, 0.5)
    elif reduction == 8:
        reduce_position(answer, 1.0)
    elif reduction == 9:
        reduce_position(answer, 0.0001)


def change_adds(volume: float, close: float, side: int, expires: int, answer: Answer) -> None:
    """Name the adds of a change: an empty list, a market order, limits and stops."""
    adds, step = digit(volume, 1e6), side * (0.0005 * (1 + digit(volume, 1e7)))
    if adds == 4:
        drop_adds(answer)
    elif adds == 5:
        add_market(answer, 0.5)
    elif adds == 6:
        add_market(answer, 1.0)
        add_limit(answer, close * (1.0 - step), SIZES[1], expires)
    elif adds == 7:
        add_limit(answer, close * (1.0 - step), SIZES[0], expires)
        add_limit(answer, close * (1.0 - step * 2), SIZES[1], expires)
    elif adds == 8:
        add_stop(answer, close * (1.0 + step), SIZES[1], expires)
        add_limit(answer, close * (1.0 - step), SIZES[0], expires)
    elif adds == 9:
        add_limit(answer, close * (1.0 - step), SIZES[0], expires)
        add_market(answer, 0.5)
