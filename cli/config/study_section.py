"""The section `[study]`: what `papertape sweep` tries if the command line names no parameters."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct


class StudySection(Struct, frozen=True):
    """The space of a study. `space` holds the values of each varied parameter, as `--vary` takes them."""

    space: dict[str, str] = {}
    link: Annotated[
        tuple[str, ...], Meta(max_length=100, description="parameters that follow others, as --link takes them")
    ] = ()
    where: Annotated[tuple[str, ...], Meta(max_length=100, description="conditions, as --where takes them")] = ()
    draw: Annotated[
        int, Meta(ge=0, le=1_000_000, description="draw this many sets; 0: all", extra={"unit": "sets"})
    ] = 0
    seed: Annotated[int, Meta(ge=0, le=2**32 - 1, description="the seed of the draw")] = 0
