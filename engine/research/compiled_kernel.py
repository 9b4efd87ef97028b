"""The compiled kernel: one loop per strategy over a tape of facts, built from the functions that run live.

The loop is a closure over plain functions, so that numba's disk cache can hold it.
"""

from __future__ import annotations

import inspect
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

import papertape.engine.kernel.answers
import papertape.engine.kernel.changes
import papertape.engine.kernel.decide
import papertape.engine.kernel.evolve
import papertape.engine.kernel.fast_forward
import papertape.engine.kernel.fill_prices
import papertape.engine.kernel.fills
import papertape.engine.kernel.indicators.averages
import papertape.engine.kernel.indicators.dispersion
import papertape.engine.kernel.indicators.progress
import papertape.engine.kernel.indicators.ranges
import papertape.engine.kernel.indicators.ranks
import papertape.engine.kernel.indicators.signs
import papertape.engine.kernel.indicators.volume
import papertape.engine.kernel.indicators.wilder
import papertape.engine.kernel.kill_switch
import papertape.engine.kernel.margin
import papertape.engine.kernel.matching
import papertape.engine.kernel.observe
import papertape.engine.kernel.orders
import papertape.engine.kernel.plans
import papertape.engine.kernel.references
import papertape.engine.kernel.rounding
import papertape.engine.kernel.series
import papertape.engine.kernel.sets.beside
import papertape.engine.kernel.sets.figures
import papertape.engine.kernel.sets.prepare
import papertape.engine.kernel.sets.quiet
import papertape.engine.kernel.sets.together
import papertape.engine.kernel.sets.trade
import papertape.engine.kernel.signals
import papertape.engine.kernel.sizing
import papertape.engine.kernel.strategy
import papertape.engine.kernel.trailing
from papertape.engine.kernel.changes import make_change
from papertape.engine.kernel.decide import make_decide, make_strategy_update
from papertape.engine.kernel.kill_switch import reset_global
from papertape.engine.kernel.references import make_own_update, make_reference_update, make_show, with_data
from papertape.engine.kernel.state import GlobalKillSwitch
from papertape.engine.kernel.strategy import WITHOUT_VIEW
from papertape.engine.kernel.tape_loop import make_advance, make_run, watch_totals
from papertape.engine.kernel.view import bind_hook, bind_observing, signal_part
from papertape.engine.research.compile_errors import compiling, refuse_uncompilable
from papertape.engine.research.engine_choice import COMPILE_S, SHARED_S
from papertape.engine.research.equity_curve import walk_equity
from papertape.engine.research.guarded import STRETCH_FACTS
from papertape.engine.research.numba_callees import make_loop, make_overloads_known, make_part
from papertape.engine.research.own_parts import make_own_part
from papertape.engine.research.records import Array, records_of, struct_of
from papertape.engine.research.runner import CompiledRunner
from papertape.engine.research.shared_parts import (
    SHARED,
    OwnCompiler,
    WholeCompiler,
    compiled_digest,
    compiler_digest,
    is_shared_stored,
    make_shared_known,
)
from papertape.engine.strategy_registry import is_shipped, loop_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import FunctionType

    from papertape.engine.kernel.strategy import Strategy
    from papertape.engine.reducer.state import EngineState
    from papertape.engine.research.tape import Tape

KERNEL_MODULES = (
    papertape.engine.kernel.answers,
    papertape.engine.kernel.changes,
    papertape.engine.kernel.fill_prices,
    papertape.engine.kernel.matching,
    papertape.engine.kernel.orders,
    papertape.engine.kernel.plans,
    papertape.engine.kernel.references,
    papertape.engine.kernel.trailing,
    papertape.engine.kernel.evolve,
    papertape.engine.kernel.fills,
    papertape.engine.kernel.kill_switch,
    papertape.engine.kernel.indicators.averages,
    papertape.engine.kernel.indicators.dispersion,
    papertape.engine.kernel.indicators.progress,
    papertape.engine.kernel.indicators.ranges,
    papertape.engine.kernel.indicators.ranks,
    papertape.engine.kernel.indicators.signs,
    papertape.engine.kernel.indicators.volume,
    papertape.engine.kernel.indicators.wilder,
    papertape.engine.kernel.margin,
    papertape.engine.kernel.observe,
    papertape.engine.kernel.fast_forward,
    papertape.engine.kernel.rounding,
    papertape.engine.kernel.series,
    papertape.engine.kernel.sets.beside,
    papertape.engine.kernel.sets.figures,
    papertape.engine.kernel.sets.prepare,
    papertape.engine.kernel.sets.quiet,
    papertape.engine.kernel.sets.together,
    papertape.engine.kernel.sets.trade,
    papertape.engine.kernel.signals,
    papertape.engine.kernel.sizing,
    papertape.engine.kernel.decide,
)
IGNORED = ("ignore_fact", "never_leave", "show_nothing", "never_ask", "clip")


def own_digest(strategy: Strategy) -> str:
    """Return a digest of everything that may change the machine code of a strategy's loop."""
    return loop_digest(strategy) + compiler_digest()


@cache
def make_known() -> None:
    """Register the kernel's plain functions with numba, once per process."""
    for module in KERNEL_MODULES:
        _make_known(vars(module), module.__name__)
    make_shared_known()
    for name in IGNORED:
        make_part(getattr(papertape.engine.kernel.strategy, name))
    make_overloads_known()


def _make_known(
    names: Mapping[str, Any], module: str, make: Callable[[FunctionType], FunctionType] = make_part
) -> None:
    """Register every plain function among the names of a module that the module defines itself."""
    for _, function in sorted(names.items()):
        if inspect.isfunction(function) and function.__module__ == module and function not in SHARED:
            make(function)


_LOOPS: dict[tuple[str, str, str], Callable[..., Any]] = {}


def compile_loop(strategy: Strategy, digest: str) -> Callable[..., Any]:
    """Return the compiled `advance` of one strategy, from memory or the disk cache if nothing has changed."""
    key = (strategy.name, strategy.source, digest)
    if key not in _LOOPS:
        _LOOPS[key] = _compile(strategy, digest)
    return _LOOPS[key]


def register_strategy(strategy: Strategy) -> None:
    """Register the kernel's and a strategy's plain functions with numba. Raise ConfigError for one that prints."""
    refuse_uncompilable(strategy)
    make_known()
    enter: FunctionType = strategy.hooks.enter  # type: ignore[assignment]
    # Not the module by its name: a file that was loaded again has another one under that name.
    _make_known(enter.__globals__, enter.__module__, partial(register_hook, strategy))


def register_hook(strategy: Strategy, function: FunctionType) -> FunctionType:
    """Register a plain function of a strategy with numba."""
    return make_part(function) if is_shipped(strategy) else make_own_part(function)


def _compile(strategy: Strategy, digest: str) -> Callable[..., Any]:
    """Make a new loop of plain functions that numba knows."""
    register_strategy(strategy)
    run = make_part(make_run(update_part(strategy), decide_part(strategy)))  # type: ignore[arg-type]
    advance = make_advance(data_part(strategy, run), show_part(strategy), bool(strategy.references))
    # A name of its own is a cache file of its own: two processes that compile two strategies never share one.
    advance.__qualname__ = f"{advance.__qualname__}.{strategy.name}"
    return make_loop(advance, digest, WholeCompiler if is_shipped(strategy) else OwnCompiler)


def _view_of(strategy: Strategy) -> tuple[Any, ...]:
    """Return what determines the views of a strategy."""
    signals = strategy.signals
    return strategy.series, strategy.reference_names, signals, _signal_part_known(signals)


def decide_part(strategy: Strategy) -> Any:
    """Return `decide` of one strategy as a part of a loop."""
    hooks, names, units_max = strategy.hooks, strategy.signals, strategy.units_max
    enter, leave = bound_hook(strategy, hooks.enter), bound_hook(strategy, hooks.leave)
    manage = None if hooks.manage is None else bound_hook(strategy, hooks.manage)
    change = make_part(make_change(manage, units_max))  # type: ignore[arg-type]
    counts = len(strategy.exit_reasons), units_max, len(names), len(strategy.references)
    return make_part(make_decide(enter, leave, change, counts))  # type: ignore[arg-type]


def bound_hook(strategy: Strategy, hook: Callable[..., Any]) -> Any:
    """Return a deciding hook, bound to the strategy's view, as a part of a loop."""
    return WITHOUT_VIEW.get(hook) or make_part(bind_hook(*_view_of(strategy), hook))  # type: ignore[arg-type, call-arg]


def _shown(strategy: Strategy, hook: Callable[..., Any]) -> Any:
    """Return an observing hook, bound to the strategy's view, as a part of a loop."""
    return make_part(bind_observing(*_view_of(strategy), hook))  # type: ignore[arg-type, call-arg]


def update_part(strategy: Strategy) -> Any:
    """Return `update_strategy` of one strategy as a part of a loop."""
    update = make_part(make_strategy_update(strategy.hooks, partial(_shown, strategy)))  # type: ignore[arg-type]
    return make_own_update(update, len(strategy.references), make_part)


@cache
def _signal_part_known(signals: tuple[str, ...]) -> Any:
    """Return `signal_part` as a part of a loop, registered once."""
    return make_part(signal_part(signals)) if signals else signal_part(signals)  # type: ignore[arg-type]


def data_part(strategy: Strategy, act: Callable[..., Any]) -> Any:
    """Return `act`, bound to what was observed of a symbol and of the strategy's references, as a part of a loop."""
    return make_part(with_data(len(strategy.series), len(strategy.references), act, make_part))  # type: ignore[arg-type]


def show_part(strategy: Strategy) -> Any:
    """Return the function that shows the candles of references to a strategy as a part of a loop."""
    update = reference_part(strategy)
    return make_part(make_show(len(strategy.series), len(strategy.references), update, make_part))  # type: ignore[arg-type]


def reference_part(strategy: Strategy) -> Any:
    """Return the function that shows a candle of a reference to a strategy, on one symbol, as a part of a loop."""
    return make_reference_update(_shown(strategy, strategy.hooks.observe), len(strategy.references), make_part)


@cache
def guard_watch() -> Callable[..., Any]:
    """Return the compiled loop of the global kill switch."""
    make_known()
    return make_loop(watch_totals, compiled_digest())


@cache
def compiled_walk() -> Callable[..., Any]:
    """Return the compiled loop that computes an equity curve."""
    return make_loop(walk_equity, compiled_digest())


class CompiledEngine:
    """An engine with structured arrays and loops compiled by numba."""

    name = "compiled"

    def __init__(self, world: EngineState, tape: Tape) -> None:
        self.tape, self.facts = tape, tape.arrays()
        self.watch = guard_watch()
        self.runners = [
            CompiledRunner(world, runner, compile_loop(runner.strategy, own_digest(runner.strategy)), tape.signal_names)
            for runner in world.runners
        ]
        self._totals = np.empty(min(self.facts.total, STRETCH_FACTS))
        self.guards = records_of([world.guard])
        self.maxima: Array = np.array(world.maxima)

    def compile_s(self) -> float:
        """Return about how many seconds it takes to compile what is in no cache."""
        missing = [runner for runner in self.runners if not runner.is_compiled(self.facts)]
        return len(missing) * COMPILE_S + (0.0 if is_shared_stored() else SHARED_S)

    def compile(self, tell: Callable[[str], None]) -> None:
        """Compile every loop; `tell` receives a line about one that takes long. Raise ConfigError if one cannot be."""
        for runner in self.runners:
            with compiling(runner.runner.strategy, tell):
                runner.compile(self.facts)

    def equities(self) -> Array:
        """Return room for the equity after every fact."""
        return np.empty(self.facts.total)

    def part(self, equities: Array, first: int, end: int) -> Array:
        """Return a stretch of equities that writes through."""
        return equities[first:end]

    def totals(self, equities: list[Array], first: int, end: int) -> Array:
        """Return the sums over the runners, added up in their order."""
        totals = equities[0][first:end]
        for one in equities[1:]:
            totals = np.add(totals, one[first:end], out=self._totals[: end - first])
        return totals

    def guard(self) -> GlobalKillSwitch:
        """Return the global switch."""
        return struct_of(GlobalKillSwitch, self.guards[0].tolist())

    def trip_guard(self, reason: int) -> None:
        """Trip the global switch."""
        self.guards[0]["tripped"] = reason

    def reset_guard(self) -> None:
        """Reset the global switch."""
        guard = self.guard()
        reset_global(guard, self.maxima)
        self.guards[...] = records_of([guard])

    def write_back(self, world: EngineState) -> None:
        """Write the final state into the Structs."""
        for runner in self.runners:
            runner.write_back(world)
        world.guard, world.maxima = self.guard(), self.maxima.tolist()
