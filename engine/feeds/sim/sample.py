"""The simulated market as rows of market files: candles of five minutes, settlements and open interest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from papertape.engine.feeds.sim.episodes import DAY_MINUTES, FUNDING_MS
from papertape.engine.feeds.sim.script import READING_MS
from papertape.events.units import DAY_MS, MINUTE_MS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from papertape.engine.feeds.sim.market import SimMarket

CANDLE_MINUTES: Final = 5
VOLUME_DECIMALS: Final = 6

Row = tuple[int, tuple[float, ...]]
"""A time in UTC ms, and the values of the other columns of `csv_reader`."""


def candle_rows(market: SimMarket, symbol: str, day: int) -> Iterator[Row]:
    """Yield the candles of a day, which counts from 1970: open, high, low, close and volume by open time."""
    block = market.block(symbol, day)
    for first in range(0, DAY_MINUTES, CANDLE_MINUTES):
        end = first + CANDLE_MINUTES
        yield (
            day * DAY_MS + first * MINUTE_MS,
            (
                block.open[first],
                max(block.high[first:end]),
                min(block.low[first:end]),
                block.close[end - 1],
                round(sum(block.volume[first:end]), VOLUME_DECIMALS),
            ),
        )


def funding_rows(market: SimMarket, symbol: str, day: int) -> Iterator[Row]:
    """Yield the rates that are settled on a day, as fractions by settlement time."""
    for at_ms in range(day * DAY_MS, (day + 1) * DAY_MS, FUNDING_MS):
        yield at_ms, (market.funding_rate(symbol, at_ms // FUNDING_MS),)


def open_interest_rows(market: SimMarket, symbol: str, day: int) -> Iterator[Row]:
    """Yield the readings of open interest of a day, in coins by time."""
    for place, reading in enumerate(market.block(symbol, day).open_interest):
        yield day * DAY_MS + place * READING_MS, (reading,)
