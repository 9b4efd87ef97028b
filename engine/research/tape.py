"""A tape: all facts of a run in their order, as one structured array."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from msgspec import Struct

from engine.core.codes import CANDLE, FUNDING, ON_TIME, OPEN_INTEREST, WARM_UP
from engine.core.state import Fact
from engine.research.records import Array, dtype_of
from events.facts import CandleClosed, ContractListed, FundingRateSettled, MarketFact, OpenInterestObserved, Timing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.feeds.columns import CandleColumns, SeriesColumns

FACT_TYPE = dtype_of(Fact)


class Tape(Struct):
    """Facts in their binding order, and the contracts of their symbols in configured order."""

    contracts: list[ContractListed]
    facts: Array

    def event(self, index: int) -> MarketFact:
        """The fact at `index` as the event it is in a log."""
        row = self.facts[index]
        contract = self.contracts[int(row["symbol"])]
        at_ms = int(row["time_ms"])
        if row["kind"] == FUNDING:
            return FundingRateSettled(at_ms, contract.symbol, float(row["close"]))
        if row["kind"] == OPEN_INTEREST:
            return OpenInterestObserved(at_ms, contract.symbol, float(row["close"]))
        prices = (float(row[name]) for name in ("open", "high", "low", "close", "volume"))
        return CandleClosed(at_ms, contract.symbol, contract.timeframe_ms, *prices, Timing(int(row["timing"])))


def make_tape(
    contracts: Sequence[ContractListed],
    candles: Sequence[CandleColumns],
    funding: Sequence[SeriesColumns | None],
    open_interest: Sequence[SeriesColumns | None],
    start_ms: int | None = None,
    end_ms: int | None = None,
) -> Tape:
    """Merge tables by time: candles by their close in the symbols' order, then funding, then open interest.

    Candles that open before `start_ms` are warm-up; those that open at or after `end_ms` are left out.
    """
    parts: list[Array] = []
    for symbol, table in enumerate(candles):
        parts.append(_candle_facts(symbol, table, start_ms, end_ms))
    for kind, tables in ((FUNDING, funding), (OPEN_INTEREST, open_interest)):
        for symbol, series in enumerate(tables):
            if series is not None:
                parts.append(_series_facts(kind, symbol, series, end_ms))
    if len(parts) == 1:
        return Tape(list(contracts), parts[0])
    facts = np.concatenate(parts)
    order = np.lexsort((facts["symbol"], facts["kind"], facts["time_ms"]))
    return Tape(list(contracts), facts[order])


def _candle_facts(symbol: int, table: CandleColumns, start_ms: int | None, end_ms: int | None) -> Array:
    """One symbol's candles as facts."""
    opens = np.frombuffer(table.open_time_ms, dtype=np.int64)
    count = len(opens) if end_ms is None else int(np.searchsorted(opens, end_ms))
    facts = np.zeros(count, dtype=FACT_TYPE)
    facts["kind"] = CANDLE
    facts["symbol"] = symbol
    facts["open_time_ms"] = opens[:count]
    facts["time_ms"] = opens[:count] + table.timeframe_ms
    if start_ms is not None:
        facts["timing"] = np.where(opens[:count] < start_ms, WARM_UP, ON_TIME)
    for name, column in zip(("open", "high", "low", "close", "volume"), table.values(), strict=True):
        facts[name] = np.frombuffer(column, dtype=np.float64)[:count]
    return facts


def _series_facts(kind: int, symbol: int, series: SeriesColumns, end_ms: int | None) -> Array:
    """One symbol's settlements or readings as facts."""
    times = np.frombuffer(series.time_ms, dtype=np.int64)
    count = len(times) if end_ms is None else int(np.searchsorted(times, end_ms))
    facts = np.zeros(count, dtype=FACT_TYPE)
    facts["kind"] = kind
    facts["symbol"] = symbol
    facts["open_time_ms"] = times[:count]
    facts["time_ms"] = times[:count]
    facts["close"] = np.frombuffer(series.value, dtype=np.float64)[:count]
    return facts
