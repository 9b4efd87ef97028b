"""The logs that a page was started with, side by side: the state of each, their totals, and one ranking of all."""

from __future__ import annotations

import asyncio
from math import fsum
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from papertape.projections.site.library import EngineArenaRow, EngineRow, EnginesView, EngineTotals
from papertape.projections.site.readiness import readiness
from papertape.projections.text.reasons import reason_words
from papertape.projections.watchdog.checks import AnomalyKind

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from papertape.projections.folds.market_status import AnomalyView
    from papertape.projections.site.ports import Site
    from papertape.projections.site.readiness import ReadyView

STATES: Final = {
    "no_engine": "stopped",
    "stopped_by_fault": "stopped by a fault",
    "stopping": "stopping",
    "recovering": "reading the log",
    "feed_lost": "feed lost",
    "feed_stale": "feed stale",
    "log_not_writable": "disk full",
    "no_log": "never started",
}
SEVERITY: Final = {kind.value: place for place, kind in enumerate(AnomalyKind)}


class EngineSource(Struct, frozen=True):
    """A followed log; `site` is None and `fault` says why if it cannot be read."""

    number: str
    db: Path
    address: str
    site: Site | None
    fault: str = ""


async def engines_view(sources: Sequence[EngineSource]) -> EnginesView:
    """Return the view of all logs; one that is missing or damaged is shown as such."""
    rows = await asyncio.gather(*map(_row, sources))
    arena = [
        EngineArenaRow(source.db.stem, source.address, row)
        for source in sources
        if source.site is not None and not source.fault and source.site.timeline.folding is None
        for row in source.site.timeline.views.arena.rows()
    ]
    arena.sort(key=lambda one: -one.row.net_return_percent)
    return EnginesView(tuple(rows), _totals(rows), tuple(arena))


async def _row(source: EngineSource) -> EngineRow:
    name = source.db.name
    if source.site is None or source.fault:
        return EngineRow(source.number, name, "", source.fault or "being opened", trouble=bool(source.fault))
    if not await asyncio.to_thread(source.db.exists):
        return EngineRow(source.number, name, source.address, f"there is no log at {source.db}", trouble=True)
    timeline, engine = source.site.timeline, await source.site.engine.status()
    if timeline.folding is not None:
        state = f"reading event {timeline.folding.seq:,} of {timeline.folding.goal_seq:,}"
        return EngineRow(source.number, name, source.address, state, trouble=False)
    views = timeline.views
    portfolio = views.portfolio.view()
    ready = readiness(views, engine, max(timeline.head_seq, views.seq), None, source.site.outage())
    feed = portfolio.feed
    return EngineRow(
        id=source.number,
        name=name,
        address=source.address,
        state=_state(ready),
        trouble=bool(ready.reasons),
        equity_usdt=portfolio.equity_usdt,
        day_result_usdt=portfolio.day_result_usdt,
        open_risk_usdt=fsum(one.risk_usdt for one in portfolio.positions),
        positions=len(portfolio.positions),
        trades=sum(row.trades for row in views.arena.rows()),
        feed="" if feed is None else feed.name if feed.delivers else f"{feed.name}: {feed.why or 'lost'}",
        worst_anomaly=_worst(portfolio.anomalies),
        heard_at_ms=views.heard.heard_at_ms if engine is not None else 0,
    )


def _state(ready: ReadyView) -> str:
    return STATES[ready.reasons[0].code] if ready.reasons else ready.idle or "running"


def _worst(anomalies: Sequence[AnomalyView]) -> str:
    """Return the most severe anomaly in words (of equal ones the oldest); empty if there is none."""
    worst = min(anomalies, key=lambda one: (SEVERITY.get(one.kind, len(SEVERITY)), one.since_ms), default=None)
    return "" if worst is None else f"{reason_words(worst.kind)} {worst.subject}: {worst.detail}"


def _totals(rows: Sequence[EngineRow]) -> EngineTotals:
    known = [row for row in rows if row.equity_usdt is not None]
    return EngineTotals(
        known=len(known),
        all=len(rows),
        equity_usdt=fsum(row.equity_usdt or 0.0 for row in known),
        day_result_usdt=fsum(row.day_result_usdt or 0.0 for row in known),
        open_risk_usdt=fsum(row.open_risk_usdt or 0.0 for row in known),
        positions=sum(row.positions or 0 for row in known),
        trades=sum(row.trades or 0 for row in known),
    )
