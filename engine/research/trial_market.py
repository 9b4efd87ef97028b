"""The market of a strategy's trial: the simulated one, of two symbols, with holes, funding and open interest."""

from __future__ import annotations

from array import array
from random import Random
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from papertape.engine.feeds.files.columns import CandleColumns, SeriesColumns
from papertape.engine.feeds.files.signals_csv import SignalSeries
from papertape.engine.feeds.sim.episodes import FUNDING_MS
from papertape.engine.feeds.sim.feed import SimFeed
from papertape.engine.feeds.sim.market import READING_MINUTES, SimMarket
from papertape.engine.feeds.sim.script import SimSettings
from papertape.engine.kernel.state import FactColumns
from papertape.engine.ports.clock import SystemClock
from papertape.engine.research.tape import Tape
from papertape.events.units import DAY_MS, HOUR_MS, MINUTE_MS, TIMEFRAMES_MS

if TYPE_CHECKING:
    from collections.abc import Sequence

SYMBOLS: Final = ("BTCUSDT", "ETHUSDT")
CANDLES: Final = 5_000
"""Candles of each symbol."""
SEED: Final = 7
HOLES: Final = {0.3: 5 * MINUTE_MS, 0.45: 300 * MINUTE_MS}
"""Where candles of the last symbol are missing, as a share of the tape, and for how long: one hole resets series."""
NOISE: Final = 0.01
"""The size of a candle's random move where later candles are replaced."""


def base_timeframe(finest_ms: int) -> int:
    """Return the coarsest base timeframe that a series of `finest_ms` can be built from."""
    return max(base_ms for base_ms in TIMEFRAMES_MS.values() if base_ms <= finest_ms and finest_ms % base_ms == 0)


def trial_tape(base_ms: int, candles: int = CANDLES, signals: Sequence[str] = ()) -> Tape:
    """Return the tape of a trial: the same in every run. Each signal has a random value from -1 to 1 every hour."""
    settings = SimSettings(seed=SEED, symbols=SYMBOLS)
    market, first_ms = SimMarket(SEED), settings.start_ms - settings.start_ms % DAY_MS
    end_ms = first_ms + candles * base_ms
    contracts = SimFeed(settings, SystemClock()).contracts()
    return Tape(
        [replace(contract, timeframe_ms=base_ms) for contract in contracts],
        [_candles(market, symbol, first_ms, end_ms, base_ms) for symbol in SYMBOLS],
        [_settlements(market, symbol, first_ms, end_ms) for symbol in SYMBOLS],
        [_readings(market, symbol, first_ms, end_ms, base_ms) for symbol in SYMBOLS],
        signals=[_signals(symbol, name, first_ms, end_ms) for symbol in SYMBOLS for name in signals],
    )


def _candles(market: SimMarket, symbol: str, first_ms: int, end_ms: int, base_ms: int) -> CandleColumns:
    """Return one symbol's candles of the base timeframe; the last symbol has holes."""
    table, minutes = CandleColumns("trial", base_ms), base_ms // MINUTE_MS
    span_ms = end_ms - first_ms
    holes = HOLES if symbol == SYMBOLS[-1] else {}
    missing = [(first_ms + int(share * span_ms), long_ms) for share, long_ms in holes.items()]
    for open_ms in range(first_ms, end_ms, base_ms):
        if any(from_ms <= open_ms < from_ms + max(long_ms, base_ms) for from_ms, long_ms in missing):
            continue
        block, at = market.block(symbol, open_ms // DAY_MS), open_ms % DAY_MS // MINUTE_MS
        part = slice(at, at + minutes)
        table.open_time_ms.append(open_ms)
        table.open.append(block.open[at])
        table.high.append(max(block.high[part]))
        table.low.append(min(block.low[part]))
        table.close.append(block.close[at + minutes - 1])
        table.volume.append(sum(block.volume[part]))
    return table


def _settlements(market: SimMarket, symbol: str, first_ms: int, end_ms: int) -> SeriesColumns:
    times = array("q", range(first_ms, end_ms, FUNDING_MS))
    rates = array("d", [market.funding_rate(symbol, time_ms // FUNDING_MS) for time_ms in times])
    return SeriesColumns("trial", times, rates)


def _readings(market: SimMarket, symbol: str, first_ms: int, end_ms: int, base_ms: int) -> SeriesColumns:
    step_ms = READING_MINUTES * MINUTE_MS
    times = array("q", range(first_ms, end_ms, max(base_ms, step_ms)))
    blocks = (market.block(symbol, time_ms // DAY_MS) for time_ms in times)
    values = [block.open_interest[time_ms % DAY_MS // step_ms] for block, time_ms in zip(blocks, times, strict=True)]
    return SeriesColumns("trial", times, array("d", values))


def _signals(symbol: str, name: str, first_ms: int, end_ms: int) -> SignalSeries:
    random = Random(f"{symbol} {name}")  # noqa: S311 (a market, not a secret)
    times = array("q", range(first_ms, end_ms, HOUR_MS))
    values = array("d", [random.uniform(-1.0, 1.0) for _ in times])
    return SignalSeries(symbol, name, "trial", SeriesColumns("trial", times, values))


def with_noise_from(tape: Tape, cut_ms: int) -> Tape:
    """Return the tape with every candle that closes after `cut_ms` replaced by one out of a random walk."""
    return replace(tape, candles=[_noisy(table, cut_ms, Random(SEED)) for table in tape.candles])  # noqa: S311 (a market, not a secret)


def _noisy(table: CandleColumns, cut_ms: int, random: Random) -> CandleColumns:
    noisy = replace(table, open=table.open[:], high=table.high[:], low=table.low[:], close=table.close[:])
    close = 0.0
    for row, open_ms in enumerate(table.open_time_ms):
        if open_ms + table.timeframe_ms <= cut_ms:
            close = table.close[row]
            continue
        noisy.open[row] = close
        close = close * (1.0 + random.uniform(-NOISE, NOISE))
        noisy.close[row] = close
        noisy.high[row] = max(noisy.open[row], close) * (1.0 + random.uniform(0.0, NOISE))
        noisy.low[row] = min(noisy.open[row], close) * (1.0 - random.uniform(0.0, NOISE))
    return noisy


def first_after(facts: FactColumns, cut_ms: int) -> int:
    """Return the index of the first fact after `cut_ms`."""
    return next((index for index in range(facts.total) if facts.time_ms[index] > cut_ms), facts.total)
