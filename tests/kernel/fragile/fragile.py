"""A strategy that fails where the volume of a candle tells it to: tests write its errors into the market."""
# ruff: noqa: ARG001 - a hook has its whole signature, whether it needs it or not.

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct

from papertape.engine.kernel.codes import FIRST_EXIT_REASON, NO_REASON

if TYPE_CHECKING:
    from papertape.engine.kernel.state import Bars, Decision, Market, Series, SymbolState

NAME = "fragile"
TIMEFRAME_MS = 60_000
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


def observe(state: State, main: Series, bars: Bars, params: Parameters) -> None:
    """Count candles; fail when told so, with half of the state changed."""
    state.seen += 1
    if main.volume == FAIL_OBSERVING:
        state.half = 1
        bars[512].close = 0.0


def enter(
    state: State,
    market: Market,
    main: Series,
    filtered: Series,
    desk: SymbolState,
    params: Parameters,
    decision: Decision,
) -> int:
    """Buy, or fail, when told so."""
    if main.volume == FAIL_ENTERING:
        return int(main.volme)
    if main.volume == RECURSE:
        return enter(state, market, main, filtered, desk, params, decision)
    if main.volume == HANG:
        while main.volume == HANG:
            state.half += 1
    if main.volume == STUBBORN:
        resist(state)
    if main.volume not in (BUY, TEXT):
        return 0
    decision.stop_fraction = params.stop_percent / 100.0
    decision.target_fraction = params.target_percent / 100.0 if main.volume == BUY else "0.02"
    decision.reading.volume = main.volume
    decision.reading.seen = state.seen * 1.0
    return 1


def resist(state: State) -> None:
    """Swallow whatever could end it."""
    while True:
        with suppress(BaseException):
            state.half = max(state.half, 1)


def leave(
    state: State,
    market: Market,
    main: Series,
    filtered: Series,
    desk: SymbolState,
    profit_usdt: float,
    params: Parameters,
    decision: Decision,
) -> int:
    """Leave, or fail, when told so."""
    if main.volume == FAIL_LEAVING:
        return 1 // NO_REASON
    return FIRST_EXIT_REASON if main.volume == LEAVE else NO_REASON
