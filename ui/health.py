"""The health page: the engine, the feed and the log, from the log and the engine's status."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from papertape.events.facts import GLOBAL_SCOPE
from papertape.projections.folds.marks import EquityMarker, FeedRepairs
from papertape.projections.folds.portfolio import PortfolioView
from papertape.projections.site.readiness import ENDED, STALE, readiness
from papertape.projections.telegram.chat_address import moved_words
from papertape.projections.text.reasons import reason_words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from papertape.events.facts import EngineStarted
    from papertape.projections.folds.signals import SignalView
    from papertape.projections.site.ports import EngineStatus
    from papertape.projections.site.views import CandleFreshness
    from papertape.ui.page_request import PageRequest

OUTAGES_SHOWN_MAX = 12


class HealthProblem(Struct, frozen=True):
    """A problem: its name, subject, description and start time, 0 if unknown."""

    name: str
    subject: str
    text: str
    since_ms: int
    grave: bool = True


class HealthPage(Struct, frozen=True):
    """The context of the page. `outages` also holds holes and starts, newest first."""

    portfolio: PortfolioView
    problems: tuple[HealthProblem, ...]
    started: EngineStarted | None
    repairs: FeedRepairs
    outages: tuple[EquityMarker, ...]
    freshness: tuple[tuple[str, CandleFreshness], ...]
    signals: tuple[SignalView, ...]
    config_text: str


async def health(request: PageRequest) -> HealthPage:
    """Load the health page."""
    views = request.views
    marks = [mark for mark in views.marks.views() if mark.kind in ("outage", "hole", "start")]
    return HealthPage(
        portfolio=views.portfolio.view(),
        problems=tuple(_problems(request)),
        started=views.started,
        repairs=views.marks.repairs,
        outages=tuple(reversed(marks))[:OUTAGES_SHOWN_MAX],
        freshness=tuple(views.freshness.items()),
        signals=views.signals.newest(),
        config_text=request.site.settings.config_of(views.started),
    )


def _alert_problems(engine: EngineStatus | None) -> Iterator[HealthProblem]:
    """Yield the problems with alerts, which only the running engine knows."""
    if engine is not None and engine.alerts_parked:
        yield HealthProblem(
            "alerts are parked", "", f"{engine.alerts_parked}; they wait in the log, and sending is retried", 0
        )
    if engine is not None and engine.alerts_moved_to:
        yield HealthProblem("the chat's id has changed", "", moved_words(engine.alerts_moved_to), 0)


def _problems(request: PageRequest) -> Iterator[HealthProblem]:
    """Yield every current problem, whatever component noticed it."""
    portfolio = request.views.portfolio
    feed, feeding = portfolio.market_status.feed, portfolio.market_status
    ready = (
        readiness(request.views, request.engine, request.head_seq, request.folding, request.outage)
        if request.live
        else None
    )
    reasons = () if ready is None else ready.reasons
    for reason in reasons:
        if reason.code != "feed_lost" or feed is None or feed.delivers:
            yield HealthProblem(reason_words(reason.code), "", reason.text, 0)
    if feed is not None and not feed.delivers and (ready is None or ready.idle not in ENDED):
        yield HealthProblem("feed lost", feed.name, feed.why, feed.since_ms)
    reported = {(one.kind, one.subject) for one in feeding.anomalies()}
    for one in feeding.anomalies():
        yield HealthProblem(reason_words(one.kind), one.subject, one.detail, one.since_ms)
    yield from _alert_problems(request.engine if request.live else None)
    for trouble in (
        request.engine.watchdog.troubles if request.live and request.engine and request.engine.watchdog else ()
    ):
        # A stale feed is among the reasons above.
        if not trouble.covered and trouble.kind not in STALE and (trouble.kind, trouble.subject) not in reported:
            yield HealthProblem(reason_words(trouble.kind), trouble.subject, trouble.detail, 0)
    for suspended in feeding.suspended_symbols():
        yield HealthProblem(f"{suspended.symbol} is not tradable", "", suspended.why, suspended.since_ms, grave=False)
    for trip in portfolio.switches.active_trips():
        scope = "all strategies" if trip.scope == GLOBAL_SCOPE else trip.scope
        yield HealthProblem(f"{scope} stopped", "", trip.why, trip.tripped_at_ms, grave=False)
