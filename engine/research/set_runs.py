"""Sets of parameters over one tape: the market is prepared once, and every set is traded over it.

| pass | once for each | does |
|---|---|---|
| prepare | length of the histories | market and series, at every moment at which the strategy is shown something |
| follow | distinct values of what its observing hooks read | the strategy's own state at each of them |
| find | distinct values of what `enter` and `leave` read | the closes at which it may enter or leave |
| trade | set | orders, fills, costs and kill switches, by the kernel's own functions |

The results are those of `run_long_way` to the bit.
"""

from __future__ import annotations

import sys
from collections import Counter
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec.structs import replace

from papertape.engine.kernel.indicators.progress import history_rows
from papertape.engine.kernel.state import Needs
from papertape.engine.reducer.reducer import decide
from papertape.engine.reducer.state import new_state
from papertape.engine.research.engine_choice import check_engine, import_s, python_s
from papertape.engine.research.hook_errors import HOOK_ERRORS
from papertape.engine.research.long_way import run_long_way
from papertape.engine.research.sets.plain_kit import PlainKit
from papertape.engine.research.sets.plan import long_way_reason, plan_of
from papertape.engine.research.sets.prepared import FoundCloses, PreparedMarket, untraded
from papertape.engine.runner_settings import all_valid_parameters, configuration

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence

    from msgspec import Struct

    from papertape.engine.kernel.strategy import Strategy
    from papertape.engine.reducer.state import EngineState
    from papertape.engine.research.set_result import SetResult, TradedSpan
    from papertape.engine.research.sets.kit import Kit
    from papertape.engine.research.sets.plan import SetPlan
    from papertape.engine.research.sets.prepared import Extent
    from papertape.engine.research.tape import Tape
    from papertape.engine.runner_settings import RunnerSettings

K = TypeVar("K", bound="Hashable")
NEEDED = Needs.__struct_fields__
GRID_MAX = 1 << 21
"""The most closes that are noted at once for all groups of sets together: 8 MB."""
SETS_AT_ONCE = 8
"""How many sets CPython trades over a prepared market in the time of one run."""
FEW_SETS = 2
"""Sets that compiled code runs fact by fact in the time that it takes to prepare a market."""
MARKETS_MAX = 2
"""Prepared markets that are kept; another length of history needs another one, and so does an end inside a candle."""


class SetRunner:
    """One strategy over one tape, for many sets of parameters and many spans.

    `settings` hold the risk, the symbols, and the parameters that a set does not name. `long_way` counts, by reason,
    the sets that were run fact by fact.
    """

    def __init__(
        self,
        tape: Tape,
        strategies: Mapping[str, Strategy],
        name: str,
        settings: RunnerSettings,
        engine: str = "auto",
    ) -> None:
        check_engine(engine)
        self._tape, self._strategies, self._name = tape, strategies, name
        self._settings, self._engine = settings, engine
        self._markets: dict[tuple[int, int | None], PreparedMarket] = {}
        self._asked = 0
        self._reason = long_way_reason(strategies[name], settings, tape)
        self.long_way: Counter[str] = Counter()

    def run(self, sets: Sequence[Mapping[str, int | float]], span: TradedSpan) -> list[SetResult]:
        """Run every set over a span, each with a fresh account, exactly as a backtest of that span does.

        Raise ConfigError for a parameter that the strategy refuses.
        """
        strategy = self._strategies[self._name]
        params = all_valid_parameters(strategy, [{**self._settings.parameters, **values} for values in sets])
        reason = self._reason
        self._asked += len(sets)
        if not reason and self._asked <= FEW_SETS and self._is_loop_ready(strategy):
            return [self._fact_by_fact(values, span)._replace(long_way=0) for values in sets]
        results: dict[int, SetResult] = {}
        if not reason:
            try:
                reason = self._run_passes(strategy, params, span, results)
            except HOOK_ERRORS as error:
                reason = f"a hook failed ({type(error).__name__})"
        self._take_long_way(sets, span, results, reason)
        return [results[k] for k in range(len(sets))]

    def _is_loop_ready(self, strategy: Strategy) -> bool:
        """Return whether one set can be run fact by fact without compiling anything, and compiled."""
        if self._engine == "python" or "numba" not in sys.modules or "print(" in strategy.source:
            return False
        from papertape.engine.research.compiled_kernel import compile_loop, own_digest  # noqa: PLC0415 - belongs to an extra
        from papertape.engine.research.loop_cache import is_compiled  # noqa: PLC0415 - likewise

        return is_compiled(compile_loop(strategy, own_digest(strategy)))

    def _fact_by_fact(self, values: Mapping[str, int | float], span: TradedSpan) -> SetResult:
        """Run one set fact by fact."""
        return run_long_way(self._tape, self._strategies, self._name, self._settings, values, span, self._engine)

    def _take_long_way(
        self, sets: Sequence[Mapping[str, int | float]], span: TradedSpan, results: dict[int, SetResult], reason: str
    ) -> None:
        """Run the sets that have no result, and those that may have tripped the global kill switch, fact by fact."""
        limit = self._settings.risk.global_max_loss_percent / 100.0 * (1.0 - 1e-9)
        for k, values in enumerate(sets):
            if k in results and results[k].max_drawdown_fraction < limit:
                continue
            self.long_way[reason if k not in results else "the global kill switch may trip"] += 1
            results[k] = self._fact_by_fact(values, span)

    # ------------------------------------------------------------ groups

    def _run_passes(
        self, strategy: Strategy, params: list[Struct], span: TradedSpan, results: dict[int, SetResult]
    ) -> str:
        """Fill in the results of all sets; return why some are missing."""
        needs = _needs_of(strategy, params)
        for length, members in _groups(range(len(params)), _lengths(needs)).items():
            market = self._market(strategy, length, params)
            extent = market.extent(span)
            if extent is None:
                market = self._market(strategy, length, params, span.end_ms)
                extent = market.extent(span)
                assert extent is not None, "nothing comes after the end"
            if extent.days == 0:
                results.update(dict.fromkeys(members, untraded(self._settings.risk.capital_usdt)))
                continue
            run = _MarketRun(market, extent, params, needs)
            for key, same in _groups(members, _values_of(params, market.plan.observing)).items():
                found = run.trade(key, same)
                if market.kit.failed():
                    return "a hook failed"
                results.update(zip(same, found, strict=True))
        return ""

    def _market(
        self, strategy: Strategy, length: int, params: list[Struct], end_ms: int | None = None
    ) -> PreparedMarket:
        """Return the market with histories of a length, prepared now or before.

        It has an end if a span ends inside a candle: that span knows nothing else that came before its last close.
        """
        key = length, end_ms
        if key in self._markets:
            self._markets[key] = self._markets.pop(key)
        else:
            while len(self._markets) >= MARKETS_MAX:
                del self._markets[next(iter(self._markets))]
            plan, tape = plan_of(strategy), replace(self._tape, start_ms=None, end_ms=end_ms)
            states = len({*_values_of(params, plan.observing)})
            work = python_s(tape.total(), 1 + states) + python_s(tape.total(), len(params)) / SETS_AT_ONCE
            kit = self._kit(self._world(length), plan, work)
            self._markets[key] = PreparedMarket(kit, plan, tape, strategy.series_ms)
        return self._markets[key]

    def _world(self, length: int) -> EngineState:
        """Return a state that took the configuration, with histories of a length."""
        events = configuration(self._strategies, self._tape.contracts, {self._name: self._settings})
        world = new_state(self._strategies)
        for seq, event in enumerate(events, 1):
            decide(world, event, seq)
        for series in world.series.values():
            series.lengthen(length)
        return world

    def _kit(self, world: EngineState, plan: SetPlan, work: float) -> Kit:
        """Return the way to run the passes: compiled, or by CPython where that takes less time."""
        signals, printing = self._tape.signal_names, "print(" in world.runners[0].strategy.source
        if self._engine == "python" or (self._engine == "auto" and printing):
            return PlainKit(world, plan, signals)
        if self._engine == "auto" and work <= import_s():
            return PlainKit(world, plan, signals)
        from papertape.engine.research.sets.compiled_kit import CompiledKit, compile_s  # noqa: PLC0415 - belongs to an extra

        strategy = world.runners[0].strategy
        if self._engine == "auto" and work <= compile_s(strategy, len(world.symbols)):
            return PlainKit(world, plan, signals)
        return CompiledKit(world, plan, signals)


class _MarketRun:
    """Sets over one span of a prepared market."""

    def __init__(self, market: PreparedMarket, extent: Extent, params: list[Struct], needs: list[Needs]) -> None:
        self.market, self.extent, self.params, self.needs = market, extent, params, needs
        self.param_rows, self.needs_rows = market.kit.records(params), market.kit.records(needs)
        plan = market.plan
        self._entering = [*zip(_values_of(params, plan.entering), _values_of(needs, NEEDED), strict=True)]
        self._leaving = _values_of(params, (*plan.leaving, *plan.leaving_state))
        self._exiting, self._alike = _values_of(params, plan.leaving), _values_of(params, ())

    def trade(self, key: Hashable, members: Sequence[int]) -> list[SetResult]:
        """Return the results of sets that share a state, which `key` determines, in their order."""
        market, plan = self.market, self.market.plan
        states = market.follow(key, self.param_rows[members[0] : members[0] + 1])
        entries = _groups(members, self._entering if plan.finds else self._alike)
        results: dict[int, SetResult] = {}
        for part in _chunks(list(entries.values()), max(1, GRID_MAX // (market.closes + 1))):
            chosen = [k for group in part for k in group]
            exits = _groups(chosen, self._exiting if plan.skips else self._alike)
            found = self._find(states, part, list(exits.values()))
            groups = _numbers(chosen, part), _numbers(chosen, exits.values())
            own = states, self.param_rows, self.needs_rows
            results.update(zip(chosen, market.trade(self.extent, *own, chosen, found, groups), strict=True))
        return [results[k] for k in members]

    def _differing(self, members: Sequence[int]) -> int:
        """Return a bit for each of the first conditions of an entry whose parameters differ between sets."""
        params = [self.params[k] for k in members]
        values = [_values_of(params, names) for names in self.market.plan.sifting]
        return sum(1 << bit for bit, value in enumerate(values) if len({*value}) > 1)

    def _find(self, states: Any, entries: list[list[int]], exits: list[list[int]]) -> FoundCloses:
        """Return the closes at which groups of sets may enter and leave."""
        market, own = self.market, (states, self.param_rows, self.needs_rows)
        every = market.all_closes()
        found, counts = every.entries, every.counts
        longs, shorts = every.longs, every.shorts
        if market.plan.finds:
            first = [group[0] for group in entries]
            key = tuple([self._entering[k] for k in first])
            found, counts = market.find_entries(key, *own, first, self._differing(first))
        if market.plan.skips:
            first = [group[0] for group in exits]
            longs, shorts = market.find_exits(tuple([self._leaving[k] for k in first]), *own, first)
        return FoundCloses(found, counts, longs, shorts)


def _needs_of(strategy: Strategy, params: list[Struct]) -> list[Needs]:
    """Return the candles that a strategy needs under the parameters of every set; equal ones are one."""
    known: dict[Hashable, Needs] = {}
    needed: list[Needs] = []
    for key, one in zip(_values_of(params, plan_of(strategy).needing), params, strict=True):
        if key not in known:
            known[key] = Needs(*strategy.candles_needed(one))
        needed.append(known[key])
    return needed


def _lengths(needs: list[Needs]) -> list[int]:
    """Return how long the histories are that every set needs."""
    candles = _values_of(needs, NEEDED)
    lengths = {one: history_rows(max(one)) for one in {*candles}}
    return [lengths[one] for one in candles]


def _groups(members: Iterable[int], keys: Sequence[K]) -> dict[K, list[int]]:
    """Return members by their keys, in the order in which these come first."""
    groups: dict[K, list[int]] = {}
    for k in members:
        if (key := keys[k]) in groups:
            groups[key].append(k)
        else:
            groups[key] = [k]
    return groups


def _values_of(params: Sequence[Struct], names: Sequence[str]) -> list[tuple[Any, ...]]:
    """Return the values of parameters of every set."""
    if not names:
        return [()] * len(params)
    return list(zip(*(map(attrgetter(name), params) for name in names), strict=True))


def _numbers(members: Sequence[int], groups: Iterable[Sequence[int]]) -> list[int]:
    """Return the number of each member's group."""
    place = {k: number for number, group in enumerate(groups) for k in group}
    return [place[k] for k in members]


def _chunks(items: list[Any], size: int) -> Iterable[list[Any]]:
    """Yield a list in parts."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
