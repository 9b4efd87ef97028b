"""The configuration in words: a summary for people, and warnings about values that are valid but probably not meant."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from papertape.cli.config.sections import enabled_names, file_settings, strategies_of
from papertape.engine.runner_settings import late_references
from papertape.projections.text.formats import money

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from papertape.cli.config.sections import Config
    from papertape.engine.kernel.strategy import Strategy


def summary(config: Config, log: str) -> str:
    """Return the summary as plain lines; `log` is the name of the log that is really used."""
    return "\n".join(f"{name}: {text}" for name, text in summary_rows(config, log))


def summary_rows(config: Config, log: str) -> Iterator[tuple[str, str]]:
    """Yield the names and texts of the summary."""
    yield "log", f"{log}, a snapshot every {config.engine.snapshot_every_events:,} events"
    yield "market", _market(config)
    risk = config.risk
    yield "account", f"{money(risk.capital_usdt)} USDT each, leverage {risk.leverage:g}"
    session, day, all_of_them = risk.max_session_loss_percent, risk.max_daily_loss_percent, risk.global_max_loss_percent
    hours = risk.global_window_hours
    yield "stops at", f"{session:g} % session loss, {day:g} % daily loss, {all_of_them:g} % of all within {hours} h"
    names = enabled_names(config)
    yield "strategies", ", ".join(strategies_of(config)) + " (all)" if names is None else ", ".join(names)
    for name, section in config.strategies.by_name.items():
        changed = [f"of {section.of}"] if section.of else []
        changed += [f"{key} = {symbol}" for key, symbol in section.references.items()]
        changed += [f"{key} = {value:g}" for key, value in section.parameters.items()]
        changed += [
            f"{symbol}: {key} = {value:g}" for symbol, own in section.symbols.items() for key, value in own.items()
        ]
        changed += [f"risk.{key} = {value:g}" for key, value in section.risk.items()]
        changed += [f"only {', '.join(section.only_symbols)}"] if section.only_symbols else []
        changed += [f"study {section.study}"] if section.study else []
        yield name, ", ".join(changed)


def _market(config: Config) -> str:
    feed = config.feed
    pace = f"at {feed.speed:g} times real time" if feed.speed else "as fast as possible"
    if feed.kind == "file":
        return f"{len(feed.file.candles):,} candle files, {pace}"
    if feed.live is not None:
        name = "Bitget" if feed.kind == "bitget" else f"{feed.ccxt.exchange} through ccxt"
        url = f", {feed.live.rest_url}" if feed.live.rest_url else ""
        return f"{name} live, {', '.join(feed.live.symbols)}, {feed.live.timeframe} candles{url}"
    length = f"{feed.sim.days:,} days" if feed.sim.days else "without end"
    return f"simulated, seed {feed.sim.seed}, {', '.join(feed.sim.symbols)} from {feed.sim.start} {length}, {pace}"


def warnings(config: Config) -> Iterator[str]:
    """Yield warnings about values that are valid but probably not meant."""
    if config.feed.kind != "file":
        watched = configured_symbols(config)
        for symbol in config.groups:
            if symbol not in watched:
                yield f"groups.{symbol} groups a symbol that is not watched"
    else:
        from papertape.engine.feeds.files.table_source import table_source  # noqa: PLC0415 - recorded markets only.

        settings = file_settings(config)
        for path in (*settings.candles, *settings.funding, *settings.open_interest):
            yield from _missing(table_source(str(path)).path)
        for signals in settings.signals:
            yield from _missing(Path(signals))
    strategies, enabled = strategies_of(config), enabled_names(config)
    yield from order_warnings(config, (strategies[name] for name in enabled or strategies if name in strategies))
    for name in config.strategies.by_name:
        if name not in (enabled_names(config) or config.strategies.by_name):
            yield f"strategies.{name} is configured but not enabled"


def order_warnings(config: Config, strategies: Iterable[Strategy]) -> Iterator[str]:
    """Yield a warning for each reference that the configured order of symbols places behind a follower."""
    sections = config.strategies.by_name
    for strategy in strategies:
        only = sections[strategy.name].only_symbols if strategy.name in sections else ()
        yield from late_references(strategy, configured_symbols(config), only or None)


def configured_symbols(config: Config) -> tuple[str, ...]:
    """Return the symbols of the configured market in their order; those of a recorded one by its files of candles."""
    feed = config.feed
    if feed.kind != "file":
        return feed.symbols
    from papertape.engine.feeds.files.table_source import table_source  # noqa: PLC0415 - recorded markets only.

    return tuple(dict.fromkeys(table_source(one).symbol for one in feed.file.candles))


def _missing(path: Path) -> Iterator[str]:
    if not path.is_file():
        yield f"feed.file: the file {path} does not exist"
