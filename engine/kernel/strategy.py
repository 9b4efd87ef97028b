"""What a strategy is: one module with typed parameters, scalar state, and plain functions, called hooks.

| name in the module | meaning |
|---|---|
| `NAME` | its name |
| `SERIES` | the timeframes that it reads, 1 to 4, as in `("5m", "15m")`; it is asked on closes of the first |
| `REFERENCES` | up to 2 other symbols that it looks at, by name, as in `{"leader": "BTCUSDT"}` (optional) |
| `NEEDS_BARS`, `NEEDS_FILTER_BARS` | complete candles of the first and of the others that `enter` needs (default 1) |
| `Parameters` | a Struct of numbers with default, range, unit and meaning (see `engine.kernel.parameters`) |
| `State` | a Struct of scalars (optional) |
| `Reading` | a Struct of the numbers behind a decision |
| `SIGNALS` | up to 8 names of signals, as in `("trend",)`; `view.signals.trend` is the last one (optional) |
| `EXIT_REASONS` | names of the reasons `leave` may give, none of them the engine's own (optional) |
| `observe(view, params)` | a candle of at least one of its series, or of a reference's, is complete (optional) |
| `on_funding(view, params)` | a funding settlement became known (optional) |
| `on_open_interest(view, params)` | an open-interest reading became known (optional) |
| `on_gap(view, params)` | a long hole invalidated everything built from candles (optional) |
| `enter(view, params, answer) -> side` | 1 long, -1 short, 0 none; fills in `answer`, whose numbers are all 0 before |
| `leave(view, params, answer) -> reason` | 0 to stay, else `FIRST_EXIT_REASON` + index into `EXIT_REASONS` (optional) |
| `manage(view, params, answer)` | changes stop, targets and adds of a position that `leave` lets stay (optional) |
| `UNITS_MAX` | how large a position may become, in first fills, 1 to 17 (1 by default) |
| `read(view, params, reading)` | fills a `Reading` with the numbers of this moment, entry or not (optional) |
| `PLOT` | the fields of `Reading` that a chart draws, by `read`: `{"vwap": "price", "rsi": "pane"}` (optional) |
| `explain(reading, params, side) -> list[Condition]` | the conditions of an entry with their numbers (optional) |
| `needs(params) -> candles` | in place of `NEEDS_BARS`, or a pair in place of both, from the parameters (optional) |
| `holds(view, params) -> list[str]` | what else prevents an entry now, in words (optional) |

`engine.kernel.view` lists what a view holds. `observe` and the `on_...` hooks change `view.state` and nothing else; the
other hooks change only the answer or reading that they are given. A strategy whose `enter` fills its reading with
`read` can show at any time how far it is from an entry, in the numbers that decide.

Functions use `+ - * /`, comparisons, `min max abs` and the functions of `engine.kernel.indicators`, nothing else: they
run in CPython and are compiled by numba from the same source.
"""

from __future__ import annotations

import inspect
import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from papertape.engine.kernel.codes import REASON_CODES
from papertape.engine.kernel.signals import SIGNALS_MAX
from papertape.engine.kernel.view import REFERENCES_MAX, SERIES_MAX, View
from papertape.engine.kernel.writes import ease_writes
from papertape.events.errors import ConfigError
from papertape.events.facts import SIGNAL_NAME_PATTERN
from papertape.events.units import SERIES_MS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import ModuleType

    from papertape.engine.kernel.answers import Answer, Plan

SIGNAL_NAME = re.compile(SIGNAL_NAME_PATTERN)
FORMER_NAMES = {
    "TIMEFRAME_MS": 'SERIES = ("5m",)',
    "FILTER_TIMEFRAME_MS": 'the second of SERIES = ("5m", "15m")',
    "settle": "`on_funding`",
    "measure": "`on_open_interest`",
    "reset": "`on_gap`",
}
"""Names of earlier versions, and what replaces them."""
PLOT_LINES_MAX = 8
PLOT_PANES_MAX = 3
PRICE = "price"
"""The place of a reading that is drawn on the candles."""
PLOT_PLACES = (PRICE, "pane")
PLOT_PLACE = re.compile(r"price|pane(:[A-Za-z0-9_ %/.-]{1,24})?")
"""Where `PLOT` draws a reading: on the price, in the pane below it, or in a pane with a title, as in `pane:trend`."""
SECTION_KEYS = ("of", "only_symbols", "symbols", "risk", "study", "promise")
"""The keys of a strategy's section in the configuration that are no parameters."""
SIGNATURES = {
    **dict.fromkeys(("observe", "on_funding", "on_open_interest", "on_gap", "holds"), ("view", "params")),
    **dict.fromkeys(("enter", "leave", "manage"), ("view", "params", "answer")),
    "read": ("view", "params", "reading"),
    "explain": ("reading", "params", "side"),
    "needs": ("params",),
}
"""The arguments of every hook."""


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
    on_funding: Callable[..., None]
    on_open_interest: Callable[..., None]
    on_gap: Callable[..., None]
    enter: Callable[..., int]
    leave: Callable[..., int]
    manage: Callable[..., None] | None


class Strategy(Struct, frozen=True):
    """A strategy as loaded from its module."""

    name: str
    series: tuple[str, ...]
    needs_bars: int
    needs_filter_bars: int
    parameters: type[Struct]
    state: type[Struct]
    reading: type[Struct]
    exit_reasons: tuple[str, ...]
    units_max: int
    signals: tuple[str, ...]
    hooks: Hooks
    read: Callable[..., None] | None
    explain: Callable[..., list[Condition]] | None
    needs: Callable[[Any], int | tuple[int, int]] | None
    holds: Callable[..., list[str]] | None
    about: str
    source: str
    file: str = ""
    fault: str = ""
    """Why its file cannot be used, empty if it can: such a strategy decides nothing, and its runner is parked."""
    fault_place: str = ""
    of: str = ""
    """The strategy whose file it is, if it runs under a name of its own; else empty."""
    references: tuple[tuple[str, str], ...] = ()
    """The other symbols that it looks at: the name of each in its view, and the symbol."""
    plot: tuple[tuple[str, str], ...] = ()
    """The readings that a chart draws, and the place of each: `price`, `pane` or `pane:TITLE`."""

    @property
    def reference_names(self) -> tuple[str, ...]:
        """The names of its references in its view."""
        return tuple(name for name, _ in self.references)

    @property
    def timeframe_ms(self) -> int:
        """The timeframe on whose closes it decides: that of its first series."""
        return SERIES_MS[self.series[0]]

    @property
    def series_ms(self) -> tuple[int, ...]:
        """The timeframes of its series, in order."""
        return tuple(SERIES_MS[name] for name in self.series)

    @property
    def finest(self) -> str:
        """The finest of its series, which no base timeframe may exceed."""
        return min(self.series, key=SERIES_MS.__getitem__)

    def candles_needed(self, params: Struct) -> tuple[int, int]:
        """Return the complete candles that it needs of its first and of its other series under these parameters."""
        needed = self.needs_bars if self.needs is None else self.needs(params)
        return needed if isinstance(needed, tuple) else (needed, self.needs_filter_bars)


def ignore_fact(view: Any, params: Any) -> None:
    """Do nothing, for a strategy without an observing hook."""


def never_leave(view: Any, params: Any, answer: Any) -> int:
    """Return 0, for a strategy that leaves by stop and target only."""
    return 0


def show_nothing(now_ms: int, data: Any, state: Any, params: Any) -> None:
    """Do nothing, as `ignore_fact` bound to a view that nobody looks at."""


def never_ask(now_ms: int, data: Any, state: Any, account: Any, symbol: Any, params: Any, answer: Any) -> int:
    """Return 0, as `never_leave` bound to a view that nobody looks at."""
    return 0


WITHOUT_VIEW: dict[Any, Any] = {ignore_fact: show_nothing, never_leave: never_ask}
"""The hooks that stand in for those that a strategy does not have, bound without building a view."""
DO_NOTHING = frozenset(WITHOUT_VIEW)
"""The hooks that stand in for those that a strategy does not have."""


def strategy_from(module: ModuleType) -> Strategy:
    """Read a strategy from its module. Raise ConfigError naming what the module lacks, or what it must change."""
    _check_contract(module)
    for required in ("NAME", "SERIES", "Parameters", "Reading", "enter"):
        if not hasattr(module, required):
            raise ConfigError(f"strategy {module.__file__}: `{required}` is missing")
    ease_writes(vars(module))
    return Strategy(
        name=module.NAME,
        series=_series(module),
        needs_bars=getattr(module, "NEEDS_BARS", 1),
        needs_filter_bars=getattr(module, "NEEDS_FILTER_BARS", 1),
        parameters=module.Parameters,
        state=getattr(module, "State", NoState),
        reading=module.Reading,
        exit_reasons=_exit_reasons(module),
        units_max=getattr(module, "UNITS_MAX", 1),
        signals=_signals(module),
        hooks=_hooks(module),
        read=getattr(module, "read", None),
        explain=getattr(module, "explain", None),
        needs=getattr(module, "needs", None),
        holds=getattr(module, "holds", None),
        about=inspect.cleandoc(module.__doc__ or ""),
        source=inspect.getsource(module),
        file=str(module.__file__),
        references=_references(module),
        plot=_plot(module),
    )


def _check_contract(module: ModuleType) -> None:
    """Raise ConfigError for a file written for an earlier version, naming in one line what to change."""
    changes = [f"{old} is now {new}" for old, new in FORMER_NAMES.items() if hasattr(module, old)]
    for name, arguments in SIGNATURES.items():
        hook = getattr(module, name, None)
        if inspect.isfunction(hook) and len(inspect.signature(hook).parameters) != len(arguments):
            changes.append(f"`{name}` takes ({', '.join(arguments)})")
    if changes:
        raise ConfigError(
            f"strategy {module.__file__}: {'; '.join(changes)}; docs/strategies.md has the whole contract"
        )


def _series(module: ModuleType) -> tuple[str, ...]:
    """Return the names of a strategy's series."""
    names = module.SERIES
    known = isinstance(names, tuple) and all(name in SERIES_MS for name in names)
    if not known or not 1 <= len(names) <= SERIES_MAX or len(set(names)) < len(names):
        raise ConfigError(
            f"strategy {module.__file__}: SERIES must be a tuple of 1 to {SERIES_MAX} different timeframes"
            f" of {' '.join(SERIES_MS)}, not {names!r}"
        )
    return names  # type: ignore[no-any-return]


def _signals(module: ModuleType) -> tuple[str, ...]:
    """Return the names of the signals that a strategy reads."""
    names = getattr(module, "SIGNALS", ())
    known = isinstance(names, tuple) and all(isinstance(name, str) and SIGNAL_NAME.fullmatch(name) for name in names)
    if not known or len(names) > SIGNALS_MAX or len(set(names)) < len(names):
        raise ConfigError(
            f"strategy {module.__file__}: SIGNALS must be a tuple of at most {SIGNALS_MAX} different names"
            f" of lower-case letters, digits and underscores, not {names!r}"
        )
    return names


def _references(module: ModuleType) -> tuple[tuple[str, str], ...]:
    """Return the other symbols that a strategy looks at, by name."""
    references = getattr(module, "REFERENCES", {})
    taken = {*View.__annotations__, *module.Parameters.__struct_fields__, *SECTION_KEYS}
    is_valid = isinstance(references, dict) and all(
        isinstance(name, str) and name.isidentifier() and name not in taken and isinstance(symbol, str)
        for name, symbol in references.items()
    )
    if not is_valid or len(references) > REFERENCES_MAX:
        raise ConfigError(
            f"strategy {module.__file__}: REFERENCES must be a dict of at most {REFERENCES_MAX} names, each neither a"
            f' field of the view nor a parameter, with their symbols, as in {{"leader": "BTCUSDT"}}, not {references!r}'
        )
    return tuple(references.items())


def _plot(module: ModuleType) -> tuple[tuple[str, str], ...]:
    """Return the readings that a chart draws, and where."""
    plot = getattr(module, "PLOT", {})
    if not isinstance(plot, dict):
        raise _plot_error(module, f'must be a dict, as in {{"vwap": "price", "rsi": "pane"}}, not {plot!r}')
    fields = module.Reading.__struct_fields__
    for name, place in plot.items():
        if name not in fields:
            raise _plot_error(module, f"Reading has no field {name!r}; {_nearest(str(name), fields)}")
        if not isinstance(place, str) or not PLOT_PLACE.fullmatch(place):
            known = 'the places are "price", "pane" and "pane:TITLE"'
            raise _plot_error(module, f"{name}: {known}, not {place!r}; {_nearest(str(place), PLOT_PLACES)}")
    if plot and not hasattr(module, "read"):
        raise _plot_error(module, "needs `read(view, params, reading)`, which fills in the numbers of any moment")
    panes = {place for place in plot.values() if place != PRICE}
    if len(plot) > PLOT_LINES_MAX or len(panes) > PLOT_PANES_MAX:
        raise _plot_error(module, f"draws at most {PLOT_LINES_MAX} readings, in at most {PLOT_PANES_MAX} panes")
    return tuple(plot.items())


def _plot_error(module: ModuleType, text: str) -> ConfigError:
    return ConfigError(f"strategy {module.__file__}: PLOT: {text}")


def _nearest(name: str, names: Sequence[str]) -> str:
    """Return a hint at the most similar name, or all names."""
    near = get_close_matches(name, names, 1)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(names) or 'none'}"


def _exit_reasons(module: ModuleType) -> tuple[str, ...]:
    """Return the names of a strategy's own exit reasons."""
    exit_reasons = tuple(getattr(module, "EXIT_REASONS", ()))
    for name in exit_reasons:
        if name in REASON_CODES or exit_reasons.count(name) > 1:
            taken = "reserved by the engine" if name in REASON_CODES else "listed twice"
            raise ConfigError(f"strategy {module.__file__}: EXIT_REASONS: {name!r} is {taken}; choose another name")
    return exit_reasons


def _hooks(module: ModuleType) -> Hooks:
    """Return the module's functions, with one that does nothing in place of each that is missing."""
    return Hooks(
        observe=getattr(module, "observe", ignore_fact),
        on_funding=getattr(module, "on_funding", ignore_fact),
        on_open_interest=getattr(module, "on_open_interest", ignore_fact),
        on_gap=getattr(module, "on_gap", ignore_fact),
        enter=module.enter,
        leave=getattr(module, "leave", never_leave),
        manage=getattr(module, "manage", None),
    )


def as_plan(answer: Answer) -> Plan:
    """Return the plan in an answer. The compiled loop's version is in `engine.research.numba_callees`."""
    return answer


def clear_reading(reading: Any) -> None:
    """Set every number of a reading to 0. The compiled loop's version is in `engine.research.numba_callees`."""
    for name in reading.__struct_fields__:
        setattr(reading, name, 0)


def copy_reading(source: Any, target: Any) -> None:
    """Copy every number of a reading. The compiled loop's version is in `engine.research.numba_callees`."""
    for name in source.__struct_fields__:
        setattr(target, name, getattr(source, name))


def copy_record(source: Any, target: Any) -> None:
    """Copy every number of a tree of Structs. The compiled loop's version is in `engine.research.numba_callees`."""
    for name in source.__struct_fields__:
        value = getattr(source, name)
        if isinstance(value, Struct):
            copy_record(value, getattr(target, name))
        else:
            setattr(target, name, value)


def clip(value: float) -> float:
    """Return the value limited to 0 to 1."""
    return min(1.0, max(0.0, value))
