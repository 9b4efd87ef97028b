"""A strategy that answers what the volume of a candle dictates: every kind of order, at distances from the close.

The digits of the volume choose from the menus of `tests.oracle.orders.dictation`, which answers the same to the oracle.
"""
# ruff: noqa: PLR1714 - a strategy compares with `==` and `or`.

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct

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

NAME = "dictated"
SERIES = ("1m",)
UNITS_MAX = 5
EXIT_REASONS = ("told",)
DICTATED = 1e12
DISTANCES = (0.0, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.008, 0.012, 0.02, -0.001)
STOPS = (0.002, 0.004, 0.006, 0.01, 0.02, 0.003, 0.005, 0.01, 0.02, 0.3)
SIZES = (1.0, 0.5, 2.0, 0.01)
INFINITY = 1e308 * 10.0
NAN = INFINITY - INFINITY


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    """Whether a distance of 0.01 is 1 USDT rather than 1 %, and everything a price: the mirror of the other side."""

    absolute: Annotated[int, Meta(ge=0, le=1, description="absolute distances", extra={"unit": ""})] = 0


class Reading(Struct):
    """What was dictated."""

    volume: float = 0.0


def enter(view: View, params: Parameters, answer: Answer) -> int:
    """Long for an even last digit, short for an odd one; none where it says leave."""
    answer.reading.volume = view.candle.volume
    return entry(view.candle.volume, view.candle.close, params.absolute, answer)


def leave(view: View, params: Parameters, answer: Answer) -> int:
    """Out where the last digit is 3 or 8."""
    answer.reading.volume = view.candle.volume
    return departure(view.candle.volume)


def manage(view: View, params: Parameters, answer: Answer) -> None:
    """Whatever the digits say of stop, targets, adds, trailing and a reduction."""
    answer.reading.volume = view.candle.volume
    change(view.candle.volume, view.candle.close, view.position.side, params.absolute, answer)


def digit(volume: float, power: float) -> int:
    """Return the digit of a volume that stands for so many."""
    return int(volume / power) % 10


def away(price: float, fraction: float, absolute: int) -> float:
    """Return a price so far above another one."""
    return price + 100.0 * fraction if absolute == 1 else price * (1.0 + fraction)


def departure(volume: float) -> int:
    """Answer the reason to leave, if it is dictated."""
    return FIRST_EXIT_REASON if volume >= DICTATED and digit(volume, 1.0) % 5 == 3 else NO_REASON


# ---------------------------------------------------------------- an entry


def entry(volume: float, close: float, absolute: int, answer: Answer) -> int:
    """Answer an entry, if one is dictated."""
    last = digit(volume, 1.0)
    if volume < DICTATED or last % 5 == 3:
        return 0
    side = 1 if last % 2 == 0 else -1
    kind, distance, life = digit(volume, 1e1), DISTANCES[digit(volume, 1e2)], digit(volume, 1e8)
    price = close
    if kind >= 7:
        price = away(close, side * distance, absolute)
        enter_stop(answer, price, 1 + life // 3)
    elif kind >= 3:
        price = away(close, -side * distance, absolute)
        enter_limit(answer, price, 1 + life // 3)
    stop = digit(volume, 1e3)
    if stop < 5 and absolute == 0:
        answer.stop_fraction = STOPS[stop]
    else:
        answer.stop_price_usdt = away(price, -side * STOPS[stop], absolute)
    entry_targets(volume, price, side, absolute, answer)
    entry_adds(volume, price, side, absolute, answer)
    if digit(volume, 1e9) >= 4 and absolute == 0:
        trail_by(digit(volume, 1e9), answer)
    own_size(digit(volume, 1e10), answer)
    if digit(volume, 1e10) == 5:
        entry_fault(digit(volume, 1e7), price, side, absolute, answer)
    return side


def own_size(size: int, answer: Answer) -> None:
    """Name an own size, in USDT or by risk; the last one is too small."""
    if size == 6 or size == 8:
        answer.size_usdt = 2_000.0
    if size == 7 or size == 8:
        answer.risk_percent = 0.5
    if size == 9:
        answer.size_usdt = 4.0


def part(targets: int, rung: int) -> float:
    """Return the part of a rung of a ladder, 0 behind its end."""
    if targets == 1:
        return 1.0 if rung == 0 else 0.0
    if targets == 2:
        return 0.5 if rung < 2 else 0.0
    if targets == 3:
        return 0.3 if rung < 3 else 0.0
    if targets == 4:
        return 0.25
    if targets == 5:
        return 0.6 if rung == 0 else 0.0
    if targets == 6:
        return (0.0004, 0.5, 0.0, 0.0)[rung]
    return (0.4, 0.4, 0.2, 0.0)[rung]


def entry_targets(volume: float, price: float, side: int, absolute: int, answer: Answer) -> None:
    """Name the targets of an entry, by fractions or by prices."""
    targets, step = digit(volume, 1e4), 0.001 * (1 + digit(volume, 1e5))
    if (targets == 1 or targets == 2 or targets == 4 or targets == 7) and absolute == 0:
        for rung in range(4):
            if part(targets, rung) > 0.0:
                add_target_fraction(answer, step * (rung + 1), part(targets, rung))
    elif 1 <= targets <= 7:
        price_targets(targets, price, side * step, absolute, answer)
    elif targets == 8:
        add_target(answer, away(price, side * step, absolute), 0.5)
        add_target(answer, away(price, side * step, absolute), 0.5)
    elif targets == 9 and absolute == 0:
        add_target_fraction(answer, step, 0.5)
        add_target_fraction(answer, step + 0.00001, 0.5)


def price_targets(targets: int, price: float, step: float, absolute: int, answer: Answer) -> None:
    """Name targets by prices."""
    for rung in range(4):
        if part(targets, rung) > 0.0:
            add_target(answer, away(price, step * (rung + 1), absolute), part(targets, rung))


def entry_adds(volume: float, price: float, side: int, absolute: int, answer: Answer) -> None:
    """Name the adds of an entry; now and then a ladder that is none."""
    adds, step, life = digit(volume, 1e6), side * (0.0002 * (1 + digit(volume, 1e7))), digit(volume, 1e8)
    expires = life - 4 if life >= 5 else 0
    if adds == 4:
        add_limit(answer, away(price, -step, absolute), SIZES[0], expires)
    elif adds == 5:
        add_limit(answer, away(price, -step, absolute), SIZES[1], expires)
        add_limit(answer, away(price, -step * 2, absolute), SIZES[0], expires)
    elif adds == 6:
        add_stop(answer, away(price, step, absolute), SIZES[2], expires)
        add_stop(answer, away(price, step * 3, absolute), SIZES[2], expires)
    elif adds == 7:
        add_limit(answer, away(price, -step, absolute), SIZES[0], expires)
        add_stop(answer, away(price, step * 2, absolute), SIZES[1], expires)
    elif adds == 8:
        for rung in range(4):
            size = SIZES[1] if rung % 2 == 0 else SIZES[3]
            add_limit(answer, away(price, -step * (rung + 1), absolute), size, expires)
    elif adds == 9:
        add_limit(answer, away(price, -step * 2, absolute), SIZES[0], expires)
        add_limit(answer, away(price, -step, absolute), SIZES[2], expires)


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


# ---------------------------------------------------------------- a change


def change(volume: float, close: float, side: int, absolute: int, answer: Answer) -> None:
    """Answer a change, if one is dictated."""
    if volume < DICTATED:
        return
    if digit(volume, 1e1) >= 6:
        move_stop(answer, away(close, -side * DISTANCES[digit(volume, 1e2)], absolute))
    targets = digit(volume, 1e4)
    if targets == 8:
        drop_targets(answer)
    elif 3 <= targets <= 7:
        price_targets(targets, close, side * (0.001 * (1 + digit(volume, 1e5))), absolute, answer)
    change_adds(volume, close, side, absolute, answer)
    trailing = digit(volume, 1e9)
    if trailing >= 6 and absolute == 0:
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
    elif reduction == 5:
        change_fault(digit(volume, 1e7), close, side, absolute, answer)


def change_adds(volume: float, close: float, side: int, absolute: int, answer: Answer) -> None:
    """Name the adds of a change: an empty list, a market order, limits and stops."""
    adds, step, life = digit(volume, 1e6), side * (0.0002 * (1 + digit(volume, 1e7))), digit(volume, 1e8)
    expires = life - 4 if life >= 5 else 0
    if adds == 4:
        drop_adds(answer)
    elif adds == 5:
        add_market(answer, 0.5)
    elif adds == 6:
        add_market(answer, 1.0)
        add_limit(answer, away(close, -step, absolute), SIZES[1], expires)
    elif adds == 7:
        add_limit(answer, away(close, -step, absolute), SIZES[0], expires)
        add_limit(answer, away(close, -step * 2, absolute), SIZES[1], expires)
    elif adds == 8:
        add_stop(answer, away(close, step, absolute), SIZES[1], expires)
        add_limit(answer, away(close, -step, absolute), SIZES[0], expires)
    elif adds == 9:
        add_limit(answer, away(close, -step, absolute), SIZES[0], expires)
        add_market(answer, 0.5)


# ---------------------------------------------------------------- answers that are refused


def entry_fault(number: int, price: float, side: int, absolute: int, answer: Answer) -> None:
    """Spoil an entry: its numbers, its sides or its ladders."""
    if number == 0:
        answer.stop_fraction = 0.0
        answer.stop_price_usdt = NAN
    elif number == 2:
        enter_limit(answer, away(price, -side * 0.001, absolute), 289)
    elif number == 5:
        answer.stop_fraction = 0.0
        answer.stop_price_usdt = away(price, side * 0.01, absolute)
    elif number == 6:
        drop_targets(answer)
        add_target_fraction(answer, -0.01, 1.0)
    else:
        ladder_fault(number, price, side, absolute, answer)


def change_fault(number: int, close: float, side: int, absolute: int, answer: Answer) -> None:
    """Spoil a change: its numbers, its sides or its ladders."""
    if number == 0:
        move_stop(answer, NAN)
    elif number == 2:
        drop_adds(answer)
        add_limit(answer, away(close, -side * 0.001, absolute), 1.0, 289)
    elif number == 5:
        move_stop(answer, away(close, side * 0.01, absolute))
    elif number == 6:
        reduce_position(answer, 1.5)
    elif number == 7:
        drop_targets(answer)
        add_target(answer, away(close, -side * 0.01, absolute), 1.0)
    elif number == 8:
        drop_targets(answer)
        add_target(answer, close, 0.5)
    else:
        ladder_fault(number, close, side, absolute, answer)


def ladder_fault(number: int, price: float, side: int, absolute: int, answer: Answer) -> None:
    """Spoil a ladder or the trailing numbers."""
    if number == 3:
        trail(answer, 1.0, 0.0, 0.0)
    elif number == 4:
        drop_adds(answer)
        add_limit(answer, away(price, -side * 0.001, absolute), 4.5)
    elif number == 9:
        drop_adds(answer)
        add_limit(answer, away(price, -side * 0.0005 * 1, absolute), 2.5)
        add_limit(answer, away(price, -side * 0.0005 * 2, absolute), 2.5)
    else:
        drop_targets(answer)
        if number == 1:
            add_target(answer, -1.0, 1.0)
        elif number == 7:
            add_target(answer, away(price, side * 0.01 * 1, absolute), 0.5)
            add_target(answer, away(price, side * 0.01 * 2, absolute), 0.6)
        else:
            for rung in range(5):
                add_target(answer, away(price, side * 0.01 * (rung + 1), absolute), 0.1)
