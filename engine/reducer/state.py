"""The whole state of the engine: markets, runners and the global kill switch, built from events alone.

`ContractListed` and `RunnerConfigured` extend it, market facts and decisions change it. Nothing here comes from an
outside configuration: a log explains itself.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct, field

from papertape.engine.kernel.answers import RUNGS_MAX, Answer
from papertape.engine.kernel.changes import make_change, make_renewal
from papertape.engine.kernel.codes import FIRST_EXIT_REASON
from papertape.engine.kernel.decide import make_decide, make_strategy_update
from papertape.engine.kernel.decision import NotedDecision
from papertape.engine.kernel.indicators.progress import history_rows
from papertape.engine.kernel.indicators.structs import HISTORY_BARS_MIN
from papertape.engine.kernel.references import make_own_update, make_reference_update
from papertape.engine.kernel.risk_settings import RiskSettings, guard_of, rules_of
from papertape.engine.kernel.series import missing_max
from papertape.engine.kernel.signals import SignalValue
from papertape.engine.kernel.sizing import count_positions
from papertape.engine.kernel.state import (
    READINGS_MAX,
    SETTLEMENTS_MAX,
    Account,
    AccountRules,
    Bar,
    Contract,
    GlobalKillSwitch,
    Market,
    Needs,
    OpenInterest,
    Series,
    Settlement,
    SymbolState,
    Tier,
)
from papertape.engine.kernel.strategy import WITHOUT_VIEW
from papertape.engine.kernel.view import (
    MarketData,
    Reference,
    SeriesView,
    bind_hook,
    bind_observing,
    signal_part,
)
from papertape.engine.reducer.hook_guard import HookGuard
from papertape.engine.reducer.lasting_views import ask_again, show_again
from papertape.engine.reducer.series_set import SeriesSet
from papertape.engine.reducer.signals import SignalMemory, last_values
from papertape.engine.reducer.stand_in import strategy_for
from papertape.events.errors import CommandRefused, ConfigError
from papertape.events.units import MINUTE_MS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from papertape.engine.kernel.state import Readings
    from papertape.engine.kernel.strategy import Strategy
    from papertape.events.facts import ContractListed, FeedConnected, RunnerConfigured, StrategyFailed, StudyPromoted

GAP_RESET_MS = 240 * MINUTE_MS
SYMBOLS_MAX = 512
DECISIONS_A_SYMBOL_MAX = 1 + RUNGS_MAX
"""What one symbol can cancel at once: an entry, or the adds of a position."""
DECISIONS_A_FACT_MAX = SETTLEMENTS_MAX + 8 * RUNGS_MAX + 8
"""Settlements booked; fills, cancellations and new orders of every rung; and the few that there is one of."""


ORDER_SLOTS = RUNGS_MAX + 2


def decisions_max(symbols: int) -> int:
    """Return the most decisions that one fact can lead to for a runner over so many symbols."""
    return symbols * DECISIONS_A_SYMBOL_MAX + DECISIONS_A_FACT_MAX


class Runner(Struct):
    """One strategy with its isolated account.

    `*_seq` are the causes that later events refer to; `order_seq` has those of a symbol's orders by their slot: its
    entry or exit, its adds, its reduction. `references` are the indices of the symbols that its strategy looks at.
    `exit_reasons` are the strategy's, then any others that the log names. `failure` is the event that parked it, None
    while it runs; until `warm_ms` (0: never) its strategy's own state is too young for entries.
    """

    strategy: Strategy
    configured: RunnerConfigured
    exit_reasons: tuple[str, ...]
    guard: HookGuard
    update_strategy: Callable[..., None]
    update_by_reference: Callable[..., None]
    decide: Callable[..., int]
    series: tuple[SeriesSet, ...]
    references: list[int]
    rules: AccountRules
    account: Account
    params: list[Any]
    needs: list[Needs]
    desks: list[SymbolState]
    states: list[Any]
    signals: list[list[SignalValue]]
    active: list[bool]
    answer: Answer
    out: list[NotedDecision]
    notes: list[Any]
    order_seq: list[list[int]]
    trip_seq: int = 0
    failure: StrategyFailed | None = None
    failed_seq: int = 0
    warm_ms: int = 0


class EngineState(Struct):
    """Everything the engine knows. Lists are in the order in which the symbols were listed.

    `promises` are those of the studies whose parameters apply, by strategy. No decision depends on them.
    A `bare` state is being restored: it allocates no rings, and its runners have no room for decisions.
    """

    strategies: Mapping[str, Strategy]
    symbols: dict[str, int]
    listed: list[ContractListed]
    contracts: list[Contract]
    tiers: list[list[Tier]]
    groups: dict[str, int]
    markets: list[Market]
    settlements: list[list[Settlement]]
    readings: list[Readings]
    series: dict[int, SeriesSet]
    runners: list[Runner]
    guard: GlobalKillSwitch
    maxima: list[float]
    signals: SignalMemory
    guard_trip_seq: int = 0
    base_ms: int = 0
    anchor: FeedConnected | None = None
    bare: bool = False
    promises: dict[str, StudyPromoted] = field(default_factory=dict)

    def runner(self, name: str) -> Runner:
        """Return the runner of a strategy. Raise CommandRefused if there is none."""
        for runner in self.runners:
            if runner.strategy.name == name:
                return runner
        raise CommandRefused(f"no runner of strategy {name!r} is configured")


def new_state(strategies: Mapping[str, Strategy]) -> EngineState:
    """Return an empty state with the given strategies."""
    return EngineState(strategies, {}, [], [], [], {}, [], [], [], {}, [], GlobalKillSwitch(), [], SignalMemory())


# ---------------------------------------------------------------- symbols


def list_contract(state: EngineState, event: ContractListed) -> None:
    """List a symbol, or change its specification. Raise ConfigError for another base timeframe or too many symbols."""
    if state.base_ms not in (0, event.timeframe_ms):
        raise ConfigError(
            f"{event.symbol}: the candles are of {event.timeframe_ms // 60_000} min, "
            f"the log holds {state.base_ms // 60_000} min; another base timeframe needs a log of its own"
        )
    if event.symbol not in state.symbols:
        _add_symbol(state, event)
    index = state.symbols[event.symbol]
    state.listed[index] = event
    state.tiers[index] = tiers_of(event)
    state.contracts[index] = Contract(
        event.tick_numerator,
        event.tick_denominator,
        event.lot_numerator,
        event.lot_denominator,
        event.minimum_notional_usdt,
        len(state.tiers[index]),
        state.groups.setdefault(event.group, len(state.groups)),
    )


def tiers_of(event: ContractListed) -> list[Tier]:
    """Return the tier table with its offsets: o_i = o_(i-1) + start_i * (k_i - k_(i-1))."""
    tiers: list[Tier] = []
    for start_usdt, maintenance in event.maintenance_tiers:
        before = tiers[-1] if tiers else Tier(0.0, maintenance, 0.0)
        offset = before.offset_usdt + start_usdt * (maintenance - before.maintenance_fraction)
        tiers.append(Tier(start_usdt, maintenance, offset))
    return tiers


def _add_symbol(state: EngineState, event: ContractListed) -> None:
    """Extend every list by one symbol."""
    if len(state.symbols) >= SYMBOLS_MAX:
        raise ConfigError(f"{event.symbol}: at most {SYMBOLS_MAX} symbols can be watched")
    state.base_ms = event.timeframe_ms
    state.symbols[event.symbol] = len(state.symbols)
    state.listed.append(event)
    state.contracts.append(Contract())
    state.tiers.append([])
    state.markets.append(Market(base_ms=event.timeframe_ms, gap_reset_ms=GAP_RESET_MS))
    state.settlements.append([Settlement() for _ in range(SETTLEMENTS_MAX)])
    state.readings.append([] if state.bare else [OpenInterest() for _ in range(READINGS_MAX)])
    for series in state.series.values():
        _grow_series(state, series)
    for runner in state.runners:
        _grow_runner(state, runner)


def _grow_series(state: EngineState, series: SeriesSet) -> None:
    """Add a series and a history for every symbol that has none yet."""
    while len(series.views) < len(state.symbols):
        bars = [] if state.bare else [Bar() for _ in range(series.rows)]
        candle = Series(series.timeframe_ms, state.base_ms, missing_max=missing_max(series.timeframe_ms, state.base_ms))
        series.views.append(SeriesView(candle, bars))


def series_set(state: EngineState, timeframe_ms: int) -> SeriesSet:
    """Return the series of a timeframe, which all runners share."""
    if timeframe_ms not in state.series:
        rows = max((one.rows for one in state.series.values()), default=HISTORY_BARS_MIN)
        state.series[timeframe_ms] = SeriesSet(timeframe_ms, [], rows)
        _grow_series(state, state.series[timeframe_ms])
    return state.series[timeframe_ms]


# ---------------------------------------------------------------- runners


def market_data(state: EngineState, runner: Runner, symbol: int) -> MarketData:
    """Return what was observed of a symbol, with the series of one runner."""
    series = tuple([one.views[symbol] for one in runner.series])
    markets, rings = state.markets, (state.settlements[symbol], state.readings[symbol])
    others = [Reference(r, markets[r], tuple([one.views[r] for one in runner.series])) for r in runner.references]
    return MarketData(markets[symbol], series, *rings, runner.signals[symbol], tuple(others))


def configure_runner(state: EngineState, event: RunnerConfigured) -> None:
    """Start a strategy with its own capital, or continue it under new settings.

    A strategy whose file is missing, or does not accept the settings, is replaced by one that decides nothing.
    """
    strategy = strategy_for(event, state.strategies, state.base_ms, state.symbols)
    risk = msgspec.convert(event.risk, RiskSettings)
    for runner in state.runners:
        if runner.strategy.name == event.strategy:
            runner.configured, runner.rules = event, rules_of(risk)
            runner.account.free_slots = runner.rules.positions_max - count_positions(runner.desks)
            if strategy != runner.strategy:
                _replace_strategy(state, runner, strategy)
            runner.params, runner.needs, runner.active = [], [], []
            _grow_runner(state, runner)
            _guard(state, risk)
            return
    runner = _new_runner(state, strategy, event, risk)
    state.runners.append(runner)
    _grow_runner(state, runner)
    _guard(state, risk)
    apply_global_trip(state, runner)


def apply_global_trip(state: EngineState, runner: Runner) -> None:
    """Stop a runner that is new, or whose own trip is over, if the global switch is tripped."""
    if state.guard.tripped != 0:
        runner.account.tripped = state.guard.tripped
        runner.trip_seq = state.guard_trip_seq


def _new_runner(state: EngineState, strategy: Strategy, event: RunnerConfigured, risk: RiskSettings) -> Runner:
    """Return a runner without symbols."""
    capital, guard = risk.capital_usdt, HookGuard(strategy)
    hooks, names, signals = guard.guarded(strategy.hooks), strategy.reference_names, strategy.signals
    if names:
        shown = (strategy.series, names, signals, signal_part(signals))
        bind, show = partial(bind_hook, *shown), partial(bind_observing, *shown)
    else:
        lasting = (strategy.series, signals, signal_part(signals))
        bind, show = partial(ask_again, *lasting), partial(show_again, *lasting)
    units_max = strategy.units_max
    counts = len(strategy.exit_reasons), units_max, len(signals), len(names)
    leave = WITHOUT_VIEW.get(hooks.leave) or bind(hooks.leave)
    change = make_change(None if hooks.manage is None else bind(hooks.manage), units_max)
    return Runner(
        strategy=strategy,
        configured=event,
        exit_reasons=strategy.exit_reasons,
        guard=guard,
        update_strategy=make_own_update(make_strategy_update(hooks, show), len(names)),
        update_by_reference=make_reference_update(show(hooks.observe), len(names)),
        decide=make_decide(bind(hooks.enter), leave, change, counts, make_renewal(strategy.reading)),
        series=tuple(series_set(state, timeframe_ms) for timeframe_ms in strategy.series_ms),
        references=[state.symbols[symbol] for _, symbol in strategy.references],
        rules=rules_of(risk),
        account=Account(capital, capital, capital, capital, capital, free_slots=risk.max_concurrent_positions),
        params=[],
        needs=[],
        desks=[],
        states=[],
        signals=[],
        active=[],
        answer=Answer(reading=strategy.reading()),
        out=[],
        notes=[],
        order_seq=[],
    )


def _replace_strategy(state: EngineState, runner: Runner, strategy: Strategy) -> None:
    """Give a runner another version of its strategy, with a state of its own from the beginning."""
    fresh = _new_runner(state, strategy, runner.configured, RiskSettings())
    before, fresh.guard.muted = runner.exit_reasons, runner.failure is not None
    runner.strategy, runner.guard, runner.series = strategy, fresh.guard, fresh.series
    runner.update_strategy, runner.decide = fresh.update_strategy, fresh.decide
    runner.update_by_reference, runner.references = fresh.update_by_reference, fresh.references
    runner.exit_reasons, runner.answer, runner.out, runner.notes = fresh.exit_reasons, fresh.answer, [], []
    runner.signals = [last_values(state.signals, symbol, strategy.signals) for symbol in state.symbols]
    restart_strategy(runner)
    for desk in runner.desks:
        desk.order.reason = _reason_code_now(runner, desk.order.reason, before)
        desk.last_exit_reason = _reason_code_now(runner, desk.last_exit_reason, before)


def _reason_code_now(runner: Runner, code: int, before: tuple[str, ...]) -> int:
    """Return the number of a reason, given its number and the strategy's own exit reasons of before."""
    return exit_reason_code(runner, before[code - FIRST_EXIT_REASON]) if code >= FIRST_EXIT_REASON else code


def restart_strategy(runner: Runner) -> None:
    """Put the strategy's own state back to its beginning, for every symbol."""
    runner.states[:] = [runner.strategy.state() for _ in runner.states]


def exit_reason_code(runner: Runner, name: str) -> int:
    """Return the number of an exit reason; one that the strategy no longer lists gets the next number."""
    if name not in runner.exit_reasons:
        runner.exit_reasons = (*runner.exit_reasons, name)
    return FIRST_EXIT_REASON + runner.exit_reasons.index(name)


def _grow_runner(state: EngineState, runner: Runner) -> None:
    """Add state and parameters for every symbol that has none yet, and room for its decisions."""
    names, event = list(state.symbols), runner.configured
    while len(runner.desks) < len(names):
        runner.desks.append(SymbolState())
        runner.states.append(runner.strategy.state())
        runner.signals.append(last_values(state.signals, names[len(runner.signals)], runner.strategy.signals))
        runner.order_seq.append([0] * ORDER_SLOTS)
    while len(runner.params) < len(names):
        name = names[len(runner.params)]
        values = {**event.parameters, **event.symbol_parameters.get(name, {})}
        params = msgspec.convert(values, runner.strategy.parameters)
        runner.params.append(params)
        needs = Needs(*runner.strategy.candles_needed(params))
        for series in state.series.values():  # All of one length: compiled code has them in one array.
            series.lengthen(history_rows(max(needs.candles, needs.filter_candles)))
        runner.needs.append(needs)
        runner.active.append(name in event.symbols)
    while len(runner.out) < (1 if state.bare else decisions_max(len(names))):
        runner.notes.append(runner.strategy.reading())
        runner.out.append(NotedDecision(reading=runner.notes[-1]))


def _guard(state: EngineState, risk: RiskSettings) -> None:
    """Configure the global switch over the current accounts; its window restarts only if its length changed."""
    total = 0.0
    for runner in state.runners:
        total += runner.account.equity_usdt
    fresh = guard_of(risk, total)
    if state.guard.hours == fresh.hours and state.guard.hour >= 0:
        state.guard.max_loss, state.guard.max_loss_percent = fresh.max_loss, fresh.max_loss_percent
        return
    fresh.tripped = state.guard.tripped
    state.guard = fresh
    state.maxima = [0.0] * fresh.hours
