"""The configuration: `papertape.toml` as typed, frozen sections, every mistake named with its line.

Paths in it (the log, market files, strategy folders) are relative to the folder of the file. A parameter that
equals its default is dropped: two files that mean the same are the same configuration.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from cli.config_check import moment_ms
from engine.core.registry import load_strategies
from engine.core.risk import Risk
from engine.core.strategy import Strategy
from engine.feeds.file import FileSettings
from engine.feeds.sim_market import KNOWN
from engine.feeds.sim_script import START_MS, SYMBOLS_MAX, WARM_UP_DAYS_MAX, SimSettings
from engine.setup import RunnerSettings
from events.errors import ConfigError

FILE_NAME = "papertape.toml"
ALL_STRATEGIES = "all"
DAYS_MAX = 36_500
SEED_MAX = 2**32 - 1
FEED_SPEED_MAX = 1_000_000.0
FILES_MAX = 10_000
TIMEFRAMES_MS = {"auto": None, "1m": 60_000, "5m": 300_000, "15m": 900_000, "1h": 3_600_000}

SYMBOL_PATTERN = r"^[A-Z0-9][A-Z0-9.-]*$"
Symbol = Annotated[str, Meta(pattern=SYMBOL_PATTERN)]


class EngineSection(Struct, frozen=True):
    """Where the log is kept, and how often the state is saved beside it."""

    db: Annotated[str, Meta(min_length=1, description="the log's file")] = "data/papertape.db"
    snapshot_every_events: Annotated[
        int,
        Meta(ge=100, le=10_000_000, description="a snapshot is saved after so many events", extra={"unit": "events"}),
    ] = 5_000


class SimSection(Struct, frozen=True):
    """The simulated market: the same seed shows the same market on every machine."""

    seed: Annotated[int, Meta(ge=0, le=SEED_MAX, description="which market")] = 7
    symbols: Annotated[
        tuple[Symbol, ...], Meta(min_length=1, max_length=SYMBOLS_MAX, description="the symbols, in this order")
    ] = tuple(KNOWN)
    start: Annotated[str, Meta(description="when trading begins, UTC", extra={"moment": True})] = "2025-01-01"
    warm_up_days: Annotated[
        int, Meta(ge=0, le=WARM_UP_DAYS_MAX, description="history before the start", extra={"unit": "days"})
    ] = 2
    days: Annotated[
        int, Meta(ge=0, le=DAYS_MAX, description="length from the start on; 0 is without end", extra={"unit": "days"})
    ] = 0


class FileSection(Struct, frozen=True):
    """A recorded market from CSV or CSV.gz files named `exchange_SYMBOL_kind_...`, or given as `SYMBOL=path`."""

    candles: Annotated[tuple[str, ...], Meta(max_length=FILES_MAX, description="files of candles")] = ()
    funding: Annotated[tuple[str, ...], Meta(max_length=FILES_MAX, description="files of settlements")] = ()
    open_interest: Annotated[tuple[str, ...], Meta(max_length=FILES_MAX, description="files of open interest")] = ()
    start: Annotated[str, Meta(description="candles before it only warm up; empty: none", extra={"moment": True})] = ""
    end: Annotated[str, Meta(description="nothing is read from here on; empty: all", extra={"moment": True})] = ""
    timeframe: Annotated[
        Literal["auto", "1m", "5m", "15m", "1h"], Meta(description="base timeframe; auto: as the files show it")
    ] = "auto"


class FeedSection(Struct, frozen=True):
    """Which market is watched, and how fast it goes."""

    kind: Annotated[Literal["sim", "file"], Meta(description="simulated or recorded market")] = "sim"
    speed: Annotated[
        float,
        Meta(
            ge=0.0,
            le=FEED_SPEED_MAX,
            description="market seconds a second; 0 is as fast as it can",
            extra={"unit": "x"},
        ),
    ] = 0.0
    sim: SimSection = SimSection()
    file: FileSection = FileSection()


class StrategySection(Struct, frozen=True):
    """What is said about one strategy: parameters that differ from the defaults, and those of single symbols.

    `only_symbols` empty means all.
    """

    parameters: dict[str, int | float] = {}
    symbols: dict[str, dict[str, int | float]] = {}
    only_symbols: tuple[Symbol, ...] = ()


class StrategiesSection(Struct, frozen=True):
    """Which strategies run, where the owner's own are found, and what is said about each."""

    enabled: Annotated[
        tuple[str, ...], Meta(min_length=1, description='names, or "all" that can run on the base timeframe')
    ] = (ALL_STRATEGIES,)
    folders: Annotated[tuple[str, ...], Meta(description="folders with strategies of your own")] = ()
    by_name: dict[str, StrategySection] = {}


class Config(Struct, frozen=True):
    """Everything the owner decides. `file` is where it was read, empty for the defaults."""

    engine: EngineSection = EngineSection()
    feed: FeedSection = FeedSection()
    risk: Risk = Risk()
    groups: dict[str, str] = {}
    strategies: StrategiesSection = StrategiesSection()
    file: str = ""

    @property
    def folder(self) -> Path:
        """The folder that the configuration's paths are relative to."""
        return Path(self.file).parent

    @property
    def database(self) -> Path:
        """The log's file."""
        return self.folder / self.engine.db

    @property
    def strategy_folders(self) -> list[Path]:
        """The owner's own folders of strategies."""
        return [self.folder / folder for folder in self.strategies.folders]


def load_config(path: str | Path | None = None, sets: list[str] | tuple[str, ...] = ()) -> Config:
    """The configuration at `path`, with `--set` changes applied.

    Without a path it is `./papertape.toml` if there is one, else the defaults. Raises ConfigError naming file,
    line, key, value and valid range of everything that is wrong, UsageError for a `--set` that is not KEY=VALUE.
    """
    from cli.config_read import read_config  # noqa: PLC0415 - the reader builds the sections above.

    if path is None and not Path(FILE_NAME).exists():
        config = Config()
    else:
        config = read_config(Path(FILE_NAME if path is None else path))
    return apply_sets(config, sets) if sets else config


def apply_sets(config: Config, sets: list[str] | tuple[str, ...]) -> Config:
    """The configuration with single keys changed: `momentum.breakout_lookback=30`, `risk.leverage=5`.

    Raises UsageError for what is not KEY=VALUE, ConfigError for an unknown key or a bad value.
    """
    from cli.config_sets import applied  # noqa: PLC0415 - likewise.

    return applied(config, sets)


def strategies_of(config: Config) -> dict[str, Strategy]:
    """All strategies there are, the owner's own included. Raises ConfigError for a file that cannot be loaded."""
    return load_strategies(config.strategy_folders)


def enabled_names(config: Config) -> tuple[str, ...] | None:
    """The strategies asked for by name; None for all that can run."""
    return None if config.strategies.enabled == (ALL_STRATEGIES,) else config.strategies.enabled


def runner_settings(config: Config, strategies: dict[str, Strategy]) -> dict[str, RunnerSettings]:
    """The settings of every enabled strategy, in the order of running.

    Raises ConfigError when an enabled one is not among `strategies`.
    """
    names = enabled_names(config)
    for name in names or ():
        if name not in strategies:
            raise ConfigError(f"strategy {name!r} is unknown; there are {', '.join(strategies)}")
    return {name: _settings(config, name) for name in (strategies if names is None else names)}


def _settings(config: Config, name: str) -> RunnerSettings:
    said = config.strategies.by_name.get(name, StrategySection())
    return RunnerSettings(
        parameters=said.parameters,
        symbol_parameters=said.symbols,
        symbols=said.only_symbols or None,
        risk=config.risk,
    )


def sim_settings(config: Config) -> SimSettings:
    """The simulated market as its feed takes it."""
    sim = config.feed.sim
    return SimSettings(
        seed=sim.seed,
        symbols=sim.symbols,
        start_ms=moment_ms(sim.start) or START_MS,
        warm_up_days=sim.warm_up_days,
        days=sim.days or None,
        speed=config.feed.speed,
        groups=config.groups,
    )


def file_settings(config: Config) -> FileSettings:
    """The recorded market as its feed takes it, its paths resolved."""
    files = config.feed.file
    return FileSettings(
        candles=_resolved(config.folder, files.candles),
        funding=_resolved(config.folder, files.funding),
        open_interest=_resolved(config.folder, files.open_interest),
        start_ms=moment_ms(files.start),
        end_ms=moment_ms(files.end),
        speed=config.feed.speed,
        timeframe_ms=TIMEFRAMES_MS[files.timeframe],
        groups=config.groups,
    )


def _resolved(folder: Path, given: tuple[str, ...]) -> tuple[str, ...]:
    """`path` and `SYMBOL=path` with the path seen from the configuration's folder."""
    split = [one.rpartition("=") for one in given]
    return tuple(f"{symbol}{equals}{folder / path}" for symbol, equals, path in split)


def config_digest(config: Config) -> str:
    """A digest of what the configuration says, whichever file said it."""
    content = msgspec.json.encode(msgspec.structs.replace(config, file=""), order="sorted")
    return hashlib.blake2b(content, digest_size=16).hexdigest()
