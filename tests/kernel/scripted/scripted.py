"""A strategy that does what the volume of a candle tells it: tests write its orders into the market."""
# ruff: noqa: ARG001 - a hook has its whole signature, whether it needs it or not.

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct

from papertape.engine.kernel.codes import FIRST_EXIT_REASON, NO_REASON

if TYPE_CHECKING:
    from papertape.engine.kernel.answers import Answer
    from papertape.engine.kernel.view import View

NAME = "scripted"
SERIES = ("1m",)
EXIT_REASONS = ("told",)
BUY = 1001.0
SELL = 1002.0
LEAVE = 1003.0
ODD = 1010.0
"""From here on the volume numbers an answer that makes no sense, or hardly any: see `odd_entry` and `odd_exit`."""
ODD_ENTRIES = 18
ODD_EXITS = 5
INFINITY = 1e308 * 10.0
NAN = INFINITY - INFINITY


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    """Where stop and target lie."""

    stop_percent: Annotated[float, Meta(ge=0.0, description="stop", extra={"unit": "%"})] = 1.0
    target_percent: Annotated[float, Meta(ge=0.0, description="target", extra={"unit": "%"})] = 2.0


class Reading(Struct):
    """What it was told."""

    volume: float = 0.0
    profit_usdt: float = 0.0


def enter(view: View, params: Parameters, answer: Answer) -> int:
    """Long or short when told so."""
    side = 0
    if ODD <= view.candle.volume < ODD + ODD_ENTRIES:
        return odd_entry(view.candle.volume - ODD, answer)
    if view.candle.volume == BUY:
        side = 1
    elif view.candle.volume == SELL:
        side = -1
    if side != 0:
        answer.stop_fraction = params.stop_percent / 100.0
        answer.target_fraction = params.target_percent / 100.0
        answer.score = 0.5
        answer.reading.volume = view.candle.volume
        answer.reading.profit_usdt = 0.0
    return side


def leave(view: View, params: Parameters, answer: Answer) -> int:
    """Out when told so."""
    if ODD + ODD_ENTRIES <= view.candle.volume < ODD + ODD_ENTRIES + ODD_EXITS:
        return odd_exit(view.candle.volume - ODD - ODD_ENTRIES, answer)
    if view.candle.volume != LEAVE:
        return NO_REASON
    answer.reading.volume = view.candle.volume
    answer.reading.profit_usdt = view.position.profit_usdt
    return FIRST_EXIT_REASON


def odd_entry(number: float, answer: Answer) -> int:
    """Answer as no strategy should; the last ones are odd and yet in order."""
    side = 1
    if number == 15.0:
        return side  # Nothing is written: no stop, no target.
    answer.stop_fraction = 0.01
    answer.target_fraction = 0.02
    if number == 0.0:
        answer.stop_fraction = NAN
    elif number == 1.0:
        answer.target_fraction = NAN
    elif number == 2.0:
        answer.score = NAN
    elif number == 3.0:
        answer.stop_fraction = INFINITY
    elif number == 4.0:
        answer.target_fraction = -INFINITY
    elif number == 5.0:
        answer.score = INFINITY
    elif number == 6.0:
        answer.target_fraction = 1e300
    elif number == 7.0:
        answer.stop_fraction = -1e300
    elif number == 8.0:
        side = 2
    elif number == 9.0:
        side = -7
    elif number == 10.0:
        answer.stop_fraction = -0.01
    elif number == 11.0:
        answer.stop_fraction = -0.02
        side = -1
    elif number == 12.0:
        answer.target_fraction = -0.01
    elif number == 13.0:
        answer.target_fraction = -0.02
        side = -1
    elif number == 14.0:
        answer.stop_fraction = -0.01
        answer.target_fraction = NAN
    elif number == 16.0:
        answer.reading.volume = NAN
    elif number == 17.0:
        answer.target_fraction = 1e9
    return side


def odd_exit(number: float, answer: Answer) -> int:
    """Leave for a reason that is not among the strategy's own; the last one is in order but for its reading."""
    if number == 0.0:
        return 1
    if number == 1.0:
        return FIRST_EXIT_REASON + 7
    if number == 2.0:
        return 4  # That is the engine's own number of a liquidation.
    if number == 3.0:
        return -5
    answer.reading.profit_usdt = INFINITY
    return FIRST_EXIT_REASON
