"""The configuration: `papertape.toml` as typed, frozen sections. Every mistake is reported with its line.

Its paths (the log, market files, strategy folders) are relative to the folder of the file. A parameter that equals its
default is dropped: two files with the same meaning are the same configuration.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from papertape.api.settings import WebSettings
from papertape.cli.config.live_sections import BitgetSection, CcxtSection, Symbol, common_settings
from papertape.cli.config.log_sections import LogsSection
from papertape.cli.config.study_section import StudySection
from papertape.cli.config.validation import moment_ms
from papertape.engine.feeds.bitget.settings import REST_URL, BitgetSettings
from papertape.engine.feeds.ccxt.settings import CcxtSettings
from papertape.engine.feeds.files.feed import FileSettings
from papertape.engine.feeds.files.table_source import rebase_path
from papertape.engine.feeds.live.exchange import LiveSettings
from papertape.engine.feeds.sim.market import KNOWN, OUTAGE_EVERY_HOURS
from papertape.engine.feeds.sim.script import (
    OUTAGE_EVERY_HOURS_MAX,
    START_MS,
    SYMBOLS_MAX,
    WARM_UP_DAYS_MAX,
    SimSettings,
)
from papertape.engine.kernel.risk_settings import RiskSettings
from papertape.engine.kernel.strategy import Strategy
from papertape.engine.runner_settings import RunnerSettings
from papertape.engine.strategy_registry import load_all_strategies, with_instances
from papertape.events.errors import ConfigError
from papertape.events.text import repair_texts
from papertape.events.units import TIMEFRAMES_MS
from papertape.projections.alerts.settings import AlertSettings
from papertape.projections.watchdog.settings import WatchdogSettings

DATA = "data"
"""The folder that a data folder replaces."""
ALL_STRATEGIES = "all"
DAYS_MAX = 36_500
SEED_MAX = 2**32 - 1
FEED_SPEED_MAX = 1_000_000.0
FILES_MAX = 10_000

FeedKind = Literal["sim", "file", "bitget", "ccxt"]


class EngineSection(Struct, frozen=True):
    """The log file, and how often a snapshot of the state is saved beside it."""

    db: Annotated[str, Meta(min_length=1, description="the log file")] = "data/papertape.db"
    snapshot_every_events: Annotated[
        int,
        Meta(ge=100, le=10_000_000, description="save a snapshot after this many events", extra={"unit": "events"}),
    ] = 5_000


class SimSection(Struct, frozen=True):
    """The simulated market: the same seed yields the same market on every machine."""

    seed: Annotated[int, Meta(ge=0, le=SEED_MAX, description="the seed of the simulated market")] = 7
    symbols: Annotated[
        tuple[Symbol, ...], Meta(min_length=1, max_length=SYMBOLS_MAX, description="the symbols, in this order")
    ] = tuple(KNOWN)
    start: Annotated[str, Meta(description="when trading begins, UTC", extra={"moment": True})] = "2025-01-01"
    warm_up_days: Annotated[
        int, Meta(ge=0, le=WARM_UP_DAYS_MAX, description="history before the start", extra={"unit": "days"})
    ] = 2
    days: Annotated[
        int, Meta(ge=0, le=DAYS_MAX, description="length from the start; 0: without end", extra={"unit": "days"})
    ] = 0
    outage_every_hours: Annotated[
        int,
        Meta(
            ge=0,
            le=OUTAGE_EVERY_HOURS_MAX,
            description="most spans of this many hours contain a feed outage; 0: no outages",
            extra={"unit": "hours"},
        ),
    ] = OUTAGE_EVERY_HOURS


class FileSection(Struct, frozen=True):
    """A recorded market from files that are named `exchange_SYMBOL_kind_...` or written as `SYMBOL=path`."""

    candles: Annotated[tuple[str, ...], Meta(max_length=FILES_MAX, description="candle files")] = ()
    funding: Annotated[tuple[str, ...], Meta(max_length=FILES_MAX, description="files of funding settlements")] = ()
    open_interest: Annotated[tuple[str, ...], Meta(max_length=FILES_MAX, description="files of open interest")] = ()
    signals: Annotated[tuple[str, ...], Meta(max_length=FILES_MAX, description="files of signals")] = ()
    start: Annotated[
        str,
        Meta(description="the start of trading; earlier candles only warm up; empty: none", extra={"moment": True}),
    ] = ""
    end: Annotated[str, Meta(description="the end; empty: the end of the files", extra={"moment": True})] = ""
    timeframe: Annotated[
        Literal["auto", "1m", "5m", "15m", "1h"], Meta(description="base timeframe; auto: that of the files")
    ] = "auto"


class FeedSection(Struct, frozen=True):
    """The watched market and its speed."""

    kind: Annotated[FeedKind, Meta(description="simulated, recorded or live market")] = "sim"
    speed: Annotated[
        float,
        Meta(
            ge=0.0,
            le=FEED_SPEED_MAX,
            description="market seconds per second; 0: as fast as possible",
            extra={"unit": "x"},
        ),
    ] = 0.0
    sim: SimSection = SimSection()
    file: FileSection = FileSection()
    bitget: BitgetSection = BitgetSection()
    ccxt: CcxtSection = CcxtSection()

    @property
    def live(self) -> BitgetSection | CcxtSection | None:
        """The section of the live market, None for a simulated or recorded one."""
        return self.bitget if self.kind == "bitget" else self.ccxt if self.kind == "ccxt" else None

    @property
    def symbols(self) -> tuple[str, ...]:
        """The configured symbols of a simulated or live market; a recorded one has those of its files."""
        return self.live.symbols if self.live is not None else self.sim.symbols if self.kind == "sim" else ()


class TelegramSection(Struct, frozen=True):
    """How the owner is reached. Token and chat are secrets: they come from the environment or `.env`."""

    api_url: Annotated[str, Meta(min_length=1, description="address of the Bot API")] = "https://api.telegram.org"
    dead_mans_switch_url: Annotated[
        str,
        Meta(
            description="requested with every heartbeat, so that an outside service notices a failure; empty: none",
            extra={"secret": True},
        ),
    ] = ""


class BackupSection(Struct, frozen=True):
    """Backups that the engine makes of its log. The log of a simulated market is backed up only by hand."""

    every_hours: Annotated[
        float, Meta(ge=0.0, le=720.0, description="time between backups; 0: never", extra={"unit": "h"})
    ] = 24.0
    folder: Annotated[str, Meta(min_length=1, description="the folder, relative to the log's folder")] = "backups"
    keep: Annotated[
        int, Meta(ge=1, le=1_000, description="how many of the newest to keep", extra={"unit": "backups"})
    ] = 7


class StrategySection(Struct, frozen=True):
    """The section of one strategy: parameters that differ from their defaults, and parameters of single symbols.

    An empty `only_symbols` means all. `risk` overrides keys of `[risk]`. `of` names the strategy whose file it runs.
    `references` replace symbols that the file looks at. `papertape promote` writes `study` and `promise`.
    """

    of: str = ""
    references: dict[str, str] = {}
    parameters: dict[str, int | float] = {}
    symbols: dict[str, dict[str, int | float]] = {}
    only_symbols: tuple[Symbol, ...] = ()
    risk: dict[str, int | float] = {}
    study: str = ""
    promise: str = ""


class StrategiesSection(Struct, frozen=True):
    """The strategies that run, the folders of the owner's own, and the section of each."""

    enabled: Annotated[
        tuple[str, ...], Meta(min_length=1, description='names, or "all": every one that can run on the base timeframe')
    ] = (ALL_STRATEGIES,)
    folders: Annotated[tuple[str, ...], Meta(description="folders with your own strategies")] = ()
    by_name: dict[str, StrategySection] = {}


class Config(Struct, frozen=True):
    """Everything that the owner decides. `file` is the file it was read from, empty for the defaults.

    `unusable` names the strategies that cannot run, each with the reason in one line. `data_folder` takes the place of
    the folder `data`; empty: the log is where `engine.db` says, relative to the file.
    """

    engine: EngineSection = EngineSection()
    feed: FeedSection = FeedSection()
    risk: RiskSettings = RiskSettings()
    groups: dict[str, str] = {}
    strategies: StrategiesSection = StrategiesSection()
    alerts: AlertSettings = AlertSettings()
    watchdog: WatchdogSettings = WatchdogSettings()
    telegram: TelegramSection = TelegramSection()
    backup: BackupSection = BackupSection()
    logs: LogsSection = LogsSection()
    web: WebSettings = WebSettings()
    study: StudySection = StudySection()
    file: str = ""
    unusable: dict[str, str] = {}
    data_folder: str = ""

    @property
    def folder(self) -> Path:
        """The folder that the configuration's paths are relative to."""
        return Path(self.file).parent

    @property
    def database(self) -> Path:
        """The log file."""
        return self.data_path(self.engine.db)

    def data_path(self, written: str) -> Path:
        """Return the path of a file to write: in the data folder, or else relative to the configuration file."""
        path = Path(written)
        if not self.data_folder or path.is_absolute():
            return self.folder / path
        return Path(self.data_folder, *path.parts[path.parts[0] == DATA and len(path.parts) > 1 :])

    @property
    def strategy_folders(self) -> list[Path]:
        """The owner's own folders of strategies."""
        return [self.folder / folder for folder in self.strategies.folders]


def strategies_of(config: Config) -> dict[str, Strategy]:
    """Return the built-in strategies and the owner's own; a file that cannot be loaded is there with its fault."""
    return with_instances(load_all_strategies(config.strategy_folders), *instances_of(config))


def instances_of(config: Config) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """Return the strategies that run another's file, with its name, and the references that sections name."""
    sections = config.strategies.by_name.items()
    return {name: one.of for name, one in sections if one.of}, {name: one.references for name, one in sections}


def enabled_names(config: Config) -> tuple[str, ...] | None:
    """Return the names of the enabled strategies; None for all that can run."""
    return None if config.strategies.enabled == (ALL_STRATEGIES,) else config.strategies.enabled


def runner_settings(config: Config, strategies: dict[str, Strategy]) -> dict[str, RunnerSettings]:
    """Return the settings of every enabled strategy, in the order in which they run.

    Those that cannot run are left out. Raise ConfigError if an enabled one is not among `strategies`.
    """
    names = enabled_names(config)
    for name in names or ():
        if name not in strategies and name not in config.unusable:
            raise ConfigError(f"there is no strategy {name!r}; there are: {', '.join(strategies)}")
    chosen = strategies if names is None else names
    return {name: _settings(config, name) for name in chosen if name not in config.unusable}


def _settings(config: Config, name: str) -> RunnerSettings:
    section = config.strategies.by_name.get(name, StrategySection())
    return RunnerSettings(
        parameters=section.parameters,
        symbol_parameters=section.symbols,
        symbols=section.only_symbols or None,
        risk=msgspec.structs.replace(config.risk, **section.risk),
    )


def sim_settings(config: Config) -> SimSettings:
    """Return the settings of the simulated feed."""
    sim = config.feed.sim
    return SimSettings(
        seed=sim.seed,
        symbols=sim.symbols,
        start_ms=moment_ms(sim.start) or START_MS,
        warm_up_days=sim.warm_up_days,
        days=sim.days or None,
        speed=config.feed.speed,
        outage_every_hours=sim.outage_every_hours,
        groups=config.groups,
    )


def file_settings(config: Config) -> FileSettings:
    """Return the settings of the recorded feed, with resolved paths."""
    files = config.feed.file
    return FileSettings(
        candles=_resolved(config.folder, files.candles),
        funding=_resolved(config.folder, files.funding),
        open_interest=_resolved(config.folder, files.open_interest),
        signals=tuple(config.folder / one for one in files.signals),
        start_ms=moment_ms(files.start),
        end_ms=moment_ms(files.end),
        speed=config.feed.speed,
        timeframe_ms=TIMEFRAMES_MS.get(files.timeframe),
        groups=config.groups,
    )


def bitget_settings(config: Config, warm_up_ms: int = 0) -> BitgetSettings:
    """Return the settings of Bitget's feed; `warm_up_ms` applies if the configuration leaves it to the strategies."""
    bitget = config.feed.bitget
    speed = 1.0 if bitget.rest_url == REST_URL else config.feed.speed or 1.0
    common = common_settings(bitget, config.groups, speed, warm_up_ms)
    return BitgetSettings(**common, rest_url=bitget.rest_url, ws_url=bitget.ws_url)


def ccxt_settings(config: Config, warm_up_ms: int = 0) -> CcxtSettings:
    """Return the settings of another exchange's feed; `warm_up_ms` as above."""
    ccxt = config.feed.ccxt
    speed = 1.0 if not ccxt.rest_url else config.feed.speed or 1.0
    common = common_settings(ccxt, config.groups, speed, warm_up_ms)
    return CcxtSettings(**common, exchange=ccxt.exchange, rest_url=ccxt.rest_url, ws_url=ccxt.ws_url)


def live_settings(config: Config, warm_up_ms: int = 0) -> LiveSettings:
    """Return the settings of the configured live market, or of Bitget's if none is configured."""
    settings = ccxt_settings if config.feed.kind == "ccxt" else bitget_settings
    return settings(config, warm_up_ms)


def _resolved(folder: Path, files: tuple[str, ...]) -> tuple[str, ...]:
    """Resolve each `path` or `SYMBOL=path` against the configuration's folder."""
    return tuple(rebase_path(one, folder) for one in files)


def config_digest(config: Config) -> str:
    """Return a digest of what an engine runs under, wherever the values came from."""
    plain = repair_texts(msgspec.to_builtins(msgspec.structs.replace(config, file="")))
    del plain["unusable"], plain["data_folder"], plain["study"], plain["logs"]["stderr"]
    content = msgspec.json.encode(plain, order="sorted")
    return hashlib.blake2b(content, digest_size=16).hexdigest()
