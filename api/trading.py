"""The views of trading: arena, positions, orders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.answers import View
from projections.arena import ArenaRow
from projections.portfolio import OrderView, PositionView

if TYPE_CHECKING:
    from api.answers import Scene
    from api.query import Query


async def _arena(scene: Scene, _: Query) -> tuple[ArenaRow, ...]:
    return scene.views.arena.rows()


async def _positions(scene: Scene, _: Query) -> tuple[PositionView, ...]:
    return scene.views.portfolio.positions()


async def _orders(scene: Scene, _: Query) -> tuple[OrderView, ...]:
    return scene.views.portfolio.orders()


VIEWS = (
    View("arena", "The strategies side by side, the best first", tuple[ArenaRow, ...], _arena),
    View("positions", "The open positions, marked at the last close", tuple[PositionView, ...], _positions),
    View("orders", "The orders that wait for the next open", tuple[OrderView, ...], _orders),
)
