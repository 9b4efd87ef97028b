"""Fixtures of the web tests: a log in memory, its views, an engine's decisions, and a client."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx
from msgspec.structs import asdict, replace

from papertape.api.app import application
from papertape.api.gate import DELAY_S, Gate
from papertape.api.hosts import AllowedHosts
from papertape.api.listener import listen
from papertape.api.server import serve
from papertape.api.streams import Streams
from papertape.api.token import Token
from papertape.engine.command_queue import command_events
from papertape.engine.kernel.risk_settings import RiskSettings
from papertape.engine.signal_intake import PreparedSignals
from papertape.events.checkpoints.postings import Candidates, PostingQuery, all_candidates
from papertape.events.commands import Accepted, Reload
from papertape.events.errors import CommandRefused, UsageError
from papertape.events.facts import CandleClosed, ConfigurationReloaded, ContractListed, RunnerConfigured
from papertape.projections.folds.contracts import Contracts
from papertape.projections.host import fold
from papertape.projections.site.market_time import MarketTimeCutoff
from papertape.projections.site.messages import UnloggedContents
from papertape.projections.site.ports import (
    CandleView,
    ChartView,
    ConditionsView,
    EngineStatus,
    PlotLine,
    PlotView,
    Progress,
    Site,
    SiteSettings,
    StrategyView,
)
from papertape.projections.site.views import Views
from papertape.projections.text.causes import CauseChain, ConditionView, cause_chain
from tests.alerts.example_day import A_DAY, market
from tests.build import recorded
from tests.support import STRATEGIES, take

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from papertape.api.login_link import LoginLink
    from papertape.api.routes import Guarded
    from papertape.engine.reducer.state import EngineState
    from papertape.events.commands import Command
    from papertape.events.facts import Event
    from papertape.events.log import Recorded
    from papertape.events.signals import SignalBatch, SignalsRecorded

TOKEN = "kM3vX0aTz9Qe7LrB2wYc5NfHs8UjD1pGiOqRtVxZbEo"
SIGNAL_TOKEN = "wQ7zN1xK5vB9mC3rT8yU2pL6dF0gH4jS7aE1iO5kZ9c"
OTHER_TOKEN = "aB4dE6gH8jK0mN2pQ4sT6vW8yZ0cF2hJ4lO6qS8uX0z"
BEARER = {"authorization": f"Bearer {TOKEN}"}
ORIGIN = "http://127.0.0.1:8700"


def example_day() -> list[Recorded]:
    """Return a day with every kind of event, and strategies with complete settings."""
    return [replace(one, event=_with_all_limits(one.event)) for one in recorded([*market(), *A_DAY])]


def _with_all_limits(event: Event) -> Event:
    if isinstance(event, RunnerConfigured):
        return replace(event, risk={**asdict(RiskSettings()), **event.risk})
    return event


class ListTimeline:
    """The views of a list of events, folded as it grows; views as of an event are folded from the beginning."""

    def __init__(self, log: list[Recorded]) -> None:
        self.log = log
        self._views = Views()
        self._moved = asyncio.Event()
        self.first_fold: Progress | None = None
        self.newest_events = 1_000

    @property
    def head_seq(self) -> int:
        return len(self.log)

    @property
    def folding(self) -> Progress | None:
        return self.first_fold

    @property
    def views(self) -> Views:
        fold([self._views], self.log[self._views.seq :])
        return self._views

    def grow(self, events: Sequence[Recorded]) -> None:
        """Append events and wake the waiting tasks."""
        self.log.extend(events)
        self.tell()

    def tell(self) -> None:
        """Wake the waiting tasks after the list has grown."""
        self._moved.set()
        self._moved = asyncio.Event()

    async def wait_beyond(self, seq: int) -> int:
        while self.views.seq <= seq:
            await self._moved.wait()
        return self.views.seq

    async def as_of(self, seq: int) -> Views:
        self._check(seq)
        views = Views()
        fold([views], self.log[:seq])
        return views

    async def unfolded(self) -> Views:
        views = Views()
        views.take_names(one for one in self.log if isinstance(one.event, RunnerConfigured | ContractListed))
        views.take_names(self.log[-self.newest_events :])
        return views

    async def seq_at(self, at_ms: int) -> int:
        moment = MarketTimeCutoff(at_ms)
        later = next((one.seq for one in self.log if not moment.includes(one)), len(self.log) + 1)
        moment.check_begun()
        return later - 1

    async def events(self, after_seq: int, limit: int) -> Sequence[Recorded]:
        return self.log[after_seq : after_seq + limit]

    async def candidates(self, query: PostingQuery) -> Candidates:
        return all_candidates(query)

    def _check(self, seq: int) -> None:
        if not 0 < seq <= len(self.log):
            raise UsageError(f"the log holds no event {seq}; it ends at {len(self.log)}")


class TapeInspector:
    """Candles and causes from the log, and one fixed condition per strategy."""

    def __init__(self, log: list[Recorded]) -> None:
        self._log = log
        self.reach_ms = 2**62
        """How far a chart reads back from its newest candle."""

    def progress(self, seq: int) -> Progress:
        return Progress(seq, seq)

    async def conditions(self, seq: int, strategy: str, symbols: Sequence[str]) -> tuple[ConditionsView, ...]:
        if strategy not in ("momentum", "vwap_rsi", "scripted"):
            raise UsageError(f"there is no strategy {strategy!r}")
        met = (ConditionView("close", 101.0, ">", 100.0, met=True),)
        return tuple(ConditionsView(strategy, one, "long", seq, 0, True, met, (), ()) for one in symbols)

    async def chart(
        self,
        seq: int,
        symbol: str,
        timeframe_ms: int,
        candles: int,
        before_ms: int | None = None,
        strategy: str | None = None,
    ) -> ChartView:
        closed = [one.event for one in self._log[:seq] if isinstance(one.event, CandleClosed)]
        closed = [one for one in closed if before_ms is None or one.at_ms <= before_ms]
        if symbol not in {one.symbol for one in self._log_candles()}:
            raise UsageError(f"there is no symbol {symbol!r}")
        own = [one for one in closed if one.symbol == symbol and one.timeframe_ms == timeframe_ms][-candles:]
        own = [one for one in own if own[-1].at_ms - one.at_ms <= self.reach_ms]
        shown = tuple(
            CandleView(one.open_time_ms, one.open, one.high, one.low, one.close, one.volume, True, one.timing == 1)
            for one in own
        )
        nothing = (None,) * len(shown)
        plot = None if strategy is None else _closes_as_plot(strategy, shown)
        return ChartView(symbol, timeframe_ms, seq, shown, nothing, nothing, (), plot)

    def _log_candles(self) -> Iterator[CandleClosed]:
        return (one.event for one in self._log if isinstance(one.event, CandleClosed))

    async def digest(self, seq: int) -> str:
        if not 0 < seq <= len(self._log):
            raise UsageError(f"there is no event {seq}")
        return f"{seq:032x}"

    async def why(self, seq: int) -> CauseChain:
        contracts = Contracts()
        fold([contracts], self._log)
        if not 0 < seq <= len(self._log):
            raise UsageError(f"there is no event {seq}")
        return cause_chain(seq, lambda at: self._log[at - 1], contracts.by_symbol)


def _closes_as_plot(strategy: str, candles: tuple[CandleView, ...]) -> PlotView:
    """Return the closes as a strategy's only reading."""
    return PlotView(strategy, (PlotLine("close", "price", tuple(one.close for one in candles)),), "as it is")


class Absent:
    """An engine that does not run."""

    async def status(self) -> EngineStatus | None:
        return None

    async def submit(self, command: Command) -> Accepted:  # noqa: ARG002
        raise UsageError("no engine runs on this log")

    async def receive(self, batch: SignalBatch) -> SignalsRecorded:  # noqa: ARG002
        raise UsageError("no engine runs on this log")

    async def crash(self) -> None:
        raise UsageError("no engine runs on this log")


class Present:
    """The engine's decisions on commands, with its state in memory; its own status is `said`."""

    def __init__(self, world: EngineState, timeline: ListTimeline, said: EngineStatus) -> None:
        self.world, self.timeline, self.said = world, timeline, said
        self.crashed, self.wall_ms = False, 0

    async def status(self) -> EngineStatus | None:
        return self.said

    async def submit(self, command: Command) -> Accepted:
        first_seq, changes = len(self.timeline.log) + 1, ("risk.leverage: 3 -> 2",)
        is_reload = isinstance(command, Reload)
        events: Sequence[Event] = (
            [ConfigurationReloaded(0, command.who, command.why, "5c0e", changes)]
            if isinstance(command, Reload)
            else command_events(self.world, command)
        )
        for event in events:
            take(self.world, self.timeline.log, event)
        self.timeline.tell()
        return Accepted(first_seq, len(self.timeline.log), changes if is_reload else ())

    async def receive(self, batch: SignalBatch) -> SignalsRecorded:
        prepared, first_seq = PreparedSignals(batch, self.wall_ms), len(self.timeline.log) + 1
        for event in prepared.inputs(self.world):
            take(self.world, self.timeline.log, event)
        self.timeline.tell()
        return prepared.answer(Accepted(first_seq, len(self.timeline.log)))

    async def crash(self) -> None:
        if self.crashed:
            raise CommandRefused("it is down already")
        self.crashed = True


def status(**changes: object) -> EngineStatus:
    """Return the status of a healthy engine."""
    said = {
        "version": "test", "pid": 1, "at_ms": 1, "started_at_ms": 1, "head_seq": 1, "ending": False, "recovered_seq": 0,
        "snapshot_seq": 0, "replayed_events": 0, "recovery_ms": 1.0, "digest_at_start": "d",
    }  # fmt: skip
    return EngineStatus(**(said | changes))  # type: ignore[arg-type]


def site_of(
    log: list[Recorded],
    engine: Present | Absent | None = None,
    unlogged: Callable[[], UnloggedContents] = UnloggedContents,
    **settings: object,
) -> Site:
    """Return a site for a log: a backtest's log, unless there is an engine."""
    timeline = engine.timeline if isinstance(engine, Present) else ListTimeline(log)
    said = {
        "version": "test", "database": "memory", "simulated": True, "config_text": "kind = 'sim'",
        "commands_allowed": isinstance(engine, Present),
    }  # fmt: skip
    strategies = tuple(StrategyView(one.name, one.about, one.series, {"type": "object"}) for one in STRATEGIES.values())
    return Site(
        SiteSettings(**(said | settings)),  # type: ignore[arg-type]
        timeline,
        TapeInspector(timeline.log),
        engine or Absent(),
        strategies,
        unlogged=unlogged,
    )


def gate_of(
    *,
    reading_open: bool = True,
    bound: str = "127.0.0.1",
    trusted: Sequence[str] = (),
    cors_origins: Sequence[str] = (),
    delay_s: float = DELAY_S,
    login_link: LoginLink | None = None,
) -> Gate:
    """Return a gate with the token of the tests."""
    return Gate(
        Token(TOKEN),
        AllowedHosts(bound, trusted),
        reading_open=reading_open,
        signal_token=Token(SIGNAL_TOKEN),
        login_link=login_link,
        cors_origins=cors_origins,
        delay_s=delay_s,
    )


@asynccontextmanager
async def client_of(
    site: Site, gate: Gate | None = None, pages: Sequence[Guarded] = (), *, raises: bool = True
) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client that calls the application without a socket. `raises`: exceptions reach the test."""
    app = application(site, gate or gate_of(), Streams(site.timeline), pages)
    transport = httpx.ASGITransport(app, raise_app_exceptions=raises)
    async with httpx.AsyncClient(transport=transport, base_url=ORIGIN) as client:
        yield client


@asynccontextmanager
async def served(
    site: Site, gate: Gate | None = None, streams: Streams | None = None, pages: Sequence[Guarded] = ()
) -> AsyncIterator[str]:
    """Serve the application on a real socket; yield its address."""
    shared = streams or Streams(site.timeline)
    listener, stop = listen("127.0.0.1", 0), asyncio.Event()
    app = application(site, gate or gate_of(), shared, pages)
    serving = asyncio.ensure_future(serve(app, listener, shared, stop))
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        stop.set()
        await serving
