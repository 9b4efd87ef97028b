"""The funnel of entries as the page and the chat show it."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from papertape.events.facts import Side

DAYS_MAX: Final = 400.0


class ConditionTally(Struct, frozen=True):
    """How often one condition held, and how often it and all conditions before it held together."""

    name: str
    held: int
    passed: int


class SideTally(Struct, frozen=True):
    """One side: `met` is how often all conditions held; refusals and cancelled orders are counted by reason.

    `waiting` orders and `open` positions had not ended by the end of the span.
    """

    side: Side
    conditions: tuple[ConditionTally, ...]
    met: int
    signals: int
    refused: dict[str, int]
    placed: int
    filled: int
    cancelled: dict[str, int]
    waiting: int
    trades: int
    won: int
    net_usdt: float
    open: int


class StrategyTally(Struct, frozen=True):
    """One strategy on one symbol; `not_asked` counts the candles without a question by reason."""

    strategy: str
    symbol: str
    candles: int
    asked: int
    not_asked: dict[str, int]
    explained: bool
    long: SideTally
    short: SideTally

    @property
    def reasons_not_asked(self) -> tuple[tuple[str, int], ...]:
        """The reasons with their counts, the most frequent first."""
        return tuple(sorted(self.not_asked.items(), key=lambda item: -item[1]))


class FunnelView(Struct, frozen=True):
    """The funnels of a span in market time, by strategy and symbol."""

    from_ms: int
    until_ms: int
    events: int
    funnels: tuple[StrategyTally, ...]


class FunnelRequest(Struct, frozen=True):
    """The last `days` before a market time, or before the newest candle; strategy and symbol None mean all."""

    strategy: str | None
    symbol: str | None
    days: float
    until_ms: int | None = None
