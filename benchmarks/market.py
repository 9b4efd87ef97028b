"""The market of all benchmarks: the simulated one, which needs no files and is the same on every machine."""

from __future__ import annotations

import gzip
from array import array
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from papertape.engine.feeds.files.columns import CandleColumns
from papertape.engine.feeds.sim.episodes import DAY_MINUTES, FUNDING_MS
from papertape.engine.feeds.sim.feed import SimFeed
from papertape.engine.feeds.sim.market import KNOWN, SimMarket
from papertape.engine.feeds.sim.script import READING_MS, START_MS, SimSettings
from papertape.engine.kernel.risk_settings import RiskSettings
from papertape.engine.ports.clock import ManualClock
from papertape.engine.runner_settings import RunnerSettings
from papertape.engine.strategy_registry import load_strategies
from papertape.events.facts import (
    CandleClosed,
    ContractListed,
    FundingRateSettled,
    MarketFact,
    OpenInterestObserved,
    Timing,
)
from papertape.events.units import DAY_MS, MINUTE_MS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from papertape.engine.feeds.files.feed import FileFeed
    from papertape.engine.kernel.strategy import Strategy

SEED = 7
SYMBOL = "BTCUSDT"
YEAR_DAYS = 365
WEEK_DAYS = 7
NO_LIMITS = RiskSettings(max_session_loss_percent=100.0, max_daily_loss_percent=100.0, global_max_loss_percent=100.0)
"""The kill switches are checked on every candle and never trip: a stopped account would be fast for no reason."""


class MemoryFeed:
    """A file feed whose tables are in memory."""

    def __init__(self, candles: dict[str, CandleColumns], contracts: Sequence[ContractListed]) -> None:
        self.candles = candles
        self.funding: dict[str, Any] = {}
        self.open_interest: dict[str, Any] = {}
        self.signals: list[Any] = []
        self._contracts = list(contracts)

    def contracts(self) -> list[ContractListed]:
        """Return the contracts in the order of the tables."""
        return self._contracts


@cache
def strategies() -> dict[str, Strategy]:
    """Return the built-in strategies."""
    return load_strategies()


@cache
def market() -> SimMarket:
    """Return the market."""
    return SimMarket(SEED)


def drawn_symbols(count: int) -> list[str]:
    """Return a number of symbols: the known ones, then generated ones."""
    return [*KNOWN, *(f"SIM{number:03d}USDT" for number in range(count - len(KNOWN)))][:count]


def runners(*names: str) -> dict[str, RunnerSettings]:
    """Return the named strategies, or all, with every rule on and limits that never trip."""
    return {name: RunnerSettings(risk=NO_LIMITS) for name in names or tuple(strategies())}


def listed(symbols: Sequence[str]) -> list[ContractListed]:
    """Return the contracts of simulated symbols."""
    return SimFeed(SimSettings(seed=SEED, symbols=tuple(symbols)), ManualClock()).contracts()


@cache
def candles(days: int = YEAR_DAYS, symbol: str = SYMBOL) -> CandleColumns:
    """Return days of 1m candles of a symbol, without holes: 525,600 in a year."""
    table = CandleColumns("sim", MINUTE_MS)
    first_day = START_MS // DAY_MS
    table.open_time_ms.extend(range(START_MS, START_MS + days * DAY_MS, MINUTE_MS))
    for day in range(first_day, first_day + days):
        if day == first_day or day % WEEK_DAYS == 0:
            drawn = SimMarket(SEED)  # It keeps the days that it has drawn, which the candles need no longer.
        block = drawn.block(symbol, day)
        for into, values in zip(
            table.values(), (block.open, block.high, block.low, block.close, block.volume), strict=True
        ):
            into.extend(array("d", values))
    table.line.extend(range(len(table.open_time_ms)))
    return table


def feed(days: int = YEAR_DAYS, symbol: str = SYMBOL) -> FileFeed:
    """Return the tables of the tape as a feed for a backtest."""
    return cast("FileFeed", MemoryFeed({symbol: candles(days, symbol)}, listed([symbol])))


def write_csv(path: Path, table: CandleColumns) -> None:
    """Write the candles as a file for `papertape backtest`."""
    rows = zip(table.open_time_ms, *table.values(), strict=True)
    text = "\n".join(f"{ms},{o!r},{h!r},{lo!r},{c!r},{v!r}" for ms, o, h, lo, c, v in rows)
    with gzip.open(path, "wt", compresslevel=6) as file:
        file.write("open_time_ms,open,high,low,close,volume\n" + text + "\n")


def minute(symbols: Sequence[str], at_ms: int, timing: Timing = Timing.ON_TIME) -> list[MarketFact]:
    """Return the facts of one minute's boundary: candles, open interest every 5 minutes, funding every 8 hours."""
    open_ms = at_ms - MINUTE_MS
    day, place = open_ms // DAY_MS, open_ms // MINUTE_MS % DAY_MINUTES
    facts: list[MarketFact] = []
    for symbol in symbols:
        b = market().block(symbol, day)
        prices = (b.open[place], b.high[place], b.low[place], b.close[place], b.volume[place])
        facts.append(CandleClosed(at_ms, symbol, MINUTE_MS, *prices, timing))
    if at_ms % FUNDING_MS == 0:
        rates = ((symbol, market().funding_rate(symbol, at_ms // FUNDING_MS)) for symbol in symbols)
        facts += [FundingRateSettled(at_ms, symbol, rate) for symbol, rate in rates]
    if at_ms % READING_MS == 0:
        for symbol in symbols:
            readings = market().block(symbol, at_ms // DAY_MS).open_interest
            facts.append(OpenInterestObserved(at_ms, symbol, readings[at_ms % DAY_MS // READING_MS]))
    return facts


def minutes(symbols: Sequence[str], first: int = 0, warm_up: int = 0) -> Iterator[list[MarketFact]]:
    """Yield the boundaries of minutes without end; the first `warm_up` of them are warm-up."""
    number = first
    while True:
        timing = Timing.WARM_UP if number < warm_up else Timing.ON_TIME
        yield minute(symbols, START_MS + (number + 1) * MINUTE_MS, timing)
        number += 1
