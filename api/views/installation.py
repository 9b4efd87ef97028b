"""The installation: its configuration and its strategies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from papertape.api.view_handler import ViewEndpoint
from papertape.projections.site.ports import StrategyView

if TYPE_CHECKING:
    from papertape.api.query import Query
    from papertape.api.view_handler import ViewContext


class ConfigView(Struct, frozen=True):
    """The version, the log's file, and the configuration without its secrets."""

    version: str
    database: str
    simulated: bool
    commands_allowed: bool
    text: str


async def _config(context: ViewContext, _: Query) -> ConfigView:
    settings = context.site.settings
    text = settings.config_of(context.views.started)
    return ConfigView(settings.version, settings.database, settings.simulated, settings.commands_allowed, text)


async def _strategies(context: ViewContext, _: Query) -> tuple[StrategyView, ...]:
    return context.site.strategies


VIEWS = (
    ViewEndpoint("config", "The configuration, without secrets", ConfigView, _config),
    ViewEndpoint(
        "strategies",
        "The installed strategies, with the schemas of their parameters",
        tuple[StrategyView, ...],
        _strategies,
    ),
)
