"""What is installed: the configuration, and the strategies there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from papertape.api.view_handler import ViewEndpoint
from papertape.projections.site.ports import StrategyView

if TYPE_CHECKING:
    from papertape.api.query import Query
    from papertape.api.view_handler import ViewContext


class ConfigView(Struct, frozen=True):
    """What runs: version, the log's file, and the configuration without its secrets."""

    version: str
    database: str
    simulated: bool
    commands_allowed: bool
    text: str


async def _config(scene: ViewContext, _: Query) -> ConfigView:
    said = scene.site.settings
    text = said.config_of(scene.views.started)
    return ConfigView(said.version, said.database, said.simulated, said.commands_allowed, text)


async def _strategies(scene: ViewContext, _: Query) -> tuple[StrategyView, ...]:
    return scene.site.strategies


VIEWS = (
    ViewEndpoint("config", "The configuration, secrets left out", ConfigView, _config),
    ViewEndpoint(
        "strategies",
        "The strategies there are, with the schema of their parameters",
        tuple[StrategyView, ...],
        _strategies,
    ),
)
