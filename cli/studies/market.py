"""The recorded market of a sweep, and the one strategy that trades it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from papertape.cli.arguments import moment_ms, optional_moment_ms
from papertape.cli.config.overrides import load_config
from papertape.cli.config.sections import enabled_names, strategies_of
from papertape.cli.offline.recorded_market import check_source, log_tape
from papertape.cli.wiring import check_period, file_feed, make_runners, note, report_files, warn, with_files
from papertape.engine.ports.clock import SystemClock
from papertape.engine.research.backtest import import_ahead
from papertape.engine.research.tape import tape_of
from papertape.engine.runner_settings import late_reference_warnings
from papertape.events.errors import ConfigError, UsageError
from papertape.events.names import unknown_name_text

if TYPE_CHECKING:
    from pathlib import Path

    from papertape.cli.config.sections import Config
    from papertape.engine.kernel.strategy import Strategy
    from papertape.engine.research.tape import Tape
    from papertape.engine.runner_settings import RunnerSettings


class MarketOptions(Struct, frozen=True):
    """The options of the command line that name the market, the strategy and its settings."""

    config: Path | None
    candles: list[str]
    funding: list[str]
    open_interest: list[str]
    signals: list[str]
    strategy: str | None
    sets: list[str]
    start: str | None
    end: str | None
    engine: str
    log: Path | None = None
    symbols: tuple[str, ...] = ()


class RecordedMarket(Struct):
    """A tape with the strategy that trades it; `files` are the names of the files it was read from."""

    tape: Tape
    strategy: Strategy
    settings: RunnerSettings
    files: tuple[str, ...]


def configured(options: MarketOptions) -> Config:
    """Return the configuration with the command line's files, period and strategy."""
    config = with_files(
        load_config(options.config, options.sets),
        options.candles,
        options.funding,
        options.open_interest,
        options.signals,
    )
    files = config.feed.file
    files = replace(files, start=files.start if options.start is None else options.start)
    files = replace(files, end=files.end if options.end is None else options.end)
    strategies = replace(config.strategies, enabled=(_strategy_name(options.strategy, config),))
    return replace(config, feed=replace(config.feed, kind="file", file=files), strategies=strategies)


def read_market(config: Config, options: MarketOptions) -> RecordedMarket:
    """Read the files or the log.

    Raise UsageError without candles or for a period without them, ConfigError for settings.
    """
    check_source(options)
    tape, read = _log(options) if options.log is not None else _files(config, options)
    strategies = strategies_of(config)
    [name] = enabled_names(config) or ()
    runners = make_runners(config, strategies, tape.contracts[0].timeframe_ms, warn)
    for line in late_reference_warnings(strategies, runners, [contract.symbol for contract in tape.contracts]):
        note(line)
    return RecordedMarket(tape, strategies[name], runners[name], read)


def _files(config: Config, options: MarketOptions) -> tuple[Tape, tuple[str, ...]]:
    """Return the market of files, and their names."""
    files = config.feed.file
    start_ms = moment_ms(files.start, "--from") if files.start or options.start is not None else None
    end_ms = moment_ms(files.end, "--to") if files.end or options.end is not None else None
    read = (*files.candles, *files.funding, *files.open_interest)
    with import_ahead(options.engine, read, 1) as quick:
        whole = replace(config, feed=replace(config.feed, file=replace(files, start="", end="")))
        feed = file_feed(whole, SystemClock(), quick)
    check_period(list(feed.candles.values()), start_ms, end_ms)
    report_files(feed, start_ms, end_ms, warn)
    return tape_of(feed, start_ms, end_ms), read


def _log(options: MarketOptions) -> tuple[Tape, tuple[str, ...]]:
    """Return the market of a log, traded from the end of its warm-up candles, and the name of the log."""
    start_ms, end_ms = optional_moment_ms(options.start, "--from"), optional_moment_ms(options.end, "--to")
    assert options.log is not None, "called for a log"
    tape = log_tape(options.log, options.symbols, start_ms, end_ms)
    for contract, table in zip(tape.contracts, tape.candles, strict=True):
        if not table.open_time_ms:
            raise UsageError(f"{contract.symbol} has no candle in {options.log}; name the others with --symbol")
    if start_ms is None and any(tape.warm_ups):
        tape = replace(tape, start_ms=tape.traded_from_ms())
    return tape, (str(options.log),)


def known_strategy(name: str, config: Config) -> Strategy:
    """Return a strategy of the configuration. Raise UsageError for an unknown one, ConfigError for a broken file."""
    strategies = strategies_of(config)
    if name not in strategies:
        raise UsageError(unknown_name_text("strategy", name, strategies))
    if name in config.unusable:
        raise ConfigError(f"strategy {name} cannot be used: {config.unusable[name]}")
    return strategies[name]


def _strategy_name(name: str | None, config: Config) -> str:
    """Return the strategy to sweep: that of the command line, else the only enabled one."""
    enabled = enabled_names(config)
    if name is None:
        if enabled is None or len(enabled) != 1:
            known = ", ".join(strategies_of(config))
            raise UsageError(f"--strategy NAME is missing: a study sweeps one strategy; there are {known}")
        name = enabled[0]
    return known_strategy(name, config).name
