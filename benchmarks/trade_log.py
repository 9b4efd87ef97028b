"""Write a log of any length with any number of closed trades, one row per minute, as a live engine does.

The trades come from a script, not from strategies: the log only has to give the folds a lot of state.
"""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from benchmarks.log_grower import SYMBOLS
from benchmarks.market import listed, minutes, runners, strategies
from papertape.engine.runner_settings import configuration
from papertape.engine.strategy_registry import code_digest
from papertape.events.chain import next_row, row_head
from papertape.events.codec import CODEC
from papertape.events.facts import CandleClosed, EngineStarted, Event, OrderPlaced, PositionClosed, PositionOpened
from papertape.events.log import Entry, Head
from papertape.events.sqlite_file import INSERT
from papertape.events.sqlite_log import SqliteEventLog

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from papertape.events.chain import Row

HELD_MINUTES = 30
EVENTS_PER_MINUTE = 6.2
"""Five candles, sometimes open interest and funding, and the trades."""


def write(db: Path, events: int, trades: int) -> int:
    """Write a log with at least `events` events and about `trades` trades; return its length."""
    asyncio.run(_create(db))
    head = Head()
    with closing(sqlite3.connect(db, isolation_level=None)) as connection:
        connection.execute("BEGIN")
        for row in _rows(events, max(1, int(events / EVENTS_PER_MINUTE / trades))):
            connection.execute(INSERT, row)
            head = row_head(row)
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return head.seq


async def _create(db: Path) -> None:
    await (await SqliteEventLog.open(db, clock_ms=lambda: 0)).close()


def _rows(events: int, trade_every_minutes: int) -> Iterator[Row]:
    head, trading = Head(), _TradeGenerator(trade_every_minutes)
    started = EngineStarted(0, "benchmark", code_digest(strategies().values()), "")
    first: list[Event] = [started, *configuration(strategies(), listed(SYMBOLS), runners())]
    for number, facts in enumerate(minutes(SYMBOLS)):
        batch = [*(first if number == 0 else ()), *facts, *trading.after(number, list(facts))]
        row = next_row(head, [Entry(event) for event in batch], 0, CODEC)
        yield row
        head = row_head(row)
        if head.seq >= events:
            return


class _TradeGenerator:
    """Opens a position for the next strategy and symbol every few minutes, and closes it half an hour later."""

    def __init__(self, every_minutes: int) -> None:
        self._every, self._opened = every_minutes, 0
        self._open: dict[tuple[str, str], tuple[int, PositionOpened]] = {}
        self._slots = [(name, symbol) for symbol in SYMBOLS for name in strategies()]

    def after(self, number: int, facts: list[Event]) -> list[Event]:
        """Return the events caused by the candles of a minute."""
        candles = {fact.symbol: fact for fact in facts if isinstance(fact, CandleClosed)}
        due = [slot for slot, (since, _) in self._open.items() if number - since >= HELD_MINUTES]
        events: list[Event] = [self._close(slot, candles[slot[1]]) for slot in due]
        slot = self._slots[self._opened % len(self._slots)]
        if number % self._every == 0 and slot not in self._open:
            self._opened += 1
            events += self._enter(number, slot, candles[slot[1]])
        return events

    def _enter(self, number: int, slot: tuple[str, str], candle: CandleClosed) -> list[Event]:
        at_ms, price = candle.at_ms, candle.close
        quantity, stop, target = 300.0 / price, price * 0.99, price * 1.02
        order = OrderPlaced(
            at_ms, *slot, "entry", "long", "signal", quantity, price, 0.01, 0.02, 3.0, 1.0, {"rsi": 25.0}
        )
        opened = PositionOpened(
            at_ms, *slot, "long", quantity, price, price, 0.18, 0.03, stop, target, price * 0.7, 100.0, 3.0
        )
        self._open[slot] = (number, opened)
        return [order, opened]

    def _close(self, slot: tuple[str, str], candle: CandleClosed) -> PositionClosed:
        _, opened = self._open.pop(slot)
        gross = opened.quantity_base * (candle.close - opened.price_usdt)
        net, quantity = gross - 0.36, opened.quantity_base
        return PositionClosed(
            candle.at_ms, *slot, "long", "target", quantity, opened.at_ms, opened.price_usdt, candle.close,
            candle.close, 0.18, gross, 0.36, 0.0, 0.06, net, net / 3.0, False, 1, 1, quantity,
            quantity, candle.close, gross, 0.36, 0.0, 0.06, net,
        )  # fmt: skip
