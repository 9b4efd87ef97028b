"""What a command line asks an engine for; light, so that a keeper and a page need no engine to read it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from msgspec import Struct
from msgspec.structs import replace

from papertape.cli.arguments import speed_of
from papertape.cli.config.sections import load_config
from papertape.cli.wiring import with_files
from papertape.engine.feeds.bitget.settings import BITGET
from papertape.events.errors import UsageError

if TYPE_CHECKING:
    from papertape.cli.config.sections import Config

FEED_KINDS: tuple[Literal["sim", "file", "bitget"], ...] = ("sim", "file", "bitget")


class RunOptions(Struct, frozen=True):
    """What the command line says."""

    config: Path | None
    feed: str | None
    candles: list[str]
    funding: list[str]
    open_interest: list[str]
    speed: str | None
    db: Path | None
    until_end: bool
    seed: int | None
    sets: list[str]
    new_log: bool = False


def config_with_options(asked: RunOptions) -> Config:
    """The configuration with everything the command line says."""
    sets = [*asked.sets, *([f"feed.sim.seed={asked.seed}"] if asked.seed is not None else [])]
    config = with_files(load_config(asked.config, sets), asked.candles, asked.funding, asked.open_interest)
    feed, speed = replace(config.feed, kind=_kind(asked.feed, config)), speed_of(asked.speed)
    return replace(config, feed=feed if speed is None else replace(feed, speed=speed))


def _kind(asked: str | None, config: Config) -> Literal["sim", "file", "bitget"]:
    """The feed that is asked for. Raises UsageError for one that there is not."""
    if asked is None:
        return config.feed.kind
    for kind in FEED_KINDS:
        if asked == kind:
            return kind
    raise UsageError(f"--feed {asked}: there are {', '.join(FEED_KINDS)}")


def is_attended(config: Config) -> bool:
    """A market that is played as fast as it can is a rehearsal: nobody is told of it, and nothing is kept of it."""
    return config.feed.kind == BITGET or config.feed.speed > 0.0


def logs_folder(config: Config) -> Path | None:
    """Where the programs' own log files are; None where none are kept."""
    return config.folder / config.logs.folder if config.logs.folder and is_attended(config) else None
