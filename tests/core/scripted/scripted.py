"""A strategy that does what the volume of a candle tells it: tests write its orders into the market."""
# ruff: noqa: ARG001 - a hook has its whole signature, whether it needs it or not.

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct

from engine.core.codes import FIRST_EXIT_REASON, NO_REASON

if TYPE_CHECKING:
    from engine.core.state import Decision, Desk, Market, Series
    from engine.core.strategy import NoState

NAME = "scripted"
TIMEFRAME_MS = 60_000
EXIT_REASONS = ("told",)
BUY = 1001.0
SELL = 1002.0
LEAVE = 1003.0


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    """Where stop and target lie."""

    stop_percent: Annotated[float, Meta(ge=0.0, description="stop", extra={"unit": "%"})] = 1.0
    target_percent: Annotated[float, Meta(ge=0.0, description="target", extra={"unit": "%"})] = 2.0


class Reading(Struct):
    """What it was told."""

    volume: float = 0.0
    profit_usdt: float = 0.0


def enter(
    state: NoState, market: Market, main: Series, filtered: Series, desk: Desk, params: Parameters, decision: Decision
) -> int:
    """Long or short when told so."""
    side = 0
    if main.volume == BUY:
        side = 1
    elif main.volume == SELL:
        side = -1
    if side != 0:
        decision.stop_fraction = params.stop_percent / 100.0
        decision.target_fraction = params.target_percent / 100.0
        decision.score = 0.5
        decision.reading.volume = main.volume
        decision.reading.profit_usdt = 0.0
    return side


def leave(
    state: NoState,
    market: Market,
    main: Series,
    filtered: Series,
    desk: Desk,
    profit_usdt: float,
    params: Parameters,
    decision: Decision,
) -> int:
    """Out when told so."""
    if main.volume != LEAVE:
        return NO_REASON
    decision.reading.volume = main.volume
    decision.reading.profit_usdt = profit_usdt
    return FIRST_EXIT_REASON
