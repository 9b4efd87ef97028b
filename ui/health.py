"""Health: the engine, the feed and the log, as the log and the engine itself tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from projections.marks import Mark, Repairs
from projections.portfolio import PortfolioView

if TYPE_CHECKING:
    from events.facts import EngineStarted
    from projections.views import Seen
    from ui.look import Look

OUTAGES_SHOWN_MAX = 12


class HealthPage(Struct, frozen=True):
    """The page's context. `outages` are those of the feed and the holes, the newest first."""

    portfolio: PortfolioView
    started: EngineStarted | None
    repairs: Repairs
    outages: tuple[Mark, ...]
    seen: tuple[tuple[str, Seen], ...]
    config_text: str


async def health(look: Look) -> HealthPage:
    """Everything on the page."""
    views = look.views
    marks = [mark for mark in views.marks.views() if mark.kind in ("outage", "hole", "start")]
    return HealthPage(
        portfolio=views.portfolio.view(),
        started=views.started,
        repairs=views.marks.repairs,
        outages=tuple(reversed(marks))[:OUTAGES_SHOWN_MAX],
        seen=tuple(views.seen.items()),
        config_text=look.site.settings.config_of(views.started),
    )
