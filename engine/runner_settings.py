"""Convert settings to the events that configure an engine: contracts first, then runners.

A log is self-contained: a replay needs only the events, never the configuration file.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct
from msgspec.structs import asdict

from papertape.engine.kernel.risk_settings import RiskSettings
from papertape.engine.kernel.strategy import Strategy
from papertape.engine.strategy_registry import code_digest
from papertape.events.errors import ConfigError
from papertape.events.facts import ContractListed, Event, RunnerConfigured, StudyPromoted
from papertape.events.names import unknown_name_text
from papertape.events.units import TIMEFRAME_NAMES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class RunnerSettings(Struct, frozen=True):
    """The owner's settings of one strategy: its symbols, risk, and the parameters that differ from the defaults.

    `promise` is that of the study whose parameters these are; a log records it, a backtest does not.
    """

    parameters: dict[str, int | float] = {}
    symbol_parameters: dict[str, dict[str, int | float]] = {}
    symbols: tuple[str, ...] | None = None
    risk: RiskSettings = RiskSettings()
    promise: StudyPromoted | None = None


def split_by_timeframe(
    strategies: Mapping[str, Strategy], names: Sequence[str] | None, base_ms: int
) -> tuple[list[str], list[str]]:
    """Return the strategies that can run on a base timeframe, and those that need a finer one.

    `names` None selects all. Raise ConfigError for an unknown name, and for a named strategy that needs a finer base.
    """
    for name in names or ():
        if name not in strategies:
            raise ConfigError(unknown_name_text("strategy", name, strategies))
    selected = list(strategies) if names is None else list(names)
    too_fine = [name for name in selected if any(frame_ms % base_ms for frame_ms in strategies[name].series_ms)]
    if too_fine and names is not None:
        frame = strategies[too_fine[0]].finest
        raise ConfigError(f"strategy {too_fine[0]} needs {frame} candles, the base is {TIMEFRAME_NAMES[base_ms]}")
    return [name for name in selected if name not in too_fine], too_fine


def no_runnable_strategy_text(strategies: Mapping[str, Strategy], too_fine: Sequence[str], base_ms: int) -> str:
    """Return the error that no strategy can run on a base timeframe, with the timeframe each one needs."""
    names: dict[str, list[str]] = {}
    for name in too_fine:
        names.setdefault(strategies[name].finest, []).append(name)
    (frame, first), *others = names.items()
    needs = [f"{', '.join(first)} {'need' if len(first) > 1 else 'needs'} {frame}"]
    needs += [f"{', '.join(other)} {other_frame}" for other_frame, other in others]
    return f"no strategy can run on {TIMEFRAME_NAMES[base_ms]} candles: {', '.join(needs)}"


def configuration(
    strategies: Mapping[str, Strategy],
    contracts: Sequence[ContractListed],
    runners: Mapping[str, RunnerSettings],
) -> list[Event]:
    """Return the events that list the contracts and configure the runners, in the given order.

    Raise ConfigError for an unknown parameter, and for a value of the wrong type or outside its valid range.
    """
    symbols = tuple(contract.symbol for contract in contracts)
    at_ms = min(contract.at_ms for contract in contracts)
    return [*contracts, *runner_configurations(strategies, symbols, at_ms, runners)]


def runner_configurations(
    strategies: Mapping[str, Strategy], symbols: tuple[str, ...], at_ms: int, runners: Mapping[str, RunnerSettings]
) -> list[RunnerConfigured]:
    """Return the events that configure the runners; contracts may be listed later. Raise like `configuration`."""
    return [
        RunnerConfigured(
            at_ms=at_ms,
            strategy=name,
            symbols=_symbols(name, symbols, settings),
            parameters=validate_parameters(strategies[name], settings.parameters),
            symbol_parameters={
                symbol: validate_parameters(strategies[name], {**settings.parameters, **own})
                for symbol, own in settings.symbol_parameters.items()
            },
            risk=asdict(settings.risk),
            code_digest=code_digest([strategies[name]]),
            series=strategies[name].series,
            exit_reasons=strategies[name].exit_reasons,
            readings=strategies[name].reading.__struct_fields__,
            of=strategies[name].of,
            references=_references(strategies[name], symbols),
        )
        for name, settings in runners.items()
    ]


def _references(strategy: Strategy, symbols: tuple[str, ...]) -> dict[str, str]:
    """Return the other symbols that a strategy looks at, by name. Raise ConfigError for one that is not watched."""
    for name, symbol in strategy.references:
        if symbol not in symbols:
            raise ConfigError(
                f"strategies.{strategy.name}.{name}: symbol {symbol} is not watched; there are {', '.join(symbols)}"
            )
    return dict(strategy.references)


def late_reference_warnings(
    strategies: Mapping[str, Strategy], runners: Mapping[str, RunnerSettings], symbols: Sequence[str]
) -> list[str]:
    """Return a line for each reference of a runner that stands behind a symbol that follows it."""
    return [line for name, one in runners.items() for line in late_references(strategies[name], symbols, one.symbols)]


def late_references(strategy: Strategy, symbols: Sequence[str], traded: Sequence[str] | None = None) -> list[str]:
    """Return a line for each reference that stands in `symbols` behind a symbol that follows it.

    At equal times candles come in the order of the symbols, so that such a follower sees the reference's candle of that
    time only with its own next one. `traded` None means all. References that are traded follow each other in any order.
    """
    place = {symbol: at for at, symbol in enumerate(symbols)}
    followers = [symbol for symbol in symbols if traded is None or symbol in traded]
    leaders = [symbol for _, symbol in strategy.references if symbol in place]
    leaders.sort(key=lambda symbol: (symbol in followers, place[symbol]))
    mutual = set(leaders) & set(followers) if set(leaders) <= set(followers) else set()
    order = ", ".join(dict.fromkeys((*leaders, *symbols)))
    lines = []
    for name, leader in strategy.references:
        early = [one for one in followers if one not in mutual and place[one] < place.get(leader, 0)]
        if early:
            lines.append(
                f"{strategy.name} looks at {leader} ({name}), which comes after {', '.join(early)} at equal times: "
                f"it sees {leader} one candle late there; write the symbols in the order {order}"
            )
    return lines


def _symbols(name: str, symbols: tuple[str, ...], settings: RunnerSettings) -> tuple[str, ...]:
    """Return the symbols that a runner trades: those it is restricted to, or all."""
    for symbol in (*(settings.symbols or ()), *settings.symbol_parameters):
        if symbol not in symbols:
            raise ConfigError(f"strategies.{name}: symbol {symbol} is not watched; there are {', '.join(symbols)}")
    return symbols if settings.symbols is None else settings.symbols


def validate_parameters(strategy: Strategy, parameters: Mapping[str, int | float]) -> dict[str, int | float]:
    """Return all parameters of a strategy: `parameters`, checked against their ranges, and defaults for the rest."""
    return asdict(valid_parameters(strategy, parameters))


def valid_parameters(strategy: Strategy, parameters: Mapping[str, int | float]) -> Struct:
    """Return the same as the Struct that its hooks get. Raise ConfigError for a name or a value that does not fit."""
    defaults = _defaults(strategy.parameters)
    values = {**defaults, **parameters}
    if len(values) > len(defaults):
        unknown = next(name for name in parameters if name not in defaults)
        raise ConfigError(f"{strategy.name}.{unknown} is unknown; {strategy.name} has {', '.join(defaults)}")
    try:
        return msgspec.convert(values, strategy.parameters)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{strategy.name}: {error}") from error


def all_valid_parameters(strategy: Strategy, sets: Sequence[dict[str, int | float]]) -> list[Struct]:
    """Return what `valid_parameters` returns for each of many sets; raise like it for the first that does not fit."""
    known = _defaults(strategy.parameters).keys()
    if all(one.keys() <= known for one in sets):
        try:
            return msgspec.convert(sets, list[strategy.parameters])  # type: ignore[name-defined]
        except msgspec.ValidationError:
            pass
    return [valid_parameters(strategy, one) for one in sets]


@lru_cache(maxsize=64)
def _defaults(parameters: type[Struct]) -> dict[str, int | float]:
    """Return the defaults of parameters by name."""
    return asdict(parameters())


def history_ms(strategy: Strategy, parameters: Mapping[str, int | float]) -> int:
    """Return the duration of the candles that a strategy needs with these parameters."""
    needed, filter_needed = strategy.candles_needed(msgspec.convert(parameters, strategy.parameters))
    main_ms, *filters_ms = strategy.series_ms
    return max(needed * main_ms, *(filter_needed * filter_ms for filter_ms in filters_ms), 0)
