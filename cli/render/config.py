"""`papertape config check`: a summary of a valid configuration."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from papertape.cli.config.sections import (
    FILE_NAME,
    Config,
    config_digest,
    enabled_names,
    file_settings,
    load_config,
    strategies_of,
)
from papertape.cli.environment.variables import check_variables
from papertape.cli.render.console import GOOD, HEADLINE, emit, fields_of, notes, stdout
from papertape.engine.feeds.bitget.settings import BITGET
from papertape.events.errors import ConfigError
from papertape.projections.text.formats import money

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def show_config(file: Path | None, *, as_json: bool) -> None:
    """Print the summary. Raises ConfigError with every mistake: of a file with its line, of a variable by its name."""
    config = load_config(file)
    check_variables(config, os.environ)
    if as_json:
        emit({"valid": True, "digest": config_digest(config), **fields_of(config), "warnings": list(warnings(config))})
        return
    console = stdout()
    source = config.file or f"no {FILE_NAME} here, the defaults"
    console.print(Text.assemble(("ok ", GOOD), (source, HEADLINE), f", digest {config_digest(config)}"))
    grid = Table.grid(padding=(0, 2))
    for name, text in _summary(config, str(config.database)):
        grid.add_row(Text(f"  {name}"), Text(text))
    console.print(grid)
    notes(console, [f"! {warning}" for warning in warnings(config)])


def summary(config: Config, log: str) -> str:
    """Return the summary as plain lines; `log` is the name of the log that is really used."""
    return "\n".join(f"{name}: {text}" for name, text in _summary(config, log))


def _summary(config: Config, log: str) -> Iterator[tuple[str, str]]:
    yield "log", f"{log}, a snapshot every {config.engine.snapshot_every_events:,} events"
    yield "market", _market(config)
    risk = config.risk
    yield "account", f"{money(risk.capital_usdt)} USDT each, leverage {risk.leverage:g}"
    session, day, all_of_them = risk.max_session_loss_percent, risk.max_daily_loss_percent, risk.global_max_loss_percent
    hours = risk.global_window_hours
    yield "stops at", f"{session:g} % session loss, {day:g} % daily loss, {all_of_them:g} % of all within {hours} h"
    names = enabled_names(config)
    yield "strategies", ", ".join(strategies_of(config)) + " (all)" if names is None else ", ".join(names)
    for name, said in config.strategies.by_name.items():
        changed = [f"{key} = {value:g}" for key, value in said.parameters.items()]
        changed += [
            f"{symbol}: {key} = {value:g}" for symbol, own in said.symbols.items() for key, value in own.items()
        ]
        changed += [f"risk.{key} = {value:g}" for key, value in said.risk.items()]
        changed += [f"only {', '.join(said.only_symbols)}"] if said.only_symbols else []
        yield name, ", ".join(changed)


def _market(config: Config) -> str:
    feed = config.feed
    pace = f"at {feed.speed:g} times real time" if feed.speed else "as fast as it can"
    if feed.kind == "file":
        return f"{len(feed.file.candles):,} files of candles, {pace}"
    if feed.kind == BITGET:
        bitget = feed.bitget
        return f"Bitget live, {', '.join(bitget.symbols)}, {bitget.timeframe} candles, {bitget.rest_url}"
    length = f"{feed.sim.days:,} days" if feed.sim.days else "without end"
    return f"simulated, seed {feed.sim.seed}, {', '.join(feed.sim.symbols)} from {feed.sim.start} {length}, {pace}"


def warnings(config: Config) -> Iterator[str]:
    """What is valid but probably not meant."""
    if config.feed.kind != "file":
        watched = config.feed.bitget.symbols if config.feed.kind == BITGET else config.feed.sim.symbols
        for symbol in config.groups:
            if symbol not in watched:
                yield f"groups.{symbol} groups a symbol that is not watched"
    else:
        settings = file_settings(config)
        for path in (*settings.candles, *settings.funding, *settings.open_interest):
            yield from _missing(str(path))
    for name in config.strategies.by_name:
        if name not in (enabled_names(config) or config.strategies.by_name):
            yield f"strategies.{name} is configured but not enabled"


def _missing(given: str) -> Iterator[str]:
    from papertape.engine.feeds.files.table_source import table_source  # noqa: PLC0415 - recorded markets only.

    path = table_source(given).path
    if not path.is_file():
        yield f"feed.file: there is no file {path}"


def problem_of(file: Path | None) -> str:
    """What is wrong with the configuration; empty when it is valid."""
    try:
        load_config(file)
    except ConfigError as error:
        return str(error)
    return ""
