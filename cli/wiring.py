"""The object graph: build a feed and an engine's settings from a configuration. Nothing else builds them."""

from __future__ import annotations

import logging
import sys
from bisect import bisect_left
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from papertape.cli.config.instances import strategy_loader
from papertape.cli.config.sections import (
    bitget_settings,
    ccxt_settings,
    config_digest,
    enabled_names,
    file_settings,
    runner_settings,
    sim_settings,
    strategies_of,
)
from papertape.cli.config.study_promises import with_promises
from papertape.cli.environment.stderr_level import is_quiet
from papertape.cli.environment.streams import say
from papertape.engine.feeds.files import csv_polars
from papertape.engine.feeds.files.feed import FileFeed
from papertape.engine.feeds.files.table_source import rebase_path
from papertape.engine.feeds.sim.feed import SimFeed
from papertape.engine.kernel.strategy import ignore_fact
from papertape.engine.runner_settings import history_ms, no_runnable_strategy_text, split_by_timeframe
from papertape.events.errors import ConfigError, UsageError
from papertape.projections.text.formats import utc

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from papertape.cli.config.sections import Config
    from papertape.engine.feeds.files.columns import CandleColumns
    from papertape.engine.feeds.files.csv_reader import QuickReader
    from papertape.engine.feeds.live.feed import LiveFeed
    from papertape.engine.kernel.strategy import Strategy
    from papertape.engine.ports.clock import Clock
    from papertape.engine.ports.feed import Feed, RefusalLog
    from papertape.engine.runner_settings import RunnerSettings
    from papertape.engine.startup import EngineSettings

REFUSALS_SHOWN_MAX = 10


def warn(text: str) -> None:
    """Print a warning to stderr, and to the log files if there are any."""
    if logging.getLogger().handlers:
        logging.getLogger("papertape.engine").warning(text)
    elif not is_quiet():
        say(f"warning: {text}\n", sys.stderr)


def note(text: str) -> None:
    """Print a harmless note to stderr, and to the log files if there are any."""
    if logging.getLogger().handlers:
        logging.getLogger("papertape.engine").info(text)
    elif not is_quiet():
        say(f"note: {text}\n", sys.stderr)


def make_feed(config: Config, clock: Clock) -> Feed:
    """Return the configured feed. Raise UsageError for a file feed without candles."""
    if config.feed.live is not None:
        return make_live_feed(config, clock)
    if config.feed.kind == "sim":
        return SimFeed(sim_settings(config), clock)
    return file_feed(config, clock)


def make_live_feed(config: Config, clock: Clock) -> LiveFeed:
    """Return the configured live market; Bitget's if none is configured. Raise ConfigError or UsageError."""
    if config.feed.kind == "ccxt":
        from papertape.engine.feeds.ccxt.feed import CcxtFeed  # noqa: PLC0415 - ccxt is slow to import, and optional.

        return CcxtFeed(ccxt_settings(config, warm_up_ms(config)), clock)
    from papertape.engine.feeds.bitget.feed import BitgetFeed  # noqa: PLC0415 - its clients are slow to import.

    check_address(config.feed.bitget.rest_url, "feed.bitget.rest_url", ("http://", "https://"))
    check_address(config.feed.bitget.ws_url, "feed.bitget.ws_url", ("ws://", "wss://"))
    return BitgetFeed(bitget_settings(config, warm_up_ms(config)), clock)


def file_feed(config: Config, clock: Clock, quick: QuickReader = csv_polars.candles) -> FileFeed:
    """Return the recorded market, its files read by the `quick` reader. Raise UsageError if there are none."""
    if not config.feed.file.candles:
        raise UsageError("--feed file needs candles: name files with --candles FILE... or feed.file.candles")
    settings = file_settings(config)
    feed = FileFeed(settings, clock, quick)
    check_period(list(feed.candles.values()), settings.start_ms, settings.end_ms)
    return feed


def check_period(candles: Sequence[CandleColumns], start_ms: int | None, end_ms: int | None) -> None:
    """Raise UsageError with the range of the candles if no candle opens in the period."""
    tables = [table for table in candles if table.open_time_ms]
    first_ms = min(table.open_time_ms[0] for table in tables)
    until_ms = max(table.open_time_ms[-1] + table.timeframe_ms for table in tables)
    covered = f"the candles cover {utc(first_ms)} to {utc(until_ms)} UTC"
    if start_ms is not None and end_ms is not None and end_ms <= start_ms:
        raise UsageError(f"the period {_words(start_ms, end_ms)} ends before it begins; {covered}")
    for table in tables:
        first = 0 if start_ms is None else bisect_left(table.open_time_ms, start_ms)
        if first < len(table.open_time_ms) and (end_ms is None or table.open_time_ms[first] < end_ms):
            return
    raise UsageError(f"no candle opens in the period {_words(start_ms, end_ms)}; {covered}")


def _words(start_ms: int | None, end_ms: int | None) -> str:
    """Return a period in words; an open end is omitted."""
    start = "" if start_ms is None else f"from {utc(start_ms)}"
    return f"{start} {'on' if end_ms is None else f'to {utc(end_ms)}'}".strip()


def check_address(url: str, key: str, schemes: tuple[str, ...]) -> None:
    """Raise ConfigError if an address has another scheme."""
    if not url.startswith(schemes):
        raise ConfigError(f"{key} = {url!r}: must begin with {' or '.join(schemes)}")


def warm_up_ms(config: Config) -> int:
    """Return one and a half times the history that the slowest indicator of the enabled strategies needs.

    Raise ConfigError for an unknown strategy.
    """
    strategies, spans_ms = strategies_of(config), [0]
    for name, settings in runner_settings(config, strategies).items():
        by_symbol = [settings.parameters | changed for changed in settings.symbol_parameters.values()]
        spans_ms += [history_ms(strategies[name], parameters) for parameters in (settings.parameters, *by_symbol)]
    return max(spans_ms) * 3 // 2


def make_runners(
    config: Config, strategies: dict[str, Strategy], base_ms: int, warn: Callable[[str], None]
) -> dict[str, RunnerSettings]:
    """Return the settings of every strategy that can run on this base timeframe, with a warning about the others.

    Raise ConfigError if none can run.
    """
    runnable = {name: one for name, one in strategies.items() if name not in config.unusable}
    enabled = enabled_names(config)
    wanted = None if enabled is None else [name for name in enabled if name not in config.unusable]
    names, too_fine = split_by_timeframe(runnable, wanted, base_ms)
    if too_fine and not names:
        raise ConfigError(no_runnable_strategy_text(strategies, too_fine, base_ms))
    if too_fine:
        warn(f"not running, because they need finer candles: {', '.join(too_fine)}")
    settings = runner_settings(config, strategies)
    return {name: settings[name] for name in names}


def watched_symbols(config: Config) -> tuple[str, ...]:
    """Return the configured symbols of a simulated or live market; a recorded one has those of its files."""
    return config.feed.symbols


def _without_open_interest(config: Config, strategies: dict[str, Strategy]) -> dict[str, str]:
    """Return the strategies that cannot run because the exchange publishes no open interest, with that reason."""
    if config.feed.kind != "ccxt":
        return {}
    from papertape.engine.feeds.ccxt.capabilities import has_open_interest  # noqa: PLC0415 - as below.
    from papertape.engine.feeds.ccxt.library import exchange_class  # noqa: PLC0415 - ccxt is slow to import.

    name = config.feed.ccxt.exchange
    if has_open_interest(exchange_class(name, "feed.ccxt.exchange")()):
        return {}
    users = [one.name for one in strategies.values() if one.hooks.on_open_interest is not ignore_fact]
    return dict.fromkeys(users, f"it needs open interest, which {name} does not publish")


def make_engine_settings(
    config: Config, db: Path, base_ms: int, warn: Callable[[str], None], strategies: dict[str, Strategy]
) -> EngineSettings:
    """Return everything that the engine needs besides its feed; `strategies` are those of the configuration."""
    from papertape.engine.startup import EngineSettings  # noqa: PLC0415 - slow to import; the supervisor and the page run no engine.

    config = replace(config, unusable={**_without_open_interest(config, strategies), **config.unusable})
    return EngineSettings(
        db=db,
        version=version("papertape"),
        strategies=strategies,
        runners=with_promises(config, strategies, make_runners(config, strategies, base_ms, warn), warn),
        config_digest=config_digest(config),
        unusable=config.unusable,
        load=strategy_loader(config),
        snapshot_every_events=config.engine.snapshot_every_events,
    )


def with_files(
    config: Config, candles: list[str], funding: list[str], open_interest: list[str], signals: list[str]
) -> Config:
    """Return the configuration with the files of the command line, which are relative to the working directory."""
    if signals:
        files = replace(config.feed.file, signals=tuple(str(Path.cwd() / one) for one in signals))
        config = replace(config, feed=replace(config.feed, file=files))

    def absolute(names: list[str]) -> tuple[str, ...]:
        return tuple(rebase_path(one, Path.cwd()) for one in names)

    if not (candles or funding or open_interest):
        return config
    files = replace(
        config.feed.file, candles=absolute(candles), funding=absolute(funding), open_interest=absolute(open_interest)
    )
    return replace(config, feed=replace(config.feed, kind="file", file=files))


def report_files(feed: Feed, start_ms: int | None, end_ms: int | None, warn: Callable[[str], None]) -> None:
    """Report how recorded files were read, doubts about them within the period, and refused rows."""
    if isinstance(feed, FileFeed):
        for text in feed.notes:
            note(text)
        for warning in feed.warnings(start_ms, end_ms):
            warn(warning)
    report_refusals(feed.refusals, warn)


def report_refusals(refusals: RefusalLog, warn: Callable[[str], None]) -> None:
    """Name the first refused rows with file and line, and count the rest."""
    for refusal in refusals.kept[:REFUSALS_SHOWN_MAX]:
        warn(f"refused {refusal.source}:{refusal.line}: {refusal.reason.value}: {refusal.text}")
    if refusals.total:
        counts = ", ".join(f"{count} {reason.value}" for reason, count in sorted(refusals.counts.items()))
        warn(f"{refusals.total} rows were refused: {counts}")
