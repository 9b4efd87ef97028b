"""The exchange's history of the symbols: requested in rounds up to a limit, with each failure kept by symbol.

The history is the authority: it is requested at a start, after a silence, and whenever the streams are in doubt.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from msgspec import Struct

from papertape.engine.feeds.candle_row import CandleRow, is_price_jump
from papertape.engine.feeds.live.symbol_cursor import SymbolCursor, count_missing
from papertape.engine.ports.feed import RefusalReason
from papertape.events.errors import ExchangeError, ExchangeRefused

if TYPE_CHECKING:
    from papertape.engine.feeds.live.exchange import ExchangeClient, FundingSettlement
    from papertape.engine.ports.clock import Clock
    from papertape.engine.ports.feed import RefusalLog

T = TypeVar("T")
Rows = list[CandleRow]
ROUND_EVERY_S: Final = (1.0, 2.0, 4.0, 8.0)
ROUNDS_MAX: Final = 1_000
MEND_ATTEMPTS_MAX: Final = 3
"""After so many requests a hole is believed: the exchange does not have these candles."""
ROWS_A_WINDOW_MAX: Final = 50_000
WINDOW_CANDLES_MAX: Final = 990
WINDOW_CANDLES_MIN: Final = 60
LIMIT_WALL_S_MIN: Final = 2.0


class SymbolResults(Struct, Generic[T]):
    """The results of a round of requests by symbol, and the errors of the others."""

    values: dict[str, T]
    errors: dict[str, ExchangeError]

    def failure_reason(self, symbol: str) -> str:
        """Describe why there is no data for a symbol."""
        return _error_text(self.errors.get(symbol))

    def failure_summary(self, symbols: int) -> str:
        """Describe why there is no data for any of several symbols.

        A refusal concerns its own symbol; it explains the silence of all of them only if all were refused.
        """
        refusals = [error for error in self.errors.values() if isinstance(error, ExchangeRefused)]
        others = [error for error in self.errors.values() if not isinstance(error, ExchangeRefused)]
        return _error_text(others[0] if others else refusals[0] if refusals and len(refusals) >= symbols else None)


def _error_text(error: ExchangeError | None) -> str:
    return "the exchange does not show them" if error is None else str(error)


class HistoryWindow(Struct, frozen=True):
    """A symbol's candles between two times, and all settlements that were not delivered yet."""

    rows: Rows
    settlements: list[FundingSettlement]


class History:
    """Requests to the exchange's history. All times are the exchange's own, UTC ms."""

    def __init__(self, client: ExchangeClient, clock: Clock, speed: float, refusals: RefusalLog) -> None:
        self._client = client
        self._clock = clock
        self._speed = speed
        self._refusals = refusals

    async def fetch_candle(
        self, cursors: Sequence[SymbolCursor], open_ms: int, limits_ms: tuple[int, int], enough: int
    ) -> SymbolResults[CandleRow]:
        """Return one closed candle of each symbol.

        Requests go on until the second limit; once `enough` candles have arrived, only until the first.
        """
        results: SymbolResults[CandleRow] = SymbolResults({}, {})
        for round_ in range(ROUNDS_MAX):
            missing = [cursor for cursor in cursors if cursor.symbol not in results.values]
            limit_ms = limits_ms[0] if len(results.values) >= enough else limits_ms[1]
            if not missing or not await self._begin_round(round_, limit_ms):
                break
            more = await self._fetch_each(missing, limit_ms, lambda cursor: self._candle(cursor, open_ms))
            results.values |= {symbol: row for symbol, row in more.values.items() if row is not None}
            results.errors = more.errors
        return results

    async def _begin_round(self, round_: int, limit_ms: int) -> bool:
        """Wait before each round but the first; return False if the limit is reached."""
        if round_ and self._client.server_now_ms() >= limit_ms:
            return False
        if round_:
            await self._clock.sleep(ROUND_EVERY_S[min(round_, len(ROUND_EVERY_S)) - 1])
        return True

    async def _candle(self, cursor: SymbolCursor, open_ms: int) -> CandleRow | None:
        rows = await self._client.candles(cursor.symbol, open_ms, open_ms + cursor.timeframe_ms)
        return next(iter(self._plausible(cursor, rows)), None)

    def _plausible(self, cursor: SymbolCursor, rows: Sequence[CandleRow]) -> Rows:
        """Return the rows up to one with an absurd jump, unless the exchange has sent the same row before."""
        plausible: Rows = []
        known_usdt = cursor.close_usdt
        for row in rows:
            if is_price_jump(row.close, known_usdt) and cursor.implausible_row != row:
                self._refusals.refuse(cursor.symbol, 0, RefusalReason.ABSURD_JUMP, str(row))
                cursor.implausible_row = row
                break
            plausible.append(row)
            known_usdt = row.close
        return plausible

    async def _fetch_window(
        self, cursors: Sequence[SymbolCursor], from_ms: int, until_ms: int, limit_ms: int
    ) -> SymbolResults[Rows]:
        """Return the candles of each symbol that open in a window; request them again where some are missing.

        After `MEND_ATTEMPTS_MAX` requests a hole between candles is believed. A hole that reaches the end of the
        window never is: an exchange that shows nothing has failed.
        """
        results: SymbolResults[Rows] = SymbolResults({}, {})
        for round_ in range(MEND_ATTEMPTS_MAX):
            missing = [cursor for cursor in cursors if not self._is_complete(cursor, results, from_ms, until_ms)]
            if not missing or not await self._begin_round(round_, limit_ms):
                break
            more = await self._fetch_each(missing, limit_ms, lambda cursor: self._rows(cursor, from_ms, until_ms))
            results.values |= more.values
            results.errors |= more.errors
        for cursor in cursors:
            if not self._reaches(cursor, results, until_ms):
                results.values.pop(cursor.symbol, None)
        return results

    @staticmethod
    def _reaches(cursor: SymbolCursor, results: SymbolResults[Rows], until_ms: int) -> bool:
        rows = results.values.get(cursor.symbol)
        newest_ms = rows[-1].open_time_ms + cursor.timeframe_ms if rows else 0
        return max(newest_ms, cursor.next_open_ms) >= until_ms

    async def _rows(self, cursor: SymbolCursor, from_ms: int, until_ms: int) -> Rows:
        rows = await self._client.candles(cursor.symbol, max(from_ms, cursor.next_open_ms), until_ms)
        return self._plausible(cursor, rows)

    @staticmethod
    def _is_complete(cursor: SymbolCursor, results: SymbolResults[Rows], from_ms: int, until_ms: int) -> bool:
        rows = results.values.get(cursor.symbol)
        first_ms = max(from_ms, cursor.next_open_ms)
        return rows is not None and count_missing(rows, first_ms, until_ms, cursor.timeframe_ms) == 0

    async def fetch_history(
        self,
        cursors: Sequence[SymbolCursor],
        from_ms: int,
        until_ms: int,
        limit_ms: int,
        streamed: Mapping[str, Rows] = MappingProxyType({}),
    ) -> SymbolResults[HistoryWindow]:
        """Return the candles of a window and the settlements of its time; a symbol without one of them has failed.

        Symbols whose candles are all `streamed` are not requested.
        """
        unseen = [cursor for cursor in cursors if cursor.symbol not in streamed]
        candles = await self._fetch_window(unseen, from_ms, until_ms, limit_ms)
        rows = {**candles.values, **streamed}
        settled = {cursor.symbol for cursor in cursors if cursor.is_settled_until(until_ms)}
        windows = {symbol: HistoryWindow(one, []) for symbol, one in rows.items() if symbol in settled}
        results: SymbolResults[HistoryWindow] = SymbolResults(windows, candles.errors)
        for round_ in range(MEND_ATTEMPTS_MAX):
            missing = [one for one in cursors if one.symbol in rows and one.symbol not in windows]
            if not missing or not await self._begin_round(round_, limit_ms):
                break
            more = await self._fetch_each(missing, limit_ms, self._settlements)
            results.errors |= more.errors
            for symbol, settlements in more.values.items():
                windows[symbol] = HistoryWindow(rows[symbol], settlements)
        return results

    async def settlements(self, cursors: Sequence[SymbolCursor], until_ms: int) -> dict[str, list[FundingSettlement]]:
        """Return the settlements of each symbol that were not delivered yet; a symbol that failed is left out."""
        return (await self._fetch_each(cursors, until_ms, self._settlements)).values

    def _settlements(self, cursor: SymbolCursor) -> Awaitable[list[FundingSettlement]]:
        return self._client.settlements(cursor.symbol, cursor.funding_ms + 1)

    async def open_interest(self, cursors: Sequence[SymbolCursor], until_ms: int) -> dict[str, float]:
        """Return the current open interest of each symbol, in coins; a symbol that failed is left out."""
        results = await self._fetch_each(cursors, until_ms, lambda cursor: self._client.open_interest(cursor.symbol))
        return {symbol: reading.open_interest_base for symbol, reading in results.values.items()}

    async def _fetch_each(
        self, cursors: Sequence[SymbolCursor], until_ms: int, request: Callable[[SymbolCursor], Awaitable[T]]
    ) -> SymbolResults[T]:
        """Make one request for every symbol at once, as fast as the exchange allows, until `until_ms`."""
        results: SymbolResults[T] = SymbolResults({}, {})

        async def fetch_one(cursor: SymbolCursor) -> None:
            try:
                results.values[cursor.symbol] = await request(cursor)
            except ExchangeError as error:
                results.errors[cursor.symbol] = error

        limit_s = max(LIMIT_WALL_S_MIN, (until_ms - self._client.server_now_ms()) / 1_000.0 / self._speed)
        tasks = [asyncio.ensure_future(fetch_one(cursor)) for cursor in cursors]
        try:
            done, _ = await asyncio.wait(tasks, timeout=limit_s) if tasks else (set(), None)
            for task in done:
                task.result()  # An error that is not the exchange's is a bug and must not stay silent.
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return results


def window_ms(symbols: int, timeframe_ms: int) -> int:
    """Return how much history to fetch at once for so many symbols, so that the rows of a window stay bounded."""
    candles = max(WINDOW_CANDLES_MIN, min(WINDOW_CANDLES_MAX, ROWS_A_WINDOW_MAX // max(1, symbols)))
    return candles * timeframe_ms
