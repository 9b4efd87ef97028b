"""The space of a sweep: from the command line, or else from `[study]` in a file or in the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from papertape.cli.config.loader import read_config
from papertape.events.errors import UsageError
from papertape.studies.space import SpaceRequest, build_space

if TYPE_CHECKING:
    from papertape.cli.config.sections import Config
    from papertape.cli.studies.market import RecordedMarket
    from papertape.studies.space import Space


class TypedSpace(Struct, frozen=True):
    """What the command line says about the space."""

    vary: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    draw: int | None = None
    seed: int | None = None
    file: Path | None = None


def chosen_space(typed: TypedSpace, config: Config, market: RecordedMarket) -> Space:
    """Return the space of a sweep. Raise UsageError like `build_space`, and ConfigError for a file that is invalid."""
    request, source = _request(typed, config)
    try:
        return build_space(request, market.strategy, market.settings.parameters)
    except UsageError as error:
        raise UsageError(f"{source}{error}") from None


def _request(typed: TypedSpace, config: Config) -> tuple[SpaceRequest, str]:
    """Return the space, and the prefix for errors about it."""
    is_typed = bool(typed.vary or typed.links or typed.conditions)
    if is_typed and typed.file is not None:
        raise UsageError("use either --space for a file, or --vary, --link and --where")
    holder = config if typed.file is None else read_config(typed.file)
    section = holder.study
    if is_typed or not section.space:
        if typed.file is not None:
            raise UsageError(f'--space {typed.file}: nothing varies; add [study.space] with NAME = "FIRST:LAST:STEP"')
        return SpaceRequest(typed.vary, typed.links, typed.conditions, typed.draw, typed.seed or 0), ""
    return SpaceRequest(
        tuple(f"{name}={values}" for name, values in section.space.items()),
        section.link,
        section.where,
        (section.draw or None) if typed.draw is None else typed.draw,
        section.seed if typed.seed is None else typed.seed,
    ), f"[study] in {holder.file}: "
