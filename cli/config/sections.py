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

from papertape.api.settings import WebSettings
from papertape.cli.config.validation import moment_ms
from papertape.engine.feeds.bitget.settings import DEFAULT_SYMBOLS, REST_URL, WS_URL, BitgetSettings
from papertape.engine.feeds.files import names
from papertape.engine.feeds.files.feed import FileSettings
from papertape.engine.feeds.files.table_source import rebase_path
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
from papertape.engine.strategy_registry import load_strategies
from papertape.events.errors import ConfigError
from papertape.events.text import repair_texts
from papertape.events.units import DAY_MS, MINUTE_MS, TIMEFRAMES_MS
from papertape.projections.alerts.settings import AlertSettings
from papertape.projections.watchdog.settings import WatchdogSettings

FILE_NAME = "papertape.toml"
ALL_STRATEGIES = "all"
WAIT_SHARE = 0.8
"""Most symbols wait for a few during this part of the time in which a candle is on time."""
DAYS_MAX = 36_500
SEED_MAX = 2**32 - 1
FEED_SPEED_MAX = 1_000_000.0
FILES_MAX = 10_000

SYMBOL_PATTERN = rf"^{names.SYMBOL_PATTERN}$"
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
    outage_every_hours: Annotated[
        int,
        Meta(
            ge=0,
            le=OUTAGE_EVERY_HOURS_MAX,
            description="most spans of so many hours hold an outage of the feed; 0 is none",
            extra={"unit": "hours"},
        ),
    ] = OUTAGE_EVERY_HOURS


class FileSection(Struct, frozen=True):
    """A recorded market from files named `exchange_SYMBOL_kind_...`, or given as `SYMBOL=path`."""

    candles: Annotated[tuple[str, ...], Meta(max_length=FILES_MAX, description="files of candles")] = ()
    funding: Annotated[tuple[str, ...], Meta(max_length=FILES_MAX, description="files of settlements")] = ()
    open_interest: Annotated[tuple[str, ...], Meta(max_length=FILES_MAX, description="files of open interest")] = ()
    start: Annotated[str, Meta(description="candles before it only warm up; empty: none", extra={"moment": True})] = ""
    end: Annotated[str, Meta(description="nothing is read from here on; empty: all", extra={"moment": True})] = ""
    timeframe: Annotated[
        Literal["auto", "1m", "5m", "15m", "1h"], Meta(description="base timeframe; auto: as the files show it")
    ] = "auto"


class BitgetSection(Struct, frozen=True):
    """The live market of Bitget's USDT-margined perpetuals. It needs no key."""

    symbols: Annotated[
        tuple[Symbol, ...], Meta(min_length=1, max_length=500, description="the symbols, in this order")
    ] = DEFAULT_SYMBOLS
    timeframe: Annotated[Literal["1m", "5m", "15m", "1h"], Meta(description="of the candles that are recorded")] = "1m"
    rest_url: Annotated[str, Meta(min_length=1, description="where its REST service is")] = REST_URL
    ws_url: Annotated[str, Meta(min_length=1, description="where its public socket is")] = WS_URL
    warm_up_days: Annotated[
        float,
        Meta(
            ge=0.0,
            le=60.0,
            description="history before the first start; 0: as the strategies need it",
            extra={"unit": "days"},
        ),
    ] = 0.0
    catch_up_days_max: Annotated[
        float,
        Meta(gt=0.0, le=90.0, description="the longest absence that is made up for", extra={"unit": "days"}),
    ] = 30.0
    requests_per_s: Annotated[
        float, Meta(ge=0.2, le=20.0, description="REST requests; the exchange takes 20", extra={"unit": "1/s"})
    ] = 10.0
    request_timeout_s: Annotated[
        float, Meta(ge=1.0, le=60.0, description="an answer takes no longer", extra={"unit": "s"})
    ] = 10.0
    symbols_a_connection: Annotated[
        int, Meta(ge=1, le=90, description="symbols that share a connection, two channels each")
    ] = 24
    settle_s: Annotated[
        float, Meta(ge=0.0, le=10.0, description="wait for corrections of a candle that closed", extra={"unit": "s"})
    ] = 2.0
    grace_s: Annotated[
        float,
        Meta(ge=0.0, le=20.0, description="then a candle the stream did not finish is asked for", extra={"unit": "s"}),
    ] = 3.0
    on_time_s: Annotated[
        float, Meta(ge=5.0, le=55.0, description="a candle known later opens nothing", extra={"unit": "s"})
    ] = 30.0
    declare_s: Annotated[
        float, Meta(ge=20.0, le=120.0, description="what is missing longer is declared", extra={"unit": "s"})
    ] = 90.0
    silence_s: Annotated[
        float, Meta(ge=10.0, le=60.0, description="a connection without a message is renewed", extra={"unit": "s"})
    ] = 45.0
    rotate_hours: Annotated[
        float, Meta(ge=0.1, le=23.9, description="a connection is replaced after so long", extra={"unit": "h"})
    ] = 23.0


class FeedSection(Struct, frozen=True):
    """Which market is watched, and how fast it goes."""

    kind: Annotated[Literal["sim", "file", "bitget"], Meta(description="simulated, recorded or live market")] = "sim"
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
    bitget: BitgetSection = BitgetSection()


class TelegramSection(Struct, frozen=True):
    """How the owner is reached. Token and chat are secrets: they come from the environment or `.env`."""

    api_url: Annotated[str, Meta(min_length=1, description="where the Bot API is")] = "https://api.telegram.org"
    dead_mans_switch_url: Annotated[
        str, Meta(description="asked for with every heartbeat, so that somebody outside notices its end; empty: none")
    ] = ""


class BackupSection(Struct, frozen=True):
    """Backups that the engine makes of its log. A simulated market's log is backed up by hand only."""

    every_hours: Annotated[
        float, Meta(ge=0.0, le=720.0, description="a backup so often; 0 is never", extra={"unit": "h"})
    ] = 24.0
    folder: Annotated[str, Meta(min_length=1, description="where to, seen from the log's folder")] = "backups"
    keep: Annotated[int, Meta(ge=1, le=1_000, description="the newest are kept", extra={"unit": "backups"})] = 7


Level = Annotated[Literal["debug", "info", "warning", "error"], Meta(description="what is less is left out")]


class LevelsSection(Struct, frozen=True):
    """How much each module says in the files. `events` says every event of interest in words, with its seq."""

    engine: Level = "info"
    feed: Level = "info"
    chat: Level = "info"
    page: Level = "info"
    keeper: Level = "info"
    events: Level = "info"


class LogsSection(Struct, frozen=True):
    """What the programs say of themselves, beside the events: how, where to, how much."""

    format: Annotated[
        Literal["text", "json"], Meta(description="lines on stderr for people, or one JSON object each")
    ] = "text"
    folder: Annotated[str, Meta(description="rotating files, seen from this file's folder; empty: none")] = "logs"
    file_bytes_max: Annotated[
        int, Meta(ge=10_000, le=1 << 30, description="a file is full then", extra={"unit": "bytes"})
    ] = 10_000_000
    files_kept: Annotated[int, Meta(ge=1, le=100, description="full files are kept", extra={"unit": "files"})] = 5
    levels: LevelsSection = LevelsSection()


class StrategySection(Struct, frozen=True):
    """What is said about one strategy: parameters that differ from the defaults, and those of single symbols.

    `only_symbols` empty means all. `risk` stands in place of the keys of `[risk]` for this strategy alone.
    """

    parameters: dict[str, int | float] = {}
    symbols: dict[str, dict[str, int | float]] = {}
    only_symbols: tuple[Symbol, ...] = ()
    risk: dict[str, int | float] = {}


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
    risk: RiskSettings = RiskSettings()
    groups: dict[str, str] = {}
    strategies: StrategiesSection = StrategiesSection()
    alerts: AlertSettings = AlertSettings()
    watchdog: WatchdogSettings = WatchdogSettings()
    telegram: TelegramSection = TelegramSection()
    backup: BackupSection = BackupSection()
    logs: LogsSection = LogsSection()
    web: WebSettings = WebSettings()
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
    from papertape.cli.config.loader import read_config  # noqa: PLC0415 - the reader builds the sections above.

    if path is None and not Path(FILE_NAME).exists():
        config = Config()
    else:
        config = read_config(Path(FILE_NAME if path is None else path))
    return apply_sets(config, sets) if sets else config


def apply_sets(config: Config, sets: list[str] | tuple[str, ...]) -> Config:
    """The configuration with single keys changed: `momentum.breakout_lookback=30`, `risk.leverage=5`.

    Raises UsageError for what is not KEY=VALUE, ConfigError for an unknown key or a bad value.
    """
    from papertape.cli.config.overrides import set_values  # noqa: PLC0415 - likewise.

    return set_values(config, sets)


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
        risk=msgspec.structs.replace(config.risk, **said.risk),
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
        outage_every_hours=sim.outage_every_hours,
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
        timeframe_ms=TIMEFRAMES_MS.get(files.timeframe),
        groups=config.groups,
    )


def bitget_settings(config: Config, warm_up_ms: int = 0) -> BitgetSettings:
    """The live market as its feed takes it; `warm_up_ms` counts where the configuration leaves it to the strategies."""
    bitget = config.feed.bitget
    days_ms = int(bitget.warm_up_days * DAY_MS)
    return BitgetSettings(
        symbols=bitget.symbols,
        timeframe_ms=TIMEFRAMES_MS.get(bitget.timeframe, MINUTE_MS),
        rest_url=bitget.rest_url,
        ws_url=bitget.ws_url,
        groups=config.groups,
        speed=config.feed.speed or 1.0,
        warm_up_ms=days_ms or warm_up_ms,
        catch_up_ms_max=int(bitget.catch_up_days_max * DAY_MS),
        requests_per_s=bitget.requests_per_s,
        request_timeout_s=bitget.request_timeout_s,
        symbols_a_connection=bitget.symbols_a_connection,
        settle_s=bitget.settle_s,
        grace_s=bitget.grace_s,
        on_time_s=bitget.on_time_s,
        wait_s=bitget.on_time_s * WAIT_SHARE,
        declare_s=bitget.declare_s,
        silence_s=bitget.silence_s,
        rotate_s=bitget.rotate_hours * 3_600.0,
    )


def _resolved(folder: Path, given: tuple[str, ...]) -> tuple[str, ...]:
    """`path` and `SYMBOL=path` with the path seen from the configuration's folder."""
    return tuple(rebase_path(one, folder) for one in given)


def config_digest(config: Config) -> str:
    """A digest of what the configuration says, whichever file said it."""
    plain = repair_texts(msgspec.to_builtins(msgspec.structs.replace(config, file="")))
    content = msgspec.json.encode(plain, order="sorted")
    return hashlib.blake2b(content, digest_size=16).hexdigest()
