"""Health endpoints: whether this process answers, whether the engine trades, and what the watchdog has found."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct
from starlette.responses import Response

from papertape.api.gate import Access
from papertape.api.routes import GuardedRoute, Operation
from papertape.api.view_handler import AsOf
from papertape.projections.folds.market_status import AnomalyView, FeedView, SuspendedView
from papertape.projections.folds.marks import FeedRepairs
from papertape.projections.site.ports import EngineStatus, newest_views
from papertape.projections.site.readiness import NotReadyReason, ReadyView, readiness

if TYPE_CHECKING:
    from starlette.requests import Request

    from papertape.api.streams import Streams
    from papertape.projections.site.ports import Site

Make = Callable[[], Awaitable[tuple[int, Any]]]


class LiveView(Struct, frozen=True):
    """The process answers."""

    live: bool = True


class StatusView(Struct, frozen=True):
    """The key figures. `engine` is the running engine's own status, None if no engine answers."""

    version: str
    as_of: AsOf
    head_seq: int
    ready: bool
    idle: str
    reasons: tuple[NotReadyReason, ...]
    simulated: bool
    commands_allowed: bool
    feed: FeedView | None
    capital_usdt: float
    equity_usdt: float
    day_result_usdt: float
    open_positions: int
    orders: int
    stopped_scopes: tuple[str, ...]
    engine: EngineStatus | None


class WebView(Struct, frozen=True):
    """This process: its open, refused and dropped streams, and the wrong tokens since its start."""

    streams_open: int
    streams_max: int
    streams_refused: int
    streams_dropped: int
    wrong_tokens: int


class HealthView(Struct, frozen=True):
    """Version and source commit (if known), readiness, engine, feed, anomalies and this process."""

    version: str
    commit: str
    live: bool
    ready: ReadyView
    as_of: AsOf
    head_seq: int
    feed: FeedView | None
    suspended: tuple[SuspendedView, ...]
    anomalies: tuple[AnomalyView, ...]
    repairs: FeedRepairs
    engine: EngineStatus | None
    web: WebView


class Health:
    """Answers from the newest views and the engine's current status."""

    def __init__(self, site: Site, streams: Streams) -> None:
        self._site, self._streams = site, streams

    async def live(self) -> tuple[int, LiveView]:
        """Return 200, always."""
        return 200, LiveView()

    async def ready(self) -> tuple[int, ReadyView]:
        """Return 200 while the engine trades or is idle on purpose, else 503 with the reasons."""
        view = self._readiness(await self._site.engine.status())
        return 200 if view.ready else 503, view

    async def status(self) -> tuple[int, StatusView]:
        """Return the key figures. Raise LogBusy while the views show only part of the log."""
        engine = await self._site.engine.status()
        ready, settings, timeline = self._readiness(engine), self._site.settings, self._site.timeline
        portfolio = newest_views(timeline).portfolio.view()
        return 200, StatusView(
            version=settings.version,
            as_of=AsOf(portfolio.seq, portfolio.at_ms),
            head_seq=timeline.head_seq,
            ready=ready.ready,
            idle=ready.idle,
            reasons=ready.reasons,
            simulated=settings.simulated,
            commands_allowed=settings.commands_allowed,
            feed=portfolio.feed,
            capital_usdt=portfolio.capital_usdt,
            equity_usdt=portfolio.equity_usdt,
            day_result_usdt=portfolio.day_result_usdt,
            open_positions=len(portfolio.positions),
            orders=len(portfolio.orders),
            stopped_scopes=tuple(trip.scope for trip in portfolio.trips),
            engine=engine,
        )

    async def health(self, wrong_tokens: int) -> tuple[int, HealthView]:
        """Return all health information, with 503 if the engine is not ready."""
        engine = await self._site.engine.status()
        ready, views, streams = self._readiness(engine), self._site.timeline.views, self._streams
        feeding = views.portfolio.market_status
        return 200 if ready.ready else 503, HealthView(
            version=self._site.settings.version,
            commit=self._site.settings.commit,
            live=True,
            ready=ready,
            as_of=AsOf(views.seq, views.at_ms),
            head_seq=self._site.timeline.head_seq,
            feed=feeding.feed,
            suspended=feeding.suspended_symbols(),
            anomalies=feeding.anomalies(),
            repairs=views.marks.repairs,
            engine=engine,
            web=WebView(streams.open, streams.streams_max, streams.refused, streams.dropped, wrong_tokens),
        )

    def _readiness(self, engine: EngineStatus | None) -> ReadyView:
        timeline = self._site.timeline
        return readiness(timeline.views, engine, timeline.head_seq, timeline.folding, self._site.outage())


def routes(site: Site, streams: Streams, wrong_tokens: Callable[[], int]) -> list[GuardedRoute]:
    """Return the health routes; the container probes need no token."""
    health = Health(site, streams)

    def route(path: str, make: Make, access: Access, operation: Operation) -> GuardedRoute:
        async def endpoint(_: Request) -> Response:
            status, view = await make()
            return Response(msgspec.json.encode(view), status, media_type="application/json")

        return GuardedRoute(path, endpoint, access=access, operation=operation)

    async def healthy() -> tuple[int, HealthView]:
        return await health.health(wrong_tokens())

    about = "A 503 has the same form and gives the reasons."
    return [
        route("/live", health.live, Access.OPEN, Operation("Whether this process answers", LiveView)),
        route(
            "/ready",
            health.ready,
            Access.OPEN,
            Operation("Whether the engine trades", ReadyView, also=(503,), about=about),
        ),
        route(
            "/health",
            healthy,
            Access.READ,
            Operation("All health information", HealthView, also=(503,), about=about),
        ),
        route("/api/v1/status", health.status, Access.READ, Operation("The key figures", StatusView, refusals=(503,))),
    ]
