"""The engine's run of a scene: a strategy whose hooks read the scene's answers from a script."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

from msgspec import convert
from msgspec.structs import replace

from papertape.engine.feeds.files.columns import CandleColumns, SeriesColumns
from papertape.engine.kernel.answers import (
    add_limit,
    add_market,
    add_stop,
    add_target,
    add_target_fraction,
    drop_adds,
    drop_targets,
    enter_limit,
    enter_stop,
    move_stop,
    reduce_position,
    trail,
)
from papertape.engine.kernel.codes import FIRST_EXIT_REASON, NO_REASON
from papertape.engine.kernel.risk_settings import RiskSettings
from papertape.engine.kernel.strategy import Hooks, ignore_fact
from papertape.engine.research.cpython_kernel import PlainEngine
from papertape.engine.research.guarded import run_tape
from papertape.engine.runner_settings import RunnerSettings
from papertape.events.units import MINUTE_MS, SERIES_MS
from tests.build import listed
from tests.reducer.random_market import RandomTape
from tests.support import configured_world

from .engine_runs import dictated_strategies

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from papertape.engine.kernel.strategy import Strategy
    from papertape.engine.reducer.state import EngineState
    from papertape.events.facts import Event

    from .answers import Answer

Row = tuple[int, float, float, float, float, float, bool]


def engine_run(
    rows: Sequence[Row],
    enters: Mapping[int, Answer],
    leaves: Mapping[int, str],
    manages: Mapping[int, Answer],
    settings: Mapping[str, float],
    units_max: float,
    timeframe_ms: int,
    funding: Sequence[tuple[int, float]],
) -> tuple[EngineState, list[Event]]:
    """Run one symbol's rows with answers by the number of the row: the world at the end, and every decision."""
    numbers = {row[0] + MINUTE_MS: number for number, row in enumerate(rows)}
    strategy = _strategy(numbers, enters, leaves, manages, units_max, timeframe_ms)
    risk = convert(settings, RiskSettings, strict=False)
    tape = _tape(rows, funding)
    world = configured_world(tape.contracts, {"dictated": RunnerSettings(risk=risk)}, {"dictated": strategy})
    outcome = run_tape(world, PlainEngine(world, tape))
    return world, [item.event for item in outcome.decided]


def _tape(rows: Sequence[Row], funding: Sequence[tuple[int, float]]) -> RandomTape:
    table = CandleColumns("scene", MINUTE_MS)
    for open_ms, *prices, volume, _ in rows:
        table.open_time_ms.append(open_ms)
        for column, price in zip(table.values(), (*prices, volume), strict=True):
            column.append(price)
    times, rates = array("q", [time for time, _ in funding]), array("d", [rate for _, rate in funding])
    settlements = SeriesColumns("scene", times, rates) if funding else None
    late = frozenset((0, row[0]) for row in rows if row[-1])
    return RandomTape([replace(listed("X"), at_ms=0)], [table], [settlements], [None], late=late)


def _strategy(
    numbers: Mapping[int, int],
    enters: Mapping[int, Answer],
    leaves: Mapping[int, str],
    manages: Mapping[int, Answer],
    units_max: float,
    timeframe_ms: int,
) -> Strategy:
    def enter(view: Any, _params: Any, answer: Any) -> int:
        told = enters.get(numbers[view.now_ms])
        return 0 if told is None else _enter(answer, told)

    def leave(view: Any, _params: Any, _answer: Any) -> int:
        return FIRST_EXIT_REASON if numbers[view.now_ms] in leaves else NO_REASON

    def manage(view: Any, _params: Any, answer: Any) -> None:
        _change(answer, manages.get(numbers[view.now_ms], {}))

    (series,) = (name for name, length in SERIES_MS.items() if length == timeframe_ms)
    return replace(
        dictated_strategies(series)["dictated"],
        units_max=units_max,
        hooks=Hooks(ignore_fact, ignore_fact, ignore_fact, ignore_fact, enter, leave, manage),
    )


def _enter(answer: Any, told: Answer) -> int:
    kind = told.get("kind", "market")
    if kind != "market":
        (enter_limit if kind == "limit" else enter_stop)(answer, told["price"], told.get("expires", 1))
    answer.stop_fraction = told.get("stop_fraction", 0.0)
    answer.size_usdt, answer.risk_percent = told.get("size_usdt", 0.0), told.get("risk_percent", 0.0)
    fractions = told.get("target_fractions", ())
    if len(fractions) == 1 and fractions[0][1] == 1.0:
        answer.target_fraction = fractions[0][0]
    else:
        for fraction, part in fractions:
            add_target_fraction(answer, fraction, part)
    _change(answer, told)
    return int(told["side"])


def _change(answer: Any, told: Answer) -> None:
    if "stop_price" in told:
        move_stop(answer, told["stop_price"])
    if "targets" in told:
        if "target_fractions" not in told:
            drop_targets(answer)
        for price, part in told["targets"]:
            add_target(answer, price, part)
    if "adds" in told:
        drop_adds(answer)
        for add in told["adds"]:
            _add(answer, add)
    if "trailing" in told:
        trail(answer, *told["trailing"])
    if "reduce" in told:
        reduce_position(answer, told["reduce"])


def _add(answer: Any, add: Answer) -> None:
    kind, size, life = add["kind"], add.get("size", 1.0), add.get("expires")
    if kind == "market":
        add_market(answer, size)
    else:
        (add_limit if kind == "limit" else add_stop)(answer, add["price"], size, 0 if life is None else life)
