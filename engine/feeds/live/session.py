"""One run of the live feed: open the exchange, catch up on what was missed, then deliver minute by minute."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from papertape.engine.feeds.live.contracts import ContractRegistry
from papertape.engine.feeds.live.exchange_clock import ExchangeClock
from papertape.engine.feeds.live.history import History, HistoryWindow, SymbolResults, window_ms
from papertape.engine.feeds.live.readings import ReadingFetcher
from papertape.engine.feeds.live.reconnect import BACKOFF_S
from papertape.engine.feeds.live.settlements import SettlementFetcher
from papertape.engine.feeds.live.stream_group import StreamGroup
from papertape.engine.feeds.live.stream_state import StreamState
from papertape.engine.feeds.live.symbol_cursor import SuspensionReason, SymbolCursor, sort_facts
from papertape.engine.feeds.refusal_report import RefusalReporter
from papertape.engine.ports.feed import ResumePoint
from papertape.events.errors import ExchangeError
from papertape.events.facts import FeedConnected, FeedFact, FeedLost, MarketFact

if TYPE_CHECKING:
    from papertape.engine.feeds.candle_row import CandleRow
    from papertape.engine.feeds.live.exchange import ExchangeClient, LiveSettings
    from papertape.engine.ports.clock import Clock
    from papertape.engine.ports.feed import RefusalLog
    from papertape.events.facts import ContractListed

HOUSEKEEPING_S_MAX: Final = 20.0
MEND_S_MAX: Final = 12.0
IDLE_S: Final = 60.0
MEND_CANDLES_MAX: Final = 20_000
"""The most candles of lagging symbols that are fetched at once; the rest follows after the next minute."""


class WatchChange(Struct, frozen=True):
    """Other symbols to watch: the settings with all of them, those that have only a position, and what was seen."""

    settings: LiveSettings
    unconfigured: tuple[str, ...]
    seen: dict[str, ResumePoint]


class FeedSession:
    """One run: the streams, the history, and a cursor for each symbol.

    `unconfigured` symbols have a position, but are no longer configured: they are watched and not traded.
    """

    def __init__(
        self,
        client: ExchangeClient,
        settings: LiveSettings,
        clock: Clock,
        wall: Clock,
        refusals: RefusalLog,
        unconfigured: Sequence[str] = (),
    ) -> None:
        self._client = client
        self._settings = settings
        self._clock = clock
        self._wall = wall
        self._refusal_reporter = RefusalReporter(refusals, self._client.name, clock.now_ms())
        self._history = History(self._client, clock, settings.speed, refusals)
        self._contracts = ContractRegistry(self._client, settings, unconfigured)
        self._frame_arrived = asyncio.Event()
        self.stream_state = StreamState((), settings.timeframe_ms, refusals, on_frame=self._frame_arrived.set)
        self._settlements = SettlementFetcher(self._history, self.stream_state, clock, self.now_ms, settings)
        self._readings = ReadingFetcher(self._history, self.stream_state, client.open_interest_source)
        self.streams = StreamGroup(client, settings, clock, self.stream_state)
        self._heard_ms = 0.0
        self.exchange_clock = ExchangeClock(self._client, clock, settings, self._last_heard_ms)
        self.change: WatchChange | None = None
        """Other symbols to watch from the next minute on."""
        self._cursors: list[SymbolCursor] = []
        self._held_facts: list[MarketFact] = []
        """Facts for the next batch: a settlement of the same time that arrives a minute later goes before them."""
        self._lost = True
        self._loss_reported = False

    def _last_heard_ms(self) -> float:
        """Return when any connection last received data, by our clock."""
        self._heard_ms = max([self._heard_ms, *(one.heard_s * 1_000.0 for one in self.streams.connections())])
        return self._heard_ms

    def now_ms(self) -> int:
        """Return the exchange's time, UTC ms."""
        return self._client.server_now_ms()

    def reconnect(self) -> str:
        """Replace every connection, and describe what was done."""
        connections = self.streams.connections()
        for connection in connections:
            connection.give_up("a reconnect was requested")
        return f"reconnecting {len(connections)} of {len(self.streams.streams)} connections"

    def resubscribe(self, symbol: str) -> str:
        """Subscribe a symbol again, and describe what was done. The history supplies its candles meanwhile."""
        for connection in self.streams.connections():
            if symbol in connection.symbols:
                connection.request_resubscribe(symbol)
                return "subscribed again"
        return self.reconnect()

    async def close(self) -> None:
        """Stop the streams and close the connections."""
        await self.streams.close()
        await self._client.close()

    async def facts(self, seen: dict[str, ResumePoint]) -> AsyncIterator[list[FeedFact]]:
        """Yield batches in time order, forever."""
        async for batch in self._open(seen):
            yield batch
        self.streams.watch(self._settings.symbols)
        while True:
            self.streams.check()
            if self.change is not None:
                yield self._apply_change(self.change)
            if all(cursor.ended for cursor in self._cursors):
                await self._clock.sleep(IDLE_S)  # Nothing can be watched until the exchange lists it.
                yield await self._housekeeping()
            elif self._is_behind():
                async for batch in self._catch_up():
                    yield batch
            else:
                yield await self._minute()
                # An exchange that has just been declared lost is left alone until the next attempt.
                if not self._lost:
                    yield await self._housekeeping()

    async def new_contracts(self, symbols: Sequence[str]) -> list[ContractListed]:
        """Return the contracts of symbols that are about to be watched; raise as `ContractRegistry.new_contracts`."""
        return await self._contracts.new_contracts(symbols)

    def _apply_change(self, change: WatchChange) -> list[FeedFact]:
        """Watch other symbols from now on; new ones fetch their history between the minutes of the others."""
        before, now_ms, settings = set(self._settings.symbols), self.now_ms(), change.settings
        self.change, self._settings = None, settings
        self._contracts.change_settings(settings, change.unconfigured)
        self._cursors = [cursor for cursor in self._cursors if cursor.symbol in settings.symbols]
        self._held_facts = [fact for fact in self._held_facts if fact.symbol in settings.symbols]
        new = [symbol for symbol in settings.symbols if symbol not in before]
        joined = self._contracts.join(new, change.seen, now_ms)
        self._cursors += joined
        self.streams.drop(before.difference(settings.symbols))
        self.streams.watch(new)
        return [*self._contracts.tradability_changes(self._cursors, now_ms), *self._suspend_cut(joined)]

    def _suspend_cut(self, cursors: Sequence[SymbolCursor]) -> list[FeedFact]:
        """Suspend the symbols that were away for longer than is fetched."""
        facts: list[FeedFact] = []
        for cursor in cursors:
            if cursor.cut_candles:
                facts += cursor.suspend_for_hole(cursor.cut_candles, cursor.next_open_ms, self.now_ms())
        return facts

    # ------------------------------------------------------------ opening

    async def _open(self, seen: dict[str, ResumePoint]) -> AsyncIterator[list[FeedFact]]:
        """Fetch the time and the contracts; retry until the exchange answers."""
        for attempt in range(1 << 62):
            try:
                await self.exchange_clock.synchronize()
                listed = await self._contracts.contract_facts(seen)
                break
            except ExchangeError as error:
                if attempt == 0:
                    yield [self._report_loss(str(error))]
            await self.exchange_clock.pause(attempt)
        self._cursors = self._contracts.make_cursors(seen, self.now_ms())
        changes = self._contracts.tradability_changes(self._cursors, self.now_ms())
        yield [*listed, *changes, *self._suspend_cut(self._cursors)]

    def _report_loss(self, reason: str) -> FeedFact:
        self._lost = self._loss_reported = True
        return FeedLost(self.now_ms(), self._client.name, f"{reason}; retrying")

    # ------------------------------------------------------------ catching up

    def _active_cursors(self) -> list[SymbolCursor]:
        return [cursor for cursor in self._cursors if not cursor.lagging and not cursor.ended]

    def _is_behind(self) -> bool:
        """Return whether more than the current minute is missing."""
        cursors = self._active_cursors()
        step_ms = self._settings.timeframe_ms
        self._lost = self._lost or not cursors
        oldest_ms = min((cursor.next_open_ms for cursor in cursors), default=0)
        return self._lost or self.now_ms() >= oldest_ms + 2 * step_ms + int(self._settings.declare_s * 1_000)

    async def _catch_up(self) -> AsyncIterator[list[FeedFact]]:
        """Yield everything that closed meanwhile, window by window and in order, for all symbols that answer."""
        step_ms = self._settings.timeframe_ms
        for cursor in self._cursors:
            cursor.lagging = cursor.lagging and not self._lost
        if self._loss_reported:
            await self.exchange_clock.wait_for_exchange()
        while True:
            cursors = self._active_cursors()
            present_ms = self._present_ms()
            from_ms = min((cursor.next_open_ms for cursor in cursors), default=present_ms)
            if from_ms >= present_ms:
                break
            until_ms = min(present_ms, from_ms + window_ms(len(cursors), step_ms))
            async for batch in self._window(cursors, from_ms, until_ms):
                yield batch
        yield self._report_connected(present_ms)

    def _present_ms(self) -> int:
        """Return the time up to which candles are closed. The exchange may need a moment to show the newest."""
        step_ms = self._settings.timeframe_ms
        return (self.now_ms() - int(self._settings.grace_s * 1_000)) // step_ms * step_ms

    async def _window(self, cursors: list[SymbolCursor], from_ms: int, until_ms: int) -> AsyncIterator[list[FeedFact]]:
        """Yield one window of all symbols. Retry until one symbol answers; those that fail then are left behind."""
        settings = self._settings
        for attempt in range(1 << 62):
            # Two requests a symbol take their time where there are many symbols.
            allowed_s = settings.declare_s + 2.0 * len(cursors) / settings.requests_per_s
            limit_ms = self.now_ms() + int(allowed_s * 1_000)
            streamed = self._streamed_rows(cursors, until_ms)
            results = await self._history.fetch_history(cursors, from_ms, until_ms, limit_ms, streamed)
            if results.values:
                break
            if not self._loss_reported:
                yield [self._report_loss(results.failure_summary(len(cursors)))]
            await self.exchange_clock.wait_for_exchange() if results.errors else await self.exchange_clock.pause(
                attempt
            )
            until_ms = min(until_ms, max(from_ms, self._present_ms()))
            if not results.errors:
                # The exchange answers without candles: it has a hole that ends after this window.
                further_ms = until_ms + window_ms(len(cursors), settings.timeframe_ms)
                until_ms = max(until_ms, min(self._present_ms(), further_ms))
        late, facts = self._advance(cursors, results, until_ms)
        held, self._held_facts = self._held_facts, []
        yield [*sort_facts(held + late, settings.symbols), *facts]

    def _streamed_rows(self, cursors: Sequence[SymbolCursor], until_ms: int) -> dict[str, list[CandleRow]]:
        """Return the candles up to a time of the symbols whose streams have shown all of them.

        Minutes pass while many symbols catch up; without this they would be behind again at the end of it.
        """
        step_ms, settle_ms = self._settings.timeframe_ms, int(self._settings.settle_s * 1_000)
        streamed = {}
        for cursor in cursors:
            opens_ms = range(cursor.next_open_ms, until_ms, step_ms)
            rows = self.stream_state.final_candles(cursor.symbol, opens_ms, settle_ms)
            if rows is not None:
                streamed[cursor.symbol] = rows
        return streamed

    def _advance(
        self, cursors: Sequence[SymbolCursor], results: SymbolResults[HistoryWindow], until_ms: int
    ) -> tuple[list[MarketFact], list[FeedFact]]:
        """Advance the cursors over their history; return its facts, and those about the symbols themselves."""
        late: list[MarketFact] = []
        facts: list[FeedFact] = []
        for cursor in cursors:
            window = results.values.get(cursor.symbol)
            if window is None:
                facts += cursor.fall_behind(results.failure_reason(cursor.symbol), self.now_ms())
                continue
            facts += cursor.suspend_for_missing(window.rows, until_ms, self.now_ms())
            late += cursor.late_facts(window.rows, window.settlements, until_ms)
            facts += cursor.gap_filled(until_ms) if cursor.lagging else ()
            facts += cursor.release(SuspensionReason.MISSING, "its candles are available again", self.now_ms())
        return late, facts

    def _report_connected(self, present_ms: int) -> list[FeedFact]:
        """Report that the present is reached, if the exchange was lost before."""
        if not self._lost:
            return []
        self._lost = self._loss_reported = False
        facts: list[FeedFact] = [
            FeedConnected(present_ms, self._client.name, self._wall.now_ms(), self._settings.speed)
        ]
        for cursor in self._active_cursors():
            facts += cursor.release(SuspensionReason.RESTART, "its candles are complete", self.now_ms())
        return facts

    # ------------------------------------------------------------ minute by minute

    async def _minute(self) -> list[FeedFact]:
        """Return the next candle of every active symbol, with the facts that belong to its time."""
        settings, cursors = self._settings, self._active_cursors()
        open_ms = min(cursor.next_open_ms for cursor in cursors)
        close_ms = open_ms + settings.timeframe_ms
        loss, early = await asyncio.gather(
            self._wait_for_close(cursors, close_ms), self._settlements.fetch_before_close(cursors, open_ms)
        )
        self._held_facts += early
        if loss:
            return [self._report_loss(loss)]
        due = [cursor for cursor in cursors if cursor.next_open_ms == open_ms]
        settle_ms = int(settings.settle_s * 1_000)
        streamed = {cursor.symbol: self.stream_state.final_candle(cursor.symbol, open_ms, settle_ms) for cursor in due}
        rows = {symbol: row for symbol, row in streamed.items() if row is not None}
        missing = [cursor for cursor in due if cursor.symbol not in rows]
        wait_ms, declare_ms = int(settings.wait_s * 1_000), int(settings.declare_s * 1_000)
        # An exchange that fell silent before the close is declared lost that much sooner.
        alive_ms = min(close_ms, self.now_ms() - int(self.exchange_clock.silent_s() * 1_000))
        limits_ms = (close_ms + wait_ms, max(close_ms + wait_ms, alive_ms + declare_ms))
        results, settled = await asyncio.gather(
            self._history.fetch_candle(missing, open_ms, limits_ms, len(due) // 2 - len(rows)),
            self._settlements.fetch_after_close(cursors, open_ms),
        )
        rows |= results.values
        self._held_facts += settled
        if not rows:
            return [self._report_loss(results.failure_summary(len(missing)))]
        on_time_ms = close_ms + int(settings.on_time_s * 1_000)
        market_facts, self._held_facts = self._held_facts, await self._readings.fetch(cursors, close_ms, on_time_ms)
        on_time = self.now_ms() <= on_time_ms
        facts: list[FeedFact] = []
        for cursor in due:
            row = rows.get(cursor.symbol)
            if row is None:
                facts += cursor.fall_behind(results.failure_reason(cursor.symbol), self.now_ms())
                continue
            # A settlement that is not known yet may still change what is decided on this candle.
            decidable = on_time and not cursor.expects_settlement(open_ms)
            market_facts.append(cursor.candle(row, on_time=decidable))
            facts += cursor.gap_filled(close_ms) if decidable else ()
            if close_ms >= cursor.complete_again_ms:
                facts += cursor.release(SuspensionReason.HOLE, "an hour of candles was complete", close_ms)
        return [*sort_facts(market_facts, settings.symbols), *facts]

    async def _wait_for_close(self, cursors: Sequence[SymbolCursor], close_ms: int) -> str:
        """Wait up to a limit until a candle and its corrections are over and the streams have begun the next one.

        Return why the exchange was lost meanwhile; empty while it lives.
        """
        settle_ms = int(self._settings.settle_s * 1_000)
        if loss := await self.exchange_clock.wait_until(close_ms + settle_ms):
            return loss
        fetch_ms = close_ms + int(self._settings.grace_s * 1_000)
        while not all(self._is_streamed(cursor, close_ms, settle_ms) for cursor in cursors):
            left_s = (fetch_ms - self.now_ms()) / 1_000.0 / self._settings.speed
            if left_s <= 0.0:
                break
            self._frame_arrived.clear()
            try:
                await asyncio.wait_for(self._frame_arrived.wait(), left_s)
            except TimeoutError:
                break
        return ""

    def _is_streamed(self, cursor: SymbolCursor, close_ms: int, settle_ms: int) -> bool:
        """Return whether the streams have shown the candle, and the open interest reading where one is due."""
        is_over = self.stream_state.is_over(cursor.symbol, close_ms, settle_ms)
        return is_over and not self._readings.is_awaited(cursor, close_ms)

    # ------------------------------------------------------------ housekeeping

    async def _housekeeping(self) -> list[FeedFact]:
        """Synchronize the clock, report refusals, check contracts and mend lagging symbols between two minutes."""
        facts = await self._attempt(self._mend([one for one in self._cursors if one.lagging and not one.ended]))
        await self._attempt(self.exchange_clock.synchronize())
        facts += self.exchange_clock.skew_facts() + self._refusal_reporter.due(self.now_ms())
        return facts + await self._attempt(self._contracts.state_changes(self._cursors, self.now_ms()))

    async def _attempt(self, work: Awaitable[list[FeedFact] | None]) -> list[FeedFact]:
        """Do one piece of housekeeping; if the exchange does not answer in time, the next minute brings it again."""
        try:
            async with asyncio.timeout(max(1.0, HOUSEKEEPING_S_MAX / self._settings.speed)):
                return await work or []
        except (ExchangeError, TimeoutError):
            return []

    async def _mend(self, lagging: list[SymbolCursor]) -> list[FeedFact]:
        """Return what lagging symbols miss, up to where the others are; then they are active again."""
        active = self._active_cursors()
        if not lagging or not active:
            return []
        # Some of them were requested a moment ago.
        await self._clock.sleep(BACKOFF_S[0])
        from_ms = min(cursor.next_open_ms for cursor in lagging)
        others_ms = min(cursor.next_open_ms for cursor in active)
        until_ms = min(others_ms, from_ms + MEND_CANDLES_MAX // len(lagging) * self._settings.timeframe_ms)
        limit_ms = self.now_ms() + int(MEND_S_MAX * 1_000)
        results = await self._history.fetch_history(lagging, from_ms, until_ms, limit_ms)
        mended = [cursor for cursor in lagging if cursor.symbol in results.values]
        late, facts = self._advance(mended, results, until_ms)
        for cursor in mended:
            cursor.lagging = cursor.next_open_ms < others_ms
            if not cursor.lagging:
                facts += cursor.release(SuspensionReason.RESTART, "its candles are complete", self.now_ms())
        return [*sort_facts(late, self._settings.symbols), *facts]
