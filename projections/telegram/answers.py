"""Answer questions from the chat: choose the view, and get what the views do not know."""

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
from papertape.projections.site.funnel import FunnelRequest
from papertape.projections.site.ports import FunnelSource
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
from papertape.projections.telegram.funnel import funnel_html
from papertape.projections.telegram.parse import (
    AsOfQuery,
    CauseQuery,
    DailyResultsQuery,
    FunnelQuestion,
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
    signals,
    status,
    weekly_text,
)
from papertape.projections.telegram.results import curves_of
from papertape.projections.telegram.statistics import DeliveryStatistics
from papertape.projections.telegram.wire import ChatMessage
from papertape.projections.text.causes import Explain, cause_chain, explain_chain
from papertape.projections.watchdog.watchdog import WatchdogView

PROGRESS_MS: Final = 3_000
FUNNEL_S_MAX: Final = 180.0
CURVES_MAX: Final = 12
"""More curves are hard to distinguish: only the best and the worst are drawn."""


class ReplyChannel(Struct, frozen=True):
    """How a slow answer reaches the chat: a new text, an edited text, a picture."""

    post: Callable[[str], Awaitable[ChatMessage | None]]
    edit: Callable[[int, str], Awaitable[object]]
    photo: Callable[[bytes], Awaitable[object]]


class ChatAnswer(Struct, frozen=True):
    """An answer: the text to send at once, and a function that sends the rest when it is ready."""

    html: str = ""
    later: Callable[[ReplyChannel], Awaitable[None]] | None = None


class RuntimeInfo(Struct, frozen=True):
    """What the log does not know, from whoever starts the engine. `health` returns further lines of plain text."""

    version: Callable[[], str] = lambda: ""
    config: Callable[[], str] = lambda: ""
    watchdog: Callable[[], WatchdogView] | None = None
    delivery: Callable[[], DeliveryStatistics] | None = None
    health: Callable[[], Sequence[str]] | None = None
    conditions: Conditions | None = None
    explain: Explain | None = None
    funnels: FunnelSource | None = None


class _NoSuchEvent(Exception):
    """The log has no event with this number."""


class QueryHandler:
    """Answers from views with another owner."""

    def __init__(self, views: Views, runtime: RuntimeInfo, source: EventSource, clock: TelegramClock) -> None:
        self._views, self._runtime, self._source, self._clock = views, runtime, source, clock

    def answer(self, question: Question, head_seq: int) -> ChatAnswer:
        """Return the answer to a question; `head_seq` is where the log ends."""
        views = self._views
        match question:
            case SummaryQuery():
                return self._show(question)
            case ProfitQuery(days=days):
                html = profit_text(views, days, self._clock.now_ms())
                return ChatAnswer(html, self._picture("equity, all strategies", total=True))
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
            case FunnelQuestion():
                return self._funnel(question)
            case AsOfQuery():
                return ChatAnswer(later=partial(self._as_of, question, head_seq))

    def _show(self, question: SummaryQuery) -> ChatAnswer:
        views, runtime = self._views, self._runtime
        match question.what:
            case "status":
                return ChatAnswer(status(views, self._clock.now_ms()))
            case "positions":
                return ChatAnswer(positions(views))
            case "arena":
                return ChatAnswer(arena(views), self._picture("equity by strategy", total=False))
            case "weekly":
                return ChatAnswer(weekly_text(views))
            case "risk":
                return ChatAnswer(risk(views, self._clock.now_ms()))
            case "signals":
                return ChatAnswer(signals(views))
            case "health":
                return ChatAnswer(self._health())
            case "config":
                return ChatAnswer(config_text(runtime.config()))
            case "version":
                return ChatAnswer(version_text(views, runtime.version()))
            case "help":
                return ChatAnswer(help_text())

    def _health(self) -> str:
        runtime = self._runtime
        return health_text(
            self._views,
            watchdog=runtime.watchdog() if runtime.watchdog is not None else None,
            delivery=runtime.delivery() if runtime.delivery is not None else None,
            more=runtime.health() if runtime.health is not None else (),
            now_ms=self._clock.now_ms(),
        )

    # ------------------------------------------------------------ why, and why not

    def _why(self, seq: int) -> str:
        try:
            chain = cause_chain(seq, self._lookup, self._views.contracts.by_symbol)
        except _NoSuchEvent:
            return f"there is no event #{seq}; the newest is #{self._views.seq}"
        explain = self._runtime.explain
        # The configuration in force at an event is known only once the views have reached it.
        if explain is not None and seq <= self._views.seq:
            chain = explain_chain(chain, self._views.in_force, explain)
        return why_text(self._views, chain)

    def _lookup(self, seq: int) -> Recorded:
        events = self._source.read(seq - 1, 1)
        if not events or events[0].seq != seq:
            raise _NoSuchEvent
        return events[0]

    def _why_not(self, prefix: str) -> ChatAnswer:
        symbol, conditions = symbol_of(self._views, prefix), self._runtime.conditions
        if symbol is None:
            return ChatAnswer(unknown_symbol(self._views, prefix))
        if conditions is None:
            return ChatAnswer(why_not_text(self._views, symbol))
        return ChatAnswer(later=partial(self._why_not_now, symbol, conditions))

    async def _why_not_now(self, symbol: str, conditions: Conditions, channel: ReplyChannel) -> None:
        """Get the conditions as of the views' seq; without them, answer from the log alone."""
        try:
            html = why_not_text(self._views, symbol, await conditions(self._views.seq, symbol))
        except PapertapeError as error:
            html = why_not_text(self._views, symbol, note=f"conditions unavailable: {error}")
        await channel.post(html)

    def _funnel(self, question: FunnelQuestion) -> ChatAnswer:
        source = self._runtime.funnels
        if source is None:
            return ChatAnswer("funnels cannot be counted here")
        return ChatAnswer(later=partial(_post_funnel, question, source))

    # ------------------------------------------------------------ slow answers

    def _picture(self, title: str, *, total: bool) -> Callable[[ReplyChannel], Awaitable[None]] | None:
        """Return the sender of the picture; None while there is nothing to draw."""
        curves = series_of(self._views)
        drawn = (total_of(curves),) if total and len(curves) > 1 else curves
        return partial(_draw, title, drawn) if any(len(one.points) > 1 for one in drawn) else None

    async def _as_of(self, question: AsOfQuery, head_seq: int, channel: ReplyChannel) -> None:
        """Fold the log again; if that takes long, one message shows the progress and becomes the answer."""
        progress = _Progress(channel, self._clock, head_seq if question.seq is None else min(question.seq, head_seq))
        try:
            answer = await as_of(question, self._source, head_seq, progress.report)
        except UsageError as error:
            await progress.finish(text(f"nothing to show for that time: {error}"))
            return
        await progress.finish(as_of_text(answer.views, reached=answer.reached))


class _Progress:
    """One message that shows the progress and becomes the answer."""

    def __init__(self, channel: ReplyChannel, clock: TelegramClock, goal_seq: int) -> None:
        self._channel, self._clock, self._goal_seq = channel, clock, goal_seq
        self._reported_ms = clock.now_ms()
        self._message: ChatMessage | None = None

    async def report(self, seq: int) -> None:
        """Show the progress, at most once in `PROGRESS_MS`."""
        now_ms = self._clock.now_ms()
        if 0 <= now_ms - self._reported_ms < PROGRESS_MS:
            return
        self._reported_ms = now_ms
        line = f"re-reading the log: {seq:,} of up to {self._goal_seq:,} events"
        if self._message is None:
            self._message = await self._channel.post(line)
        else:
            await self._channel.edit(self._message.message_id, line)

    async def finish(self, html: str) -> None:
        """Send the answer."""
        if self._message is None:
            await self._channel.post(html)
        else:
            await self._channel.edit(self._message.message_id, html)


async def _post_funnel(question: FunnelQuestion, source: FunnelSource, channel: ReplyChannel) -> None:
    """Count a funnel, and say so if that takes long."""
    request = FunnelRequest(question.strategy, None, question.days)
    try:
        view = await source.funnel(request, PROGRESS_MS / 1_000.0)
        if view is None:
            await channel.post(f"counting the funnel of {question.days:g} days ...")
            view = await source.funnel(request, FUNNEL_S_MAX)
    except PapertapeError as error:
        await channel.post(text(f"no funnel: {error}"))
        return
    await channel.post("still counting; ask again in a minute" if view is None else funnel_html(view))


async def _draw(title: str, curves: tuple[PlotSeries, ...], channel: ReplyChannel) -> None:
    await channel.photo(await asyncio.to_thread(picture, title, curves))


def series_of(views: Views) -> tuple[PlotSeries, ...]:
    """Return the equity curves, the best strategy first; if there are many, only the best and the worst."""
    curves = sorted(curves_of(views), key=lambda one: (one.capital_usdt - one.equity_usdt, one.strategy))
    if len(curves) > CURVES_MAX:
        curves = [*curves[: CURVES_MAX // 2], *curves[-CURVES_MAX // 2 :]]
    return tuple(PlotSeries(one.strategy, one.capital_usdt, one.from_ms, one.until_ms, one.curve) for one in curves)
