"""The risk page: the usage of limits, kill switch trips and resets, and the commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from papertape.projections.folds.kill_switches import TripView
    from papertape.projections.folds.limits import LimitView
    from papertape.projections.folds.portfolio import AccountView
    from papertape.ui.page_request import PageRequest

PAST_SHOWN_MAX = 200


class RiskPage(Struct, frozen=True):
    """The context of the page. `limits` are grouped by scope, the global one first; `past` is newest first."""

    accounts: tuple[AccountView, ...]
    limits: tuple[tuple[str, tuple[LimitView, ...]], ...]
    active: tuple[TripView, ...]
    past: tuple[TripView, ...]


async def risk(request: PageRequest) -> RiskPage:
    """Load the risk page."""
    views = request.views
    switches = views.portfolio.switches
    by_scope: dict[str, list[LimitView]] = {}
    for limit in views.limits.views():
        by_scope.setdefault(limit.scope, []).append(limit)
    return RiskPage(
        accounts=views.portfolio.accounts(),
        limits=tuple((scope, tuple(limits)) for scope, limits in by_scope.items()),
        active=switches.active_trips(),
        past=tuple(reversed(switches.past_trips()))[:PAST_SHOWN_MAX],
    )
