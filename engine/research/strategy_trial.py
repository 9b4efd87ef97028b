"""Prove what a strategy's source cannot show, by running it over a simulated market in both engines."""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from papertape.engine.contract.hooks import OBSERVING
from papertape.engine.kernel.risk_settings import RiskSettings
from papertape.engine.reducer.reducer import decide, is_decision
from papertape.engine.reducer.snapshot_codec import decode, encode, state_digest
from papertape.engine.reducer.state import EngineState, new_state
from papertape.engine.research.cpython_kernel import PlainEngine
from papertape.engine.research.guarded import run_tape
from papertape.engine.research.hook_errors import HOOK_ERRORS
from papertape.engine.research.hook_probe import HookProbe
from papertape.engine.research.promises import Promise
from papertape.engine.research.tape import fact_event, remember_signals
from papertape.engine.research.trial_market import CANDLES, base_timeframe, first_after, trial_tape, with_noise_from
from papertape.engine.runner_settings import RunnerSettings, configuration
from papertape.events.errors import PapertapeError
from papertape.events.facts import Event, OrderPlaced, OrderRejected, StrategyFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from papertape.engine.kernel.strategy import Strategy
    from papertape.engine.research.guarded import TapeEngine
    from papertape.engine.research.tape import Tape

HOOK_US_MAX: Final = 50.0
"""A hook that takes longer in CPython, in microseconds, delays the other strategies of a live engine."""
BOTH_ENGINES: Final = "same in both engines"
NOT_COMPILED: Final = Promise(BOTH_ENGINES, None, "numba is not installed: install papertape with its extra `research`")
CUT: Final = 0.6
"""The share of the tape before which nothing may depend on what comes later."""
NO_LIMITS: Final = RiskSettings(
    max_session_loss_percent=100.0, max_daily_loss_percent=100.0, global_max_loss_percent=100.0
)
"""A kill switch would end the trial early."""


class Run(Struct):
    """One run over a tape: the decisions with the facts they answer, the final state's digest, the processor time."""

    decided: list[tuple[int, Event]]
    digest: str
    seconds: float

    def content(self, before: int | None = None) -> bytes:
        """Return the decisions on the facts before an index as bytes, which differ if one bit does."""
        return msgspec.msgpack.encode([one for one in self.decided if before is None or one[0] < before])


def try_strategy(
    strategy: Strategy, on_compiling: Callable[[str], None], candles: int = CANDLES, *, is_compiled: bool
) -> list[Promise]:
    """Try every promise that only a run can prove, over so many candles of each symbol.

    Without `is_compiled` the compiled engine is not tried. A hook that raises an error ends the trial.
    """
    tape = trial_tape(base_timeframe(min(strategy.series_ms)), candles, signals=strategy.signals)
    trial = _Trial(strategy, tape)
    plain = trial.run(PlainEngine)
    failure = next((event for _, event in plain.decided if isinstance(event, StrategyFailed)), None)
    if failure is not None:
        return [Promise("runs without errors", False, failure_line(failure))]
    probe = trial.probe()
    promises = [
        Promise("runs without errors", True, f"{tape.total():,} facts, {len(plain.decided):,} decisions"),
        trial.both_engines(plain, on_compiling) if is_compiled else NOT_COMPILED,
        probe.answers_only(),
        trial.resume(plain),
        trial.no_look_ahead(plain),
    ]
    return [*promises, trial.speed(plain, probe), _trades(plain, probe)]


class _Trial:
    """One strategy over one tape. The first symbols of the tape are its references."""

    def __init__(self, strategy: Strategy, tape: Tape) -> None:
        symbols = (contract.symbol for contract in tape.contracts)
        references = tuple(zip(strategy.reference_names, symbols, strict=False))
        self.strategy, self.tape = replace(strategy, references=references), tape
        self.world = self._new_world(self.strategy)
        self.compiled: Run | None = None

    def _new_world(self, strategy: Strategy) -> EngineState:
        """Return the state in which the strategy is configured and nothing has happened yet."""
        strategies = {strategy.name: strategy}
        world = new_state(strategies)
        settings = {strategy.name: RunnerSettings(risk=NO_LIMITS)}
        for seq, event in enumerate(configuration(strategies, self.tape.contracts, settings), 1):
            decide(world, event, seq)
        return world

    def run(
        self,
        engine: Callable[[EngineState, Tape], TapeEngine],
        tape: Tape | None = None,
        strategy: Strategy | None = None,
    ) -> Run:
        """Run an engine over a tape, by default that of the trial."""
        self.world = self._new_world(strategy or self.strategy)
        made = engine(self.world, tape or self.tape)
        started = time.process_time()
        decided = run_tape(self.world, made).decided
        remember_signals(self.world, tape or self.tape, made.facts)
        seconds = time.process_time() - started
        return Run([(one.fact, one.event) for one in decided], state_digest(self.world), seconds)

    def probe(self) -> HookProbe:
        """Return a probe that has watched every hook over the tape."""
        probe = HookProbe(self.strategy)
        self.run(PlainEngine, strategy=replace(self.strategy, hooks=probe.hooks()))
        probe.look_at_states(self.world.runners[0].states)
        return probe

    # ------------------------------------------------------------ the promises

    def both_engines(self, plain: Run, on_compiling: Callable[[str], None]) -> Promise:
        """Compare the decisions and the final states of both engines, bit by bit."""
        from papertape.engine.research.compiled_kernel import CompiledEngine  # noqa: PLC0415 - belongs to an extra

        def compiled(world: EngineState, tape: Tape) -> CompiledEngine:
            engine = CompiledEngine(world, tape)
            engine.compile(on_compiling)
            return engine

        try:
            self.run(compiled)
            self.compiled = self.run(compiled)  # Again, for the time of a run that compiles nothing.
        except (PapertapeError, *HOOK_ERRORS) as error:
            return Promise(BOTH_ENGINES, False, str(error))
        if difference := _difference(plain, self.compiled):
            return Promise(BOTH_ENGINES, False, f"compiled code decides otherwise: {difference}")
        if plain.digest != self.compiled.digest:
            return Promise(
                BOTH_ENGINES, False, "the states differ: an int of more than 63 bits, or an int where a float belongs"
            )
        return Promise(BOTH_ENGINES, True, f"{len(plain.decided):,} decisions and the state equal to the last bit")

    def resume(self, plain: Run) -> Promise:
        """Compare a live run that is killed in the middle and resumed from its snapshot with the uninterrupted one."""
        world = self._new_world(self.strategy)
        facts = self.tape.structs()
        decided: list[tuple[int, Event]] = []
        size = 0
        for index, fact in enumerate(facts):
            if index == len(facts) // 2:
                content = encode(world)
                size, world = len(content), decode(content, world.strategies)
            entries = decide(world, fact_event(self.tape, fact), index + 1)
            decided += [(index, one.event) for one in entries[1:] if is_decision(one.event) and _is_own(one.event)]
        resumed = Run(decided, state_digest(world), 0.0)
        difference = _difference(plain, resumed) or ("" if resumed.digest == plain.digest else "the states differ")
        numbers = difference or f"a snapshot of {size:,} bytes at fact {len(facts) // 2:,}, nothing differs"
        return Promise("kill and resume", not difference, numbers)

    def no_look_ahead(self, plain: Run) -> Promise:
        """Compare the decisions before a moment with those of a run whose later candles are noise."""
        facts = self.tape.columns()
        cut_ms = facts.time_ms[int(facts.total * CUT)]
        until = first_after(facts, cut_ms)
        noisy = self.run(PlainEngine, with_noise_from(self.tape, cut_ms))
        same = plain.content(until) == noisy.content(until)
        before = sum(fact < until for fact, _ in plain.decided)
        numbers = f"{facts.total - until:,} later facts replaced by noise, {before:,} earlier decisions "
        return Promise("no look-ahead", same, f"{numbers}{'unchanged' if same else 'differ'}")

    def speed(self, plain: Run, probe: HookProbe) -> Promise:
        """Return the speed of both engines, and the slowest hook."""
        hook, us = probe.slowest()
        rates = [f"CPython {self.tape.total() / plain.seconds:,.0f}"]
        if self.compiled is not None:
            rates.append(f"compiled {self.tape.total() / self.compiled.seconds:,.0f}")
        slow = f", more than {HOOK_US_MAX:.0f}: it delays a live engine" if us > HOOK_US_MAX else ""
        numbers = f"{', '.join(rates)} facts/s; the slowest hook, {hook}, takes {us:.1f} µs{slow}"
        return Promise("speed", None if slow else True, numbers)


def failure_line(event: StrategyFailed) -> str:
    """Return PLACE: HOOK: the error, with strategy, symbol and time."""
    at = datetime.fromtimestamp(event.at_ms / 1000, UTC)
    occasion = f"{event.strategy} on {event.symbol} at {at:%Y-%m-%d %H:%M} UTC"
    return f"{event.place}: {event.hook}: {event.error} ({occasion})"


def _is_own(event: Any) -> bool:
    """Return whether an event is a decision of a strategy, not a remark on the market."""
    return hasattr(event, "strategy") or hasattr(event, "scope")


def _difference(one: Run, other: Run) -> str:
    """Return the first decision in which two runs differ, or an empty text."""
    for (fact, event), (other_fact, other_event) in zip(one.decided, other.decided, strict=False):
        if fact != other_fact or msgspec.msgpack.encode(event) != msgspec.msgpack.encode(other_event):
            return f"at fact {fact:,} {_first_field(event, other_event)}"
    if len(one.decided) != len(other.decided):
        return f"{len(one.decided):,} decisions against {len(other.decided):,}"
    return ""


def _first_field(event: Event, other: Event) -> str:
    """Return in which field two events differ."""
    if type(event) is not type(other):
        return f"{type(event).__name__} against {type(other).__name__}"
    for name in event.__struct_fields__:
        mine, theirs = getattr(event, name), getattr(other, name)
        if msgspec.msgpack.encode(mine) != msgspec.msgpack.encode(theirs):
            return f"{type(event).__name__}.{name} {mine!r} against {theirs!r}"
    return type(event).__name__


def _trades(plain: Run, probe: HookProbe) -> Promise:
    """Return how often the strategy was asked, and what came of it."""
    counts = Counter(type(event) for _, event in plain.decided)
    asked, refused = probe.calls["enter"], counts[OrderRejected]
    entries = sum(isinstance(event, OrderPlaced) and event.action == "entry" for _, event in plain.decided)
    observed = sum(probe.calls[name] for name in OBSERVING)
    numbers = f"enter was asked {asked:,} times: {entries:,} orders, {refused:,} refused"
    if entries == 0:
        numbers += "; it never traded here" + ("" if asked else f": NEEDS_BARS was not reached in {observed:,} candles")
    return Promise("trades", None if entries == 0 else True, numbers)
