"""`observe`: take in a market fact, and decide nothing.

Aggregation, holes in the market, and what is known at which moment follow from the facts alone, so a live engine,
a backtest and a replay observe the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from papertape.engine.kernel.codes import CANDLE, EXTERNAL_SIGNAL, FUNDING, OPEN_INTEREST, WARM_UP
from papertape.engine.kernel.series import observe_series
from papertape.engine.kernel.signals import observe_signal
from papertape.engine.kernel.state import READINGS_MASK, SETTLEMENTS_MASK, SETTLEMENTS_MAX

if TYPE_CHECKING:
    from papertape.engine.kernel.state import Fact, Market, OpenInterest, Readings, Settlements
    from papertape.engine.kernel.view import MarketData


def observe(fact: Fact, data: MarketData, slots: Any) -> None:
    """Take in a fact for one runner on the fact's symbol.

    Read the fact and what the data already hold. Change the market, its rings of settlements and readings, for a candle
    the runner's series and their histories, and for a signal the last value in its place, found by `slots`. Orders,
    positions, accounts and the strategy's state are out of reach.
    """
    observe_market(fact, data.market, data.settlements, data.readings)
    if fact.kind == CANDLE:
        reset = data.market.reset
        for one in data.series:
            observe_series(one.candle, one.bars, fact, reset)
    elif fact.kind == EXTERNAL_SIGNAL:
        observe_signal(fact, data.signals, slots)


def can_decide(kind: int, timing: int) -> bool:
    """Return whether a runner may decide on a fact: on every candle that is not warm-up."""
    return kind == CANDLE and timing != WARM_UP


def observe_market(fact: Fact, market: Market, settlements: Settlements, readings: Readings) -> None:
    """Take in what a fact says of its market, whatever the timeframes of the runners."""
    if fact.kind == CANDLE:
        observe_candle(market, fact, settlements)
    elif fact.kind == FUNDING:
        observe_settlement(market, fact, settlements)
    elif fact.kind == OPEN_INTEREST:
        observe_open_interest(market, fact, readings)


def observe_candle(market: Market, fact: Fact, settlements: Settlements) -> None:
    """Note the candle's close, whether a long hole precedes it, and which settlements are due at its open."""
    open_ms, known_until_ms = fact.open_time_ms, market.close_time_ms
    market.reset = 0
    if open_ms - known_until_ms > market.gap_reset_ms and known_until_ms >= 0:
        market.reset = 1
        market.readings = 0
    market.open_time_ms = open_ms
    market.close_time_ms = fact.time_ms
    market.close = fact.close
    if market.booked != market.settled:
        _make_due(market, open_ms, settlements)


def _make_due(market: Market, open_ms: int, settlements: Settlements) -> None:
    """Count what was due before as booked, and what settled by this open as due."""
    due = market.due
    market.booked = due
    while due < market.settled and settlements[due & SETTLEMENTS_MASK].time_ms <= open_ms:
        due += 1
    market.due = due


def observe_settlement(market: Market, fact: Fact, settlements: Settlements) -> None:
    """Make a funding settlement the known rate, and queue it for booking.

    More than `SETTLEMENTS_MAX` unbooked ones (ten days of hourly funding without a candle) push out the oldest.
    """
    row = settlements[market.settled & SETTLEMENTS_MASK]
    row.time_ms = fact.time_ms
    row.rate = fact.close
    market.settled += 1
    if market.settled - market.due > SETTLEMENTS_MAX:
        market.due += 1
    market.rate = fact.close
    market.rate_time_ms = fact.time_ms


def observe_open_interest(market: Market, fact: Fact, readings: Readings) -> None:
    """Add an open-interest reading to the ring."""
    note_reading(readings[market.readings & READINGS_MASK], fact)
    market.readings += 1
    market.reading_time_ms = fact.time_ms


def note_reading(row: OpenInterest, fact: Fact) -> None:
    """Write an open-interest reading to its row of the ring."""
    row.time_ms = fact.time_ms
    row.value = fact.close
