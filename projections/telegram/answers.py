"""From a question to its answer: which view it is, and what else has to be asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

from msgspec import Struct

from papertape.events.errors import PapertapeError, UsageError
from papertape.events.log import Recorded
from papertape.projections.alerts.markup import text
from papertape.projections.host import EventSource
from papertape.projections.site.views import Views
from papertape.projections.telegram.asof import as_of
from papertape.projections.telegram.explain import (
    Conditions,
    as_of_text,
    config_text,
    health_text,
    help_text,
    log_text,
    symbol_of,
    unknown_symbol,
    version_text,
    why_not_text,
    why_text,
)
from papertape.projections.telegram.parse import (
    AsOfQuery,
    CauseQuery,
    DailyResultsQuery,
    NoPositionQuery,
    ProfitQuery,
    Question,
    RecentEventsQuery,
    RecentTradesQuery,
    SummaryQuery,
)
from papertape.projections.telegram.pictures import PlotSeries, picture, total_of
from papertape.projections.telegram.rate_limit import TelegramClock
from papertape.projections.telegram.replies import (
    arena,
    daily_text,
    last_trades,
    positions,
    profit_text,
    risk,
    status,
    weekly_text,
)
from papertape.projections.telegram.results import courses_of
from papertape.projections.telegram.statistics import DeliveryStatistics
from papertape.projections.telegram.wire import ChatMessage
from papertape.projections.text.causes import Explain, cause_chain, explain_chain
from papertape.projections.watchdog.watchdog import WatchdogView

PROGRESS_MS: Final = 3_000
CURVES_MAX: Final = 12
"""More lines than these cannot be told apart: the best and the worst ones are drawn."""


class ReplyChannel(Struct, frozen=True):
    """How something slow reaches the chat: a new text, another text in its place, a picture."""

    post: Callable[[str], Awaitable[ChatMessage | None]]
    edit: Callable[[int, str], Awaitable[object]]
    photo: Callable[[bytes], Awaitable[object]]


class ChatAnswer(Struct, frozen=True):
    """An answer: the text that goes at once, and what follows when it is ready."""

    html: str = ""
    later: Callable[[ReplyChannel], Awaitable[None]] | None = None


class RuntimeInfo(Struct, frozen=True):
    """What the log does not say; whoever starts the engine knows it. `health` are further lines of plain text."""

    version: Callable[[], str] = lambda: ""
    config: Callable[[], str] = lambda: ""
    dog: Callable[[], WatchdogView] | None = None
    delivery: Callable[[], DeliveryStatistics] | None = None
    health: Callable[[], Sequence[str]] | None = None
    conditions: Conditions | None = None
    explain: Explain | None = None


class _NoSuchEvent(Exception):
    """The log has no event of that number."""


class QueryHandler:
    """Answers from views that somebody else folds."""

    def __init__(self, views: Views, outside: RuntimeInfo, source: EventSource, clock: TelegramClock) -> None:
        self._views, self._outside, self._source, self._clock = views, outside, source, clock

    def answer(self, asked: Question, head_seq: int) -> ChatAnswer:
        """The answer to a question; `head_seq` is where the log ends."""
        views = self._views
        match asked:
            case SummaryQuery():
                return self._show(asked)
            case ProfitQuery(days=days):
                return ChatAnswer(profit_text(views, days), self._picture("equity, all strategies", total=True))
            case DailyResultsQuery(days=days):
                return ChatAnswer(daily_text(views, days))
            case RecentTradesQuery(count=count):
                return ChatAnswer(last_trades(views, count))
            case RecentEventsQuery(count=count):
                return ChatAnswer(log_text(views, count))
            case CauseQuery(seq=seq):
                return ChatAnswer(self._why(seq))
            case NoPositionQuery(symbol=symbol):
                return self._why_not(symbol)
            case AsOfQuery():
                return ChatAnswer(later=partial(self._as_of, asked, head_seq))

    def _show(self, asked: SummaryQuery) -> ChatAnswer:
        views, outside = self._views, self._outside
        match asked.what:
            case "status":
                return ChatAnswer(status(views))
            case "positions":
                return ChatAnswer(positions(views))
            case "arena":
                return ChatAnswer(arena(views), self._picture("equity by strategy", total=False))
            case "weekly":
                return ChatAnswer(weekly_text(views))
            case "risk":
                return ChatAnswer(risk(views))
            case "health":
                return ChatAnswer(self._health())
            case "config":
                return ChatAnswer(config_text(outside.config()))
            case "version":
                return ChatAnswer(version_text(views, outside.version()))
            case "help":
                return ChatAnswer(help_text())

    def _health(self) -> str:
        outside = self._outside
        return health_text(
            self._views,
            dog=outside.dog() if outside.dog is not None else None,
            delivery=outside.delivery() if outside.delivery is not None else None,
            more=outside.health() if outside.health is not None else (),
            now_ms=self._clock.now_ms(),
        )

    # ------------------------------------------------------------ why, and why not

    def _why(self, seq: int) -> str:
        try:
            chain = cause_chain(seq, self._lookup, self._views.contracts.by_symbol)
        except _NoSuchEvent:
            return f"there is no event #{seq}; the newest one here is #{self._views.seq}"
        explain = self._outside.explain
        # What was configured up to an event is known when the views have come there.
        if explain is not None and seq <= self._views.seq:
            chain = explain_chain(chain, self._views.in_force, explain)
        return why_text(self._views, chain)

    def _lookup(self, seq: int) -> Recorded:
        found = self._source.read(seq - 1, 1)
        if not found or found[0].seq != seq:
            raise _NoSuchEvent
        return found[0]

    def _why_not(self, asked: str) -> ChatAnswer:
        symbol, conditions = symbol_of(self._views, asked), self._outside.conditions
        if symbol is None:
            return ChatAnswer(unknown_symbol(self._views, asked))
        if conditions is None:
            return ChatAnswer(why_not_text(self._views, symbol))
        return ChatAnswer(later=partial(self._why_not_now, symbol, conditions))

    async def _why_not_now(self, symbol: str, conditions: Conditions, ways: ReplyChannel) -> None:
        """Ask for the conditions where the views stand; what the log says goes also without them."""
        try:
            html = why_not_text(self._views, symbol, await conditions(self._views.seq, symbol))
        except PapertapeError as error:
            html = why_not_text(self._views, symbol, note=f"its conditions cannot be said now: {error}")
        await ways.post(html)

    # ------------------------------------------------------------ what takes longer

    def _picture(self, title: str, *, total: bool) -> Callable[[ReplyChannel], Awaitable[None]] | None:
        """The picture that follows; None while there is nothing to draw."""
        curves = curves_of(self._views)
        drawn = (total_of(curves),) if total and len(curves) > 1 else curves
        return partial(_draw, title, drawn) if any(len(one.points) > 1 for one in drawn) else None

    async def _as_of(self, asked: AsOfQuery, head_seq: int, ways: ReplyChannel) -> None:
        """Read the log again; while that takes long, one message says how far it is, and becomes the answer."""
        progress = _Progress(ways, self._clock, head_seq if asked.seq is None else min(asked.seq, head_seq))
        try:
            answer = await as_of(asked, self._source, head_seq, progress.report)
        except UsageError as error:
            await progress.finish(text(f"there is nothing to show of then: {error}"))
            return
        await progress.finish(as_of_text(answer.views, reached=answer.reached))


class _Progress:
    """One message that says how far something is, and becomes its answer."""

    def __init__(self, ways: ReplyChannel, clock: TelegramClock, goal_seq: int) -> None:
        self._ways, self._clock, self._goal_seq = ways, clock, goal_seq
        self._told_ms = clock.now_ms()
        self._message: ChatMessage | None = None

    async def report(self, seq: int) -> None:
        """Say how far it is, now and then."""
        now_ms = self._clock.now_ms()
        if 0 <= now_ms - self._told_ms < PROGRESS_MS:
            return
        self._told_ms = now_ms
        line = f"reading the log again: {seq:,} of {self._goal_seq:,} at most"
        if self._message is None:
            self._message = await self._ways.post(line)
        else:
            await self._ways.edit(self._message.message_id, line)

    async def finish(self, html: str) -> None:
        """The answer."""
        if self._message is None:
            await self._ways.post(html)
        else:
            await self._ways.edit(self._message.message_id, html)


async def _draw(title: str, curves: tuple[PlotSeries, ...], ways: ReplyChannel) -> None:
    await ways.photo(await asyncio.to_thread(picture, title, curves))


def curves_of(views: Views) -> tuple[PlotSeries, ...]:
    """The equity curves, the best strategy first; of many the best and the worst ones."""
    courses = sorted(courses_of(views), key=lambda one: (one.capital_usdt - one.equity_usdt, one.strategy))
    if len(courses) > CURVES_MAX:
        courses = [*courses[: CURVES_MAX // 2], *courses[-CURVES_MAX // 2 :]]
    return tuple(PlotSeries(one.strategy, one.capital_usdt, one.from_ms, one.until_ms, one.curve) for one in courses)
