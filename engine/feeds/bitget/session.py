"""One run of the live feed: open the exchange, make up for what was missed, then minute by minute."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import TYPE_CHECKING, Final

from papertape.engine.feeds.bitget.connection import StreamConnection
from papertape.engine.feeds.bitget.contracts import ContractRegistry
from papertape.engine.feeds.bitget.exchange_clock import ExchangeClock
from papertape.engine.feeds.bitget.history import History, HistoryWindow, SymbolResults, facts_of, window_ms
from papertape.engine.feeds.bitget.reconnect import BACKOFF_S, CONNECTIONS_PER_S, ReconnectingStream
from papertape.engine.feeds.bitget.rest import BitgetRest
from papertape.engine.feeds.bitget.settings import BITGET
from papertape.engine.feeds.bitget.settlements import SettlementFetcher
from papertape.engine.feeds.bitget.stream_state import READING_MS, ROWS_KEPT_MAX, StreamState
from papertape.engine.feeds.bitget.symbol_cursor import (
    BEFORE,
    Ranked,
    SymbolCursor,
    count_missing,
    sort_facts,
    utc_text,
)
from papertape.engine.feeds.rate_limit import RateLimiter
from papertape.engine.feeds.refusal_report import RefusalReporter
from papertape.events.errors import ExchangeError
from papertape.events.facts import FeedConnected, FeedFact, FeedLost
from papertape.events.units import HOUR_MS

if TYPE_CHECKING:
    from papertape.engine.feeds.bitget.settings import BitgetSettings
    from papertape.engine.feeds.candle_row import CandleRow
    from papertape.engine.ports.clock import Clock
    from papertape.engine.ports.feed import RefusalLog, ResumePoint

HOUSEKEEPING_S_MAX: Final = 20.0
MEND_S_MAX: Final = 12.0
IDLE_S: Final = 60.0
MEND_CANDLES_MAX: Final = 20_000
"""So many candles of a symbol that was left behind are fetched at once; the rest after the next minute."""
HOLE_MS: Final = HOUR_MS
"""After a hole that cannot be filled a symbol is tradable again when an hour of candles was whole."""


class FeedSession:
    """Everything of one run: the lines, the history, and how far each symbol was delivered."""

    def __init__(
        self, settings: BitgetSettings, clock: Clock, wall: Clock, refusals: RefusalLog, left: Sequence[str] = ()
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._wall = wall
        self._refusals = refusals
        self._tally = RefusalReporter(refusals, BITGET, clock.now_ms())
        self._rest = BitgetRest(settings, clock, refusals)
        self._past = History(self._rest, clock, self.now_ms, settings.speed, refusals)
        self._listing = ContractRegistry(self._rest, settings, left)
        self.board = StreamState(settings.symbols, settings.timeframe_ms, refusals)
        self._funding = SettlementFetcher(self._past, self.board, clock, self.now_ms, settings)
        self._news = asyncio.Event()
        self.board.on_news = self._news.set
        pacer = RateLimiter(CONNECTIONS_PER_S, clock)
        size = settings.symbols_a_connection
        parts = [settings.symbols[first : first + size] for first in range(0, len(settings.symbols), size)]
        self._lines = [
            ReconnectingStream(part, settings, clock, self.board, pacer, self._make_stream) for part in parts
        ]
        self._heard_ms = 0.0
        self.pulse = ExchangeClock(self._rest, clock, settings, self._last_heard_ms)
        self._tasks: list[asyncio.Task[None]] = []
        self._tracks: list[SymbolCursor] = []
        self._held: list[Ranked] = []
        """What is told with the next batch: a settlement of the same time, known a minute later, goes before it."""
        self._lost = True
        self._told_lost = False

    def _make_stream(self, symbols: Sequence[str]) -> StreamConnection:
        return StreamConnection(symbols, self._settings, self._clock, self.now_ms, self.board, self._refusals)

    def _last_heard_ms(self) -> float:
        """When any stream brought something last, by our clock."""
        streams = [line.stream for line in self._lines if line.stream is not None]
        self._heard_ms = max([self._heard_ms, *(stream.heard_s * 1_000.0 for stream in streams)])
        return self._heard_ms

    def now_ms(self) -> int:
        """The exchange's time, UTC ms."""
        return self._rest.server_now_ms()

    def reconnect(self) -> str:
        """Give every connection up for a new one; what was done, in words."""
        streams = [line.stream for line in self._lines if line.stream is not None]
        for stream in streams:
            stream.give_up("a new connection was asked for")
        return f"{len(streams)} of {len(self._lines)} connections are made anew"

    def resubscribe(self, symbol: str) -> str:
        """Subscribe a symbol again; what was done, in words. Its candles come from the history meanwhile."""
        for line in self._lines:
            if symbol in line.symbols and line.stream is not None:
                line.stream.request_resubscribe(symbol)
                return "subscribed again"
        return self.reconnect()

    async def close(self) -> None:
        """End the lines and give the connections back."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._rest.close()

    async def facts(self, seen: dict[str, ResumePoint]) -> AsyncIterator[list[FeedFact]]:
        """Batches in time order, for ever."""
        async for batch in self._open(seen):
            yield batch
        self._tasks = [asyncio.ensure_future(line.run()) for line in self._lines]
        while True:
            self._look_after_lines()
            if all(track.ended for track in self._tracks):
                await self._clock.sleep(IDLE_S)  # There is nothing to watch, until the exchange lists it.
                yield await self._housekeeping()
            elif self._is_behind():
                async for batch in self._catch_up():
                    yield batch
            else:
                yield await self._minute()
                # Who was just found to be away is left alone: it is asked again after a pause.
                if not self._lost:
                    yield await self._housekeeping()

    def _look_after_lines(self) -> None:
        """A line never ends; one that did has a bug, which must not stay silent."""
        for task in self._tasks:
            if task.done():
                task.result()

    # ------------------------------------------------------------ opening

    async def _open(self, seen: dict[str, ResumePoint]) -> AsyncIterator[list[FeedFact]]:
        """Learn the time and the contracts, however long the exchange cannot be reached."""
        for attempt in range(1 << 62):
            try:
                await self.pulse.synchronize()
                listed = await self._listing.contract_facts(seen)
                break
            except ExchangeError as error:
                if attempt == 0:
                    yield [self._lost_now(str(error))]
            await self.pulse.pause(attempt)
        self._tracks = self._listing.make_tracks(seen, self.now_ms())
        facts = [*listed, *self._listing.tradability_changes(self._tracks, self.now_ms())]
        for track in self._tracks:
            facts += self._hole(track, track.cut_candles, track.next_open_ms) if track.cut_candles else ()
        yield facts

    def _lost_now(self, why: str) -> FeedFact:
        self._lost = self._told_lost = True
        return FeedLost(self.now_ms(), BITGET, f"{why}; it is tried again")

    # ------------------------------------------------------------ catching up

    def _waited_for(self) -> list[SymbolCursor]:
        return [track for track in self._tracks if not track.lagging and not track.ended]

    def _is_behind(self) -> bool:
        """Whether more than the minute that ends is missing."""
        waited = self._waited_for()
        step_ms = self._settings.timeframe_ms
        self._lost = self._lost or not waited
        oldest_ms = min((track.next_open_ms for track in waited), default=0)
        return self._lost or self.now_ms() >= oldest_ms + 2 * step_ms + int(self._settings.declare_s * 1_000)

    async def _catch_up(self) -> AsyncIterator[list[FeedFact]]:
        """Everything that closed meanwhile, window by window and in order, for all symbols that answer."""
        step_ms = self._settings.timeframe_ms
        for track in self._tracks:
            track.lagging = track.lagging and not self._lost
        if self._told_lost:
            await self.pulse.wait_for_exchange()
        while True:
            tracks = self._waited_for()
            present_ms = self._present_ms()
            from_ms = min((track.next_open_ms for track in tracks), default=present_ms)
            if from_ms >= present_ms:
                break
            until_ms = min(present_ms, from_ms + window_ms(len(tracks), step_ms))
            async for batch in self._window(tracks, from_ms, until_ms):
                yield batch
        yield self._caught_up(present_ms)

    def _present_ms(self) -> int:
        """Up to where candles are closed. The exchange may need a moment to show the newest."""
        step_ms = self._settings.timeframe_ms
        return (self.now_ms() - int(self._settings.grace_s * 1_000)) // step_ms * step_ms

    async def _window(self, tracks: list[SymbolCursor], from_ms: int, until_ms: int) -> AsyncIterator[list[FeedFact]]:
        """One window of all symbols. Where none answers it is waited; one that alone fails is left behind."""
        for attempt in range(1 << 62):
            # Two questions a symbol take their time, where there are many.
            pace_s = self._settings.declare_s + 2.0 * len(tracks) / self._settings.requests_per_s
            limit_ms = self.now_ms() + int(pace_s * 1_000)
            answers = await self._past.fetch_history(tracks, from_ms, until_ms, limit_ms, self._shown(tracks, until_ms))
            if answers.found:
                break
            if not self._told_lost:
                yield [self._lost_now(answers.failure_summary(len(tracks)))]
            await self.pulse.wait_for_exchange() if answers.failed else await self.pulse.pause(attempt)
            until_ms = min(until_ms, max(from_ms, self._present_ms()))
            if not answers.failed:
                # The exchange answers, and shows none: a hole of its own that ends behind this window.
                further_ms = until_ms + window_ms(len(tracks), self._settings.timeframe_ms)
                until_ms = max(until_ms, min(self._present_ms(), further_ms))
        ranked, facts = self._made_up(tracks, answers, until_ms)
        held, self._held = self._held, []
        yield sort_facts(held + ranked) + facts

    def _shown(self, tracks: Sequence[SymbolCursor], until_ms: int) -> dict[str, list[CandleRow]]:
        """The candles up to a time of the symbols whose streams have shown all of them since they were told last.

        While many symbols catch up minutes go by; without this they would be behind again at the end of it.
        """
        step_ms, settle_ms = self._settings.timeframe_ms, int(self._settings.settle_s * 1_000)
        shown = {}
        for track in tracks:
            opens = range(track.next_open_ms, until_ms, step_ms)
            if len(opens) > ROWS_KEPT_MAX:
                continue
            rows = [self.board.final_candle(track.symbol, open_ms, settle_ms) for open_ms in opens]
            known = [row for row in rows if row is not None]
            if len(known) == len(rows):
                shown[track.symbol] = known
        return shown

    def _made_up(
        self, tracks: Sequence[SymbolCursor], answers: SymbolResults[HistoryWindow], until_ms: int
    ) -> tuple[list[Ranked], list[FeedFact]]:
        """The history of some symbols, and what is to be told of them; those that failed are left behind."""
        ranked: list[Ranked] = []
        facts: list[FeedFact] = []
        for track in tracks:
            found = answers.found.get(track.symbol)
            if found is None:
                facts += self._leave_behind(track, answers.failure_reason(track.symbol))
                continue
            facts += self._holes(track, found.rows, until_ms)
            ranked += facts_of(track, found.rows, found.settled, until_ms)
            track.next_open_ms = max(track.next_open_ms, until_ms)
            track.settled_hour_ms = (until_ms - 1) // HOUR_MS * HOUR_MS
            facts += track.gap_filled(until_ms) if track.lagging else ()
            facts += track.release("missing", "its candles are there again", self.now_ms())
        return ranked, facts

    def _caught_up(self, present_ms: int) -> list[FeedFact]:
        """The present is reached: say so when it was lost before."""
        if not self._lost:
            return []
        self._lost = self._told_lost = False
        facts: list[FeedFact] = [FeedConnected(present_ms, BITGET, self._wall.now_ms(), self._settings.speed)]
        for track in self._waited_for():
            facts += track.release(BEFORE, "its candles are whole", self.now_ms())
        return facts

    def _holes(self, track: SymbolCursor, rows: list[CandleRow], until_ms: int) -> list[FeedFact]:
        """A hole that the exchange has itself makes a symbol that is traded already untradable for a while."""
        first_ms = track.next_open_ms
        if first_ms < track.start_ms and rows:
            first_ms = rows[0].open_time_ms  # A contract may be younger than the warm-up.
        missing = count_missing(rows, first_ms, until_ms, track.timeframe_ms)
        return [] if missing <= 0 or first_ms < track.start_ms else self._hole(track, missing, first_ms)

    def _hole(self, track: SymbolCursor, missing: int, from_ms: int) -> list[FeedFact]:
        """Candles that never come: nothing is opened before an hour of them was whole."""
        track.whole_again_ms = self.now_ms() + HOLE_MS
        text = f"{missing} of its candles cannot be had, from {utc_text(from_ms)} UTC on"
        return list(track.suspend("hole", text, self.now_ms()))

    def _leave_behind(self, track: SymbolCursor, why: str) -> list[FeedFact]:
        """Nobody waits for this symbol any more; it is asked for again every minute."""
        track.lagging = True
        return list(track.suspend("missing", f"its candles are missing: {why}", self.now_ms()))

    # ------------------------------------------------------------ minute by minute

    async def _minute(self) -> list[FeedFact]:
        """The candles of the next minute of all symbols that are waited for, with what belongs to its time."""
        settings, tracks = self._settings, self._waited_for()
        open_ms = min(track.next_open_ms for track in tracks)
        close_ms = open_ms + settings.timeframe_ms
        why, ahead = await asyncio.gather(
            self._until_over(tracks, close_ms), self._funding.fetch_before_close(tracks, open_ms)
        )
        self._held += ahead
        if why:
            return [self._lost_now(why)]
        due = [track for track in tracks if track.next_open_ms == open_ms]
        settle_ms = int(settings.settle_s * 1_000)
        shown = {track.symbol: self.board.final_candle(track.symbol, open_ms, settle_ms) for track in due}
        rows = {symbol: row for symbol, row in shown.items() if row is not None}
        open_ = [track for track in due if track.symbol not in rows]
        wait_ms, declare_ms = int(settings.wait_s * 1_000), int(settings.declare_s * 1_000)
        # What was silent before the close already is declared that much sooner.
        alive_ms = min(close_ms, self.now_ms() - int(self.pulse.silent_s() * 1_000))
        limits_ms = (close_ms + wait_ms, max(close_ms + wait_ms, alive_ms + declare_ms))
        answers, settled = await asyncio.gather(
            self._past.fetch_candle(open_, open_ms, limits_ms, len(due) // 2 - len(rows)),
            self._funding.fetch_after_close(tracks, open_ms),
        )
        rows |= answers.found
        held, self._held = self._held + settled, []
        if not rows:
            self._held = held
            return [self._lost_now(answers.failure_summary(len(open_)))]
        self._held = await self._readings(tracks, close_ms)
        on_time = self.now_ms() <= close_ms + int(settings.on_time_s * 1_000)
        facts: list[FeedFact] = []
        candles: list[Ranked] = []
        for track in due:
            row = rows.get(track.symbol)
            if row is None:
                facts += self._leave_behind(track, answers.failure_reason(track.symbol))
                continue
            # A settlement that is not known yet may still change what is decided on this candle.
            decidable = on_time and not track.expects_settlement(open_ms)
            candles.append(track.candle(row, on_time=decidable))
            facts += track.gap_filled(close_ms) if decidable else ()
            if close_ms >= track.whole_again_ms:
                facts += track.release("hole", "an hour of candles was whole", close_ms)
        return sort_facts(held + candles) + facts

    async def _until_over(self, tracks: Sequence[SymbolCursor], close_ms: int) -> str:
        """Wait for the end of a candle, its corrections, and for the streams to begin the next one, up to a limit.

        Why the exchange is lost meanwhile; empty while it lives.
        """
        settle_ms = int(self._settings.settle_s * 1_000)
        if why := await self.pulse.wait_until(close_ms + settle_ms):
            return why
        ask_ms = close_ms + int(self._settings.grace_s * 1_000)
        while not all(self._is_shown(track, close_ms, settle_ms) for track in tracks):
            left_s = (ask_ms - self.now_ms()) / 1_000.0 / self._settings.speed
            if left_s <= 0.0:
                break
            self._news.clear()
            try:
                await asyncio.wait_for(self._news.wait(), left_s)
            except TimeoutError:
                break
        return ""

    def _is_shown(self, track: SymbolCursor, close_ms: int, settle_ms: int) -> bool:
        """Whether the streams showed all that belongs to this time: the candle, and the reading where one is due."""
        reading_ms = max(track.reading_ms, self.board.symbols[track.symbol].reading_ms)
        is_read = close_ms % READING_MS != 0 or reading_ms >= close_ms
        return is_read and self.board.is_over(track.symbol, close_ms, settle_ms)

    async def _readings(self, tracks: Sequence[SymbolCursor], close_ms: int) -> list[Ranked]:
        """The open interest standing at this time, from the ticker or, where that is silent, from the exchange."""
        if close_ms % READING_MS != 0:
            return []
        shown = {track.symbol: self.board.symbols[track.symbol] for track in tracks}
        silent = [track for track in tracks if shown[track.symbol].reading_ms != close_ms]
        asked = await self._past.readings(silent, close_ms + int(self._settings.on_time_s * 1_000))
        ranked: list[Ranked] = []
        for track in tracks:
            if track.reading_ms >= close_ms:
                continue
            if track.symbol in asked:
                ranked.append(track.reading(close_ms, asked[track.symbol].open_interest_base))
            elif shown[track.symbol].reading_ms == close_ms:
                ranked.append(track.reading(close_ms, shown[track.symbol].open_interest_base))
        return ranked

    # ------------------------------------------------------------ housekeeping

    async def _housekeeping(self) -> list[FeedFact]:
        """Between two minutes: the clock, what was refused, contracts' states, the symbols that were left behind."""
        facts = await self._done(self._mend([track for track in self._tracks if track.lagging and not track.ended]))
        await self._done(self._learned())
        facts += self.pulse.skew_facts() + self._tally.due(self.now_ms())
        return facts + await self._done(self._listing.state_changes(self._tracks, self.now_ms()))

    async def _learned(self) -> list[FeedFact]:
        await self.pulse.synchronize()
        return []

    async def _done(self, work: Awaitable[list[FeedFact]]) -> list[FeedFact]:
        """One piece of housekeeping; where the exchange does not answer in time, it is done after the next minute."""
        try:
            async with asyncio.timeout(max(1.0, HOUSEKEEPING_S_MAX / self._settings.speed)):
                return await work
        except (ExchangeError, TimeoutError):
            return []

    async def _mend(self, lagging: list[SymbolCursor]) -> list[FeedFact]:
        """What symbols miss up to where the others are, late; then they are waited for again."""
        waited = self._waited_for()
        if not lagging or not waited:
            return []
        # Some of them were asked for just now.
        await self._clock.sleep(BACKOFF_S[0])
        from_ms = min(track.next_open_ms for track in lagging)
        others_ms = min(track.next_open_ms for track in waited)
        until_ms = min(others_ms, from_ms + MEND_CANDLES_MAX * self._settings.timeframe_ms)
        answers = await self._past.fetch_history(lagging, from_ms, until_ms, self.now_ms() + int(MEND_S_MAX * 1_000))
        mended = [track for track in lagging if track.symbol in answers.found]
        ranked, facts = self._made_up(mended, answers, until_ms)
        for track in mended:
            track.lagging = track.next_open_ms < others_ms
        return sort_facts(ranked) + facts
