"""What a strategy is: one module with typed parameters, scalar state, and plain functions.

| name in the module | meaning |
|---|---|
| `NAME`, `TIMEFRAME_MS` | its name, and the timeframe on whose closes it decides |
| `FILTER_TIMEFRAME_MS` | a second timeframe that it reads (optional, its own by default) |
| `NEEDS_BARS`, `NEEDS_FILTER_BARS` | complete candles of each that `enter` needs (optional, 1 by default) |
| `Parameters` | a Struct of numbers with default, range, unit and meaning (see `engine.kernel.parameters`) |
| `State` | a Struct of scalars (optional) |
| `Reading` | a Struct of the numbers behind a decision |
| `EXIT_REASONS` | names of the reasons `leave` may give, none of them the engine's own (optional) |
| `observe(state, main, bars, params)` | a candle of its timeframe is complete (optional) |
| `settle(state, time_ms, rate, params)` | a funding settlement became known (optional) |
| `measure(state, market, main, readings, params)` | an open-interest reading became known (optional) |
| `reset(state)` | a long hole invalidated everything built from candles (optional) |
| `enter(...) -> side` | 1 long, -1 short, 0 none; fills in `decision`, whose numbers are all 0 before |
| `leave(...) -> reason` | 0 to stay, else `FIRST_EXIT_REASON` + index into `EXIT_REASONS` (optional) |
| `read(...)` | fills a `Reading` with the numbers of this moment, whether or not it would enter (optional) |
| `explain(reading, params, side) -> list[Condition]` | the conditions of an entry with their numbers (optional) |
| `needs(params) -> candles` | in place of `NEEDS_BARS` if the number depends on the parameters (optional) |
| `holds(state, market, desk, params) -> list[str]` | what else prevents an entry now, in words (optional) |

`enter` takes `(state, market, main, filtered, desk, params, decision)` and writes `stop_fraction`, `target_fraction`,
`score` and `reading` of the decision; `leave` takes `profit_usdt` after the desk, and writes `reading`. `read` takes
`(state, market, main, filtered, desk, params, reading)` and changes only the reading. A strategy whose `enter` fills
its reading with `read` can show at any time how far it is from an entry, in the numbers that decide.

Functions use `+ - * /`, comparisons, `min max abs` and the functions of `engine.kernel.indicators`, nothing else: they
run in CPython and are compiled by numba from the same source.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from papertape.engine.kernel.codes import REASON_CODES
from papertape.events.errors import ConfigError
from papertape.events.units import TIMEFRAME_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType


class Condition(Struct, frozen=True):
    """One condition of a decision: `value relation threshold`, and whether that held."""

    name: str
    value: float
    relation: str
    threshold: float
    met: bool


class NoState(Struct):
    """The state of a strategy without one."""

    unused: int = 0


class Hooks(Struct, frozen=True):
    """A strategy's functions as the kernel calls them."""

    observe: Callable[..., None]
    settle: Callable[..., None]
    measure: Callable[..., None]
    reset: Callable[..., None]
    enter: Callable[..., int]
    leave: Callable[..., int]
    manage: Callable[..., None] | None


class Strategy(Struct, frozen=True):
    """A strategy as loaded from its module."""

    name: str
    timeframe_ms: int
    filter_timeframe_ms: int
    needs_bars: int
    needs_filter_bars: int
    parameters: type[Struct]
    state: type[Struct]
    reading: type[Struct]
    exit_reasons: tuple[str, ...]
    units_max: int
    hooks: Hooks
    read: Callable[..., None] | None
    explain: Callable[..., list[Condition]] | None
    needs: Callable[[Any], int] | None
    holds: Callable[..., list[str]] | None
    about: str
    source: str

    def candles_needed(self, params: Struct) -> tuple[int, int]:
        """Return the complete candles that it needs of its timeframe and of its filter's under these parameters."""
        return self.needs_bars if self.needs is None else self.needs(params), self.needs_filter_bars


def ignore_bar(state: Any, main: Any, bars: Any, params: Any) -> None:
    """Do nothing, for a strategy without `observe`."""


def ignore_settlement(state: Any, time_ms: Any, rate: Any, params: Any) -> None:
    """Do nothing, for a strategy without `settle`."""


def ignore_reading(state: Any, market: Any, main: Any, readings: Any, params: Any) -> None:
    """Do nothing, for a strategy without `measure`."""


def ignore_reset(state: Any) -> None:
    """Do nothing, for a strategy without `reset`."""


def never_leave(
    state: Any, market: Any, main: Any, filtered: Any, desk: Any, profit_usdt: Any, params: Any, decision: Any
) -> int:
    """Return 0, for a strategy that leaves by stop and target only."""
    return 0


def strategy_from(module: ModuleType) -> Strategy:
    """Read a strategy from its module. Raise ConfigError naming what the module lacks."""
    for required in ("NAME", "TIMEFRAME_MS", "Parameters", "Reading", "enter"):
        if not hasattr(module, required):
            raise ConfigError(f"strategy {module.__file__}: `{required}` is missing")
    if module.TIMEFRAME_MS not in TIMEFRAME_NAMES:
        raise ConfigError(f"strategy {module.__file__}: TIMEFRAME_MS must be one of {sorted(TIMEFRAME_NAMES)}")
    exit_reasons = tuple(getattr(module, "EXIT_REASONS", ()))
    for name in exit_reasons:
        if name in REASON_CODES or exit_reasons.count(name) > 1:
            taken = "reserved by the engine" if name in REASON_CODES else "listed twice"
            raise ConfigError(f"strategy {module.__file__}: EXIT_REASONS: {name!r} is {taken}; choose another name")
    return Strategy(
        name=module.NAME,
        timeframe_ms=module.TIMEFRAME_MS,
        filter_timeframe_ms=getattr(module, "FILTER_TIMEFRAME_MS", module.TIMEFRAME_MS),
        needs_bars=getattr(module, "NEEDS_BARS", 1),
        needs_filter_bars=getattr(module, "NEEDS_FILTER_BARS", 1),
        parameters=module.Parameters,
        state=getattr(module, "State", NoState),
        reading=module.Reading,
        exit_reasons=exit_reasons,
        units_max=getattr(module, "UNITS_MAX", 1),
        hooks=_hooks(module),
        read=getattr(module, "read", None),
        explain=getattr(module, "explain", None),
        needs=getattr(module, "needs", None),
        holds=getattr(module, "holds", None),
        about=inspect.cleandoc(module.__doc__ or ""),
        source=inspect.getsource(module),
    )


def _hooks(module: ModuleType) -> Hooks:
    """Return the module's functions, with one that does nothing in place of each that is missing."""
    return Hooks(
        observe=getattr(module, "observe", ignore_bar),
        settle=getattr(module, "settle", ignore_settlement),
        measure=getattr(module, "measure", ignore_reading),
        reset=getattr(module, "reset", ignore_reset),
        enter=module.enter,
        leave=getattr(module, "leave", never_leave),
        manage=getattr(module, "manage", None),
    )


def clear_reading(reading: Any) -> None:
    """Set every number of a reading to 0. The compiled loop's version is in `engine.research.numba_callees`."""
    for name in reading.__struct_fields__:
        setattr(reading, name, 0)


def copy_reading(source: Any, target: Any) -> None:
    """Copy every number of a reading. The compiled loop's version is in `engine.research.numba_callees`."""
    for name in source.__struct_fields__:
        setattr(target, name, getattr(source, name))


def clip(value: float) -> float:
    """Return the value limited to 0 to 1."""
    return min(1.0, max(0.0, value))
