"""A strategy that looks at other symbols: it sees each candle of theirs once, and the same in every way to run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from msgspec.structs import replace

from papertape.engine.inspect.entry_conditions import entry_conditions, readiness
from papertape.engine.reducer.reducer import fold
from papertape.engine.reducer.snapshot_codec import decode, encode, state_digest
from papertape.engine.reducer.state import new_state
from papertape.engine.research.cpython_kernel import PlainEngine
from papertape.engine.research.guarded import run_tape
from papertape.engine.runner_settings import RunnerSettings
from papertape.engine.strategy_registry import load_strategies
from papertape.events.errors import ConfigError
from papertape.events.facts import OrderPlaced
from papertape.events.units import MINUTE_MS
from tests.build import DAY_0_MS
from tests.reducer.random_market import NAMES, RandomTape, Recipe, market
from tests.reducer.runs import begin
from tests.research.ways import CompiledEngine
from tests.support import NO_LIMITS, configured_world, feed, state_of

if TYPE_CHECKING:
    from pathlib import Path

    from papertape.engine.kernel.strategy import Strategy
    from papertape.engine.reducer.state import EngineState

SHADOW = '''"""Count and add up what it is shown, and trade the leader's direction."""
from msgspec import Struct

NAME = "shadow"
SERIES = ("3m", "15m")
REFERENCES = {references}
NEEDS_BARS = 5
NEEDS_FILTER_BARS = 2
EXIT_REASONS = ("turned",)


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    """None."""

    stop_percent: float = 1.0


class State(Struct):
    """Candles and the sums of their closes, of its own 3m series and of the leader's two; the leader's last age."""

    own: int = 0
    own_sum: float = 0.0
    fast: int = 0
    fast_sum: float = 0.0
    slow: int = 0
    slow_sum: float = 0.0
    age_ms: int = 0


class Reading(Struct):
    """The leader's close, and how old it is."""

    close: float = 0.0
    age_ms: int = 0


def observe(view, params):
    """Count each series whose `completed` is 1."""
    state = view.state
    if view.m3.candle.completed == 1:
        state.own += 1
        state.own_sum += view.m3.candle.close
    if view.leader.m3.candle.completed == 1:
        state.fast += 1
        state.fast_sum += view.leader.m3.candle.close
    if view.leader.m15.candle.completed == 1:
        state.slow += 1
        state.slow_sum += view.leader.m15.candle.close
    state.age_ms = view.now_ms - view.leader.close_ms


def enter(view, params, answer):
    """In the direction of the leader's last candle."""
    leader = view.leader.m3.candle
    answer.stop_fraction = params.stop_percent / 100.0
    answer.reading.close = leader.close
    answer.reading.age_ms = view.now_ms - view.leader.close_ms
    return 1 if leader.close > leader.open else -1 if leader.close < leader.open else 0


def leave(view, params, answer):
    """When the leader turns."""
    leader = view.leader.m3.candle
    return 64 if view.position.side * (leader.close - leader.open) < 0.0 else 0
'''
LATE_MINUTES = 97
"""How long after the others the candles of CCC begin in `begun_late`: its second whole 15m candle closes at 135."""
HOLED = Recipe(seed=5, symbols=3, candles=400, holes=4, long_holes=1, late_share=0.02, warm_up=60)


def shadow(folder: Path, references: str) -> dict[str, Strategy]:
    """The strategy with these references."""
    (folder / "shadow.py").write_text(SHADOW.replace("{references}", references), encoding="utf-8")
    return {"shadow": load_strategies([folder])["shadow"]}


def begun_late(recipe: Recipe) -> RandomTape:
    """A market in which the candles of CCC begin later than those of the others."""
    tape = market(recipe)
    for column in (tape.candles[2].open_time_ms, *tape.candles[2].values()):
        del column[:LATE_MINUTES]
    return tape


def outcome(strategies: dict[str, Strategy], tape: RandomTape, engine: type) -> tuple[list[bytes], bytes]:
    """The decisions and the end state of one engine over the tape."""
    world = configured_world(tape.contracts, {"shadow": RunnerSettings(risk=NO_LIMITS)}, strategies)
    decided = run_tape(world, engine(world, tape)).decided
    return [msgspec.msgpack.encode([one.fact, one.event]) for one in decided], state_of(world)


@pytest.mark.slow
@pytest.mark.parametrize(
    "references",
    [
        '{"leader": "CCC"}',
        '{"other": "CCC", "leader": "AAA"}',
        '{"leader": "AAA", "other": "AAA"}',
    ],
)
def test_every_way_to_run_it_decides_the_same(tmp_path: Path, references: str) -> None:
    strategies, tape = shadow(tmp_path, references), begun_late(HOLED)
    python, compiled = (outcome(strategies, tape, engine) for engine in (PlainEngine, CompiledEngine))
    assert compiled == python
    assert len(python[0]) > 40
    live = begin(tape.contracts, {"shadow": RunnerSettings(risk=NO_LIMITS)}, strategies)
    feed(live.world, live.log, tape.events())
    followed = new_state(strategies)
    fold(followed, live.log)
    assert state_of(followed) == state_of(live.world)
    tape_world = configured_world(tape.contracts, {"shadow": RunnerSettings(risk=NO_LIMITS)}, strategies)
    run_tape(tape_world, PlainEngine(tape_world, tape))
    assert state_digest(tape_world) == state_digest(live.world)


@pytest.mark.parametrize("references", ['{"leader": "CCC"}', '{"leader": "AAA", "other": "CCC"}'])
def test_no_entry_is_asked_for_before_a_reference_has_the_candles_that_are_needed(
    tmp_path: Path, references: str
) -> None:
    strategies, tape = shadow(tmp_path, references), begun_late(Recipe(seed=5, symbols=3, candles=300))
    run = begin(tape.contracts, {"shadow": RunnerSettings(risk=NO_LIMITS)}, strategies)
    entries: dict[str, int] = {}
    for event in tape.events():
        feed(run.world, run.log, [event])
        short = [one for one in readiness(run.world, run.world.runners[0], 0) if one.candles < one.needed]
        asked = [one for one in run.events() if isinstance(one, OrderPlaced) and one.symbol == "AAA"]
        assert not (asked and short), "the readiness that is shown is the one that decides"
        if asked:
            break
    for one in run.events():
        if isinstance(one, OrderPlaced):
            entries.setdefault(one.symbol, (one.at_ms - DAY_0_MS) // MINUTE_MS)
    assert entries["AAA"] == 138, "it comes before CCC, so it sees the candle of 135 only with its own next one"


def test_readiness_names_the_reference_whose_candles_are_missing(tmp_path: Path) -> None:
    strategies, tape = shadow(tmp_path, '{"leader": "CCC"}'), begun_late(Recipe(seed=5, symbols=3, candles=300))
    run = begin(tape.contracts, {"shadow": RunnerSettings(risk=NO_LIMITS)}, strategies)
    feed(run.world, run.log, [event for event in tape.events() if event.at_ms <= DAY_0_MS + 110 * MINUTE_MS])
    ready = entry_conditions(run.world, "shadow", "AAA")[0].readiness
    assert [(one.symbol, one.timeframe_ms // MINUTE_MS, one.candles, one.needed) for one in ready] == [
        ("", 3, 36, 5), ("", 15, 7, 2), ("CCC", 3, 3, 5), ("CCC", 15, 0, 2),
    ]  # fmt: skip
    assert [max(0, one.ready_at_ms - DAY_0_MS) // MINUTE_MS for one in ready] == [0, 0, 114, 135]
    assert len(entry_conditions(run.world, "shadow", "CCC")[0].readiness) == 2, "its own series, each once"


@pytest.mark.parametrize("leader", NAMES[: HOLED.symbols])
def test_a_fold_over_a_reference_sees_each_of_its_candles_once(tmp_path: Path, leader: str) -> None:
    """Whatever its place in the order of symbols, and whatever holes the two have."""
    strategies, tape = shadow(tmp_path, f'{{"leader": "{leader}"}}'), market(HOLED)
    world = run_live(strategies, tape)
    fast, slow = (folded(tape, leader, minutes) for minutes in (3, 15))
    for symbol, state in zip(world.symbols, world.runners[0].states, strict=True):
        assert (state.fast, state.slow) == (len(fast), len(slow))
        assert (state.fast_sum, state.slow_sum) == (pytest.approx(sum(fast)), pytest.approx(sum(slow)))
        own = folded(tape, symbol, 3)
        assert (state.own, state.own_sum) == (len(own), pytest.approx(sum(own)))


def folded(tape: RandomTape, symbol: str, minutes: int) -> list[float]:
    """The closes of the candles whose every minute arrived."""
    table = tape.candles[NAMES.index(symbol)]
    closes = dict(zip(table.open_time_ms, table.close, strict=True))
    span_ms = minutes * MINUTE_MS
    starts = sorted({open_ms - open_ms % span_ms for open_ms in closes})
    whole = [start for start in starts if all(start + k * MINUTE_MS in closes for k in range(minutes))]
    return [closes[start + span_ms - MINUTE_MS] for start in whole]


def run_live(strategies: dict[str, Strategy], tape: RandomTape) -> EngineState:
    """The world after the tape, fact by fact."""
    run = begin(tape.contracts, {"shadow": RunnerSettings(risk=NO_LIMITS)}, strategies)
    feed(run.world, run.log, tape.events())
    return run.world


def test_the_last_call_of_all_is_for_the_candle_that_came_last(tmp_path: Path) -> None:
    tape = market(Recipe(seed=5, symbols=3, candles=90))
    for name in ("AAA", "CCC"):
        states = run_live(shadow(tmp_path, f'{{"leader": "{name}"}}'), tape).runners[0].states
        assert [state.age_ms for state in states] == [0, 0, 0]


def test_a_restart_in_the_middle_changes_nothing(tmp_path: Path) -> None:
    strategies, tape = shadow(tmp_path, '{"leader": "BBB"}'), market(HOLED)
    run = begin(tape.contracts, {"shadow": RunnerSettings(risk=NO_LIMITS)}, strategies)
    events = tape.events()
    feed(run.world, run.log, events[:700])
    resumed, log = decode(encode(run.world), strategies), list(run.log)
    feed(run.world, run.log, events[700:])
    feed(resumed, log, events[700:])
    assert log == run.log
    assert state_digest(resumed) == state_digest(run.world)


def test_the_configuration_chooses_another_symbol(tmp_path: Path) -> None:
    strategies, tape = shadow(tmp_path, '{"leader": "AAA"}'), market(HOLED)
    other = {"shadow": replace(strategies["shadow"], references=(("leader", "CCC"),))}
    run = begin(tape.contracts, {"shadow": RunnerSettings(risk=NO_LIMITS)}, other)
    feed(run.world, run.log, tape.events())
    followed = new_state(strategies)
    fold(followed, run.log)
    assert state_digest(followed) == state_digest(run.world), "the log says which symbol it was, not the file"


def test_a_reference_that_is_not_watched_is_refused_by_name(tmp_path: Path) -> None:
    strategies = shadow(tmp_path, '{"leader": "DOGE"}')
    with pytest.raises(ConfigError, match=r"strategies\.shadow\.leader: symbol DOGE is not watched; there are AAA"):
        configured_world(market(HOLED).contracts, {"shadow": RunnerSettings()}, strategies)


@pytest.mark.parametrize(
    "references",
    [
        '{"leader": "AAA", "m5": "AAA"}',
        '{"leader": "AAA", "stop_percent": "AAA"}',
        '{"leader": "AAA", "a b": "AAA"}',
        '{"leader": "AAA", "symbols": "AAA"}',
        '{"leader": "AAA", "other": "BBB", "third": "CCC"}',
    ],
)
def test_references_that_cannot_be_fields_of_a_view_are_refused(tmp_path: Path, references: str) -> None:
    with pytest.raises(ConfigError, match="REFERENCES must be a dict of at most 2 names"):
        shadow(tmp_path, references)
