"""The same events with the library `eventsourcing`: an application, one aggregate per symbol, its SQLite recorder."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SETTINGS = (
    "eventsourcing: one `Application.save` of an aggregate with 100 new events is one transaction; its default SQLite "
    "settings (WAL, synchronous FULL), JSON, no compression, no encryption, no snapshots."
)


class Candles(Aggregate):
    """The candles of one symbol."""

    @event("Started")
    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self.close = 0.0

    @event("Closed")
    def closed(  # The library records all arguments of the method.
        self,
        at_ms: int,  # noqa: ARG002
        timeframe_ms: int,  # noqa: ARG002
        first: float,  # noqa: ARG002
        high: float,  # noqa: ARG002
        low: float,  # noqa: ARG002
        close: float,
        volume: float,  # noqa: ARG002
        timing: int,  # noqa: ARG002
    ) -> None:
        """Record a closed candle."""
        self.close = close


def write(path: Path, groups: Sequence[Sequence[Any]]) -> float:
    """Return the seconds in which the library saves the groups, each in one commit."""
    app: Application[Any] = Application(
        env={"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": str(path), "IS_SNAPSHOTTING_ENABLED": "n"}
    )
    candles = Candles(groups[0][0].symbol)
    app.save(candles)
    started = time.perf_counter()
    for group in groups:
        for c in group:
            candles.closed(c.at_ms, c.timeframe_ms, c.open, c.high, c.low, c.close, c.volume, int(c.timing))
        app.save(candles)
    took = time.perf_counter() - started
    app.close()
    return took
