"""Load a `Config` from a TOML file: check its syntax, keys and values, and whether the sections fit together."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

import msgspec
from msgspec.structs import replace

from papertape.api.settings import WebSettings
from papertape.cli.config.instances import faulty_instances, strategy_sections, with_sections
from papertape.cli.config.live_sections import SYMBOL_PATTERN, BitgetSection, CcxtSection
from papertape.cli.config.log_sections import LevelsSection, LogsSection
from papertape.cli.config.schema import ConfigKey, ConfigTable, table_of, value_text
from papertape.cli.config.sections import (
    ALL_STRATEGIES,
    BackupSection,
    Config,
    EngineSection,
    FeedSection,
    FileSection,
    SimSection,
    StrategiesSection,
    StrategySection,
    TelegramSection,
)
from papertape.cli.config.study_promises import promise_problems
from papertape.cli.config.study_section import StudySection
from papertape.cli.config.toml_lines import TomlLocations, locate_keys
from papertape.cli.config.unusable import faults_of, take_strategy_problems
from papertape.cli.config.validation import ConfigProblem, error_of, moment_ms, unknown_key_text, validate_value
from papertape.engine.feeds.files.table_source import table_source
from papertape.engine.feeds.live.exchange import DEFAULT_SYMBOLS
from papertape.engine.feeds.sim.script import OUTAGE_EVERY_HOURS_MIN
from papertape.engine.kernel.risk_settings import RiskSettings
from papertape.engine.strategy_registry import load_all_strategies
from papertape.events.errors import ConfigError, MarketDataError
from papertape.events.names import near_file_text
from papertape.projections.alerts.settings import AlertSettings
from papertape.projections.watchdog.settings import WatchdogSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping

    from papertape.engine.kernel.strategy import Strategy

Tree = dict[str, Any]
FILE_BYTES_MAX = 4 << 20
_AT_LINE = re.compile(r" \(at line (\d+), column (\d+)\)$")
_GLOBAL = "global_"
_OF = ConfigKey("text", "", may_be_empty=False, meaning="the strategy whose file it runs")
_REFERENCE = ConfigKey("text", "", may_be_empty=False, meaning="another symbol that it looks at")
_STUDY = ConfigKey("text", "", meaning="the digest of the study that it follows; written by `papertape promote`")
_PROMISE = ConfigKey("text", "", meaning="what the study promises; written by `papertape promote`")
_VALUES = ConfigKey("text", "", may_be_empty=False, meaning="the values of this parameter, as --vary takes them")
_SYMBOLS = ConfigKey("list", (), pattern=SYMBOL_PATTERN, meaning="trade only these symbols; empty: all")


def schema(strategies: Mapping[str, Strategy]) -> ConfigTable:
    """Return the table of everything that a configuration may contain, with these strategies."""
    markets: dict[str, type[msgspec.Struct]] = {
        "sim": SimSection, "file": FileSection, "bitget": BitgetSection, "ccxt": CcxtSection
    }  # fmt: skip
    feed = table_of_sections(FeedSection, **{name: table_of(kind) for name, kind in markets.items()})
    named = table_of_sections(StrategiesSection, **{name: _strategy_table(one) for name, one in strategies.items()})
    return ConfigTable(
        {
            "engine": table_of(EngineSection),
            "feed": feed,
            "risk": table_of(RiskSettings),
            "groups": ConfigTable(
                {}, rest=ConfigKey("text", "crypto", may_be_empty=False, meaning="the symbol's group")
            ),
            "strategies": ConfigTable(named.keys, "strategy"),
            "alerts": table_of(AlertSettings),
            "telegram": table_of(TelegramSection),
            "backup": table_of(BackupSection),
            "web": table_of(WebSettings),
            "watchdog": table_of(WatchdogSettings),
            "logs": table_of_sections(LogsSection, levels=table_of(LevelsSection)),
            "study": table_of_sections(StudySection, space=ConfigTable({}, "parameter", rest=_VALUES)),
        },
        "section",
    )


def table_of_sections(kind: type[msgspec.Struct], **sections: ConfigTable) -> ConfigTable:
    """Return the table of a Struct, with `sections` in place of the fields of these names."""
    own = [name for name in kind.__struct_fields__ if name not in sections and name != "by_name"]
    plain = msgspec.defstruct("Own", [_field(kind, name) for name in own])
    return ConfigTable({**table_of(plain).keys, **sections})


def _field(kind: type[msgspec.Struct], name: str) -> tuple[str, Any, Any]:
    default = kind.__struct_defaults__[kind.__struct_fields__.index(name)]
    return name, get_type_hints(kind, include_extras=True)[name], default


def _strategy_table(strategy: Strategy) -> ConfigTable:
    parameters = table_of(strategy.parameters, "parameter")
    by_symbol = ConfigTable({}, "symbol", rest=parameters)
    own: dict[str, ConfigKey | ConfigTable] = {"only_symbols": _SYMBOLS, "symbols": by_symbol, "risk": _own_risk()}
    references = {name: replace(_REFERENCE, default=symbol) for name, symbol in strategy.references}
    instance = {"of": _OF} if strategy.of else {}
    promoted = {"study": _STUDY, "promise": _PROMISE}
    return ConfigTable({**parameters.keys, **references, **instance, **own, **promoted}, "parameter")


def _own_risk() -> ConfigTable:
    """Return the risk keys that one strategy may override: all but the global limits."""
    return ConfigTable({name: key for name, key in table_of(RiskSettings).keys.items() if not name.startswith(_GLOBAL)})


def read_config(path: Path) -> Config:
    """Read the configuration in a file. Raise ConfigError."""
    return parse_config(path, read_text(path))


def parse_config(path: Path, text: str) -> Config:
    """Return the configuration that a text would be in the file at `path`. Raise ConfigError."""
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(_syntax(path, text, str(error))) from error
    lines = locate_keys(text)
    return config_of(tree, path, lambda problem: f"{path}:{lines.line_of(plain(problem.path), problem.item)}")


def plain(path: tuple[str, ...]) -> tuple[str, ...]:
    """Return the path of a key without list indexes."""
    return tuple(part.partition("[")[0] for part in path)


def read_text(path: Path) -> str:
    """Return the text of a configuration file. Raise ConfigError."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ConfigError(f"{path}: this configuration file does not exist{near_file_text(path)}") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    if len(content) > FILE_BYTES_MAX:
        raise ConfigError(f"{path}: larger than {FILE_BYTES_MAX} bytes")
    try:
        return content.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: not UTF-8 text") from error


def _syntax(path: Path, text: str, message: str) -> str:
    """Return the text of a syntax error with its line; a duplicate key is named."""
    lines = locate_keys(text)
    place = _AT_LINE.search(message)
    reason = _AT_LINE.sub("", message).removesuffix(" (at end of document)")
    if lines.duplicates and ("overwrite" in reason or "twice" in reason):
        (key, line), *_ = lines.duplicates
        return f"{path}:{line}: duplicate key {'.'.join(key)}, first set in line {lines.lines[key]}"
    if place is None:
        line = lines.unclosed or len(text.rstrip().splitlines()) or 1
        return f"{path}:{line}: not TOML: {reason}"
    return f"{path}:{place[1]}: not TOML: {reason}, column {place[2]}: {_line(lines, int(place[1]))}"


def _line(lines: TomlLocations, line: int) -> str:
    return lines.text[line - 1].strip()[:80] if line <= len(lines.text) else ""


def config_of(tree: Tree, path: Path | None, place: Callable[[ConfigProblem], str]) -> Config:
    """Return the configuration of a decoded file. Raise ConfigError with every problem at the place `place` returns.

    A problem of one strategy makes that strategy unusable and stops nothing else: the configuration has the reason.
    """
    problems = list[ConfigProblem]()
    try:
        strategies = strategies_in(tree, path)
    except ConfigError as error:
        reason = str(error).removeprefix("strategies.folders: ")
        problem = ConfigProblem(("strategies", "folders"), f"= {value_text(_folders(tree))}: {reason}")
        raise error_of([problem], place) from error
    usable = {name: one for name, one in strategies.items() if not one.fault}
    problems += faulty_instances(tree, strategies)
    left_out = {*strategies, *(problem.path[1] for problem in problems)} - usable.keys()
    whole = validate_value(without_sections(tree, left_out), schema(usable), (), problems)
    unusable = faults_of(strategies) | take_strategy_problems(problems, usable, tree, place)
    if not problems:
        problems += _misfits(whole, {**usable, **dict.fromkeys(unusable)})
        unusable = take_strategy_problems(problems, usable, tree, place) | unusable
    if problems:
        raise error_of(problems, place)
    runnable = {name: one for name, one in usable.items() if name not in unusable}
    return replace(_config(whole, runnable, str(path) if path else ""), unusable=unusable)


def without_sections(tree: Tree, names: Container[str]) -> Tree:
    """Return an unchecked tree without the sections of these strategies."""
    section = tree.get("strategies")
    if not isinstance(section, dict):
        return tree
    return {**tree, "strategies": {name: value for name, value in section.items() if name not in names}}


def strategies_in(tree: Tree, path: Path | None) -> dict[str, Strategy]:
    """Return the built-in strategies and those in the folders of a decoded file at `path`. Raise ConfigError."""
    folder = path.parent if path else Path()
    return with_sections(load_all_strategies([folder / one for one in _folders(tree)]), strategy_sections(tree))


def _folders(tree: Tree) -> list[str]:
    """Return the strategy folders of an unchecked tree: the valid keys depend on them."""
    section = tree.get("strategies")
    folders = section.get("folders") if isinstance(section, dict) else None
    return [one for one in folders if isinstance(one, str)] if isinstance(folders, list | tuple) else []


def _misfits(tree: Tree, strategies: Mapping[str, Strategy | None]) -> Iterable[ConfigProblem]:
    """Yield the problems between values that are valid by themselves."""
    yield from _unknown_names(tree.get("strategies", {}).get("enabled", ()), strategies)
    feed = tree.get("feed", {})
    if 0 < (hours := feed.get("sim", {}).get("outage_every_hours", 0)) < OUTAGE_EVERY_HOURS_MIN:
        text = f"= {hours}: must be 0 for no outages, or {OUTAGE_EVERY_HOURS_MIN} or more"
        yield ConfigProblem(("feed", "sim", "outage_every_hours"), text)
    try:
        watched = _watched(feed)
    except MarketDataError as error:
        yield ConfigProblem(("feed", "file", "candles"), f"= {value_text(feed['file']['candles'])}: {error}")
        return
    if not watched:
        yield ConfigProblem(("feed", "file", "candles"), '= []: must name at least one file if feed.kind is "file"')
        return
    files = feed.get("file", {})
    start_ms, end_ms = moment_ms(files.get("start", "")), moment_ms(files.get("end", ""))
    if start_ms is not None and end_ms is not None and end_ms <= start_ms:
        yield ConfigProblem(
            ("feed", "file", "end"), f'= "{files["end"]}": must be later than start, "{files["start"]}"'
        )
    yield from _unwatched(tree.get("strategies", {}), strategies, watched)
    yield from promise_problems(strategy_sections(tree))


def _unknown_names(enabled: Iterable[str], strategies: Iterable[str]) -> Iterable[ConfigProblem]:
    names = list(enabled)
    for at, name in enumerate(names):
        path = ("strategies", f"enabled[{at}]")
        if name == ALL_STRATEGIES and len(names) > 1:
            yield ConfigProblem(path, f'= "{name}": must be the only item; remove it or the other names', name)
        elif name != ALL_STRATEGIES and name not in strategies:
            yield ConfigProblem(
                path, f'= "{name}" {unknown_key_text(name, [*strategies, ALL_STRATEGIES], "strategy")}', name
            )


def _watched(feed: Tree) -> list[str]:
    """Return the symbols of the configured market."""
    kind = feed.get("kind", "sim")
    if kind != "file":
        defaults = SimSection().symbols if kind == "sim" else DEFAULT_SYMBOLS
        return list(feed.get(kind, {}).get("symbols", defaults))
    return list(dict.fromkeys(table_source(one).symbol for one in feed.get("file", {}).get("candles", ())))


def _unwatched(section: Tree, strategies: Mapping[str, Strategy | None], watched: list[str]) -> Iterable[ConfigProblem]:
    for name in strategies:
        table = section.get(name, {})
        for at, symbol in enumerate(table.get("only_symbols", ())):
            if symbol not in watched:
                path = ("strategies", name, f"only_symbols[{at}]")
                yield ConfigProblem(path, f'= "{symbol}" {unknown_key_text(symbol, watched, "symbol")}', symbol)
        strategy = strategies[name]
        for key, symbol in () if strategy is None else strategy.references:
            if symbol not in watched:
                path = ("strategies", name, key)
                yield ConfigProblem(path, f'= "{symbol}" {unknown_key_text(symbol, watched, "symbol")}', symbol)
        for symbol in table.get("symbols", {}):
            if symbol not in watched:
                yield ConfigProblem(
                    ("strategies", name, "symbols", symbol), unknown_key_text(symbol, watched, "symbol")
                )


def _config(tree: Tree, strategies: Mapping[str, Strategy], file: str) -> Config:
    section = tree.get("strategies", {})
    configured = {
        name: _strategy_section(section[name], strategy) for name, strategy in strategies.items() if name in section
    }
    by_name = {name: one for name, one in configured.items() if one != StrategySection()}
    own = {key: section[key] for key in ("enabled", "folders") if key in section}
    sections = {key: value for key, value in tree.items() if key != "strategies"}
    return replace(
        msgspec.convert(sections, Config),
        strategies=StrategiesSection(**{key: tuple(value) for key, value in own.items()}, by_name=by_name),
        file=file,
    )


def _strategy_section(table: Tree, strategy: Strategy) -> StrategySection:
    """Return a strategy's section without parameters that equal their defaults; those of a symbol all stay."""
    names = strategy.parameters.__struct_fields__
    values = {name: value for name, value in table.items() if name in names}
    defaults = msgspec.structs.asdict(strategy.parameters())
    return StrategySection(
        of=table.get("of", ""),
        references={name: table[name] for name in strategy.reference_names if name in table},
        parameters={
            name: value for name, value in _typed(values, strategy.parameters).items() if value != defaults[name]
        },
        symbols={symbol: _typed(own, strategy.parameters) for symbol, own in table.get("symbols", {}).items() if own},
        only_symbols=tuple(table.get("only_symbols", ())),
        risk=_typed(table.get("risk", {}), RiskSettings),
        study=table.get("study", ""),
        promise=table.get("promise", ""),
    )


def _typed(values: Tree, kind: type[msgspec.Struct]) -> dict[str, int | float]:
    """Return the values with the types of the Struct's fields: a whole number becomes a float in a float field."""
    typed = msgspec.structs.asdict(msgspec.convert(values, kind))
    return {name: typed[name] for name in values}
