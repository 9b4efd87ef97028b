"""Strategies with three and four series, some finer than the first, on a market that loses minutes."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from papertape.engine.feeds.files.columns import CandleColumns
from papertape.engine.reducer.reducer import fold
from papertape.engine.reducer.state import new_state
from papertape.engine.research.cpython_kernel import PlainEngine
from papertape.engine.research.guarded import run_tape
from papertape.engine.runner_settings import RunnerSettings
from papertape.engine.strategy_registry import load_strategies
from tests.reducer.random_market import RandomTape, Recipe, market
from tests.reducer.runs import begin
from tests.research.ways import CompiledEngine, encoded
from tests.support import NO_LIMITS, configured_world, feed, state_of

if TYPE_CHECKING:
    from pathlib import Path

    from papertape.engine.kernel.strategy import Strategy

COUNTING = '''"""Count the candles of each series, and trade the direction of the last one."""
from msgspec import Struct

NAME = "{name}"
SERIES = {series}
EXIT_REASONS = ("turned",)


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    """None."""

    stop_percent: float = 1.0


class State(Struct):
    """Calls, and the candles and the closes of each series."""

    calls: int = 0
    a: int = 0
    b: int = 0
    c: int = 0
    d: int = 0
    total: float = 0.0


class Reading(Struct):
    """The last close of each series."""

    a: float = 0.0
    b: float = 0.0
    c: float = 0.0
    d: float = 0.0


def observe(view, params):
    """Count what has just completed."""
    state = view.state
    state.calls += 1
    state.a += view.{a}.candle.completed
    state.b += view.{b}.candle.completed
    state.c += view.{c}.candle.completed
    state.d += view.{d}.candle.completed
    state.total += view.{a}.candle.close + view.{b}.candle.close + view.{c}.candle.close + view.{d}.candle.close


def enter(view, params, answer):
    """With the last candle of the second series."""
    answer.stop_fraction = params.stop_percent / 100.0
    answer.reading.a = view.{a}.candle.close
    answer.reading.b = view.{b}.candle.close
    answer.reading.c = view.{c}.candle.close
    answer.reading.d = view.{d}.candle.close
    return 1 if view.{b}.candle.close > view.{b}.candle.open else -1


def leave(view, params, answer):
    """When that turns."""
    return 64 if view.position.side * (view.{b}.candle.close - view.{b}.candle.open) < 0.0 else 0
'''
FINER = ("three", ("15m", "3m", "1h"))
LONG = ("four", ("5m", "1h", "1m", "2h"))


def counting(folder: Path, name: str, series: tuple[str, ...]) -> dict[str, Strategy]:
    """The counting strategy with these series; with three, the last field shows the third again."""
    fields = [f"{one[-1]}{one[:-1]}" for one in series]
    text = COUNTING.replace("{name}", name).replace("{series}", repr(series))
    for key, field in zip("abcd", [*fields, fields[-1]], strict=False):
        text = text.replace(f"{{{key}}}", field)
    (folder / f"{name}.py").write_text(text, encoding="utf-8")
    return {name: load_strategies([folder])[name]}


def losing_minutes(share: float) -> RandomTape:
    """A market in which every minute is lost with this probability, beside short and long holes."""
    tape, random = market(Recipe(seed=8, symbols=2, candles=1_500, holes=3, long_holes=1, warm_up=100)), Random(8)
    return replace(tape, candles=[without_some(table, random, share) for table in tape.candles])


def without_some(table: CandleColumns, random: Random, share: float) -> CandleColumns:
    """The table without the rows that are lost."""
    kept = [row for row in range(len(table.close)) if random.random() >= share]
    columns = {
        name: type(values)(values.typecode, [values[row] for row in kept])
        for name in ("open_time_ms", "open", "high", "low", "close", "volume")
        if (values := getattr(table, name)) is not None
    }
    return replace(table, **columns)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "series"), [FINER, LONG])
def test_every_way_to_run_many_series_is_the_same(tmp_path: Path, name: str, series: tuple[str, ...]) -> None:
    strategies, tape = counting(tmp_path, name, series), losing_minutes(0.03)
    settings = {name: RunnerSettings(risk=NO_LIMITS)}
    live = begin(tape.contracts, settings, strategies)
    feed(live.world, live.log, tape.events())
    found = []
    for engine in (PlainEngine, CompiledEngine):
        world = configured_world(tape.contracts, settings, strategies)
        decided = run_tape(world, engine(world, tape)).decided
        found.append(([(one.fact, encoded(one.event)) for one in decided], state_of(world)))
    assert found[0] == found[1]
    assert len(found[0][0]) > 100
    assert world.runners[0].states == live.world.runners[0].states
    assert world.series == live.world.series
    followed = new_state(strategies)
    fold(followed, live.log)
    assert state_of(followed) == state_of(live.world)


@pytest.mark.parametrize("share", [0.0, 0.03])
def test_each_completed_candle_is_shown_once(tmp_path: Path, share: float) -> None:
    tape = losing_minutes(share)
    run = begin(tape.contracts, {"four": RunnerSettings()}, counting(tmp_path, *LONG))
    feed(run.world, run.log, tape.events())
    for symbol, state in enumerate(run.world.runners[0].states):
        minutes = len(tape.candles[symbol].close)
        assert state.calls == state.c == minutes, "every minute completes one of the 1m series"
        assert 0 < state.d < state.b < state.a < minutes
        if share == 0.0:
            assert state.b > minutes // 60 - 10
