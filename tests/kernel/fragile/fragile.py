"""A strategy that fails where the volume of a candle tells it to: tests write its errors into the market."""
# ruff: noqa: ARG001 - a hook has its whole signature, whether it needs it or not.

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct

from papertape.engine.kernel.codes import FIRST_EXIT_REASON, NO_REASON

if TYPE_CHECKING:
    from papertape.engine.kernel.answers import Answer
    from papertape.engine.kernel.view import View

NAME = "fragile"
SERIES = ("1m",)
NEEDS_BARS = 3
EXIT_REASONS = ("told",)
BUY = 1001.0
LEAVE = 1003.0
FAIL_OBSERVING = 2001.0
FAIL_ENTERING = 2002.0
FAIL_LEAVING = 2003.0
RECURSE = 2004.0
TEXT = 2005.0
HANG = 2006.0
STUBBORN = 2007.0
MOVE_STOP = 1004.0
FAIL_MANAGING = 2008.0


class Parameters(Struct, frozen=True):
    """Where stop and target lie."""

    stop_percent: Annotated[float, Meta(ge=0.0, le=50.0, description="stop", extra={"unit": "%"})] = 1.0
    target_percent: Annotated[float, Meta(ge=0.0, description="target", extra={"unit": "%"})] = 2.0


class State(Struct):
    """What it has seen; `half` is what a failing hook leaves behind."""

    seen: int = 0
    half: int = 0


class Reading(Struct):
    """What it was told."""

    volume: float = 0.0
    seen: float = 0.0


def observe(view: View, params: Parameters) -> None:
    """Count candles; fail when told so, with half of the state changed."""
    view.state.seen += 1
    if view.candle.volume == FAIL_OBSERVING:
        view.state.half = 1
        view.m1.bars[100_000].close = 0.0


def enter(view: View, params: Parameters, answer: Answer) -> int:
    """Buy, or fail, when told so."""
    volume = view.candle.volume
    if volume == FAIL_ENTERING:
        return int(view.candle.volme)  # type: ignore[attr-defined]
    if volume == RECURSE:
        return enter(view, params, answer)
    while volume == HANG:
        view.state.half += 1
    if volume == STUBBORN:
        resist(view.state)
    if volume not in (BUY, TEXT):
        return 0
    answer.stop_fraction = params.stop_percent / 100.0
    answer.target_fraction = params.target_percent / 100.0
    if volume == TEXT:
        answer.target_fraction = "0.02"  # type: ignore[assignment]
    answer.reading.volume = volume
    answer.reading.seen = view.state.seen * 1.0
    return 1


def resist(state: State) -> None:
    """Swallow whatever could end it."""
    while True:
        with suppress(BaseException):
            state.half = max(state.half, 1)


def leave(view: View, params: Parameters, answer: Answer) -> int:
    """Leave, or fail, when told so."""
    if view.candle.volume == FAIL_LEAVING:
        return 1 // NO_REASON
    return FIRST_EXIT_REASON if view.candle.volume == LEAVE else NO_REASON


def manage(view: View, params: Parameters, answer: Answer) -> None:
    """Tighten the stop when told so, or fail with half of an answer."""
    if view.candle.volume in (MOVE_STOP, FAIL_MANAGING):
        answer.stop_price_usdt = view.position.entry_price_usdt * 0.999
    if view.candle.volume == FAIL_MANAGING:
        answer.reduce_fraction = 1.0 / NO_REASON
