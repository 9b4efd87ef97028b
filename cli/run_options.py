"""The options of `run` and `up`, and the configuration they result in; light enough for the supervisor and the page."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from papertape.cli.arguments import speed_of
from papertape.cli.config.overrides import load_config_of_log
from papertape.cli.config.places import DATA_VARIABLE, FILE_NAME
from papertape.cli.config.sections import FeedSection
from papertape.cli.wiring import with_files
from papertape.events.errors import UsageError

if TYPE_CHECKING:
    from papertape.cli.config.sections import Config, FeedKind

FEED_KINDS: tuple[FeedKind, ...] = ("sim", "file", "bitget", "ccxt")
LIVE = "live"
"""The feed option for the configured live market, Bitget's if the configuration names none."""

NO_MARKET = f"""there is no {FILE_NAME} here, and no option names a market to watch. Try one of these:
  papertape demo               four strategies on a simulated market, with a page
  papertape init               a configuration of your own in this folder; then `papertape up`
  papertape run --feed bitget  the live market, without a key; or --feed sim --speed 60"""


class RunOptions(Struct, frozen=True):
    """The options on the command line of `run` or `up`."""

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
    signals: list[str] = []
    fills: Path | None = None


def config_with_options(options: RunOptions) -> Config:
    """Return the configuration with the command line's options applied. Raise ConfigError or UsageError."""
    sets = [*options.sets, *([f"feed.sim.seed={options.seed}"] if options.seed is not None else [])]
    files = (options.candles, options.funding, options.open_interest, options.signals)
    config = with_files(load_config_of_log(options.config, sets), *files)
    if not config.file and options.feed is None and options.speed is None and config.feed == FeedSection():
        raise UsageError(NO_MARKET)
    config = of_log(config, options.db)
    feed, speed = _market_of(options.feed, config.feed), speed_of(options.speed)
    if options.signals and feed.kind != "file":
        raise UsageError(f"--signals belongs to recorded candles; the feed {feed.kind} takes signals while it runs")
    return replace(config, feed=feed if speed is None else replace(feed, speed=speed))


def check_market(config: Config) -> None:
    """Check what an engine's market needs, before any file is touched. Raise UsageError for an unknown exchange."""
    if config.feed.kind == "ccxt":
        from papertape.engine.feeds.ccxt.library import check_exchange  # noqa: PLC0415 - only these markets need it.

        check_exchange(config.feed.ccxt.exchange, "feed.ccxt.exchange")


def of_log(config: Config, db: Path | None) -> Config:
    """Return the configuration for a log that an option may name: without a file, it keeps its log files right here."""
    is_here = db is not None and not config.file and DATA_VARIABLE not in os.environ
    return replace(config, data_folder="") if is_here else config


def _market_of(name: str | None, feed: FeedSection) -> FeedSection:
    """Return the market that an option names: its kind, `ccxt:EXCHANGE`, or `live`."""
    if name is None or (name == LIVE and feed.live is not None):
        return feed
    if name == LIVE:
        return replace(feed, kind="bitget")
    kind_name, _, exchange = name.partition(":")
    for kind in FEED_KINDS:
        if kind_name == kind and (not exchange or kind == "ccxt"):
            ccxt = replace(feed.ccxt, exchange=exchange) if exchange else feed.ccxt
            return replace(feed, kind=kind, ccxt=ccxt)
    raise UsageError(f"--feed {name}: must be one of {', '.join(FEED_KINDS)}, ccxt:EXCHANGE or {LIVE}")


def is_attended(config: Config) -> bool:
    """Return whether the owner is notified of this run and logs are kept: not for a market played at full speed."""
    return config.feed.live is not None or config.feed.speed > 0.0


def logs_folder(config: Config) -> Path | None:
    """Return the folder of the programs' own log files; None if none are written."""
    return config.data_path(config.logs.folder) if config.logs.folder and is_attended(config) else None
