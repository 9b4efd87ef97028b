"""The plan of a study: everything that determines its results, the key over it, and doubts about its data."""

from __future__ import annotations

import hashlib
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct
from msgspec.structs import asdict, replace

from papertape.engine.kernel.risk_settings import RiskSettings
from papertape.engine.kernel.strategy import ignore_fact
from papertape.engine.research.engine_choice import COMPILE_S, SHARED_S, import_s, is_installed, python_s
from papertape.engine.research.set_result import TradedSpan
from papertape.engine.runner_settings import RunnerSettings, history_ms, validate_parameters
from papertape.engine.strategy_registry import code_digest
from papertape.events.errors import UsageError
from papertape.events.units import HOUR_MS
from papertape.projections.studies.document import StudyPlan
from papertape.projections.text.formats import duration
from papertape.studies.folds import Stretch
from papertape.studies.space import space_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from papertape.engine.feeds.files.columns import CandleColumns, SeriesColumns
    from papertape.engine.kernel.strategy import Strategy
    from papertape.engine.research.tape import Tape
    from papertape.studies.space import Space

BESIDE_THE_KEY: Final = ("name", "warnings", "files")
HOLES_MAX: Final = 0.01
LOOP_SHARE: Final = 0.5
"""A loop is compiled even if it saves only half of that time: it is stored, and the strategy's next study needs it."""
WARM_UP_SETS: Final = 2_048
"""At most this many sets are asked how long they warm up."""
FUNDING_GAP_MAX_MS: Final = 9 * HOUR_MS
"""Perpetuals settle every eight hours or more often; a longer stretch without a rate is a hole."""


class Experiment(Struct):
    """A strategy with its settings, the market it trades, and the sets that a study runs."""

    strategy: Strategy
    settings: RunnerSettings
    tape: Tape
    space: Space
    tape_digest: str
    engine: str = "auto"

    @property
    def whole(self) -> TradedSpan:
        """The whole period of the study."""
        return TradedSpan(self.tape.start_ms, self.tape.end_ms)

    def engine_for(self, backtests: int) -> str:
        """Return the engine for this many backtests: one may be too short to be worth compiling for, all may not."""
        work_s = python_s(self.tape.total(), backtests)
        if self.engine != "auto" or "print(" in self.strategy.source or not is_installed() or work_s <= import_s():
            return self.engine
        from papertape.engine.research.shared_parts import is_shared_stored  # noqa: PLC0415 - belongs to an extra

        compile_s = COMPILE_S * LOOP_SHARE if is_shared_stored() else COMPILE_S + SHARED_S
        return "compiled" if work_s > compile_s else self.engine


def make_plan(name: str, experiment: Experiment, files: Sequence[str] = ()) -> StudyPlan:
    """Return the plan of a study. Raise ConfigError for parameters that the strategy refuses."""
    strategy, settings, tape = experiment.strategy, experiment.settings, experiment.tape
    stretch = stretch_of(experiment)
    return StudyPlan(
        name=name,
        strategy=strategy.name,
        code_digest=code_digest([strategy]),
        tape_digest=experiment.tape_digest,
        symbols=tuple(contract.symbol for contract in tape.contracts),
        timeframe_ms=stretch.timeframe_ms,
        from_ms=stretch.first_ms,
        until_ms=stretch.until_ms,
        candles=sum(len(table.open_time_ms) for table in tape.candles),
        space=experiment.space.view(),
        parameters=validate_parameters(strategy, settings.parameters),
        risk=asdict(settings.risk),
        warnings=tuple(_warnings(experiment)),
        of=strategy.of,
        references=dict(strategy.references),
        symbol_parameters=settings.symbol_parameters,
        traded_symbols=settings.symbols or (),
        start_ms=tape.start_ms,
        end_ms=tape.end_ms,
        files=tuple(files),
    )


def plan_key(plan: StudyPlan) -> str:
    """Return the digest of everything in a plan that determines the results: the same key is the same study."""
    return hashlib.blake2b(msgspec.json.encode(_essence(plan), order="deterministic"), digest_size=16).hexdigest()


def plan_differences(ours: StudyPlan, theirs: StudyPlan) -> list[str]:
    """Return what two plans differ in, in words: `risk.leverage was 3.0, now 5.0`; `theirs` is the older one."""
    mine, other = _flat(_essence(ours)), _flat(_essence(theirs))
    names = [*mine, *(name for name in other if name not in mine)]
    return [
        f"{name} was {_words(other.get(name))}, now {_words(mine.get(name))}"
        for name in names
        if mine.get(name) != other.get(name)
    ]


def experiment_of(plan: StudyPlan, strategy: Strategy, tape: Tape, engine: str = "auto") -> Experiment:
    """Return what a plan runs, over the tape of its digest. Raise UsageError if the strategy's code has changed."""
    digest = code_digest([strategy])
    if digest != plan.code_digest:
        raise UsageError(
            f"study {plan.name} was made with the code {plan.code_digest}, now it is {digest}: {plan.strategy} or the "
            "kernel has changed since; run `papertape sweep` under a new name"
        )
    settings = RunnerSettings(
        plan.parameters, plan.symbol_parameters, plan.traded_symbols or None, msgspec.convert(plan.risk, RiskSettings)
    )
    traded = replace(tape, start_ms=plan.start_ms, end_ms=plan.end_ms)
    space = space_of(plan.space, strategy, plan.parameters)
    return Experiment(strategy, settings, traded, space, plan.tape_digest, engine)


def stretch_of(experiment: Experiment) -> Stretch:
    """Return the candles that the windows of a walk-forward may cover."""
    tape = experiment.tape
    first_ms = min(table.open_time_ms[0] for table in tape.candles)
    until_ms = max(table.open_time_ms[-1] + table.timeframe_ms for table in tape.candles)
    begins_ms = first_ms if tape.start_ms is None else max(first_ms, tape.start_ms)
    ends_ms = until_ms if tape.end_ms is None else min(until_ms, tape.end_ms)
    missing_ms = max(0, warm_up_ms(experiment) - (begins_ms - first_ms))
    return Stretch(begins_ms, ends_ms, missing_ms, tape.candles[0].timeframe_ms)


def warm_up_ms(experiment: Experiment) -> int:
    """Return the duration of the candles that the slowest of the sets needs before it can enter."""
    numbers = experiment.space.numbers()
    sample = {*numbers[:: max(1, len(numbers) // WARM_UP_SETS)], numbers[-1]}
    bases = (experiment.settings.parameters, *experiment.settings.symbol_parameters.values())
    return max(
        history_ms(experiment.strategy, {**base, **experiment.space.values(number)})
        for number in sample
        for base in bases
    )


def _essence(plan: StudyPlan) -> dict[str, object]:
    """Return a plan as plain data, without what does not determine results."""
    return {name: value for name, value in msgspec.to_builtins(plan).items() if name not in BESIDE_THE_KEY}


def _flat(data: object, prefix: str = "") -> dict[str, object]:
    """Return nested tables under dotted names."""
    if not isinstance(data, dict):
        return {prefix: data}
    parts = (_flat(value, f"{prefix}.{name}" if prefix else name) for name, value in data.items())
    return {name: value for part in parts for name, value in part.items()}


def _words(value: object) -> str:
    if value is None or value in ([], (), ""):
        return "none"
    if isinstance(value, list | tuple):
        return ", ".join(_words(one) for one in value)
    if isinstance(value, dict):
        return " ".join(f"{name} {_words(one)}" for name, one in value.items())
    return str(value)


def _warnings(experiment: Experiment) -> Iterator[str]:
    """Yield what makes the results of this study doubtful, in one line each."""
    tape = experiment.tape
    reads_interest = experiment.strategy.hooks.on_open_interest is not ignore_fact
    tables = zip(tape.contracts, tape.candles, tape.funding, tape.open_interest, strict=True)
    for contract, candles, funding, interest in tables:
        yield from _holes(contract.symbol, candles)
        yield from _unpaid_funding(contract.symbol, candles, funding)
        if reads_interest and (interest is None or not interest.time_ms):
            name = experiment.strategy.name
            yield f"{contract.symbol}: no open interest (--open-interest), which {name} reads: it may never trade"
    varied = [axis.name for axis in experiment.space.axes]
    for symbol, own in experiment.settings.symbol_parameters.items():
        for name in varied:
            if name in own:
                yield f"{name} varies, but the configuration sets it for {symbol}: it stays {own[name]} there"


def _holes(symbol: str, candles: CandleColumns) -> Iterator[str]:
    """Yield a warning if more than 1 % of a symbol's candles are missing."""
    expected = (candles.open_time_ms[-1] - candles.open_time_ms[0]) // candles.timeframe_ms + 1
    missing = expected - len(candles.open_time_ms)
    if missing > HOLES_MAX * expected:
        yield f"{symbol}: {missing:,} of {expected:,} candles are missing ({100.0 * missing / expected:.1f} %)"


def _unpaid_funding(symbol: str, candles: CandleColumns, funding: SeriesColumns | None) -> Iterator[str]:
    """Yield a warning if positions of a symbol pay no funding for some of the time, as a real account does."""
    if funding is None or not funding.time_ms:
        yield f"{symbol}: no funding rates (--funding), so positions pay no funding: the results are optimistic"
        return
    first_ms, until_ms = candles.open_time_ms[0], candles.open_time_ms[-1] + candles.timeframe_ms
    inside = [time_ms for time_ms in funding.time_ms if first_ms <= time_ms <= until_ms]
    edges = [first_ms, *inside, until_ms]
    bare_ms = sum(b - a for a, b in pairwise(edges) if b - a > FUNDING_GAP_MAX_MS)
    if bare_ms > HOLES_MAX * (until_ms - first_ms):
        yield f"{symbol}: funding rates are missing for {duration(bare_ms)} of the candles: the results are optimistic"
