"""What the exchange's history knows of the symbols: asked for in rounds, each failure by symbol, never for ever.

The history is the authority: it is asked at a start, after a silence, and whenever the streams are in doubt.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from msgspec import Struct

from papertape.engine.feeds.bitget.symbol_cursor import Ranked, SymbolCursor, count_missing
from papertape.engine.feeds.candle_row import CandleRow, is_price_jump
from papertape.engine.ports.feed import RefusalReason
from papertape.events.errors import ExchangeError, ExchangeRefused

if TYPE_CHECKING:
    from papertape.engine.feeds.bitget.responses import FundingSettlement, OpenInterestReading
    from papertape.engine.feeds.bitget.rest import BitgetRest
    from papertape.engine.ports.clock import Clock
    from papertape.engine.ports.feed import RefusalLog

T = TypeVar("T")
Rows = list[CandleRow]
ROUND_EVERY_S: Final = (1.0, 2.0, 4.0, 8.0)
ROUNDS_MAX: Final = 1_000
MEND_ATTEMPTS_MAX: Final = 3
"""A hole is asked for so often before it is believed that the exchange does not have these candles."""
ROWS_A_WINDOW_MAX: Final = 50_000
WINDOW_CANDLES_MAX: Final = 990
WINDOW_CANDLES_MIN: Final = 60
LIMIT_WALL_S_MIN: Final = 2.0


class SymbolResults(Struct, Generic[T]):
    """What a round of questions brought, by symbol, and why it brought nothing for the others."""

    found: dict[str, T]
    failed: dict[str, ExchangeError]

    def failure_reason(self, symbol: str) -> str:
        """Describe why there is no data for a symbol."""
        return _words(self.failed.get(symbol))

    def failure_summary(self, symbols: int) -> str:
        """Describe why there is no data for any of several symbols.

        A refusal speaks of its own symbol; it explains the silence of all of them only if all were refused.
        """
        refused = [error for error in self.failed.values() if isinstance(error, ExchangeRefused)]
        others = [error for error in self.failed.values() if not isinstance(error, ExchangeRefused)]
        return _words(others[0] if others else refused[0] if refused and len(refused) >= symbols else None)


def _words(error: ExchangeError | None) -> str:
    return "the exchange does not show them" if error is None else str(error)


class HistoryWindow(Struct, frozen=True):
    """What happened to a symbol between two times: its candles, and all settlements not delivered yet."""

    rows: Rows
    settled: list[FundingSettlement]


class History:
    """Questions to the exchange's history. `now_ms` is the exchange's own time."""

    def __init__(
        self, rest: BitgetRest, clock: Clock, now_ms: Callable[[], int], speed: float, refusals: RefusalLog
    ) -> None:
        self._rest = rest
        self._clock = clock
        self._now_ms = now_ms
        self._speed = speed
        self._refusals = refusals

    async def fetch_candle(
        self, tracks: Sequence[SymbolCursor], open_ms: int, limits_ms: tuple[int, int], enough: int
    ) -> SymbolResults[CandleRow]:
        """One closed candle of each symbol, asked for in rounds.

        It is asked until the second limit, with `enough` candles found only until the first.
        """
        answers: SymbolResults[CandleRow] = SymbolResults({}, {})
        for round_ in range(ROUNDS_MAX):
            missing = [track for track in tracks if track.symbol not in answers.found]
            limit_ms = limits_ms[0] if len(answers.found) >= enough else limits_ms[1]
            if not missing or (round_ and self._now_ms() >= limit_ms):
                break
            if round_:
                await self._clock.sleep(ROUND_EVERY_S[min(round_, len(ROUND_EVERY_S)) - 1])
            more = await self._fetch_each(missing, limit_ms, lambda track: self._one(track, open_ms))
            answers.found |= {symbol: row for symbol, row in more.found.items() if row is not None}
            answers.failed = more.failed
        return answers

    async def _one(self, track: SymbolCursor, open_ms: int) -> CandleRow | None:
        rows = await self._rest.candles(track.symbol, open_ms, open_ms + track.timeframe_ms)
        return next(iter(self._believed(track, rows)), None)

    def _believed(self, track: SymbolCursor, rows: Sequence[CandleRow]) -> list[CandleRow]:
        """The rows up to one that jumps absurdly, unless the exchange has said just that before."""
        kept: list[CandleRow] = []
        known_usdt = track.close_usdt
        for row in rows:
            if is_price_jump(row.close, known_usdt) and track.doubtful != row:
                self._refusals.refuse(track.symbol, 0, RefusalReason.ABSURD_JUMP, str(row))
                track.doubtful = row
                break
            kept.append(row)
            known_usdt = row.close
        return kept

    async def fetch_window(
        self, tracks: Sequence[SymbolCursor], from_ms: int, until_ms: int, limit_ms: int
    ) -> SymbolResults[Rows]:
        """The candles of each symbol that open in a window; asked again where some are missing.

        After `MEND_ATTEMPTS_MAX` times a hole between candles is believed. One that reaches the end of the window
        never is: an exchange that shows nothing has failed.
        """
        answers: SymbolResults[Rows] = SymbolResults({}, {})
        for round_ in range(MEND_ATTEMPTS_MAX):
            open_ = [track for track in tracks if not self._whole(track, answers, from_ms, until_ms)]
            if not open_ or (round_ and self._now_ms() >= limit_ms):
                break
            if round_:
                await self._clock.sleep(ROUND_EVERY_S[round_ - 1])
            more = await self._fetch_each(open_, limit_ms, lambda track: self._rows(track, from_ms, until_ms))
            answers.found |= more.found
            answers.failed |= more.failed
        for track in tracks:
            if not self._reaches(track, answers, until_ms):
                answers.found.pop(track.symbol, None)
        return answers

    @staticmethod
    def _reaches(track: SymbolCursor, answers: SymbolResults[Rows], until_ms: int) -> bool:
        rows = answers.found.get(track.symbol)
        newest_ms = rows[-1].open_time_ms + track.timeframe_ms if rows else 0
        return max(newest_ms, track.next_open_ms) >= until_ms

    async def _rows(self, track: SymbolCursor, from_ms: int, until_ms: int) -> list[CandleRow]:
        rows = await self._rest.candles(track.symbol, max(from_ms, track.next_open_ms), until_ms)
        return self._believed(track, rows)

    @staticmethod
    def _whole(track: SymbolCursor, answers: SymbolResults[Rows], from_ms: int, until_ms: int) -> bool:
        rows = answers.found.get(track.symbol)
        first_ms = max(from_ms, track.next_open_ms)
        return rows is not None and count_missing(rows, first_ms, until_ms, track.timeframe_ms) == 0

    async def fetch_history(
        self,
        tracks: Sequence[SymbolCursor],
        from_ms: int,
        until_ms: int,
        limit_ms: int,
        shown: Mapping[str, Rows] = MappingProxyType({}),
    ) -> SymbolResults[HistoryWindow]:
        """The candles of a window and the settlements of its time. A symbol without one of the two has failed.

        Symbols of which the streams have `shown` all the candles are not asked for them.
        """
        unseen = [track for track in tracks if track.symbol not in shown]
        candles = await self.fetch_window(unseen, from_ms, until_ms, limit_ms)
        candles.found |= shown
        asked_before = [track.symbol for track in tracks if track.is_checked_until(until_ms)]
        none = {symbol: HistoryWindow(rows, []) for symbol, rows in candles.found.items() if symbol in asked_before}
        answers: SymbolResults[HistoryWindow] = SymbolResults(none, candles.failed)
        for round_ in range(MEND_ATTEMPTS_MAX):
            open_ = [one for one in tracks if one.symbol in candles.found and one.symbol not in answers.found]
            if not open_ or (round_ and self._now_ms() >= limit_ms):
                break
            if round_:
                await self._clock.sleep(ROUND_EVERY_S[round_ - 1])
            more = await self._fetch_each(open_, limit_ms, self._settled)
            answers.failed |= more.failed
            for symbol, settled in more.found.items():
                answers.found[symbol] = HistoryWindow(candles.found[symbol], settled)
        return answers

    async def settlements(self, tracks: Sequence[SymbolCursor], until_ms: int) -> dict[str, list[FundingSettlement]]:
        """The settlements of each symbol that were not delivered yet; a symbol that failed is left out."""
        return (await self._fetch_each(tracks, until_ms, self._settled)).found

    def _settled(self, track: SymbolCursor) -> Awaitable[list[FundingSettlement]]:
        return self._rest.settlements(track.symbol, track.funding_ms + 1)

    async def readings(self, tracks: Sequence[SymbolCursor], until_ms: int) -> dict[str, OpenInterestReading]:
        """The open interest of now of each symbol; a symbol that failed is left out."""
        answers = await self._fetch_each(tracks, until_ms, lambda track: self._rest.open_interest(track.symbol))
        return answers.found

    async def _fetch_each(
        self, tracks: Sequence[SymbolCursor], until_ms: int, question: Callable[[SymbolCursor], Awaitable[T]]
    ) -> SymbolResults[T]:
        """One question for every symbol at once, as fast as the exchange may be asked, until `until_ms`."""
        answers: SymbolResults[T] = SymbolResults({}, {})

        async def fetch_one(track: SymbolCursor) -> None:
            try:
                answers.found[track.symbol] = await question(track)
            except ExchangeError as error:
                answers.failed[track.symbol] = error

        limit_s = max(LIMIT_WALL_S_MIN, (until_ms - self._now_ms()) / 1_000.0 / self._speed)
        tasks = [asyncio.ensure_future(fetch_one(track)) for track in tracks]
        try:
            done, _ = await asyncio.wait(tasks, timeout=limit_s) if tasks else (set(), None)
            for task in done:
                task.result()  # Whatever is no fault of the exchange is a bug, and must not stay silent.
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return answers


def window_ms(symbols: int, timeframe_ms: int) -> int:
    """How much history is fetched at once for so many symbols: the rows of a window fit into a bound."""
    candles = max(WINDOW_CANDLES_MIN, min(WINDOW_CANDLES_MAX, ROWS_A_WINDOW_MAX // max(1, symbols)))
    return candles * timeframe_ms


def facts_of(
    track: SymbolCursor, rows: Sequence[CandleRow], settled: Sequence[FundingSettlement], until_ms: int
) -> list[Ranked]:
    """Candles and settlements of a stretch of history as facts, all late."""
    ranked = [track.candle(row, on_time=False) for row in rows]
    due = [one for one in settled if track.funding_ms < one.time_ms <= until_ms]
    return ranked + [track.settlement(one) for one in due]
